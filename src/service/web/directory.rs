//! What the PTC manager cares for: organisations, managers, install packages, profiles, the service itself.

use std::sync::Arc;

use askama::Template;
use axum::extract::State as FromState;
use axum::http::header::{CONTENT_DISPOSITION, CONTENT_TYPE};
use axum::response::{IntoResponse, Redirect, Response};

use super::fields::Posted;
use super::frame::Viewer;
use super::shown::{self, Moment};
use crate::locales;
use crate::protocol::messages::{Manager, NewPackage, Organisation};
use crate::protocol::package::Defaults;
use crate::protocol::request::{Kind, StoreScope};
use crate::service::api::extract::InPath;
use crate::service::app::App;
use crate::service::auth::{Action, Object};
use crate::service::ca::Profile;
use crate::service::error::{Failure, Refusal};
use crate::service::package;
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

struct Person {
    manager: Manager,
    role: String,
}

#[derive(Template)]
#[template(path = "managers.html", config = ".askama.toml")]
struct Managers<'a> {
    viewer: &'a Viewer,
    people: Vec<Person>,
}

/// All managers.
pub(super) async fn managers(viewer: Viewer, FromState(app): FromState<Arc<App>>) -> Result<Response, Failure> {
    let people = app.list_managers(&viewer.actor).await?.into_iter();
    let people = people
        .map(|manager| Person { role: locales::role(manager.role).in_language(viewer.language), manager })
        .collect();
    viewer.page(&Managers { viewer: &viewer, people })
}

/// Takes a manager out of office.
pub(super) async fn disable_manager(
    viewer: Viewer,
    FromState(app): FromState<Arc<App>>,
    InPath(id): InPath<u64>,
    Posted(_): Posted,
) -> Result<Redirect, Failure> {
    app.disable_manager(&viewer.actor, id).await?;
    Ok(Redirect::to("/managers"))
}

struct Given {
    id: i64,
    organisation: String,
    kind: String,
    store: String,
    external_requests: bool,
    created: Moment,
    disabled: Option<Moment>,
}

#[derive(Template)]
#[template(path = "packages.html", config = ".askama.toml")]
struct Packages<'a> {
    viewer: &'a Viewer,
    given: Vec<Given>,
    organisations: Vec<Organisation>,
    kinds: Vec<(&'static str, String)>,
    stores: [(&'static str, String); 2],
}

/// All install packages, and a form for a new one.
pub(super) async fn packages(viewer: Viewer, FromState(app): FromState<Arc<App>>) -> Result<Response, Failure> {
    let in_language = |text: locales::Text| text.in_language(viewer.language);
    let given = app.list_packages(&viewer.actor).await?.into_iter().rev();
    let template = Packages {
        given: given
            .map(|row| Given {
                id: row.id,
                organisation: row.organisation,
                kind: in_language(locales::kind(row.kind)),
                store: in_language(locales::store(row.store)),
                external_requests: row.external_requests,
                created: shown::moment(row.created_at.0, viewer.language),
                disabled: row.disabled_at.map(|at| shown::moment(at.0, viewer.language)),
            })
            .collect(),
        organisations: app.list_organisations(&viewer.actor).await?,
        kinds: Kind::ALL
            .into_iter()
            .filter(|kind| *kind != Kind::ExternalServer)
            .map(|kind| (kind.as_str(), in_language(locales::kind(kind))))
            .collect(),
        stores: [StoreScope::Machine, StoreScope::User]
            .map(|store| (store.as_str(), in_language(locales::store(store)))),
        viewer: &viewer,
    };
    viewer.page(&template)
}

/// Makes an install package; the answer is its zip, and the only time that its secret is seen.
pub(super) async fn create_package(
    viewer: Viewer,
    FromState(app): FromState<Arc<App>>,
    Posted(fields): Posted,
) -> Result<Response, Failure> {
    let value = |name| fields.value(name).map(str::to_owned);
    let missing = |field| Refusal::invalid_field(field, locales::Text::new("expected-choice"));
    let new = NewPackage {
        organisation: fields.text("organisation"),
        kind: fields.word("kind").ok_or_else(|| missing("kind"))?,
        store: fields.word("store").ok_or_else(|| missing("store"))?,
        external_requests: fields.value("external_requests").is_some(),
        defaults: Defaults {
            locality: value("locality"),
            region: value("region"),
            email: value("email"),
            ..Defaults::default()
        },
    };
    let created = app.create_package(&viewer.actor, &new).await?;
    // Code, environment and kind are letters, digits and hyphens.
    let name = format!("{}-{}-{}.zip", new.organisation, created.package.environment, new.kind);
    let headers = [
        (CONTENT_TYPE, "application/zip".to_owned()),
        (CONTENT_DISPOSITION, format!("attachment; filename=\"{name}\"")),
    ];
    Ok((headers, package::zip(&created.files)?).into_response())
}

/// Ends an install package's use.
pub(super) async fn disable_package(
    viewer: Viewer,
    FromState(app): FromState<Arc<App>>,
    InPath(id): InPath<i64>,
    Posted(_): Posted,
) -> Result<Redirect, Failure> {
    app.disable_package(&viewer.actor, id).await?;
    Ok(Redirect::to("/packages"))
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
    let mebibytes = i64::try_from(health.database_bytes.div_ceil(1024 * 1024)).unwrap_or(i64::MAX);
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
        ("health-database", format!("{} MiB", viewer.number(mebibytes))),
    ];
    let lines = lines.into_iter().map(|(id, value)| (viewer.say(id), value)).collect();
    viewer.page(&Shown { viewer: &viewer, health: &health, lines })
}
