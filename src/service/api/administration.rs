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
use crate::protocol::messages::{AuditEntry, IssuedManager, Manager, NewManager, NewPackage, Organisation, Page};
use crate::protocol::problem::Problem;
use crate::service::app::App;
use crate::service::error::Failure;
use crate::service::package;

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
    let created = app.create_package(&caller.actor, &new).await?;
    // Code, environment and kind are letters, digits and hyphens.
    let name = format!("{}-{}-{}.zip", new.organisation, created.package.environment, new.kind);
    let headers = [
        (CONTENT_TYPE, "application/zip".to_owned()),
        (CONTENT_DISPOSITION, format!("attachment; filename=\"{name}\"")),
    ];
    Ok((StatusCode::CREATED, headers, package::zip(&created.files)?))
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
