//! The real service as a process of its own, on ports that the system chose.

use std::fs;
use std::io::{BufRead, BufReader, Lines};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, Stdio};

use super::output;

/// The service's program.
pub const PROGRAM: &str = env!("CARGO_BIN_EXE_ptc-enrollment");

/// A running process of the service.
pub struct Serving {
    pub public: u16,
    pub secure: u16,
    /// What follows on stdout.
    pub lines: Lines<BufReader<ChildStdout>>,
    child: Child,
    log: PathBuf,
}

impl Serving {
    /// Starts one on an installation and waits until it listens; it logs into a file.
    pub fn start(home: &Path, flags: &[&str], log: &Path) -> Self {
        let mut child = Command::new(PROGRAM)
            .args(["--lang=en", "--home"])
            .arg(home)
            .arg("serve")
            .args(flags)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(fs::File::create(log).unwrap())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let mut ready = |which: &str| {
            let line = lines.next().unwrap_or_else(|| panic!("{}", fs::read_to_string(log).unwrap())).unwrap();
            let start = format!("{which} listener ready on https://127.0.0.1:");
            line.strip_prefix(&start).unwrap_or_else(|| panic!("{line}")).parse().unwrap()
        };
        let (public, secure) = (ready("public"), ready("secure"));
        Self { public, secure, lines, child, log: log.to_owned() }
    }

    /// Asks it to stop, and says how it ended.
    pub fn stop(mut self) -> i32 {
        let id = rustix::process::Pid::from_child(&self.child);
        rustix::process::kill_process(id, rustix::process::Signal::TERM).unwrap();
        self.child.wait().unwrap().code().unwrap()
    }

    /// Ends it as `kill -9` does.
    pub fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }
}

impl Drop for Serving {
    fn drop(&mut self) {
        // A test that failed leaves nothing running.
        let _ = self.child.kill();
        let _ = self.child.wait();
        output::keep_log(&self.log);
    }
}
