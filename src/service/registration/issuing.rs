//! From a decision to a certificate.

use serde_json::json;
use x509_parser::certificate::TbsCertificate;
use x509_parser::prelude::FromDer;

use super::{certificate_object, found};
use crate::protocol::subject::NameFormat;
use crate::service::app::App;
use crate::service::audit;
use crate::service::auth::{Action, Actor};
use crate::service::ca::{Ca, CaError, Serial, Template};
use crate::service::db::certificates::{self, Holder, NewCertificate};
use crate::service::db::{Connection, Database, Moment};
use crate::service::error::Failure;

/// With 126 random bits one collision is a wonder; several are a broken source of random numbers.
const SERIAL_ATTEMPTS: usize = 8;

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
        .await;
        match recorded {
            Ok(()) => return Ok(serial),
            Err(error) if error.is_duplicate() && attempts < SERIAL_ATTEMPTS => {
                log::error!("serial number is taken, drawing another: serial={serial}");
            }
            Err(error) => return Err(error.into()),
        }
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
}
