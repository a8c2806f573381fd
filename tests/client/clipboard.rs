//! `subject --copy` on a real X11 clipboard.

use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};

use crate::support::site::{FIELDS, Run, Site};

/// A desktop session without a screen, gone with its test.
struct Desktop {
    server: Child,
    display: String,
}

impl Desktop {
    fn start() -> Self {
        let mut server = Command::new("Xvfb")
            .args(["-displayfd", "1", "-nolisten", "tcp"])
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut number = String::new();
        BufReader::new(server.stdout.take().unwrap()).read_line(&mut number).unwrap();
        Self { server, display: format!(":{}", number.trim()) }
    }

    fn clipboard(&self) -> String {
        Run::of(Command::new("xclip").args(["-selection", "clipboard", "-o"]).env("DISPLAY", &self.display)).stdout
    }
}

impl Drop for Desktop {
    fn drop(&mut self) {
        // By its own process id; the client's holder of the clipboard ends with it.
        let _ = self.server.kill();
        let _ = self.server.wait();
    }
}

#[test]
fn the_subject_is_on_the_clipboard_after_the_client_has_ended() {
    let site = Site::builder().serve(&["--auto-approve"]).start();
    let machine = site.workstation("pc");
    machine.run(["submit", FIELDS[0], "--locality=Besançon", FIELDS[2], FIELDS[3]]).exits(0);
    machine.run(["fetch"]).exits(0);

    let desktop = Desktop::start();
    let run = Run::of(machine.command(["subject", "--copy"]).env("DISPLAY", &desktop.display)).exits(0);
    assert!(run.stdout.contains("on the clipboard"), "{}", run.stdout);
    assert_eq!(desktop.clipboard(), "CN=PC-7, OU=Workstation, O=J1CFRA - FRANCE LA POSTE, L=Besançon, C=FR");

    let without = Run::of(machine.command(["subject", "--copy"]).env_remove("DISPLAY").env_remove("WAYLAND_DISPLAY"));
    let without = without.exits(1);
    assert!(without.stderr.contains("desktop session"), "{}", without.stderr);
}
