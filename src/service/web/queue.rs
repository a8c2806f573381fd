//! The queue: requests in every view, and many decisions at once.

use std::sync::Arc;

use askama::Template;
use axum::extract::State as FromState;
use axum::response::Response;

use super::fields::{Asked, Fields, Posted};
use super::frame::Viewer;
use super::shown::{self, Moment, inert};
use crate::locales::{self, Text};
use crate::protocol::messages::RequestSummary;
use crate::protocol::request::{Kind, RequestNumber, State};
use crate::service::app::App;
use crate::service::db::request_list::Order;
use crate::service::db::requests::Count;
use crate::service::error::{Failure, Refusal};
use crate::service::registration::{Content, Decided, RequestQuery, Verdict};

/// How many rows a page shows; as many can be decided on at once.
const ROWS: u32 = 50;

/// The view that a manager starts with: what waits for their own decision.
const WAITING: &str = "waiting";
const ALL: &str = "all";

/// A choice of a filter, with how many rows it has.
struct Choice {
    value: String,
    label: String,
    count: String,
    chosen: bool,
    href: String,
}

/// A request in the list.
struct Row {
    number: RequestNumber,
    organisation: String,
    kind: String,
    state: State,
    label: String,
    common_name: String,
    email: String,
    description: String,
    age: String,
    submitted: Moment,
    warnings: Vec<String>,
}

impl Row {
    fn new(item: RequestSummary, viewer: &Viewer, app: &App) -> Self {
        let warning = |rule: &String| viewer.language.look_up(&format!("rule-{rule}")).unwrap_or_else(|| rule.clone());
        Self {
            number: item.number,
            organisation: item.organisation,
            kind: locales::kind(item.kind).in_language(viewer.language),
            state: item.state,
            label: locales::state(item.state).in_language(viewer.language),
            common_name: inert(&item.common_name),
            email: inert(&item.email),
            description: inert(&item.description),
            age: shown::age(item.submitted_at, app.now().0, viewer.language),
            submitted: shown::moment(item.submitted_at, viewer.language),
            warnings: item.warnings.iter().map(warning).collect(),
        }
    }

    const fn pending(&self) -> bool {
        matches!(self.state, State::Pending)
    }
}

#[derive(Template)]
#[template(path = "queue.html", config = ".askama.toml")]
struct Queue<'a> {
    viewer: &'a Viewer,
    states: Vec<Choice>,
    kinds: Vec<Choice>,
    organisations: Vec<String>,
    organisation: String,
    state: String,
    search: String,
    order: Order,
    orders: [String; 4],
    /// Whether the rows can come by name.
    by_name: bool,
    /// Whether all of them can be decided on at once.
    decidable: bool,
    rows: Vec<Row>,
    next: Option<String>,
    first: Option<String>,
    /// Where the search stopped looking, when it found little until there.
    looked_until: Option<u64>,
}

/// The queue: requests in every view that the address bar can hold.
pub(super) async fn queue(
    viewer: Viewer,
    FromState(app): FromState<Arc<App>>,
    Asked(fields): Asked,
) -> Result<Response, Failure> {
    let state = fields.value("state").unwrap_or(WAITING);
    let query = RequestQuery { after: fields.word("after"), limit: Some(ROWS), ..asked_for(&fields) };
    let order = query.order;
    let page = app.list_requests(&viewer.actor, &query).await?;
    let counts = app.request_counts(&viewer.actor, query.organisation.as_deref()).await?;
    let rows: Vec<Row> = page.items.into_iter().map(|item| Row::new(item, &viewer, &app)).collect();
    let organisations = match viewer.is_ptc() {
        true => app.organisation_codes(&viewer.actor).await?,
        false => Vec::new(),
    };
    let template = Queue {
        states: states(&viewer, &fields, &counts, state),
        kinds: kinds(&viewer, &fields, &counts, &query),
        organisations,
        organisation: fields.text("organisation"),
        state: state.to_owned(),
        search: fields.text("search"),
        order,
        by_name: by_name(&fields),
        decidable: is_pending(state),
        orders: ["", "newest", "name", "organisation"]
            .map(|order| format!("/requests{}", fields.query_with(&[("order", order), ("after", "")]))),
        looked_until: page.next.filter(|_| rows.len() < ROWS as usize),
        rows,
        next: page.next.map(|after| format!("/requests{}", fields.query_with(&[("after", &after.to_string())]))),
        first: fields.value("after").map(|_| format!("/requests{}", fields.query_with(&[("after", "")]))),
        viewer: &viewer,
    };
    viewer.page(&template)
}

/// What a view shows, without the place of a page in it.
pub(super) fn asked_for(fields: &Fields) -> RequestQuery {
    let state = fields.value("state").unwrap_or(WAITING);
    let search = fields.value("search");
    let order = match fields.value("order") {
        Some("newest") => Order::Newest,
        Some("name") if by_name(fields) => Order::Name,
        Some("organisation") if search.is_none() => Order::Organisation,
        _ => Order::Oldest,
    };
    RequestQuery {
        state: state.parse().ok(),
        organisation: fields.value("organisation").map(str::to_owned),
        kind: fields.word("kind"),
        waiting: state == WAITING,
        search: search.map(str::to_owned),
        order,
        ..RequestQuery::default()
    }
}

/// A search comes by number; other than what is pending, nothing comes by name.
fn by_name(fields: &Fields) -> bool {
    is_pending(fields.value("state").unwrap_or(WAITING)) && fields.value("search").is_none()
}

fn is_pending(state: &str) -> bool {
    state == WAITING || state == State::Pending.as_str()
}

/// The states as tabs, with what waits for oneself first.
fn states(viewer: &Viewer, fields: &Fields, counts: &[Count], chosen: &str) -> Vec<Choice> {
    let own = viewer.actor.own_kinds();
    let total = |matches: &dyn Fn(&Count) -> bool| counts.iter().filter(|it| matches(it)).map(|it| it.requests).sum();
    let choice = |value: &str, label: String, count: i64| Choice {
        value: value.to_owned(),
        label,
        count: viewer.number(count),
        chosen: value == chosen,
        href: format!("/requests{}", fields.query_with(&[("state", value), ("after", "")])),
    };
    let waiting = total(&|count| count.state == State::Pending && own.contains(&count.kind));
    let mut choices = vec![choice(WAITING, viewer.say("queue-waiting"), waiting)];
    for state in State::ALL {
        let label = locales::state(state).in_language(viewer.language);
        choices.push(choice(state.as_str(), label, total(&|count| count.state == state)));
    }
    choices.push(choice(ALL, viewer.say("queue-all"), total(&|_| true)));
    choices
}

/// The kinds within the chosen state.
fn kinds(viewer: &Viewer, fields: &Fields, counts: &[Count], query: &RequestQuery) -> Vec<Choice> {
    let state = if query.waiting { Some(State::Pending) } else { query.state };
    let of = |kind: Kind| {
        let counted = counts.iter().filter(|count| count.kind == kind && state.is_none_or(|it| it == count.state));
        counted.map(|count| count.requests).sum()
    };
    Kind::ALL
        .into_iter()
        .map(|kind| Choice {
            value: kind.to_string(),
            label: locales::kind(kind).in_language(viewer.language),
            count: viewer.number(of(kind)),
            chosen: query.kind == Some(kind),
            href: format!("/requests{}", fields.query_with(&[("kind", kind.as_str()), ("after", "")])),
        })
        .collect()
}

/// A request that was selected, before the decision.
struct Selected {
    number: RequestNumber,
    organisation: String,
    kind: String,
    common_name: String,
    subject: String,
    /// What else the certificate would name.
    names: Vec<String>,
    key: String,
    csr_sha256: String,
    description: String,
    warnings: Vec<String>,
    /// Why it cannot be decided on (any more).
    obstacle: Option<String>,
}

#[derive(Template)]
#[template(path = "preview.html", config = ".askama.toml")]
struct Preview<'a> {
    viewer: &'a Viewer,
    selected: Vec<Selected>,
    possible: usize,
}

/// What was selected, to be looked at once more before it is decided.
pub(super) async fn preview(
    viewer: Viewer,
    FromState(app): FromState<Arc<App>>,
    Posted(fields): Posted,
) -> Result<Response, Failure> {
    let mut selected = Vec::new();
    for number in numbers(&fields)? {
        let detail = app.request(&viewer.actor, number).await?;
        let state = detail.status.state;
        selected.push(Selected {
            number,
            organisation: detail.organisation,
            kind: locales::kind(detail.status.kind).in_language(viewer.language),
            common_name: inert(&detail.status.common_name),
            subject: inert(&detail.subject),
            names: Content::of_csr(&detail.csr.0).map(|content| content.names()).unwrap_or_default(),
            key: detail.key,
            csr_sha256: detail.csr_sha256,
            description: inert(&detail.contact.description),
            warnings: detail.warnings.iter().map(|finding| shown::finding(finding, viewer.language)).collect(),
            obstacle: (state != State::Pending).then(|| locales::state(state).in_language(viewer.language)),
        });
    }
    let possible = selected.iter().filter(|it| it.obstacle.is_none()).count();
    viewer.page(&Preview { viewer: &viewer, selected, possible })
}

/// The selected numbers, each once.
fn numbers(fields: &Fields) -> Result<Vec<RequestNumber>, Refusal> {
    let mut numbers: Vec<RequestNumber> = fields.all("number").filter_map(|number| number.parse().ok()).collect();
    numbers.sort_unstable();
    numbers.dedup();
    match numbers.len() {
        0 => Err(Refusal::invalid_field("number", Text::new("expected-selection"))),
        count if count > ROWS as usize => {
            Err(Refusal::invalid_field("number", Text::new("expected-at-most-rows").with("limit", ROWS)))
        }
        _ => Ok(numbers),
    }
}

/// What became of one request.
struct Outcome {
    number: RequestNumber,
    refused: Option<(String, String)>,
}

#[derive(Template)]
#[template(path = "results.html", config = ".askama.toml")]
struct Results<'a> {
    viewer: &'a Viewer,
    approved: bool,
    outcomes: Vec<Outcome>,
    done: usize,
    refused: usize,
}

/// Decides on what the preview showed, with a result for each.
pub(super) async fn decide(
    viewer: Viewer,
    FromState(app): FromState<Arc<App>>,
    Posted(fields): Posted,
) -> Result<Response, Failure> {
    // Each selected number comes with the digest that the preview showed for it.
    let mut requests = Vec::new();
    for number in numbers(&fields)? {
        requests.push((number, fields.text(&format!("csr_sha256-{number}"))));
    }
    let verdict = verdict(&fields)?;
    let decided = app.decide_all(&viewer.actor, &verdict, &requests).await;
    let done = decided.iter().filter(|it| it.outcome.is_ok()).count();
    let outcome = |Decided { number, outcome }: Decided| Outcome {
        number,
        refused: outcome.err().map(|failure| {
            let refusal = failure.refusal();
            let findings = refusal.findings().iter().map(|finding| shown::finding(finding, viewer.language));
            let why = std::iter::once(refusal.text().in_language(viewer.language)).chain(findings);
            (why.collect::<Vec<_>>().join(" "), refusal.text().hint(viewer.language).unwrap_or_default())
        }),
    };
    let outcomes: Vec<Outcome> = decided.into_iter().map(outcome).collect();
    let approved = matches!(verdict, Verdict::Approve);
    viewer.page(&Results { viewer: &viewer, approved, refused: outcomes.len() - done, outcomes, done })
}

/// The verdict in a form.
pub(super) fn verdict(fields: &Fields) -> Result<Verdict, Refusal> {
    let verdict = fields.word("verdict").ok_or_else(|| Refusal::malformed("verdict: approve, reject"))?;
    Verdict::of(verdict, fields.value("reason"))
}
