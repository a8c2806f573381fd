//! What goes wrong: refusals, which the caller is told, and failures, which only the log is told.

use std::time::Duration;

use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use super::ca::CaError;
use super::credential::CredentialError;
use super::db::DatabaseError;
use super::package::PackageError;
use crate::locales::{self, Language, Text};
use crate::protocol::problem::{Problem, ProblemCode};
use crate::protocol::request::{Kind, RequestNumber};
use crate::protocol::rules::Finding;
use crate::protocol::text::shortened;

/// How long a caller waits when the service cannot answer.
const BUSY: Duration = Duration::from_secs(5);

/// Why the service does not do what was asked.
#[derive(Debug, thiserror::Error)]
pub enum Failure {
    /// The caller may not, or asked for what cannot be. The caller is told.
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// The database does not answer.
    #[error(transparent)]
    Database(#[from] DatabaseError),
    /// The CA does not sign.
    #[error(transparent)]
    Ca(#[from] CaError),
    /// An install package cannot be made.
    #[error(transparent)]
    Package(#[from] PackageError),
    /// A key, or the file that holds it, cannot be made.
    #[error(transparent)]
    Credential(#[from] CredentialError),
    /// What the service stored or made itself cannot be read or written.
    #[error("{what} is not readable")]
    Inconsistent {
        /// What.
        what: &'static str,
    },
    /// The system has no random numbers.
    #[error("the system has no random numbers")]
    Random,
}

impl Failure {
    /// The failure with its fix, for the administrator of this computer, who may know everything.
    pub fn text(&self) -> Text {
        match self {
            Self::Refused(refusal) => refusal.text.clone(),
            Self::Database(error) => error.text(),
            Self::Ca(error) => error.text(),
            Self::Package(error) => error.text(),
            Self::Credential(error) => error.text(),
            Self::Inconsistent { .. } | Self::Random => Text::new("service-inconsistent").with("cause", self),
        }
    }

    /// Notes it in the log, where a refusal is no more than a detail.
    pub fn log(&self) {
        match self {
            Self::Refused(refusal) => log::debug!(cause:% = refusal; "refused"),
            failure => log::error!(cause:% = failure; "failed"),
        }
    }

    /// Whether the database did not answer, so that it is the fault of nothing that was asked of it; perhaps it lasts all the
    /// same.
    pub const fn is_of_database(&self) -> bool {
        matches!(self, Self::Database(DatabaseError::Unavailable { .. } | DatabaseError::Unconfirmed { .. }))
    }

    /// The failure of what comes after a change that lasts. Who was told to come again would make it once more.
    pub(super) fn after_a_change(self) -> Self {
        match self {
            Self::Database(DatabaseError::Unavailable { cause }) => DatabaseError::Unconfirmed { cause }.into(),
            failure => failure,
        }
    }

    /// What the caller is told.
    pub fn refusal(&self) -> Refusal {
        match self {
            Self::Refused(refusal) => refusal.clone(),
            Self::Database(DatabaseError::Unavailable { .. } | DatabaseError::Moved) => Refusal::unavailable(),
            Self::Database(DatabaseError::Unconfirmed { .. }) => Refusal::unconfirmed(),
            // Nothing was decided: the token is asked before.
            Self::Ca(CaError::Token(_)) => Refusal::unavailable(),
            _ => Refusal::internal(),
        }
    }
}

impl From<sqlx::Error> for Failure {
    fn from(error: sqlx::Error) -> Self {
        Self::Database(error.into())
    }
}

/// A no that the caller is told: a stable code, a text, and the rules that a CSR broke.
#[derive(Debug, Clone, thiserror::Error)]
#[error("{text}")]
pub struct Refusal {
    code: ProblemCode,
    text: Text,
    findings: Vec<Finding>,
    retry_after: Option<Duration>,
}

impl Refusal {
    fn new(code: ProblemCode, text: Text) -> Self {
        Self { code, text, findings: Vec::new(), retry_after: None }
    }

    /// The body or the query is not what the API describes. The answer does not repeat all of a name that nobody knows.
    pub fn malformed(detail: impl std::fmt::Display) -> Self {
        let detail = detail.to_string();
        Self::new(ProblemCode::Malformed, Text::new("problem-malformed").with("detail", shortened(&detail, 1_000)))
    }

    /// The body did not arrive in time. Sent again, it may be good.
    pub fn request_timeout() -> Self {
        Self::new(ProblemCode::RequestTimeout, Text::new("problem-request-timeout"))
    }

    /// No credentials, or none that are known.
    pub fn unauthenticated() -> Self {
        Self::new(ProblemCode::Unauthenticated, Text::new("problem-unauthenticated"))
    }

    /// The credentials are good, but do not allow this.
    pub fn forbidden(detail: Text) -> Self {
        Self::new(ProblemCode::Forbidden, Text::new("problem-forbidden").with_text("detail", detail))
    }

    /// A browser sent this on behalf of another site.
    pub fn cross_site() -> Self {
        Self::new(ProblemCode::CrossSite, Text::new("problem-cross-site"))
    }

    /// The install package does not allow this kind of request.
    pub fn kind_not_allowed(kind: Kind) -> Self {
        let text = Text::new("problem-kind-not-allowed").with_text("kind", locales::kind(kind));
        Self::new(ProblemCode::KindNotAllowed, text)
    }

    /// The one who asks may not decide on their own request.
    pub fn own_request() -> Self {
        Self::new(ProblemCode::OwnRequest, Text::new("problem-own-request"))
    }

    /// The certificate that the caller shows was revoked, or its holder disabled.
    pub fn caller_revoked() -> Self {
        Self::new(ProblemCode::CallerRevoked, Text::new("problem-caller-revoked"))
    }

    /// There is no such thing, or none that the caller may see.
    pub fn not_found() -> Self {
        Self::new(ProblemCode::NotFound, Text::new("problem-not-found"))
    }

    /// The path exists, but not with this method.
    pub fn method_not_allowed() -> Self {
        Self::new(ProblemCode::MethodNotAllowed, Text::new("problem-method-not-allowed"))
    }

    /// The state does not allow this (any more).
    pub fn state_conflict(detail: Text) -> Self {
        Self::new(ProblemCode::StateConflict, Text::new("problem-state-conflict").with_text("detail", detail))
    }

    /// Somebody else decided first.
    pub fn decided_already(state: Text, by: Option<&str>, at: Option<OffsetDateTime>) -> Self {
        let detail = Text::new("conflict-decided")
            .with_text("state", state)
            .with("by", by.unwrap_or("?"))
            .with("at", at.and_then(|at| at.format(&Rfc3339).ok()).unwrap_or_default());
        Self::state_conflict(detail)
    }

    /// A thing with this name exists already.
    pub fn already_exists(what: Text) -> Self {
        Self::new(ProblemCode::AlreadyExists, Text::new("problem-already-exists").with_text("what", what))
    }

    /// The CSR is not the one that was shown.
    pub fn other_csr() -> Self {
        Self::superseded(Text::new("superseded-csr"))
    }

    /// A newer request took this one's place.
    pub fn replaced(by: RequestNumber) -> Self {
        Self::superseded(Text::new("superseded-request").with("number", by))
    }

    fn superseded(detail: Text) -> Self {
        Self::new(ProblemCode::Superseded, Text::new("problem-superseded").with_text("detail", detail))
    }

    /// The body is larger than any valid one.
    pub fn body_too_large(limit: usize) -> Self {
        Self::new(ProblemCode::BodyTooLarge, Text::new("problem-body-too-large").with("limit", limit))
    }

    /// The body is not JSON.
    pub fn unsupported_media_type() -> Self {
        Self::new(ProblemCode::UnsupportedMediaType, Text::new("problem-unsupported-media-type"))
    }

    /// The CSR breaks rules.
    pub fn csr_refused(findings: Vec<Finding>) -> Self {
        Self { findings, ..Self::new(ProblemCode::CsrRefused, Text::new("problem-csr-refused")) }
    }

    /// The idempotency key was used with another body.
    pub fn idempotency_mismatch() -> Self {
        Self::new(ProblemCode::IdempotencyMismatch, Text::new("problem-idempotency-mismatch"))
    }

    /// A field does not hold what it must.
    pub fn invalid_field(field: &str, detail: Text) -> Self {
        let text = Text::new("problem-invalid-field").with("field", field).with_text("detail", detail);
        Self::new(ProblemCode::InvalidField, text)
    }

    /// The service failed.
    pub fn internal() -> Self {
        Self::new(ProblemCode::Internal, Text::new("problem-internal"))
    }

    /// The caller asks too often, and is to come again after this time.
    pub fn too_many_requests(wait: Duration) -> Self {
        let text = Text::new("problem-too-many-requests").with("seconds", whole_seconds(wait));
        Self { retry_after: Some(wait), ..Self::new(ProblemCode::TooManyRequests, text) }
    }

    /// The service cannot answer now.
    pub fn unavailable() -> Self {
        let text = Text::new("problem-unavailable");
        Self { retry_after: Some(BUSY), ..Self::new(ProblemCode::Unavailable, text) }
    }

    /// After how many seconds the caller is to come again, where that helps (RFC 9110 §10.2.3).
    pub fn retry_after(&self) -> Option<u64> {
        self.retry_after.map(whole_seconds)
    }

    /// Whether it was done is not known, because the database did not answer any more.
    pub fn unconfirmed() -> Self {
        let text = Text::new("problem-unconfirmed");
        Self { retry_after: Some(BUSY), ..Self::new(ProblemCode::Unavailable, text) }
    }

    /// The stable code.
    pub const fn code(&self) -> ProblemCode {
        self.code
    }

    /// What happened and what to do next, for a person.
    pub const fn text(&self) -> &Text {
        &self.text
    }

    /// The rules that a CSR broke.
    pub fn findings(&self) -> &[Finding] {
        &self.findings
    }

    /// The problem document in a language.
    pub fn problem(&self, language: Language, request_id: &str) -> Problem {
        Problem {
            r#type: Problem::type_of(self.code),
            title: self.text.title(language).unwrap_or_default(),
            status: self.code.status(),
            detail: Some(self.text.in_language(language)),
            hint: self.text.hint(language),
            request_id: request_id.to_owned(),
            findings: self.findings.clone(),
        }
    }
}

/// Rounded up, so that whoever comes then is not too early, and never 0, which would be at once.
fn whole_seconds(wait: Duration) -> u64 {
    wait.as_secs() + u64::from(wait.subsec_nanos() > 0 || wait.is_zero())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_may_have_changed_something_is_told_to_look() {
        let away = || Failure::from(sqlx::Error::PoolTimedOut);
        let told =
            |failure: Failure| (failure.refusal().text().title(Language::English), failure.refusal().retry_after());
        let seconds = Some(BUSY.as_secs());
        assert_eq!(told(away()), (Some("Temporarily unavailable".to_owned()), seconds));
        assert_eq!(told(away().after_a_change()), (Some("Outcome unknown".to_owned()), seconds));
        let broken = Failure::Random.after_a_change();
        assert_eq!(broken.refusal().code(), ProblemCode::Internal);
    }
}
