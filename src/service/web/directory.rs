//! What the PTC manager looks after: organisations, profiles, the service itself.

use std::sync::Arc;

use askama::Template;
use axum::extract::State as FromState;
use axum::response::{Redirect, Response};

use super::fields::Posted;
use super::frame::Viewer;
use super::shown;
use crate::protocol::messages::Organisation;
use crate::service::app::App;
use crate::service::auth::{Action, Object};
use crate::service::ca::Profile;
use crate::service::error::Failure;
use crate::service::registration::Health;

#[derive(Template)]
#[template(path = "organisations.html", config = ".askama.toml")]
struct Organisations<'a> {
    viewer: &'a Viewer,
    organisations: Vec<Organisation>,
}

/// All organisations, and a form for a new one.
pub(super) async fn organisations(viewer: Viewer, FromState(app): FromState<Arc<App>>) -> Result<Response, Failure> {
    let organisations = app.list_organisations(&viewer.actor).await?;
    viewer.page(&Organisations { viewer: &viewer, organisations })
}

/// Adds an organisation.
pub(super) async fn add_organisation(
    viewer: Viewer,
    FromState(app): FromState<Arc<App>>,
    Posted(fields): Posted,
) -> Result<Redirect, Failure> {
    let organisation =
        Organisation { code: fields.text("code"), name: fields.text("name"), country: fields.text("country") };
    app.add_organisation(&viewer.actor, &organisation).await?;
    Ok(Redirect::to("/organisations"))
}

struct Rules {
    name: String,
    years: String,
    key_usage: [String; 2],
    extended_key_usage: String,
}

#[derive(Template)]
#[template(path = "profiles.html", config = ".askama.toml")]
struct Profiles<'a> {
    viewer: &'a Viewer,
    rules: Vec<Rules>,
}

/// What each kind of certificate holds. It is compiled in.
pub(super) async fn profiles(viewer: Viewer, FromState(app): FromState<Arc<App>>) -> Result<Response, Failure> {
    app.allow(&viewer.actor, Action::ReadHealth, &Object::Everything).await?;
    let rules = Profile::ALL
        .into_iter()
        .map(|profile| Rules {
            name: viewer.say(match profile {
                Profile::Workstation => "kind-workstation",
                Profile::Server => "kind-server",
                Profile::ExternalServer => "kind-external-server",
                Profile::Mobile => "kind-mobile",
                Profile::Manager => "profile-manager",
                Profile::Service => "profile-service",
                Profile::PackageSigner => "profile-package-signer",
            }),
            years: match profile.years() {
                Some(years) => viewer.count("profile-years", years.unsigned_abs() as usize),
                None => viewer.say("profile-as-issuer"),
            },
            key_usage: [true, false].map(|rsa| {
                profile.key_usage(rsa).iter().map(|usage| word(&format!("{usage:?}"))).collect::<Vec<_>>().join(", ")
            }),
            extended_key_usage: word(&format!("{:?}", profile.extended_key_usage())),
        })
        .collect();
    viewer.page(&Profiles { viewer: &viewer, rules })
}

/// The word of RFC 5280 for a name in Rust.
fn word(name: &str) -> String {
    name.chars().enumerate().map(|(at, letter)| if at == 0 { letter.to_ascii_lowercase() } else { letter }).collect()
}

#[derive(Template)]
#[template(path = "health.html", config = ".askama.toml")]
struct Shown<'a> {
    viewer: &'a Viewer,
    health: &'a Health,
    lines: Vec<(String, String)>,
}

/// How the service is.
pub(super) async fn health(viewer: Viewer, FromState(app): FromState<Arc<App>>) -> Result<Response, Failure> {
    let health = app.health(&viewer.actor).await?;
    let moment = |at: Option<time::OffsetDateTime>| {
        at.map_or_else(|| "–".to_owned(), |at| shown::moment(at, viewer.language).text)
    };
    let oldest = health.oldest_pending.map(|since| shown::age(since, app.now().0, viewer.language));
    let counted = |count: u64| viewer.number(i64::try_from(count).unwrap_or(i64::MAX));
    let lines = [
        ("health-environment", health.info.environment.clone()),
        ("health-version", health.info.version.clone()),
        ("health-clock", moment(Some(health.info.time))),
        ("health-requests", viewer.number(health.requests)),
        ("health-pending", viewer.number(health.pending)),
        ("health-oldest", oldest.unwrap_or_else(|| "–".to_owned())),
        ("health-crl-number", health.crl.map_or_else(|| "–".to_owned(), |(number, ..)| number.to_string())),
        ("health-crl-made", moment(health.crl.map(|(_, made, _)| made))),
        ("health-crl-next", moment(health.crl.map(|(.., next)| next))),
        ("health-issuer-ends", moment(health.issuer_ends)),
        ("health-root-ends", moment(health.root_ends)),
        ("health-listeners-end", moment(health.listeners_end)),
        ("health-notices-waiting", counted(health.outbox.waiting)),
        ("health-notices-failed", counted(health.outbox.failed)),
        ("health-notices-oldest", moment(health.outbox.oldest_waiting)),
        ("health-database", format!("{} MiB", counted(health.database_bytes.div_ceil(1024 * 1024)))),
    ];
    let lines = lines.into_iter().map(|(id, value)| (viewer.say(id), value)).collect();
    viewer.page(&Shown { viewer: &viewer, health: &health, lines })
}
