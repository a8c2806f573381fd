//! A database on a PostgreSQL server: where it is, how its connections are set up, its schema.

use std::fmt;
use std::time::Duration;

use sqlx::migrate::MigrateError;
use sqlx::postgres::{PgConnectOptions, PgSslMode};
use sqlx::{AssertSqlSafe, ConnectOptions, Connection as _, PgConnection};
use zeroize::Zeroizing;

use super::database::{Purpose, ServerPools};
use super::session::{CONNECT_TIMEOUT, within};
use super::statement::STATEMENTS;
use super::{DatabaseError, ServerPool};
use crate::locales::Text;
use crate::service::config::is_loopback;

static MIGRATIONS: sqlx::migrate::Migrator = sqlx::migrate!("src/service/db/migrations/postgres");

/// Takes the right to write, for which the writers of all processes queue: what is read from then on stays true until
/// the transaction ends, and all that was committed before is seen (READ COMMITTED: each statement looks anew). The
/// number says nothing; it is the one that every version takes.
pub(super) const TAKE_THE_RIGHT_TO_WRITE: &str = "SELECT pg_advisory_xact_lock(5928239741)";

/// Begins a transaction that sees the database as it is at its first statement.
pub(super) const BEGIN_SNAPSHOT: &str = "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY";

/// How long a write waits for other processes to finish their own.
pub(super) const LOCK_TIMEOUT: Duration = Duration::from_secs(10);
/// How long one statement may take.
pub(super) const STATEMENT_TIMEOUT: Duration = Duration::from_secs(30);
/// How long a transaction may stand still: the process that holds the right to write hangs, and all others wait for it.
const IDLE_TIMEOUT: Duration = Duration::from_secs(60);

/// How long the server takes a caller for there from whom it hears nothing.
const GONE: Duration = Duration::from_secs(60);
/// How often the server looks whether who waits for a statement is still there (`client_connection_check_interval`): one that
/// nobody waits for any more takes its time and a connection beside the one in its place.
const CALLER_CHECK: Duration = Duration::from_secs(2);

/// The first version that can.
const CHECKS_CALLERS: i32 = 14_00_00;

/// Connections of one process to read with; there is one more to write with.
const READERS: u32 = 8;

/// The first version with all that is used here, among them trusted extensions.
const OLDEST_VERSION: i32 = 13_00_00;

/// A database on a server, and the account to reach it with. Shows no password.
#[derive(Clone)]
pub struct Server(Box<PgConnectOptions>);

/// Why a text names no database on a server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ServerError {
    /// It is not of the form `postgres://…`.
    Malformed,
    /// It holds a password.
    Password,
    /// The server is another computer, and nothing makes sure that it is the right one.
    Unprotected,
}

impl ServerError {
    /// What is expected instead, for a person.
    pub fn text(self) -> Text {
        Text::new(match self {
            Self::Malformed => "expected-database",
            Self::Password => "expected-no-password",
            Self::Unprotected => "expected-protected-database",
        })
    }
}

impl Server {
    /// The server that a URL names (postgresql.org/docs/current/libpq-connect.html#LIBPQ-CONNSTRING). What it does not say
    /// comes from the variables `PGHOST`, `PGUSER`, …; a password also from the file that `PGPASSFILE` names, or `~/.pgpass`.
    pub fn parse(url: &str) -> Result<Self, ServerError> {
        let Some((scheme, rest)) = url.split_once("://") else { return Err(ServerError::Malformed) };
        if !matches!(scheme, "postgres" | "postgresql") || rest.contains(char::is_whitespace) {
            return Err(ServerError::Malformed);
        }
        let (authority, parameters) = (rest.split(['/', '?']).next().unwrap_or_default(), rest.split_once('?'));
        let account = authority.rsplit_once('@').map_or("", |(account, _)| account);
        if account.contains(':') || parameters.is_some_and(|(_, parameters)| parameters.contains("password=")) {
            return Err(ServerError::Password);
        }
        let options: PgConnectOptions = url.parse().map_err(|_| ServerError::Malformed)?;
        let local = options.get_socket().is_some() || options.get_host().starts_with('/');
        let verified = matches!(options.get_ssl_mode(), PgSslMode::VerifyCa | PgSslMode::VerifyFull);
        if !local && !is_loopback(options.get_host()) && !verified {
            return Err(ServerError::Unprotected);
        }
        let options = options.application_name("ptc-enrollment").statement_cache_capacity(STATEMENTS);
        Ok(Self(Box::new(options.disable_statement_logging())))
    }

    /// The same with a password.
    pub fn with_password(self, password: &Zeroizing<String>) -> Self {
        Self(Box::new(self.0.password(password)))
    }
}

impl fmt::Display for Server {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let options = &self.0;
        let database = options.get_database().unwrap_or(options.get_username());
        match options.get_socket() {
            Some(socket) => write!(formatter, "postgres:///{database}?host={}", socket.display()),
            None => write!(formatter, "postgres://{}:{}/{database}", options.get_host(), options.get_port()),
        }
    }
}

impl fmt::Debug for Server {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "Server({self})")
    }
}

/// Connects to a server, checks that it is fit, and brings the schema up to date.
pub(super) async fn connect(server: &Server, purpose: Purpose) -> Result<ServerPools, DatabaseError> {
    let checks_callers = prepare(server, purpose).await?;
    Ok(pools(server, checks_callers))
}

/// Connects to a server, checks that it is fit, and leaves the schema as it is.
pub(super) async fn connect_as_it_is(server: &Server) -> Result<ServerPools, DatabaseError> {
    let (_, checks_callers) = look(server, Purpose::Open).await?;
    Ok(pools(server, checks_callers))
}

fn pools(server: &Server, checks_callers: bool) -> ServerPools {
    let milliseconds = |duration: Duration| duration.as_millis().to_string();
    let mut options = (*server.0).clone().options([
        ("statement_timeout", milliseconds(STATEMENT_TIMEOUT)),
        ("lock_timeout", milliseconds(LOCK_TIMEOUT)),
        ("idle_in_transaction_session_timeout", milliseconds(IDLE_TIMEOUT)),
        // Compiling a query is for those that take seconds.
        ("jit", "off".to_owned()),
        // All that is asked for has an index. A plan that was made when a table was nearly empty would read all of it, until
        // the server has counted its rows anew.
        ("enable_seqscan", "off".to_owned()),
        // Sent to end what somebody left, ROLLBACK may find nothing to end.
        ("client_min_messages", "error".to_owned()),
        // Who waited for the right to write sees what others committed meanwhile.
        ("default_transaction_isolation", "read committed".to_owned()),
        // What holds connections for us, behind a firewall that forgot them, would be held for two hours.
        ("tcp_keepalives_idle", "60".to_owned()),
        ("tcp_keepalives_interval", "10".to_owned()),
        ("tcp_keepalives_count", "3".to_owned()),
        ("tcp_user_timeout", milliseconds(GONE)),
    ]);
    if checks_callers {
        options = options.options([("client_connection_check_interval", milliseconds(CALLER_CHECK))]);
    }
    // Whatever the server or the account is set to: what is acknowledged is on disk.
    let durable = [("synchronous_commit", "on"), ("default_transaction_read_only", "off")];
    let writer = ServerPool::new(options.clone().options(durable), 1);
    let readers = ServerPool::new(options.options([("default_transaction_read_only", "on")]), READERS);
    ServerPools { writer, readers }
}

/// What a server says of itself and of the database.
#[derive(sqlx::FromRow)]
struct Found {
    version: i32,
    encoding: String,
    durable: bool,
    searchable: bool,
    may_create: bool,
    has_schema: bool,
    has_other_tables: bool,
}

const FIND: &str = "
    SELECT current_setting('server_version_num')::int AS version, current_setting('server_encoding') AS encoding,
           current_setting('fsync')::bool AS durable,
           EXISTS (SELECT 1 FROM pg_available_extensions WHERE name = 'pg_trgm') AS searchable,
           coalesce(has_schema_privilege(current_schema(), 'CREATE'), false)
               AND (EXISTS (SELECT 1 FROM pg_extension WHERE extname = 'pg_trgm')
                    OR has_database_privilege(current_database(), 'CREATE')) AS may_create,
           to_regclass('_sqlx_migrations') IS NOT NULL AS has_schema,
           EXISTS (SELECT 1 FROM pg_class
                   WHERE relnamespace = current_schema()::regnamespace AND relkind IN ('r', 'p', 'v', 'm', 'f')
                       AND NOT EXISTS (SELECT 1 FROM pg_depend WHERE objid = pg_class.oid AND deptype = 'e')
           ) AS has_other_tables";

/// Makes sure that there is a fit server and an empty database, and makes nothing.
pub(super) async fn check_new(server: &Server) -> Result<(), DatabaseError> {
    look(server, Purpose::Create { schema: None }).await.map(drop)
}

/// Over a connection of its own: a migration takes what it takes, and who starts meanwhile waits for it.
async fn prepare(server: &Server, purpose: Purpose) -> Result<bool, DatabaseError> {
    let place = || server.to_string();
    let (mut connection, checks_callers) = look(server, purpose).await?;
    let migrated = match purpose {
        Purpose::Create { schema: Some(version) } => MIGRATIONS.run_to(version, &mut connection).await,
        _ => MIGRATIONS.run(&mut connection).await,
    };
    migrated.map_err(|error| match error {
        MigrateError::VersionMissing(_) | MigrateError::VersionTooNew(..) => DatabaseError::Newer { place: place() },
        // A standby, a server that stops, an account without the right to make a table.
        MigrateError::Execute(error) | MigrateError::ExecuteMigration(error, _) => unusable(server, error),
        error => DatabaseError::Unusable { place: place(), cause: error.into() },
    })?;
    connection.close().await.map_err(|error| unusable(server, error))?;
    Ok(checks_callers)
}

fn unusable(server: &Server, error: sqlx::Error) -> DatabaseError {
    DatabaseError::of_connecting(server.to_string(), error)
}

/// Connects without limits of time, and looks whether server and database are what they have to be. Returns also whether the
/// server can see that who waits for a statement has left, which takes a version and a system that can.
async fn look(server: &Server, purpose: Purpose) -> Result<(PgConnection, bool), DatabaseError> {
    let place = || server.to_string();
    let unusable = |error| unusable(server, error);
    let options = (*server.0).clone().options([
        ("statement_timeout", "0"),
        ("lock_timeout", "0"),
        ("default_transaction_read_only", "off"),
        // sqlx logs what the server remarks: that the table of migrations is there.
        ("client_min_messages", "warning"),
    ]);
    // An address where nobody answers would be waited for longer than anybody wants to.
    let mut connection = within(CONNECT_TIMEOUT, options.connect()).await.map_err(unusable)?;
    let found = sqlx::query_as(FIND).fetch_one(&mut connection);
    let found: Found = within(STATEMENT_TIMEOUT, found).await.map_err(unusable)?;
    let unfit = |what| Err(DatabaseError::Unfit { place: place(), what });
    if found.version < OLDEST_VERSION {
        return unfit(Text::new("database-too-old").with("version", found.version / 10_000));
    }
    if found.encoding != "UTF8" {
        return unfit(Text::new("database-encoding").with("encoding", found.encoding));
    }
    if !found.searchable {
        return unfit(Text::new("database-no-search"));
    }
    // Without a schema to search, there is none to make a table in.
    if purpose != Purpose::Open && !found.may_create {
        return unfit(Text::new("database-no-right"));
    }
    if !found.durable {
        log::warn!(database:% = server; "the database server may lose what was acknowledged: fsync is off");
    }
    match (purpose != Purpose::Open, found.has_schema) {
        (true, true) if holds_installation(&mut connection).await.map_err(unusable)? => {
            Err(DatabaseError::Occupied { place: place() })
        }
        (true, false) if found.has_other_tables => Err(DatabaseError::Occupied { place: place() }),
        (false, false) => Err(DatabaseError::Empty { place: place() }),
        _ => {
            let set = format!("SET client_connection_check_interval = {}", CALLER_CHECK.as_millis());
            let checks_callers = found.version >= CHECKS_CALLERS
                && within(STATEMENT_TIMEOUT, sqlx::raw_sql(AssertSqlSafe(set)).execute(&mut connection)).await.is_ok();
            Ok((connection, checks_callers))
        }
    }
}

/// Whether somebody's record began here.
async fn holds_installation(connection: &mut PgConnection) -> Result<bool, sqlx::Error> {
    let has_record: bool =
        sqlx::query_scalar("SELECT to_regclass('audit') IS NOT NULL").fetch_one(&mut *connection).await?;
    Ok(has_record && sqlx::query_scalar("SELECT EXISTS (SELECT 1 FROM audit)").fetch_one(&mut *connection).await?)
}
