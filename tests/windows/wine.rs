//! A Windows machine: the real `ptc-enroll.exe` and the probe under Wine, in a prefix of their own.
//!
//! Wine takes seconds to make a prefix, so one is made and the others are copies of it, which share everything but the
//! registry, where Wine keeps certificates and keys.

use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::OnceLock;

use serde_json::Value;
use tempfile::TempDir;

use crate::support::site::{Run, Site};

/// The fields that every submission here gives.
pub const FIELDS: [&str; 3] = ["--email=admin@poste.example", "--locality=Paris", "--common-name=PC-7"];

/// Where the Windows programs lie, which `tests/windows/build` made.
fn programs() -> PathBuf {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("target/windows/x86_64-win7-windows-gnu/debug");
    assert!(folder.join("ptc-enroll.exe").exists(), "run tests/windows/build first: {}", folder.display());
    folder
}

/// A Windows machine with a package of its own.
pub struct Windows {
    folder: TempDir,
    /// The client's home.
    pub home: PathBuf,
}

impl Windows {
    /// A workstation of a site, which installs into the machine's or the account's store.
    pub fn workstation(site: &Site, store: &str) -> Self {
        let home = site.folder().join(format!("windows-{store}"));
        Self::with_home(site, store, home)
    }

    /// The same, at home in a folder that may have any name.
    pub fn with_home(site: &Site, store: &str, home: PathBuf) -> Self {
        site.admin([
            "package",
            "create",
            "--organisation=J1CFRA",
            "--kind=workstation",
            "--external-requests",
            &format!("--store={store}"),
            &format!("--out={}", home.display()),
        ])
        .exits(0);
        let folder = tempfile::tempdir().unwrap();
        copy_prefix(template(), &folder.path().join("prefix"));
        if store == "machine" {
            find_machine_keys(&folder.path().join("prefix"));
        }
        let windows = Self { folder, home };
        // Stays between two programs, as Windows does: what it does not write, such as rights on a key, stays with it.
        windows.server("--persistent");
        windows
    }

    fn server(&self, order: &str) {
        let mut command = Command::new("wineserver");
        command.arg(order).env("WINEPREFIX", self.prefix()).stdout(Stdio::null()).stderr(Stdio::null());
        let _ = command.status();
    }

    /// The disk C: of the machine.
    pub fn disk(&self) -> PathBuf {
        self.prefix().join("drive_c")
    }

    fn prefix(&self) -> PathBuf {
        self.folder.path().join("prefix")
    }

    /// A program of Windows with arguments, still to be run.
    pub fn program(&self, program: impl AsRef<OsStr>) -> Command {
        let mut command = Command::new("wine");
        command.arg(program).env("WINEPREFIX", self.prefix()).env("WINEDEBUG", "-all").current_dir(self.disk());
        // Without it Wine takes the names of files for ASCII.
        command.env("LC_ALL", "C.UTF-8");
        for name in ["HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy", "NO_PROXY", "no_proxy"] {
            command.env_remove(name);
        }
        command
    }

    /// The client with a command line, still to be run.
    pub fn command<S: AsRef<OsStr>>(&self, arguments: impl IntoIterator<Item = S>) -> Command {
        let mut command = self.program(programs().join("ptc-enroll.exe"));
        command.args(["--lang=en", "--home", &windows_path(&self.home)]).args(arguments);
        command
    }

    /// Runs the client.
    pub fn run<S: AsRef<OsStr>>(&self, arguments: impl IntoIterator<Item = S>) -> Run {
        Run::of(&mut self.command(arguments))
    }

    /// Runs the client up to one of its kill points.
    #[track_caller]
    pub fn killed_at<S: AsRef<OsStr>>(&self, place: &str, arguments: impl IntoIterator<Item = S>) {
        let run = Run::of(self.command(arguments).env("PTC_ENROLL_KILL_AT", place));
        assert!(run.code != 0 && run.stdout.is_empty(), "{place} was never passed: {run:?}");
    }

    /// Submits with the usual fields, and says under which number.
    #[track_caller]
    pub fn submit(&self) -> u64 {
        let run = self.run(["--output=json", "submit"].iter().chain(&FIELDS)).exits(0);
        run.json()["result"]["request"]["number"].as_u64().unwrap()
    }

    /// What the probe, which shares no code with the client, finds.
    #[track_caller]
    pub fn probe<S: AsRef<OsStr>>(&self, arguments: impl IntoIterator<Item = S>) -> Value {
        let mut command = self.program(probe());
        command.args(arguments).env("WINEDEBUG", "fixme-all");
        let mut run = Run::of(&mut command);
        // Wine failed once on a busy machine, and did not start it.
        for _ in 0..2 {
            if run.code != 0 && !run.stderr.contains("windows-probe: ") {
                run = Run::of(&mut command);
            }
        }
        run.exits(0).json()
    }

    /// The certificates that the product left in a store: those with its friendly names, or of its CA.
    #[track_caller]
    pub fn entries(&self, scope: &str, store: &str) -> Vec<Value> {
        let list = self.probe(["list", scope, store]);
        let all = list["certificates"].as_array().unwrap_or_else(|| panic!("{list}")).clone();
        let text = |entry: &Value, field: &str| entry[field].as_str().unwrap_or_default().to_owned();
        all.into_iter()
            .filter(|entry| text(entry, "friendly_name").starts_with("PTC ") || text(entry, "issuer").contains("PTC"))
            .collect()
    }

    /// The key containers that the product made.
    #[track_caller]
    pub fn containers(&self, scope: &str) -> Vec<String> {
        let list = self.probe(["containers", scope]);
        let all = list["containers"].as_array().unwrap_or_else(|| panic!("{list}"));
        let names = all.iter().map(|name| name.as_str().unwrap().to_owned());
        names.filter(|name| name.starts_with("PTC Enroll ")).collect()
    }

    /// Sets a value of the registry.
    pub fn set(&self, key: &str, value: &str, kind: &str, data: &str) {
        let run = Run::of(self.program("reg.exe").args(["add", key, "/v", value, "/t", kind, "/d", data, "/f"]));
        assert_eq!(run.code, 0, "{run:?}");
    }

    /// Which file of the registry holds a key, once Wine has ended and written all of them.
    pub fn registry_file_with(&self, key: &str) -> &'static str {
        self.server("--kill");
        self.server("--wait");
        let holds = |file: &&str| {
            fs::read(self.prefix().join(file)).unwrap().windows(key.len()).any(|bytes| bytes == key.as_bytes())
        };
        let found: Vec<&str> = ["system.reg", "user.reg"].into_iter().filter(holds).collect();
        let [file] = found[..] else { panic!("{key} is in {found:?}") };
        file
    }

    /// Runs lines of a batch file in a console of this code page, and says how the last one ended.
    pub fn batch(&self, code_page: u32, lines: &[&str]) -> i32 {
        let client = self.disk().join("ptc-enroll.exe");
        if !client.exists() {
            fs::copy(programs().join("ptc-enroll.exe"), client).unwrap();
        }
        let chosen = format!("chcp {code_page} >nul");
        let text: Vec<&str> = ["@echo off", &chosen].into_iter().chain(lines.iter().copied()).collect();
        fs::write(self.disk().join("test.cmd"), text.join("\r\n") + "\r\n").unwrap();
        // A console exists where there is a terminal, which `script` gives.
        let wine = self.program("cmd");
        let mut command = Command::new("script");
        command.args(["--quiet", "--return", "--command", "wine cmd /c test.cmd", "/dev/null"]);
        command.current_dir(self.disk()).env("PTC_ENROLL_HOME", windows_path(&self.home));
        for (name, value) in wine.get_envs() {
            match value {
                Some(value) => command.env(name, value),
                None => command.env_remove(name),
            };
        }
        Run::of(&mut command).code
    }
}

impl Drop for Windows {
    fn drop(&mut self) {
        self.server("--kill");
        // The folder cannot be removed under the feet of a server that still writes.
        self.server("--wait");
    }
}

/// The program that looks at what the client left.
pub fn probe() -> PathBuf {
    programs().join("examples/windows-probe.exe")
}

/// A path of this machine as Windows programs see it.
pub fn windows_path(path: &Path) -> String {
    format!("Z:{}", path.display().to_string().replace('/', "\\"))
}

/// The prefix that all others are copies of.
fn template() -> &'static Path {
    static TEMPLATE: OnceLock<TempDir> = OnceLock::new();
    let folder = TEMPLATE.get_or_init(|| {
        // Beside the programs, so that the next run clears what this one leaves.
        let place = programs().join("prefixes");
        let _ = fs::remove_dir_all(&place);
        fs::create_dir_all(&place).unwrap();
        let folder = tempfile::tempdir_in(place).unwrap();
        for arguments in [["wineboot", "--init"], ["wineserver", "--wait"]] {
            let mut command = Command::new(arguments[0]);
            command.arg(arguments[1]).env("WINEPREFIX", folder.path().join("prefix")).env("WINEDEBUG", "-all");
            let run = Run::of(&mut command);
            assert_eq!(run.code, 0, "{arguments:?}: {run:?}");
        }
        folder
    });
    Box::leak(folder.path().join("prefix").into_boxed_path())
}

/// Copies a prefix: the registry for real, since Wine writes into files with several names; the rest by links.
fn copy_prefix(from: &Path, to: &Path) {
    let copied = Command::new("cp").args(["--archive", "--link"]).arg(from).arg(to).status().unwrap().success()
        || Command::new("cp").arg("--archive").arg(from).arg(to).status().unwrap().success();
    assert!(copied, "{} cannot be copied", from.display());
    for file in ["system.reg", "user.reg", "userdef.reg"] {
        fs::remove_file(to.join(file)).unwrap();
        fs::copy(from.join(file), to.join(file)).unwrap();
    }
}

/// Lets Wine 8 find the machine's keys from their certificates: it looks among the account's keys whatever the
/// certificate says, so that these are made the same by a link in the registry.
fn find_machine_keys(prefix: &Path) {
    const TARGET: &str = r"\Registry\Machine\Software\Wine\Crypto\RSA";
    let bytes: Vec<String> =
        TARGET.encode_utf16().flat_map(u16::to_le_bytes).map(|byte| format!("{byte:02x}")).collect();
    let link =
        format!("\n[Software\\\\Wine\\\\Crypto\\\\RSA] 1\n#link\n\"SymbolicLinkValue\"=hex(6):{}\n", bytes.join(","));
    let target = "\n[Software\\\\Wine\\\\Crypto\\\\RSA] 1\n";
    for (file, text) in [("user.reg", link.as_str()), ("system.reg", target)] {
        let mut registry = fs::OpenOptions::new().append(true).open(prefix.join(file)).unwrap();
        std::io::Write::write_all(&mut registry, text.as_bytes()).unwrap();
    }
}
