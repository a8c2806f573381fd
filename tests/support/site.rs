//! A whole site in a temporary folder: the real service on ports of its own, and machines that enrol with it.

use std::ffi::OsStr;
use std::fs;
use std::io::{BufRead, BufReader, Read, Seek};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU16, Ordering};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{Pid, PidfdFlags, pidfd_open};
use serde_json::Value;
use tempfile::TempDir;

use super::database::TestDatabase;
use super::output;
use super::proxy::{Proxy, Reserved};
use super::token::SoftToken;

const CLIENT: &str = env!("CARGO_BIN_EXE_ptc-enroll");
const SERVICE: &str = env!("CARGO_BIN_EXE_ptc-enrollment");

/// What a program said and how it ended.
#[derive(Debug)]
pub struct Run {
    pub code: i32,
    pub stdout: String,
    pub stderr: String,
}

impl Run {
    /// Runs a command to its end; a signal counts as code -1. It writes to files: a pipe would end with the last program
    /// that holds it, and some start others that stay, as Wine its services.
    ///
    /// # Panics
    /// Where it does not end.
    pub fn of(command: &mut Command) -> Self {
        let mut files = [(); 2].map(|()| tempfile::tempfile().unwrap());
        let [stdout, stderr] = files.each_ref().map(|file| file.try_clone().unwrap());
        let mut child = command.stdin(Stdio::null()).stdout(stdout).stderr(stderr).spawn().unwrap();
        let ended = ends_in_time(&child);
        if !ended {
            child.kill().unwrap();
        }
        let status = child.wait().unwrap();
        let [stdout, stderr] = files.each_mut().map(|file| {
            let mut written = Vec::new();
            file.rewind().unwrap();
            file.read_to_end(&mut written).unwrap();
            written
        });
        output::keep_of(command.get_program(), &[&stdout, &stderr]);
        let [stdout, stderr] = [stdout, stderr].map(|written| String::from_utf8(written).unwrap());
        assert!(ended, "{command:?} hangs:\n{stdout}\n{stderr}");
        Self { code: status.code().unwrap_or(-1), stdout, stderr }
    }

    /// Insists on an exit code.
    #[track_caller]
    pub fn exits(self, code: i32) -> Self {
        assert_eq!(self.code, code, "stdout:\n{}\nstderr:\n{}", self.stdout, self.stderr);
        self
    }

    /// The output as JSON.
    #[track_caller]
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.stdout).unwrap_or_else(|error| panic!("{error}: {}", self.stdout))
    }
}

/// Waits for the end of a program, for far longer than any here takes.
fn ends_in_time(child: &Child) -> bool {
    let process = pidfd_open(Pid::from_child(child), PidfdFlags::empty()).unwrap();
    let limit = Timespec { tv_sec: 300, tv_nsec: 0 };
    poll(&mut [PollFd::new(&process, PollFlags::IN)], Some(&limit)).unwrap() == 1
}

/// How a site is set up.
pub struct Builder {
    host: &'static str,
    ports: Option<(u16, u16)>,
    proxy: Option<Reserved>,
    serve: Vec<&'static str>,
    system_roots: bool,
    settings: &'static str,
    database: Option<TestDatabase>,
    token: Option<&'static str>,
}

/// A running service.
pub struct Site {
    folder: TempDir,
    child: Child,
    /// Where the public and the secure listener are.
    pub ports: (u16, u16),
    pub proxy: Option<Proxy>,
    /// The token with the issuing key, where it is in one.
    pub token: Option<SoftToken>,
    serve: Vec<&'static str>,
    /// Last, so that it goes when nobody uses it any more.
    _database: Option<TestDatabase>,
}

impl Builder {
    /// Has its database where the tests of the service have theirs.
    pub fn on_test_database(mut self) -> Self {
        self.database = TestDatabase::new();
        self
    }

    /// Puts a faulty network in front of the public listener.
    pub fn behind_proxy(mut self) -> Self {
        self.proxy = Some(Proxy::reserve());
        self
    }

    /// Calls the service by a name instead of its address.
    pub fn named(mut self, host: &'static str) -> Self {
        self.host = host;
        self
    }

    /// Listens at these ports, the public and the secure one, instead of any.
    pub fn at(mut self, ports: (u16, u16)) -> Self {
        self.ports = Some(ports);
        self
    }

    /// Gives the listeners a certificate of another CA, and makes packages that tell their clients to trust the roots of
    /// their system.
    pub fn with_system_roots(mut self) -> Self {
        self.system_roots = true;
        self
    }

    /// Makes the issuing key, of this algorithm, in a token of the site's own.
    pub fn in_token(mut self, algorithm: &'static str) -> Self {
        self.token = Some(algorithm);
        self
    }

    /// Adds settings.
    pub fn settings(mut self, lines: &'static str) -> Self {
        self.settings = lines;
        self
    }

    /// Adds flags to `serve`.
    pub fn serve(mut self, flags: &[&'static str]) -> Self {
        self.serve.extend(flags);
        self
    }

    /// Makes the installation and one organisation, and starts the service.
    pub fn start(self) -> Site {
        let folder = tempfile::tempdir().unwrap();
        let home = folder.path().join("service");
        let token = self.token.map(|_| SoftToken::new(folder.path()));
        let (public_port, secure_port) = self.ports.unwrap_or_else(|| (free_port(), free_port()));
        let url = |port: u16| format!("https://{}:{port}", self.host);
        let public_url = url(self.proxy.as_ref().map_or(public_port, |proxy| proxy.port));
        let init = [
            "init",
            "--environment=test",
            &format!("--public-url={public_url}"),
            &format!("--secure-url={}", url(secure_port)),
            &format!("--public-listen=127.0.0.1:{public_port}"),
            &format!("--secure-listen=127.0.0.1:{secure_port}"),
            &format!("--operations-listen=127.0.0.1:{}", token.as_ref().map_or(0, |token| token.operations)),
            "--manager-name=Perrine Centrale",
            "--manager-email=perrine@ptc.example",
            &format!("--manager-out={}", folder.path().join("ptc-manager").display()),
        ];
        let database = self.database.as_ref().map(|database| format!("--database={}", database.url()));
        let more = token.as_ref().map(SoftToken::init_flags).unwrap_or_default();
        let algorithm = self.token.map(|algorithm| format!("--algorithm={algorithm}"));
        let more = more.iter().map(String::as_str).chain(algorithm.as_deref()).chain(database.as_deref());
        service(&home, token.as_ref(), init.into_iter().chain(more)).exits(0);
        let settings = home.join("enrollment.toml");
        fs::write(&settings, fs::read_to_string(&settings).unwrap() + self.settings).unwrap();
        if self.system_roots {
            let text = fs::read_to_string(&settings).unwrap().replace("system_roots = false", "system_roots = true");
            fs::write(settings, text).unwrap();
            certify_elsewhere(folder.path(), &home.join("tls"));
        }
        service(&home, token.as_ref(), ["org", "add", "--code=J1CFRA", "--name=FRANCE LA POSTE", "--country=FR"])
            .exits(0);
        let child = serve(folder.path(), token.as_ref(), &self.serve);
        let anchor = home.join("ca").join("root.crt.pem");
        let proxy = self.proxy.map(|proxy| proxy.start(public_port, &home.join("tls"), &anchor));
        Site {
            folder,
            child,
            ports: (public_port, secure_port),
            proxy,
            token,
            serve: self.serve,
            _database: self.database,
        }
    }
}

impl Site {
    /// A site with everything as usual.
    pub fn start() -> Self {
        Self::builder().start()
    }

    /// A site to set up.
    pub fn builder() -> Builder {
        Builder {
            host: "127.0.0.1",
            ports: None,
            proxy: None,
            serve: Vec::new(),
            system_roots: false,
            settings: "",
            database: None,
            token: None,
        }
    }

    /// The site with its service stopped.
    pub fn stopped(mut self) -> Self {
        self.stop();
        self
    }

    /// Ends the service as `kill -9` does, and starts it again.
    pub fn restart(&mut self) {
        self.stop();
        self.child = serve(self.folder.path(), self.token.as_ref(), &self.serve);
    }

    fn stop(&mut self) {
        // By its own process id; one that has ended already is as good.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }

    /// Runs a command of the service's administrator.
    pub fn admin<'a>(&self, arguments: impl IntoIterator<Item = &'a str>) -> Run {
        service(&self.folder.path().join("service"), self.token.as_ref(), arguments)
    }

    /// A folder for whatever a test needs.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// What the service logged so far.
    pub fn log(&self) -> String {
        fs::read_to_string(self.folder.path().join("service.log")).unwrap()
    }

    /// The root above the listeners' certificate where that is of another CA.
    pub fn public_root(&self) -> PathBuf {
        self.folder.path().join("public-root.pem")
    }

    /// The root certificate.
    pub fn anchor(&self) -> PathBuf {
        self.folder.path().join("service/ca/root.crt.pem")
    }

    /// A workstation with a package of its own.
    pub fn workstation(&self, name: &str) -> Machine {
        self.machine(name, &["--kind=workstation", "--store=machine", "--external-requests"])
    }

    /// A machine with a package of its own in a home of that name.
    pub fn machine(&self, name: &str, package: &[&str]) -> Machine {
        let home = self.folder.path().join(name);
        let out = format!("--out={}", home.display());
        let create = ["package", "create", "--organisation=J1CFRA", &out];
        self.admin(create.into_iter().chain(package.iter().copied())).exits(0);
        Machine::at(home)
    }

    /// The requests as the administrator sees them.
    pub fn requests(&self) -> Vec<Value> {
        let list = self.admin(["--output=json", "request", "list"]).exits(0).json();
        list["result"]["items"].as_array().unwrap_or_else(|| panic!("{list}")).clone()
    }

    /// The certificate of a request, base64 as it travels.
    pub fn certificate(&self, number: u64) -> String {
        let list = self.admin(["--output=json", "certificate", "list"]).exits(0).json();
        let rows = list["result"]["items"].as_array().unwrap_or_else(|| panic!("{list}"));
        let row = rows.iter().find(|row| row["request"].as_u64() == Some(number)).unwrap_or_else(|| panic!("{list}"));
        row["certificate"].as_str().unwrap().to_owned()
    }

    /// Approves a request.
    pub fn approve(&self, number: u64) {
        self.admin(["request", "approve", &number.to_string()]).exits(0);
    }
}

impl Drop for Site {
    fn drop(&mut self) {
        self.stop();
        output::keep_log(&self.folder.path().join("service.log"));
        // The event log of each machine.
        for entry in fs::read_dir(self.folder.path()).into_iter().flatten().flatten() {
            output::keep_log(&entry.path().join("enroll.log"));
        }
    }
}

/// A machine: a home with a package, and the real client.
pub struct Machine {
    pub home: PathBuf,
    pub program: PathBuf,
}

/// The fields that every submission here gives.
pub const FIELDS: [&str; 4] =
    ["--email=admin@poste.example", "--locality=Paris", "--key=ec-p256", "--common-name=PC-7"];

impl Machine {
    /// A machine with a package in this home.
    pub fn at(home: PathBuf) -> Self {
        Self { home, program: PathBuf::from(CLIENT) }
    }

    /// Another machine with the same package, which was not used yet.
    pub fn copied_to(&self, home: &Path) -> Self {
        Run::of(Command::new("cp").arg("-r").arg(&self.home).arg(home)).exits(0);
        Self { home: home.to_owned(), program: self.program.clone() }
    }

    /// The client with a command line, still to be run.
    pub fn command<S: AsRef<OsStr>>(&self, arguments: impl IntoIterator<Item = S>) -> Command {
        let mut command = Command::new(&self.program);
        command.args(["--lang=en", "--home"]).arg(&self.home).args(arguments);
        command
    }

    /// Runs the client.
    pub fn run<S: AsRef<OsStr>>(&self, arguments: impl IntoIterator<Item = S>) -> Run {
        Run::of(&mut self.command(arguments))
    }

    /// Submits, and says under which number.
    #[track_caller]
    pub fn submit(&self) -> u64 {
        let run = self.run(["--output=json", "submit"].iter().chain(&FIELDS)).exits(0);
        run.json()["result"]["request"]["number"].as_u64().unwrap()
    }

    /// Where the file store of the machine is.
    pub fn store(&self) -> PathBuf {
        self.home.join("store/machine/test")
    }

    /// The keys in the store.
    pub fn keys(&self) -> Vec<PathBuf> {
        let Ok(entries) = fs::read_dir(self.store()) else { return Vec::new() };
        entries
            .map(|entry| entry.unwrap())
            .filter(|entry| entry.file_type().unwrap().is_dir())
            .map(|entry| entry.path().join("key.pem"))
            .filter(|key| key.exists())
            .collect()
    }

    /// The records in the journal, as JSON.
    pub fn records(&self) -> Vec<Value> {
        let Ok(entries) = fs::read_dir(self.home.join("state/test")) else { return Vec::new() };
        entries
            .map(|entry| entry.unwrap().path())
            .filter(|path| path.extension().is_some_and(|ending| ending == "json" || ending == "jsonl"))
            .flat_map(|path| {
                let content = fs::read_to_string(path).unwrap();
                content.lines().map(|line| serde_json::from_str(line).unwrap()).collect::<Vec<_>>()
            })
            .collect()
    }
}

fn service<'a>(home: &Path, token: Option<&SoftToken>, arguments: impl IntoIterator<Item = &'a str>) -> Run {
    let mut command = Command::new(SERVICE);
    command.args(["--lang=en", "--home"]).arg(home).args(arguments).envs(token.map(SoftToken::variable));
    Run::of(&mut command)
}

/// Starts the service of a site, and waits until it listens.
fn serve(folder: &Path, token: Option<&SoftToken>, flags: &[&str]) -> Child {
    let log = folder.join("service.log");
    let mut child = Command::new(SERVICE)
        .arg("--home")
        .arg(folder.join("service"))
        .arg("serve")
        .args(flags)
        .envs(token.map(SoftToken::variable))
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(fs::File::options().create(true).append(true).open(&log).unwrap())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    for _ in 0..2 {
        let line = lines.by_ref().map(Result::unwrap).find(|line| line.contains("listener ready on"));
        assert!(line.is_some(), "{}", fs::read_to_string(&log).unwrap());
    }
    child
}

/// A port that is free, below those that the system gives to outgoing connections, and given out once.
pub fn free_port() -> u16 {
    static NEXT: AtomicU16 = AtomicU16::new(0);
    let first = 10_000 + (std::process::id() % 500) as u16 * 40;
    loop {
        let port = first + NEXT.fetch_add(1, Ordering::Relaxed) % 2_000;
        if TcpListener::bind(("127.0.0.1", port)).is_ok() {
            return port;
        }
    }
}

/// A CSR as OpenSSL makes it, with a subject part put over the right one where a test wants it wrong.
pub fn external_csr(folder: &Path, host: &str, changes: &[(&str, &str)]) -> PathBuf {
    let part = |name: &str, usual: &str| {
        let changed = changes.iter().find(|(changed, _)| *changed == name).map(|(_, value)| (*value).to_owned());
        changed.unwrap_or_else(|| usual.to_owned())
    };
    let subject = format!(
        "/C={}/L=Paris/O={}/OU={}/CN={}",
        part("C", "FR"),
        part("O", "J1CFRA - FRANCE LA POSTE"),
        part("OU", "Server"),
        part("CN", host)
    );
    let path = folder.join(format!("{}.csr", host.replace('*', "star")));
    let made = Run::of(
        Command::new("openssl")
            .args(["req", "-new", "-newkey", &part("key", "rsa:2048"), "-nodes", "-sha256", "-subj", &subject])
            .args([
                "-addext",
                &format!("keyUsage={}", part("keyUsage", "digitalSignature,keyEncipherment,dataEncipherment")),
            ])
            .args(["-addext", &format!("extendedKeyUsage={}", part("extendedKeyUsage", "serverAuth"))])
            .args(["-addext", &format!("subjectAltName=DNS:{}", part("CN", host))])
            .arg("-keyout")
            .arg(path.with_extension("key"))
            .arg("-out")
            .arg(&path),
    );
    assert_eq!(made.code, 0, "{}", made.stderr);
    path
}

/// A certificate for the listeners as a public CA gives it: its root goes into `folder`, the rest where the service looks.
fn certify_elsewhere(folder: &Path, tls: &Path) {
    let openssl = |arguments: &[&str]| {
        let made = Run::of(Command::new("openssl").current_dir(folder).args(arguments));
        assert_eq!(made.code, 0, "{}", made.stderr);
    };
    let key = tls.join("service.key.pem");
    let (key, certificate) = (key.to_str().unwrap(), tls.join("service.crt.pem"));
    let new = ["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "30"];
    let root = ["-keyout", "public-root.key", "-out", "public-root.pem", "-subj", "/CN=Public Root"];
    openssl(&[&new[..], &root, &["-addext", "keyUsage=critical,keyCertSign"]].concat());
    let issuer = ["-CA", "public-root.pem", "-CAkey", "public-root.key", "-subj", "/CN=127.0.0.1", "-key", key];
    let extensions = ["-addext", "subjectAltName=IP:127.0.0.1", "-addext", "extendedKeyUsage=serverAuth", "-addext"];
    let constraints = ["basicConstraints=critical,CA:FALSE", "-out", certificate.to_str().unwrap()];
    openssl(&[&["req", "-x509", "-days", "30"][..], &issuer, &extensions, &constraints].concat());
}
