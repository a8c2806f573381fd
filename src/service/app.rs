//! The running installation: what everything else in the service is given.

use std::fmt;
use std::sync::atomic::AtomicBool;
use std::sync::{self, Arc, OnceLock};

use time::OffsetDateTime;
use tokio::sync::{Mutex, watch};

use super::admission::Admission;
use super::audit;
use super::ca::{Ca, CaError, Serial};
use super::config::{Home, Settings, SettingsError};
use super::credential::CredentialError;
use super::db::filling;
use super::db::{Database, DatabaseError, Moment};
use super::error::Failure;
use super::metrics::Metrics;
use super::opening;
use super::package::Signer;
use super::publication::{Budget, Publication};
use super::registration::{Drafting, Group, PART, Signing, Submitters, Watchers};
use super::tls::Presented;
use crate::locales::Text;
use crate::protocol::identifier;
use crate::protocol::secret::{hex, sha256_hex};

/// The environment that real clients use, where nothing approves by itself.
const PRODUCTION: &str = "prod";

/// Why an installation cannot be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The settings.
    #[error(transparent)]
    Settings(#[from] SettingsError),
    /// The database.
    #[error(transparent)]
    Database(#[from] DatabaseError),
    /// The CA.
    #[error(transparent)]
    Ca(#[from] CaError),
    /// The package signer.
    #[error(transparent)]
    Signer(#[from] CredentialError),
    /// The database tells of another CA than the one beside it.
    #[error("{}", self.text())]
    Foreign {
        /// The database.
        place: String,
    },
    /// Automatic approval was asked for where it may not be.
    #[error("{}", self.text())]
    AutoApproval,
}

impl OpenError {
    /// The error with its fix, for a person.
    pub fn text(&self) -> Text {
        match self {
            Self::Settings(error) => error.text(),
            Self::Database(error) => error.text(),
            Self::Ca(error) => error.text(),
            Self::Signer(error) => error.text(),
            Self::Foreign { place } => Text::new("database-foreign").with("path", place),
            Self::AutoApproval => Text::new("auto-approve-refused"),
        }
    }
}

/// Where the time comes from.
#[derive(Clone)]
pub struct Clock(Arc<dyn Fn() -> OffsetDateTime + Send + Sync>);

impl Clock {
    /// The system's clock.
    pub fn system() -> Self {
        Self::new(OffsetDateTime::now_utc)
    }

    /// A clock of one's own.
    pub fn new(now: impl Fn() -> OffsetDateTime + Send + Sync + 'static) -> Self {
        Self(Arc::new(now))
    }

    /// The present moment.
    pub fn now(&self) -> OffsetDateTime {
        (self.0)()
    }

    /// The same in whole seconds, as records have it.
    pub fn moment(&self) -> Moment {
        Moment(self.now().truncate_to_second())
    }
}

impl fmt::Debug for Clock {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Clock")
    }
}

/// An open installation. What it does is in `registration`.
pub struct App {
    pub(super) home: Home,
    pub(super) settings: Settings,
    pub(super) database: Database,
    pub(super) ca: Arc<Ca>,
    pub(super) signer: Signer,
    pub(super) clock: Clock,
    pub(super) serials: Box<dyn Fn(OffsetDateTime) -> Result<Serial, CaError> + Send + Sync>,
    pub(super) auto_approve: bool,
    pub(super) publication: Publication,
    pub(super) watchers: Watchers,
    pub(super) admission: Admission,
    pub(super) metrics: Metrics,
    pub(super) stopping: AtomicBool,
    /// The certificate that the listeners present, where there are listeners.
    pub(super) presented: OnceLock<Arc<Presented>>,
    /// When another one was last asked for.
    pub(super) renewal_tried: sync::Mutex<Option<OffsetDateTime>>,
    pub(super) group: Group,
    pub(super) signing: Signing,
    pub(super) drafting: Drafting,
    /// Held by whoever asks for the issuing key's health.
    pub(super) asking_key: Arc<Mutex<()>>,
    pub(super) submitters: Submitters,
    /// Wakes those who send what is in the outbox.
    pub(super) outbox: watch::Sender<()>,
    /// Wakes whoever works on bulk decisions.
    pub(super) bulk_work: watch::Sender<()>,
    /// How many requests of a bulk decision are decided on in one transaction.
    pub(super) bulk_part: usize,
    /// A name of this process that no other one has.
    pub(super) process: String,
}

impl App {
    /// Opens an installation: its settings, database, CA and package signer.
    pub async fn open(home: Home, clock: Clock) -> Result<Self, OpenError> {
        let settings = Settings::load(&home)?;
        let place = settings.place(&home)?;
        let database = opening::open(&place, &home).await?;
        let ca = Arc::new(Ca::load(&home.ca(), &settings.key_access(&home)?)?);
        // A list of revocations from elsewhere, signed with this CA's key, would make revoked certificates good again.
        let installed = audit::installed_root(&mut *database.read().await?).await?;
        if installed != Some(sha256_hex(ca.root())) {
            return Err(OpenError::Foreign { place: place.to_string() });
        }
        let signer = Signer::load(&home.package_signer())?;
        let publication = Publication::new(&ca)?;
        let serials = Box::new(Serial::fresh);
        let process = hex(&identifier::fresh(clock.now()).map_err(|_| CaError::Random)?);
        let admission = Admission::new(&settings.limits);
        let metrics = Metrics::new(database.write_seconds().clone());
        Ok(Self {
            home,
            settings,
            database,
            ca,
            signer,
            clock,
            serials,
            auto_approve: false,
            publication,
            watchers: Watchers::default(),
            admission,
            metrics,
            stopping: AtomicBool::new(false),
            presented: OnceLock::new(),
            renewal_tried: sync::Mutex::default(),
            group: Group::default(),
            signing: Signing::default(),
            drafting: Drafting::default(),
            asking_key: Arc::default(),
            submitters: Submitters::default(),
            outbox: watch::Sender::new(()),
            bulk_work: watch::Sender::new(()),
            bulk_part: PART,
            process,
        })
    }

    /// Approves every request as it comes, for demonstrations and tests.
    ///
    /// # Errors
    /// [`OpenError::AutoApproval`] in the environment `prod`.
    pub fn with_auto_approval(mut self) -> Result<Self, OpenError> {
        if self.settings.environment == PRODUCTION {
            return Err(OpenError::AutoApproval);
        }
        self.auto_approve = true;
        Ok(self)
    }

    /// Takes serial numbers from elsewhere, to see what a collision does.
    pub fn with_serials(
        mut self,
        serials: impl Fn(OffsetDateTime) -> Result<Serial, CaError> + Send + Sync + 'static,
    ) -> Self {
        self.serials = Box::new(serials);
        self
    }

    /// Decides on so many requests of a bulk decision in one transaction, to see what happens in between.
    pub const fn with_bulk_parts(mut self, requests: usize) -> Self {
        self.bulk_part = requests;
        self
    }

    /// Signs no more than so many OCSP responses a second, to see what happens beyond.
    pub fn with_ocsp_signatures(mut self, per_second: u32) -> Self {
        self.publication.budget = Budget::new(per_second);
        self
    }

    /// Takes the mark of a move away that was cut off when all else was done.
    pub(super) async fn end_move(&self) -> Result<(), Failure> {
        // They were read as this was opened.
        let Ok(place) = self.settings.place(&self.home) else { return Ok(()) };
        if opening::is_just_moved(&self.database, &place, &self.home).await? {
            filling::unmark(&self.database).await?;
        }
        Ok(())
    }

    /// Where the installation lies.
    pub const fn home(&self) -> &Home {
        &self.home
    }

    /// The settings.
    pub const fn settings(&self) -> &Settings {
        &self.settings
    }

    /// The database.
    pub const fn database(&self) -> &Database {
        &self.database
    }

    /// The CA.
    pub fn ca(&self) -> &Ca {
        &self.ca
    }

    /// The present moment, as the database will have it.
    pub(super) fn now(&self) -> Moment {
        self.clock.moment()
    }
}

impl fmt::Debug for App {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("App").field("home", &self.home).finish_non_exhaustive()
    }
}
