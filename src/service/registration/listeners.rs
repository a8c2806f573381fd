//! The listeners' own certificate, renewed in time: with one that is over, no client is served any more.

use std::sync::PoisonError;

use time::{Duration, OffsetDateTime};
use x509_parser::prelude::{FromDer, X509Certificate};

use crate::service::app::App;
use crate::service::ca::Serial;
use crate::service::credential::{Credential, CredentialError};
use crate::service::db::certificates;
use crate::service::error::Failure;
use crate::service::files;
use crate::service::tls::{self, Identity};

/// How long before its end it is renewed: long enough to be seen failing.
const RENEWAL: Duration = Duration::days(60);

/// How long after an attempt the next one is made: each may leave a certificate on record that never comes to its place.
const PAUSE: Duration = Duration::HOUR;

impl App {
    /// Has another certificate issued for the listeners where theirs ends soon, for the same key, and presents it from the next
    /// connection on. One that somebody had issued for them is theirs to renew; what lies in its place by then is presented.
    pub async fn renew_listeners(&self) -> Result<(), Failure> {
        let now = self.now().0;
        let Some(presented) = self.presented.get().filter(|presented| presented.identity().ends - now < RENEWAL) else {
            return Ok(());
        };
        let (folder, old) = (self.home.tls(), presented.identity());
        let there = identity(&tls::load(&folder)?)?;
        if there.certificate != old.certificate && there.ends > now {
            log::info!(ends:% = there.ends; "listeners present the certificate that was put there");
            presented.replace(there);
            return Ok(());
        }
        // Of an issuing CA that ends as soon, another one would be no better.
        if self.ca.issuing_ends() <= old.ends || !self.is_own(&there.certificate).await? {
            return Ok(());
        }
        if !self.may_try_renewal(now) {
            return Ok(());
        }
        files::check_replaceable(&tls::certificate_path(&folder)).map_err(CredentialError::from)?;
        let signed = self.certify(tls::template(&self.settings, tls::prepare(&folder)?)).await?;
        let renewed = identity(&tls::install(&folder, &[&signed.der, self.ca.issuing()])?)?;
        log::info!(serial:% = signed.serial, ends:% = renewed.ends; "listeners' certificate renewed");
        presented.replace(renewed);
        Ok(())
    }

    /// Whether the last attempt was long enough ago; if so, the next one is now.
    fn may_try_renewal(&self, now: OffsetDateTime) -> bool {
        let mut tried = self.renewal_tried.lock().unwrap_or_else(PoisonError::into_inner);
        let may = tried.is_none_or(|tried| now - tried >= PAUSE);
        if may {
            *tried = Some(now);
        }
        may
    }

    /// Whether the service itself has had a certificate (DER) issued, and not somebody for it.
    async fn is_own(&self, certificate: &[u8]) -> Result<bool, Failure> {
        let serial =
            X509Certificate::from_der(certificate).ok().and_then(|(_, read)| Serial::try_from(read.raw_serial()).ok());
        let Some(serial) = serial else { return Ok(false) };
        let row = certificates::find(&mut *self.database.read().await?, &serial.to_string()).await?;
        Ok(row.is_some_and(|row| row.request.is_none() && row.der.as_deref() == Some(certificate)))
    }
}

fn identity(credential: &Credential) -> Result<Identity, Failure> {
    Identity::of(credential).map_err(|error| {
        log::error!(cause:% = error; "a certificate that the listeners cannot present");
        Failure::Inconsistent { what: "the listeners' certificate" }
    })
}
