//! What the service counts and measures, for Prometheus (text format 0.0.4, names by prometheus.io/docs/practices/naming).
//!
//! No label ever holds an organisation, a number, an address or a name: every label's values are few and known beforehand.
//! Counters begin at the start of the process and tell of what this process did.

mod condition;
mod process;

use std::hash::{Hash, Hasher};
use std::sync::LazyLock;
use std::time::{Duration, SystemTime};

use axum::extract::MatchedPath;
use axum::http::Method;
use prometheus_client::encoding::{EncodeLabelSet, EncodeLabelValue, LabelValueEncoder, prometheus_text};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::metrics::info::Info;
use prometheus_client::registry::{Metric, Registry};

use super::app::App;
use super::auth::{Action, Object};
use super::db::outbox::Channel;
use super::listener::ListenerName;
use crate::protocol::problem::ProblemCode;
use crate::protocol::request::Kind;

/// What the answer to a scrape is called.
pub const CONTENT_TYPE: &str = prometheus_text::CONTENT_TYPE;

/// Before every name that no convention gives.
const PREFIX: &str = "ptc_enrollment_";

/// Bounds in seconds: from an answer out of memory to one that somebody gave up waiting for.
const SECONDS: [f64; 13] = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0];

/// Labels whose values are words of the program.
type Words<const N: usize> = [(&'static str, &'static str); N];
type Counters<const N: usize> = Family<Words<N>, Counter>;

/// A histogram of seconds.
pub fn seconds() -> Histogram {
    Histogram::new(SECONDS)
}

/// The counters of a process.
#[derive(Debug)]
pub struct Metrics {
    registry: Registry,
    requests: Family<Answered, Counter>,
    durations: Family<Asked, Histogram, fn() -> Histogram>,
    problems: Counters<2>,
    limited: Counters<1>,
    connections: Family<Words<1>, Gauge>,
    handshakes: Counters<2>,
    accepted: Counters<1>,
    decided: Counters<2>,
    issued: Counters<1>,
    revoked: Counters<1>,
    notices: Counters<2>,
}

/// When the process began to measure; it goes on where the service opens another database.
static STARTED: LazyLock<SystemTime> = LazyLock::new(SystemTime::now);

impl Metrics {
    /// Everything at zero. What the database measures comes along.
    pub fn new(write_transactions: Histogram) -> Self {
        // Before anything else is measured.
        LazyLock::force(&STARTED);
        let mut registry = Registry::default();
        let build = Info::new([("version", env!("CARGO_PKG_VERSION"))]);
        // Of the type `info`, which ends in `_info` by itself.
        own(&mut registry, "build", "The version that runs", build);
        own(
            &mut registry,
            "database_write_transaction_duration_seconds",
            "From getting the right to write to giving it back",
            write_transactions,
        );
        let durations = Family::new_with_constructor(seconds as fn() -> Histogram);
        own(&mut registry, "http_request_duration_seconds", "From a request's head to its answer", durations.clone());
        let registry = &mut registry;
        let requests = new(registry, "http_requests", "Requests answered");
        let problems = new(registry, "http_problems", "Requests answered by a problem, by its code");
        let limited = new(registry, "limited", "What was refused because somebody asked too much, by the limit");
        let connections = new(registry, "connections", "Open connections");
        let handshakes = new(registry, "tls_handshakes", "TLS handshakes by outcome");
        let accepted = new(registry, "requests_accepted", "Requests for a certificate that were taken into the queue");
        let decided = new(registry, "requests_decided", "Requests that left the queue, by outcome");
        let issued = new(registry, "certificates_issued", "Certificates signed");
        let revoked = new(registry, "certificates_revoked", "Certificates revoked");
        let notices = new(registry, "notices", "Attempts to send a notice");
        let metrics = Self {
            registry: std::mem::take(registry),
            requests,
            durations,
            problems,
            limited,
            connections,
            handshakes,
            accepted,
            decided,
            issued,
            revoked,
            notices,
        };
        metrics.begin_at_zero();
        metrics
    }

    /// A counter that is not there yet has no rate: what is known to come is there from the start.
    fn begin_at_zero(&self) {
        for limit in Limit::ALL {
            self.limited.get_or_create(&[("limit", limit.as_str())]).inc_by(0);
        }
        for listener in [ListenerName::Public, ListenerName::Secure].map(ListenerName::as_str) {
            for code in ProblemCode::ALL.map(ProblemCode::as_str) {
                self.problems.get_or_create(&[("listener", listener), ("code", code)]).inc_by(0);
            }
        }
        for channel in Channel::ALL.map(Channel::as_str) {
            for outcome in [SENT, NOT_SENT] {
                self.notices.get_or_create(&[("channel", channel), ("outcome", outcome)]).inc_by(0);
            }
        }
        for kind in Kind::ALL.map(Kind::as_str) {
            self.accepted.get_or_create(&[("kind", kind)]).inc_by(0);
            for outcome in ["approved", "rejected", "cancelled", "expired"] {
                self.decided.get_or_create(&[("kind", kind), ("outcome", outcome)]).inc_by(0);
            }
        }
        for kind in Kind::ALL.map(Kind::as_str).into_iter().chain([MANAGER]) {
            self.issued.get_or_create(&[("kind", kind)]).inc_by(0);
            self.revoked.get_or_create(&[("kind", kind)]).inc_by(0);
        }
    }

    /// A request was answered.
    pub(super) fn answered(&self, answer: &Answered, duration: Duration, problem: Option<ProblemCode>) {
        self.requests.get_or_create(answer).inc();
        self.durations.get_or_create(&answer.asked).observe(duration.as_secs_f64());
        if let Some(code) = problem {
            self.problems.get_or_create(&[("listener", answer.asked.listener), ("code", code.as_str())]).inc();
        }
    }

    /// Somebody asked too much.
    pub(super) fn limited(&self, limit: Limit) {
        self.limited.get_or_create(&[("limit", limit.as_str())]).inc();
    }

    /// What counts an entry of the audit record, if anything does: nothing, where it tells of the service's own certificates.
    pub(super) fn of(&self, action: Action, object: &Object<'_>) -> Option<Counter> {
        if matches!(object, Object::Certificate { own: true, .. }) {
            return None;
        }
        let kind = ("kind", object.kind().map_or(MANAGER, Kind::as_str));
        let decided = |outcome| self.decided.get_or_create_owned(&[kind, ("outcome", outcome)]);
        Some(match action {
            Action::Submit => self.accepted.get_or_create_owned(&[kind]),
            Action::Approve => decided("approved"),
            Action::Reject => decided("rejected"),
            Action::Cancel => decided("cancelled"),
            Action::Expire => decided("expired"),
            Action::Issue => self.issued.get_or_create_owned(&[kind]),
            Action::Revoke => self.revoked.get_or_create_owned(&[kind]),
            _ => return None,
        })
    }

    /// Something was sent out of the outbox, or not.
    pub(super) fn notice(&self, channel: Channel, sent: bool) {
        let outcome = if sent { SENT } else { NOT_SENT };
        self.notices.get_or_create(&[("channel", channel.as_str()), ("outcome", outcome)]).inc();
    }

    /// What a listener counts; looked up once, not with every connection.
    pub fn traffic(&self, listener: ListenerName) -> Traffic {
        let listener = ("listener", listener.as_str());
        let handshake = |outcome| self.handshakes.get_or_create_owned(&[listener, ("outcome", outcome)]);
        Traffic {
            open: self.connections.get_or_create_owned(&[listener]),
            done: handshake("ok"),
            failed: handshake("failed"),
            timed_out: handshake("timed-out"),
            sent_away: self.limited.get_or_create_owned(&[("limit", Limit::Connections.as_str())]),
        }
    }
}

const SENT: &str = "sent";
const NOT_SENT: &str = "not-sent";

/// Of certificates without a kind of request.
const MANAGER: &str = "manager";

impl App {
    /// All figures as they are now. Those of a database that does not answer are absent.
    pub async fn scrape(&self) -> String {
        let mut text = String::new();
        // Writing into a string does not fail.
        let _ = prometheus_text::encode(&mut text, &self.metrics.registry);
        let mut registry = Registry::default();
        condition::register(&mut registry, self).await;
        process::register(&mut registry, *STARTED);
        let _ = prometheus_text::encode(&mut text, &registry);
        text
    }
}

/// Registers a metric under the service's prefix.
fn own(registry: &mut Registry, name: &str, help: &str, metric: impl Metric) {
    // The crate puts the full stop.
    registry.register(format!("{PREFIX}{name}"), help, metric);
}

/// A metric that is registered like that.
fn new<M: Metric + Clone + Default>(registry: &mut Registry, name: &str, help: &str) -> M {
    let metric = M::default();
    own(registry, name, help, metric.clone());
    metric
}

/// Which limit somebody met.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Limit {
    /// Submissions of one organisation.
    Submissions,
    /// Wrong secrets or tokens of one address.
    WrongCredentials,
    /// Refused attempts of one certificate.
    RefusedAttempts,
    /// Connections of one address.
    Connections,
    /// Requests under way.
    UnderWay,
    /// Changes that wait to be written.
    WaitingChanges,
    /// Bulk decisions of an organisation's managers that run at once.
    BulkDecisions,
    /// Signatures of OCSP responses.
    OcspSignatures,
}

impl Limit {
    const ALL: [Self; 8] = [
        Self::Submissions,
        Self::WrongCredentials,
        Self::RefusedAttempts,
        Self::Connections,
        Self::UnderWay,
        Self::WaitingChanges,
        Self::BulkDecisions,
        Self::OcspSignatures,
    ];

    const fn as_str(self) -> &'static str {
        match self {
            Self::Submissions => "submissions",
            Self::WrongCredentials => "wrong-credentials",
            Self::RefusedAttempts => "refused-attempts",
            Self::Connections => "connections",
            Self::UnderWay => "requests-under-way",
            Self::WaitingChanges => "waiting-changes",
            Self::BulkDecisions => "bulk-decisions",
            Self::OcspSignatures => "ocsp-signatures",
        }
    }
}

/// How a TLS handshake ended.
#[derive(Debug, Clone, Copy)]
pub(super) enum Handshake {
    Done,
    Failed,
    TimedOut,
}

/// What a listener counts.
#[derive(Debug, Clone, Default)]
pub struct Traffic {
    open: Gauge,
    done: Counter,
    failed: Counter,
    timed_out: Counter,
    sent_away: Counter,
}

impl Traffic {
    pub(super) fn handshake(&self, outcome: Handshake) {
        match outcome {
            Handshake::Done => self.done.inc(),
            Handshake::Failed => self.failed.inc(),
            Handshake::TimedOut => self.timed_out.inc(),
        };
    }

    pub(super) fn sent_away(&self) {
        self.sent_away.inc();
    }

    /// Counts a connection until it is dropped.
    pub(super) fn open(&self) -> OpenConnection {
        self.open.inc();
        OpenConnection(self.open.clone())
    }
}

pub(super) struct OpenConnection(Gauge);

impl Drop for OpenConnection {
    fn drop(&mut self) {
        self.0.dec();
    }
}

/// A request, by what is the same for many.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(super) struct Asked {
    listener: &'static str,
    route: Route,
    method: &'static str,
}

impl Asked {
    pub(super) fn new(listener: ListenerName, route: Option<MatchedPath>, method: &Method) -> Self {
        // Anybody can make up a method.
        const METHODS: [Method; 7] =
            [Method::GET, Method::HEAD, Method::POST, Method::PUT, Method::PATCH, Method::DELETE, Method::OPTIONS];
        const WORDS: [&str; 7] = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"];
        let method = METHODS.iter().position(|known| known == method).map_or("other", |index| WORDS[index]);
        Self { listener: listener.as_str(), route: Route(route), method }
    }

    pub(super) fn route(&self) -> &str {
        self.route.as_str()
    }

    pub(super) const fn method(&self) -> &'static str {
        self.method
    }
}

/// A request and the status of its answer.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(super) struct Answered {
    #[prometheus(flatten)]
    pub(super) asked: Asked,
    pub(super) code: u16,
}

/// The template of a route, as it stands in the router.
#[derive(Debug, Clone)]
struct Route(Option<MatchedPath>);

impl Route {
    fn as_str(&self) -> &str {
        self.0.as_ref().map_or("none", MatchedPath::as_str)
    }
}

impl PartialEq for Route {
    fn eq(&self, other: &Self) -> bool {
        self.as_str() == other.as_str()
    }
}

impl Eq for Route {}

impl Hash for Route {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.as_str().hash(state);
    }
}

impl EncodeLabelValue for Route {
    fn encode(&self, encoder: &mut LabelValueEncoder<'_>) -> Result<(), std::fmt::Error> {
        EncodeLabelValue::encode(&self.as_str(), encoder)
    }
}
