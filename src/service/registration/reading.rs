//! What managers see: lists, a request with its evidence, certificates, the audit record.

use std::collections::HashMap;

use serde::Deserialize;
use unicode_security::MixedScript;
use utoipa::IntoParams;

use super::{check_again, check_length, found};
use crate::locales::Text;
use crate::protocol::messages::{
    AuditEntry, CertificateSummary, Der, Page, RequestDetail, RequestSummary, ServiceInfo,
};
use crate::protocol::request::{Kind, RequestNumber, Role, State};
use crate::protocol::rules::{CheckedCsr, Finding, Rule, csr_subject};
use crate::service::app::App;
use crate::service::audit::{self, AuditFilter};
use crate::service::auth::{Action, Actor, Object};
use crate::service::db::certificates::{self, View};
use crate::service::db::request_index::{self, Traits};
use crate::service::db::request_list::{self, Filter, Order};
use crate::service::db::requests::{self, Count, RequestRow, Shared};
use crate::service::db::{Connection, DatabaseError};
use crate::service::error::{Failure, Refusal};

/// The most rows on one page.
const PAGE_LIMIT: u32 = 200;
const PAGE: u32 = 50;

/// How many requests enter the index in one step.
const INDEX_PART: u64 = 1_024;

/// The most characters of a search.
const SEARCH_LIMIT: usize = 200;

/// Which requests to list.
#[derive(Debug, Clone, Default, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct RequestQuery {
    /// Only requests in this state.
    pub state: Option<State>,
    /// Only requests of the organisation with this code.
    pub organisation: Option<String>,
    /// Only requests of this kind.
    pub kind: Option<Kind>,
    /// Only pending requests of the kinds that the caller's role decides on.
    #[serde(default)]
    pub waiting: bool,
    /// Only requests whose common name, contact or machine holds every word of this text, or whose number it is.
    pub search: Option<String>,
    /// The order: `oldest` first unless said otherwise, `newest`, `organisation` or, of what is pending, `name`. A search
    /// comes by number.
    #[serde(default)]
    pub order: Order,
    /// The `next` of the page before.
    pub after: Option<u64>,
    /// At most so many rows: 50 unless said otherwise, at most 200.
    pub limit: Option<u32>,
}

/// Which certificates, or entries of the audit record, to list.
#[derive(Debug, Clone, Default, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct CertificateQuery {
    /// Only certificates of the organisation with this code.
    pub organisation: Option<String>,
    /// Only certificates of requests that this text finds, whose serial number starts with it, or of managers whose
    /// subject holds it.
    pub search: Option<String>,
    /// The part: `all` unless said otherwise, `ending` or `revoked`, which come by their end.
    #[serde(default)]
    pub view: View,
    /// Newest first instead of oldest first.
    #[serde(default)]
    pub newest_first: bool,
    /// The `next` of the page before.
    pub after: Option<u64>,
    /// At most so many rows: 50 unless said otherwise, at most 200.
    pub limit: Option<u32>,
}

impl App {
    /// Who answers here.
    pub fn info(&self) -> ServiceInfo {
        ServiceInfo {
            environment: self.settings.environment.clone(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            time: self.clock.now(),
            secure_url: self.settings.secure_url.clone(),
        }
    }

    /// Requests, lowest number first: who waits longest comes first.
    pub async fn list_requests(&self, actor: &Actor, query: &RequestQuery) -> Result<Page<RequestSummary>, Failure> {
        let wanted = self.wanted(actor, query).await?;
        let filter = wanted.filter(query.after, limit(query.limit)?);
        self.expire().await?;
        listed(&mut *self.database.read().await?, &filter).await
    }

    /// What a query asks for, of what the actor may see.
    pub(super) async fn wanted(&self, actor: &Actor, query: &RequestQuery) -> Result<Wanted, Failure> {
        let organisation = self.scope(actor, Action::ListRequests, query.organisation.as_deref()).await?;
        let state = if query.waiting { Some(State::Pending) } else { query.state };
        if query.order == Order::Name && state != Some(State::Pending) {
            return Err(Refusal::invalid_field("order", Text::new("expected-pending-by-name")).into());
        }
        let kinds = match query.kind {
            Some(kind) => vec![kind],
            None if query.waiting => actor.own_kinds(),
            None => Vec::new(),
        };
        Ok(Wanted { state, organisation, kinds, search: searched(query.search.as_deref())?, order: query.order })
    }

    /// Adds the next requests to the index that searches and warnings ask, where more than `spared` are not in it; says
    /// whether there may be more. What does not succeed is for the next time: whoever asks looks at them one by one until then.
    pub async fn index_requests(&self, spared: u64) -> bool {
        let extend = async {
            let step = {
                let mut snapshot = self.database.snapshot().await?;
                if request_index::behind(&mut snapshot).await? <= spared {
                    return Ok(false);
                }
                request_index::plan(&mut snapshot, INDEX_PART).await?
            };
            let Some(step) = step else { return Ok(false) };
            let mut transaction = self.database.write().await?;
            step.take(&mut transaction).await?;
            transaction.commit().await?;
            Ok::<bool, DatabaseError>(true)
        };
        match extend.await {
            Ok(extended) => extended,
            Err(error) => {
                log::warn!(cause:% = error; "requests not indexed");
                false
            }
        }
    }

    /// How many requests there are of each kind and state, of an organisation or of all that the actor may see.
    pub async fn request_counts(&self, actor: &Actor, organisation: Option<&str>) -> Result<Vec<Count>, Failure> {
        let organisation = self.scope(actor, Action::ListRequests, organisation).await?;
        Ok(requests::counts(&mut *self.database.read().await?, organisation.as_deref()).await?)
    }

    /// A request with everything that is needed to decide on it.
    pub async fn request(&self, actor: &Actor, number: RequestNumber) -> Result<RequestDetail, Failure> {
        self.reach_request(actor, Action::ReadRequest, number).await?;
        self.expire().await?;
        let mut connection = self.database.read().await?;
        let row = found(requests::find(&mut connection, number).await?)?;
        let csr = check_again(&mut connection, &row).await?;
        self.detail(&mut connection, actor, row, &csr).await
    }

    /// The same of a row and its CSR, checked again.
    pub(super) async fn detail(
        &self,
        connection: &mut Connection,
        actor: &Actor,
        row: RequestRow,
        csr: &Result<CheckedCsr, Vec<Finding>>,
    ) -> Result<RequestDetail, Failure> {
        let warnings = warnings(connection, actor, &row, csr).await?;
        Ok(RequestDetail {
            status: self.status(connection, &row).await?,
            organisation: row.organisation,
            subject: csr_subject(&row.csr).unwrap_or_default(),
            key: csr.as_ref().map(|csr| csr.key().to_string()).unwrap_or_default(),
            csr_sha256: row.csr_sha256,
            csr: Der(row.csr),
            machine: row.machine,
            contact: row.contact,
            warnings,
            decided_by: row.decided_by,
        })
    }

    /// Certificates, oldest first.
    pub async fn list_certificates(
        &self,
        actor: &Actor,
        query: &CertificateQuery,
    ) -> Result<Page<CertificateSummary>, Failure> {
        let organisation = self.scope(actor, Action::ListCertificates, query.organisation.as_deref()).await?;
        let limit = limit(query.limit)?;
        let search = searched(query.search.as_deref())?;
        let filter = certificates::Filter {
            organisation: organisation.as_deref(),
            search: search.as_deref().map(str::trim).filter(|search| !search.is_empty()),
            view: query.view,
            now: Some(self.now()),
            newest_first: query.newest_first,
            after: query.after,
            limit: limit + 1,
        };
        let rows = certificates::list(&mut *self.database.read().await?, &filter).await?;
        let Page { items, next } = page(rows, limit, |row| row.id.unsigned_abs());
        Ok(Page { items: items.into_iter().map(CertificateSummary::from).collect(), next })
    }

    /// A certificate.
    pub async fn certificate(&self, actor: &Actor, serial: &str) -> Result<CertificateSummary, Failure> {
        Ok(self.reach_certificate(actor, Action::ReadCertificate, serial).await?.into())
    }

    /// Walks along the chain of the audit record.
    pub async fn verify_audit(&self, actor: &Actor) -> Result<audit::Verdict, Failure> {
        self.allow(actor, Action::ReadAudit, &Object::Everything).await?;
        Ok(audit::verify(&self.database).await?)
    }

    /// The audit record, newest entry first, as a filter asks for it.
    pub async fn search_audit(&self, actor: &Actor, filter: &AuditFilter<'_>) -> Result<Page<AuditEntry>, Failure> {
        self.allow(actor, Action::ReadAudit, &Object::Everything).await?;
        Ok(audit::search(&mut *self.database.read().await?, filter).await?)
    }

    /// The audit record, oldest entry first.
    pub async fn audit_record(
        &self,
        actor: &Actor,
        after: u64,
        wanted: Option<u32>,
    ) -> Result<Page<AuditEntry>, Failure> {
        self.allow(actor, Action::ReadAudit, &Object::Everything).await?;
        let limit = limit(wanted)?;
        let items = audit::list(&mut *self.database.read().await?, after, limit + 1).await?;
        Ok(page(items, limit, |entry| entry.sequence))
    }

    /// Which organisation's things an actor may list: the one asked for, else their own, else all.
    pub(super) async fn scope(
        &self,
        actor: &Actor,
        action: Action,
        asked: Option<&str>,
    ) -> Result<Option<String>, Failure> {
        let own = match actor {
            Actor::Manager(manager) => manager.organisation.as_deref(),
            _ => None,
        };
        let scope = asked.or(own);
        let object = scope.map_or(Object::Everything, Object::Organisation);
        self.allow(actor, action, &object).await?;
        Ok(scope.map(str::to_owned))
    }
}

/// Which requests are listed, without a page's place.
pub(super) struct Wanted {
    pub(super) state: Option<State>,
    organisation: Option<String>,
    kinds: Vec<Kind>,
    search: Option<String>,
    order: Order,
}

impl Wanted {
    pub(super) fn filter(&self, after: Option<u64>, limit: u32) -> Filter<'_> {
        Filter {
            state: self.state,
            organisation: self.organisation.as_deref(),
            kinds: &self.kinds,
            search: self.search.as_deref(),
            order: self.order,
            after,
            limit,
        }
    }
}

/// The requests that a filter lets through, each with what the approver should look at.
async fn listed(connection: &mut Connection, filter: &Filter<'_>) -> Result<Page<RequestSummary>, Failure> {
    let Page { items, next } = request_list::list(connection, filter).await?;
    Ok(Page { items: warned_of(connection, items).await?, next })
}

/// Requests of a list, each with what the approver should look at.
pub(super) async fn warned_of(
    connection: &mut Connection,
    items: Vec<(RequestSummary, Traits)>,
) -> Result<Vec<RequestSummary>, Failure> {
    let (mut items, traits): (Vec<RequestSummary>, Vec<Traits>) = items.into_iter().unzip();
    let positions: HashMap<RequestNumber, usize> =
        items.iter().enumerate().map(|(position, item)| (item.number, position)).collect();
    for item in items.iter_mut().filter(|item| mixed_script(&item.common_name).is_some()) {
        item.warnings.push(Rule::MixedScript.as_str().to_owned());
    }
    for (number, shared, _) in requests::find_sharing(connection, &traits).await? {
        let (rule, _) = duplicate(shared);
        if let Some(item) = positions.get(&number).and_then(|position| items.get_mut(*position)) {
            item.warnings.push(rule.as_str().to_owned());
        }
    }
    Ok(items)
}

/// The text of a search in lower case.
fn searched(search: Option<&str>) -> Result<Option<String>, Refusal> {
    check_length("search", search.unwrap_or_default(), SEARCH_LIMIT)?;
    Ok(search.map(str::to_lowercase))
}

pub(super) fn limit(wanted: Option<u32>) -> Result<u32, Refusal> {
    match wanted.unwrap_or(PAGE) {
        limit @ 1..=PAGE_LIMIT => Ok(limit),
        _ => Err(Refusal::malformed(format_args!("limit: 1 – {PAGE_LIMIT}"))),
    }
}

/// The page of rows of which one more than the limit was asked for.
pub(super) fn page<T>(mut items: Vec<T>, limit: u32, position: impl Fn(&T) -> u64) -> Page<T> {
    let limit = limit as usize;
    let more = items.len() > limit;
    items.truncate(limit);
    let next = items.last().filter(|_| more).map(position);
    Page { items, next }
}

/// What the approver should look at.
async fn warnings(
    connection: &mut Connection,
    actor: &Actor,
    row: &RequestRow,
    csr: &Result<CheckedCsr, Vec<Finding>>,
) -> Result<Vec<Finding>, Failure> {
    let mut warnings = match csr {
        Ok(csr) => csr.dns_names().iter().filter_map(|host| mixed_script(host)).collect(),
        // The rules became stricter since it came; it cannot be approved.
        Err(findings) => findings.clone(),
    };
    let traits = requests::traits(connection, &[row.number]).await?;
    for (_, shared, other) in requests::find_sharing(connection, &traits).await? {
        // That another organisation uses it is alarming; whose request it is stays theirs.
        let foreign = matches!(actor, Actor::Manager(manager) if manager.role == Role::RegistrationManager)
            && other.organisation != row.organisation;
        let found = if foreign { String::new() } else { other.number.to_string() };
        let (rule, field) = duplicate(shared);
        warnings.push(Finding::new(rule, field, found, ""));
    }
    Ok(warnings)
}

/// The rule against sharing something, and the field that holds it.
const fn duplicate(shared: Shared) -> (Rule, &'static str) {
    match shared {
        Shared::Key => (Rule::DuplicateKey, "key"),
        Shared::MacAddress => (Rule::DuplicateMac, "machine.mac_address"),
        Shared::HostName => (Rule::DuplicateHost, "machine.host_name"),
        Shared::CommonName => (Rule::DuplicateName, "subject.CN"),
    }
}

/// A label that mixes scripts may pass for another one (UTS #39 §5.1).
fn mixed_script(host: &str) -> Option<Finding> {
    // ASCII is of one script, unless it stands for something else.
    if host.is_ascii() && !host.to_ascii_lowercase().contains("xn--") {
        return None;
    }
    let (unicode, _) = idna::domain_to_unicode(host);
    let mixed = unicode.split('.').any(|label| !label.is_single_script());
    mixed.then(|| Finding::new(Rule::MixedScript, "subject.CN", format!("{unicode} ({host})"), ""))
}
