//! Install packages that were changed, are foreign, or are not alone.

use std::fs;
use std::path::Path;

use crate::support::site::{FIELDS, Run, Site};

#[test]
fn a_changed_package_is_refused() {
    let site = Site::start();
    let machine = site.workstation("pc");
    let folder = machine.home.join("config/test");
    for (file, words) in [
        ("package.toml", "package.toml is not the file that was signed"),
        ("enrollment-secret", "enrollment-secret is not the file that was signed"),
        // The manifest and its signer's certificate have to fit the anchor.
        ("trust-anchor.pem", "manifest.jws"),
        ("manifest.jws", "manifest.jws"),
    ] {
        let path = folder.join(file);
        let original = fs::read_to_string(&path).unwrap();
        let at = original.find("127.0.0.1").unwrap_or(original.len() / 2);
        let mut changed = original.clone();
        let other = if &original[at..=at] == "A" { "B" } else { "A" };
        changed.replace_range(at..=at, other);
        fs::write(&path, changed).unwrap();
        let run = machine.run(["submit"].iter().chain(&FIELDS)).exits(3);
        assert!(run.stderr.contains(words), "{file}: {}", run.stderr);
        fs::remove_file(&path).unwrap();
        if file != "package.toml" {
            let run = machine.run(["submit"].iter().chain(&FIELDS)).exits(3);
            assert!(run.stderr.contains(file) && run.stderr.contains("cannot be read"), "{}", run.stderr);
        }
        fs::write(&path, original).unwrap();
    }
    assert!(site.requests().is_empty() && machine.keys().is_empty());
    machine.submit();
}

#[test]
fn a_foreign_package_is_refused_once_a_service_is_known() {
    let (site, other) = (Site::start(), Site::start());
    let machine = site.workstation("pc");
    machine.submit();
    let foreign = other.workstation("pc");
    let place = machine.home.join("config/test");
    for entry in fs::read_dir(foreign.home.join("config/test")).unwrap() {
        let file = entry.unwrap();
        fs::copy(file.path(), place.join(file.file_name())).unwrap();
    }
    let run = machine.run(["fetch"]).exits(3);
    assert!(
        run.stderr.contains("from another service") && run.stderr.contains("trust-anchor.sha256"),
        "{}",
        run.stderr
    );
}

#[test]
fn several_environments_ask_for_a_choice() {
    let site = Site::start();
    let machine = site.workstation("pc");
    let second = machine.home.join("config/prod");
    fs::create_dir(&second).unwrap();
    fs::copy(machine.home.join("config/test/package.toml"), second.join("package.toml")).unwrap();
    let run = machine.run(["status"]).exits(3);
    assert!(run.stderr.contains("prod, test") && run.stderr.contains("--environment"), "{}", run.stderr);
    machine.run(["--environment=test", "status"]).exits(0);
    let run = machine.run(["--environment=other", "status"]).exits(3);
    assert!(run.stderr.contains("other"), "{}", run.stderr);
    // A package in the folder of another environment is not taken for it.
    machine.run(["--environment=prod", "status"]).exits(3);
    machine.run(["--environment=../test", "status"]).exits(3);
}

#[test]
fn a_package_is_found_beside_the_program() {
    let site = Site::start();
    let mut machine = site.workstation("pc");
    let program = machine.home.join("ptc-enroll");
    fs::copy(&machine.program, &program).unwrap();
    machine.program = program;
    let output =
        std::process::Command::new(&machine.program).args(["--lang=en", "status"]).env_clear().output().unwrap();
    assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stderr));
    assert!(String::from_utf8_lossy(&output.stdout).contains("Environment: test"));
}

#[test]
fn the_roots_of_the_system_count_where_the_package_says_so() {
    let site = Site::builder().with_system_roots().start();
    let machine = site.workstation("pc");
    let submit = |roots: &Path| {
        let mut command = machine.command(["submit"].iter().chain(&FIELDS));
        // Where the system's roots are on Linux, for OpenSSL and us alike.
        Run::of(command.env("SSL_CERT_FILE", roots))
    };
    let foreign = Site::start();
    let run = submit(&foreign.anchor()).exits(7);
    assert!(run.stderr.contains("is not trusted"), "{}", run.stderr);
    submit(&site.public_root()).exits(0);
}
