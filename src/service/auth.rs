//! Who may do what to what: one function, no by default.
//!
//! Which credentials make whom an [`Actor`] is decided where they arrive; that nobody decides on a request of their
//! own, and what the state of things allows, in `registration`.

use std::fmt;

use super::error::Refusal;
use crate::locales::Text;
use crate::protocol::messages::Manager;
use crate::protocol::request::{Kind, RequestNumber, Role};

/// Who asks.
#[derive(Debug, Clone)]
pub enum Actor {
    /// Somebody without credentials.
    Anonymous,
    /// Whoever holds an install package's enrollment secret.
    Package {
        /// The package's number.
        id: i64,
        /// Code of its organisation.
        organisation: String,
    },
    /// Whoever holds a request's token.
    RequestHolder {
        /// The request.
        number: RequestNumber,
    },
    /// A machine with its certificate.
    Machine {
        /// The certificate's serial number.
        serial: String,
        /// Code of its organisation.
        organisation: String,
        /// What the certificate is for.
        kind: Kind,
    },
    /// A manager with their certificate.
    Manager(Manager),
    /// The administrator of the computer that the service runs on.
    Operator {
        /// The system's account.
        account: String,
    },
    /// Nobody: an environment for demonstrations approves by itself.
    AutoApproval,
    /// The service, when time has come.
    Service,
}

impl Actor {
    /// The sort of whoever holds an install package's enrollment secret.
    pub const PACKAGE: &str = "package";
    /// The sort of whoever holds a request's token.
    pub const REQUEST_HOLDER: &str = "request-holder";

    /// What sort of caller this is, without saying who.
    pub const fn sort(&self) -> &'static str {
        match self {
            Self::Anonymous => "anonymous",
            Self::Package { .. } => Self::PACKAGE,
            Self::RequestHolder { .. } => Self::REQUEST_HOLDER,
            Self::Machine { .. } => "machine",
            Self::Manager(_) => "manager",
            Self::Operator { .. } => "operator",
            Self::AutoApproval => "auto-approve",
            Self::Service => "service",
        }
    }

    /// The kinds of requests that wait for this one's own decision; who is no manager is concerned by all.
    pub fn own_kinds(&self) -> Vec<Kind> {
        match self {
            Self::Manager(manager) => Kind::ALL.into_iter().filter(|kind| kind.approver() == manager.role).collect(),
            _ => Kind::ALL.to_vec(),
        }
    }
}

/// In the audit record, in logs and towards other managers. Names are kept as they are.
impl fmt::Display for Actor {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Anonymous => formatter.write_str("anonymous"),
            Self::Package { id, .. } => write!(formatter, "package {id}"),
            Self::RequestHolder { number } => write!(formatter, "request {number}"),
            Self::Machine { serial, .. } => write!(formatter, "machine {serial}"),
            Self::Manager(manager) => {
                write!(formatter, "manager {} ({} <{}>)", manager.id, manager.name, manager.email)
            }
            Self::Operator { account } => write!(formatter, "operator {account}"),
            Self::AutoApproval => formatter.write_str("auto-approve"),
            Self::Service => formatter.write_str("service"),
        }
    }
}

macro_rules! actions {
    ($($(#[$doc:meta])* $name:ident = $word:literal;)*) => {
        /// What is asked for.
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub enum Action {
            $($(#[$doc])* $name,)*
        }

        impl Action {
            /// Every action.
            pub const ALL: &'static [Self] = &[$(Self::$name),*];

            /// The word in the audit record.
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$name => $word,)* }
            }
        }
    };
}

actions! {
    /// Submit a request.
    Submit = "request.submit";
    /// Ask for the state of a request, as its client.
    FollowRequest = "request.follow";
    /// Report that the certificate has arrived.
    ReportOutcome = "request.outcome";
    /// Ask who one is.
    Test = "test";
    /// List and search requests.
    ListRequests = "request.list";
    /// See a request with its evidence.
    ReadRequest = "request.read";
    /// Say yes.
    Approve = "request.approve";
    /// Say no.
    Reject = "request.reject";
    /// Show many requests to be decided on as one, or decide on them.
    DecideInBulk = "bulk.create";
    /// List bulk decisions.
    ListBulk = "bulk.list";
    /// See a bulk decision with what became of each request.
    ReadBulk = "bulk.read";
    /// Start what was shown.
    StartBulk = "bulk.start";
    /// End a bulk decision before its end.
    StopBulk = "bulk.stop";
    /// The last request of a bulk decision had its turn.
    FinishBulk = "bulk.finish";
    /// A newer request took the place.
    Cancel = "request.cancel";
    /// Nobody decided in time.
    Expire = "request.expire";
    /// Sign what was recorded.
    Issue = "certificate.issue";
    /// List and search certificates.
    ListCertificates = "certificate.list";
    /// See a certificate.
    ReadCertificate = "certificate.read";
    /// End a certificate.
    Revoke = "certificate.revoke";
    /// Make a new revocation list.
    PublishCrl = "crl.publish";
    /// List organisations.
    ListOrganisations = "organisation.list";
    /// Add an organisation.
    AddOrganisation = "organisation.add";
    /// List managers.
    ListManagers = "manager.list";
    /// Add a manager.
    AddManager = "manager.add";
    /// Take a manager out of office.
    DisableManager = "manager.disable";
    /// Issue a manager another certificate.
    ReissueManager = "manager.reissue";
    /// Choose the language in which a manager is written to.
    SetManagerLanguage = "manager.language";
    /// List install packages.
    ListPackages = "package.list";
    /// Make an install package.
    CreatePackage = "package.create";
    /// End an install package's use.
    DisablePackage = "package.disable";
    /// Put another install package in one's place.
    RotatePackage = "package.rotate";
    /// Read the audit record.
    ReadAudit = "audit.read";
    /// See how the service is.
    ReadHealth = "service.read";
    /// Make the installation.
    Install = "service.install";
    /// Make the service anew from a backup.
    Restore = "service.restore";
    /// Move the service's database to a server.
    MoveDatabase = "service.move-database";
    /// Encrypt the CA's keys, under another passphrase too, or take the encryption off.
    ProtectKeys = "service.protect-keys";
}

/// What it is asked of.
#[derive(Debug, Clone, Copy)]
pub enum Object<'a> {
    /// The service as a whole, all organisations.
    Everything,
    /// An organisation and what belongs to it.
    Organisation(&'a str),
    /// A request, or a number that none has.
    Request {
        /// Its number.
        number: RequestNumber,
        /// Code of its organisation.
        organisation: Option<&'a str>,
        /// What its certificate is for.
        kind: Option<Kind>,
    },
    /// A certificate, or a serial number that none has.
    Certificate {
        /// Its serial number.
        serial: &'a str,
        /// Code of its holder's organisation.
        organisation: Option<&'a str>,
        /// What it is for, where it answers a request.
        kind: Option<Kind>,
        /// Whether it is this service's own.
        own: bool,
    },
    /// A manager.
    Manager(u64),
    /// An install package.
    Package(i64),
    /// A revocation list.
    Crl(u64),
    /// A bulk decision, or a number that none has.
    Bulk {
        /// Its number.
        id: u64,
        /// Code of the organisation of the registration manager who made it.
        organisation: Option<&'a str>,
        /// The manager who made it.
        maker: Option<u64>,
    },
}

impl Object<'_> {
    /// The organisation concerned.
    pub const fn organisation(&self) -> Option<&str> {
        match self {
            Self::Organisation(code) => Some(code),
            Self::Request { organisation, .. }
            | Self::Certificate { organisation, .. }
            | Self::Bulk { organisation, .. } => *organisation,
            Self::Everything | Self::Manager(_) | Self::Package(_) | Self::Crl(_) => None,
        }
    }

    /// The kind of request, where there is one.
    pub const fn kind(&self) -> Option<Kind> {
        match self {
            Self::Request { kind, .. } | Self::Certificate { kind, .. } => *kind,
            _ => None,
        }
    }
}

/// In the audit record: `request:34`.
impl fmt::Display for Object<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Everything => formatter.write_str("service"),
            Self::Organisation(code) => write!(formatter, "organisation:{code}"),
            Self::Request { number, .. } => write!(formatter, "request:{number}"),
            Self::Certificate { serial, .. } => write!(formatter, "certificate:{serial}"),
            Self::Manager(id) => write!(formatter, "manager:{id}"),
            Self::Package(id) => write!(formatter, "package:{id}"),
            Self::Crl(number) => write!(formatter, "crl:{number}"),
            Self::Bulk { id, .. } => write!(formatter, "bulk:{id}"),
        }
    }
}

/// Whether an actor may do an action to an object.
///
/// # Errors
/// [`Refusal::unauthenticated`] for nobody in particular; [`Refusal::not_found`] where the actor may not even know that
/// the object exists; else [`Refusal::forbidden`].
pub fn authorize(actor: &Actor, action: Action, object: &Object<'_>) -> Result<(), Refusal> {
    match (actor, action) {
        (Actor::Operator { .. }, _) | (Actor::AutoApproval, Action::Approve) => Ok(()),
        (Actor::Service, Action::Expire | Action::Issue | Action::PublishCrl | Action::Install) => Ok(()),
        (Actor::Package { organisation, .. }, Action::Submit) => own(organisation, object),
        (Actor::RequestHolder { number }, Action::FollowRequest | Action::ReportOutcome) => match object {
            Object::Request { number: other, .. } if number == other => Ok(()),
            _ => Err(Refusal::not_found()),
        },
        (Actor::Machine { .. } | Actor::Manager(_), Action::Test) => Ok(()),
        (Actor::Manager(manager), action) => authorize_manager(manager, action, object),
        (Actor::Anonymous, _) => Err(Refusal::unauthenticated()),
        _ => Err(Refusal::forbidden(Text::new("forbidden-not-a-manager"))),
    }
}

fn authorize_manager(manager: &Manager, action: Action, object: &Object<'_>) -> Result<(), Refusal> {
    // A manager who was disabled a moment ago may still have been let in.
    if manager.disabled {
        return Err(Refusal::caller_revoked());
    }
    let own_organisation = match (manager.role, &manager.organisation) {
        (Role::PtcManager, _) => {
            return match action {
                Action::ListRequests
                | Action::ReadRequest
                | Action::Approve
                | Action::Reject
                | Action::DecideInBulk
                | Action::ListBulk
                | Action::ReadBulk
                | Action::StopBulk
                | Action::ListCertificates
                | Action::ReadCertificate
                | Action::Revoke
                | Action::ListOrganisations
                | Action::AddOrganisation
                | Action::ListManagers
                | Action::AddManager
                | Action::DisableManager
                | Action::ReissueManager
                | Action::SetManagerLanguage
                | Action::ListPackages
                | Action::CreatePackage
                | Action::DisablePackage
                | Action::RotatePackage
                | Action::ReadAudit
                | Action::ReadHealth => Ok(()),
                Action::StartBulk => made_by(manager, object),
                _ => Err(Refusal::forbidden(Text::new("forbidden-not-for-managers"))),
            };
        }
        (Role::RegistrationManager, Some(code)) => code,
        (Role::RegistrationManager, None) => return Err(Refusal::not_found()),
    };
    match action {
        Action::ListRequests
        | Action::ReadRequest
        | Action::ListCertificates
        | Action::ReadCertificate
        | Action::DecideInBulk
        | Action::ListBulk
        | Action::ReadBulk => own(own_organisation, object),
        Action::StartBulk | Action::StopBulk => {
            own(own_organisation, object)?;
            made_by(manager, object)
        }
        Action::Approve | Action::Reject | Action::Revoke => {
            own(own_organisation, object)?;
            match object.kind().map(Kind::approver) {
                Some(Role::RegistrationManager) => Ok(()),
                _ => Err(Refusal::forbidden(Text::new("forbidden-ptc-kind"))),
            }
        }
        _ => Err(Refusal::forbidden(Text::new("forbidden-ptc-only"))),
    }
}

/// What belongs to another organisation, or to none, does not exist.
fn own(organisation: &str, object: &Object<'_>) -> Result<(), Refusal> {
    if object.organisation() == Some(organisation) { Ok(()) } else { Err(Refusal::not_found()) }
}

/// What a bulk decision binds to was shown to its maker alone.
fn made_by(manager: &Manager, object: &Object<'_>) -> Result<(), Refusal> {
    match object {
        Object::Bulk { maker: Some(maker), .. } if *maker == manager.id => Ok(()),
        _ => Err(Refusal::forbidden(Text::new("forbidden-not-the-maker"))),
    }
}
