//! The secure listener: many decisions as one job.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use axum::http::header::LOCATION;
use axum::response::IntoResponse;
use serde::Deserialize;
use utoipa::IntoParams;

use super::extract::{Body, FromCaller, FromFrame, IdempotencyKey, InPath, Parameters};
use crate::protocol::bulk::{BULK_BODY_LIMIT, BulkDecision, BulkResult, BulkStatus};
use crate::protocol::messages::{API, Page};
use crate::protocol::problem::Problem;
use crate::service::app::App;
use crate::service::error::Failure;

/// Which part of a list.
#[derive(Debug, Clone, Default, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(in crate::service) struct PartQuery {
    /// The `next` of the page before.
    after: Option<u64>,
    /// At most so many rows: 50 unless said otherwise, at most 200.
    limit: Option<u32>,
}

/// Decide on up to 10,000 requests, each exactly as it was shown.
///
/// The answer comes when all of it is on disk; the decisions follow. Repeating it with the same `Idempotency-Key` and the
/// same body gives the same bulk decision.
#[utoipa::path(
    post, path = "/manager/bulk-decisions", tag = "bulk decisions", request_body = BulkDecision,
    params(("Idempotency-Key" = Option<String>, Header, description = "At most 64 visible ASCII characters")),
    responses(
        (status = 202, body = BulkStatus, description = "It goes on by itself; `Location` tells how far it is",
            headers(("Location" = String, description = "Where to ask"))),
        (status = "default", body = Problem, content_type = "application/problem+json", description = "Refused"),
    )
)]
pub(in crate::service) async fn decide(
    caller: FromCaller,
    frame: FromFrame,
    IdempotencyKey(key): IdempotencyKey,
    State(app): State<Arc<App>>,
    Body(asked): Body<BulkDecision, BULK_BODY_LIMIT>,
) -> Result<impl IntoResponse, Failure> {
    let status = app.decide_in_bulk(caller.maker(), key.as_deref(), asked, frame.language).await?;
    let location = format!("{API}/manager/bulk-decisions/{}", status.id);
    Ok((StatusCode::ACCEPTED, [(LOCATION, location)], Json(status)))
}

/// List bulk decisions.
#[utoipa::path(
    get, path = "/manager/bulk-decisions", tag = "bulk decisions", params(PartQuery),
    responses(
        (status = 200, body = Page<BulkStatus>, description = "One page, newest first"),
        (status = "default", body = Problem, content_type = "application/problem+json", description = "Refused"),
    )
)]
pub(in crate::service) async fn list(
    caller: FromCaller,
    frame: FromFrame,
    State(app): State<Arc<App>>,
    Parameters(part): Parameters<PartQuery>,
) -> Result<Json<Page<BulkStatus>>, Failure> {
    Ok(Json(app.list_bulk(&caller.actor, part.after, part.limit, frame.language).await?))
}

/// Ask how far a bulk decision is.
#[utoipa::path(
    get, path = "/manager/bulk-decisions/{id}", tag = "bulk decisions",
    params(("id" = u64, Path, description = "The bulk decision")),
    responses(
        (status = 200, body = BulkStatus, description = "Where it stands, and how many requests have which outcome"),
        (status = "default", body = Problem, content_type = "application/problem+json", description = "Refused"),
    )
)]
pub(in crate::service) async fn status(
    caller: FromCaller,
    frame: FromFrame,
    State(app): State<Arc<App>>,
    InPath(id): InPath<u64>,
) -> Result<Json<BulkStatus>, Failure> {
    Ok(Json(app.bulk(&caller.actor, id, frame.language).await?))
}

/// See what became of each request.
#[utoipa::path(
    get, path = "/manager/bulk-decisions/{id}/results", tag = "bulk decisions",
    params(("id" = u64, Path, description = "The bulk decision"), PartQuery),
    responses(
        (status = 200, body = Page<BulkResult>,
            description = "One page: those that were refused, those that had no turn, the rest"),
        (status = "default", body = Problem, content_type = "application/problem+json", description = "Refused"),
    )
)]
pub(in crate::service) async fn results(
    caller: FromCaller,
    frame: FromFrame,
    State(app): State<Arc<App>>,
    InPath(id): InPath<u64>,
    Parameters(part): Parameters<PartQuery>,
) -> Result<Json<Page<BulkResult>>, Failure> {
    Ok(Json(app.bulk_results(&caller.actor, id, part.after, part.limit, frame.language).await?))
}

/// Stop a bulk decision: what is decided stays, and nothing more is.
#[utoipa::path(
    post, path = "/manager/bulk-decisions/{id}/stop", tag = "bulk decisions",
    params(("id" = u64, Path, description = "The bulk decision")),
    responses(
        (status = 200, body = BulkStatus, description = "Stopped"),
        (status = "default", body = Problem, content_type = "application/problem+json", description = "Refused"),
    )
)]
pub(in crate::service) async fn stop(
    caller: FromCaller,
    frame: FromFrame,
    State(app): State<Arc<App>>,
    InPath(id): InPath<u64>,
) -> Result<Json<BulkStatus>, Failure> {
    Ok(Json(app.stop_bulk(&caller.actor, id, frame.language).await?))
}
