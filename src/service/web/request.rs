//! A request with its evidence, and the decision on it.

use std::sync::Arc;

use askama::Template;
use axum::extract::State as FromState;
use axum::response::{Redirect, Response};

use super::audit::{Event, event};
use super::fields::Posted;
use super::frame::Viewer;
use super::shown::{self, Moment, inert, inert_lines};
use crate::locales::{self, Text};
use crate::protocol::messages::{Approval, MachineDetails, Rejection};
use crate::protocol::request::{RequestNumber, State};
use crate::service::api::extract::InPath;
use crate::service::app::App;
use crate::service::error::Failure;
use crate::service::registration::{Content, Evidence, RequestQuery};

/// A field of the comparison: what is asked for, what is issued, what the machine had.
struct Compared {
    label: String,
    asked: String,
    issued: String,
    previous: String,
    /// Whether what is issued is not what was asked for.
    changed: bool,
    /// Whether it is not what the machine had.
    differs: bool,
}

/// A line of the machine's details.
struct Detail {
    label: String,
    value: String,
    previous: String,
    differs: bool,
}

#[derive(Template)]
#[template(path = "request.html", config = ".askama.toml")]
struct Shown<'a> {
    viewer: &'a Viewer,
    evidence: &'a Evidence,
    kind: String,
    label: String,
    approver: String,
    age: String,
    submitted: Moment,
    decided: Option<Moment>,
    decided_by: String,
    reason: String,
    description: String,
    contact: [String; 2],
    compared: Vec<Compared>,
    details: Vec<Detail>,
    warnings: Vec<String>,
    events: Vec<Event>,
    watchers: Vec<String>,
    undecidable: Option<String>,
    next: Option<RequestNumber>,
}

impl Shown<'_> {
    const fn pending(&self) -> bool {
        matches!(self.evidence.detail.status.state, State::Pending)
    }
}

/// A request with its evidence.
pub(super) async fn request(
    viewer: Viewer,
    FromState(app): FromState<Arc<App>>,
    InPath(number): InPath<RequestNumber>,
) -> Result<Response, Failure> {
    let evidence = app.evidence(&viewer.actor, number).await?;
    let query = RequestQuery { waiting: true, after: Some(number.0), limit: Some(1), ..RequestQuery::default() };
    let next = app.list_requests(&viewer.actor, &query).await?.items.first().map(|item| item.number);
    let detail = &evidence.detail;
    let status = &detail.status;
    let in_language = |text: Text| text.in_language(viewer.language);
    let template = Shown {
        kind: in_language(locales::kind(status.kind)),
        label: in_language(locales::state(status.state)),
        approver: in_language(locales::role(status.approver)),
        age: shown::age(status.submitted_at, app.now().0, viewer.language),
        submitted: shown::moment(status.submitted_at, viewer.language),
        decided: status.decided_at.map(|at| shown::moment(at, viewer.language)),
        decided_by: inert(detail.decided_by.as_deref().unwrap_or_default()),
        reason: inert(status.reason.as_deref().unwrap_or_default()),
        description: inert_lines(&detail.contact.description),
        contact: [inert(&detail.contact.email), inert(&detail.contact.telephone)],
        compared: compare(&viewer, &evidence),
        details: details(&viewer, &detail.machine, evidence.previous.as_ref().map(|previous| &previous.machine)),
        warnings: detail.warnings.iter().map(|finding| shown::finding(finding, viewer.language)).collect(),
        events: evidence.history.iter().map(|entry| event(&viewer, entry)).collect(),
        watchers: evidence.watchers.iter().map(|name| inert(name)).collect(),
        undecidable: evidence.undecidable.as_ref().map(|refusal| in_language(refusal.text().clone())),
        next,
        viewer: &viewer,
        evidence: &evidence,
    };
    viewer.page(&template)
}

fn compare(viewer: &Viewer, evidence: &Evidence) -> Vec<Compared> {
    let lines = |content: &Content| {
        let validity = content.validity.map_or_else(String::new, |(from, to)| {
            format!("{}\n{}", shown::moment(from, viewer.language).text, shown::moment(to, viewer.language).text)
        });
        [
            content.subject.clone(),
            content.dns_names.join("\n"),
            content.emails.join("\n"),
            content.other_names.join("\n"),
            content.key.clone(),
            content.key_sha256.clone(),
            content.key_usage.join("\n"),
            content.extended_key_usage.join("\n"),
            validity,
        ]
        .map(|text| inert_lines(&text))
    };
    const LABELS: [&str; 9] = [
        "item-subject",
        "item-dns-names",
        "item-emails",
        "item-other-names",
        "item-key",
        "item-key-sha256",
        "item-key-usage",
        "item-extended-key-usage",
        "item-validity",
    ];
    let asked = lines(&evidence.asked);
    let issued = evidence.issued.as_ref().map(lines);
    let previous = evidence.previous.as_ref().map(|previous| lines(&previous.content));
    let is_validity = |row: usize| LABELS[row] == "item-validity";
    (0..LABELS.len())
        .map(|row| {
            let issued = issued.as_ref().map_or(String::new(), |issued| issued[row].clone());
            let previous = previous.as_ref().map(|previous| previous[row].clone());
            Compared {
                label: viewer.say(LABELS[row]),
                changed: evidence.issued.is_some() && !is_validity(row) && issued != asked[row],
                // A new key and new dates are what a new certificate is for.
                differs: previous.as_ref().is_some_and(|previous| {
                    !is_validity(row) && LABELS[row] != "item-key-sha256" && *previous != asked[row]
                }),
                asked: asked[row].clone(),
                issued,
                previous: previous.unwrap_or_default(),
            }
        })
        .filter(|row| !(row.asked.is_empty() && row.issued.is_empty() && row.previous.is_empty()))
        .collect()
}

fn details(viewer: &Viewer, machine: &MachineDetails, previous: Option<&MachineDetails>) -> Vec<Detail> {
    let values = |machine: &MachineDetails| {
        [
            &machine.host_name,
            &machine.mac_address,
            &machine.nic_id,
            &machine.processor_id,
            &machine.os_version,
            &machine.os_type,
        ]
        .map(|text| inert(text))
    };
    let labels = [
        "machine-host-name",
        "machine-mac-address",
        "machine-nic-id",
        "machine-processor-id",
        "machine-os-version",
        "machine-os-type",
    ];
    let before = previous.map(values);
    labels
        .into_iter()
        .zip(values(machine))
        .enumerate()
        .map(|(row, (label, value))| {
            let previous = before.as_ref().map(|before| before[row].clone());
            Detail {
                label: viewer.say(label),
                differs: previous.as_ref().is_some_and(|previous| *previous != value),
                previous: previous.unwrap_or_default(),
                value,
            }
        })
        .collect()
}

/// Approves what the page showed.
pub(super) async fn approve(
    viewer: Viewer,
    FromState(app): FromState<Arc<App>>,
    InPath(number): InPath<RequestNumber>,
    Posted(fields): Posted,
) -> Result<Redirect, Failure> {
    app.approve(&viewer.actor, number, &Approval { csr_sha256: fields.text("csr_sha256") }).await?;
    Ok(Redirect::to(&format!("/requests/{number}")))
}

/// Rejects with a reason.
pub(super) async fn reject(
    viewer: Viewer,
    FromState(app): FromState<Arc<App>>,
    InPath(number): InPath<RequestNumber>,
    Posted(fields): Posted,
) -> Result<Redirect, Failure> {
    app.reject(&viewer.actor, number, &Rejection { reason: fields.text("reason") }).await?;
    Ok(Redirect::to(&format!("/requests/{number}")))
}
