//! What a bulk decision is about: everything that a view shows, kept as it is at that moment.

use std::collections::HashMap;

use super::bulk::PART;
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
use crate::service::auth::{Action, authorize};
use crate::service::db::Connection;
use crate::service::db::bulk::NewItem;
use crate::service::db::request_list;
use crate::service::db::requests::{self, Decidable};
use crate::service::error::{Failure, Refusal};

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
