//! Notices: who is told of what, and in which words.
//!
//! What is to be sent is written into the outbox in the transaction of the change that it tells of, so that nothing is
//! lost and nothing is told that did not happen. [`Lane`]s send it afterwards; no decision waits for the network.

mod lane;
mod letter;
mod mail;
mod settings;
mod webhook;

use std::collections::BTreeMap;

use time::{OffsetDateTime, Time};

use super::app::App;
use super::db::outbox::{self, Channel, NewEntry};
use super::db::requests::{self, RequestRow};
use super::db::{Connection, DatabaseError, Moment, managers};
use super::error::Failure;
use super::registration::as_json;
use crate::locales::Language;
use crate::protocol::request::{RequestNumber, Role, State};

pub use self::lane::{Lane, LaneError, lanes};
pub use self::settings::{Mail, Security, Webhook, check};
pub use self::webhook::{EVENT_ID, Event, SIGNATURE};

use self::letter::Writer;

/// How long the outbox keeps what was sent or given up: it holds addresses and names.
const KEPT: time::Duration = time::Duration::days(30);

/// How much waits to be sent, and how much never arrived.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OutboxState {
    /// How many notices wait.
    pub waiting: u64,
    /// How many were given up in the last 30 days.
    pub failed: u64,
    /// Since when the oldest one waits.
    pub oldest_waiting: Option<OffsetDateTime>,
}

impl App {
    /// Tells those concerned where a request stands now. The transaction is that of the change.
    pub(super) async fn tell(&self, transaction: &mut Connection, number: RequestNumber) -> Result<(), Failure> {
        if !self.tells() {
            return Ok(());
        }
        let row = requests::find(transaction, number).await?;
        let row = row.ok_or(Failure::Inconsistent { what: "a request that just changed" })?;
        self.tell_of(transaction, &row).await
    }

    /// Whether there is a way to tell anybody anything.
    pub(super) fn tells(&self) -> bool {
        self.settings.mail.is_some() || !self.settings.webhooks.is_empty()
    }

    /// The same where the request, as it stands now, is at hand.
    pub(super) async fn tell_of(&self, transaction: &mut Connection, row: &RequestRow) -> Result<(), Failure> {
        // A request enters each state once.
        let id = format!("request-{}-{}", row.number, row.state);
        for webhook in self.settings.webhooks.iter().filter(|webhook| webhook.concerns(&row.organisation)) {
            self.put(transaction, &id, Channel::Webhook, &webhook.url, &Event::from(row)).await?;
        }
        if let Some(mail) = &self.settings.mail {
            let writer = self.writer();
            match row.state {
                // Where requests are approved as they come, there is nothing to decide.
                State::Pending if !self.auto_approve => {
                    for (email, language) in concerned(transaction, row).await? {
                        self.put(transaction, &id, Channel::Email, &email, &writer.pending(row, language)).await?;
                    }
                }
                State::Approved | State::Rejected | State::Revoked if !row.contact.email.is_empty() => {
                    let letter = writer.decided(row, mail.language);
                    self.put(transaction, &id, Channel::Email, &row.contact.email, &letter).await?;
                }
                _ => {}
            }
        }
        Ok(())
    }

    /// Reminds the managers concerned of what waits for them, in one letter each.
    ///
    /// Days are those of the calendar (UTC): what becomes due on a day does so at its start, and stands in one letter.
    pub async fn remind(&self) -> Result<(), Failure> {
        let days = self.settings.mail.as_ref().map_or(0, |mail| mail.reminder_days);
        if days == 0 {
            return Ok(());
        }
        let today = self.clock.now().replace_time(Time::MIDNIGHT);
        let before = Moment(today - time::Duration::days(i64::from(days) - 1));
        // Most often there are none, and readers do not wait for writers.
        if requests::unattended(&mut *self.database.read().await?, before).await?.is_empty() {
            return Ok(());
        }
        let mut transaction = self.database.write().await?;
        let rows = requests::unattended(&mut transaction, before).await?;
        let now = self.now();
        let mut letters: BTreeMap<String, (Language, Vec<&RequestRow>)> = BTreeMap::new();
        for row in &rows {
            for (email, language) in concerned(&mut transaction, row).await? {
                letters.entry(email).or_insert((language, Vec::new())).1.push(row);
            }
            requests::reminded(&mut transaction, row.number, now).await?;
        }
        let id = format!("reminder-{}", now.0.unix_timestamp());
        for (email, (language, rows)) in letters {
            let letter = self.writer().reminder(&rows, language);
            self.put(&mut transaction, &id, Channel::Email, &email, &letter).await?;
        }
        Ok(transaction.commit().await?)
    }

    /// Gives up what the settings no longer have a way for, and forgets what is long over.
    pub async fn tidy_up_outbox(&self) -> Result<(), Failure> {
        let urls: Vec<&str> = self.settings.webhooks.iter().map(|webhook| webhook.url.as_str()).collect();
        let now = self.now();
        let mut transaction = self.database.write().await?;
        outbox::give_up_others(&mut transaction, self.settings.mail.is_some(), &urls, now).await?;
        outbox::forget(&mut transaction, Moment(now.0 - KEPT)).await?;
        Ok(transaction.commit().await?)
    }

    /// How much waits to be sent, and how much never arrived. Tells of nobody.
    pub async fn outbox_state(&self) -> Result<OutboxState, Failure> {
        let row = outbox::state(&mut *self.database.read().await?).await?;
        Ok(OutboxState {
            waiting: row.waiting.unsigned_abs(),
            failed: row.failed.unsigned_abs(),
            oldest_waiting: row.oldest_waiting.map(|moment| moment.0),
        })
    }

    /// Puts something into the outbox, and wakes those who send it: they wait until the transaction is over.
    async fn put(
        &self,
        transaction: &mut Connection,
        event: &str,
        channel: Channel,
        receiver: &str,
        payload: &impl serde::Serialize,
    ) -> Result<(), Failure> {
        let payload = as_json(payload)?;
        let entry = NewEntry { event, channel, receiver, payload: &payload, created_at: self.now() };
        outbox::insert(transaction, &entry).await?;
        self.outbox.send_replace(());
        Ok(())
    }

    fn writer(&self) -> Writer<'_> {
        Writer { environment: &self.settings.environment, secure_url: &self.settings.secure_url }
    }
}

/// The managers who decide on a request: those of its kind, or the PTC managers where its organisation has none.
async fn concerned(connection: &mut Connection, row: &RequestRow) -> Result<Vec<(String, Language)>, DatabaseError> {
    let managers = managers::in_office(connection, row.kind.approver(), &row.organisation).await?;
    match managers.is_empty() {
        true => managers::in_office(connection, Role::PtcManager, &row.organisation).await,
        false => Ok(managers),
    }
}
