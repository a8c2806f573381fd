//! What needs no service: usage, help, completions, a missing package; exit codes 0, 2 and 3.

use assert_cmd::Command;
use predicates::prelude::*;
use predicates::str::contains;

fn client(home: &std::path::Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_ptc-enroll"));
    command.env_clear().env("PTC_ENROLL_HOME", home).env("LANG", "C.UTF-8");
    command
}

#[test]
fn mistakes_end_with_2_and_say_what_is_possible() {
    let home = tempfile::tempdir().unwrap();
    for (arguments, words) in [
        (&["frobnicate"][..], "unrecognized subcommand"),
        (&["submit", "--key", "rsa-1024"], "none of: rsa-2048"),
        (&["fetch", "--wait", "3y"], "use s, m, h or d"),
        (&["submit-external"], "required"),
        (&["subject", "--format", "x"], "rfc4514"),
        (&["--lang", "de", "status"], "--lang"),
        (&[], "Usage"),
        (&["--lang", "fr", "submit", "--key", "x"], "Suite :"),
        (&["--lang=fr", "frobnicate"], "commande inconnue"),
    ] {
        client(home.path()).args(arguments).assert().code(2).stdout("").stderr(contains(words));
    }
}

#[test]
fn help_has_examples_in_both_languages() {
    let home = tempfile::tempdir().unwrap();
    for (arguments, words) in [
        (&["--help"][..], "Exit codes:"),
        (&["--lang", "fr", "--help"], "Codes de sortie :"),
        (&["submit", "--help"], "ptc-enroll submit --answers site.toml"),
        (&["submit", "--help", "--lang", "fr"], "Localité de la machine"),
    ] {
        client(home.path()).args(arguments).assert().code(0).stdout(contains(words)).stderr("");
    }
    client(home.path()).arg("--version").assert().code(0).stdout(contains(env!("CARGO_PKG_VERSION")));
}

#[test]
fn completions_for_every_shell() {
    let home = tempfile::tempdir().unwrap();
    for shell in ["bash", "elvish", "fish", "powershell", "zsh"] {
        client(home.path()).args(["completions", shell]).assert().code(0).stdout(contains("submit-external"));
    }
}

#[test]
fn without_a_package_every_command_says_what_to_do() {
    let home = tempfile::tempdir().unwrap();
    for command in [&["submit"][..], &["fetch"], &["test"], &["subject"], &["status"], &["submit-external", "x.csr"]] {
        client(home.path())
            .args(command)
            .assert()
            .code(3)
            .stdout("")
            .stderr(contains("No install package").and(contains("--home")));
    }
    let run = client(home.path()).args(["--lang=fr", "--output=json", "fetch"]).assert().code(3);
    let json: serde_json::Value = serde_json::from_slice(&run.get_output().stdout).unwrap();
    assert!(run.get_output().stdout.is_ascii());
    assert_eq!((json["exit_code"].as_u64(), json["error"]["code"].as_str()), (Some(3), Some("no-package")));
    assert!(json["error"]["hint"].as_str().unwrap().contains("Décompressez"));
    assert_eq!(std::fs::read_dir(home.path()).unwrap().count(), 0, "a failed command left something behind");
}
