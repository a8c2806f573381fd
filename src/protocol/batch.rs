//! Many requests in one message: submissions, questions, outcomes.
//!
//! A result stands where its item stood, and one item's refusal does not touch the others. What is not about an item
//! but about the service or the caller is a problem of the whole call.

use serde::{Deserialize, Serialize};

use super::messages::{Der, RequestStatus, Submission};
use super::problem::Problem;
use super::request::{RequestNumber, State};
use super::secret::Secret;

/// The most submissions in one [`SubmissionBatch`].
pub const SUBMISSIONS_LIMIT: usize = 250;

/// The most requests in one [`StatusQuery`] or [`OutcomeBatch`].
pub const REQUESTS_LIMIT: usize = 500;

/// The largest body that a route for batches accepts, in bytes.
pub const BATCH_BODY_LIMIT: usize = 1024 * 1024;

/// `POST /requests/batch`: new requests, 1 to [`SUBMISSIONS_LIMIT`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "service", derive(utoipa::ToSchema))]
pub struct SubmissionBatch {
    /// The requests.
    pub submissions: Vec<KeyedSubmission>,
}

/// A submission with what makes it safe to repeat.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "service", derive(utoipa::ToSchema))]
pub struct KeyedSubmission {
    /// As the header `Idempotency-Key` of a single one: 1 to 64 visible ASCII characters.
    pub idempotency_key: String,
    /// The request.
    #[serde(flatten)]
    pub submission: Submission,
}

/// The answer to a [`SubmissionBatch`].
#[derive(Debug, Clone, Serialize, Deserialize)]
#[cfg_attr(feature = "service", derive(utoipa::ToSchema))]
pub struct SubmissionResults {
    /// What became of each submission.
    pub results: Vec<SubmissionResult>,
}

/// What became of one submission of many.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[cfg_attr(feature = "service", derive(utoipa::ToSchema))]
#[serde(untagged)]
pub enum SubmissionResult {
    /// It is in the queue.
    Accepted {
        /// Whether this submission made the request, rather than an earlier one with the same key.
        created: bool,
        /// The request.
        request: Box<RequestStatus>,
    },
    /// It is not.
    Refused {
        /// Why.
        problem: Box<Problem>,
    },
}

/// `POST /requests/status`: where requests stand, 1 to [`REQUESTS_LIMIT`]. A body, because a token has no place in a URL.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "service", derive(utoipa::ToSchema))]
pub struct StatusQuery {
    /// The requests.
    pub requests: Vec<HeldRequest>,
}

/// A request and the proof that the caller holds it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "service", derive(utoipa::ToSchema))]
pub struct HeldRequest {
    /// The request.
    pub number: RequestNumber,
    /// Its token.
    #[cfg_attr(feature = "service", schema(value_type = String))]
    pub token: Secret,
}

/// `POST /requests/outcomes`: what the client holds now, 1 to [`REQUESTS_LIMIT`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "service", derive(utoipa::ToSchema))]
pub struct OutcomeBatch {
    /// The requests.
    pub outcomes: Vec<HeldOutcome>,
}

/// The outcome of one request of many.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "service", derive(utoipa::ToSchema))]
pub struct HeldOutcome {
    /// The request, and that the caller holds it.
    #[serde(flatten)]
    pub held: HeldRequest,
    /// `installed` or `downloaded`, as fits the kind.
    pub state: State,
}

/// The answer to a [`StatusQuery`] or an [`OutcomeBatch`].
#[derive(Debug, Clone, Serialize, Deserialize)]
#[cfg_attr(feature = "service", derive(utoipa::ToSchema))]
pub struct StatusResults {
    /// How each request stands.
    pub results: Vec<StatusResult>,
    /// The issuers above every certificate in `results`, nearest first, the root last; there `issued.chain` is empty.
    /// Absent where no certificate is among them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub chain: Vec<Der>,
}

/// How one request of many stands.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[cfg_attr(feature = "service", derive(utoipa::ToSchema))]
#[serde(untagged)]
pub enum StatusResult {
    /// As its client sees it.
    Known {
        /// The request. The answer to an outcome is without `issued`, which its client has.
        request: Box<RequestStatus>,
    },
    /// Not told.
    Refused {
        /// Why. A wrong token and a number that nobody has look alike.
        problem: Box<Problem>,
    },
}
