//! Many decisions at once: each on its own, so that one that fails does not stop the others.

use crate::protocol::messages::{Approval, Rejection};
use crate::protocol::request::RequestNumber;
use crate::service::app::App;
use crate::service::auth::Actor;
use crate::service::error::Failure;

/// What is decided on each of many requests.
#[derive(Debug, Clone)]
pub enum Verdict {
    /// Yes.
    Approve,
    /// No, and why.
    Reject {
        /// The reason, for the clients.
        reason: String,
    },
}

/// What became of one of many requests.
#[derive(Debug)]
pub struct Decided {
    /// The request.
    pub number: RequestNumber,
    /// Whether it is decided as wanted, or why not.
    pub outcome: Result<(), Failure>,
}

impl App {
    /// Decides on many requests, each named with the SHA-256 of the CSR that was shown.
    pub async fn decide_all(
        &self,
        actor: &Actor,
        verdict: &Verdict,
        requests: &[(RequestNumber, String)],
    ) -> Vec<Decided> {
        let mut decided = Vec::with_capacity(requests.len());
        for (number, csr_sha256) in requests {
            let outcome = match verdict {
                Verdict::Approve => self.approve(actor, *number, &Approval { csr_sha256: csr_sha256.clone() }).await,
                Verdict::Reject { reason } => self.reject(actor, *number, &Rejection { reason: reason.clone() }).await,
            };
            decided.push(Decided { number: *number, outcome });
        }
        decided
    }
}
