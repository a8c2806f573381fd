//! What batch files and PowerShell get: exit codes, and text in the code page of the console.

use std::fs;

use crate::support::site::Site;
use crate::wine::{FIELDS, Windows};

#[test]
fn a_batch_file_tells_the_outcomes_apart() {
    let site = Site::start();
    let windows = Windows::workstation(&site, "machine");
    windows.submit();
    // `if errorlevel N` means N or more, so the most serious comes first.
    let lines = [
        "ptc-enroll.exe fetch > fetch.txt 2>&1",
        "if errorlevel 8 exit 80",
        "if errorlevel 6 exit 60",
        "if errorlevel 5 exit 50",
        "if errorlevel 4 exit 40",
        "if errorlevel 1 exit 10",
        "exit 0",
    ];
    assert_eq!(windows.batch(850, &lines), 50);
    site.admin(["request", "reject", "1", "--reason=no"]).exits(0);
    assert_eq!(windows.batch(850, &lines), 40);
    let text = fs::read_to_string(windows.disk().join("fetch.txt")).unwrap();
    assert!(text.contains("was rejected: no\r\n"), "{text}");
}

#[test]
fn redirected_text_is_in_the_code_page_of_the_console() {
    let site = Site::start();
    let windows = Windows::workstation(&site, "machine");
    windows.run(["submit"].iter().chain(&FIELDS)).exits(0);
    let line = "ptc-enroll.exe --lang fr status > status.txt";
    for (code_page, state) in [
        (850, &b"\x90tat"[..]),
        (1252, b"\xc9tat"),
        (65001, "État".as_bytes()),
        // Without that letter, the one that looks alike takes its place.
        (1251, b"Etat"),
    ] {
        assert_eq!(windows.batch(code_page, &[line]), 0, "{code_page}");
        let written = fs::read(windows.disk().join("status.txt")).unwrap();
        assert!(written.windows(state.len()).any(|bytes| bytes == state), "{code_page}: {written:02x?}");
        let json = "ptc-enroll.exe --lang fr --output json status > status.json";
        assert_eq!(windows.batch(code_page, &[json]), 0, "{code_page}");
        let written = fs::read(windows.disk().join("status.json")).unwrap();
        assert!(written.is_ascii() && serde_json::from_slice::<serde_json::Value>(&written).is_ok(), "{code_page}");
    }
}
