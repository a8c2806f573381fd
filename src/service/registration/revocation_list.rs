//! From revocations to a list of them, and what of it this process knows.
//!
//! A list is made and signed beside the database, not within a transaction: with 100,000 entries it has 5 MB, and nobody
//! else could write meanwhile. Those who revoke at the same time wait for one list, which holds what all of them revoked.

use std::sync::Arc;
use std::time::Instant;

use serde_json::json;

use super::{days_from, inert, record};
use crate::kill_point;
use crate::protocol::secret::sha256_hex;
use crate::service::app::App;
use crate::service::auth::{Action, Actor, Object};
use crate::service::ca::{Revoked, RootCrl, Serial, list_start, middle};
use crate::service::db::crls::{self, CrlRow};
use crate::service::db::revocations::{self, Standing};
use crate::service::db::{Connection, Moment};
use crate::service::error::{Failure, Refusal};
use crate::service::publication::PublishedCrl;

impl App {
    /// The newest revocation list.
    pub async fn crl(&self) -> Result<Arc<PublishedCrl>, Failure> {
        self.look().await?;
        self.publication.list().ok_or(Failure::Inconsistent { what: "the revocation list" })
    }

    /// The root's list, as it lies in the CA's folder: it is replaced there beside the running service.
    pub async fn root_crl(&self) -> Result<RootCrl, Failure> {
        let folder = self.home.ca();
        let found = tokio::task::spawn_blocking(move || RootCrl::find(&folder)).await;
        found
            .map_err(|_| Failure::Inconsistent { what: "the root's list" })??
            .ok_or_else(|| Refusal::not_found().into())
    }

    /// Makes a new revocation list.
    pub async fn publish_crl(&self, actor: &Actor) -> Result<Arc<PublishedCrl>, Failure> {
        self.allow(actor, Action::PublishCrl, &Object::Everything).await?;
        let _turn = self.publication.making.lock().await;
        loop {
            if let Some(list) = self.make_list(actor).await? {
                return Ok(list);
            }
        }
    }

    /// Makes a new revocation list where there is none, the last one is of a clock that was ahead, half of its time is over, or it
    /// lacks a revocation.
    pub async fn refresh_crl(&self) -> Result<(), Failure> {
        let _turn = self.publication.making.lock().await;
        loop {
            // Whoever had the turn before, here or in another process, may have made it.
            self.look_again().await?;
            let now = self.now().0;
            let good = self.publication.list().is_some_and(|list| {
                list.this_update <= now
                    && now < middle(list.this_update, list.next_update)
                    && Some(list.revocation) >= self.publication.responses.revocation()
            });
            if good {
                return Ok(());
            }
            self.make_list(&Actor::Service).await?;
        }
    }

    /// Sees to it that OCSP and the newest list say what was revoked and committed before. What fails is tried again in
    /// the next round: the revocation is made, and nobody can take it back.
    pub(super) async fn publish_revocations(&self, actor: &Actor) {
        let publish = async {
            self.look_again().await?;
            let revocation = self.publication.responses.revocation();
            let _turn = self.publication.making.lock().await;
            loop {
                // Whoever had the turn before, here or in another process, may have published all of it.
                self.look_again().await?;
                if self.publication.list().map(|list| list.revocation) >= revocation {
                    return Ok::<_, Failure>(());
                }
                self.make_list(actor).await?;
            }
        };
        if let Err(error) = publish.await {
            log::error!(actor = inert(actor), cause:% = error; "revocation list not published yet");
        }
    }

    /// Makes a list of all revocations up to now, unless another process published one meanwhile. The caller has the turn.
    async fn make_list(&self, actor: &Actor) -> Result<Option<Arc<PublishedCrl>>, Failure> {
        let mut connection = self.database.read().await?;
        let last = crls::dates(&mut connection).await?;
        // In this order, so that the list holds this revocation and perhaps later ones.
        let revocation = revocations::last(&mut connection).await?;
        let days = i64::from(self.settings.crl_days);
        let now = self.now();
        // A certificate leaves the list once it was on one that was made after its end (RFC 5280 §3.3), however long there was none.
        let cut_off = last.iter().map(|last| last.this_update).fold(days_from(now, -2 * days), Moment::min);
        let listed = revocations::listed(&mut connection, cut_off).await?;
        drop(connection);

        let this_update = Moment(list_start(now.0, last.map(|last| last.this_update.0)));
        let next_update = days_from(this_update, days);
        // Strictly increasing (RFC 5280 §5.2.3), also where the database is an old backup: later lists have higher
        // numbers than all that were made before them, as long as clocks go forward.
        let last = last.map_or(0, |last| last.number);
        let number = now.0.unix_timestamp().max(last + 1);
        let ca = self.ca.clone();
        kill_point::pass("crl.before-sign");
        let (entries, der) = tokio::task::spawn_blocking(move || {
            let revoked = listed
                .iter()
                .map(|listed| {
                    let (serial, revoked_at, code) = listed?;
                    // Nothing is revoked after the list is made: another process may be a little ahead.
                    Some(Revoked { serial: serial.parse().ok()?, revoked_at: revoked_at.0.min(now.0), code })
                })
                .collect::<Option<Vec<Revoked>>>()
                .ok_or(Failure::Inconsistent { what: "a revocation" })?;
            Ok::<_, Failure>((revoked.len(), ca.crl(number.unsigned_abs(), this_update.0, next_update.0, &revoked)?))
        })
        .await
        .map_err(|_| Failure::Inconsistent { what: "a revocation list that is being made" })??;

        kill_point::pass("crl.after-sign");
        let mut transaction = self.database.write().await?;
        if crls::last_number(&mut transaction).await? != last {
            return Ok(None);
        }
        let row = CrlRow { number, der, this_update, next_update, revocation };
        crls::insert(&mut transaction, &row).await?;
        // The record keeps of each list what the table does not.
        let sha256 = sha256_hex(&row.der);
        let detail = json!({ "revoked": entries, "sha256": sha256 });
        record(self, &mut transaction, actor, Action::PublishCrl, &Object::Crl(number.unsigned_abs()), detail);
        kill_point::pass("crl.before-commit");
        transaction.commit().await?;
        kill_point::pass("crl.after-commit");
        let list = Arc::new(PublishedCrl::new(row, sha256));
        self.publication.set_list(list.clone());
        Ok(Some(list))
    }

    /// Makes sure that what is known here of revocations is at most [`LOOK`] old.
    ///
    /// [`LOOK`]: crate::service::publication::LOOK
    pub(super) async fn look(&self) -> Result<(), Failure> {
        if let Some(looked) = self.publication.looked() {
            return Ok(looked?);
        }
        let _turn = self.publication.looking.lock().await;
        // Those who waited share what whoever had the turn before was told, also where that is nothing: one after the other
        // would wait for a database that is away.
        match self.publication.looked() {
            Some(looked) => Ok(looked?),
            None => self.look_within().await,
        }
    }

    /// Makes sure that what is known here of revocations is what was committed by now.
    async fn look_again(&self) -> Result<(), Failure> {
        let _turn = self.publication.looking.lock().await;
        self.look_within().await
    }

    /// The caller has the turn.
    async fn look_within(&self) -> Result<(), Failure> {
        let begun = Instant::now();
        let looked = self.take_over().await;
        match &looked {
            Ok(()) => self.publication.set_looked(begun, Ok(())),
            Err(failure) => self.publication.set_looked(Instant::now(), Err(failure.refusal())),
        }
        looked
    }

    /// Takes over what was revoked and published since.
    async fn take_over(&self) -> Result<(), Failure> {
        let mut connection = self.database.read().await?;
        let revocation = revocations::last(&mut connection).await?;
        let responses = &self.publication.responses;
        // Before what is known advances, so that nothing that it signs from here on is kept.
        let disowned = responses.revocation() != Some(revocation) && self.disown_responder(&mut connection).await?;
        if disowned || responses.is_far_behind(revocation) {
            responses.advance(revocation, None);
        } else if let Some(known) = responses.revocation().filter(|known| *known != revocation) {
            let serials = revocations::after(&mut connection, known).await?;
            let serials: Vec<Serial> = serials.iter().filter_map(|serial| serial.parse().ok()).collect();
            responses.advance(revocation, Some(&serials));
        }
        let number = crls::last_number(&mut connection).await?;
        if self.publication.list().map_or(0, |list| list.number) != number.unsigned_abs()
            && let Some(row) = crls::latest(&mut connection).await?
        {
            self.publication.set_list(Arc::new(row.into()));
        }
        Ok(())
    }

    /// Whether this process's OCSP responder was revoked: nothing is signed with it any more. Nobody else would ask about it
    /// (id-pkix-ocsp-nocheck, RFC 6960 §4.2.2.2.1).
    pub(super) async fn disown_responder(&self, connection: &mut Connection) -> Result<bool, Failure> {
        let Some(responder) = self.publication.responder() else { return Ok(false) };
        let standing = revocations::standing(connection, &responder.serial().to_string()).await?;
        let revoked = matches!(standing, Standing::Revoked(..));
        if revoked {
            self.publication.drop_responder();
            log::warn!(serial:% = responder.serial(); "OCSP responder revoked, another one is certified when it is needed");
        }
        Ok(revoked)
    }
}
