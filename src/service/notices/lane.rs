//! Lanes: one to the mail server and one to each webhook, so that one that is down holds up no other.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::task::spawn_blocking;
use tokio::time::{MissedTickBehavior, interval};

use super::mail::Mailer;
use super::webhook::Hook;
use crate::locales::Text;
use crate::protocol::text::printable;
use crate::service::app::App;
use crate::service::config::host;
use crate::service::db::Moment;
use crate::service::db::outbox::{self, Channel, EntryRow};
use crate::service::error::Failure;
use crate::service::files::FileError;
use crate::service::server::ROUND;

/// How many entries are read at once.
const BATCH: u32 = 50;
/// After how many attempts an entry is given up: with [`pause`], after about three days.
const ATTEMPTS: u32 = 20;
const SHORTEST_PAUSE: Duration = Duration::from_secs(60);
const LONGEST_PAUSE: Duration = Duration::from_secs(6 * 60 * 60);
/// How much of an error is kept.
const ERROR_LIMIT: usize = 500;

/// Why notices cannot be sent at all.
#[derive(Debug, thiserror::Error)]
#[error("{}", self.text())]
pub enum LaneError {
    /// A secret cannot be read.
    File(#[from] FileError),
    /// A webhook's secret could be found by trying.
    ShortSecret {
        /// The file.
        path: PathBuf,
    },
    /// The connection to the mail server cannot be protected.
    Mail(lettre::transport::smtp::Error),
}

impl LaneError {
    /// The error with its fix, for a person.
    pub fn text(&self) -> Text {
        match self {
            Self::File(error) => error.text(),
            Self::ShortSecret { path } => Text::new("notice-secret-short").with("path", path.display()),
            Self::Mail(cause) => Text::new("notice-mail-tls").with("cause", cause),
        }
    }
}

/// Why something was not delivered.
pub(super) enum Undelivered {
    /// The other side took what was before and may take what comes after, but not this.
    Refused(String),
    /// The other side takes nothing now.
    Unanswered(String),
}

/// A way on which notices leave, one after the other.
#[derive(Debug)]
pub struct Lane(Arc<Way>);

#[derive(Debug)]
enum Way {
    Mail(Mailer),
    Webhook(Box<Hook>),
}

/// The lanes of an installation.
pub fn lanes(app: &App) -> Result<Vec<Lane>, LaneError> {
    let home = app.home().folder();
    let settings = app.settings();
    let name = host(&settings.public_url).unwrap_or("localhost");
    let mail = settings.mail.iter().map(|mail| Mailer::new(mail, home, name).map(Way::Mail));
    let webhooks = settings.webhooks.iter().map(|webhook| Hook::new(webhook, home).map(Box::new).map(Way::Webhook));
    mail.chain(webhooks).map(|way| Ok(Lane(Arc::new(way?)))).collect()
}

impl Lane {
    /// Sends what is due until the service stops: at once what an earlier run left, then whatever comes.
    pub async fn run(self, app: Arc<App>, mut stopped: watch::Receiver<bool>) {
        let mut woken = app.outbox.subscribe();
        let mut ticks = interval(ROUND);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                _ = ticks.tick() => {}
                _ = woken.changed() => {}
                _ = stopped.wait_for(|stopped| *stopped) => return,
            }
            if let Err(error) = self.send_due(&app, &stopped).await {
                log::error!("not done, will be tried again: what=send notices cause={error}");
            }
        }
    }

    /// Sends what is due. What is under way when the service stops is finished, so that it is not sent again.
    async fn send_due(&self, app: &App, stopped: &watch::Receiver<bool>) -> Result<(), Failure> {
        loop {
            let due = self.due(app).await?;
            let last = due.len() < BATCH as usize;
            for entry in due {
                if *stopped.borrow() || !self.deliver(app, entry).await? {
                    return Ok(());
                }
            }
            if last {
                return Ok(());
            }
        }
    }

    /// What is due now.
    ///
    /// Whoever wrote an entry woke this lane before the commit: waiting for the right to write, which is given back
    /// before anything is sent, means to see what was committed.
    async fn due(&self, app: &App) -> Result<Vec<EntryRow>, Failure> {
        let (channel, receiver) = match &*self.0 {
            Way::Mail(_) => (Channel::Email, None),
            Way::Webhook(hook) => (Channel::Webhook, Some(hook.url.as_str())),
        };
        let mut transaction = app.database.write().await?;
        let due = outbox::due(&mut transaction, channel, receiver, app.now(), BATCH).await?;
        transaction.commit().await?;
        Ok(due)
    }

    /// Sends an entry and notes what became of it. Returns whether it is worth trying the next one now.
    async fn deliver(&self, app: &App, entry: EntryRow) -> Result<bool, Failure> {
        let (id, attempts) = (entry.id, entry.attempts + 1);
        let (way, now) = (self.0.clone(), app.clock.now());
        let attempt = spawn_blocking(move || match &*way {
            Way::Mail(mailer) => mailer.send(&entry),
            Way::Webhook(hook) => hook.send(&entry, now),
        });
        let result = attempt.await.unwrap_or_else(|error| Err(Undelivered::Refused(error.to_string())));
        let now = app.now();
        let mut transaction = app.database.write().await?;
        match &result {
            Ok(()) => outbox::sent(&mut transaction, id, now).await?,
            Err(Undelivered::Refused(cause) | Undelivered::Unanswered(cause)) => {
                let cause: String = printable(cause).chars().take(ERROR_LIMIT).collect();
                log::warn!("notice not sent: notice={id} attempts={attempts} cause={cause}");
                let next = (attempts < ATTEMPTS).then(|| Moment(now.0 + pause(attempts)));
                outbox::not_sent(&mut transaction, id, now, next, &cause).await?;
            }
        }
        transaction.commit().await?;
        Ok(!matches!(result, Err(Undelivered::Unanswered(_))))
    }
}

/// How long to wait after so many attempts: twice as long each time.
fn pause(attempts: u32) -> Duration {
    SHORTEST_PAUSE.saturating_mul(1 << (attempts - 1).min(16)).min(LONGEST_PAUSE)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_up_to_six_hours_and_end_after_days() {
        let minutes = |attempts| pause(attempts).as_secs() / 60;
        assert_eq!([1, 2, 3, 9, 10, 11].map(minutes), [1, 2, 4, 256, 360, 360]);
        let days = (1..ATTEMPTS).map(minutes).sum::<u64>() as f64 / (24.0 * 60.0);
        assert!((2.5..3.5).contains(&days), "{days}");
    }
}
