//! A PKCS #11 token in a folder: SoftHSM (Debian's softhsm2), which keeps everything in files.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::site::{Run, free_port};

/// The library that leads to the token.
pub const MODULE: &str = "/usr/lib/softhsm/libsofthsm2.so";
/// What the token is called.
pub const TOKEN: &str = "ptc";
/// What the key is called that `init` makes in the environment `test`.
pub const KEY: &str = "PTC test Issuing CA";
/// `tests/run` looks for it in everything that was printed.
const PIN: &str = "never printed: the PIN";

/// A token, with the settings that lead to it and the listeners that show what it signed.
pub struct SoftToken {
    folder: PathBuf,
    /// Where the service answers plain HTTP.
    pub plain: u16,
    /// Where it tells its health.
    pub operations: u16,
}

impl SoftToken {
    /// A fresh one.
    pub fn new(folder: &Path) -> Self {
        let token = Self { folder: folder.join("softhsm"), plain: free_port(), operations: free_port() };
        fs::create_dir_all(token.tokens()).unwrap();
        let settings = format!("directories.tokendir = {}\nobjectstore.backend = file\n", token.tokens().display());
        fs::write(token.folder.join("softhsm2.conf"), settings).unwrap();
        token.set_pin(PIN);
        token.add(PIN);
        token
    }

    /// Makes another token of the same name.
    pub fn add(&self, pin: &str) {
        self.run(&["--init-token", "--free", "--label", TOKEN, "--so-pin", "12345678", "--pin", pin]);
    }

    /// Puts a key of a file under a label.
    pub fn import(&self, key: &Path, label: &str, id: &str) {
        let key = key.to_str().unwrap();
        self.run(&["--import", key, "--token", TOKEN, "--label", label, "--id", id, "--pin", PIN]);
    }

    /// Makes a library that leads to the token as SoftHSM's own does, but for the faults of [`SoftToken::fail`].
    pub fn faulty_module(&self) -> PathBuf {
        let module = self.folder.join("faulty.so");
        let source = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/support/faulty_token.c");
        Run::of(Command::new("cc").args(["-shared", "-fPIC", source, "-ldl", "-o"]).arg(&module)).exits(0);
        module
    }

    /// From now on these calls answer like this: `C_Sign b3`, a line each.
    pub fn fail(&self, faults: &str) {
        // Whoever reads sees all of it or nothing.
        let (new, file) = (self.folder.join("faults"), self.folder.join("softhsm2.conf.faults"));
        fs::write(&new, faults).unwrap();
        fs::rename(new, file).unwrap();
    }

    fn run(&self, arguments: &[&str]) {
        let (name, value) = self.variable();
        Run::of(Command::new("softhsm2-util").env(name, value).args(arguments)).exits(0);
    }

    /// Writes what `pin_file` leads to.
    pub fn set_pin(&self, pin: &str) {
        fs::write(self.pin_file(), format!("{pin}\n")).unwrap();
        fs::set_permissions(self.pin_file(), Permissions::from_mode(0o600)).unwrap();
    }

    /// The file with the PIN.
    pub fn pin_file(&self) -> PathBuf {
        self.folder.join("pin")
    }

    /// The folder with everything about it.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// The folder with all tokens.
    pub fn tokens(&self) -> PathBuf {
        self.folder.join("tokens")
    }

    /// What the token holds, as SoftHSM's own program shows each object.
    pub fn objects(&self) -> Vec<(PathBuf, String)> {
        let folders = fs::read_dir(self.tokens()).unwrap().map(|entry| entry.unwrap().path());
        let files = folders.flat_map(|folder| fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()));
        let objects = files.filter(|path| {
            path.extension().is_some_and(|extension| extension == "object")
                && path.file_name().is_some_and(|name| name != "token.object")
        });
        objects
            .map(|path| {
                // It ends with 1 also where all is well.
                let listing = Run::of(Command::new("softhsm2-dump-file").arg(&path)).stdout;
                (path, listing)
            })
            .collect()
    }

    /// What tells a program of this token: a variable and its value.
    pub fn variable(&self) -> (&'static str, PathBuf) {
        ("SOFTHSM2_CONF", self.folder.join("softhsm2.conf"))
    }

    /// What `init` is told of the token and the plain listener.
    pub fn init_flags(&self) -> Vec<String> {
        vec![
            format!("--pkcs11-module={MODULE}"),
            format!("--pkcs11-token={TOKEN}"),
            format!("--pkcs11-pin-file={}", self.pin_file().display()),
            format!("--http-url=http://127.0.0.1:{}", self.plain),
            format!("--http-listen=127.0.0.1:{}", self.plain),
        ]
    }

    /// The device is pulled out.
    pub fn pull_out(&self) {
        fs::rename(self.tokens(), self.folder.join("away")).unwrap();
        fs::create_dir(self.tokens()).unwrap();
    }

    /// The device is back, in the place of whatever is there now.
    pub fn put_back(&self) {
        fs::remove_dir_all(self.tokens()).unwrap();
        fs::rename(self.folder.join("away"), self.tokens()).unwrap();
    }
}
