//! The running service: its listeners and what happens by itself from time to time.

use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::{Instant, MissedTickBehavior, interval, timeout, timeout_at};

use super::app::App;
use super::config::Settings;
use super::credential::CredentialError;
use super::error::Failure;
use super::listener::{self, Limits, ListenerName};
use super::notices::{self, LaneError};
use super::router;
use super::tls::{self, Identity, Presented, TlsError};
use crate::locales::Text;

/// How often the service looks for what is due: requests to expire, certificates to sign, a list to renew.
pub(super) const ROUND: Duration = Duration::from_secs(60);

/// How many connections the operations listener has: a few collectors and probes, and no way to fill the memory.
const OPERATIONS_CONNECTIONS: usize = 64;

/// How long the stop waits for what is under way, a notice above all, and then for the database to close: less than the 90 seconds
/// after which systemd kills.
const STOP_DEADLINE: Duration = Duration::from_secs(70);
const CLOSE_DEADLINE: Duration = Duration::from_secs(10);

/// How often it looks for requests that are not in the index of searches.
const INDEX_ROUND: Duration = Duration::from_secs(1);

/// How often it looks how long the database's log is, and how much later where it cannot be begun anew.
const LOG_ROUND: Duration = Duration::from_secs(1);
const LOG_PAUSE: Duration = Duration::from_secs(30);

/// How often it looks for bulk decisions that a process which died has left.
const BULK_ROUND: Duration = Duration::from_secs(1);

/// How far the index stays behind while submissions wait to be written: so many requests, for so long.
const INDEX_BEHIND: u64 = 20_000;
const INDEX_DELAY: Duration = Duration::from_secs(30);

/// How often it looks whether its database was moved.
const MOVE_ROUND: Duration = Duration::from_secs(1);

/// Why the service does not start.
#[derive(Debug, thiserror::Error)]
#[error("{}", self.text())]
pub enum ServeError {
    /// A listener's address cannot be had.
    Listen {
        /// The address.
        address: SocketAddr,
        /// What the system said.
        cause: io::Error,
    },
    /// The listeners' key or certificate.
    Credential(#[from] CredentialError),
    /// The TLS configuration.
    Tls(#[from] TlsError),
    /// What was left undone cannot be done.
    Resume(#[from] Failure),
    /// What the sending of notices needs.
    Notices(#[from] LaneError),
}

impl ServeError {
    /// The error with its fix, for a person.
    pub fn text(&self) -> Text {
        match self {
            Self::Listen { address, cause } => Text::new("serve-listen").with("address", address).with("cause", cause),
            Self::Credential(error) => error.text(),
            Self::Tls(error) => error.text(),
            Self::Resume(error) => error.text(),
            Self::Notices(error) => error.text(),
        }
    }
}

/// The service, running until [`Running::stop`].
#[derive(Debug)]
pub struct Running {
    /// Where the public listener listens.
    pub public: SocketAddr,
    /// Where the secure listener listens.
    pub secure: SocketAddr,
    /// Where the operations listener listens, if it does.
    pub operations: Option<SocketAddr>,
    /// Where the plain listener listens, if there is one.
    pub plain: Option<SocketAddr>,
    app: Arc<App>,
    stop: watch::Sender<bool>,
    tasks: Vec<JoinHandle<()>>,
    /// What goes on until everything else has stopped.
    watched: watch::Sender<bool>,
    watching: Option<JoinHandle<()>>,
}

impl Running {
    /// Accepts nothing more, lets running requests finish, and closes the database. Until then the operations listener
    /// says that the service is not ready. A database that does not answer is not waited for: what was acknowledged is there.
    pub async fn stop(self) {
        self.app.begin_to_stop();
        self.stop.send_replace(true);
        let end = Instant::now() + STOP_DEADLINE;
        for task in self.tasks {
            let abort = task.abort_handle();
            // A task that panicked has said so already.
            if timeout_at(end, task).await.is_err() {
                log::warn!(after:? = STOP_DEADLINE; "work cut off");
                abort.abort();
            }
        }
        self.watched.send_replace(true);
        if let Some(task) = self.watching {
            // A task that panicked has said so already.
            let _ = task.await;
        }
        if timeout(CLOSE_DEADLINE, self.app.database().close()).await.is_err() {
            log::warn!(after:? = CLOSE_DEADLINE; "database not closed");
        }
    }
}

/// Starts the service: finishes what an earlier run left undone, then listens.
pub async fn serve(app: Arc<App>, limits: Limits) -> Result<Running, ServeError> {
    let identity = Identity::of(&tls::load(&app.home().tls())?)?;
    let presented = app.presented.get_or_init(|| Arc::new(Presented::new(identity)));
    let public_tls = tls::public_config(presented.clone())?;
    let secure_tls = tls::secure_config(presented.clone(), &[app.ca().issuing()])?;
    let lanes = notices::lanes(&app)?;
    let (public_listener, public) = bind(app.settings().public_listen).await?;
    let (secure_listener, secure) = bind(app.settings().secure_listen).await?;
    let operations_listener = match app.settings().operations_listen {
        Some(address) => Some(bind(address).await?),
        None => None,
    };
    let plain = match app.settings().http_listen {
        Some(address) => Some(bind(address).await?),
        None => None,
    };
    attempt("take away the mark of a move", app.end_move()).await;
    app.sign_recorded().await?;
    app.refresh_crl().await?;
    attempt("renew the listeners' certificate", app.renew_listeners()).await;

    let (stop, stopped) = watch::channel(false);
    let limits = Limits { connections_per_address: app.settings().limits.connections_per_address, ..limits };
    let accept = |listener, tls, router, name| {
        tokio::spawn(listener::serve(listener, tls, router, limits, app.metrics.traffic(name), stopped.clone()))
    };
    let mut tasks = vec![
        accept(public_listener, Some(public_tls), router::public(app.clone()), ListenerName::Public),
        accept(secure_listener, Some(secure_tls), router::secure(app.clone()), ListenerName::Secure),
        tokio::spawn(rounds(app.clone(), stopped.clone())),
        tokio::spawn(index(app.clone(), stopped.clone())),
        tokio::spawn(bulk_decisions(app.clone(), stopped.clone())),
        tokio::spawn(limit_log(app.clone(), stopped.clone())),
    ];
    let plain = plain.map(|(listener, address)| {
        tasks.push(accept(listener, None, router::plain(app.clone()), ListenerName::Plain));
        address
    });
    tasks.extend(lanes.into_iter().map(|lane| tokio::spawn(lane.run(app.clone(), stopped.clone()))));
    let (watched, unwatched) = watch::channel(false);
    let (watching, operations) = operations_listener
        .map(|(listener, address)| {
            let limits = Limits { connections: OPERATIONS_CONNECTIONS, connections_per_address: 0, ..limits };
            let traffic = app.metrics.traffic(ListenerName::Operations);
            let router = router::operations(app.clone());
            (tokio::spawn(listener::serve(listener, None, router, limits, traffic, unwatched)), address)
        })
        .unzip();
    let environment = app.settings().environment.as_str();
    let watched_at = operations.map_or_else(|| "none".to_owned(), |address: SocketAddr| address.to_string());
    log::info!(environment, public:%, secure:%, operations = watched_at; "service started");
    Ok(Running { public, secure, operations, plain, app, stop, tasks, watched, watching })
}

/// Returns when the database was moved and the settings name the one in use: time to stop and open the installation anew.
pub async fn moved(app: &App) {
    let mut ticks = interval(MOVE_ROUND);
    loop {
        ticks.tick().await;
        // Where the file cannot be read, nor can it be said that it was moved.
        let closed = app.database().was_moved().await.unwrap_or(false);
        if closed && Settings::load(app.home()).is_ok_and(|settings| settings.database != app.settings().database) {
            return;
        }
    }
}

async fn bind(address: SocketAddr) -> Result<(TcpListener, SocketAddr), ServeError> {
    let failed = |cause| ServeError::Listen { address, cause };
    let listener = TcpListener::bind(address).await.map_err(failed)?;
    let bound = listener.local_addr().map_err(failed)?;
    Ok((listener, bound))
}

/// Does from time to time what is due. What fails is tried again in the next round.
async fn rounds(app: Arc<App>, mut stopped: watch::Receiver<bool>) {
    let mut ticks = interval(ROUND);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    // The first tick comes at once, when everything has just been done.
    ticks.tick().await;
    loop {
        tokio::select! {
            _ = ticks.tick() => {}
            _ = stopped.wait_for(|stopped| *stopped) => return,
        }
        attempt("expire requests", app.expire()).await;
        attempt("sign certificates", app.sign_recorded()).await;
        attempt("renew the revocation list", app.refresh_crl()).await;
        attempt("renew the OCSP responder", app.renew_responder()).await;
        attempt("renew the listeners' certificate", app.renew_listeners()).await;
        attempt("remind managers", app.remind()).await;
        attempt("tidy up the outbox", app.tidy_up_outbox()).await;
        attempt("tidy up bulk decisions", app.tidy_up_bulk()).await;
    }
}

/// Brings the index of the requests up to what came in the meantime, part by part, so that others write in between. Whoever
/// waits for an acknowledgement goes first.
async fn index(app: Arc<App>, mut stopped: watch::Receiver<bool>) {
    let mut ticks = interval(INDEX_ROUND);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut complete = Instant::now();
    loop {
        tokio::select! {
            _ = ticks.tick() => {}
            _ = stopped.wait_for(|stopped| *stopped) => return,
        }
        while !*stopped.borrow() {
            let spared = if app.is_writing() && complete.elapsed() < INDEX_DELAY { INDEX_BEHIND } else { 0 };
            if !app.index_requests(spared).await {
                if spared == 0 {
                    complete = Instant::now();
                }
                break;
            }
        }
    }
}

/// Keeps the database's log from growing.
async fn limit_log(app: Arc<App>, mut stopped: watch::Receiver<bool>) {
    let mut pause = LOG_ROUND;
    while timeout(pause, stopped.wait_for(|stopped| *stopped)).await.is_err() {
        pause = match app.database().limit_log().await {
            Ok(true) => LOG_ROUND,
            Ok(false) => LOG_PAUSE,
            Err(error) => {
                log::error!(cause:% = error; "the database's log is not begun anew, will be tried again");
                LOG_PAUSE
            }
        };
    }
}

/// Works off bulk decisions: at once what an earlier run left, then whatever comes.
async fn bulk_decisions(app: Arc<App>, mut stopped: watch::Receiver<bool>) {
    let mut woken = app.bulk_work.subscribe();
    let mut ticks = interval(BULK_ROUND);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            _ = ticks.tick() => {}
            _ = woken.changed() => {}
            _ = stopped.wait_for(|stopped| *stopped) => return,
        }
        attempt("decide in bulk", app.work_off_bulk(&stopped)).await;
    }
}

async fn attempt(what: &str, work: impl Future<Output = Result<(), Failure>>) {
    if let Err(error) = work.await {
        log::error!(what, cause:% = error; "not done, will be tried again");
    }
}
