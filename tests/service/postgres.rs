//! An installation on a PostgreSQL server: who may have it, what is refused, and that no password is told.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use sqlx::migrate::Migrator;
use sqlx::{AssertSqlSafe, Connection, PgConnection};
use tempfile::TempDir;
use tokio::runtime::Runtime;

use crate::support::postgres::{PostgresServer, psql};
use crate::support::serving::{PROGRAM, Serving};
use crate::support::site::Run;

/// An account that may connect with its password only, and is no more than the owner of its database.
const ACCOUNT: &str = "enroll";
const PASSWORD: &str = "correct horse battery staple";

fn init(folder: &Path, home: &str, database: &[&str]) -> Run {
    let mut command = Command::new(PROGRAM);
    command.args(["--lang=en", "--home"]).arg(folder.join(home)).args(["init", "--environment=test"]);
    command.args(["--public-url=https://127.0.0.1:8443", "--secure-url=https://127.0.0.1:8444"]);
    command.args(["--public-listen=127.0.0.1:0", "--secure-listen=127.0.0.1:0"]);
    command.args(["--manager-name=Perrine Centrale", "--manager-email=perrine@ptc.example", "--manager-out"]);
    Run::of(command.arg(folder.join(format!("{home}-manager"))).args(database))
}

fn run(folder: &Path, home: &str, arguments: &[&str]) -> Run {
    Run::of(Command::new(PROGRAM).args(["--lang=en", "--home"]).arg(folder.join(home)).args(arguments))
}

fn password_file(folder: &TempDir) -> PathBuf {
    let path = folder.path().join("password");
    fs::write(&path, format!("{PASSWORD}\n")).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
    path
}

/// Far above what a program takes until it migrates.
const PATIENCE: Duration = Duration::from_secs(60);

/// Who dies in the middle of a migration.
enum Killed {
    Program,
    Server,
}

#[test]
fn a_migration_that_was_killed_is_made_by_the_next_one() {
    let server = PostgresServer::start();
    for name in ["made", "old"] {
        psql(&server.url("postgres"), &format!("CREATE DATABASE {name}"));
    }
    let folder = tempfile::tempdir().unwrap();
    init(folder.path(), "home", &[&format!("--database={}", server.url("made"))]).exits(0);
    let runtime = Runtime::new().unwrap();
    runtime.block_on(make_old(&server.url("old"), folder.path()));
    let settings = folder.path().join("home/enrollment.toml");
    let made = fs::read_to_string(&settings).unwrap();
    let newest = psql(&server.url("made"), "SELECT count(*) FROM _sqlx_migrations");
    // In the middle of the first one that is missing, of a later one, and of the last one.
    for (number, (table, killed)) in [
        ("managers", Killed::Program),
        ("request_counts", Killed::Program),
        ("requests", Killed::Program),
        ("managers", Killed::Server),
        ("request_counts", Killed::Server),
        ("requests", Killed::Server),
    ]
    .into_iter()
    .enumerate()
    {
        let url = server.url(&format!("copy_{number}"));
        psql(&server.url("postgres"), &format!("CREATE DATABASE copy_{number} TEMPLATE old"));
        fs::write(&settings, made.replace("/made?", &format!("/copy_{number}?"))).unwrap();
        let holder = runtime.block_on(lock(&url, table));
        let mut program = Command::new(PROGRAM);
        program.arg("--home").arg(folder.path().join("home")).args(["org", "list"]).stderr(Stdio::null());
        let mut program = program.spawn().unwrap();
        let waits = format!("SELECT count(*) FROM pg_locks WHERE NOT granted AND relation = '{table}'::regclass");
        let begin = Instant::now();
        while psql(&url, &waits) == "0" {
            if begin.elapsed() > PATIENCE {
                program.kill().unwrap();
            }
            assert!(program.try_wait().unwrap().is_none(), "{table}: nobody waits for it");
        }
        match killed {
            Killed::Program => program.kill().unwrap(),
            Killed::Server => server.restart_at_once(),
        }
        assert!(!program.wait().unwrap().success(), "{table}");
        drop(holder);
        assert_ne!(psql(&url, "SELECT count(*) FROM _sqlx_migrations"), newest, "{table}");
        // It is up to date then, and not this installation's: it has no audit record.
        let opened = run(folder.path(), "home", &["org", "list"]).exits(3);
        assert!(opened.stderr.contains("does not belong to the CA"), "{table}: {}", opened.stderr);
        assert_eq!(psql(&url, "SELECT count(*) FROM _sqlx_migrations WHERE success"), newest, "{table}");
        assert_eq!(psql(&url, "SELECT code, requests FROM organisations, request_counts"), "J1CFRA|3", "{table}");
        assert_eq!(psql(&url, "SELECT requests FROM request_totals"), "3", "{table}");
    }
}

/// A database as the first version left it.
async fn make_old(url: &str, folder: &Path) {
    let migrations = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/service/db/migrations/postgres");
    let (first, old) = ("0001_foundation.sql", folder.join("migrations"));
    fs::create_dir(&old).unwrap();
    fs::copy(migrations.join(first), old.join(first)).unwrap();
    let mut connection = PgConnection::connect(url).await.unwrap();
    Migrator::new(old).await.unwrap().run(&mut connection).await.unwrap();
    sqlx::raw_sql(
        "INSERT INTO organisations VALUES ('J1CFRA', 'FRANCE LA POSTE', 'FR', 0);
         INSERT INTO request_counts VALUES ('J1CFRA', 'workstation', 'pending', 3)",
    )
    .execute(&mut connection)
    .await
    .unwrap();
    connection.close().await.unwrap();
}

/// Holds a table until it is dropped.
async fn lock(url: &str, table: &str) -> PgConnection {
    let mut connection = PgConnection::connect(url).await.unwrap();
    let statements = AssertSqlSafe(format!("BEGIN; LOCK TABLE {table}"));
    sqlx::raw_sql(statements).execute(&mut connection).await.unwrap();
    connection
}

#[test]
fn an_account_with_a_password_and_nothing_more_is_enough() {
    let server = PostgresServer::start();
    psql(&server.url("postgres"), &format!("CREATE ROLE {ACCOUNT} LOGIN PASSWORD '{PASSWORD}'"));
    psql(&server.url("postgres"), &format!("CREATE DATABASE installation OWNER {ACCOUNT}"));
    server.ask_for_password(ACCOUNT);
    let folder = tempfile::tempdir().unwrap();
    let password = password_file(&folder);
    let database = format!("--database={}", server.url_of(ACCOUNT, "installation"));
    let without = init(folder.path(), "home", &[&database]);
    assert_ne!(without.code, 0);
    assert!(without.stderr.contains("password"), "{}", without.stderr);

    let file = format!("--database-password-file={}", password.display());
    fs::set_permissions(&password, fs::Permissions::from_mode(0o644)).unwrap();
    let open = init(folder.path(), "home", &[&database, &file]).exits(3);
    assert!(open.stderr.contains("chmod 600"), "{}", open.stderr);
    fs::set_permissions(&password, fs::Permissions::from_mode(0o600)).unwrap();
    init(folder.path(), "home", &[&database, &file]).exits(0);
    assert!(!folder.path().join("home/enrollment.db").exists());

    // The commands work beside the service, and none of them tells the password.
    let log = folder.path().join("log");
    let serving = Serving::start(&folder.path().join("home"), &[], &log);
    run(folder.path(), "home", &["org", "add", "--code=J1CFRA", "--name=FRANCE LA POSTE", "--country=FR"]).exits(0);
    let listed = run(folder.path(), "home", &["org", "list"]).exits(0);
    assert!(listed.stdout.contains("FRANCE LA POSTE"), "{}", listed.stdout);
    let verified = run(folder.path(), "home", &["audit", "verify"]).exits(0);
    assert_eq!(serving.stop(), 0);
    let settings = fs::read_to_string(folder.path().join("home/enrollment.toml")).unwrap();
    let log = fs::read_to_string(log).unwrap();
    for text in [&without.stderr, &listed.stderr, &verified.stdout, &log, &settings] {
        assert!(!text.contains(PASSWORD), "{text}");
    }
    // What the server remarks to a program is nothing to the administrator.
    assert!(log.contains("service started") && !log.contains("skipping"), "{log}");
    // A database that is gone is said so, with its place.
    server.stop();
    let gone = run(folder.path(), "home", &["org", "list"]).exits(6);
    assert!(!gone.stderr.contains(PASSWORD), "{}", gone.stderr);
}

#[test]
fn what_is_no_database_for_an_installation_is_refused() {
    let server = PostgresServer::start();
    let create = |name: &str, with: &str| psql(&server.url("postgres"), &format!("CREATE DATABASE {name} {with}"));
    for name in ["used", "others", "newer", "unmade"] {
        create(name, "");
    }
    create("latin", "ENCODING 'LATIN1' LOCALE 'C' TEMPLATE template0");
    psql(&server.url("others"), "CREATE TABLE theirs (id INTEGER)");
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| format!("--database={}", server.url(name));
    init(folder.path(), "used", &[&at("used")]).exits(0);
    init(folder.path(), "newer", &[&at("newer")]).exits(0);
    let copy = format!("--from={}", folder.path().join("copy").display());
    run(folder.path(), "newer", &["backup", "--to", folder.path().join("copy").to_str().unwrap()]).exits(0);
    // As an earlier version left it. To refuse it is not to bring it up to date, which fails here.
    psql(&server.url("used"), "DELETE FROM _sqlx_migrations WHERE version = 9");
    psql(&server.url("newer"), "INSERT INTO _sqlx_migrations VALUES (9999, 'later', now(), true, '', 0)");
    for (database, says) in [
        (at("used"), "holds something already"),
        (at("others"), "holds something already"),
        (at("latin"), "UTF8"),
        (at("missing"), "database \"missing\" does not exist\nNext:  Make what is missing (createuser, createdb)"),
        (format!("{}&user=nobody", at("used")), "role \"nobody\" does not exist"),
        ("--database=mysql://localhost/enroll".to_owned(), "postgres://"),
        ("--database=postgres://enroll:secret-word@localhost/enroll".to_owned(), "without a password"),
        ("--database=postgres:///enroll?host=/tmp&password=secret-word".to_owned(), "without a password"),
        ("--database=postgres://enroll@db.ptc.example/enroll".to_owned(), "sslmode=verify-full"),
        ("--database=postgres://enroll@db.ptc.example/enroll?sslmode=require".to_owned(), "sslmode=verify-full"),
    ] {
        let refused = init(folder.path(), "refused", &[&database]).exits(3);
        assert!(refused.stderr.contains(says), "{database}: {}", refused.stderr);
        assert!(!refused.stderr.contains("secret-word"), "{}", refused.stderr);
        assert!(!folder.path().join("refused").exists(), "{database}");
    }
    for database in ["used", "others"] {
        let restored = run(folder.path(), "refused", &["restore", &copy, &at(database)]).exits(3);
        assert!(restored.stderr.contains("holds something already"), "{database}: {}", restored.stderr);
    }
    let newer = run(folder.path(), "newer", &["org", "list"]).exits(3);
    assert!(newer.stderr.contains("later version"), "{}", newer.stderr);
    // An installation does not start on a database that is not its own.
    let settings = folder.path().join("used/enrollment.toml");
    let change = |from: &str, to: &str| {
        let text = fs::read_to_string(&settings).unwrap();
        fs::write(&settings, text.replace(from, to)).unwrap();
    };
    change("/used?", "/unmade?");
    let empty = run(folder.path(), "used", &["org", "list"]).exits(3);
    assert!(empty.stderr.contains("nothing of this service"), "{}", empty.stderr);
    psql(&server.url("newer"), "DELETE FROM _sqlx_migrations WHERE version = 9999");
    change("/unmade?", "/newer?");
    let foreign = run(folder.path(), "used", &["org", "list"]).exits(3);
    assert!(foreign.stderr.contains("does not belong to the CA"), "{}", foreign.stderr);
}

#[test]
fn what_a_server_does_not_do_now_is_no_damage() {
    let server = PostgresServer::start();
    let by_superuser = |statement: &str| psql(&server.url("postgres"), statement);
    by_superuser(&format!("CREATE ROLE {ACCOUNT} LOGIN"));
    by_superuser(&format!("CREATE DATABASE made OWNER {ACCOUNT}"));
    let folder = tempfile::tempdir().unwrap();
    init(folder.path(), "home", &[&format!("--database={}", server.url_of(ACCOUNT, "made"))]).exits(0);
    let list = || run(folder.path(), "home", &["org", "list"]);
    // What the account is set to for other purposes is not ours.
    for setting in ["default_transaction_read_only = on", "statement_timeout = 1"] {
        by_superuser(&format!("ALTER ROLE {ACCOUNT} SET {setting}"));
    }
    list().exits(0);
    psql(&server.url("made"), "ALTER SCHEMA public OWNER TO postgres; REVOKE CREATE ON SCHEMA public FROM public");
    let refused = list().exits(3);
    assert!(refused.stderr.contains("permission denied for schema public\nNext:"), "{}", refused.stderr);
    psql(&server.url("made"), "GRANT CREATE ON SCHEMA public TO public");
    server.restart_as_standby();
    let standby = list().exits(6);
    assert!(standby.stderr.contains("cannot answer now") && !standby.stderr.contains("restore"), "{}", standby.stderr);
}

#[test]
fn both_databases_have_the_same_columns() {
    let server = PostgresServer::start();
    psql(&server.url("postgres"), "CREATE DATABASE same");
    let folder = tempfile::tempdir().unwrap();
    init(folder.path(), "server", &[&format!("--database={}", server.url("same"))]).exits(0);
    init(folder.path(), "file", &[]).exits(0);
    let of_server = psql(
        &server.url("same"),
        "SELECT table_name || '.' || column_name FROM information_schema.columns WHERE table_schema = 'public'",
    );
    let of_file =
        "SELECT tables.name || '.' || columns.name FROM sqlite_schema AS tables, pragma_table_xinfo(tables.name) AS columns
         WHERE tables.type = 'table' AND tables.name NOT LIKE 'sqlite%'";
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let of_file: Vec<String> = runtime.block_on(async {
        let url = format!("sqlite://{}", folder.path().join("file/enrollment.db").display());
        let mut connection = sqlx::SqliteConnection::connect(&url).await.unwrap();
        sqlx::query_scalar(of_file).fetch_all(&mut connection).await.unwrap()
    });
    let of_file: BTreeSet<&str> = of_file.iter().map(String::as_str).collect();
    assert!(of_file.len() > 80, "{of_file:?}");
    assert_eq!(of_server.lines().collect::<BTreeSet<_>>(), of_file);
}
