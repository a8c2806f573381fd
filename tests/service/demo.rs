//! The demo, as a newcomer runs it.

use std::process::Command;

use crate::support::site::Run;

/// The demo with the client beside it; under cargo it would build that first.
fn demo() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_ptc-enrollment"));
    command.env_remove("CARGO");
    command
}

#[test]
fn this_machine_is_enrolled_and_nothing_is_left() {
    let temporary = tempfile::tempdir().unwrap();
    let run = Run::of(demo().args(["--lang=en", "demo", "--run"]).env("TMPDIR", temporary.path())).exits(0);
    for step in [
        "$ ptc-enroll submit",
        "waits for the approval of the registration manager",
        "[registration-manager] approves request 1 over mutual TLS",
        "the certificate is installed in",
        "The certificate works: both sides authenticated each other.",
        "O=J1CFRA - FRANCE LA POSTE, L=Paris, C=FR",
        "[ptc-manager] approves request 2 over mutual TLS",
        "request-2-api.poste.example.pem",
        "Done:",
    ] {
        assert!(run.stdout.contains(step), "{step} is missing in\n{}", run.stdout);
    }
    assert_eq!(std::fs::read_dir(temporary.path()).unwrap().count(), 0, "the demo left something behind");
}

#[test]
fn a_folder_that_was_chosen_is_kept_and_never_taken_twice() {
    let temporary = tempfile::tempdir().unwrap();
    let folder = temporary.path().join("démo d’essai");
    let arguments = ["--lang=fr", "demo", "--run", "--folder"];
    let run = Run::of(demo().args(arguments).arg(&folder)).exits(0);
    assert!(run.stdout.contains("Terminé :") && run.stdout.contains("Le certificat fonctionne"), "{}", run.stdout);
    assert!(folder.join("workstation/store/machine/demo/current/certificate.pem").exists());
    let again = Run::of(demo().args(arguments).arg(&folder)).exits(1);
    assert!(again.stderr.contains("démo d’essai"), "{}", again.stderr);
}
