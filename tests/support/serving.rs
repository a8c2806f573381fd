//! The real service as a process of its own, on ports that the system chose.

use std::fs;
use std::io::{BufRead, BufReader, Lines};
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use super::output;

/// The service's program.
pub const PROGRAM: &str = env!("CARGO_BIN_EXE_ptc-enrollment");

/// The command that starts the service on an installation.
pub fn serve(home: &Path, flags: &[&str]) -> Command {
    let mut command = Command::new(PROGRAM);
    command.args(["--lang=en", "--home"]).arg(home).arg("serve").args(flags);
    command
}

/// Waits until a process has killed itself at a place.
#[track_caller]
pub fn is_killed(child: &mut Child, place: &str) {
    let deadline = Instant::now() + Duration::from_secs(30);
    let status = loop {
        match child.try_wait().unwrap() {
            Some(status) => break status,
            None if Instant::now() > deadline => {
                child.kill().unwrap();
                panic!("{place} was never passed");
            }
            None => thread::sleep(Duration::from_millis(2)),
        }
    };
    assert_eq!(status.signal(), Some(9), "{place} was never passed: {status}");
}

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
        Self::of(serve(home, flags), log)
    }

    /// The same of a command that was changed before it starts.
    pub fn of(mut command: Command, log: &Path) -> Self {
        let mut child =
            command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(fs::File::create(log).unwrap()).spawn().unwrap();
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

    /// Waits until it has killed itself.
    #[track_caller]
    pub fn is_killed(&mut self, place: &str) {
        is_killed(&mut self.child, place);
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
