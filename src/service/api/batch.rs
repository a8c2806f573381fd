//! The public listener, many requests at once: each goes the way of a single one, and what becomes of it stands in the
//! place of its item.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::HeaderMap;
use axum::response::{IntoResponse, Response};

use super::extract::{Body, FromAddress, FromFrame, FromPackage};
use super::public::ask_again;
use crate::locales::Text;
use crate::protocol::batch::{
    BATCH_BODY_LIMIT, OutcomeBatch, REQUESTS_LIMIT, SUBMISSIONS_LIMIT, StatusQuery, StatusResult, StatusResults,
    SubmissionBatch, SubmissionResult, SubmissionResults,
};
use crate::protocol::messages::RequestStatus;
use crate::protocol::problem::{Problem, ProblemCode};
use crate::protocol::request::State as RequestState;
use crate::service::app::App;
use crate::service::error::{Failure, Refusal};

/// Submit many requests.
///
/// Every item has an idempotency key and a token of its own, so that the whole batch may be repeated.
#[utoipa::path(
    post, path = "/requests/batch", tag = "enrollment", request_body = SubmissionBatch,
    security(("enrollment-secret" = [])),
    responses(
        (status = 200, body = SubmissionResults, description = "A result for each, in the same order"),
        (status = "default", body = Problem, content_type = "application/problem+json", description = "All refused"),
    )
)]
pub(in crate::service) async fn submit(
    FromPackage(submitter): FromPackage,
    frame: FromFrame,
    State(app): State<Arc<App>>,
    Body(batch): Body<SubmissionBatch, BATCH_BODY_LIMIT>,
) -> Result<Json<SubmissionResults>, Failure> {
    check_count("submissions", batch.submissions.len(), SUBMISSIONS_LIMIT)?;
    app.admit(&submitter.1, batch.submissions.len())?;
    let mut results = Vec::with_capacity(batch.submissions.len());
    for submitted in app.submit_all(submitter, batch.submissions).await {
        results.push(match submitted {
            Ok(submitted) => {
                SubmissionResult::Accepted { created: submitted.created, request: Box::new(submitted.status) }
            }
            Err(failure) => SubmissionResult::Refused { problem: frame.problem(failure)? },
        });
    }
    Ok(Json(SubmissionResults { results }))
}

/// Ask where many requests stand, and collect their certificates. The request tokens are in the body.
#[utoipa::path(
    post, path = "/requests/status", tag = "enrollment", request_body = StatusQuery,
    responses(
        (status = 200, body = StatusResults,
            description = "A result for each, in the same order; with Retry-After while one is pending"),
        (status = "default", body = Problem, content_type = "application/problem+json", description = "All refused"),
    )
)]
pub(in crate::service) async fn follow(
    address: FromAddress,
    frame: FromFrame,
    State(app): State<Arc<App>>,
    Body(query): Body<StatusQuery, BATCH_BODY_LIMIT>,
) -> Result<Response, Failure> {
    check_count("requests", query.requests.len(), REQUESTS_LIMIT)?;
    let mut answer = StatusResults { results: Vec::with_capacity(query.requests.len()), chain: Vec::new() };
    let mut headers = HeaderMap::new();
    let followed = app.follow_all(query.requests.iter().map(|held| (held.number, &held.token))).await?;
    for followed in address.judge_tokens(followed)? {
        let followed = followed.map(|mut status| {
            if let Some(issued) = &mut status.issued {
                // Every certificate here comes from the one issuing CA.
                answer.chain = std::mem::take(&mut issued.chain);
            }
            if status.state == RequestState::Pending {
                headers = ask_again(&app);
            }
            status
        });
        answer.results.push(frame.result(followed)?);
    }
    Ok((headers, Json(answer)).into_response())
}

/// Report that many certificates are installed or downloaded. The request tokens are in the body.
#[utoipa::path(
    post, path = "/requests/outcomes", tag = "enrollment", request_body = OutcomeBatch,
    responses(
        (status = 200, body = StatusResults, description = "A result for each, in the same order, without `issued`"),
        (status = "default", body = Problem, content_type = "application/problem+json", description = "All refused"),
    )
)]
pub(in crate::service) async fn report(
    address: FromAddress,
    frame: FromFrame,
    State(app): State<Arc<App>>,
    Body(batch): Body<OutcomeBatch, BATCH_BODY_LIMIT>,
) -> Result<Json<StatusResults>, Failure> {
    check_count("outcomes", batch.outcomes.len(), REQUESTS_LIMIT)?;
    let mut results = Vec::with_capacity(batch.outcomes.len());
    for reported in address.judge_tokens(app.report_all(&batch.outcomes).await?)? {
        results.push(frame.result(reported)?);
    }
    Ok(Json(StatusResults { results, chain: Vec::new() }))
}

impl FromFrame {
    fn result(&self, status: Result<RequestStatus, Failure>) -> Result<StatusResult, Failure> {
        Ok(match status {
            Ok(status) => StatusResult::Known { request: Box::new(status) },
            Err(failure) => StatusResult::Refused { problem: self.problem(failure)? },
        })
    }

    /// What an item is told. A service that cannot answer now says so of the whole call: the next item would fare the
    /// same, and all of them may be sent again.
    fn problem(&self, failure: Failure) -> Result<Box<Problem>, Failure> {
        let refusal = failure.refusal();
        if refusal.code() == ProblemCode::Unavailable {
            return Err(failure);
        }
        failure.log();
        Ok(Box::new(refusal.problem(self.language, &self.request_id)))
    }
}

fn check_count(field: &str, count: usize, limit: usize) -> Result<(), Refusal> {
    match (1..=limit).contains(&count) {
        true => Ok(()),
        false => Err(Refusal::invalid_field(field, Text::new("expected-count").with("limit", limit))),
    }
}
