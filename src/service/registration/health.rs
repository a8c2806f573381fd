//! How the service is, for those who look after it: the one source of the page, of `/readyz` and of `/metrics`.

use std::time::Duration;

use time::OffsetDateTime;
use tokio::time::timeout;

use super::Content;
use crate::protocol::messages::ServiceInfo;
use crate::protocol::request::State;
use crate::service::app::App;
use crate::service::auth::{Action, Actor, Object};
use crate::service::ca::KeyPlace;
use crate::service::db;
use crate::service::db::crls::{self, CrlDates};
use crate::service::db::outbox::{self, LaneRow};
use crate::service::db::request_list::{self, Filter};
use crate::service::db::requests::{self, Count};
use crate::service::error::Failure;

/// How long a token may take to say that it is there.
const KEY_DEADLINE: Duration = Duration::from_secs(5);

/// How the service is.
#[derive(Debug)]
pub struct Health {
    /// Environment, version, clock.
    pub info: ServiceInfo,
    /// Number, moment and end of the revocation list.
    pub crl: Option<(u64, OffsetDateTime, OffsetDateTime)>,
    /// How many requests there are of each kind and state.
    pub counts: Vec<Count>,
    /// Since when the oldest pending one waits.
    pub oldest_pending: Option<OffsetDateTime>,
    /// The notices that wait, by the way that they go.
    pub outbox: Vec<LaneRow>,
    /// The size of the database.
    pub database_bytes: u64,
    /// The disk on which it lies.
    pub disk: Option<Disk>,
    /// Where the issuing key is.
    pub key: KeyPlace,
    /// Why it cannot be reached, in English, where it cannot.
    pub key_fault: Option<String>,
    /// When the issuing certificate ends.
    pub issuer_ends: OffsetDateTime,
    /// When the root ends.
    pub root_ends: Option<OffsetDateTime>,
    /// When the certificate ends that the listeners present.
    pub listeners_end: Option<OffsetDateTime>,
}

/// Space on a disk, in bytes.
#[derive(Debug, Clone, Copy)]
pub struct Disk {
    /// What the service's account may still use.
    pub available: u64,
    /// All of it.
    pub size: u64,
}

impl Health {
    /// How many requests there are in a state, or at all.
    pub fn requests(&self, state: Option<State>) -> i64 {
        let counted = self.counts.iter().filter(|count| state.is_none_or(|state| count.state == state));
        counted.map(|count| count.requests).sum()
    }
}

impl App {
    /// What the service says of itself, for those who care for it.
    pub async fn health(&self, actor: &Actor) -> Result<Health, Failure> {
        self.allow(actor, Action::ReadHealth, &Object::Everything).await?;
        self.condition().await
    }

    /// The same, for whoever was let in already.
    pub(in crate::service) async fn condition(&self) -> Result<Health, Failure> {
        let mut connection = self.database.read().await?;
        let crl = crls::dates(&mut connection).await?;
        let counts = requests::counts(&mut connection, None).await?;
        let oldest = Filter { state: Some(State::Pending), limit: 1, ..Filter::default() };
        let oldest = request_list::list(&mut connection, &oldest).await?.items.pop();
        Ok(Health {
            info: self.info(),
            crl: crl.map(|crl| (crl.number.unsigned_abs(), crl.this_update.0, crl.next_update.0)),
            counts,
            oldest_pending: oldest.map(|(request, _)| request.submitted_at),
            outbox: outbox::waiting(&mut connection).await?,
            database_bytes: db::size(&mut connection).await?,
            disk: self.disk(),
            key: self.ca.key_place(),
            key_fault: self.key_fault().await,
            issuer_ends: self.ca.issuing_ends(),
            root_ends: end_of(self.ca.root()),
            listeners_end: self.presented.get().map(|presented| presented.identity().ends),
        })
    }

    /// Why the issuing key cannot be reached now, where it cannot. Asking connects a token again that was lost.
    pub(in crate::service) async fn key_fault(&self) -> Option<String> {
        // A token that does not answer keeps one who asks waiting, not one after the other.
        let Ok(turn) = self.asking_key.clone().try_lock_owned() else { return Some("no answer yet".to_owned()) };
        let ca = self.ca.clone();
        let asked = tokio::task::spawn_blocking(move || {
            let _turn = turn;
            ca.check_key()
        });
        match timeout(KEY_DEADLINE, asked).await {
            Ok(Ok(Ok(()))) => None,
            Ok(Ok(Err(error))) => Some(error.to_string()),
            Ok(Err(error)) => Some(error.to_string()),
            Err(_) => Some(format!("no answer within {} s", KEY_DEADLINE.as_secs())),
        }
    }

    /// Number and dates of the newest revocation list.
    pub(in crate::service) async fn crl_dates(&self) -> Result<Option<CrlDates>, Failure> {
        Ok(crls::dates(&mut *self.database.read().await?).await?)
    }

    /// The disk on which the home lies, with the database where that is a file; where the system tells.
    #[cfg(unix)]
    pub(in crate::service) fn disk(&self) -> Option<Disk> {
        let disk = rustix::fs::statvfs(self.home.folder()).ok()?;
        Some(Disk { available: disk.f_bavail * disk.f_frsize, size: disk.f_blocks * disk.f_frsize })
    }

    /// The disk on which the database lies, where the system tells.
    #[cfg(not(unix))]
    #[expect(clippy::unused_self, reason = "elsewhere the folder is needed")]
    pub(in crate::service) fn disk(&self) -> Option<Disk> {
        None
    }
}

fn end_of(certificate: &[u8]) -> Option<OffsetDateTime> {
    Content::of_certificate(certificate)?.validity.map(|(_, end)| end)
}
