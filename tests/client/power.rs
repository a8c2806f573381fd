//! The power fails at every sync of the client: the next run goes on with what is left on the disk.

use std::thread;

use crate::support::chance::{Chance, SEED};
use crate::support::disk::{Kept, Recording};
use crate::support::site::{FIELDS, Machine, Run, Site};
use crate::support::strace::recorded;

/// The power failures of one run: moment and what is kept.
fn failures(moments: &[usize]) -> Vec<(usize, Kept)> {
    let all = [Kept::Nothing, Kept::Names, Kept::Some];
    moments.iter().flat_map(|moment| all.map(|kept| (*moment, kept))).collect()
}

/// Has the machine go on after each of these power failures.
fn each(recording: &Recording, failures: &[(usize, Kept)], go_on: impl Fn(Machine, &str) + Sync) {
    let shares: Vec<_> = failures.chunks(failures.len().div_ceil(2).max(1)).collect();
    thread::scope(|scope| {
        for share in shares {
            let go_on = &go_on;
            scope.spawn(move || {
                for (moment, kept) in share {
                    let folder = tempfile::tempdir().unwrap();
                    let home = folder.path().join("home");
                    recording.restore(*moment, *kept, &mut Chance(SEED ^ *moment as u64), &home);
                    go_on(Machine::at(home), &format!("at {moment}, {kept:?} kept"));
                }
            });
        }
    });
}

#[test]
fn submit_and_fetch_go_on_after_a_power_failure_at_every_sync() {
    let site = Site::start();
    let machine = site.workstation("pc");
    let mut recording = Recording::of(&machine.home);
    let mut run = |name: &str, arguments: &[&str]| {
        let trace = site.folder().join(name);
        Run::of(&mut recorded(&machine.command(arguments), &trace)).exits(0);
        recording.read(&trace)
    };
    let submit: Vec<&str> = ["submit"].iter().chain(&FIELDS).copied().collect();
    let submitted = run("submit.trace", &submit);
    site.approve(1);
    run("fetch.trace", &["fetch"]);
    let (of_submit, of_fetch): (Vec<usize>, Vec<usize>) =
        recording.moments().into_iter().partition(|moment| *moment <= submitted);
    let (online, offline): (Vec<usize>, Vec<usize>) =
        of_submit.into_iter().partition(|moment| recording.was_online(*moment));
    assert!(online.len() > 2 && offline.len() > 4 && of_fetch.len() > 8, "{online:?} {offline:?} {of_fetch:?}");

    // Whatever was sent is known of, with its key: `fetch` brings it to its end.
    let known = failures(&[online, of_fetch].concat());
    each(&recording, &known, |machine, when| {
        let fetched = machine.run(["fetch"]);
        assert_eq!(fetched.code, 0, "{when}: {}", fetched.stderr);
        assert_eq!((machine.keys().len(), machine.records().len()), (1, 1), "{when}");
        let tested = machine.run(["test"]);
        assert_eq!(tested.code, 0, "{when}: {}", tested.stderr);
    });
    assert_eq!(site.requests().len(), 1, "a request was doubled");
    assert_eq!(site.requests()[0]["state"], "installed");

    // Nothing was sent before it was on the disk: a submission that nobody heard of begins anew, without an orphan.
    let unknown = failures(&offline);
    each(&recording, &unknown, |machine, when| {
        let submitted = machine.run(&submit);
        assert_eq!(submitted.code, 0, "{when}: {}", submitted.stderr);
        assert_eq!((machine.keys().len(), machine.records().len()), (1, 1), "{when}");
    });
    println!("{} power failures survived", known.len() + unknown.len());
}
