//! A disk of a few pages, which can be filled to the last one: a tmpfs(5).

use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::site::Run;

/// What tmpfs gives out at a time, in bytes.
const PAGE: usize = 4096;

/// A mounted disk, which goes with this value.
pub struct SmallDisk {
    folder: PathBuf,
}

/// Only root may mount. For others, the test runs once more as root of a name space of its own (`unshare`), and this says
/// that it has; where that is not allowed either, the test fails.
#[must_use]
pub fn ran_elsewhere(test: &str) -> bool {
    if rustix::process::getuid().is_root() {
        return false;
    }
    let mut again = Command::new("unshare");
    again.arg("-rm").arg(std::env::current_exe().unwrap()).args(["--exact", test, "--nocapture"]);
    Run::of(&mut again).exits(0);
    true
}

impl SmallDisk {
    /// Mounts one in a new folder.
    pub fn mount(folder: &Path, kibibytes: usize) -> Self {
        fs::create_dir(folder).unwrap();
        let mut mount = Command::new("mount");
        mount.args(["-t", "tmpfs", "-o", &format!("size={kibibytes}k,mode=755"), "none"]).arg(folder);
        Run::of(&mut mount).exits(0);
        Self { folder: folder.to_owned() }
    }

    /// Copies a folder onto it.
    pub fn copy(&self, from: &Path, name: &str) -> PathBuf {
        let to = self.folder.join(name);
        Run::of(Command::new("cp").arg("-a").arg(from).arg(&to)).exits(0);
        to
    }

    /// Fills it but for some pages.
    pub fn fill(&self, free: usize) {
        let mut filler = File::create(self.filler()).unwrap();
        while filler.write_all(&[0; PAGE]).is_ok() {}
        let length = filler.metadata().unwrap().len();
        filler.set_len(length.saturating_sub((free * PAGE) as u64)).unwrap();
    }

    /// Makes room again.
    pub fn make_room(&self) {
        fs::remove_file(self.filler()).unwrap();
    }

    fn filler(&self) -> PathBuf {
        self.folder.join("filler")
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        // Also where a program still has a file open: it goes with the last one.
        let _ = Command::new("umount").arg("--lazy").arg(&self.folder).status();
    }
}
