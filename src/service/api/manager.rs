//! The secure listener: `test`, and what managers do to requests and certificates.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;

use super::extract::{Body, FromCaller, InPath, Parameters};
use crate::protocol::messages::{
    Approval, CertificateSummary, Identity, Page, Rejection, RequestDetail, RequestSummary, Revocation,
};
use crate::protocol::problem::Problem;
use crate::protocol::request::RequestNumber;
use crate::service::app::App;
use crate::service::error::Failure;
use crate::service::registration::{CertificateQuery, RequestQuery};

/// Ask who the service thinks one is.
#[utoipa::path(
    get, path = "/test", tag = "test",
    responses(
        (status = 200, body = Identity, description = "The caller"),
        (status = "default", body = Problem, content_type = "application/problem+json", description = "Refused"),
    )
)]
pub(in crate::service) async fn test(
    caller: FromCaller,
    State(app): State<Arc<App>>,
) -> Result<Json<Identity>, Failure> {
    Ok(Json(app.test(&caller).await?))
}

/// List and search requests.
#[utoipa::path(
    get, path = "/manager/requests", tag = "requests", params(RequestQuery),
    responses(
        (status = 200, body = Page<RequestSummary>, description = "One page, lowest number first"),
        (status = "default", body = Problem, content_type = "application/problem+json", description = "Refused"),
    )
)]
pub(in crate::service) async fn requests(
    caller: FromCaller,
    State(app): State<Arc<App>>,
    Parameters(query): Parameters<RequestQuery>,
) -> Result<Json<Page<RequestSummary>>, Failure> {
    Ok(Json(app.list_requests(&caller.actor, &query).await?))
}

/// See a request with everything that is needed to decide on it.
#[utoipa::path(
    get, path = "/manager/requests/{number}", tag = "requests",
    params(("number" = u64, Path, description = "The request")),
    responses(
        (status = 200, body = RequestDetail, description = "The request"),
        (status = "default", body = Problem, content_type = "application/problem+json", description = "Refused"),
    )
)]
pub(in crate::service) async fn request(
    caller: FromCaller,
    State(app): State<Arc<App>>,
    InPath(number): InPath<RequestNumber>,
) -> Result<Json<RequestDetail>, Failure> {
    Ok(Json(app.request(&caller.actor, number).await?))
}

/// Approve exactly the CSR that was shown.
#[utoipa::path(
    post, path = "/manager/requests/{number}/approve", tag = "requests", request_body = Approval,
    params(("number" = u64, Path, description = "The request")),
    responses(
        (status = 200, body = RequestDetail, description = "Approved; the certificate is in it"),
        (status = "default", body = Problem, content_type = "application/problem+json", description = "Refused"),
    )
)]
pub(in crate::service) async fn approve(
    caller: FromCaller,
    State(app): State<Arc<App>>,
    InPath(number): InPath<RequestNumber>,
    Body(approval): Body<Approval>,
) -> Result<Json<RequestDetail>, Failure> {
    app.approve(&caller.actor, number, &approval).await?;
    Ok(Json(app.request(&caller.actor, number).await.map_err(Failure::after_a_change)?))
}

/// Reject a request, and say why.
#[utoipa::path(
    post, path = "/manager/requests/{number}/reject", tag = "requests", request_body = Rejection,
    params(("number" = u64, Path, description = "The request")),
    responses(
        (status = 200, body = RequestDetail, description = "Rejected"),
        (status = "default", body = Problem, content_type = "application/problem+json", description = "Refused"),
    )
)]
pub(in crate::service) async fn reject(
    caller: FromCaller,
    State(app): State<Arc<App>>,
    InPath(number): InPath<RequestNumber>,
    Body(rejection): Body<Rejection>,
) -> Result<Json<RequestDetail>, Failure> {
    app.reject(&caller.actor, number, &rejection).await?;
    Ok(Json(app.request(&caller.actor, number).await.map_err(Failure::after_a_change)?))
}

/// List and search certificates.
#[utoipa::path(
    get, path = "/manager/certificates", tag = "certificates", params(CertificateQuery),
    responses(
        (status = 200, body = Page<CertificateSummary>, description = "One page, oldest first"),
        (status = "default", body = Problem, content_type = "application/problem+json", description = "Refused"),
    )
)]
pub(in crate::service) async fn certificates(
    caller: FromCaller,
    State(app): State<Arc<App>>,
    Parameters(query): Parameters<CertificateQuery>,
) -> Result<Json<Page<CertificateSummary>>, Failure> {
    Ok(Json(app.list_certificates(&caller.actor, &query).await?))
}

/// See a certificate.
#[utoipa::path(
    get, path = "/manager/certificates/{serial}", tag = "certificates",
    params(("serial" = String, Path, description = "The serial number, lower-case hexadecimal digits")),
    responses(
        (status = 200, body = CertificateSummary, description = "The certificate"),
        (status = "default", body = Problem, content_type = "application/problem+json", description = "Refused"),
    )
)]
pub(in crate::service) async fn certificate(
    caller: FromCaller,
    State(app): State<Arc<App>>,
    InPath(serial): InPath<String>,
) -> Result<Json<CertificateSummary>, Failure> {
    Ok(Json(app.certificate(&caller.actor, &serial).await?))
}

/// Revoke a certificate. The revocation list is renewed in the same step.
#[utoipa::path(
    post, path = "/manager/certificates/{serial}/revoke", tag = "certificates", request_body = Revocation,
    params(("serial" = String, Path, description = "The serial number, lower-case hexadecimal digits")),
    responses(
        (status = 200, body = CertificateSummary, description = "Revoked"),
        (status = "default", body = Problem, content_type = "application/problem+json", description = "Refused"),
    )
)]
pub(in crate::service) async fn revoke(
    caller: FromCaller,
    State(app): State<Arc<App>>,
    InPath(serial): InPath<String>,
    Body(revocation): Body<Revocation>,
) -> Result<Json<CertificateSummary>, Failure> {
    Ok(Json(app.revoke(&caller.actor, &serial, &revocation).await?))
}
