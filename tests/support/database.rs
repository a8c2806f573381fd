//! Databases of the tests' own on a real PostgreSQL server, where `PTC_TEST_DATABASE` names one: its URL, as an account
//! that may create databases. Without it, the tests run on SQLite.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};

use ptc_enroll::service::db::{Database, Place, Server};

use super::postgres::psql;

/// The variable that names the server.
const SERVER: &str = "PTC_TEST_DATABASE";

/// An empty database with the schema in it, which goes with this value.
pub struct TestDatabase {
    server: String,
    name: String,
}

impl TestDatabase {
    /// A new one, where the tests run on PostgreSQL.
    pub fn new() -> Option<Self> {
        let server = std::env::var(SERVER).ok()?;
        // Made once, and copied by the server for each test.
        static TEMPLATE: OnceLock<String> = OnceLock::new();
        let template = TEMPLATE.get_or_init(|| {
            let name = format!("ptc_{}_template", std::process::id());
            psql(&server, &format!("CREATE DATABASE {name}"));
            let place = Place::Server(Server::parse(&url(&server, &name)).unwrap());
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(async { Database::create(&place).await.unwrap().close().await });
            name
        });
        static NUMBER: AtomicU64 = AtomicU64::new(0);
        let name = format!("ptc_{}_{}", std::process::id(), NUMBER.fetch_add(1, Ordering::Relaxed));
        psql(&server, &format!("CREATE DATABASE {name} TEMPLATE {template}"));
        Some(Self { server, name })
    }

    /// An empty one without the schema on this server.
    pub fn on(server: &str) -> Self {
        let name = "enroll".to_owned();
        psql(server, &format!("CREATE DATABASE {name}"));
        Self { server: server.to_owned(), name }
    }

    /// Where it is, as the settings name it.
    pub fn url(&self) -> String {
        url(&self.server, &self.name)
    }

    /// Runs statements that no function of the service would, and returns what they print.
    pub fn run(&self, statements: &str) -> String {
        psql(&self.url(), statements)
    }
}

impl Drop for TestDatabase {
    fn drop(&mut self) {
        psql(&self.server, &format!("DROP DATABASE {} WITH (FORCE)", self.name));
    }
}

/// The URL of another database on the same server.
fn url(server: &str, name: &str) -> String {
    let (before, parameters) = server.split_once('?').unwrap_or((server, ""));
    let (host, _) = before.rsplit_once('/').unwrap();
    format!("{host}/{name}?{parameters}")
}
