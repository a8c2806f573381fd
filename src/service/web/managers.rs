//! The managers: who is in office, new ones, new certificates for those there are.

use std::sync::Arc;

use askama::Template;
use axum::extract::State as FromState;
use axum::response::{Redirect, Response};
use base64::prelude::{BASE64_STANDARD, Engine};

use super::fields::Posted;
use super::frame::Viewer;
use super::shown::{self, Moment, inert};
use crate::locales;
use crate::protocol::messages::{IssuedManager, Manager, Organisation};
use crate::protocol::request::Role;
use crate::service::api::extract::InPath;
use crate::service::app::App;
use crate::service::error::{Failure, Refusal};
use crate::service::pkcs12::Pkcs12;
use crate::service::registration::Content;

struct Person {
    manager: Manager,
    role: String,
}

#[derive(Template)]
#[template(path = "managers.html", config = ".askama.toml")]
struct List<'a> {
    viewer: &'a Viewer,
    people: Vec<Person>,
    organisations: Vec<Organisation>,
    roles: [(&'static str, String); 2],
}

/// All managers, and a form for a new one.
pub(super) async fn list(viewer: Viewer, FromState(app): FromState<Arc<App>>) -> Result<Response, Failure> {
    let role = |role| locales::role(role).in_language(viewer.language);
    let people = app.list_managers(&viewer.actor).await?.into_iter();
    let people = people.map(|manager| Person { role: role(manager.role), manager }).collect();
    let organisations = app.list_organisations(&viewer.actor).await?;
    let roles = [Role::RegistrationManager, Role::PtcManager].map(|it| (it.as_str(), role(it)));
    viewer.page(&List { viewer: &viewer, people, organisations, roles })
}

/// A manager's key and certificate, the only time that they and their password are seen.
#[derive(Template)]
#[template(path = "issued.html", config = ".askama.toml")]
struct Shown<'a> {
    viewer: &'a Viewer,
    name: String,
    file: String,
    content: &'a str,
    password: &'a str,
    ends: Option<Moment>,
}

/// Adds a manager, whose key is made here and handed over at once.
pub(super) async fn issue(
    viewer: Viewer,
    FromState(app): FromState<Arc<App>>,
    Posted(fields): Posted,
) -> Result<Response, Failure> {
    let expected = || Refusal::invalid_field("role", locales::Text::new("expected-choice"));
    let role: Role = fields.word("role").ok_or_else(expected)?;
    let (name, email) = (fields.text("name"), fields.text("email"));
    let organisation = fields.value("organisation");
    let (issued, sealed) = app.issue_manager_with_key(&viewer.actor, &name, &email, role, organisation).await?;
    hand_over(&viewer, &issued, &sealed)
}

/// Gives a manager a new key and certificate.
pub(super) async fn reissue(
    viewer: Viewer,
    FromState(app): FromState<Arc<App>>,
    InPath(id): InPath<u64>,
    Posted(fields): Posted,
) -> Result<Response, Failure> {
    let revoke_older = fields.value("revoke_older").is_some();
    let (issued, sealed) = app.reissue_manager_with_key(&viewer.actor, id, revoke_older).await?;
    hand_over(&viewer, &issued, &sealed)
}

fn hand_over(viewer: &Viewer, issued: &IssuedManager, sealed: &Pkcs12) -> Result<Response, Failure> {
    // Sealed with the password beside it, so that this text is no secret by itself.
    let content = BASE64_STANDARD.encode(sealed.content.as_slice());
    let validity = Content::of_certificate(&issued.issued.certificate.0).and_then(|content| content.validity);
    viewer.page(&Shown {
        viewer,
        name: inert(&issued.manager.name),
        file: format!("manager-{}.p12", issued.manager.id),
        content: &content,
        password: sealed.password.expose(),
        ends: validity.map(|(_, end)| shown::moment(end, viewer.language)),
    })
}

/// Takes a manager out of office.
pub(super) async fn disable(
    viewer: Viewer,
    FromState(app): FromState<Arc<App>>,
    InPath(id): InPath<u64>,
    Posted(_): Posted,
) -> Result<Redirect, Failure> {
    app.disable_manager(&viewer.actor, id).await?;
    Ok(Redirect::to("/managers"))
}
