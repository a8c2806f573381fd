//! Bulk decisions: everything that a view shows, kept as it is shown, decided on as one job with a result for each.

use std::sync::Arc;

use askama::Template;
use axum::body::Body;
use axum::extract::State as FromState;
use axum::http::header::{CONTENT_DISPOSITION, CONTENT_TYPE};
use axum::response::{IntoResponse, Redirect, Response};
use futures_util::stream;

use super::fields::{Asked, Posted};
use super::frame::Viewer;
use super::queue::{asked_for, verdict};
use super::shown::{self, Moment, inert};
use crate::locales::{self, Language, Text};
use crate::protocol::bulk::{BULK_LIMIT, BulkOutcome, BulkResult, BulkState, BulkStatus, BulkVerdict};
use crate::protocol::messages::Page;
use crate::protocol::request::RequestNumber;
use crate::protocol::text::csv_cell;
use crate::service::api::extract::InPath;
use crate::service::app::App;
use crate::service::auth::Action;
use crate::service::error::{Failure, Refusal};
use crate::service::registration::DRAFT_LIFETIME;

const ROWS: u32 = 50;

/// How many rows of an export are in memory at the same time.
const PART: u32 = 200;

/// A bulk decision in words.
struct Described {
    id: u64,
    verdict: String,
    reason: String,
    made_by: String,
    state: String,
    class: &'static str,
    running: bool,
    started: Option<Moment>,
    ended: Option<Moment>,
    problem: Option<String>,
    requests: u64,
    done: u64,
    /// How many there are of each outcome that there are any of.
    counts: Vec<(String, String)>,
    progress: String,
}

impl Described {
    fn new(status: BulkStatus, viewer: &Viewer) -> Self {
        let number = |count: u64| viewer.number(i64::try_from(count).unwrap_or(i64::MAX));
        let (class, state) = match status.state {
            BulkState::Draft => ("pending", "bulk-state-draft"),
            BulkState::Running => ("pending", "bulk-state-running"),
            BulkState::Finished => ("approved", "bulk-state-finished"),
            BulkState::Stopped => ("rejected", "bulk-state-stopped"),
        };
        let done = status.approved + status.rejected + status.refused;
        let counts = [
            (BulkOutcome::Refused, status.refused),
            (BulkOutcome::Stopped, status.stopped),
            (BulkOutcome::Waiting, status.waiting),
            (BulkOutcome::Approved, status.approved),
            (BulkOutcome::Rejected, status.rejected),
        ];
        Self {
            id: status.id,
            verdict: status.verdict.map(|verdict| viewer.say(verdict_text(verdict))).unwrap_or_default(),
            reason: inert(&status.reason.unwrap_or_default()),
            made_by: inert(&status.made_by),
            state: viewer.say(state),
            class,
            running: status.state == BulkState::Running,
            started: status.started_at.map(|at| shown::moment(at, viewer.language)),
            ended: status.ended_at.map(|at| shown::moment(at, viewer.language)),
            problem: status.problem.and_then(|problem| problem.detail),
            requests: status.requests,
            done,
            counts: counts
                .into_iter()
                .filter(|(_, count)| *count > 0)
                .map(|(outcome, count)| (locales::outcome(outcome).in_language(viewer.language), number(count)))
                .collect(),
            progress: Text::new("bulk-progress")
                .with("done", number(done))
                .with("requests", number(status.requests))
                .with("rate", number(status.per_second))
                .in_language(viewer.language),
        }
    }
}

/// A request and what became of it.
struct Row {
    number: RequestNumber,
    common_name: String,
    kind: String,
    organisation: String,
    class: &'static str,
    outcome: String,
    why: String,
    hint: String,
    warnings: Vec<String>,
}

impl Row {
    fn new(result: BulkResult, language: Language) -> Self {
        let warning = |rule: &String| language.look_up(&format!("rule-{rule}")).unwrap_or_else(|| rule.clone());
        let class = match result.outcome {
            BulkOutcome::Waiting => "pending",
            BulkOutcome::Approved => "approved",
            BulkOutcome::Rejected | BulkOutcome::Refused | BulkOutcome::Stopped => "rejected",
        };
        Self {
            number: result.number,
            common_name: inert(&result.common_name.clone().unwrap_or_default()),
            kind: result.kind.map(|kind| locales::kind(kind).in_language(language)).unwrap_or_default(),
            organisation: result.organisation.clone().unwrap_or_default(),
            class,
            outcome: locales::outcome(result.outcome).in_language(language),
            why: why(&result, language),
            hint: result.problem.as_ref().and_then(|problem| problem.hint.clone()).unwrap_or_default(),
            warnings: result.warnings.iter().map(warning).collect(),
        }
    }
}

/// Why a request was not decided on, with the rules that its CSR breaks.
fn why(result: &BulkResult, language: Language) -> String {
    let Some(problem) = &result.problem else { return String::new() };
    let findings = problem.findings.iter().map(|finding| shown::finding(finding, language));
    problem.detail.iter().cloned().chain(findings).collect::<Vec<_>>().join(" ")
}

const fn verdict_text(verdict: BulkVerdict) -> &'static str {
    match verdict {
        BulkVerdict::Approve => "bulk-verdict-approve",
        BulkVerdict::Reject => "bulk-verdict-reject",
    }
}

#[derive(Template)]
#[template(path = "bulk-list.html", config = ".askama.toml")]
struct List<'a> {
    viewer: &'a Viewer,
    rows: Vec<Described>,
    next: Option<String>,
    first: bool,
}

/// The bulk decisions, newest first.
pub(super) async fn list(
    viewer: Viewer,
    FromState(app): FromState<Arc<App>>,
    Asked(fields): Asked,
) -> Result<Response, Failure> {
    let after = fields.word("after");
    let Page { items, next } = app.list_bulk(&viewer.actor, after, Some(ROWS), viewer.language).await?;
    let rows = items.into_iter().map(|status| Described::new(status, &viewer)).collect();
    let next = next.map(|next| format!("/requests/bulk?after={next}"));
    viewer.page(&List { viewer: &viewer, rows, next, first: after.is_some() })
}

/// Keeps what a view shows, to be looked at before it is decided on.
pub(super) async fn draft(
    viewer: Viewer,
    FromState(app): FromState<Arc<App>>,
    Posted(fields): Posted,
) -> Result<Redirect, Failure> {
    let draft = app.draft_bulk(viewer.maker(), &asked_for(&fields), false).await?;
    let nothing = || Refusal::invalid_field("requests", Text::new("expected-pending-here"));
    let id = draft.ok_or_else(nothing)?.id;
    Ok(Redirect::to(&format!("/requests/bulk/{id}")))
}

/// How many requests of an organisation and kind there are.
struct Share {
    organisation: String,
    kind: String,
    requests: String,
    warned: String,
}

#[derive(Template)]
#[template(path = "bulk-draft.html", config = ".askama.toml")]
struct Draft<'a> {
    viewer: &'a Viewer,
    id: u64,
    requests: usize,
    warned: usize,
    /// Whether whoever looks may start it.
    startable: bool,
    /// How many can be at once, where there are as many.
    full: Option<String>,
    until: Moment,
    shares: Vec<Share>,
    rows: Vec<Row>,
    next: Option<String>,
    first: bool,
}

#[derive(Template)]
#[template(path = "bulk.html", config = ".askama.toml")]
struct Shown<'a> {
    viewer: &'a Viewer,
    bulk: Described,
    /// Whether whoever looks may stop it.
    stoppable: bool,
    rows: Vec<Row>,
    next: Option<String>,
    first: bool,
}

/// A bulk decision: before it is started what it is about, then how far it is.
pub(super) async fn show(
    viewer: Viewer,
    FromState(app): FromState<Arc<App>>,
    InPath(id): InPath<u64>,
    Asked(fields): Asked,
) -> Result<Response, Failure> {
    let after = fields.word("after");
    let status = app.bulk(&viewer.actor, id, viewer.language).await?;
    let Page { items, next } = app.bulk_results(&viewer.actor, id, after, Some(ROWS), viewer.language).await?;
    let rows = items.into_iter().map(|result| Row::new(result, viewer.language)).collect();
    let next = next.map(|next| format!("/requests/bulk/{id}?after={next}"));
    let first = after.is_some();
    if status.state != BulkState::Draft {
        let stoppable =
            status.state == BulkState::Running && app.may_change_bulk(&viewer.actor, Action::StopBulk, id).await?;
        let bulk = Described::new(status, &viewer);
        return viewer.page(&Shown { viewer: &viewer, bulk, stoppable, rows, next, first });
    }
    let shares = app.bulk_shares(&viewer.actor, id).await?;
    let count = |count: i64| usize::try_from(count).unwrap_or_default();
    let template = Draft {
        viewer: &viewer,
        id,
        requests: shares.iter().map(|share| count(share.requests)).sum(),
        startable: app.may_change_bulk(&viewer.actor, Action::StartBulk, id).await?,
        warned: shares.iter().map(|share| count(share.warned)).sum(),
        full: (status.requests >= BULK_LIMIT as u64).then(|| viewer.number(BULK_LIMIT as i64)),
        until: shown::moment(status.created_at + DRAFT_LIFETIME, viewer.language),
        shares: shares
            .into_iter()
            .map(|share| Share {
                organisation: share.organisation,
                kind: locales::kind(share.kind).in_language(viewer.language),
                requests: viewer.number(share.requests),
                warned: viewer.number(share.warned),
            })
            .collect(),
        rows,
        next,
        first,
    };
    viewer.page(&template)
}

/// Starts to decide on what was shown.
pub(super) async fn start(
    viewer: Viewer,
    FromState(app): FromState<Arc<App>>,
    InPath(id): InPath<u64>,
    Posted(fields): Posted,
) -> Result<Redirect, Failure> {
    let without_warned = fields.value("leave_out").is_some();
    app.start_bulk(viewer.maker(), id, &verdict(&fields)?, without_warned).await?;
    Ok(Redirect::to(&format!("/requests/bulk/{id}")))
}

/// Decides on nothing more.
pub(super) async fn stop(
    viewer: Viewer,
    FromState(app): FromState<Arc<App>>,
    InPath(id): InPath<u64>,
    Posted(_): Posted,
) -> Result<Redirect, Failure> {
    app.stop_bulk(&viewer.actor, id, viewer.language).await?;
    Ok(Redirect::to(&format!("/requests/bulk/{id}")))
}

const CSV_HEAD: &str = "request,organisation,kind,common_name,outcome,problem,detail\r\n";

/// What became of each request, as CSV (RFC 4180), part by part.
pub(super) async fn results(
    viewer: Viewer,
    FromState(app): FromState<Arc<App>>,
    InPath(id): InPath<u64>,
) -> Result<Response, Failure> {
    // The first part before the answer begins, so that a refusal is still one.
    let first = app.bulk_results(&viewer.actor, id, None, Some(PART), viewer.language).await?;
    let start = (Some((CSV_HEAD.to_owned(), first)), app, viewer);
    let parts = stream::try_unfold(start, move |(part, app, viewer)| async move {
        let Some((mut text, Page { items, next })) = part else { return Ok::<_, Failure>(None) };
        items.iter().for_each(|result| text.push_str(&csv_line(result, viewer.language)));
        let part = match next {
            Some(_) => {
                let page = app.bulk_results(&viewer.actor, id, next, Some(PART), viewer.language).await?;
                Some((String::new(), page))
            }
            None => None,
        };
        Ok(Some((text, (part, app, viewer))))
    });
    let disposition = format!("attachment; filename=\"bulk-decision-{id}.csv\"");
    let headers =
        [(CONTENT_TYPE, "text/csv; charset=utf-8; header=present".to_owned()), (CONTENT_DISPOSITION, disposition)];
    Ok((headers, Body::from_stream(parts)).into_response())
}

fn csv_line(result: &BulkResult, language: Language) -> String {
    let cells = [
        result.number.to_string(),
        result.organisation.clone().unwrap_or_default(),
        result.kind.map(|kind| kind.to_string()).unwrap_or_default(),
        result.common_name.clone().unwrap_or_default(),
        result.outcome.as_str().to_owned(),
        result.problem.as_ref().and_then(|problem| problem.code()).map_or("", |code| code.as_str()).to_owned(),
        why(result, language),
    ];
    format!("{}\r\n", cells.map(|cell| csv_cell(&cell)).join(","))
}
