//! The public listener: submit, follow, report; who answers here; the CA's certificates.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::header::{CONTENT_TYPE, RETRY_AFTER};
use axum::http::{HeaderMap, HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};

use super::extract::{Body, FromAddress, FromHolder, FromPackage, IdempotencyKey};
use crate::protocol::messages::{Outcome, RequestStatus, ServiceInfo, Submission};
use crate::protocol::problem::Problem;
use crate::protocol::request::State as RequestState;
use crate::service::app::App;
use crate::service::credential::certificates_pem;
use crate::service::error::Failure;

/// Submit a request.
///
/// Repeating it with the same `Idempotency-Key` and the same body gives the same request. A newer request for the same
/// organisation, kind and common name cancels an older pending one.
#[utoipa::path(
    post, path = "/requests", tag = "enrollment", request_body = Submission,
    params(("Idempotency-Key" = Option<String>, Header, description = "At most 64 visible ASCII characters")),
    security(("enrollment-secret" = [])),
    responses(
        (status = 201, body = RequestStatus, description = "Accepted"),
        (status = 200, body = RequestStatus, description = "Accepted earlier, with the same key"),
        (status = "default", body = Problem, content_type = "application/problem+json", description = "Refused"),
    )
)]
pub(in crate::service) async fn submit(
    FromPackage(submitter): FromPackage,
    IdempotencyKey(key): IdempotencyKey,
    State(app): State<Arc<App>>,
    Body(submission): Body<Submission>,
) -> Result<Response, Failure> {
    app.admit(&submitter.1, 1)?;
    let submitted = app.submit(&submitter, key.as_deref(), submission).await?;
    let code = if submitted.created { StatusCode::CREATED } else { StatusCode::OK };
    Ok((code, following(&app, submitted.status)).into_response())
}

/// Ask where a request stands, and collect its certificate.
#[utoipa::path(
    get, path = "/requests/{number}", tag = "enrollment",
    params(("number" = u64, Path, description = "The request")),
    security(("request-token" = [])),
    responses(
        (status = 200, body = RequestStatus, description = "With Retry-After while it is pending"),
        (status = "default", body = Problem, content_type = "application/problem+json", description = "Refused"),
    )
)]
pub(in crate::service) async fn follow(
    holder: FromHolder,
    address: FromAddress,
    State(app): State<Arc<App>>,
) -> Result<Response, Failure> {
    let status = address.judge_token(app.follow(holder.number, &holder.token).await)?;
    Ok(following(&app, status).into_response())
}

/// Report that the certificate is installed or downloaded.
#[utoipa::path(
    put, path = "/requests/{number}/outcome", tag = "enrollment", request_body = Outcome,
    params(("number" = u64, Path, description = "The request")),
    security(("request-token" = [])),
    responses(
        (status = 200, body = RequestStatus, description = "Noted; reporting it again changes nothing"),
        (status = "default", body = Problem, content_type = "application/problem+json", description = "Refused"),
    )
)]
pub(in crate::service) async fn report(
    holder: FromHolder,
    address: FromAddress,
    State(app): State<Arc<App>>,
    Body(outcome): Body<Outcome>,
) -> Result<Json<RequestStatus>, Failure> {
    Ok(Json(address.judge_token(app.report(holder.number, &holder.token, &outcome).await)?))
}

/// Ask who answers here.
#[utoipa::path(
    get, path = "/service", tag = "service",
    responses((status = 200, body = ServiceInfo, description = "The service, with its clock"))
)]
pub(in crate::service) async fn service(State(app): State<Arc<App>>) -> Json<ServiceInfo> {
    Json(app.info())
}

/// Get the CA's certificates: the issuing one, then the root, PEM.
#[utoipa::path(
    get, path = "/ca/chain", tag = "ca",
    responses((status = 200, content_type = "application/pem-certificate-chain", body = String,
        description = "The certificates"))
)]
pub(in crate::service) async fn chain(State(app): State<Arc<App>>) -> impl IntoResponse {
    let pem = certificates_pem(&[app.ca().issuing(), app.ca().root()]);
    ([(CONTENT_TYPE, "application/pem-certificate-chain")], pem)
}

/// A status, with the time to wait where there is something to wait for.
fn following(app: &App, status: RequestStatus) -> impl IntoResponse + use<> {
    let headers = if status.state == RequestState::Pending { ask_again(app) } else { HeaderMap::new() };
    (headers, Json(status))
}

/// When to ask again for what is pending.
pub(super) fn ask_again(app: &App) -> HeaderMap {
    HeaderMap::from_iter([(RETRY_AFTER, HeaderValue::from(app.settings().poll_seconds))])
}
