//! Why a command fails, and with which exit code.

use ptc_enroll::locales::Text;
use ptc_enroll::protocol::problem::ProblemCode;
use ptc_enroll::protocol::rules::Finding;
use ptc_enroll::service::app::OpenError;
use ptc_enroll::service::ca::CaError;
use ptc_enroll::service::config::SettingsError;
use ptc_enroll::service::credential::CredentialError;
use ptc_enroll::service::db::DatabaseError;
use ptc_enroll::service::error::Failure;
use ptc_enroll::service::files::FileError;
use ptc_enroll::service::install::InstallError;
use ptc_enroll::service::package::PackageError;
use ptc_enroll::service::server::ServeError;
use ptc_enroll::service::token::TokenError;
use ptc_enroll::service::transfer::TransferError;

/// Why a command fails.
#[derive(Debug, thiserror::Error)]
pub(crate) enum CommandError {
    #[error(transparent)]
    Install(#[from] InstallError),
    #[error(transparent)]
    Open(#[from] OpenError),
    #[error(transparent)]
    Serve(#[from] ServeError),
    #[error(transparent)]
    Service(#[from] Failure),
    #[error(transparent)]
    Settings(#[from] SettingsError),
    #[error(transparent)]
    File(#[from] FileError),
    #[error(transparent)]
    Credential(#[from] CredentialError),
    #[error(transparent)]
    Ca(#[from] CaError),
    #[error(transparent)]
    Package(#[from] PackageError),
    #[error(transparent)]
    Transfer(#[from] TransferError),
    #[error("the system refused: {0}")]
    System(#[from] std::io::Error),
    #[error(transparent)]
    Demo(#[from] anyhow::Error),
    #[error("the audit record is broken at entry {sequence}")]
    AuditBroken { sequence: u64 },
    /// The result says which and why.
    #[error("{count} requests were not decided on")]
    NotAllDecided { count: u64 },
}

impl From<DatabaseError> for CommandError {
    fn from(error: DatabaseError) -> Self {
        Self::Service(error.into())
    }
}

/// The exit codes, which the documentation lists.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Exit {
    /// Not foreseen.
    Unexpected = 1,
    /// Configuration or local input.
    Input = 3,
    /// The service's rules say no.
    Refused = 4,
    /// Later it may work.
    Unavailable = 6,
    /// A key or certificate cannot be read, made or used.
    Key = 8,
}

impl CommandError {
    /// What happened and what to do next.
    pub(crate) fn text(&self) -> Text {
        match self {
            Self::Install(error) => error.text(),
            Self::Open(error) => error.text(),
            Self::Serve(error) => error.text(),
            Self::Service(error) => error.text(),
            Self::Settings(error) => error.text(),
            Self::File(error) => error.text(),
            Self::Credential(error) => error.text(),
            Self::Ca(error) => error.text(),
            Self::Package(error) => error.text(),
            Self::Transfer(error) => error.text(),
            Self::System(error) => Text::new("system-refused").with("cause", error),
            Self::Demo(error) => Text::new("demo-failed").with("cause", format!("{error:#}")),
            Self::AuditBroken { sequence } => Text::new("audit-broken").with("sequence", sequence),
            Self::NotAllDecided { count } => {
                Text::new("bulk-not-all").with_number("count", i64::try_from(*count).unwrap_or(i64::MAX))
            }
        }
    }

    /// A stable word for programs.
    pub(crate) fn code(&self) -> &'static str {
        match self {
            Self::Service(Failure::Refused(refusal))
            | Self::Install(InstallError::Registration(Failure::Refused(refusal))) => refusal.code().as_str(),
            error => error.text().id(),
        }
    }

    /// The rules that a CSR broke.
    pub(crate) fn findings(&self) -> &[Finding] {
        match self {
            Self::Service(Failure::Refused(refusal)) => refusal.findings(),
            _ => &[],
        }
    }

    /// The exit code.
    pub(crate) fn exit(&self) -> Exit {
        match self {
            Self::Install(error) => match error {
                InstallError::File(error) => of_file(error),
                InstallError::Settings(error) => of_settings(error),
                InstallError::Serialization(_) => Exit::Input,
                InstallError::Runtime(_) => Exit::Unexpected,
                InstallError::Database(error) => of_database(error),
                InstallError::Ca(error) => of_ca(error),
                InstallError::Credential(error) => of_credential(error),
                InstallError::Open(error) => of_opening(error),
                InstallError::Registration(error) => of_failure(error),
            },
            Self::Open(error) => of_opening(error),
            Self::Serve(error) => match error {
                ServeError::Listen { .. } => Exit::Input,
                ServeError::Credential(error) => of_credential(error),
                ServeError::Tls(_) => Exit::Key,
                ServeError::Resume(error) => of_failure(error),
                ServeError::Notices(_) => Exit::Key,
            },
            Self::Service(error) => of_failure(error),
            Self::Settings(error) => of_settings(error),
            Self::File(error) => of_file(error),
            Self::Credential(error) => of_credential(error),
            Self::Ca(error) => of_ca(error),
            Self::Package(_) => Exit::Key,
            Self::Transfer(error) => of_transfer(error),
            Self::System(_) | Self::Demo(_) => Exit::Unexpected,
            Self::AuditBroken { .. } | Self::NotAllDecided { .. } => Exit::Refused,
        }
    }
}

fn of_file(error: &FileError) -> Exit {
    if error.is_disk_full() { Exit::Unavailable } else { Exit::Input }
}

fn of_settings(error: &SettingsError) -> Exit {
    match error {
        SettingsError::File(error) => of_file(error),
        _ => Exit::Input,
    }
}

fn of_opening(error: &OpenError) -> Exit {
    match error {
        OpenError::Settings(error) => of_settings(error),
        OpenError::Foreign { .. } => Exit::Input,
        OpenError::Database(error) => of_database(error),
        OpenError::Ca(error) => of_ca(error),
        OpenError::Signer(_) => Exit::Key,
        OpenError::AutoApproval => Exit::Refused,
    }
}

fn of_transfer(error: &TransferError) -> Exit {
    match error {
        TransferError::Database(error) => of_database(error),
        TransferError::Credential(error) => of_credential(error),
        TransferError::DiskFull(_) => Exit::Unavailable,
        TransferError::Runtime(_) | TransferError::Differs { .. } => Exit::Unexpected,
        TransferError::AuditBroken { .. } => Exit::Refused,
        TransferError::File(error) => of_file(error),
        TransferError::Settings(error) => of_settings(error),
        TransferError::NoBackup { .. }
        | TransferError::Newer { .. }
        | TransferError::Damaged { .. }
        | TransferError::Foreign { .. }
        | TransferError::OnServer { .. }
        | TransferError::Elsewhere { .. }
        | TransferError::Unnamed { .. }
        | TransferError::SettingsText { .. } => Exit::Input,
    }
}

fn of_ca(error: &CaError) -> Exit {
    match error {
        CaError::Token(TokenError::Module { .. } | TokenError::Ambiguous { .. } | TokenError::KeyExists { .. }) => {
            Exit::Input
        }
        CaError::Token(error) if error.may_pass() => Exit::Unavailable,
        CaError::Credential(CredentialError::File(error)) if error.is_disk_full() => Exit::Unavailable,
        _ => Exit::Key,
    }
}

fn of_credential(error: &CredentialError) -> Exit {
    match error {
        // Something is in the way, or there is no room; no key is at fault.
        CredentialError::File(error) if matches!(error, FileError::Exists { .. }) || error.is_disk_full() => {
            of_file(error)
        }
        _ => Exit::Key,
    }
}

fn of_database(error: &DatabaseError) -> Exit {
    match error {
        DatabaseError::Missing { .. }
        | DatabaseError::Empty { .. }
        | DatabaseError::Occupied { .. }
        | DatabaseError::Unfinished { .. }
        | DatabaseError::Newer { .. }
        | DatabaseError::NotAdmitted { .. }
        | DatabaseError::Unfit { .. } => Exit::Input,
        DatabaseError::Moved | DatabaseError::Unavailable { .. } | DatabaseError::Unconfirmed { .. } => {
            Exit::Unavailable
        }
        DatabaseError::Unusable { .. } | DatabaseError::Query { .. } => Exit::Unexpected,
    }
}

fn of_failure(error: &Failure) -> Exit {
    match error {
        Failure::Refused(refusal) => match refusal.code() {
            ProblemCode::Malformed
            | ProblemCode::NotFound
            | ProblemCode::AlreadyExists
            | ProblemCode::InvalidField
            | ProblemCode::CsrRefused => Exit::Input,
            _ => Exit::Refused,
        },
        Failure::Database(error) => of_database(error),
        Failure::Ca(error) => of_ca(error),
        Failure::Package(_) => Exit::Key,
        Failure::Credential(error) => of_credential(error),
        Failure::Inconsistent { .. } | Failure::Random => Exit::Unexpected,
    }
}
