//! Exit codes: what a batch file sees.

use std::process::ExitCode;

use super::api::ApiError;
use super::error::Error;
use crate::protocol::problem::ProblemCode;

/// The documented exit codes of `ptc-enroll`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Exit {
    /// Done.
    Done = 0,
    /// Something that should not happen.
    Unexpected = 1,
    /// The command line is wrong.
    Usage = 2,
    /// Configuration or local input is wrong.
    Input = 3,
    /// Rejected, cancelled, revoked or forbidden.
    Refused = 4,
    /// Waits for a manager's approval.
    Pending = 5,
    /// Network, timeout, or the service is not available.
    Unavailable = 6,
    /// The TLS certificate of the other side is not trusted.
    Untrusted = 7,
    /// A key or store operation failed.
    Store = 8,
}

impl Exit {
    /// The more serious of two, for commands that handle many requests: 8, 7, 6, 4, then the rest, pending, done.
    pub fn or(self, other: Self) -> Self {
        let rank = |exit: Self| match exit {
            Self::Store => 8,
            Self::Untrusted => 7,
            Self::Unavailable => 6,
            Self::Refused => 5,
            Self::Unexpected => 4,
            Self::Input => 3,
            Self::Usage => 2,
            Self::Pending => 1,
            Self::Done => 0,
        };
        if rank(other) > rank(self) { other } else { self }
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit as u8)
    }
}

impl From<&Error> for Exit {
    fn from(error: &Error) -> Self {
        match error {
            Error::Config(_) | Error::Manifest(_) | Error::Package(_) | Error::Csr(_) | Error::Machine(_) => {
                Self::Input
            }
            Error::Store(error) if error.is_input() => Self::Input,
            Error::Store(_) | Error::Key(_) | Error::Installation(_) => Self::Store,
            Error::Journal(error) if error.is_busy() => Self::Unavailable,
            Error::Journal(_) => Self::Store,
            Error::Clipboard(_) | Error::Output(_) => Self::Unexpected,
            Error::NoCertificate => Self::Input,
            Error::Revoked { .. } => Self::Refused,
            Error::Api(error) => Self::from(error),
        }
    }
}

impl From<&ApiError> for Exit {
    fn from(error: &ApiError) -> Self {
        match error {
            ApiError::Untrusted { .. } | ApiError::UntrustedClock { .. } => Self::Untrusted,
            ApiError::Unreachable { .. } | ApiError::TimedOut { .. } | ApiError::NotTheService { .. } => {
                Self::Unavailable
            }
            ApiError::ClientCertificateRefused { .. } => Self::Refused,
            ApiError::Problem(problem) => Self::of_problem(problem.code(), problem.status),
        }
    }
}

impl Exit {
    /// By code where it is known, by status class where a later service sends a new one.
    fn of_problem(code: Option<ProblemCode>, status: u16) -> Self {
        match code {
            Some(
                ProblemCode::Malformed
                | ProblemCode::BodyTooLarge
                | ProblemCode::UnsupportedMediaType
                | ProblemCode::CsrRefused
                | ProblemCode::InvalidField
                | ProblemCode::MethodNotAllowed,
            ) => Self::Input,
            Some(
                ProblemCode::Unauthenticated
                | ProblemCode::Forbidden
                | ProblemCode::CrossSite
                | ProblemCode::KindNotAllowed
                | ProblemCode::OwnRequest
                | ProblemCode::CallerRevoked
                | ProblemCode::NotFound
                | ProblemCode::StateConflict
                | ProblemCode::AlreadyExists
                | ProblemCode::Superseded
                | ProblemCode::IdempotencyMismatch,
            ) => Self::Refused,
            Some(
                ProblemCode::RequestTimeout
                | ProblemCode::TooManyRequests
                | ProblemCode::Internal
                | ProblemCode::Unavailable,
            ) => Self::Unavailable,
            None if status >= 500 || status == 429 => Self::Unavailable,
            None => Self::Refused,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_most_serious_wins() {
        let order = [Exit::Store, Exit::Untrusted, Exit::Unavailable, Exit::Refused, Exit::Pending, Exit::Done];
        for (rank, serious) in order.iter().enumerate() {
            for lighter in &order[rank..] {
                assert_eq!(serious.or(*lighter), *serious);
                assert_eq!(lighter.or(*serious), *serious);
            }
        }
    }
}
