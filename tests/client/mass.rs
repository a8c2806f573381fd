//! Thousands of servers, here some dozens or hundreds: manifests, patterns, batches, reports, and whatever cuts them off.

use std::collections::BTreeSet;
use std::fs;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use ptc_enroll::protocol::request::Kind;
use serde_json::{Value, json};

use crate::support::proxy::Fault;
use crate::support::service::{A, Draft};
use crate::support::site::{FIELDS, Machine, Run, Site};

/// So many CSRs in a new folder, DER.
fn csrs(site: &Site, count: usize) -> PathBuf {
    let folder = site.folder().join("csrs");
    fs::create_dir(&folder).unwrap();
    for index in 0..count {
        csr(&folder, &format!("s{index:03}"));
    }
    folder
}

fn csr(folder: &Path, host: &str) -> PathBuf {
    csr_named(folder, host, host)
}

/// A CSR in a file that is named otherwise than its host.
fn csr_named(folder: &Path, name: &str, host: &str) -> PathBuf {
    let path = folder.join(format!("{name}.csr"));
    let draft = Draft::new(A, Kind::ExternalServer, &format!("{host}.poste.example"));
    fs::write(&path, draft.submission.csr.0).unwrap();
    path
}

fn submit(machine: &Machine, more: &[&str]) -> Run {
    machine.run(["submit-external", FIELDS[0]].iter().chain(more))
}

fn lines(run: &Run) -> Vec<Value> {
    run.stdout.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// The certificates that were downloaded.
fn downloads(machine: &Machine) -> Vec<PathBuf> {
    let entries = fs::read_dir(machine.home.join("config/test")).unwrap();
    let paths = entries.map(|entry| entry.unwrap().path());
    paths.filter(|path| path.file_name().unwrap().to_string_lossy().starts_with("request-")).collect()
}

/// The numbers in the journal, each once.
fn numbers(machine: &Machine) -> BTreeSet<u64> {
    let records = machine.records();
    let numbers: BTreeSet<u64> = records.iter().filter_map(|record| record["status"]["number"].as_u64()).collect();
    assert_eq!(numbers.len(), records.len(), "a record without a number, or one number twice");
    numbers
}

#[test]
fn three_hundred_are_enrolled_in_few_calls() {
    let site = Site::builder().behind_proxy().serve(&["--auto-approve"]).start();
    let machine = site.workstation("pc");
    let folder = csrs(&site, 300);
    let report = site.folder().join("report.csv");
    let arguments = [folder.to_str().unwrap(), "--output=jsonl", "--report", report.to_str().unwrap()];
    let lines = lines(&submit(&machine, &arguments).exits(0));
    // A line each, in the order of the names, however many connections there are.
    let files: Vec<&str> = lines.iter().map(|line| line["result"]["file"].as_str().unwrap()).collect();
    assert!(files.len() == 300 && files.is_sorted(), "{files:?}");
    assert!(lines.iter().all(|line| line["exit_code"] == 0 && line["result"]["request"]["number"].is_u64()));
    let report = fs::read_to_string(report).unwrap();
    let rows: Vec<&str> = report.strip_prefix('\u{feff}').unwrap().lines().collect();
    assert_eq!(rows[0], "file,result,request,common_name,state,code,message,replaces,replaced_by");
    assert_eq!(rows.len(), 301);
    assert!(rows[1].contains("\"submitted\",") && rows[1].contains("\"s000.poste.example\""), "{}", rows[1]);

    assert_eq!(numbers(&machine).len(), 300);
    assert!(downloads(&machine).is_empty());
    let run = machine.run(["fetch"]).exits(0);
    assert_eq!(run.stdout.matches("the certificate was written to").count(), 300, "{}", run.stdout);
    let files = downloads(&machine);
    assert_eq!(files.len(), 300);
    let certificate = files.iter().find(|path| path.to_string_lossy().ends_with("-s042.poste.example.pem")).unwrap();
    let verify =
        ["verify", "-x509_strict", "-purpose", "sslserver", "-verify_hostname", "s042.poste.example", "-CAfile"];
    let mut openssl = Command::new("openssl");
    openssl.args(verify).arg(site.anchor()).arg("-untrusted").arg(certificate).arg(certificate);
    let verified = Run::of(&mut openssl);
    assert_eq!(verified.code, 0, "{}", verified.stderr);
    assert!(machine.records().iter().all(|record| record["status"]["state"] == "downloaded"));

    let seen = site.proxy.as_ref().unwrap().seen();
    let count =
        |route: &str| seen.iter().filter(|line| **line == format!("POST /api/v1/requests/{route} HTTP/1.1")).count();
    assert_eq!((count("batch"), count("status"), count("outcomes"), seen.len()), (2, 1, 1, 4), "{seen:?}");
}

#[test]
fn a_run_that_was_killed_goes_on_and_doubles_nothing() {
    for place in [
        "submit.before-record",
        "journal.before-rename",
        "submit.before-send",
        "submit.after-send",
        "submit.after-accepted",
    ] {
        let site = Site::start();
        let machine = site.workstation("pc");
        let folder = csrs(&site, 12);
        let arguments = ["submit-external", folder.to_str().unwrap(), FIELDS[0]];
        let killed = Run::of(machine.command(arguments).env("PTC_ENROLL_KILL_AT", place));
        assert_eq!(killed.code, -1, "{place} was never passed: {}", killed.stderr);
        // More came meanwhile, and their names stand before and between the others.
        csr(&folder, "r000");
        csr(&folder, "s0055");
        machine.run(arguments).exits(0);
        assert_eq!(numbers(&machine).len(), 14, "{place}");
        assert_eq!(site.requests().len(), 14, "{place}: a request was doubled");
        let run = machine.run(arguments).exits(0);
        assert_eq!(run.stdout.matches("already submitted").count(), 14, "{place}: {}", run.stdout);
    }
}

#[test]
fn fetch_finishes_what_was_cut_off_and_downloads_once() {
    let site = Site::builder().serve(&["--auto-approve"]).start();
    let machine = site.workstation("pc");
    // As many as are synced together, and a few more.
    let folder = csrs(&site, 20);
    let arguments = ["submit-external", folder.to_str().unwrap(), FIELDS[0]];
    let killed = Run::of(machine.command(arguments).env("PTC_ENROLL_KILL_AT", "submit.after-send"));
    assert_eq!(killed.code, -1);
    for place in [
        "submit.after-accepted",
        "fetch.before-delivery",
        "download.before-file",
        "fetch.before-delivered",
        "fetch.before-report",
        "fetch.after-report",
    ] {
        let killed = Run::of(machine.command(["fetch"]).env("PTC_ENROLL_KILL_AT", place));
        assert_eq!(killed.code, -1, "{place} was never passed: {}", killed.stderr);
    }
    machine.run(["fetch"]).exits(0);
    assert_eq!(downloads(&machine).len(), 20);
    let folder = machine.home.join("config/test");
    let names: Vec<_> = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert!(!names.iter().any(|name| name.to_string_lossy().starts_with(".ptc-")), "{names:?}");
    let requests = site.requests();
    assert_eq!(requests.len(), 20);
    assert!(requests.iter().all(|request| request["state"] == "downloaded"), "{requests:?}");
}

#[test]
fn several_connections_fetch_each_certificate_once() {
    let site = Site::builder().behind_proxy().serve(&["--auto-approve"]).start();
    let proxy = site.proxy.as_ref().unwrap();
    let machine = site.workstation("pc");
    // More than two calls may ask for.
    submit(&machine, &[csrs(&site, 1_010).to_str().unwrap()]).exits(0);
    let before = proxy.seen().len();
    proxy.next(std::iter::repeat_n(Fault::LoseRequest, 15));
    let run = machine.run(["fetch", "--output=jsonl"]).exits(6);
    assert_eq!(lines(&run).iter().filter(|line| line["result"]["error"]["code"] == "unreachable").count(), 1_010);
    assert_eq!(proxy.seen().len() - before, 15, "the tries of three calls at the same time, and no more");

    for place in ["download.before-file", "fetch.before-report", "fetch.after-report"] {
        let killed = Run::of(machine.command(["fetch"]).env("PTC_ENROLL_KILL_AT", place));
        assert_eq!(killed.code, -1, "{place} was never passed: {}", killed.stderr);
    }
    machine.run(["fetch"]).exits(0);
    assert_eq!(numbers(&machine), (1..=1_010).collect());
    assert_eq!(downloads(&machine).len(), 1_010);
    assert!(machine.records().iter().all(|record| record["status"]["state"] == "downloaded"));
    assert!(site.requests().iter().all(|request| request["state"] == "downloaded"));
}

#[test]
fn the_bad_among_many_are_named_and_the_good_are_sent() {
    let site = Site::start();
    let machine = site.workstation("pc");
    let folder = csrs(&site, 5);
    // Files that a spreadsheet would take for formulas, one of them no CSR; one CSR twice, under a name that acts on terminals.
    fs::write(folder.join("=1+1.csr"), "nothing").unwrap();
    fs::copy(folder.join("s003.csr"), folder.join("s003-\u{1b}[2J-copy.csr")).unwrap();
    let report = site.folder().join("report.csv");
    let mut command = machine.command(["submit-external", "--output=jsonl", "--report", report.to_str().unwrap(), "."]);
    let run = Run::of(command.arg(FIELDS[0]).current_dir(&folder)).exits(3);
    let lines = lines(&run);
    let failed: Vec<&Value> = lines.iter().filter(|line| line["exit_code"] == 3).collect();
    assert_eq!((lines.len(), failed.len()), (7, 1), "{}", run.stdout);
    assert_eq!(failed[0]["result"]["error"]["code"], "csr");
    let number_of = |name: &str| {
        let line = lines.iter().find(|line| line["result"]["file"].as_str().unwrap().ends_with(name)).unwrap();
        line["result"]["request"]["number"].as_u64().unwrap()
    };
    assert_eq!(number_of("s003.csr"), number_of("-copy.csr"));
    assert_eq!(site.requests().len(), 5);
    let report = fs::read_to_string(report).unwrap();
    let row = report.lines().find(|row| row.contains("1+1")).unwrap();
    assert!(row.contains(r#""failed","","","","csr","#) && row.ends_with(r#","","""#), "{row}");
    assert!(report.contains(r"s003-\u{1b}[2J-copy.csr") && !report.contains('\u{1b}'), "{report}");

    // A report that cannot be written is known before anything is sent.
    csr(&folder, "later");
    let nowhere = site.folder().join("nowhere/report.csv");
    let run = submit(&machine, &[folder.to_str().unwrap(), "--report", nowhere.to_str().unwrap()]).exits(3);
    assert!(run.stderr.contains("report.csv cannot be written"), "{}", run.stderr);
    // Nor does one take the place of a link.
    let link = site.folder().join("link.csv");
    std::os::unix::fs::symlink("nowhere.csv", &link).unwrap();
    let run = submit(&machine, &[folder.to_str().unwrap(), "--report", link.to_str().unwrap()]).exits(3);
    assert!(run.stderr.contains("would take the place of a folder, a link"), "{}", run.stderr);
    // Or of what is read, or of what is kept.
    let answers = site.folder().join("answers.toml");
    fs::write(&answers, "email = \"a@poste.example\"\n").unwrap();
    let secret = machine.home.join("config/test/enrollment-secret");
    let record = machine.home.join("state/test/new.jsonl");
    for place in [&answers, &folder.join("later.csr"), &secret, &record] {
        let (folder, answers) = (folder.to_str().unwrap(), answers.to_str().unwrap());
        let run = submit(&machine, &[folder, "--answers", answers, "--report", place.to_str().unwrap()]).exits(3);
        assert!(run.stderr.contains("would take the place of"), "{}", run.stderr);
    }
    assert_eq!(fs::read_to_string(&answers).unwrap(), "email = \"a@poste.example\"\n");
    assert_eq!(site.requests().len(), 5);
    // As the spreadsheets of the language expect it.
    let report = site.folder().join("rapport.csv");
    let run = submit(&machine, &["--lang=fr", "=1+1.csr", "--report", report.to_str().unwrap()]).exits(3);
    let text = fs::read_to_string(&report).unwrap();
    assert!(text.contains("file;result") && text.contains("\n\"'=1+1.csr\";\"failed\";"), "{text}{}", run.stdout);
}

#[test]
fn what_was_replaced_or_revoked_is_not_sent_again() {
    let site = Site::start();
    let machine = site.workstation("pc");
    let folder = csrs(&site, 0);
    let old = csr_named(&folder, "a-old", "api");
    csr_named(&folder, "b-new", "api");
    let report = site.folder().join("report.csv");
    let again = |more: &[&str]| {
        let arguments = [folder.to_str().unwrap(), "--report", report.to_str().unwrap()];
        let run = submit(&machine, &[&arguments, more].concat());
        let report = fs::read_to_string(&report).unwrap();
        let rows: Vec<String> = report.lines().skip(1).map(str::to_owned).collect();
        (run, rows)
    };
    let (run, rows) = again(&[]);
    for words in [
        "a-old.csr: submitted as request 1 (api.poste.example). Request 2 took its place.",
        "b-new.csr: submitted as request 2 (api.poste.example). It replaces request 1, which is cancelled.",
        "2 good, 0 failed.",
    ] {
        assert!(run.stdout.contains(words), "{words}: {}", run.stdout);
    }
    assert!(rows[0].ends_with(r#""replaced","1","api.poste.example","cancelled","","","","2""#), "{rows:?}");
    assert!(rows[1].ends_with(r#""submitted","2","api.poste.example","pending","","","1","""#), "{rows:?}");

    // Known from the newer one's record, and then from its own.
    for fetched in [false, true] {
        if fetched {
            machine.run(["fetch"]).exits(5);
        }
        let (run, rows) = again(&[]);
        let run = run.exits(0);
        let words = "a-old.csr: not sent: request 2 took the place of request 1 (api.poste.example).";
        assert!(run.stdout.contains(words) && run.stdout.contains("already submitted as request 2"), "{}", run.stdout);
        assert!(rows[0].ends_with(r#""replaced","1","api.poste.example","cancelled","","","","2""#), "{rows:?}");
        let line = lines(&submit(&machine, &[old.to_str().unwrap(), "--output=jsonl"]).exits(0)).remove(0);
        let request = &line["result"]["request"];
        assert_eq!((&request["state"], &request["replaced_by"]), (&json!("cancelled"), &json!(2)), "{line}");
    }
    assert_eq!(site.requests().len(), 2);

    site.approve(2);
    machine.run(["fetch"]).exits(0);
    let list = site.admin(["--output=json", "certificate", "list"]).exits(0).json();
    let rows = list["result"]["items"].as_array().unwrap();
    let serial = rows.iter().find(|row| row["request"] == 2).unwrap()["serial"].as_str().unwrap().to_owned();
    site.admin(["certificate", "revoke", &serial, "--code=keyCompromise", "--reason=Stolen in Lyon"]).exits(0);
    machine.run(["fetch"]).exits(4);
    let (run, rows) = again(&[]);
    let run = run.exits(4);
    for words in ["b-new.csr: Not sent: the certificate of request 2 was revoked", "Stolen in Lyon", "Make a new key"] {
        assert!(run.stdout.contains(words), "{words}: {}", run.stdout);
    }
    assert!(rows[1].contains(r#""failed","2","api.poste.example","revoked","revoked","Not sent"#), "{rows:?}");
    assert_eq!(site.requests().len(), 2);

    // Going back to the older one is a decision of its own, and the newest request for a CSR is the one that counts.
    let run = submit(&machine, &[old.to_str().unwrap(), "--again"]).exits(0);
    assert!(run.stdout.contains("submitted as request 3"), "{}", run.stdout);
    let run = again(&[]).0.exits(4);
    assert!(run.stdout.contains("a-old.csr: already submitted as request 3"), "{}", run.stdout);
    // What this very run replaces is not good any more.
    let run = again(&["--again"]).0.exits(0);
    assert!(run.stdout.contains("a-old.csr: not sent: request 4 took the place of request 3"), "{}", run.stdout);
    site.admin(["request", "reject", "4", "--reason=Not now"]).exits(0);
    machine.run(["fetch"]).exits(4);
    let run = again(&["--output=jsonl"]).0.exits(4);
    assert_eq!(lines(&run)[1]["result"]["error"]["code"], "revoked", "a rejection makes no key good: {}", run.stdout);
    assert_eq!(site.requests().len(), 4);
}

#[test]
fn with_other_answers_the_unfinished_is_sent_first_and_then_replaced() {
    for place in ["submit.before-send", "submit.after-send"] {
        let site = Site::start();
        let machine = site.workstation("pc");
        let folder = csrs(&site, 3);
        let new = ["submit-external", folder.to_str().unwrap(), FIELDS[0], "--description=New"];
        let old = ["submit-external", folder.to_str().unwrap(), FIELDS[0], "--description=Old"];
        // The second one before it has sent what the first one left.
        for (arguments, place) in [(&old, place), (&new, "submit.before-send")] {
            let killed = Run::of(machine.command(arguments).env("PTC_ENROLL_KILL_AT", place));
            assert_eq!(killed.code, -1, "{place} was never passed: {}", killed.stderr);
        }
        let run = machine.run(new).exits(0);
        assert_eq!(run.stdout.matches("It replaces request").count(), 3, "{place}: {}", run.stdout);
        let requests = site.requests();
        let of = |state: &str, description: &str| {
            let fits = |request: &&Value| request["state"] == state && request["description"] == description;
            requests.iter().filter(fits).count()
        };
        assert_eq!((requests.len(), of("cancelled", "Old"), of("pending", "New")), (6, 3, 3), "{place}: {requests:?}");
        let run = machine.run(new).exits(0);
        assert_eq!(run.stdout.matches("already submitted").count(), 3, "{place}: {}", run.stdout);
        assert_eq!(site.requests().len(), 6);
    }
}

#[test]
fn a_report_that_cannot_be_written_in_the_end_takes_no_result_along() {
    let site = Site::start();
    let machine = site.workstation("pc");
    let folder = csrs(&site, 1);
    submit(&machine, &[folder.to_str().unwrap()]).exits(0);
    let lock = fs::File::options().write(true).open(machine.home.join("state/test/lock")).unwrap();
    let last = |text: &str| serde_json::from_str::<Value>(text.lines().last().unwrap()).unwrap();
    for output in ["text", "json", "jsonl"] {
        // The place is good until the run waits for another one to end.
        let place = site.folder().join("reports");
        fs::create_dir(&place).unwrap();
        lock.lock().unwrap();
        let mut command = machine.command(["submit-external", folder.to_str().unwrap(), FIELDS[0]]);
        command.args(["--output", output, "--report", place.join("report.csv").to_str().unwrap()]);
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let mut stderr = BufReader::new(child.stderr.take().unwrap());
        let mut waiting = String::new();
        stderr.read_line(&mut waiting).unwrap();
        assert!(waiting.contains("Another ptc-enroll"), "{waiting}");
        fs::remove_dir_all(&place).unwrap();
        lock.unlock().unwrap();
        let said: String = stderr.lines().map(|line| line.unwrap() + "\n").collect();
        let ended = child.wait_with_output().unwrap();
        let stdout = String::from_utf8(ended.stdout).unwrap();
        assert_eq!(ended.status.code(), Some(3), "{stdout}{said}");
        assert!(said.contains("report.csv cannot be written") && said.contains("Next:"), "{said}");
        match output {
            "text" => assert!(stdout.contains("already submitted as request 1"), "{stdout}"),
            "json" => {
                let object = last(&stdout);
                assert_eq!(object["result"]["files"][0]["request"]["number"], 1, "{stdout}");
                assert_eq!((&object["error"]["code"], stdout.lines().count()), (&json!("report"), 1), "{stdout}");
            }
            _ => assert_eq!((&last(&stdout)["error"]["code"], stdout.lines().count()), (&json!("report"), 2)),
        }
    }
}

#[test]
fn what_was_rejected_is_sent_again() {
    let site = Site::start();
    let machine = site.workstation("pc");
    let folder = csrs(&site, 1);
    submit(&machine, &[folder.to_str().unwrap()]).exits(0);
    site.admin(["request", "reject", "1", "--reason=Not now"]).exits(0);
    machine.run(["fetch"]).exits(4);
    let run = submit(&machine, &[folder.to_str().unwrap()]).exits(0);
    assert!(run.stdout.contains("submitted as request 2"), "{}", run.stdout);
}

#[test]
fn a_service_that_goes_away_stops_the_sending_and_every_file_is_accounted_for() {
    let site = Site::builder().behind_proxy().start();
    let proxy = site.proxy.as_ref().unwrap();
    let machine = site.workstation("pc");
    let folder = csrs(&site, 520);
    let report = site.folder().join("report.csv");
    let arguments = ["submit-external", folder.to_str().unwrap(), FIELDS[0], "--connections=1", "--output=jsonl"];
    proxy.next([Fault::Pass].into_iter().chain(std::iter::repeat_n(Fault::LoseRequest, 5)));
    let mut child = machine
        .command(arguments)
        .args(["--report", report.to_str().unwrap()])
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    // The first batch's lines come while the second one is still tried.
    assert!((0..250).all(|_| lines.next().unwrap().unwrap().contains("\"exit_code\":0")));
    assert_eq!(child.try_wait().unwrap(), None, "lines are printed as they come");
    let rest: Vec<String> = lines.map(Result::unwrap).collect();
    assert_eq!(child.wait().unwrap().code(), Some(6));
    assert!(rest.len() == 270 && rest.iter().all(|line| line.contains("\"code\":\"unreachable\"")), "{rest:?}");
    let rows = fs::read_to_string(&report).unwrap();
    assert_eq!(rows.matches("\"submitted\"").count(), 250);
    assert_eq!(rows.matches("\"failed\"").count(), 270);
    // Six calls, and none for those that stood behind.
    assert_eq!(proxy.seen().len(), 6);

    machine.run(arguments).exits(0);
    assert_eq!(numbers(&machine), (1..=520).collect());
    // What was accepted is not sent again.
    assert_eq!(proxy.seen().len(), 8);
}

#[test]
fn a_service_without_batches_is_asked_one_by_one() {
    let site = Site::builder().behind_proxy().start();
    let proxy = site.proxy.as_ref().unwrap();
    let machine = site.workstation("pc");
    let folder = csrs(&site, 3);
    let older = |status: u16, code: &str| {
        let body = format!(r#"{{"type":"urn:ptc-enroll:problem:{code}","title":"no","status":{status}}}"#);
        Fault::answer(&format!("{status} No"), "application/problem+json", "", &body)
    };
    proxy.next([older(405, "method-not-allowed")]);
    submit(&machine, &[folder.to_str().unwrap()]).exits(0);
    assert_eq!(numbers(&machine), (1..=3).collect());
    (1..=3).for_each(|number| site.approve(number));
    proxy.next([older(404, "not-found")]);
    machine.run(["fetch"]).exits(0);
    assert_eq!(downloads(&machine).len(), 3);
    let seen = proxy.seen();
    let count = |start: &str| seen.iter().filter(|line| line.starts_with(start)).count();
    assert_eq!(count("POST /api/v1/requests HTTP"), 3, "{seen:?}");
    assert_eq!((count("GET /api/v1/requests/"), count("PUT /api/v1/requests/")), (3, 3), "{seen:?}");
    assert_eq!((count("POST /api/v1/requests/batch"), count("POST /api/v1/requests/status")), (1, 1), "{seen:?}");
}

#[test]
fn an_answer_about_other_requests_is_not_taken() {
    let site = Site::builder().behind_proxy().serve(&["--auto-approve"]).start();
    let proxy = site.proxy.as_ref().unwrap();
    let machine = site.workstation("pc");
    let folder = csrs(&site, 3);
    submit(&machine, &[folder.to_str().unwrap()]).exits(0);
    let short = Fault::answer("200 OK", "application/json", "", r#"{"results":[]}"#);
    let swapped = Fault::Swap(r#""number":2"#.to_owned(), r#""number":3"#.to_owned());
    for fault in [short, swapped] {
        proxy.next([fault]);
        let run = machine.run(["fetch"]).exits(6);
        assert!(run.stdout.contains("Somebody else answers"), "{}", run.stdout);
    }
    machine.run(["fetch"]).exits(0);
    assert_eq!(downloads(&machine).len(), 3);
}

#[test]
fn an_ended_package_refuses_all_and_loses_none() {
    let site = Site::start();
    let machine = site.workstation("pc");
    let folder = csrs(&site, 3);
    site.admin(["package", "disable", "1"]).exits(0);
    let run = submit(&machine, &[folder.to_str().unwrap()]).exits(4);
    assert_eq!(run.stdout.matches("s00").count(), 3, "{}", run.stdout);
    // Each is named, with what to do about all of them once.
    let run = machine.run(["fetch"]).exits(4);
    let hint = "Ask the PTC manager";
    assert!((0..3).all(|index| run.stdout.contains(&format!("s00{index}.csr: not sent yet."))), "{}", run.stdout);
    assert_eq!(run.stdout.matches(hint).count(), 1, "{}", run.stdout);
    assert_eq!(machine.records().len(), 3, "an earlier try may have been accepted");
}

#[test]
fn one_that_is_told_to_wait_holds_up_no_other() {
    let limits = "\n[limits]\nfailures_per_minute = 1\n";
    let site = Site::builder().settings(limits).serve(&["--auto-approve"]).start();
    let machine = site.workstation("pc");
    let folder = csrs(&site, 2);
    submit(&machine, &[folder.to_str().unwrap()]).exits(0);
    // Each has the other's token from now on, as after a mix-up of backups.
    let journal = machine.home.join("state/test");
    let path = fs::read_dir(&journal).unwrap().map(|entry| entry.unwrap().path());
    let path = path.into_iter().find(|path| path.extension().is_some_and(|name| name == "jsonl")).unwrap();
    let tokens: Vec<String> =
        machine.records().iter().map(|record| record["token"].as_str().unwrap().to_owned()).collect();
    let text = fs::read_to_string(&path).unwrap();
    let swapped = text.replace(&tokens[0], "first").replace(&tokens[1], &tokens[0]).replace("first", &tokens[1]);
    fs::write(&path, swapped).unwrap();
    let run = machine.run(["fetch", "--output=jsonl"]);
    assert!(lines(&run).iter().all(|line| line["result"]["error"]["code"] == "not-found"), "{}", run.stdout);

    for host in ["t000", "t001", "t002"] {
        csr(&folder, host);
    }
    submit(&machine, &[folder.to_str().unwrap()]).exits(0);
    let run = machine.run(["fetch", "--output=jsonl"]).exits(6);
    let waiting = lines(&run).iter().filter(|line| line["result"]["error"]["code"] == "too-many-requests").count();
    assert_eq!((waiting, downloads(&machine).len()), (2, 3), "{}", run.stdout);
    let downloaded = machine.records().iter().filter(|record| record["status"]["state"] == "downloaded").count();
    assert_eq!(downloaded, 3, "{}", run.stdout);
}

#[test]
#[cfg(target_os = "linux")]
fn one_document_takes_no_more_memory_than_lines() {
    let site = Site::start();
    let machine = site.workstation("pc");
    submit(&machine, &[csrs(&site, 1).to_str().unwrap()]).exits(0);
    let mut record = machine.records().remove(0);
    let of_many: String = (0..10_000)
        .map(|index| {
            record["id"] = json!(format!("20270101T000000.{index:06}Z-000000000000"));
            record["status"]["number"] = json!(index + 2);
            record["common_name"] = json!(format!("é{index}.poste.example"));
            format!("{record}\n")
        })
        .collect();
    fs::write(machine.home.join("state/test/20270101T000000.000000Z-000000000000.jsonl"), of_many).unwrap();
    // The most memory that a run had, by what it said of itself while it printed.
    let run = |output: &str| {
        let mut child = machine.command(["status", output]).stdout(Stdio::piped()).spawn().unwrap();
        let mut stdout = BufReader::with_capacity(64 * 1024, child.stdout.take().unwrap());
        let (mut said, mut most) = (Vec::new(), 0);
        loop {
            let part = stdout.fill_buf().unwrap();
            let length = part.len();
            said.extend_from_slice(part);
            stdout.consume(length);
            let state = fs::read_to_string(format!("/proc/{}/status", child.id())).unwrap();
            let peak = state.lines().find_map(|line| line.strip_prefix("VmHWM:")?.strip_suffix("kB"));
            most = most.max(peak.map_or(0, |peak| peak.trim().parse::<u64>().unwrap()));
            if length == 0 {
                break;
            }
        }
        assert!(child.wait().unwrap().success());
        (String::from_utf8(said).unwrap(), most)
    };
    let (lines, of_lines) = run("--output=jsonl");
    let (document, of_document) = run("--output=json");
    let [before, ..] = lines.split("\"result\":").collect::<Vec<_>>()[..] else { panic!("{lines}") };
    assert!(document.starts_with(before) && document.is_ascii() && document.lines().count() == 1);
    let document: Value = serde_json::from_str(&document).unwrap();
    let items: Vec<Value> =
        lines.lines().map(|line| serde_json::from_str::<Value>(line).unwrap()["result"].clone()).collect();
    assert_eq!((items.len(), &document["result"]["requests"]), (10_001, &json!(items)));
    assert!(of_document < of_lines + 4 * 1024, "{of_document} KiB, {of_lines} KiB in lines");
}

#[test]
fn waiting_asks_about_all_in_one_call() {
    let site = Site::builder().behind_proxy().start();
    let proxy = site.proxy.as_ref().unwrap();
    let machine = site.workstation("pc");
    let folder = csrs(&site, 3);
    submit(&machine, &[folder.to_str().unwrap()]).exits(0);
    (1..=3).for_each(|number| site.approve(number));
    // Once more as if nobody had decided yet; the service would be asked again after half a minute.
    let pending = |number: u64| {
        let status = json!({ "number": number, "kind": "external-server", "common_name": "x", "state": "pending",
            "approver": "ptc-manager", "submitted_at": "2026-11-24T12:00:00Z" });
        json!({ "request": status })
    };
    let answer = json!({ "results": (1..=3).map(pending).collect::<Vec<_>>() }).to_string();
    proxy.next([Fault::answer("200 OK", "application/json", "Retry-After: 1\r\n", &answer)]);
    let before = proxy.seen().len();
    machine.run(["fetch", "--wait=20s"]).exits(0);
    assert_eq!(downloads(&machine).len(), 3);
    let asked = "POST /api/v1/requests/status HTTP/1.1";
    assert_eq!(proxy.seen()[before..], [asked, asked, "POST /api/v1/requests/outcomes HTTP/1.1"]);
}

#[test]
fn folders_patterns_and_files_may_be_mixed() {
    let site = Site::start();
    let machine = site.workstation("pc");
    let folder = csrs(&site, 3);
    fs::rename(csr(&folder, "x"), folder.join("[x].csr")).unwrap();
    let within = |name: &str| folder.join(name).to_str().unwrap().to_owned();
    let dry = |arguments: &[&str]| submit(&machine, &[&["--dry-run", "--output=jsonl"], arguments].concat());
    for (arguments, count) in [
        (vec![within("s*.csr")], 3),
        (vec![within("s00?.csr"), within("[x].csr")], 4),
        (vec![within("../*/s[01]*.csr")], 3),
        (vec![within("s001.csr"), folder.to_str().unwrap().to_owned()], 5),
    ] {
        let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
        let run = dry(&arguments).exits(0);
        assert_eq!(run.stdout.lines().count(), count, "{arguments:?}");
    }
    // What cannot be looked at fails by itself.
    std::os::unix::fs::symlink("nowhere", folder.join("broken.csr")).unwrap();
    std::os::unix::fs::symlink("loop.csr", folder.join("loop.csr")).unwrap();
    for (argument, count) in [(within("."), 6), (within("*o*.csr"), 2)] {
        let run = dry(&[&argument]).exits(3);
        assert_eq!(run.stdout.lines().count(), count, "{}", run.stdout);
        let failed =
            |name: &str| lines(&run).iter().any(|line| line["exit_code"] == 3 && line.to_string().contains(name));
        assert!(failed("broken.csr cannot be read") && failed("loop.csr cannot be read"), "{}", run.stdout);
    }
    // What would be waited for is not opened, and nothing is sent of all that stand beside it.
    let pipe = folder.join("pipe.csr");
    Run::of(Command::new("mkfifo").arg(&pipe)).exits(0);
    let pipe = pipe.to_str().unwrap();
    for arguments in [&[&within("s001.csr"), pipe][..], &["--manifest", pipe]] {
        let run = submit(&machine, arguments).exits(3);
        assert!(run.stderr.contains("pipe.csr is a folder, a device or a pipe"), "{}", run.stderr);
    }
    assert!(machine.records().is_empty());
    let run = dry(&[&within("nothing*.csr")]).exits(3);
    assert!(run.stderr.contains("No file fits"), "{}", run.stderr);
    for wrong in [&["--connections=0", "x"][..], &["--connections=17", "x"], &["x", "--manifest=y"], &[]] {
        submit(&machine, wrong).exits(2);
    }
}

#[test]
fn a_manifest_says_what_is_known_of_each_server() {
    let site = Site::start();
    let machine = site.workstation("pc");
    let folder = csrs(&site, 2);
    let manifest = folder.join("servers.csv");
    let french = "\u{feff}email;csr;host_name;description;os_type\r\n\
        a@poste.example;s000.csr;s000.poste.example;\"Guichet «nord»;\r\nétage \"\"2\"\"\";\r\n\
        ;s001.csr;;;64-bit\r\n;;;;\r\n";
    fs::write(&manifest, french).unwrap();
    let fields = ["--email=b@poste.example", "--os-type=32-bit", "--description=Counter"];
    let arguments = ["submit-external", "--manifest", manifest.to_str().unwrap(), "--no-input"];
    machine.run(arguments.iter().chain(&fields)).exits(0);
    let mut records = machine.records();
    records.sort_by_key(|record| record["common_name"].as_str().unwrap().to_owned());
    let said = |record: &Value| {
        let (contact, server) = (&record["submission"]["contact"], &record["submission"]["machine"]);
        [&contact["email"], &contact["description"], &server["host_name"], &server["os_type"]]
            .map(|value| value.as_str().unwrap().to_owned())
    };
    let first = ["a@poste.example", "Guichet «nord»;\r\nétage \"2\"", "s000.poste.example", "32-bit"];
    assert_eq!(said(&records[0]), first);
    assert_eq!(said(&records[1]), ["b@poste.example", "Counter", "", "64-bit"]);

    // Where every line names an e-mail address, none is needed beside it; without one, it is.
    fs::write(&manifest, "csr,email\ns000.csr,a@poste.example\n").unwrap();
    machine.run(arguments).exits(0);
    fs::write(&manifest, "csr\ns000.csr\n").unwrap();
    let run = machine.run(arguments).exits(3);
    assert!(run.stderr.contains("--email is needed"), "{}", run.stderr);
    // A list is a manifest of one column; a file that is missing is one that failed.
    fs::write(&manifest, "csr\ns000.csr\nmissing.csr\n").unwrap();
    let run = machine.run(arguments.iter().chain(&fields)).exits(3);
    assert!(run.stdout.contains("already submitted") && run.stdout.contains("missing.csr"), "{}", run.stdout);
}

#[test]
fn mistakes_in_a_manifest_are_named_with_line_and_column() {
    let site = Site::start();
    let machine = site.workstation("pc");
    let folder = csrs(&site, 2);
    let manifest = folder.join("servers.csv");
    let long = format!("csr,host_name\ns000.csr,{}\n", "h".repeat(254));
    for (content, mistakes) in [
        (&b""[..], &["line 1: no server stands below"][..]),
        (b"csr,email\n", &["line 1: no server"]),
        (b"email\na@poste.example\n", &["line 1: no column is named csr"]),
        (b"csr,mail\ns000.csr,x\n", &["line 1, column mail: this column is not known", "telephone"]),
        (b"csr;email;csr\n", &["line 1, column csr: this column stands there more than once"]),
        (b"CSR\ns000.csr\n", &["line 1, column CSR"]),
        (b"csr,email\ns000.csr\n", &["line 2: 1 values for 2 columns"]),
        (b"csr,email\ns000.csr,a@poste.example,x\n", &["line 2: 3 values for 2 columns"]),
        (
            b"csr,email\n\ns000.csr,nobody\n,a@b.example\n",
            &["line 3, column email: \u{201c}nobody\u{201d}", "line 4, column csr: the CSR"],
        ),
        (b"csr,email\r\n\r\ns000.csr,\r\ns001.csr,nobody\r\n", &["line 4, column email: \u{201c}nobody\u{201d}"]),
        (b"csr\ns000.csr\ns001.csr\ns000.csr\n", &["line 4, column csr: the same file stands on line 2"]),
        (
            b"csr,description\ns000.csr,\"a\nb\"\ns001.csr,\xe9t\xe9\n",
            &["line 4, column description: this is not UTF-8"],
        ),
        (long.as_bytes(), &["line 2, column host_name", "at most 253 characters"]),
        (b"csr,os_version\ns000.csr,\x1b[31m\n", &["line 2, column os_version", "plain text"]),
        (b"csr,os_type\ns000.csr,128-bit\n", &["line 2, column os_type", "64-bit or 32-bit"]),
        (b"csr,description\ns000.csr,\"a\nb\0\"\n", &["line 2, column description", "without control characters"]),
        (b"csr,email,\ns000.csr,a@poste.example,\n", &["line 1: column 3 has no name"]),
        (b"\xff\xfec\0s\0r\0", &["line 1: this is not UTF-8"]),
        (b"c\0s\0r\0\n\0", &["line 1: this is not UTF-8"]),
        (b"csr,description\ns000.csr,\"a\ns001.csr,b\n", &["line 2: the quote"]),
        (
            b"csr,description\ns000.csr,\"a\ns001.csr,b\nmissing.csr,\"b\"\n",
            &["line 4: text stands behind", "begins on line 2"],
        ),
        (b"csr\n\"s000.csr\" x\n", &["line 2: text stands behind"]),
        (b"csr\ns000.csr\n.\n", &["line 3, column csr: \u{201c}.\u{201d} is a folder"]),
    ] {
        fs::write(&manifest, content).unwrap();
        let run = submit(&machine, &["--manifest", manifest.to_str().unwrap()]).exits(3);
        assert!(run.stderr.contains("servers.csv has mistakes; nothing was sent"), "{}", run.stderr);
        for mistake in mistakes {
            assert!(run.stderr.contains(mistake), "{mistake}: {}", run.stderr);
        }
        assert!(!run.stderr.contains('\u{1b}'));
    }
    let run = submit(&machine, &["--manifest", "nowhere.csv"]).exits(3);
    assert!(run.stderr.contains("nowhere.csv cannot be read"), "{}", run.stderr);
    assert!(machine.records().is_empty() && site.requests().is_empty());
}
