//! Everything that can stop a command, and the text that tells a person what, why and what next.

use std::io;
use std::sync::Arc;

use super::api::ApiError;
use super::config::ConfigError;
use super::exit::Exit;
use super::installation::InstallationError;
use super::journal::JournalError;
use super::keys::KeyError;
use super::machine::MachineError;
use super::manifest::ManifestError;
use super::package::PackageError;
use super::store::StoreError;
use crate::locales::{self, Language, Text};
use crate::protocol::request::RequestNumber;
use crate::protocol::rules::{Finding, Rule};
use crate::protocol::text::printable;

/// One variant a seam; each seam's own enum says more.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Flags, answers file, environment variables, home.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// The manifest of external servers.
    #[error(transparent)]
    Manifest(#[from] ManifestError),
    /// The install package.
    #[error(transparent)]
    Package(#[from] PackageError),
    /// The record of requests on disk.
    #[error(transparent)]
    Journal(#[from] JournalError),
    /// The certificate store.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// Making a key or a CSR.
    #[error(transparent)]
    Key(#[from] KeyError),
    /// Reading this machine's details.
    #[error(transparent)]
    Machine(#[from] MachineError),
    /// A certificate that does not fit what was asked for.
    #[error(transparent)]
    Installation(#[from] InstallationError),
    /// The service, or the way to it.
    #[error(transparent)]
    Api(#[from] ApiError),
    /// A CSR that breaks rules, found before anything was sent.
    #[error("{}", Text::new("error-csr"))]
    Csr(Vec<Finding>),
    /// The certificate for a CSR that was submitted before was revoked.
    #[error("{}", Text::new("error-revoked").with("number", .number))]
    Revoked {
        /// The request.
        number: RequestNumber,
        /// The manager's reason.
        reason: Option<String>,
    },
    /// No certificate of this environment lies in the store.
    #[error("{}", Text::new("error-no-certificate"))]
    NoCertificate,
    /// The clipboard does not take the text.
    #[error("{}", Text::new("error-clipboard").with("reason", .0))]
    Clipboard(String),
    /// Standard output is closed or full.
    #[error("{}", Text::new("error-output").with("reason", .0))]
    Output(#[source] io::Error),
}

impl Error {
    /// What happened and why, not yet in a language. `None` for a problem that the service already worded.
    fn text(&self) -> Option<Text> {
        Some(match self {
            Self::Config(error) => error.text(),
            Self::Manifest(error) => error.text(),
            Self::Package(error) => error.text(),
            Self::Journal(error) => error.text(),
            Self::Store(error) => error.text(),
            Self::Key(error) => error.text(),
            Self::Machine(error) => error.text(),
            Self::Installation(error) => error.text(),
            Self::Api(error) => return error.text(),
            Self::Csr(findings) if findings.iter().any(|finding| finding.rule == Rule::PrivateKey.as_str()) => {
                Text::new("error-private-key")
            }
            Self::Csr(_) => Text::new("error-csr"),
            Self::Revoked { number, .. } => Text::new("error-revoked").with("number", number),
            Self::NoCertificate => Text::new("error-no-certificate"),
            Self::Clipboard(reason) => Text::new("error-clipboard").with("reason", reason),
            Self::Output(reason) => Text::new("error-output").with("reason", reason),
        })
    }

    /// Whether the service did not answer, so that another call would fare the same.
    pub fn is_no_answer(&self) -> bool {
        matches!(self, Self::Api(error) if error.is_no_answer())
    }

    /// The error as it is shown.
    pub fn explain(&self, language: Language) -> Explanation {
        let of_findings =
            |findings: &[Finding]| findings.iter().map(|finding| locales::finding(finding, language)).collect();
        let details = match self {
            Self::Csr(findings) => of_findings(findings),
            Self::Revoked { reason: Some(reason), .. } if !reason.is_empty() => vec![printable(reason).into_owned()],
            Self::Api(ApiError::Problem(problem)) => of_findings(&problem.findings),
            Self::Manifest(error) => error.details(language),
            _ => Vec::new(),
        };
        match (self, self.text()) {
            (Self::Api(ApiError::Problem(problem)), _) => Explanation {
                code: problem.code().map_or_else(|| "problem".to_owned(), |code| code.as_str().to_owned()),
                message: printable(problem.detail.as_ref().unwrap_or(&problem.title)).into_owned(),
                hint: problem.hint.as_ref().map(|hint| printable(hint).into_owned()),
                request_id: Some(printable(&problem.request_id).into_owned()).filter(|id| !id.is_empty()),
                details,
            },
            (_, text) => {
                let text = text.unwrap_or(const { Text::new("error-unexpected") });
                Explanation {
                    code: text.id().trim_start_matches("error-").to_owned(),
                    message: text.in_language(language),
                    hint: text.hint(language),
                    request_id: None,
                    details,
                }
            }
        }
    }
}

/// An error of one request among many, as a report keeps it.
#[derive(Debug, Clone)]
pub struct Fault {
    /// The exit code that goes with it.
    pub exit: Exit,
    /// What it says; a fault of the service is the same for thousands.
    pub explanation: Arc<Explanation>,
    /// Whether the service did not answer, so that another call would fare the same.
    pub no_answer: bool,
}

impl Fault {
    /// Keeps an error.
    pub fn new(error: &Error, language: Language) -> Self {
        Self { exit: Exit::from(error), explanation: error.explain(language).into(), no_answer: error.is_no_answer() }
    }
}

/// An error in a language: what, why, the next step.
#[derive(Debug, Clone, serde::Serialize)]
pub struct Explanation {
    /// A stable word for programs.
    pub code: String,
    /// What happened and why.
    pub message: String,
    /// What to do next.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hint: Option<String>,
    /// Under which number the service logged it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub request_id: Option<String>,
    /// Every rule that was broken, where there are several.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub details: Vec<String>,
}
