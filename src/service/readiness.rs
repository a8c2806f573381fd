//! Whether the service can do its work now, for whoever sends clients to it.

use std::sync::atomic::Ordering;
use std::time::Duration;

use tokio::time::timeout;

use super::app::App;

/// How long the database may take. A long transaction of somebody else is no fault.
const DATABASE_DEADLINE: Duration = Duration::from_secs(5);

/// With less free space the next transactions would fail: room for the log beside the database (sqlite.org/wal.html).
const LEAST_SPACE: u64 = 64 * 1024 * 1024;

/// One thing that has to be right.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Check {
    /// What it is, one word.
    pub name: &'static str,
    /// What is wrong, in English, for those who run the service.
    pub fault: Option<String>,
}

impl App {
    /// From now on the service is not ready, whatever else holds.
    pub fn begin_to_stop(&self) {
        self.stopping.store(true, Ordering::Release);
    }

    /// Whether the service can do its work: it does not stop, the database takes writes, the CA may sign, the revocation
    /// list is good, and there is space on the disk.
    pub async fn readiness(&self) -> [Check; 5] {
        let stopping = self.stopping.load(Ordering::Acquire).then(|| "the service stops".to_owned());
        // At the same time: a probe has its own patience.
        let (database, ca, crl) = tokio::join!(self.database_fault(), self.ca_fault(), self.crl_fault());
        let disk = self
            .disk()
            .filter(|disk| disk.available < LEAST_SPACE)
            .map(|disk| format!("{} bytes free, {LEAST_SPACE} are needed", disk.available));
        [("stop", stopping), ("database", database), ("ca", ca), ("crl", crl), ("disk", disk)]
            .map(|(name, fault)| Check { name, fault })
    }

    /// What keeps the database from taking writes.
    async fn database_fault(&self) -> Option<String> {
        match timeout(DATABASE_DEADLINE, self.database.check_writable()).await {
            Ok(Ok(())) => None,
            Ok(Err(error)) => Some(error.to_string()),
            Err(_) => Some(format!("no right to write within {} s", DATABASE_DEADLINE.as_secs())),
        }
    }

    /// What keeps the CA from signing.
    async fn ca_fault(&self) -> Option<String> {
        let end = self.ca.issuing_ends();
        if self.now().0 < end {
            self.key_fault().await
        } else {
            Some(format!("the issuing certificate ended at {end}"))
        }
    }

    /// What keeps the revocation list from being believed.
    async fn crl_fault(&self) -> Option<String> {
        let end = match timeout(DATABASE_DEADLINE, self.crl_dates()).await {
            Ok(Ok(crl)) => crl.map(|crl| crl.next_update.0),
            // What is handed out then is the last list that was read.
            _ => self.publication.list().map(|list| list.next_update),
        };
        match end {
            Some(end) if self.now().0 < end => None,
            Some(end) => Some(format!("the list was good until {end}")),
            None => Some("there is none".to_owned()),
        }
    }
}
