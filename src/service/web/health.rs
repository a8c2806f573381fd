//! How the service is.

use std::sync::Arc;

use askama::Template;
use axum::extract::State as FromState;
use axum::response::Response;

use super::frame::Viewer;
use super::shown;
use crate::protocol::request::State;
use crate::service::app::App;
use crate::service::error::Failure;
use crate::service::registration::Health;

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
    let mebibytes = |bytes: u64| format!("{} MiB", counted(bytes.div_ceil(1024 * 1024)));
    let outbox = app.outbox_state().await?;
    let lines = [
        ("health-environment", health.info.environment.clone()),
        ("health-version", health.info.version.clone()),
        ("health-clock", moment(Some(health.info.time))),
        ("health-requests", viewer.number(health.requests(None))),
        ("health-pending", viewer.number(health.requests(Some(State::Pending)))),
        ("health-oldest", oldest.unwrap_or_else(|| "–".to_owned())),
        ("health-crl-number", health.crl.map_or_else(|| "–".to_owned(), |(number, ..)| number.to_string())),
        ("health-crl-made", moment(health.crl.map(|(_, made, _)| made))),
        ("health-crl-next", moment(health.crl.map(|(.., next)| next))),
        ("health-issuing-key", health.key_fault.clone().unwrap_or_else(|| health.key.to_string())),
        ("health-issuer-ends", moment(Some(health.issuer_ends))),
        ("health-root-ends", moment(health.root_ends)),
        ("health-listeners-end", moment(health.listeners_end)),
        ("health-notices-waiting", viewer.number(health.outbox.iter().map(|lane| lane.waiting).sum())),
        ("health-notices-failed", counted(outbox.failed)),
        ("health-notices-oldest", moment(health.outbox.iter().map(|lane| lane.oldest.0).min())),
        ("health-disk", health.disk.map_or_else(|| "–".to_owned(), |disk| mebibytes(disk.available))),
        ("health-database", mebibytes(health.database_bytes)),
    ];
    let lines = lines.into_iter().map(|(id, value)| (viewer.say(id), value)).collect();
    viewer.page(&Shown { viewer: &viewer, health: &health, lines })
}
