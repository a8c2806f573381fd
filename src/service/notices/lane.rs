//! Lanes: one to the mail server and one to each webhook, so that one that is down holds up no other.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::task::spawn_blocking;
use tokio::time::{MissedTickBehavior, interval};

use super::mail::Mailer;
use super::webhook::Hook;
use crate::kill_point;
use crate::locales::Text;
use crate::protocol::text::printable;
use crate::service::app::App;
use crate::service::config::host;
use crate::service::db::Moment;
use crate::service::db::outbox::{self, Channel, EntryRow};
use crate::service::error::Failure;
use crate::service::files::FileError;
use crate::service::server::ROUND;

/// Longer than any attempt takes: a mail server has a minute for each of about ten answers.
const MAIL_TIME: Duration = Duration::from_secs(15 * 60);
const WEBHOOK_TIME: Duration = Duration::from_secs(60);
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

/// What was tried to be sent, what became of it, and when.
type Sent = (EntryRow, Result<(), Undelivered>, Moment);

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
        let mut sent = None;
        let mut woken = app.outbox.subscribe();
        let mut ticks = interval(ROUND);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                _ = ticks.tick() => {}
                _ = woken.changed() => {}
                _ = stopped.wait_for(|stopped| *stopped) => return,
            }
            if let Err(error) = self.send_due(&app, &mut sent, &stopped).await {
                log::error!(what = "send notices", cause:% = error; "not done, will be tried again");
            }
        }
    }

    /// Sends what is due. What is under way when the service stops is finished, so that it is not sent again.
    ///
    /// What was sent and not noted, because the database did not answer, is noted first.
    async fn send_due(
        &self,
        app: &App,
        sent: &mut Option<Sent>,
        stopped: &watch::Receiver<bool>,
    ) -> Result<(), Failure> {
        loop {
            let go_on = !*stopped.borrow() && !matches!(sent, Some((_, Err(Undelivered::Unanswered(_)), _)));
            let next = self.next(app, sent.as_ref(), go_on).await;
            // What cannot be noted at all would hold up all that is to come.
            if !next.as_ref().is_err_and(Failure::is_of_database) {
                *sent = None;
            }
            let Some(entry) = next? else { return Ok(()) };
            kill_point::pass("notice.before-send");
            let (way, now) = (self.0.clone(), app.clock.now());
            let attempt = {
                let entry = entry.clone();
                spawn_blocking(move || match &*way {
                    Way::Mail(mailer) => mailer.send(&entry),
                    Way::Webhook(hook) => hook.send(&entry, now),
                })
            };
            let result = attempt.await.unwrap_or_else(|error| Err(Undelivered::Refused(error.to_string())));
            kill_point::pass("notice.after-send");
            app.metrics.notice(self.channel(), result.is_ok());
            *sent = Some((entry, result, app.now()));
        }
    }

    /// Notes what became of an entry, and takes the next one that is due, in one step. Another process does not send what
    /// this one has taken, unless this one dies on the way or cannot note for too long what became of it.
    ///
    /// Whoever wrote an entry woke this lane before the commit: waiting for the right to write, which is given back
    /// before anything is sent, means to see what was committed.
    async fn next(&self, app: &App, sent: Option<&Sent>, go_on: bool) -> Result<Option<EntryRow>, Failure> {
        let mut transaction = app.database.write().await?;
        if let Some((entry, result, at)) = sent {
            let (id, attempts, at) = (entry.id, entry.attempts + 1, *at);
            match result {
                Ok(()) => outbox::sent(&mut transaction, id, at).await?,
                Err(Undelivered::Refused(cause) | Undelivered::Unanswered(cause)) => {
                    let cause: String = printable(cause).chars().take(ERROR_LIMIT).collect();
                    log::warn!(notice = id, attempts, cause; "notice not sent");
                    let next = (attempts < ATTEMPTS).then(|| Moment(at.0 + pause(attempts)));
                    outbox::not_sent(&mut transaction, entry, at, next, &cause).await?;
                }
            }
        }
        let (receiver, time) = match &*self.0 {
            Way::Mail(_) => (None, MAIL_TIME),
            Way::Webhook(hook) => (Some(hook.url.as_str()), WEBHOOK_TIME),
        };
        let now = app.now();
        let next = match go_on {
            true => outbox::claim(&mut transaction, self.channel(), receiver, now, Moment(now.0 + time)).await?,
            false => None,
        };
        transaction.commit().await?;
        Ok(next)
    }

    fn channel(&self) -> Channel {
        match &*self.0 {
            Way::Mail(_) => Channel::Email,
            Way::Webhook(_) => Channel::Webhook,
        }
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
