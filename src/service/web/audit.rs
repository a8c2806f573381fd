//! The audit record: filter, export, verification.

use std::sync::Arc;

use askama::Template;
use axum::body::Body;
use axum::extract::State as FromState;
use axum::http::header::{CONTENT_DISPOSITION, CONTENT_TYPE};
use axum::response::{IntoResponse, Response};
use futures_util::stream;
use serde_json::Value;
use time::format_description::well_known::Rfc3339;

use super::fields::{Asked, Fields, Posted};
use super::frame::Viewer;
use super::shown::{self, Moment, inert};
use crate::protocol::messages::{AuditEntry, Page};
use crate::protocol::text::csv_cell;
use crate::service::app::App;
use crate::service::audit::{AuditFilter, Verdict};
use crate::service::error::Failure;

const ROWS: u32 = 100;

/// How many entries of an export are in memory at the same time.
const PART: u32 = 500;

/// An entry of the audit record, for a person.
pub(super) struct Event {
    pub(super) moment: Moment,
    pub(super) action: String,
    pub(super) actor: String,
    pub(super) detail: String,
}

struct Row {
    sequence: u64,
    object: String,
    organisation: String,
    refused: bool,
    event: Event,
}

#[derive(Template)]
#[template(path = "audit.html", config = ".askama.toml")]
struct Record<'a> {
    viewer: &'a Viewer,
    filter: [String; 4],
    rows: Vec<Row>,
    next: Option<String>,
    first: Option<String>,
    exports: [String; 2],
    verdict: Option<Result<(String, String), u64>>,
}

/// What the address bar asks for.
struct Wanted {
    organisation: Option<String>,
    object: Option<String>,
    action: Option<String>,
    actor: Option<String>,
}

impl Wanted {
    fn of(fields: &Fields) -> Self {
        let value = |name| fields.value(name).map(str::to_owned);
        Self {
            organisation: value("organisation"),
            object: value("object"),
            action: value("action"),
            actor: fields.value("actor").map(str::to_lowercase),
        }
    }

    fn filter(&self, before: Option<u64>, limit: u32) -> AuditFilter<'_> {
        AuditFilter {
            organisation: self.organisation.as_deref(),
            object: self.object.as_deref(),
            action: self.action.as_deref(),
            actor: self.actor.as_deref(),
            before,
            limit,
        }
    }
}

/// The record, newest entry first.
pub(super) async fn record(
    viewer: Viewer,
    FromState(app): FromState<Arc<App>>,
    Asked(fields): Asked,
) -> Result<Response, Failure> {
    listed(&viewer, &app, &fields, None).await
}

/// Walks along the chain of hashes, and shows the result above the record.
pub(super) async fn verify(
    viewer: Viewer,
    FromState(app): FromState<Arc<App>>,
    Posted(_): Posted,
) -> Result<Response, Failure> {
    let verdict = match app.verify_audit(&viewer.actor).await? {
        Verdict::Intact { entries, head } => Ok((viewer.number(i64::try_from(entries).unwrap_or(i64::MAX)), head)),
        Verdict::Broken { sequence } => Err(sequence),
    };
    listed(&viewer, &app, &Fields::default(), Some(verdict)).await
}

async fn listed(
    viewer: &Viewer,
    app: &App,
    fields: &Fields,
    verdict: Option<Result<(String, String), u64>>,
) -> Result<Response, Failure> {
    let wanted = Wanted::of(fields);
    let Page { items, next } = app.search_audit(&viewer.actor, &wanted.filter(fields.word("before"), ROWS)).await?;
    let row = |entry: &AuditEntry| Row {
        sequence: entry.sequence,
        object: entry.object.clone(),
        organisation: entry.organisation.clone().unwrap_or_default(),
        refused: entry.detail.get("refused").is_some(),
        event: event(viewer, entry),
    };
    let href = |path: &str, changes: &[(&str, &str)]| format!("{path}{}", fields.query_with(changes));
    let template = Record {
        viewer,
        filter: ["organisation", "object", "action", "actor"].map(|name| fields.text(name)),
        rows: items.iter().map(row).collect(),
        next: next.map(|before| href("/audit", &[("before", &before.to_string())])),
        first: fields.value("before").map(|_| href("/audit", &[("before", "")])),
        exports: ["csv", "jsonl"].map(|form| href("/audit/export", &[("before", ""), ("form", form)])),
        verdict,
    };
    viewer.page(&template)
}

/// What is no text of the catalogues stays as it is written.
pub(super) fn event(viewer: &Viewer, entry: &AuditEntry) -> Event {
    let id = format!("action-{}", entry.action.replace('.', "-"));
    let detail = match &entry.detail {
        Value::Object(members) => members
            .iter()
            .map(|(name, value)| match value {
                Value::String(text) => format!("{name}: {text}"),
                other => format!("{name}: {other}"),
            })
            .collect::<Vec<_>>()
            .join(" · "),
        other => other.to_string(),
    };
    Event {
        moment: shown::moment(entry.time, viewer.language),
        action: viewer.language.look_up(&id).unwrap_or_else(|| entry.action.clone()),
        actor: inert(&entry.actor),
        detail: inert(&detail),
    }
}

/// The entries that a filter lets through, newest first, as CSV (RFC 4180) or JSON lines, part by part.
pub(super) async fn export(
    viewer: Viewer,
    FromState(app): FromState<Arc<App>>,
    Asked(fields): Asked,
) -> Result<Response, Failure> {
    let as_lines = fields.value("form") == Some("jsonl");
    let (media_type, name, head) = match as_lines {
        true => ("application/jsonl", "audit.jsonl", String::new()),
        false => ("text/csv; charset=utf-8; header=present", "audit.csv", CSV_HEAD.to_owned()),
    };
    let wanted = Wanted::of(&fields);
    // The first part before the answer begins, so that a refusal is still one.
    let first = app.search_audit(&viewer.actor, &wanted.filter(None, PART)).await?;
    let start = (Some((head, first)), app, viewer.actor, wanted);
    let parts = stream::try_unfold(start, move |(part, app, actor, wanted)| async move {
        let Some((mut text, Page { items, next })) = part else { return Ok::<_, Failure>(None) };
        for entry in &items {
            text.push_str(&if as_lines { json_line(entry) } else { csv_line(entry) });
        }
        let part = match next {
            Some(before) => {
                let page = app.search_audit(&actor, &wanted.filter(Some(before), PART)).await?;
                Some((String::new(), page))
            }
            None => None,
        };
        Ok(Some((text, (part, app, actor, wanted))))
    });
    let headers =
        [(CONTENT_TYPE, media_type.to_owned()), (CONTENT_DISPOSITION, format!("attachment; filename=\"{name}\""))];
    Ok((headers, Body::from_stream(parts)).into_response())
}

const CSV_HEAD: &str = "sequence,time,actor,action,object,organisation,detail,hash\r\n";

fn json_line(entry: &AuditEntry) -> String {
    // An entry of texts and numbers always becomes JSON.
    format!("{}\n", serde_json::to_string(entry).unwrap_or_default())
}

fn csv_line(entry: &AuditEntry) -> String {
    let cells = [
        entry.sequence.to_string(),
        entry.time.format(&Rfc3339).unwrap_or_default(),
        entry.actor.clone(),
        entry.action.clone(),
        entry.object.clone(),
        entry.organisation.clone().unwrap_or_default(),
        entry.detail.to_string(),
        entry.hash.clone(),
    ];
    format!("{}\r\n", cells.map(|cell| csv_cell(&cell)).join(","))
}
