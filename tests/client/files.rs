//! What lies on disk, who may read it, and what happens where it cannot be written.

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::support::site::{FIELDS, Machine, Run, Site};

/// Every file below a folder.
fn files(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).unwrap().map(|entry| entry.unwrap()) {
        if entry.file_type().unwrap().is_dir() {
            found.extend(files(&entry.path()));
        } else {
            found.push(entry.path());
        }
    }
    found
}

/// The client as an account without rights, as a shell would start it.
fn as_nobody(machine: &Machine, script: &str) -> Run {
    Run::of(
        Command::new("setpriv")
            .args(["--reuid=65534", "--regid=65534", "--clear-groups", "--no-new-privs", "sh", "-c", script, "sh"])
            .arg(&machine.program)
            .arg("--lang=en")
            .arg("--home")
            .arg(&machine.home)
            .arg("submit")
            .args(FIELDS),
    )
}

/// Lets the account without rights use the machine's home and the client, as far as the tests want it to.
fn open_to_nobody(site: &Site, machine: &mut Machine) {
    let program = site.folder().join("ptc-enroll");
    fs::copy(&machine.program, &program).unwrap();
    machine.program = program;
    fs::set_permissions(site.folder(), fs::Permissions::from_mode(0o755)).unwrap();
    let owned = Run::of(Command::new("chown").args(["-R", "65534:65534"]).arg(&machine.home));
    assert_eq!(owned.code, 0, "{}", owned.stderr);
}

#[test]
fn private_files_are_private_from_the_first_instant() {
    let site = Site::start();
    let machine = site.workstation("pc");
    // With no umask at all, only what the program asks for protects a file.
    let client = machine.command(["submit"].iter().chain(&FIELDS));
    let mut command = Command::new("sh");
    command.args(["-c", "umask 000; exec \"$@\"", "sh"]).arg(client.get_program()).args(client.get_args());
    Run::of(&mut command).exits(0);
    let private = files(&machine.home.join("store")).into_iter().chain(files(&machine.home.join("state")));
    let mut seen = 0;
    for file in private.chain([machine.home.join("enroll.log")]) {
        if file.file_name().is_some_and(|name| name == "lock") {
            continue;
        }
        assert_eq!(fs::metadata(&file).unwrap().mode() & 0o077, 0, "{} is open to others", file.display());
        seen += 1;
    }
    assert!(seen >= 3);
    for folder in [machine.store(), machine.home.join("state/test")] {
        assert_eq!(fs::metadata(&folder).unwrap().mode() & 0o077, 0, "{} is open to others", folder.display());
    }
}

#[test]
fn the_machine_store_without_rights_stops_before_a_key_is_made() {
    let site = Site::start();
    let mut machine = site.workstation("pc");
    open_to_nobody(&site, &mut machine);
    let store = machine.home.join("store");
    fs::create_dir(&store).unwrap();
    fs::set_permissions(&store, fs::Permissions::from_mode(0o755)).unwrap();
    let run = as_nobody(&machine, "exec \"$@\"").exits(8);
    assert!(run.stderr.contains("administrator rights") && run.stderr.contains("--store user"), "{}", run.stderr);
    assert!(machine.keys().is_empty() && machine.records().is_empty() && site.requests().is_empty());
}

#[test]
fn folders_that_cannot_be_written_are_named() {
    let site = Site::start();
    let mut machine = site.workstation("pc");
    open_to_nobody(&site, &mut machine);
    let run = as_nobody(&machine, "exec \"$@\"").exits(0);
    assert!(run.stdout.contains("Request 1"), "{}", run.stdout);
    let state = machine.home.join("state/test");
    fs::set_permissions(&state, fs::Permissions::from_mode(0o500)).unwrap();
    let run = as_nobody(&machine, "exec \"$@\"").exits(8);
    assert!(run.stderr.contains("state/test"), "{}", run.stderr);
    assert_eq!((machine.keys().len(), site.requests().len()), (1, 1));
    // A log that cannot be written stops nothing.
    fs::set_permissions(&state, fs::Permissions::from_mode(0o700)).unwrap();
    fs::remove_file(machine.home.join("enroll.log")).unwrap();
    fs::set_permissions(&machine.home, fs::Permissions::from_mode(0o500)).unwrap();
    let run = as_nobody(&machine, "exec \"$@\"").exits(0);
    assert!(run.stderr.contains("the event log cannot be written"), "{}", run.stderr);
}

#[test]
fn a_key_that_others_can_read_is_not_used() {
    let site = Site::builder().serve(&["--auto-approve"]).start();
    let machine = site.workstation("pc");
    machine.submit();
    machine.run(["fetch"]).exits(0);
    let key = machine.keys().remove(0);
    fs::set_permissions(&key, fs::Permissions::from_mode(0o644)).unwrap();
    let run = machine.run(["test"]).exits(8);
    assert!(run.stderr.contains("Others can read the private key"), "{}", run.stderr);
    fs::set_permissions(&key, fs::Permissions::from_mode(0o600)).unwrap();
    fs::write(&key, "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n").unwrap();
    machine.run(["test"]).exits(8);
    fs::remove_file(&key).unwrap();
    machine.run(["test"]).exits(8);
}

#[test]
fn long_paths_with_spaces_and_accents_work() {
    let site = Site::builder().serve(&["--auto-approve"]).start();
    let name = format!("{}/bureau de Besançon/{}", "é".repeat(90), "long ".repeat(30).trim());
    fs::create_dir_all(site.folder().join(&name).parent().unwrap()).unwrap();
    let machine = site.workstation(&name);
    assert!(machine.store().as_os_str().len() > 300);
    machine.submit();
    machine.run(["fetch"]).exits(0);
    machine.run(["test"]).exits(0);
}

#[test]
fn a_damaged_record_is_named_and_kept() {
    let site = Site::start();
    let machine = site.workstation("pc");
    machine.submit();
    let record = files(&machine.home.join("state"))
        .into_iter()
        .find(|file| file.extension().is_some_and(|e| e == "json"))
        .unwrap();
    fs::write(&record, "{").unwrap();
    for command in ["status", "fetch"] {
        let run = machine.run([command]).exits(8);
        assert!(run.stderr.contains(record.to_str().unwrap()), "{}", run.stderr);
    }
    assert_eq!(fs::read_to_string(&record).unwrap(), "{");
}

#[test]
fn a_closed_or_full_output_is_an_error() {
    let site = Site::start();
    let machine = site.workstation("pc");
    let mut command = machine.command(["status"]);
    command.stdout(fs::File::options().write(true).open("/dev/full").unwrap());
    let run = command.output().unwrap();
    assert_eq!(run.status.code(), Some(1));
    assert!(String::from_utf8(run.stderr).unwrap().contains("The output cannot be written"));
}

#[test]
fn paths_that_are_not_utf_8_are_shown_as_well_as_can_be() {
    use std::os::unix::ffi::OsStrExt;

    let site = Site::builder().serve(&["--auto-approve"]).start();
    let mut machine = site.workstation("pc");
    let home = site.folder().join(std::ffi::OsStr::from_bytes(b"h\xff"));
    fs::rename(&machine.home, &home).unwrap();
    machine.home = home.clone();
    machine.submit();
    machine.run(["--output=json", "fetch"]).exits(0).json();
    machine.run(["fetch"]).exits(0);
    machine.run(["--output=json", "test"]).exits(0).json();
    let missing = home.join(std::ffi::OsStr::from_bytes(b"\xff.csr"));
    let run = Run::of(machine.command(["--output=json", "submit-external", FIELDS[0]]).arg(missing)).exits(3);
    assert!(run.json()["result"]["files"][0]["file"].as_str().unwrap().contains(".csr"));
}

#[test]
fn what_a_killed_run_left_half_written_is_taken_away() {
    let site = Site::start();
    let machine = site.workstation("pc");
    let submit = ["submit"].iter().chain(&FIELDS);
    Run::of(machine.command(submit.clone()).env("PTC_ENROLL_KILL_AT", "journal.before-rename"));
    let unfinished = || {
        files(&machine.home.join("state"))
            .into_iter()
            .filter(|file| file.file_name().unwrap().to_string_lossy().starts_with(".ptc-"))
            .count()
    };
    assert_eq!(unfinished(), 1);
    machine.run(submit).exits(0);
    assert_eq!(unfinished(), 0);
}
