//! What an organisation gets: one zip with the program, its package, and examples that work as they are.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::support::site::{Run, Site};
use crate::wine::{Windows, windows_path};

/// The folder that `tests/windows/build release` made.
fn release() -> PathBuf {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("target/windows/ptc-enroll");
    assert!(folder.join("completions.ps1").exists(), "run tests/windows/build release first: {}", folder.display());
    folder
}

#[test]
fn the_program_is_small_and_needs_nothing() {
    let program = release().join("ptc-enroll.exe");
    let size = fs::metadata(&program).unwrap().len();
    assert!(size < 4 * 1024 * 1024, "{size} bytes");
    let dump = Run::of(Command::new("x86_64-w64-mingw32-objdump").arg("-p").arg(&program)).exits(0).stdout;
    let imports: Vec<String> =
        dump.lines().filter_map(|line| line.trim().strip_prefix("DLL Name: ")).map(str::to_ascii_lowercase).collect();
    // On every Windows since 2012 R2; msvcrt.dll is the system's own, not one of Visual C++.
    let known = [
        "advapi32.dll",
        "bcrypt.dll",
        "crypt32.dll",
        "gdi32.dll",
        "iphlpapi.dll",
        "kernel32.dll",
        "msvcrt.dll",
        "ncrypt.dll",
        "ntdll.dll",
        "ole32.dll",
        "oleaut32.dll",
        "secur32.dll",
        "shell32.dll",
        "user32.dll",
        "userenv.dll",
        "winhttp.dll",
        "ws2_32.dll",
    ];
    assert!(imports.contains(&"kernel32.dll".to_owned()), "{dump}");
    let foreign: Vec<_> = imports.iter().filter(|name| !known.contains(&name.as_str()) && !of_system(name)).collect();
    assert!(foreign.is_empty(), "{foreign:?}");
}

/// Sets of functions that stand for the system's DLLs.
fn of_system(name: &str) -> bool {
    name.starts_with("api-ms-win-core-")
}

#[test]
fn the_unpacked_zip_enrols_by_its_batch_file() {
    let site = Site::start();
    let zip = site.folder().join("laposte.zip");
    site.admin([
        "package",
        "create",
        "--organisation=J1CFRA",
        "--kind=workstation",
        &format!("--client={}", release().display()),
        &format!("--zip={}", zip.display()),
    ])
    .exits(0);
    let windows = Windows::workstation(&site, "machine");
    let home = windows.disk().join("Program Files/PTC Enroll");
    unpack(&zip, &home);
    fs::write(home.join("answers.toml"), "email = \"admin@poste.example\"\r\nlocality = \"Angoulême\"\r\n").unwrap();
    for file in ["README.txt", "completions.ps1", "enroll-many.ps1", "fetch-task.xml", "config/test/package.toml"] {
        assert!(home.join(file).exists(), "{file} is missing");
    }
    let enroll = || Run::of(windows.program("cmd.exe").args(["/c", r"C:\Program Files\PTC Enroll\enroll.cmd"]));
    let first = enroll().exits(5);
    assert!(first.stdout.contains("Request 1 was submitted."), "{}", first.stdout);
    enroll().exits(5);
    assert_eq!(site.requests().len(), 1, "the batch file submitted twice");
    site.approve(1);
    let last = enroll().exits(0);
    assert!(last.stdout.contains("The certificate works"), "{}", last.stdout);
    enroll().exits(0);
    assert_eq!(site.requests().len(), 1);
    assert_eq!(windows.containers("machine").len(), 1);
    assert!(home.join("enroll.log").exists(), "{}", windows_path(&home));
}

fn unpack(zip: &Path, folder: &Path) {
    let code = "import sys, zipfile; zipfile.ZipFile(sys.argv[1]).extractall(sys.argv[2])";
    Run::of(Command::new("python3").args(["-c", code]).arg(zip).arg(folder)).exits(0);
}

#[test]
fn the_scheduled_task_is_well_formed() {
    let code = "import sys, xml.dom.minidom as d; t = d.parse(sys.argv[1]).documentElement; \
                print(t.tagName, t.getElementsByTagName('Arguments')[0].firstChild.data)";
    let run = Run::of(Command::new("python3").args(["-c", code]).arg(release().join("fetch-task.xml"))).exits(0);
    assert_eq!(run.stdout.trim(), "Task --no-input fetch");
}
