//! The install packages: preview, making, rotation, end.

use std::sync::Arc;

use askama::Template;
use axum::extract::State as FromState;
use axum::response::{IntoResponse, Redirect, Response};
use time::format_description::well_known::Iso8601;
use time::{Date, OffsetDateTime, Time};

use super::fields::{Fields, Posted};
use super::frame::Viewer;
use super::shown::{self, Moment};
use crate::locales::{self, Text};
use crate::protocol::messages::{GRACE_LIMIT, NewPackage, Organisation, PackageSummary};
use crate::protocol::package::Defaults;
use crate::protocol::request::{Kind, StoreScope};
use crate::service::api::administration::zipped;
use crate::service::api::extract::InPath;
use crate::service::app::App;
use crate::service::error::{Failure, Refusal};

struct Given {
    id: i64,
    organisation: String,
    kind: String,
    store: String,
    external_requests: bool,
    created: Moment,
    expires: Option<Moment>,
    ended: Option<Moment>,
    /// Whether its time is over, by itself or by somebody.
    over: bool,
    replaced_by: Option<i64>,
}

#[derive(Template)]
#[template(path = "packages.html", config = ".askama.toml")]
struct List<'a> {
    viewer: &'a Viewer,
    given: Vec<Given>,
    organisations: Vec<Organisation>,
    kinds: Vec<(&'static str, String)>,
    stores: [(&'static str, String); 2],
}

/// All install packages, newest first, and a form for a new one.
pub(super) async fn list(viewer: Viewer, FromState(app): FromState<Arc<App>>) -> Result<Response, Failure> {
    let in_language = |text: Text| text.in_language(viewer.language);
    let moment = |at: OffsetDateTime| shown::moment(at, viewer.language);
    let now = app.now().0;
    let given = |row: PackageSummary| Given {
        id: row.id,
        organisation: row.organisation,
        kind: in_language(locales::kind(row.kind)),
        store: in_language(locales::store(row.store)),
        external_requests: row.external_requests,
        created: moment(row.created_at),
        over: row.disabled_at.or(row.expires_at).is_some_and(|end| end <= now),
        expires: row.expires_at.map(moment),
        ended: row.disabled_at.map(moment),
        replaced_by: row.replaced_by,
    };
    let template = List {
        given: app.list_packages(&viewer.actor).await?.into_iter().rev().map(given).collect(),
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

/// The package that a form describes.
fn described(fields: &Fields) -> Result<NewPackage, Refusal> {
    let value = |name| fields.value(name).map(str::to_owned);
    let missing = |field| Refusal::invalid_field(field, Text::new("expected-choice"));
    // The last day on which the package may be used, in UTC.
    let expires_at = match fields.value("expires") {
        Some(day) => {
            let day = Date::parse(day, &Iso8601::DATE).ok().and_then(Date::next_day);
            let day = day.ok_or_else(|| Refusal::invalid_field("expires", Text::new("expected-day")))?;
            Some(day.with_time(Time::MIDNIGHT).assume_utc())
        }
        None => None,
    };
    Ok(NewPackage {
        organisation: fields.text("organisation"),
        kind: fields.word("kind").ok_or_else(|| missing("kind"))?,
        store: fields.word("store").ok_or_else(|| missing("store"))?,
        external_requests: fields.value("external_requests").is_some(),
        expires_at,
        defaults: Defaults {
            locality: value("locality"),
            region: value("region"),
            email: value("email"),
            ..Defaults::default()
        },
    })
}

#[derive(Template)]
#[template(path = "package-preview.html", config = ".askama.toml")]
struct Preview<'a> {
    viewer: &'a Viewer,
    settings: String,
    fields: &'a Fields,
}

/// What a package would hold; makes nothing.
pub(super) async fn preview(
    viewer: Viewer,
    FromState(app): FromState<Arc<App>>,
    Posted(fields): Posted,
) -> Result<Response, Failure> {
    let settings = app.preview_package(&viewer.actor, &described(&fields)?).await?;
    viewer.page(&Preview { viewer: &viewer, settings, fields: &fields })
}

/// Makes an install package; the answer is its zip, and the only time that its secret is seen.
pub(super) async fn create(
    viewer: Viewer,
    FromState(app): FromState<Arc<App>>,
    Posted(fields): Posted,
) -> Result<Response, Failure> {
    Ok(zipped(&app.create_package(&viewer.actor, &described(&fields)?).await?)?.into_response())
}

/// Puts a package with a fresh secret in the place of one.
pub(super) async fn rotate(
    viewer: Viewer,
    FromState(app): FromState<Arc<App>>,
    InPath(id): InPath<i64>,
    Posted(fields): Posted,
) -> Result<Response, Failure> {
    let expected = || Refusal::invalid_field("grace_days", Text::new("expected-days").with("limit", GRACE_LIMIT));
    let grace_days = fields.word("grace_days").ok_or_else(expected)?;
    Ok(zipped(&app.rotate_package(&viewer.actor, id, grace_days).await?)?.into_response())
}

/// Ends an install package's use.
pub(super) async fn disable(
    viewer: Viewer,
    FromState(app): FromState<Arc<App>>,
    InPath(id): InPath<i64>,
    Posted(_): Posted,
) -> Result<Redirect, Failure> {
    app.disable_package(&viewer.actor, id).await?;
    Ok(Redirect::to("/packages"))
}
