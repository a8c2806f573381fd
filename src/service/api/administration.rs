//! The secure listener: what the PTC managers do for all organisations.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use axum::http::header::{CONTENT_DISPOSITION, CONTENT_TYPE};
use axum::response::IntoResponse;
use serde::Deserialize;
use utoipa::IntoParams;

use super::extract::{Body, FromCaller, InPath, Parameters};
use crate::protocol::messages::{
    AuditEntry, IssuedManager, Manager, NewManager, NewPackage, Organisation, PackageSummary, Page, Reissue, Rotation,
};
use crate::protocol::problem::Problem;
use crate::service::app::App;
use crate::service::error::Failure;
use crate::service::package;
use crate::service::registration::CreatedPackage;

/// Which entries of the audit record to list.
#[derive(Debug, Clone, Default, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(in crate::service) struct AuditQuery {
    /// The `next` of the page before.
    #[serde(default)]
    after: u64,
    /// At most so many rows: 50 unless said otherwise, at most 200.
    limit: Option<u32>,
}

/// List the organisations.
#[utoipa::path(
    get, path = "/manager/organisations", tag = "administration",
    responses(
        (status = 200, body = Vec<Organisation>, description = "All of them, by code"),
        (status = "default", body = Problem, content_type = "application/problem+json", description = "Refused"),
    )
)]
pub(in crate::service) async fn organisations(
    caller: FromCaller,
    State(app): State<Arc<App>>,
) -> Result<Json<Vec<Organisation>>, Failure> {
    Ok(Json(app.list_organisations(&caller.actor).await?))
}

/// Add an organisation.
#[utoipa::path(
    post, path = "/manager/organisations", tag = "administration", request_body = Organisation,
    responses(
        (status = 201, body = Organisation, description = "Added"),
        (status = "default", body = Problem, content_type = "application/problem+json", description = "Refused"),
    )
)]
pub(in crate::service) async fn add_organisation(
    caller: FromCaller,
    State(app): State<Arc<App>>,
    Body(organisation): Body<Organisation>,
) -> Result<(StatusCode, Json<Organisation>), Failure> {
    app.add_organisation(&caller.actor, &organisation).await?;
    Ok((StatusCode::CREATED, Json(organisation)))
}

/// List the managers.
#[utoipa::path(
    get, path = "/manager/managers", tag = "administration",
    responses(
        (status = 200, body = Vec<Manager>, description = "All of them, oldest first"),
        (status = "default", body = Problem, content_type = "application/problem+json", description = "Refused"),
    )
)]
pub(in crate::service) async fn managers(
    caller: FromCaller,
    State(app): State<Arc<App>>,
) -> Result<Json<Vec<Manager>>, Failure> {
    Ok(Json(app.list_managers(&caller.actor).await?))
}

/// Add a manager and issue their certificate.
#[utoipa::path(
    post, path = "/manager/managers", tag = "administration", request_body = NewManager,
    responses(
        (status = 201, body = IssuedManager, description = "Added"),
        (status = "default", body = Problem, content_type = "application/problem+json", description = "Refused"),
    )
)]
pub(in crate::service) async fn add_manager(
    caller: FromCaller,
    State(app): State<Arc<App>>,
    Body(manager): Body<NewManager>,
) -> Result<(StatusCode, Json<IssuedManager>), Failure> {
    Ok((StatusCode::CREATED, Json(app.add_manager(&caller.actor, &manager).await?)))
}

/// Take a manager out of office and revoke their certificates.
#[utoipa::path(
    post, path = "/manager/managers/{id}/disable", tag = "administration",
    params(("id" = u64, Path, description = "The manager's number")),
    responses(
        (status = 200, body = Manager, description = "Out of office"),
        (status = "default", body = Problem, content_type = "application/problem+json", description = "Refused"),
    )
)]
pub(in crate::service) async fn disable_manager(
    caller: FromCaller,
    State(app): State<Arc<App>>,
    InPath(id): InPath<u64>,
) -> Result<Json<Manager>, Failure> {
    Ok(Json(app.disable_manager(&caller.actor, id).await?))
}

/// Issue a manager in office another certificate. The older ones stay good unless the body says otherwise.
#[utoipa::path(
    post, path = "/manager/managers/{id}/reissue", tag = "administration", request_body = Reissue,
    params(("id" = u64, Path, description = "The manager's number")),
    responses(
        (status = 201, body = IssuedManager, description = "Issued"),
        (status = "default", body = Problem, content_type = "application/problem+json", description = "Refused"),
    )
)]
pub(in crate::service) async fn reissue_manager(
    caller: FromCaller,
    State(app): State<Arc<App>>,
    InPath(id): InPath<u64>,
    Body(reissue): Body<Reissue>,
) -> Result<(StatusCode, Json<IssuedManager>), Failure> {
    Ok((StatusCode::CREATED, Json(app.reissue_manager(&caller.actor, id, &reissue).await?)))
}

/// List the install packages that were given out.
#[utoipa::path(
    get, path = "/manager/packages", tag = "administration",
    responses(
        (status = 200, body = Vec<PackageSummary>, description = "All of them, oldest first"),
        (status = "default", body = Problem, content_type = "application/problem+json", description = "Refused"),
    )
)]
pub(in crate::service) async fn packages(
    caller: FromCaller,
    State(app): State<Arc<App>>,
) -> Result<Json<Vec<PackageSummary>>, Failure> {
    Ok(Json(app.list_packages(&caller.actor).await?))
}

/// Make an install package. The answer is the only time its secret is seen.
#[utoipa::path(
    post, path = "/manager/packages", tag = "administration", request_body = NewPackage,
    responses(
        (status = 201, content_type = "application/zip", body = Vec<u8>, description = "The package"),
        (status = "default", body = Problem, content_type = "application/problem+json", description = "Refused"),
    )
)]
pub(in crate::service) async fn create_package(
    caller: FromCaller,
    State(app): State<Arc<App>>,
    Body(new): Body<NewPackage>,
) -> Result<impl IntoResponse, Failure> {
    Ok((StatusCode::CREATED, zipped(&app.create_package(&caller.actor, &new).await?)?))
}

/// End an install package's use: nothing more can be submitted with its secret.
#[utoipa::path(
    post, path = "/manager/packages/{id}/disable", tag = "administration",
    params(("id" = i64, Path, description = "The package's number")),
    responses(
        (status = 200, body = PackageSummary, description = "Out of use"),
        (status = "default", body = Problem, content_type = "application/problem+json", description = "Refused"),
    )
)]
pub(in crate::service) async fn disable_package(
    caller: FromCaller,
    State(app): State<Arc<App>>,
    InPath(id): InPath<i64>,
) -> Result<Json<PackageSummary>, Failure> {
    Ok(Json(app.disable_package(&caller.actor, id).await?))
}

/// Put a package with the same settings and a fresh secret in another one's place.
#[utoipa::path(
    post, path = "/manager/packages/{id}/rotate", tag = "administration", request_body = Rotation,
    params(("id" = i64, Path, description = "The number of the package that is replaced")),
    responses(
        (status = 201, content_type = "application/zip", body = Vec<u8>, description = "The new package"),
        (status = "default", body = Problem, content_type = "application/problem+json", description = "Refused"),
    )
)]
pub(in crate::service) async fn rotate_package(
    caller: FromCaller,
    State(app): State<Arc<App>>,
    InPath(id): InPath<i64>,
    Body(rotation): Body<Rotation>,
) -> Result<impl IntoResponse, Failure> {
    Ok((StatusCode::CREATED, zipped(&app.rotate_package(&caller.actor, id, rotation.grace_days).await?)?))
}

/// A new package as a download.
pub(in crate::service) fn zipped(created: &CreatedPackage) -> Result<impl IntoResponse + use<>, Failure> {
    // Code, environment and kind are letters, digits and hyphens.
    let package = &created.package;
    let name = format!("{}-{}-{}.zip", package.organisation.code, package.environment, package.kind);
    let headers = [
        (CONTENT_TYPE, "application/zip".to_owned()),
        (CONTENT_DISPOSITION, format!("attachment; filename=\"{name}\"")),
    ];
    Ok((headers, package::zip(&created.files)?))
}

/// Read the audit record.
#[utoipa::path(
    get, path = "/manager/audit", tag = "administration", params(AuditQuery),
    responses(
        (status = 200, body = Page<AuditEntry>, description = "One page, oldest first"),
        (status = "default", body = Problem, content_type = "application/problem+json", description = "Refused"),
    )
)]
pub(in crate::service) async fn audit(
    caller: FromCaller,
    State(app): State<Arc<App>>,
    Parameters(query): Parameters<AuditQuery>,
) -> Result<Json<Page<AuditEntry>>, Failure> {
    Ok(Json(app.audit_record(&caller.actor, query.after, query.limit).await?))
}
