//! From a decision to a certificate.

use std::collections::HashSet;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use serde_json::json;
use time::OffsetDateTime;

use crate::kill_point;
use crate::parallel;
use crate::protocol::request::{Kind, RequestNumber};
use crate::service::app::App;
use crate::service::audit::{self, Event};
use crate::service::auth::{Action, Actor, Object};
use crate::service::ca::{Ca, CaError, Prepared, Serial, Template};
use crate::service::db::certificates::{self, Holder, NewCertificate, Unsigned};
use crate::service::db::{Connection, Database, Moment, Transaction};
use crate::service::error::Failure;
use crate::service::metrics::Metrics;

/// With 80 random bits one collision is a wonder; several are a broken source of random numbers.
const SERIAL_ATTEMPTS: usize = 8;

/// How many certificates are worth a thread of their own.
pub(super) const LEAST: usize = 4;

/// What recording and signing need of an installation, which is not complete while it is being made.
pub struct Issuer<'a> {
    /// The CA.
    pub ca: &'a Ca,
    /// Where serial numbers come from.
    pub serials: &'a (dyn Fn(OffsetDateTime) -> Result<Serial, CaError> + Send + Sync),
    /// The present moment.
    pub now: OffsetDateTime,
}

/// A certificate that was built and checked, and may enter the record. Those who record, sign and tell of it share it.
#[derive(Debug, Clone)]
pub struct Planned {
    template: Arc<Template>,
    prepared: Arc<Prepared>,
}

impl Planned {
    /// The serial number that it has so far: the record may have it already.
    pub fn serial(&self) -> Serial {
        self.prepared.serial()
    }
}

/// A certificate on record, whom it is for, and code of their organisation.
pub type Recorded<'a> = (Planned, Holder, Option<&'a str>);

impl Issuer<'_> {
    /// Builds and checks a certificate, with a serial number that is most likely free.
    pub fn plan(&self, template: impl Into<Arc<Template>>) -> Result<Planned, Failure> {
        let template = template.into();
        let prepared = self.ca.prepare(&template, (self.serials)(self.now)?, self.now)?.into();
        Ok(Planned { template, prepared })
    }

    /// Records certificates that are to be signed once the transaction is committed. Where a serial number is taken, the
    /// certificate gets another one.
    pub async fn record(&self, transaction: &mut Connection, planned: &mut [Recorded<'_>]) -> Result<(), Failure> {
        let mut left: Vec<&mut Recorded<'_>> = planned.iter_mut().collect();
        for _ in 0..SERIAL_ATTEMPTS {
            let serials: Vec<String> = left.iter().map(|(planned, ..)| planned.serial().to_string()).collect();
            let rows: Vec<NewCertificate<'_>> = left
                .iter()
                .zip(&serials)
                .map(|((planned, holder, organisation), serial)| NewCertificate {
                    serial,
                    holder: *holder,
                    organisation: *organisation,
                    subject: planned.prepared.subject(),
                    tbs: planned.prepared.tbs(),
                    not_before: Moment(planned.prepared.not_before()),
                    not_after: Moment(planned.prepared.not_after()),
                })
                .collect();
            if certificates::insert(transaction, &rows).await? == rows.len() as u64 {
                return Ok(());
            }
            let bytes: Vec<(&str, &[u8])> = rows.iter().map(|row| (row.serial, row.tbs)).collect();
            // By their bytes: of several with one serial number, one is on record.
            let on_record = certificates::on_record(transaction, &bytes).await?;
            left.retain(|(planned, ..)| !on_record.contains(planned.prepared.tbs()));
            for (planned, ..) in &mut left {
                log::error!(serial:% = planned.serial(); "serial number is taken, drawing another");
                *planned = self.plan(planned.template.clone())?;
            }
        }
        Err(Failure::Random)
    }
}

/// Records one certificate, and returns its serial number.
pub async fn record_certificate(
    issuer: &Issuer<'_>,
    transaction: &mut Connection,
    template: &Template,
    holder: Holder,
    organisation: Option<&str>,
) -> Result<Serial, Failure> {
    let mut planned = [(issuer.plan(template.clone())?, holder, organisation)];
    issuer.record(transaction, &mut planned).await?;
    let [(planned, ..)] = planned;
    Ok(planned.serial())
}

/// A signed certificate, and what the record tells of it.
#[derive(Debug, Clone)]
pub(super) struct Signed {
    /// Serial number.
    pub(super) serial: String,
    /// The certificate.
    pub(super) der: Vec<u8>,
    subject: String,
    organisation: Option<String>,
    kind: Option<Kind>,
    /// Whether it is the service's own.
    own: bool,
}

impl Signed {
    /// Signs what is on record.
    pub(super) fn new(ca: &Ca, (planned, holder, organisation): &Recorded<'_>) -> Result<Self, CaError> {
        Ok(Self {
            serial: planned.serial().to_string(),
            der: ca.sign(&planned.prepared)?,
            subject: planned.prepared.subject().to_owned(),
            organisation: organisation.map(str::to_owned),
            kind: holder.kind(),
            own: holder.is_service(),
        })
    }
}

/// Adds signatures to the record. What somebody else signed in the meantime stays as it is, and is given back: of two
/// signatures one is ever seen.
async fn complete(
    transaction: &mut Transaction,
    now: Moment,
    signed: &[&Signed],
    metrics: Option<&Metrics>,
) -> Result<Vec<Signed>, Failure> {
    if signed.is_empty() {
        return Ok(Vec::new());
    }
    let pairs: Vec<(&str, &[u8])> =
        signed.iter().map(|signed| (signed.serial.as_str(), signed.der.as_slice())).collect();
    let completed = certificates::complete(transaction, &pairs).await?;
    let events = signed.iter().filter(|signed| completed.contains(&signed.serial)).map(|signed| Event {
        actor: &Actor::Service,
        action: Action::Issue,
        object: Object::Certificate {
            serial: &signed.serial,
            organisation: signed.organisation.as_deref(),
            kind: signed.kind,
            own: signed.own,
        },
        detail: json!({ "subject": signed.subject }),
    });
    let events: Vec<Event<'_>> = events.collect();
    if let Some(metrics) = metrics {
        transaction.count(events.iter().filter_map(|event| metrics.of(event.action, &event.object)));
    }
    audit::record_all(transaction, now, events);
    let mut stored = Vec::with_capacity(signed.len());
    for signed in signed {
        let mut signed = (*signed).clone();
        if completed.contains(&signed.serial) {
            log::info!(serial:% = signed.serial; "certificate signed");
        } else if let Some(der) = certificates::find(transaction, &signed.serial).await?.and_then(|row| row.der) {
            signed.der = der;
        }
        stored.push(signed);
    }
    Ok(stored)
}

/// How much of what was left is signed before it enters the record.
const STEP: usize = 512;

/// Signs what was recorded and has no signature yet, byte for byte as it was recorded.
pub async fn sign_recorded(ca: &Ca, database: &Database, now: Moment) -> Result<(), Failure> {
    sign_others(ca, database, now, &Signing::default(), None).await
}

/// The same without what somebody here is signing just now.
async fn sign_others(
    ca: &Ca,
    database: &Database,
    now: Moment,
    signing: &Signing,
    metrics: Option<&Metrics>,
) -> Result<(), Failure> {
    let mut last = 0;
    loop {
        let rows = certificates::unsigned(&mut *database.read().await?, last, STEP).await?;
        let Some(row) = rows.last() else { return Ok(()) };
        last = row.id;
        if !sign_these(ca, database, now, rows, signing, metrics).await? {
            return Ok(());
        }
    }
}

/// Signs these, but for those that somebody here is signing; `false` where nothing can be signed now.
async fn sign_these(
    ca: &Ca,
    database: &Database,
    now: Moment,
    mut rows: Vec<Unsigned>,
    signing: &Signing,
    metrics: Option<&Metrics>,
) -> Result<bool, Failure> {
    let _held = signing.take(&mut rows);
    if rows.is_empty() {
        return Ok(true);
    }
    if let Err(error) = ca.check_key() {
        log::error!(certificates = rows.len(), cause:% = error; "certificates not signed");
        return Ok(false);
    }
    // Without the right to write: a token may take its time.
    let signatures = ca.waiting(|| {
        parallel::map(&rows, LEAST, |row| ca.resume(row.tbs.clone()).and_then(|prepared| ca.sign(&prepared)))
    });
    let mut signed = Vec::new();
    for (row, signature) in rows.into_iter().zip(signatures) {
        match signature {
            Ok(der) => signed.push(Signed {
                serial: row.serial,
                der,
                subject: row.subject,
                organisation: row.organisation,
                kind: row.kind,
                own: row.own,
            }),
            // One that cannot be signed (any more) does not hold up the others.
            Err(error) => log::error!(serial:% = row.serial, cause:% = error; "certificate not signed"),
        }
    }
    kill_point::pass("resume.after-sign");
    let mut transaction = database.write().await?;
    complete(&mut transaction, now, &signed.iter().collect::<Vec<_>>(), metrics).await?;
    kill_point::pass("resume.before-commit");
    transaction.commit().await?;
    kill_point::pass("resume.after-commit");
    Ok(true)
}

/// The serial numbers of what is on record and about to be signed by somebody.
#[derive(Debug, Default)]
pub struct Signing {
    serials: Mutex<HashSet<String>>,
    /// Held by whoever signs all that was left.
    turn: tokio::sync::Mutex<()>,
}

impl Signing {
    fn lock(&self) -> MutexGuard<'_, HashSet<String>> {
        // Nothing that can panic happens while it is held.
        self.serials.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Leaves those that nobody is signing, and keeps others from it.
    fn take(&self, rows: &mut Vec<Unsigned>) -> Held<'_> {
        let mut signing = self.lock();
        rows.retain(|row| signing.insert(row.serial.clone()));
        Held { signing: self, serials: rows.iter().map(|row| row.serial.clone()).collect() }
    }

    /// Keeps others from signing these, until what is returned is dropped.
    pub(super) fn hold(&self, serials: impl IntoIterator<Item = String>) -> Held<'_> {
        let serials: Vec<String> = serials.into_iter().collect();
        self.lock().extend(serials.iter().cloned());
        Held { signing: self, serials }
    }
}

/// See [`Signing::hold`].
#[derive(Debug)]
pub(super) struct Held<'a> {
    signing: &'a Signing,
    serials: Vec<String>,
}

impl Drop for Held<'_> {
    fn drop(&mut self) {
        let mut signing = self.signing.lock();
        for serial in &self.serials {
            signing.remove(serial);
        }
    }
}

impl App {
    /// Signs all that was recorded and has no signature yet.
    pub async fn sign_recorded(&self) -> Result<(), Failure> {
        // Whoever waited looks again.
        let _turn = self.signing.turn.lock().await;
        sign_others(&self.ca, &self.database, self.now(), &self.signing, Some(&self.metrics)).await
    }

    /// Signs what was recorded for these requests and has no signature yet: whoever asks for one certificate does not wait for
    /// thousands.
    pub(super) async fn sign_recorded_of(&self, requests: &[RequestNumber]) -> Result<(), Failure> {
        let rows = certificates::unsigned_of(&mut *self.database.read().await?, requests).await?;
        sign_these(&self.ca, &self.database, self.now(), rows, &self.signing, Some(&self.metrics)).await.map(drop)
    }

    /// Signs what was recorded, on all processors.
    pub(super) fn signed(&self, recorded: &[Recorded<'_>]) -> Vec<Signed> {
        let signed = self.ca.waiting(|| parallel::map(recorded, LEAST, |recorded| Signed::new(&self.ca, recorded)));
        let signed = signed.into_iter().filter_map(|signed| {
            // One that cannot be signed (any more) does not hold up the others.
            signed.inspect_err(|error| log::error!(cause:% = error; "certificate not signed")).ok()
        });
        signed.collect()
    }

    /// Signs what was just recorded, adds the signatures to the record, and gives what the record has now.
    pub(super) async fn sign_all(&self, recorded: &[Recorded<'_>]) -> Result<Vec<Signed>, Failure> {
        kill_point::pass("sign.before-sign");
        let signed = self.signed(recorded);
        kill_point::pass("sign.after-sign");
        let mut transaction = self.database.write().await?;
        let signed = self.complete_within(&mut transaction, &signed.iter().collect::<Vec<_>>()).await?;
        kill_point::pass("sign.before-commit");
        transaction.commit().await?;
        kill_point::pass("sign.after-commit");
        Ok(signed)
    }

    /// Records and signs a certificate of the service's own.
    pub(super) async fn certify(&self, template: Template) -> Result<Signed, Failure> {
        // Whoever asks next would have another one recorded that nobody signs, and so on.
        self.ca.check_key()?;
        let mut recorded = [(self.issuer().plan(template)?, Holder::Service, None)];
        let mut transaction = self.database.write().await?;
        self.issuer().record(&mut transaction, &mut recorded).await?;
        let serial = recorded.each_ref().map(|(planned, ..)| planned.serial().to_string());
        let _held = self.signing.hold(serial);
        kill_point::pass("own-certificate.before-commit");
        transaction.commit().await?;
        kill_point::pass("own-certificate.after-commit");
        let signed = self.sign_all(&recorded).await?.pop();
        signed.ok_or(Failure::Inconsistent { what: "the service's own certificate" })
    }

    /// Adds signatures to the record; see [`complete`].
    pub(super) async fn complete_within(
        &self,
        transaction: &mut Transaction,
        signed: &[&Signed],
    ) -> Result<Vec<Signed>, Failure> {
        complete(transaction, self.now(), signed, Some(&self.metrics)).await
    }

    /// The CA with the present moment.
    pub(super) fn issuer(&self) -> Issuer<'_> {
        Issuer { ca: &self.ca, serials: &self.serials, now: self.clock.now() }
    }
}
