//! Many decisions at once: each on its own, so that one that fails does not stop the others.

use crate::protocol::messages::Rejection;
use crate::protocol::request::RequestNumber;
use crate::service::app::App;
use crate::service::auth::Actor;
use crate::service::error::Failure;

/// How many are approved in one transaction.
const PART: usize = 100;

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
        for part in requests.chunks(PART) {
            let asked: Vec<(RequestNumber, &str)> =
                part.iter().map(|(number, csr_sha256)| (*number, csr_sha256.as_str())).collect();
            let outcomes = match verdict {
                Verdict::Approve => self.approve_all(actor, &asked).await,
                Verdict::Reject { reason } => Ok(self.reject_all(actor, &asked, reason).await),
            };
            let outcomes = outcomes.unwrap_or_else(|failure| {
                log::error!(decisions = part.len(), cause:% = failure; "decisions not made");
                part.iter().map(|_| Err(failure.refusal().into())).collect()
            });
            decided
                .extend(part.iter().zip(outcomes).map(|((number, _), outcome)| Decided { number: *number, outcome }));
        }
        decided
    }

    async fn reject_all(
        &self,
        actor: &Actor,
        asked: &[(RequestNumber, &str)],
        reason: &str,
    ) -> Vec<Result<(), Failure>> {
        let mut outcomes = Vec::with_capacity(asked.len());
        for (number, _) in asked {
            outcomes.push(self.reject(actor, *number, &Rejection { reason: reason.to_owned() }).await);
        }
        outcomes
    }
}
