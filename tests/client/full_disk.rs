//! A disk that is full: the client says so, and goes on once there is room, with the same key and the same request.

use crate::support::site::{FIELDS, Machine, Site};
use crate::support::small_disk::{SmallDisk, ran_elsewhere};

#[test]
fn a_full_disk_loses_no_key_and_doubles_no_request() {
    if ran_elsewhere("client::full_disk::a_full_disk_loses_no_key_and_doubles_no_request") {
        return;
    }
    let site = Site::start();
    let package = site.workstation("package");
    let (mut failed, mut number) = ([0, 0], 0);
    // How many pages are left: from none to more than are needed.
    for free in (0..=10).chain([100]) {
        let disk = SmallDisk::mount(&site.folder().join(format!("disk-{free}")), 2 * 1024);
        let machine = Machine::at(disk.copy(&package.home, "home"));
        let name = format!("--common-name=PC-{free}");
        let submit: Vec<&str> = ["submit"].iter().chain(&FIELDS[..3]).copied().chain([name.as_str()]).collect();
        let whole = |arguments: &[&str]| {
            disk.fill(free);
            let run = machine.run(arguments);
            disk.make_room();
            if run.code != 0 {
                assert!(matches!(run.code, 3 | 8), "{free} pages left: {} {}", run.code, run.stderr);
                let said = format!("{}{}", run.stdout, run.stderr);
                assert!(said.contains("No space left"), "{free} pages left: {run:?}");
            }
            usize::from(run.code != 0)
        };
        failed[0] += whole(&submit);
        number += 1;
        // `fetch` ends what was begun; what was never written down begins anew.
        if machine.run(["fetch"]).code != 5 {
            machine.run(&submit).exits(0);
        }
        let last = site.requests().iter().map(|request| request["number"].as_u64().unwrap()).max().unwrap();
        assert_eq!(last, number, "{free} pages left: a request was doubled");
        assert_eq!((machine.keys().len(), machine.records().len()), (1, 1), "{free} pages left");
        site.approve(number);
        failed[1] += whole(&["fetch"]);
        machine.run(["fetch"]).exits(0);
        machine.run(["test"]).exits(0);
        assert_eq!((machine.keys().len(), machine.records().len()), (1, 1), "{free} pages left");
    }
    assert!(failed.iter().all(|failed| *failed > 1), "the disk was never full: {failed:?}");
    println!("submit failed {} times, fetch {} times", failed[0], failed[1]);
}
