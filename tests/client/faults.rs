//! What networks do to a client, each with its exit code, and nothing lost.

use std::fs;
use std::process::Command;

use crate::support::proxy::Fault;
use crate::support::site::{FIELDS, Machine, Run, Site};

#[test]
fn passing_faults_are_outlived() {
    let site = Site::builder().behind_proxy().start();
    let proxy = site.proxy.as_ref().unwrap();
    let machine = site.workstation("pc");
    proxy.next([Fault::LoseAnswer, Fault::busy(1), Fault::LoseRequest, Fault::Truncate]);
    machine.submit();
    assert_eq!(site.requests().len(), 1, "a repeated submission was doubled");
    site.approve(1);
    // A third of the replies is lost.
    proxy.next((0..30).map(|index| if index % 3 == 0 { Fault::LoseAnswer } else { Fault::Pass }));
    machine.run(["fetch"]).exits(0);
    assert_eq!(site.requests()[0]["state"], "installed");
}

#[test]
fn lasting_faults_are_named_and_lose_nothing() {
    let site = Site::builder().behind_proxy().start();
    let proxy = site.proxy.as_ref().unwrap();
    let machine = site.workstation("pc");
    let json_of_somebody = Fault::answer("200 OK", "application/json", "", r#"{"hello":"world"}"#);
    let redirect = Fault::answer("302 Found", "text/html", "Location: http://portal.example/\r\n", "");
    let endless = Fault::answer("200 OK", "application/json", "", &" ".repeat(2_000_000));
    for (fault, words) in [
        (Fault::portal(), "text/html"),
        (redirect, "http://portal.example/"),
        (json_of_somebody, "Somebody else answers"),
        (endless, "bytes"),
        (Fault::LoseRequest, "cannot be reached"),
        (Fault::busy(0), "busy"),
    ] {
        proxy.next(std::iter::repeat_n(fault, 5));
        let run = machine.run(["submit"].iter().chain(&FIELDS)).exits(6);
        assert!(run.stderr.contains(words), "{words}: {}", run.stderr);
    }
    // The first key was kept all along, and is the one that is finally sent.
    assert_eq!((machine.keys().len(), machine.records().len()), (1, 1));
    machine.submit();
    assert_eq!((site.requests().len(), machine.keys().len()), (1, 1));
}

#[test]
fn a_key_is_kept_where_what_arrives_of_a_repetition_cannot_be_read() {
    let site = Site::builder().behind_proxy().start();
    let machine = site.workstation("pc");
    for (code, status, exit) in [("malformed", 400, 3), ("body-too-large", 413, 3), ("request-timeout", 408, 6)] {
        let problem = format!(r#"{{"type":"urn:ptc-enroll:problem:{code}","title":"t","status":{status}}}"#);
        let unread = Fault::answer(&format!("{status} X"), "application/problem+json", "", &problem);
        // The service has the request, and nobody knows.
        let faults = std::iter::once(Fault::LoseAnswer).chain(std::iter::repeat_n(unread, 5));
        site.proxy.as_ref().unwrap().next(faults);
        machine.run(["submit"].iter().chain(&FIELDS)).exits(exit);
        assert_eq!((machine.keys().len(), machine.records().len()), (1, 1), "{code}");
        site.proxy.as_ref().unwrap().next([]);
    }
    machine.submit();
    assert_eq!((site.requests().len(), machine.keys().len()), (1, 1));
}

#[test]
fn no_secret_travels_in_a_url() {
    let site = Site::builder().behind_proxy().start();
    let machine = site.workstation("pc");
    machine.submit();
    machine.run(["fetch"]).exits(5);
    let seen = site.proxy.as_ref().unwrap().seen();
    assert_eq!(seen, ["POST /api/v1/requests HTTP/1.1", "GET /api/v1/requests/1 HTTP/1.1"]);
}

#[test]
fn a_service_that_is_not_there_ends_with_6() {
    let site = Site::start();
    let machine = site.workstation("pc");
    machine.submit();
    let site = site.stopped();
    let run = machine.run(["fetch"]).exits(6);
    assert!(run.stderr.is_empty() && run.stdout.contains("cannot be reached"), "{}{}", run.stdout, run.stderr);
    let run = machine.run(["submit"].iter().chain(&FIELDS)).exits(6);
    assert!(run.stderr.contains("nothing is lost"), "{}", run.stderr);
    machine.run(["status"]).exits(0);
    drop(site);
}

#[test]
fn another_service_at_the_same_place_is_not_trusted() {
    let site = Site::builder().behind_proxy().start();
    let other = Site::builder().behind_proxy().start();
    let machine = site.workstation("pc");
    // The machine's package points to the first site's port; the name there leads to the second one now.
    let from = format!("127.0.0.1:{}", site.proxy.as_ref().unwrap().port);
    let to = format!("127.0.0.1:{}", other.proxy.as_ref().unwrap().port);
    let relay = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let proxy = format!("http://{}", relay.local_addr().unwrap());
    std::thread::spawn(move || relay_connects(&relay, &from, &to));
    let run = Run::of(machine.command(["submit"].iter().chain(&FIELDS)).env("HTTPS_PROXY", proxy)).exits(7);
    assert!(run.stderr.contains("is not trusted"), "{}", run.stderr);
}

/// An HTTP proxy that takes `CONNECT from` and leads it to `to`.
fn relay_connects(listener: &std::net::TcpListener, from: &str, to: &str) {
    use std::io::{BufRead, BufReader, Write, copy};
    use std::net::TcpStream;
    for inside in listener.incoming().flatten() {
        let mut reader = BufReader::new(inside.try_clone().unwrap());
        let mut line = String::new();
        reader.read_line(&mut line).unwrap();
        assert!(line.starts_with(&format!("CONNECT {from}")), "{line}");
        while line != "\r\n" {
            line.clear();
            reader.read_line(&mut line).unwrap();
        }
        let outside = TcpStream::connect(to).unwrap();
        let (mut to_inside, mut to_outside) = (inside.try_clone().unwrap(), outside.try_clone().unwrap());
        to_inside.write_all(b"HTTP/1.1 200 OK\r\n\r\n").unwrap();
        std::thread::spawn(move || copy(&mut &outside, &mut to_inside));
        std::thread::spawn(move || copy(&mut reader, &mut to_outside));
    }
}

/// Runs the client with a clock that is off.
fn faketime(machine: &Machine, offset: &str, arguments: &[&str]) -> Run {
    let client = machine.command(arguments);
    let mut command = Command::new("faketime");
    command.args(["-f", offset]).arg(client.get_program()).args(client.get_args());
    Run::of(&mut command)
}

#[test]
fn a_clock_that_was_set_back_makes_no_newer_certificate_the_older_one() {
    let site = Site::start();
    let machine = site.workstation("pc");
    faketime(&machine, "+1h", &[&["submit"], &FIELDS[..]].concat()).exits(0);
    site.approve(1);
    faketime(&machine, "+1h", &["fetch"]).exits(0);
    machine.submit();
    site.approve(2);
    machine.run(["fetch"]).exits(0);
    let current = fs::read_link(machine.store().join("current")).unwrap();
    let newest = machine.records().into_iter().find(|record| record["status"]["number"] == 2).unwrap();
    assert_eq!(current.to_str(), newest["id"].as_str());
}

#[test]
fn a_clock_that_is_off_is_told_with_the_amount() {
    let site = Site::start();
    let machine = site.workstation("pc");
    machine.submit();
    site.approve(1);
    machine.run(["fetch"]).exits(0);
    let run = faketime(&machine, "+1h", &["test"]).exits(0);
    assert!(run.stdout.contains("ahead of the service") && run.stdout.contains("Set the clock"), "{}", run.stdout);
    assert!(run.stdout.contains("1 h") || run.stdout.contains("59 min"), "{}", run.stdout);
    // Before the certificate of the service begins there is no connection, so the limit tells the amount.
    let run = faketime(&machine, "-1h", &["test"]).exits(7);
    assert!(run.stderr.contains("is not valid at the time of this machine’s clock"), "{}", run.stderr);
    assert!(run.stderr.contains("min"), "{}", run.stderr);
}

#[test]
fn secrets_are_in_no_output_and_no_log() {
    let site = Site::builder().behind_proxy().start();
    let machine = site.workstation("pc");
    let submit = ["-vv", "submit"].iter().chain(&FIELDS);
    let runs = [
        Run::of(machine.command(submit).env("RUST_LOG", "trace")),
        Run::of(machine.command(["-vv", "fetch"]).env("RUST_LOG", "trace")),
    ];
    let secret = fs::read_to_string(machine.home.join("config/test/enrollment-secret")).unwrap();
    let token = machine.records()[0]["token"].as_str().unwrap().to_owned();
    let key = fs::read_to_string(&machine.keys()[0]).unwrap();
    let key = key.lines().nth(1).unwrap();
    let mut said: String = runs.iter().map(|run| format!("{}{}", run.stdout, run.stderr)).collect();
    said.push_str(&fs::read_to_string(machine.home.join("enroll.log")).unwrap());
    said.push_str(&site.log());
    for hidden in [secret.trim(), &token, key] {
        assert!(hidden.len() > 40 && !said.contains(hidden), "a secret was written out");
    }
    assert!(said.contains("event=submitted"), "{said}");
}

#[test]
fn a_service_that_does_not_answer_is_asked_once_for_all_requests() {
    let site = Site::builder().behind_proxy().start();
    let machine = site.workstation("pc");
    for index in 0..5 {
        let name = format!("--common-name=PC-{index}");
        machine.run(["submit", FIELDS[0], FIELDS[1], FIELDS[2], &name]).exits(0);
    }
    let proxy = site.proxy.as_ref().unwrap();
    let before = proxy.seen().len();
    proxy.next(std::iter::repeat_n(Fault::portal(), 100));
    let run = machine.run(["fetch"]).exits(6);
    assert!(run.stdout.contains("PC-0") && run.stdout.contains("PC-4"), "{}", run.stdout);
    assert!(proxy.seen().len() - before <= 5, "{:?}", proxy.seen());
}

#[test]
fn problems_reach_terminal_and_log_with_their_number_and_without_escapes() {
    let site = Site::builder().behind_proxy().start();
    let machine = site.workstation("pc");
    let body = "{\"type\":\"urn:ptc-enroll:problem:forbidden\",\"title\":\"no\",\"status\":403,\
                \"detail\":\"\\u001b]0;pwn\\u0007\\u202e\",\"request_id\":\"id-7\"}";
    let forbidden = Fault::answer("403 Forbidden", "application/problem+json", "", body);
    site.proxy.as_ref().unwrap().next([forbidden]);
    let run = machine.run(["submit"].iter().chain(&FIELDS)).exits(4);
    assert!(run.stderr.contains("id-7") && !run.stderr.contains(['\u{1b}', '\u{202e}']), "{:?}", run.stderr);
    let log = fs::read_to_string(machine.home.join("enroll.log")).unwrap();
    assert!(log.contains("forbidden") && log.contains("id-7") && !log.contains('\u{1b}'), "{log}");
}
