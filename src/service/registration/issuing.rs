//! From a decision to a certificate, and from a revocation to a list of it.

use serde_json::json;
use time::OffsetDateTime;
use x509_parser::certificate::TbsCertificate;
use x509_parser::prelude::FromDer;

use super::{certificate_object, check_stored, days_from, found, inert, record};
use crate::locales::Text;
use crate::protocol::messages::{CertificateSummary, REASON_LIMIT, Revocation};
use crate::protocol::request::State;
use crate::protocol::subject::NameFormat;
use crate::service::app::App;
use crate::service::audit;
use crate::service::auth::{Action, Actor, Object};
use crate::service::ca::{Ca, CaError, Revoked, Serial, Template};
use crate::service::db::certificates::{self, CertificateRow, Holder, NewCertificate};
use crate::service::db::crls::{self, CrlRow};
use crate::service::db::requests::{self, Decision};
use crate::service::db::{Connection, Database, Moment};
use crate::service::error::{Failure, Refusal};

/// With 126 random bits one collision is a wonder; several are a broken source of random numbers.
const SERIAL_ATTEMPTS: usize = 8;

/// A revocation list as it is published.
#[derive(Debug)]
pub struct PublishedCrl {
    /// The list.
    pub der: Vec<u8>,
    /// Its number.
    pub number: u64,
    /// When it was made.
    pub this_update: OffsetDateTime,
    /// When the next one is made at the latest.
    pub next_update: OffsetDateTime,
}

impl From<CrlRow> for PublishedCrl {
    fn from(row: CrlRow) -> Self {
        Self {
            der: row.der,
            number: row.number.unsigned_abs(),
            this_update: row.this_update.0,
            next_update: row.next_update.0,
        }
    }
}

/// What recording and signing need of an installation, which is not complete while it is being made.
pub struct Issuer<'a> {
    /// The CA.
    pub ca: &'a Ca,
    /// Where serial numbers come from.
    pub serials: &'a (dyn Fn() -> Result<Serial, CaError> + Send + Sync),
    /// The present moment.
    pub now: Moment,
}

/// Records a certificate that is to be signed once the transaction is committed, and returns its serial number.
pub async fn record_certificate(
    issuer: &Issuer<'_>,
    transaction: &mut Connection,
    template: &Template,
    holder: Holder,
    organisation: Option<&str>,
) -> Result<Serial, Failure> {
    let mut attempts = 0;
    loop {
        attempts += 1;
        let serial = (issuer.serials)()?;
        let prepared = issuer.ca.prepare(template, serial, issuer.now.0)?;
        let (_, tbs) = TbsCertificate::from_der(prepared.tbs())
            .map_err(|_| Failure::Inconsistent { what: "a certificate that is to be signed" })?;
        let recorded = certificates::insert(
            transaction,
            &NewCertificate {
                serial: &serial.to_string(),
                holder,
                organisation,
                subject: &NameFormat::Rfc4514.print(&tbs.subject),
                tbs: prepared.tbs(),
                not_before: Moment(prepared.not_before()),
                not_after: Moment(prepared.not_after()),
            },
        )
        .await?;
        if recorded {
            return Ok(serial);
        }
        if attempts == SERIAL_ATTEMPTS {
            return Err(Failure::Inconsistent { what: "the source of serial numbers" });
        }
        log::error!("serial number is taken, drawing another: serial={serial}");
    }
}

/// Signs what was recorded and has no signature yet, byte for byte as it was recorded.
///
/// Signing happens while the right to write is held: two processes never sign the same record twice.
pub async fn sign_recorded(ca: &Ca, database: &Database, now: Moment) -> Result<(), Failure> {
    let mut transaction = database.write().await?;
    for (serial, tbs) in certificates::unsigned(&mut transaction).await? {
        let der = match ca.resume(tbs).and_then(|prepared| ca.sign(&prepared)) {
            Ok(der) => der,
            Err(error) => {
                // One that cannot be signed (any more) does not hold up the others.
                log::error!("certificate not signed: serial={serial} cause={error}");
                continue;
            }
        };
        certificates::complete(&mut transaction, &serial, &der).await?;
        let row = found(certificates::find(&mut transaction, &serial).await?)?;
        let detail = json!({ "subject": row.subject });
        audit::record(&mut transaction, now, &Actor::Service, Action::Issue, &certificate_object(&row), detail).await?;
        log::info!("certificate signed: serial={serial}");
    }
    Ok(transaction.commit().await?)
}

impl App {
    /// Signs what was recorded and has no signature yet.
    pub async fn sign_recorded(&self) -> Result<(), Failure> {
        sign_recorded(&self.ca, &self.database, self.now()).await
    }

    /// The CA with the present moment.
    pub(super) fn issuer(&self) -> Issuer<'_> {
        Issuer { ca: &self.ca, serials: &self.serials, now: self.now() }
    }

    /// Ends a certificate; the new revocation list is published in the same step.
    pub async fn revoke(
        &self,
        actor: &Actor,
        serial: &str,
        revocation: &Revocation,
    ) -> Result<CertificateSummary, Failure> {
        let serial = &self.reach_certificate(actor, Action::Revoke, serial).await?.serial;
        check_stored("reason", &revocation.reason, REASON_LIMIT)?;

        let mut transaction = self.database.write().await?;
        let row = found(certificates::find(&mut transaction, serial).await?)?;
        if let Some(at) = row.revoked_at {
            return Err(
                Refusal::decided_already(Text::new("state-revoked"), row.revoked_by.as_deref(), Some(at.0)).into()
            );
        }
        self.revoke_within(&mut transaction, actor, &row, revocation).await?;
        self.publish_within(&mut transaction, actor).await?;
        let row = found(certificates::find(&mut transaction, serial).await?)?;
        transaction.commit().await?;
        log::warn!("certificate revoked: serial={serial} actor={}", inert(actor));
        Ok(row.into())
    }

    /// Marks a certificate and its request as revoked. The caller publishes the list in the same transaction.
    pub(super) async fn revoke_within(
        &self,
        transaction: &mut Connection,
        actor: &Actor,
        row: &CertificateRow,
        revocation: &Revocation,
    ) -> Result<(), Failure> {
        let by = actor.to_string();
        certificates::revoke(transaction, &row.serial, self.now(), &by, revocation).await?;
        if let Some(number) = row.request {
            let request = found(requests::find(transaction, number).await?)?;
            if request.state.may_become(State::Revoked) {
                let reason = Some(revocation.reason.as_str()).filter(|reason| !reason.is_empty());
                let revoked = Decision { state: State::Revoked, at: self.now(), by: &by, reason };
                requests::decide(transaction, number, &revoked).await?;
                self.tell(transaction, number).await?;
            }
        }
        let detail = json!({ "code": revocation.code, "reason": revocation.reason, "request": row.request });
        record(self, transaction, actor, Action::Revoke, &certificate_object(row), detail).await
    }

    /// The newest revocation list.
    pub async fn crl(&self) -> Result<PublishedCrl, Failure> {
        let row = crls::latest(&mut *self.database.read().await?).await?;
        Ok(row.ok_or(Failure::Inconsistent { what: "the revocation list" })?.into())
    }

    /// Makes a new revocation list.
    pub async fn publish_crl(&self, actor: &Actor) -> Result<PublishedCrl, Failure> {
        self.allow(actor, Action::PublishCrl, &Object::Everything).await?;
        let mut transaction = self.database.write().await?;
        let crl = self.publish_within(&mut transaction, actor).await?;
        transaction.commit().await?;
        Ok(crl)
    }

    /// Makes a new revocation list where there is none or half the time of the last one is over.
    pub async fn refresh_crl(&self) -> Result<(), Failure> {
        if self.has_fresh_crl(&mut *self.database.read().await?).await? {
            return Ok(());
        }
        let mut transaction = self.database.write().await?;
        // Another process may have been first.
        if !self.has_fresh_crl(&mut transaction).await? {
            self.publish_within(&mut transaction, &Actor::Service).await?;
        }
        Ok(transaction.commit().await?)
    }

    async fn has_fresh_crl(&self, connection: &mut Connection) -> Result<bool, Failure> {
        let now = self.now();
        Ok(crls::latest(connection).await?.is_some_and(|crl| {
            let middle = crl.this_update.0 + (crl.next_update.0 - crl.this_update.0) / 2;
            crl.this_update.0 <= now.0 && now.0 < middle
        }))
    }

    pub(super) async fn publish_within(
        &self,
        transaction: &mut Connection,
        actor: &Actor,
    ) -> Result<PublishedCrl, Failure> {
        let now = self.now();
        let days = i64::from(self.settings.crl_days);
        let last = crls::latest(transaction).await?.map_or(0, |crl| crl.number);
        // Strictly increasing (RFC 5280 §5.2.3), also where the database is an old backup: later lists have higher
        // numbers than all that were made before them, as long as clocks go forward.
        let number = now.0.unix_timestamp().max(last + 1);
        // A certificate leaves the list once it was on one that was made after its end (RFC 5280 §5).
        let revoked: Vec<Revoked> = certificates::revoked(transaction, days_from(now, -2 * days))
            .await?
            .into_iter()
            .map(|(serial, revoked_at, code)| {
                let serial = serial.parse().map_err(|_| Failure::Inconsistent { what: "a serial number" })?;
                Ok(Revoked { serial, revoked_at: revoked_at.0, code })
            })
            .collect::<Result<_, Failure>>()?;
        let next_update = days_from(now, days);
        let der = self.ca.crl(number.unsigned_abs(), now.0, next_update.0, &revoked)?;
        let row = CrlRow { number, der, this_update: now, next_update };
        crls::insert(transaction, &row).await?;
        let object = Object::Crl(number.unsigned_abs());
        record(self, transaction, actor, Action::PublishCrl, &object, json!({ "revoked": revoked.len() })).await?;
        Ok(row.into())
    }
}
