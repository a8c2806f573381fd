//! The organisations.

use std::sync::Arc;

use askama::Template;
use axum::extract::State as FromState;
use axum::response::{Redirect, Response};

use super::fields::Posted;
use super::frame::Viewer;
use crate::protocol::messages::Organisation;
use crate::service::app::App;
use crate::service::error::Failure;

#[derive(Template)]
#[template(path = "organisations.html", config = ".askama.toml")]
struct List<'a> {
    viewer: &'a Viewer,
    organisations: Vec<Organisation>,
}

/// All organisations, and a form for a new one.
pub(super) async fn list(viewer: Viewer, FromState(app): FromState<Arc<App>>) -> Result<Response, Failure> {
    let organisations = app.list_organisations(&viewer.actor).await?;
    viewer.page(&List { viewer: &viewer, organisations })
}

/// Adds an organisation.
pub(super) async fn add(
    viewer: Viewer,
    FromState(app): FromState<Arc<App>>,
    Posted(fields): Posted,
) -> Result<Redirect, Failure> {
    let organisation =
        Organisation { code: fields.text("code"), name: fields.text("name"), country: fields.text("country") };
    app.add_organisation(&viewer.actor, &organisation).await?;
    Ok(Redirect::to("/organisations"))
}
