//! Many decisions as one job of the service: what is decided on, how far it is, and what became of each request.

use std::str::FromStr;

use serde::{Deserialize, Serialize};
use time::OffsetDateTime;

use super::problem::Problem;
use super::request::{Kind, RequestNumber, UnknownWord, by_word};

/// The most requests in one [`BulkDecision`].
pub const BULK_LIMIT: usize = 10_000;

/// The largest body that the route for bulk decisions accepts, in bytes: twice what the most requests take.
pub const BULK_BODY_LIMIT: usize = 2 * 1024 * 1024;

/// `POST /manager/bulk-decisions`: one verdict on 1 to [`BULK_LIMIT`] requests.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "service", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct BulkDecision {
    /// Yes or no.
    pub verdict: BulkVerdict,
    /// Why, of a rejection: 1 to 500 characters, which the clients' `fetch` shows.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// The requests, each once.
    pub requests: Vec<ShownRequest>,
}

/// A request with what was seen of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "service", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct ShownRequest {
    /// The request.
    pub number: RequestNumber,
    /// SHA-256 of the CSR that the manager saw.
    pub csr_sha256: String,
}

macro_rules! words {
    ($($(#[$doc:meta])* $type:ident { $($(#[$variant_doc:meta])* $variant:ident = $word:literal,)* })*) => {$(
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
        #[cfg_attr(feature = "service", derive(utoipa::ToSchema))]
        #[serde(rename_all = "kebab-case")]
        pub enum $type {
            $($(#[$variant_doc])* $variant,)*
        }

        impl $type {
            /// Every one.
            pub const ALL: &'static [Self] = &[$(Self::$variant),*];

            /// The word on the wire and in the database.
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $word,)* }
            }
        }

        impl FromStr for $type {
            type Err = UnknownWord;

            fn from_str(text: &str) -> Result<Self, Self::Err> {
                by_word(text, Self::ALL, Self::as_str)
            }
        }
    )*};
}

words! {
    /// What is decided.
    BulkVerdict {
        /// Yes.
        Approve = "approve",
        /// No.
        Reject = "reject",
    }

    /// Where a bulk decision stands.
    BulkState {
        /// It is shown and not decided yet; it goes by itself.
        Draft = "draft",
        /// The requests are being decided on.
        Running = "running",
        /// Each request has its outcome.
        Finished = "finished",
        /// It was ended before; what is decided stays.
        Stopped = "stopped",
    }

    /// What became of a request in a bulk decision.
    BulkOutcome {
        /// It has not been its turn.
        Waiting = "waiting",
        /// Yes.
        Approved = "approved",
        /// No.
        Rejected = "rejected",
        /// It could not be decided on; `problem` says why.
        Refused = "refused",
        /// The bulk decision ended before its turn.
        Stopped = "stopped",
    }
}

/// A bulk decision and how far it is.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[cfg_attr(feature = "service", derive(utoipa::ToSchema))]
pub struct BulkStatus {
    /// Its number.
    pub id: u64,
    /// Where it stands.
    pub state: BulkState,
    /// What is decided; absent of a draft.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub verdict: Option<BulkVerdict>,
    /// Why, of a rejection.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// By whom.
    pub made_by: String,
    /// Code of the organisation of the registration manager who made it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub organisation: Option<String>,
    /// When it was made.
    #[serde(with = "time::serde::rfc3339")]
    pub created_at: OffsetDateTime,
    /// Since when it is decided on.
    #[serde(default, with = "time::serde::rfc3339::option", skip_serializing_if = "Option::is_none")]
    pub started_at: Option<OffsetDateTime>,
    /// When it was finished or stopped.
    #[serde(default, with = "time::serde::rfc3339::option", skip_serializing_if = "Option::is_none")]
    pub ended_at: Option<OffsetDateTime>,
    /// How many requests it is about: the sum of the counts that follow.
    pub requests: u64,
    /// How many wait for their turn.
    pub waiting: u64,
    /// How many were approved.
    pub approved: u64,
    /// How many were rejected.
    pub rejected: u64,
    /// How many could not be decided on.
    pub refused: u64,
    /// How many were left when it was stopped.
    pub stopped: u64,
    /// How many a second had their turn so far.
    pub per_second: u64,
    /// Why it was stopped, where its maker did not do so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub problem: Option<Box<Problem>>,
}

/// What became of one request.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[cfg_attr(feature = "service", derive(utoipa::ToSchema))]
pub struct BulkResult {
    /// The request.
    pub number: RequestNumber,
    /// What became of it.
    pub outcome: BulkOutcome,
    /// Why it was not decided on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub problem: Option<Box<Problem>>,
    /// Code of the request's organisation, where the reader may see the request.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub organisation: Option<String>,
    /// What its certificate is for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kind: Option<Kind>,
    /// The name that its certificate carries.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub common_name: Option<String>,
    /// The rules that were warned of when it was shown.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub warnings: Vec<String>,
}
