//! Makes an installation: settings, database, CA, the listeners' certificate, the package signer, the first manager.
//!
//! The home appears whole or not at all. The first manager's folder is filled before; where it is there and the home is
//! not, an installation was interrupted, and the next one goes on with the key in it. A database on a server has no other
//! name to be filled under: it is marked as unfinished, and emptied by the next one.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use tokio::runtime::Builder;

use super::app::{App, Clock, OpenError};
use super::audit;
use super::auth::{Action, Actor, Object};
use super::ca::{Algorithm, Ca, CaError, NewCa, Serial, root_certificate};
use super::config::{Home, Settings, SettingsError};
use super::credential::CredentialError;
use super::db::certificates::{self, Holder};
use super::db::filling::{self, Filling, Unfinished};
use super::db::{Database, DatabaseError, Moment, Place, records};
use super::error::Failure;
use super::files::{self, FileError};
use super::handover;
use super::package::Signer;
use super::registration::{Issuer, check_person, record_certificate, sign_recorded};
use super::tls;
use crate::kill_point;
use crate::locales::Text;
use crate::protocol::messages::{Manager, NewManager};
use crate::protocol::request::Role;
use crate::protocol::secret::sha256_hex;

/// What the settings file starts with.
const SETTINGS_HEADER: &str =
    "# Settings of a PTC enrollment service. config/enrollment.toml explains each of them.\n\n";

/// Why there is no installation.
#[derive(Debug, thiserror::Error)]
#[error("{}", self.text())]
pub enum InstallError {
    /// Something is in the way, or a file cannot be written.
    File(#[from] FileError),
    /// The settings.
    Settings(#[from] SettingsError),
    /// A setting cannot be written.
    Serialization(#[from] toml::ser::Error),
    /// The runtime for the database.
    Runtime(#[from] std::io::Error),
    /// The database.
    Database(#[from] DatabaseError),
    /// The CA.
    Ca(#[from] CaError),
    /// A key or certificate.
    Credential(#[from] CredentialError),
    /// The installation does not open.
    Open(#[from] OpenError),
    /// The first manager cannot be added.
    Registration(#[from] Failure),
}

impl InstallError {
    /// The error with its fix, for a person.
    pub fn text(&self) -> Text {
        match self {
            Self::File(error) => error.text(),
            Self::Settings(error) => error.text(),
            Self::Serialization(error) => Text::new("install-failed").with("cause", error),
            Self::Runtime(error) => Text::new("install-failed").with("cause", error),
            Self::Database(error) => error.text(),
            Self::Ca(error) => error.text(),
            Self::Credential(error) => error.text(),
            Self::Open(error) => error.text(),
            Self::Registration(error) => error.text(),
        }
    }
}

impl From<sqlx::Error> for InstallError {
    fn from(error: sqlx::Error) -> Self {
        Self::Database(error.into())
    }
}

/// What to install.
#[derive(Debug, Clone)]
pub struct Plan {
    /// The settings.
    pub settings: Settings,
    /// The keys of the CA.
    pub algorithm: Algorithm,
    /// Name of the first PTC manager.
    pub manager_name: String,
    /// Their e-mail address.
    pub manager_email: String,
    /// The folder for their key and certificate.
    pub manager_out: PathBuf,
    /// The account of the one who installs.
    pub account: String,
}

/// What was installed.
#[derive(Debug)]
pub struct Installed {
    /// The first PTC manager.
    pub manager: Manager,
    /// SHA-256 of the root certificate, by which its holders can compare it.
    pub trust_anchor_sha256: String,
}

/// Makes an installation. Blocks; not to be called from within a runtime.
///
/// # Errors
/// [`FileError::Exists`] where one is there already.
pub fn install(home: &Home, plan: &Plan, clock: &Clock) -> Result<Installed, InstallError> {
    plan.settings.check()?;
    check_person(&plan.manager_name, &plan.manager_email).map_err(Failure::from)?;
    let runtime = Builder::new_current_thread().enable_all().build()?;
    let place = plan.settings.place(home)?;
    let mut installed = None;
    let take_back = |remains: &Path| {
        // A certificate of a CA that never came to its place opens nothing, and goes with it; the key stays.
        let remains = Home::new(remains);
        let Some(issuing) = Ca::read_issuing(&remains.ca()) else { return Ok(()) };
        handover::take_back(&plan.manager_out, &issuing)?;
        runtime.block_on(take_back_records(&remains, &place))
    };
    files::create_folder_after(home.folder(), take_back, |staging| {
        installed = Some(runtime.block_on(fill(&Home::new(staging), plan, clock))?);
        Ok::<(), InstallError>(())
    })?;
    if let Place::Server(_) = place {
        kill_point::pass("init.before-mark");
        let unmark = async {
            let database = Database::open(&place).await?;
            filling::unmark(&database).await?;
            database.close().await;
            Ok::<_, DatabaseError>(())
        };
        if let Err(error) = runtime.block_on(unmark) {
            // All is there. The mark counts beside the remains of an interrupted installation with the same CA only.
            log::warn!(cause:% = error; "the database stays marked as one that is being filled");
        }
    }
    // The folder was filled, or there was an error before.
    installed.ok_or_else(|| InstallError::Registration(Failure::Inconsistent { what: "the installation" }))
}

/// Empties a database on a server that an installation filled whose home did not come to its place and is `remains`: the CA
/// that its record tells of is the one there.
async fn take_back_records(remains: &Home, place: &Place) -> Result<(), InstallError> {
    if !filling::is_marked(place, Unfinished::Installation).await? {
        return Ok(());
    }
    let database = Database::open(place).await?;
    let mut transaction = database.write().await?;
    let root = sha256_hex(&root_certificate(&remains.ca())?);
    if audit::installed_root(&mut transaction).await? == Some(root) {
        let mut filling = Filling::begin(transaction).await?;
        for table in records::tables(filling.connection()).await? {
            filling.clear(&table).await?;
        }
        filling.finish(&BTreeMap::new()).await?.commit().await?;
    }
    Ok(())
}

async fn fill(home: &Home, plan: &Plan, clock: &Clock) -> Result<Installed, InstallError> {
    let settings = format!("{SETTINGS_HEADER}{}", toml::to_string(&plan.settings)?);
    files::write_public(&home.settings(), settings.as_bytes())?;
    let access = plan.settings.key_access(home)?;
    let root_crl = plan.settings.root_crl_place();
    let new = NewCa { algorithm: plan.algorithm, environment: &plan.settings.environment, root_crl: Some(&root_crl) };
    let ca = Ca::create(&home.ca(), &new, &access, clock.now())?;
    let filled = fill_around(home, plan, clock, &ca).await;
    if filled.is_err() {
        // Folders are undone by whoever made them; a token is none, nor is a database on a server.
        ca.discard_key();
        if let Err(error) = take_back_records(home, &plan.settings.place(home)?).await {
            log::warn!(cause:% = error; "what was written into the database stays there");
        }
    }
    filled
}

/// Everything that needs the CA.
async fn fill_around(home: &Home, plan: &Plan, clock: &Clock, ca: &Ca) -> Result<Installed, InstallError> {
    let place = plan.settings.place(home)?;
    if let Place::File(path) = &place {
        // Made with its rights before SQLite opens it; the log beside it gets the same (sqlite.org/wal.html).
        files::write_secret(path, b"")?;
    }
    kill_point::pass("init.after-ca");
    let database = Database::create(&place).await?;
    kill_point::pass("init.after-database");
    let operator = Actor::Operator { account: plan.account.clone() };
    certify_itself(home, plan, ca, &database, &operator, Moment(clock.now())).await?;
    database.close().await;
    kill_point::pass("init.after-certificates");

    let app = App::open(home.clone(), clock.clone()).await?;
    let manager = NewManager {
        name: plan.manager_name.clone(),
        email: plan.manager_email.clone(),
        role: Role::PtcManager,
        organisation: None,
        csr: handover::prepare(&plan.manager_out)?,
    };
    let added = app.add_manager(&operator, &manager).await?;
    app.publish_crl(&operator).await?;
    app.database().close().await;
    handover::complete(&plan.manager_out, &added.issued)?;
    kill_point::pass("init.before-publication");
    Ok(Installed { manager: added.manager, trust_anchor_sha256: sha256_hex(app.ca().root()) })
}

/// Issues the service's own certificates, recorded like all others.
async fn certify_itself(
    home: &Home,
    plan: &Plan,
    ca: &Ca,
    database: &Database,
    operator: &Actor,
    now: Moment,
) -> Result<(), InstallError> {
    let issuer = Issuer { ca, serials: &Serial::fresh, now: now.0 };
    let environment = &plan.settings.environment;
    let listeners = tls::template(&plan.settings, tls::prepare(&home.tls())?);
    let signer = Signer::template(&home.package_signer(), environment)?;
    let mut transaction = database.write().await?;
    // Another installation was made in the same database meanwhile.
    if audit::installed_root(&mut transaction).await?.is_some() {
        return Err(DatabaseError::Occupied { place: plan.settings.place(home)?.to_string() }.into());
    }
    filling::mark(&mut transaction, Unfinished::Installation).await?;
    let detail = audit::installation(ca.root(), environment);
    audit::record(&mut transaction, now, operator, Action::Install, &Object::Everything, detail);
    let listeners = record_certificate(&issuer, &mut transaction, &listeners, Holder::Service, None).await?;
    let signer = record_certificate(&issuer, &mut transaction, &signer, Holder::PackageSigner, None).await?;
    transaction.commit().await?;
    sign_recorded(ca, database, now).await?;
    let mut connection = database.read().await?;
    for (serial, holder) in [(listeners, Holder::Service), (signer, Holder::PackageSigner)] {
        let row = certificates::find(&mut connection, &serial.to_string()).await?;
        let certificate =
            row.and_then(|row| row.der).ok_or(Failure::Inconsistent { what: "a certificate that was just signed" })?;
        let chain = [certificate.as_slice(), ca.issuing()];
        match holder {
            Holder::Service => tls::install(&home.tls(), &chain).map(|_| ())?,
            _ => Signer::install(&home.package_signer(), &chain).map(|_| ())?,
        }
    }
    Ok(())
}
