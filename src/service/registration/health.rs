//! How the service is, for those who look after it.

use time::OffsetDateTime;

use super::Content;
use crate::protocol::messages::ServiceInfo;
use crate::protocol::request::State;
use crate::service::app::App;
use crate::service::auth::{Action, Actor, Object};
use crate::service::db::request_list::{self, Filter};
use crate::service::db::{self, crls, requests};
use crate::service::error::Failure;
use crate::service::notices::OutboxState;
use crate::service::tls;

/// How the service is.
#[derive(Debug)]
pub struct Health {
    /// Environment, version, clock.
    pub info: ServiceInfo,
    /// Number, moment and end of the revocation list.
    pub crl: Option<(u64, OffsetDateTime, OffsetDateTime)>,
    /// How many requests there are.
    pub requests: i64,
    /// How many of them wait.
    pub pending: i64,
    /// Since when the oldest one waits.
    pub oldest_pending: Option<OffsetDateTime>,
    /// The notices that wait, and those given up.
    pub outbox: OutboxState,
    /// The size of the database.
    pub database_bytes: u64,
    /// When the issuing certificate ends.
    pub issuer_ends: Option<OffsetDateTime>,
    /// When the root ends.
    pub root_ends: Option<OffsetDateTime>,
    /// When the listeners' certificate ends.
    pub listeners_end: Option<OffsetDateTime>,
}

impl App {
    /// What the service says of itself, for those who care for it.
    pub async fn health(&self, actor: &Actor) -> Result<Health, Failure> {
        self.allow(actor, Action::ReadHealth, &Object::Everything).await?;
        let outbox = self.outbox_state().await?;
        let mut connection = self.database.read().await?;
        let crl = crls::latest(&mut connection).await?;
        let counts = requests::counts(&mut connection, None).await?;
        let oldest = Filter { state: Some(State::Pending), limit: 1, ..Filter::default() };
        let oldest = request_list::list(&mut connection, &oldest).await?.items.pop();
        let end_of = |der: &[u8]| Content::of_certificate(der)?.validity.map(|(_, end)| end);
        let listeners = tls::load(&self.home.tls()).ok();
        Ok(Health {
            info: self.info(),
            crl: crl.map(|crl| (crl.number.unsigned_abs(), crl.this_update.0, crl.next_update.0)),
            requests: counts.iter().map(|count| count.requests).sum(),
            pending: counts.iter().filter(|count| count.state == State::Pending).map(|count| count.requests).sum(),
            oldest_pending: oldest.map(|request| request.submitted_at),
            outbox,
            database_bytes: db::size(&mut connection).await?,
            issuer_ends: end_of(self.ca.issuing()),
            root_ends: end_of(self.ca.root()),
            listeners_end: listeners.and_then(|credential| end_of(credential.chain().first()?)),
        })
    }
}
