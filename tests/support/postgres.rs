//! A real PostgreSQL server of a test's own, in a temporary folder, reached by its socket only.

use std::fs;
use std::os::unix::fs::{PermissionsExt, chown};
use std::path::PathBuf;
use std::process::{Command, Stdio};

use tempfile::TempDir;

use super::site::Run;

/// Who the superuser is, whatever account the server runs under.
const SUPERUSER: &str = "postgres";

/// A running server. What it acknowledges is on disk (`fsync` is on).
pub struct PostgresServer {
    folder: TempDir,
    programs: PathBuf,
}

impl PostgresServer {
    /// Makes and starts one.
    pub fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o755)).unwrap();
        let server = Self { folder, programs: programs() };
        fs::create_dir(server.data()).unwrap();
        if rustix::process::getuid().is_root() {
            let (user, group) = unprivileged();
            chown(server.data(), Some(user), Some(group)).unwrap();
        }
        let arguments = ["--auth=trust", "--encoding=UTF8", "--locale=C.UTF-8", "--no-sync", "--username", SUPERUSER];
        server.program("initdb", &arguments);
        let configuration = format!(
            "listen_addresses = ''\nunix_socket_directories = '{}'\nshared_buffers = 32MB\n",
            server.data().display()
        );
        fs::write(server.data().join("postgresql.auto.conf"), configuration).unwrap();
        server.control(&["start"]);
        server
    }

    /// Where a database of that name is, for somebody who may do everything.
    pub fn url(&self, database: &str) -> String {
        self.url_of(SUPERUSER, database)
    }

    /// Where a database of that name is, for an account.
    pub fn url_of(&self, account: &str, database: &str) -> String {
        format!("postgres:///{database}?host={}&user={account}", self.data().display())
    }

    /// From now on an account has to give its password.
    pub fn ask_for_password(&self, account: &str) {
        let path = self.data().join("pg_hba.conf");
        let rules = fs::read_to_string(&path).unwrap();
        fs::write(path, format!("local all {account} scram-sha-256\n{rules}")).unwrap();
        // A reload would come some time after this.
        self.restart_at_once();
    }

    /// Stops it as a power failure would, and starts it again.
    pub fn restart_at_once(&self) {
        self.control(&["restart", "--mode=immediate"]);
    }

    /// Stops it as a power failure would.
    pub fn stop(&self) {
        self.control(&["stop", "--mode=immediate"]);
    }

    /// Stops it, and starts it as one that follows another server, of which nobody is there.
    pub fn restart_as_standby(&self) {
        self.stop();
        fs::write(self.data().join("standby.signal"), "").unwrap();
        self.start_again();
    }

    /// Starts it again.
    pub fn start_again(&self) {
        self.control(&["start"]);
    }

    fn data(&self) -> PathBuf {
        self.folder.path().join("data")
    }

    #[track_caller]
    fn control(&self, arguments: &[&str]) {
        let log = format!("--log={}", self.data().join("log").display());
        self.program("pg_ctl", &[&["--wait", "--silent", &log][..], arguments].concat());
    }

    #[track_caller]
    fn program(&self, name: &str, arguments: &[&str]) {
        let mut command = self.command(name);
        command.current_dir(self.data()).arg("--pgdata").arg(self.data()).args(arguments);
        // Into a file, because a server that stays would keep a pipe open.
        let said = self.folder.path().join("said");
        let file = fs::File::create(&said).unwrap();
        let status = command.stdout(file.try_clone().unwrap()).stderr(file).status().unwrap();
        assert!(status.success(), "{name} {arguments:?}: {}", fs::read_to_string(said).unwrap());
    }

    /// The server refuses to run as root.
    fn command(&self, name: &str) -> Command {
        let program = self.programs.join(name);
        if !rustix::process::getuid().is_root() {
            return Command::new(program);
        }
        let (user, group) = unprivileged();
        let mut command = Command::new("setpriv");
        command.arg(format!("--reuid={user}")).arg(format!("--regid={group}")).arg("--clear-groups").arg(program);
        command
    }
}

impl Drop for PostgresServer {
    fn drop(&mut self) {
        // By the process id in its own folder. One that a test stopped has nothing to stop.
        let mut stop = self.command("pg_ctl");
        stop.args(["stop", "--silent", "--mode=immediate", "--pgdata"]).arg(self.data());
        let _ = stop.stderr(Stdio::null()).status();
    }
}

/// Debian keeps each version apart, and none of them on the path.
fn programs() -> PathBuf {
    let versions = fs::read_dir("/usr/lib/postgresql");
    let versions = versions.unwrap_or_else(|error| panic!("PostgreSQL is missing; tests/run brings it: {error}"));
    versions.map(|version| version.unwrap().path().join("bin")).filter(|bin| bin.join("initdb").exists()).max().unwrap()
}

/// Number and group of the account that Debian's package makes.
fn unprivileged() -> (u32, u32) {
    let number = |flag| Run::of(Command::new("id").args([flag, "postgres"])).exits(0).stdout.trim().parse().unwrap();
    (number("-u"), number("-g"))
}

/// Runs statements with the server's own client, and returns what they print.
#[track_caller]
pub fn psql(url: &str, statements: &str) -> String {
    let arguments = ["--no-psqlrc", "--quiet", "--tuples-only", "--no-align", "--set=ON_ERROR_STOP=1", "--dbname", url];
    let run = Run::of(Command::new("psql").args(arguments).args(["--command", statements]));
    assert_eq!(run.code, 0, "{statements}: {}", run.stderr);
    run.stdout.trim().to_owned()
}
