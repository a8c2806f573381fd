//! ptc-enrollment as its administrator types it: exit codes, errors, the running service beside commands.

use std::fs;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;

use ptc_enroll::service::config::{Home, Settings};
use tempfile::TempDir;

use crate::support::database::TestDatabase;
use crate::support::serving::{PROGRAM, Serving};
use crate::support::site::Run;
use crate::support::verifiers::openssl;

pub struct Installation(pub TempDir, Option<TestDatabase>);

impl Installation {
    fn new(environment: &str) -> Self {
        Self::made(environment, TestDatabase::new())
    }

    /// One whose database is a file in its home, whatever the others' are.
    pub fn with_file(environment: &str) -> Self {
        Self::made(environment, None)
    }

    /// A place where nothing is yet.
    pub fn empty() -> Self {
        Self(tempfile::tempdir().unwrap(), None)
    }

    fn made(environment: &str, database: Option<TestDatabase>) -> Self {
        let installation = Self(tempfile::tempdir().unwrap(), database);
        installation.init(environment, "https://127.0.0.1:8443", "manager").exits(0);
        installation
    }

    pub fn home(&self) -> std::path::PathBuf {
        self.0.path().join("home")
    }

    fn init(&self, environment: &str, url: &str, out: &str) -> Run {
        self.init_for(environment, url, out, "perrine@ptc.example")
    }

    fn init_for(&self, environment: &str, url: &str, out: &str, email: &str) -> Run {
        let database = self.1.as_ref().map(|database| format!("--database={}", database.url()));
        let required = [
            "init",
            &format!("--environment={environment}"),
            &format!("--public-url={url}"),
            &format!("--secure-url={url}"),
            "--public-listen=127.0.0.1:0",
            "--secure-listen=127.0.0.1:0",
            "--operations-listen=127.0.0.1:0",
            "--manager-name=Perrine Centrale",
            &format!("--manager-email={email}"),
            &format!("--manager-out={}", self.0.path().join(out).display()),
        ];
        self.run(required.into_iter().chain(database.as_deref()))
    }

    pub fn init_with(&self, flags: &[&str]) -> Run {
        Run::of(&mut self.init_command(flags))
    }

    pub fn init_command(&self, flags: &[&str]) -> Command {
        let out = format!("--manager-out={}", self.0.path().join("manager").display());
        let mut arguments = vec![
            "init",
            "--environment=test",
            "--public-url=https://127.0.0.1",
            "--secure-url=https://127.0.0.1",
            "--public-listen=127.0.0.1:0",
            "--secure-listen=127.0.0.1:0",
            "--manager-name=Perrine Centrale",
            "--manager-email=perrine@ptc.example",
            &out,
        ];
        arguments.extend(flags);
        let mut command = self.command();
        command.args(arguments);
        command
    }

    pub fn run<'a>(&self, arguments: impl IntoIterator<Item = &'a str>) -> Run {
        Run::of(self.command().args(arguments))
    }

    pub fn command(&self) -> Command {
        let mut command = Command::new(PROGRAM);
        command.arg("--lang=en").arg("--home").arg(self.home());
        command
    }

    pub fn serve(&self, flags: &[&str]) -> Serving {
        Serving::start(&self.home(), flags, &self.0.path().join("log"))
    }
}

#[test]
fn a_plain_listener_is_asked_for_as_a_whole() {
    for (flags, code, word) in [
        (&["--http-url=http://ca.ptc.example"][..], 2, "--http-listen"),
        (&["--http-listen=127.0.0.1:0"], 2, "--http-url"),
        (&["--http-url=https://ca.ptc.example", "--http-listen=127.0.0.1:0"], 3, "http://host"),
    ] {
        let empty = Installation::empty();
        let run = empty.init_with(flags).exits(code);
        assert!(run.stderr.contains(word), "{}", run.stderr);
        assert!(!empty.home().exists());
    }
    let installation = Installation::empty();
    installation.init_with(&["--http-url=http://ca.ptc.example/", "--http-listen=127.0.0.1:0"]).exits(0);
    let settings = Settings::load(&Home::new(installation.home())).unwrap();
    assert_eq!(settings.places().ocsp, "http://ca.ptc.example/api/v1/ca/ocsp");
    // What init itself issued names the place too.
    let service = fs::read_to_string(installation.home().join("tls/service.crt.pem")).unwrap();
    let said = openssl(&["x509", "-noout", "-in", "c", "-ext", "authorityInfoAccess"], &[("c", service.as_bytes())]);
    assert!(said.contains("http://ca.ptc.example/api/v1/ca/issuer"), "{said}");

    let mut serving = installation.serve(&[]);
    let line = serving.lines.next().unwrap().unwrap();
    let port = line.strip_prefix("plain listener ready on http://127.0.0.1:").unwrap_or_else(|| panic!("{line}"));
    let mut stream = TcpStream::connect(("127.0.0.1", port.parse::<u16>().unwrap())).unwrap();
    stream.write_all(b"GET /api/v1/ca/crl HTTP/1.1\r\nhost: ca.ptc.example\r\nconnection: close\r\n\r\n").unwrap();
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).unwrap();
    assert!(answer.starts_with(b"HTTP/1.1 200 OK\r\n"), "{}", String::from_utf8_lossy(&answer));
    assert_eq!(serving.stop(), 0);

    // The settings are as strict as the command.
    for (setting, expected) in
        [("ocsp_hours = 0", "above 0"), ("ocsp_hours = 169", "168"), ("ocsp_hours = -1", "line 14")]
    {
        let path = installation.home().join("enrollment.toml");
        let text = fs::read_to_string(&path).unwrap();
        fs::write(&path, text.replace("ocsp_hours = 24", setting)).unwrap();
        let run = installation.run(["crl", "show"]).exits(3);
        assert!(run.stderr.contains(expected), "{setting}: {}", run.stderr);
        fs::write(&path, text).unwrap();
    }
}

#[test]
fn an_installation_is_made_once_and_whole() {
    let installation = Installation::with_file("test");
    let database = fs::read(installation.home().join("enrollment.db")).unwrap();
    let again = installation.init("other", "https://127.0.0.1:8443", "manager2").exits(3);
    assert!(again.stderr.contains("exists already"), "{}", again.stderr);
    assert_eq!(fs::read(installation.home().join("enrollment.db")).unwrap(), database);

    for (environment, url) in [
        ("Test", "https://x.example"),
        ("test", "http://x.example"),
        ("test", "https://x.example/path"),
        ("nul", "https://x"),
    ] {
        let empty = Installation::empty();
        let run = empty.init(environment, url, "manager").exits(3);
        assert!(run.stderr.contains("Next:") || run.stderr.contains("expected"), "{}", run.stderr);
        assert_eq!(fs::read_dir(empty.0.path()).unwrap().count(), 0, "{environment} {url} left something");
    }
    // The manager is checked before a key is made for them.
    let nobody = Installation::empty();
    let run = nobody.init_for("test", "https://x.example", "manager", "not an address").exits(3);
    assert!(run.stderr.contains("email"), "{}", run.stderr);
    assert_eq!(fs::read_dir(nobody.0.path()).unwrap().count(), 0);
    // One whose manager's folder is a file, or taken leaves nothing of itself.
    let taken = Installation::empty();
    fs::write(taken.0.path().join("manager"), "mine").unwrap();
    taken.init("test", "https://x.example", "manager").exits(3);
    fs::remove_file(taken.0.path().join("manager")).unwrap();
    fs::create_dir(taken.0.path().join("manager")).unwrap();
    fs::write(taken.0.path().join("manager/manager.crt.pem"), "mine").unwrap();
    let run = taken.init("test", "https://x.example", "manager").exits(3);
    assert!(run.stderr.contains("manager.crt.pem"), "{}", run.stderr);
    assert!(!taken.home().exists());
    assert_eq!(fs::read_dir(taken.0.path()).unwrap().count(), 1);

    let secret = |path: &str| fs::metadata(installation.0.path().join(path)).unwrap().permissions().mode() & 0o777;
    for (path, mode) in [
        ("home", 0o700),
        ("home/enrollment.db", 0o600),
        ("home/ca/issuing.key.pem", 0o600),
        ("home/ca/root.key.pem", 0o600),
        ("home/tls/service.key.pem", 0o600),
        ("home/package-signer/signer.key.pem", 0o600),
        ("manager", 0o700),
        ("manager/manager.key.pem", 0o600),
        ("manager/manager.p12", 0o600),
        ("manager/manager.p12.password.txt", 0o600),
    ] {
        assert_eq!(secret(path), mode, "{path}");
    }
}

#[test]
fn folders_of_any_name_are_told_as_json_or_refused() {
    let folder = tempfile::tempdir().unwrap();
    let strange = folder.path().join(std::ffi::OsStr::from_bytes(b"s\xff"));
    let init = |home: &Path, out: &Path| {
        let mut command = Command::new(PROGRAM);
        command.args(["--lang=en", "--output=json", "--home"]).arg(home).args(["init", "--environment=test"]);
        command.args(["--public-url=https://x.example", "--secure-url=https://x.example", "--manager-name=P"]);
        command.arg("--manager-email=p@ptc.example").arg("--manager-out").arg(out);
        Run::of(&mut command)
    };
    // SQLite takes no such name, so that the service could never start there.
    let refused = init(&strange, &folder.path().join("manager")).exits(1);
    assert!(refused.stderr.contains("UTF-8"), "{}", refused.stderr);
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
    let told = init(&folder.path().join("home"), &strange).exits(0).json();
    assert_eq!(told["result"]["manager_out"], strange.display().to_string());
}

#[test]
fn each_kind_of_trouble_has_its_exit_code_and_says_what_to_do() {
    let installation = Installation::new("test");
    installation.run(["org", "add", "--code=J1CFRA", "--name=FRANCE LA POSTE", "--country=FR"]).exits(0);
    for (arguments, code, says) in [
        (&["request"][..], 2, "Usage"),
        (&["request", "list", "--state=lost"], 2, "pending"),
        (&["request", "show", "34"], 3, "Next:"),
        (&["request", "list", "--limit=500"], 3, "limit"),
        (&["org", "add", "--code=J1CFRA", "--name=X", "--country=FR"], 3, "J1CFRA"),
        (&["org", "add", "--code=x", "--name=X", "--country=FR"], 3, "code"),
        (&["org", "add", "--code=J2", "--name=\u{1b}[31m", "--country=FR"], 3, "name"),
        (&["org", "add", "--code=J2", "--name=X", "--country=fr"], 3, "country"),
        (&["package", "create", "--organisation=NONE", "--kind=server", "--zip=/nowhere/x"], 3, "organisation"),
        (&["package", "create", "--organisation=J1CFRA", "--kind=server"], 2, "--out"),
        (&["package", "create", "--organisation=J1CFRA", "--kind=external-server", "--zip=/nowhere/x"], 3, "kind"),
        (
            &["package", "create", "--organisation=J1CFRA", "--kind=server", "--zip=/x", "--expires=soon"],
            2,
            "YYYY-MM-DD",
        ),
        (
            &[
                "package",
                "create",
                "--organisation=J1CFRA",
                "--kind=server",
                "--zip=/nowhere/x",
                "--expires=2020-01-31",
            ],
            3,
            "expires_at",
        ),
        (&["package", "rotate", "1"], 2, "--out"),
        (&["package", "rotate", "99", "--zip=/nowhere/x"], 3, "Next:"),
        (&["package", "rotate", "1", "--zip=/nowhere/x", "--grace=367"], 3, "366"),
        (&["manager", "disable", "99"], 3, "Next:"),
        (&["certificate", "revoke", "xyz"], 3, "Next:"),
        (&["certificate", "revoke", "xyz", "--code=other"], 2, "keyCompromise"),
    ] {
        let run = installation.run(arguments.iter().copied()).exits(code);
        assert!(run.stderr.contains(says), "{arguments:?}: {}", run.stderr);
        assert!(!run.stderr.contains('\u{1b}'), "{arguments:?}");
        assert!(run.stdout.is_empty(), "{arguments:?}: {}", run.stdout);
    }
    let french = Run::of(Command::new(PROGRAM).args(["--lang=fr", "--output=json", "--home=/nowhere", "org", "list"]));
    let french = french.exits(3);
    assert!(french.stderr.starts_with("Erreur") || french.stderr.starts_with("erreur"), "{}", french.stderr);
    assert_eq!(french.json()["error"]["code"], "settings-missing");
    assert!(french.stdout.is_ascii());
}

#[test]
fn what_is_wrong_with_the_home_is_named() {
    let change = |path: &'static str, change: &dyn Fn(&Path)| {
        let installation = Installation::with_file("test");
        change(&installation.home().join(path));
        installation.run(["org", "list"])
    };
    let unknown = change("enrollment.toml", &|path| {
        let text = fs::read_to_string(path).unwrap();
        fs::write(path, format!("{text}colour = \"red\"\n")).unwrap();
    })
    .exits(3);
    assert!(unknown.stderr.contains("line 14") && unknown.stderr.contains("colour"), "{}", unknown.stderr);
    let open = change("ca/issuing.key.pem", &|path| {
        fs::set_permissions(path, fs::Permissions::from_mode(0o644)).unwrap();
    })
    .exits(8);
    assert!(open.stderr.contains("issuing.key.pem") && open.stderr.contains("chmod 600"), "{}", open.stderr);
    change("ca/issuing.key.pem", &|path| fs::remove_file(path).unwrap()).exits(8);
    change("enrollment.db", &|path| fs::remove_file(path).unwrap()).exits(3);
    change("enrollment.db", &|path| fs::write(path, "not a database, but long enough to look".repeat(99)).unwrap())
        .exits(1);
    let empty = change("enrollment.db", &|path| fs::write(path, "").unwrap()).exits(3);
    assert!(empty.stderr.contains("enrollment.db") && empty.stderr.contains("backup"), "{}", empty.stderr);
    let other = Installation::with_file("test");
    let foreign = change("enrollment.db", &|path| {
        fs::copy(other.home().join("enrollment.db"), path).unwrap();
    });
    assert!(foreign.exits(3).stderr.contains("does not belong to the CA"));
    let newer = change("enrollment.db", &|path| {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            use sqlx::Connection;
            let url = format!("sqlite://{}", path.display());
            let mut connection = sqlx::SqliteConnection::connect(&url).await.unwrap();
            let insert = "INSERT INTO _sqlx_migrations VALUES (9999, 'later', CURRENT_TIMESTAMP, TRUE, x'00', 0)";
            sqlx::raw_sql(insert).execute(&mut connection).await.unwrap();
            connection.close().await.unwrap();
        });
    })
    .exits(3);
    assert!(newer.stderr.contains("later version"), "{}", newer.stderr);
}

#[test]
fn the_service_starts_answers_and_stops() {
    let installation = Installation::new("test");
    let serving = installation.serve(&[]);
    assert_ne!(serving.public, serving.secure);
    // Commands work beside it.
    installation.run(["org", "add", "--code=J1CFRA", "--name=FRANCE LA POSTE", "--country=FR"]).exits(0);
    let zip = installation.0.path().join("package.zip");
    let create = ["package", "create", "--organisation=J1CFRA", "--kind=workstation"];
    let zip_flag = format!("--zip={}", zip.display());
    let created = installation.run(create.into_iter().chain([zip_flag.as_str()])).exits(0);
    let fingerprint = created.stdout.split_whitespace().find(|word| word.len() == 64).unwrap().to_owned();
    assert_eq!(fs::metadata(&zip).unwrap().permissions().mode() & 0o777, 0o600);
    installation.run(create.into_iter().chain([zip_flag.as_str()])).exits(3);

    // curl with what `init` gave the manager: the files serve as they are.
    let manager = installation.0.path().join("manager");
    let file = |name: &str| manager.join(name).display().to_string();
    let curl = Run::of(Command::new("curl").args([
        "--silent",
        "--show-error",
        "--cacert",
        &file("trust-anchor.pem"),
        "--cert",
        &file("manager.crt.pem"),
        "--key",
        &file("manager.key.pem"),
        &format!("https://127.0.0.1:{}/api/v1/test", serving.secure),
    ]))
    .exits(0);
    assert_eq!(curl.json()["role"], "ptc-manager");
    let anchor = fs::read(manager.join("trust-anchor.pem")).unwrap();
    let anchor = x509_parser::pem::parse_x509_pem(&anchor).unwrap().1.contents;
    assert_eq!(ptc_enroll::protocol::secret::sha256_hex(&anchor), fingerprint);

    let crl = installation.0.path().join("list.crl");
    installation.run(["crl", "refresh", &format!("--out={}", crl.display())]).exits(0);
    let shown = installation.run(["--output=json", "crl", "show"]).exits(0).json();
    let digest = ptc_enroll::protocol::secret::sha256_hex(&fs::read(&crl).unwrap());
    assert_eq!(shown["result"]["sha256"], digest.as_str());
    installation.run(["audit", "verify"]).exits(0);
    assert_eq!(serving.stop(), 0);
}

#[test]
fn packages_and_managers_are_renewed() {
    let installation = Installation::new("test");
    let place = |name: &str| installation.0.path().join(name);
    let json = |arguments: &[&str]| {
        installation.run(["--output=json"].into_iter().chain(arguments.iter().copied())).exits(0).json()["result"]
            .clone()
    };
    installation.run(["org", "add", "--code=J1CFRA", "--name=FRANCE LA POSTE", "--country=FR"]).exits(0);
    let out = format!("--out={}", place("first").display());
    let create = ["package", "create", "--organisation=J1CFRA", "--kind=workstation", "--locality=Paris"];
    let first = json(&[&create[..], &["--expires=2999-12-30", &out]].concat());
    // The day named is the last one.
    assert_eq!(first["expires_at"], "2999-12-31T00:00:00Z");
    let zip = format!("--zip={}", place("second.zip").display());
    let rotate = ["package", "rotate", "1", "--grace=14", &zip];
    let rotated = installation.run(rotate).exits(0).stdout;
    assert!(
        rotated.contains("Install package 2") && rotated.contains("Install package 1 can be used until"),
        "{rotated}"
    );
    assert_eq!(fs::metadata(place("second.zip")).unwrap().permissions().mode() & 0o777, 0o600);
    // What is in the way is found before anything is made; who was first is told.
    installation.run(rotate).exits(3);
    let third = format!("--zip={}", place("third.zip").display());
    let again = installation.run(["package", "rotate", "1", &third]).exits(4);
    assert!(again.stderr.contains("install package 2"), "{}", again.stderr);
    let third = json(&["package", "rotate", "2", &third]);
    assert_eq!((&third["replaces"]["id"], &third["replaces"]["disabled"]), (&2.into(), &true.into()));
    assert_eq!(third["settings"]["defaults"]["locality"], "Paris");
    let listed = json(&["package", "list"]);
    let replaced: Vec<_> = listed.as_array().unwrap().iter().map(|package| package["replaced_by"].as_i64()).collect();
    assert_eq!(replaced, [Some(2), Some(3), None]);
    let table = installation.run(["package", "list"]).exits(0).stdout;
    assert!(table.contains("Usable until"), "{table}");

    let other = format!("--out={}", place("perrine-2").display());
    let reissued = installation.run(["manager", "reissue", "1", &other]).exits(0).stdout;
    assert!(reissued.contains("stay good") && reissued.contains("manager.p12"), "{reissued}");
    installation.run(["manager", "reissue", "1", &other]).exits(3);
    let last = format!("--out={}", place("perrine-3").display());
    let last = json(&["manager", "reissue", "1", &last, "--revoke-older"]);
    let certificates = json(&["certificate", "list", "--search=perrine"]);
    let good: Vec<_> = certificates["items"]
        .as_array()
        .unwrap()
        .iter()
        .filter(|certificate| certificate["revoked_at"].is_null())
        .map(|certificate| &certificate["serial"])
        .collect();
    assert_eq!(good, [&last["serial"]]);
    installation.run(["manager", "disable", "1"]).exits(0);
    let nobody = format!("--out={}", place("nobody").display());
    let refused = installation.run(["manager", "reissue", "1", &nobody]).exits(4);
    assert!(refused.stderr.contains("out of office"), "{}", refused.stderr);
}

#[test]
fn nothing_approves_by_itself_in_production() {
    let production = Installation::new("prod");
    let run = production.run(["serve", "--auto-approve"]).exits(4);
    assert!(run.stderr.contains("prod"), "{}", run.stderr);
    let test = Installation::new("test");
    let serving = test.serve(&["--auto-approve"]);
    assert!(fs::read_to_string(test.0.path().join("log")).unwrap().contains("WARNING"));
    assert_eq!(serving.stop(), 0);
}

#[test]
fn the_sample_settings_are_good() {
    let folder = tempfile::tempdir().unwrap();
    let sample = Path::new(env!("CARGO_MANIFEST_DIR")).join("config/enrollment.toml");
    fs::copy(&sample, folder.path().join("enrollment.toml")).unwrap();
    let settings = Settings::load(&Home::new(folder.path())).unwrap();
    // Every setting stands in it, with the value that it has unless said otherwise.
    assert_eq!(settings, Settings::new("test", "https://enroll.ptc.example:8443", "https://enroll.ptc.example:8444"));
    let text = fs::read_to_string(sample).unwrap();
    for line in toml::to_string(&settings).unwrap().lines() {
        assert!(text.contains(line), "{line} is not in the sample");
    }
}

#[test]
fn the_log_is_inert_and_holds_no_secret() {
    let installation = Installation::new("test");
    installation.run(["org", "add", "--code=J1CFRA", "--name=FRANCE LA POSTE", "--country=FR"]).exits(0);
    let out = installation.0.path().join("package");
    let out_flag = format!("--out={}", out.display());
    installation.run(["package", "create", "--organisation=J1CFRA", "--kind=workstation", &out_flag]).exits(0);
    let secret = fs::read_to_string(out.join("config/test/enrollment-secret")).unwrap();
    let serving = installation.serve(&[]);
    let url = format!("https://127.0.0.1:{}/api/v1", serving.public);
    let anchor = out.join("config/test/trust-anchor.pem").display().to_string();
    let authorization = format!("Authorization: Bearer {}", secret.trim());
    for (path, header) in [
        ("/requests", authorization.as_str()),
        (&format!("/requests/1?token={}", secret.trim()), "X-Forwarded-For: 203.0.113.7"),
        ("/%0d%0a2026-01-01T00:00:00Z%20INFO%20forged%1b[2J", "X-Request-Id: forged"),
        ("/service", "User-Agent: \u{9b}31mred"),
    ] {
        let arguments = ["--silent", "--cacert", &anchor, "--header", header, &format!("{url}{path}")];
        Run::of(Command::new("curl").arg("--globoff").args(arguments)).exits(0);
    }
    assert_eq!(serving.stop(), 0);
    let log = fs::read_to_string(installation.0.path().join("log")).unwrap();
    assert!(log.matches("answered:").count() == 4, "{log}");
    assert!(!log.contains(secret.trim()) && !log.contains("203.0.113.7"), "{log}");
    assert!(!log.chars().any(|character| character.is_control() && character != '\n'), "{log:?}");
    assert!(log.lines().all(|line| line.starts_with("20") && !line.contains("INFO forged")), "{log}");
}

#[test]
fn a_changed_audit_record_is_refused() {
    let installation = Installation::with_file("test");
    let path = installation.home().join("enrollment.db");
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        use sqlx::Connection;
        let mut connection = sqlx::SqliteConnection::connect(&format!("sqlite://{}", path.display())).await.unwrap();
        let change = "DROP TRIGGER audit_is_final; UPDATE audit SET actor = 'nobody' WHERE sequence = 2";
        sqlx::raw_sql(change).execute(&mut connection).await.unwrap();
        connection.close().await.unwrap();
    });
    let run = installation.run(["audit", "verify"]).exits(4);
    assert!(run.stderr.contains("entry 2"), "{}", run.stderr);
}
