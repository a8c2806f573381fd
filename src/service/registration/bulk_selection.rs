//! What a bulk decision is about: everything that a view shows, kept as it is at that moment.

use std::collections::{HashMap, HashSet};
use std::sync::{Mutex, MutexGuard, PoisonError};

use super::bulk::{COME_AGAIN, PART};
use super::decision::organisations_of;
use super::identification::Maker;
use super::reading::{RequestQuery, warned_of};
use super::request_object;
use crate::locales::Text;
use crate::parallel;
use crate::protocol::bulk::BULK_LIMIT;
use crate::protocol::messages::RequestSummary;
use crate::protocol::request::{RequestNumber, State};
use crate::service::app::App;
use crate::service::auth::{Action, Actor, authorize};
use crate::service::db::Connection;
use crate::service::db::bulk::NewItem;
use crate::service::db::request_list;
use crate::service::db::requests::{self, Decidable};
use crate::service::error::{Failure, Refusal};
use crate::service::metrics::Limit;

/// How many parts of a list are looked at. A search that finds little looks at all that is pending.
const LOOKS: usize = 100;

/// How many CSRs are worth a thread of their own.
const LEAST: usize = 32;

/// What a verdict can bind to.
#[derive(Debug)]
pub struct Draft {
    /// The number of the bulk decision that it becomes.
    pub id: u64,
    /// Whether more may be pending than one bulk decision takes.
    pub has_more: bool,
}

/// The managers who are having a draft made. Each takes a reader for a while, and then the right to write: one at a time.
#[derive(Debug, Default)]
pub struct Drafting(Mutex<HashSet<u64>>);

/// See [`Drafting::begin`].
struct Turn<'a> {
    drafting: &'a Drafting,
    manager: Option<u64>,
}

impl Drafting {
    /// A turn until it is dropped; none while the same manager has one.
    fn begin(&self, actor: &Actor) -> Option<Turn<'_>> {
        let manager = if let Actor::Manager(manager) = actor { Some(manager.id) } else { None };
        let begins = manager.is_none_or(|id| self.lock().insert(id));
        begins.then(|| Turn { drafting: self, manager })
    }

    fn lock(&self) -> MutexGuard<'_, HashSet<u64>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        if let Some(id) = self.manager {
            self.drafting.lock().remove(&id);
        }
    }
}

impl App {
    /// Keeps what a query finds, as far as the maker may decide on it, at most [`BULK_LIMIT`]: what a verdict on the draft
    /// binds to. None where it finds nothing.
    pub async fn draft_bulk(
        &self,
        maker: Maker<'_>,
        query: &RequestQuery,
        without_warned: bool,
    ) -> Result<Option<Draft>, Failure> {
        let wanted = self.wanted(maker.actor, query).await?;
        if wanted.state != Some(State::Pending) {
            return Err(Refusal::invalid_field("state", Text::new("expected-pending")).into());
        }
        let _turn = self.drafting.begin(maker.actor).ok_or_else(|| {
            self.metrics.limited(Limit::BulkDecisions);
            Refusal::too_many_requests(COME_AGAIN)
        })?;
        self.expire().await?;
        let mut items = Vec::new();
        let mut after = query.after;
        let mut looks = 0..LOOKS;
        let has_more = loop {
            let mut connection = self.database.read().await?;
            let mut chosen = Vec::new();
            let mut is_end = false;
            while !is_end && items.len() + chosen.len() < BULK_LIMIT && looks.next().is_some() {
                let page = request_list::list(&mut connection, &wanted.filter(after, PART as u32)).await?;
                chosen.extend(page.items.into_iter().filter(|(item, _)| {
                    authorize(maker.actor, Action::Approve, &request_object(item.number, &item.organisation, item.kind))
                        .is_ok()
                }));
                after = page.next;
                is_end = after.is_none();
            }
            // Of all at once: what the index does not have yet is looked through for each call.
            let chosen = warned_of(&mut connection, chosen).await?;
            for part in chosen.chunks(PART) {
                let shown = as_shown(&mut connection, part).await?;
                items.extend(shown.into_iter().filter(|item| !without_warned || item.warnings.is_empty()));
            }
            if is_end || items.len() >= BULK_LIMIT || looks.is_empty() {
                break !is_end || items.len() > BULK_LIMIT;
            }
        };
        items.truncate(BULK_LIMIT);
        if items.is_empty() {
            return Ok(None);
        }
        Ok(Some(Draft { id: self.keep_draft(maker, &items).await?, has_more }))
    }
}

/// The requests with their CSRs' digests, and the rules that they break by now.
async fn as_shown(connection: &mut Connection, summaries: &[RequestSummary]) -> Result<Vec<NewItem>, Failure> {
    let numbers: Vec<RequestNumber> = summaries.iter().map(|summary| summary.number).collect();
    let rows = requests::decidable(connection, &numbers).await?;
    let organisations = organisations_of(connection, rows.values()).await?;
    let rows: Vec<&Decidable> = rows.values().collect();
    let broken = parallel::map(&rows, LEAST, |row| {
        let organisation = organisations.get(&row.organisation)?;
        Some(row.check_csr(organisation).err()?.into_iter().map(|finding| finding.rule).collect::<Vec<_>>())
    });
    let mut broken: HashMap<RequestNumber, Vec<String>> =
        rows.iter().zip(broken).filter_map(|(row, broken)| Some((row.number, broken?))).collect();
    let digests: HashMap<RequestNumber, &str> =
        rows.iter().map(|row| (row.number, row.standing.csr_sha256.as_str())).collect();
    let item = |RequestSummary { number, warnings, .. }: &RequestSummary| {
        let warnings = [&warnings[..], &broken.remove(number).unwrap_or_default()].concat().join(" ");
        let csr_sha256 = (*digests.get(number)?).to_owned();
        Some(NewItem { request: *number, csr_sha256, warnings })
    };
    Ok(summaries.iter().filter_map(item).collect())
}
