//! The registration authority: every decision and every change of state, on [`App`].
//!
//! One way through each of them: find, [`App::allow`], check within a transaction that holds the right to write, change,
//! audit, commit. Handlers and commands call these functions and add nothing; the CA and the database decide nothing.

mod bulk;
mod bulk_selection;
mod bulk_work;
mod decision;
mod directory;
mod evidence;
mod group;
mod health;
mod holding;
mod identification;
mod intake;
mod issuing;
mod listeners;
mod ocsp;
mod packages;
mod reading;
mod revocation;
mod revocation_list;
mod submission;
mod submitters;
mod watchers;
mod writer_thread;

use serde::Serialize;
use serde_json::Value;

use super::app::App;
use super::audit::{self, Event};
use super::auth::{Action, Actor, Object, authorize};
use super::db::certificates::{self, CertificateRow};
use super::db::requests::{self, RequestRow};
use super::db::{Connection, Moment, Transaction, organisations};
use super::error::{Failure, Refusal};
use super::metrics::Limit;
use crate::locales::Text;
use crate::protocol::messages::{Der, Issued, Organisation, RequestStatus};
use crate::protocol::problem::ProblemCode;
use crate::protocol::request::{Kind, RequestNumber};
use crate::protocol::rules::{CheckedCsr, Expectation, Finding, Rule, check_csr_again};
use crate::protocol::secret::sha256_hex;

pub use self::bulk::{DRAFT_LIFETIME, Decided, PART};
pub use self::bulk_selection::{Draft, Drafting};
pub use self::decision::Verdict;
pub use self::directory::check_person;
pub use self::evidence::{Content, Evidence, Previous};
pub use self::group::Group;
pub use self::health::{Disk, Health};
pub use self::identification::{Caller, Maker};
pub use self::issuing::{Issuer, Planned, Recorded, Signing, record_certificate, sign_recorded};
pub use self::packages::CreatedPackage;
pub use self::reading::{CertificateQuery, RequestQuery};
pub use self::submission::Submitted;
pub use self::submitters::{Submitter, Submitters};
pub use self::watchers::Watchers;

impl App {
    /// Lets an actor do something, or audits that a manager or machine reached for what is not theirs.
    pub(super) async fn allow(&self, actor: &Actor, action: Action, object: &Object<'_>) -> Result<(), Failure> {
        // Who may do nothing fills no record with names that nothing can have.
        if object.organisation().is_some_and(|code| !directory::could_be_code(code)) {
            return Err(Refusal::invalid_field("organisation", Text::new("expected-organisation-code")).into());
        }
        let Err(refusal) = authorize(actor, action, object) else { return Ok(()) };
        let known = matches!(actor, Actor::Manager(_) | Actor::Machine { .. });
        if known && matches!(refusal.code(), ProblemCode::NotFound | ProblemCode::Forbidden) {
            // Each one costs a write, and stays for ever.
            if let Err(wait) = self.admission.refused_attempt(actor) {
                self.metrics.limited(Limit::RefusedAttempts);
                return Err(Refusal::too_many_requests(wait).into());
            }
            log::warn!(actor = inert(actor), action = action.as_str(), object:% = object; "refused");
            // Boxed: it is rare, and its place would be moved with each request.
            Box::pin(self.record_refusal(actor, action, object, &refusal)).await?;
        }
        Err(refusal.into())
    }

    async fn record_refusal(
        &self,
        actor: &Actor,
        action: Action,
        object: &Object<'_>,
        refusal: &Refusal,
    ) -> Result<(), Failure> {
        let mut transaction = self.database.write().await?;
        let detail = audit::refused(refusal.code());
        audit::record(&mut transaction, self.now(), actor, action, object, detail);
        Ok(transaction.commit().await?)
    }

    /// A request that an actor may do something to. For those who may not, it makes no difference whether it exists.
    async fn reach_request(&self, actor: &Actor, action: Action, number: RequestNumber) -> Result<RequestRow, Failure> {
        let row = requests::find(&mut *self.database.read().await?, number).await?;
        let nothing = Object::Request { number, organisation: None, kind: None };
        self.allow(actor, action, &row.as_ref().map_or(nothing, row_object)).await?;
        Ok(found(row)?)
    }

    /// The same for a certificate.
    async fn reach_certificate(&self, actor: &Actor, action: Action, serial: &str) -> Result<CertificateRow, Failure> {
        let serial = &canonical_serial(serial)?;
        let row = certificates::find(&mut *self.database.read().await?, serial).await?;
        let nothing = Object::Certificate { serial, organisation: None, kind: None, own: false };
        self.allow(actor, action, &row.as_ref().map_or(nothing, certificate_object)).await?;
        Ok(found(row)?)
    }

    /// The request as its client sees it.
    async fn status(&self, connection: &mut Connection, row: &RequestRow) -> Result<RequestStatus, Failure> {
        let certificate = match row.state.has_valid_certificate() {
            true => certificates::find_by_request(connection, row.number).await?,
            false => None,
        };
        Ok(self.status_with(row, certificate.as_ref()))
    }

    /// The same with the certificate that answers it, which counts as long as it is valid.
    fn status_with(&self, row: &RequestRow, certificate: Option<&CertificateRow>) -> RequestStatus {
        let certificate = certificate.filter(|_| row.state.has_valid_certificate());
        RequestStatus {
            number: row.number,
            kind: row.kind,
            common_name: row.common_name.clone(),
            state: row.state,
            approver: row.kind.approver(),
            submitted_at: row.submitted_at.0,
            decided_at: row.decided_at.map(|moment| moment.0),
            reason: row.reason.clone(),
            replaces: row.replaces,
            replaced_by: row.replaced_by,
            issued: certificate.and_then(|certificate| self.issued(certificate)),
        }
    }

    /// A certificate with its chain, once it is signed.
    fn issued(&self, row: &CertificateRow) -> Option<Issued> {
        row.der.as_ref().map(|der| self.issued_as(row.serial.clone(), der.clone()))
    }

    fn issued_as(&self, serial: String, der: Vec<u8>) -> Issued {
        let chain = vec![Der(self.ca.issuing().to_vec()), Der(self.ca.root().to_vec())];
        Issued { serial, certificate: Der(der), chain }
    }
}

/// A row that was there a moment ago, or that the caller need not know of.
fn found<T>(row: Option<T>) -> Result<T, Refusal> {
    row.ok_or_else(Refusal::not_found)
}

/// A serial number as it is stored: certificates have at most 20 octets of it (RFC 5280 §4.1.2.2), others none.
fn canonical_serial(serial: &str) -> Result<String, Refusal> {
    let good = (1..=40).contains(&serial.len()) && serial.bytes().all(|byte| byte.is_ascii_hexdigit());
    if good { Ok(serial.to_ascii_lowercase()) } else { Err(Refusal::not_found()) }
}

/// An actor's name, safe to log.
fn inert(actor: &Actor) -> String {
    crate::protocol::text::printable(&actor.to_string()).into_owned()
}

/// The request as the object of an action.
fn row_object(row: &RequestRow) -> Object<'_> {
    request_object(row.number, &row.organisation, row.kind)
}

fn request_object(number: RequestNumber, organisation: &str, kind: Kind) -> Object<'_> {
    Object::Request { number, organisation: Some(organisation), kind: Some(kind) }
}

/// The certificate as the object of an action.
fn certificate_object(row: &CertificateRow) -> Object<'_> {
    let organisation = row.organisation.as_deref();
    Object::Certificate { serial: &row.serial, organisation, kind: row.kind, own: row.is_own() }
}

/// A stored CSR, checked again as if it came now: the rules may have become stricter.
async fn check_again(
    connection: &mut Connection,
    row: &RequestRow,
) -> Result<Result<CheckedCsr, Vec<Finding>>, Failure> {
    let organisation = organisations::find(connection, &row.organisation)
        .await?
        .ok_or(Failure::Inconsistent { what: "a request's organisation" })?;
    Ok(check_stored_csr(row.kind, &row.csr, &row.csr_sha256, &organisation))
}

/// The same, where its organisation is at hand. That the bytes are those whose signature was verified, their digest tells.
fn check_stored_csr(
    kind: Kind,
    csr: &[u8],
    csr_sha256: &str,
    organisation: &Organisation,
) -> Result<CheckedCsr, Vec<Finding>> {
    let found = sha256_hex(csr);
    if found != csr_sha256 {
        return Err(vec![Finding::new(Rule::NotACsr, "csr", found, csr_sha256)]);
    }
    let name = organisation.subject_name();
    let expectation = Expectation { kind, organisation: &name, country: &organisation.country };
    check_csr_again(csr, &expectation)
}

/// Refuses a text that is longer than it may be; all else about it is taken as it is.
fn check_length(field: &str, text: &str, limit: usize) -> Result<(), Refusal> {
    match text.chars().count() <= limit {
        true => Ok(()),
        false => Err(Refusal::invalid_field(field, Text::new("expected-at-most").with("limit", limit))),
    }
}

/// The same for a text that is to be stored: not every database can store NUL
/// (postgresql.org/docs/current/datatype-character.html).
fn check_stored(field: &str, text: &str, limit: usize) -> Result<(), Refusal> {
    check_length(field, text, limit)?;
    match text.contains('\0') {
        true => Err(Refusal::invalid_field(field, Text::new("expected-no-nul"))),
        false => Ok(()),
    }
}

/// Adds an audit entry in a change's own transaction.
fn record(app: &App, transaction: &mut Transaction, actor: &Actor, action: Action, object: &Object<'_>, detail: Value) {
    record_all(app, transaction, vec![Event { actor, action, object: *object, detail }]);
}

/// Adds audit entries in the changes' own transaction, which counts them once it is committed.
fn record_all(app: &App, transaction: &mut Transaction, events: Vec<Event<'_>>) {
    transaction.count(events.iter().filter_map(|event| app.metrics.of(event.action, &event.object)));
    audit::record_all(transaction, app.now(), events);
}

/// What is stored as JSON.
pub(super) fn as_json(value: &impl Serialize) -> Result<String, Failure> {
    serde_json::to_string(value).map_err(|_| Failure::Inconsistent { what: "what is to be stored" })
}

/// A moment some days away.
fn days_from(moment: Moment, days: i64) -> Moment {
    Moment(moment.0 + time::Duration::days(days))
}
