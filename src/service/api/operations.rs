//! The operations listener: livez, readyz, metrics. Plain text, as those who ask expect it: Kubernetes, Prometheus, curl.

use std::fmt::Write;
use std::sync::Arc;

use axum::extract::{RawQuery, State};
use axum::http::StatusCode;
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse, Response};

use crate::service::app::App;
use crate::service::metrics;
use crate::service::readiness::Check;

/// Whether the process answers at all. It asks nobody, so that a database that is slow restarts nothing.
pub(in crate::service) async fn live() -> &'static str {
    "ok\n"
}

/// Whether clients should be sent here: 200, or 503 with a line for everything that is wrong. `?verbose` shows all.
pub(in crate::service) async fn ready(State(app): State<Arc<App>>, RawQuery(query): RawQuery) -> Response {
    let checks = app.readiness().await;
    let ready = checks.iter().all(|check| check.fault.is_none());
    let verbose =
        query.is_some_and(|query| query.split('&').any(|word| word == "verbose" || word.starts_with("verbose=")));
    match (ready, verbose) {
        (true, false) => "ok\n".into_response(),
        (true, true) => report(&checks, true).into_response(),
        (false, _) => (StatusCode::SERVICE_UNAVAILABLE, report(&checks, verbose)).into_response(),
    }
}

/// The checks as Kubernetes' own components write them.
fn report(checks: &[Check], all: bool) -> String {
    let mut text = String::new();
    for check in checks.iter().filter(|check| all || check.fault.is_some()) {
        // Writing into a string does not fail.
        let _ = match &check.fault {
            None => writeln!(text, "[+]{} ok", check.name),
            Some(fault) => writeln!(text, "[-]{} failed: {}", check.name, crate::protocol::text::printable(fault)),
        };
    }
    let failed = checks.iter().any(|check| check.fault.is_some());
    text.push_str(if failed { "readyz check failed\n" } else { "readyz check passed\n" });
    text
}

/// All figures, for Prometheus.
pub(in crate::service) async fn metrics(State(app): State<Arc<App>>) -> impl IntoResponse {
    ([(CONTENT_TYPE, metrics::CONTENT_TYPE)], app.scrape().await)
}
