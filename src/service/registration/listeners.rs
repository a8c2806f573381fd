//! The listeners' own certificate, renewed in time: with one that is over, no client is served any more.

use time::Duration;
use x509_parser::prelude::{FromDer, X509Certificate};

use crate::service::app::App;
use crate::service::ca::Serial;
use crate::service::credential::{Credential, CredentialError};
use crate::service::db::certificates;
use crate::service::error::Failure;
use crate::service::files;
use crate::service::tls::{self, Presented};

/// How long before its end it is renewed: long enough to be seen failing.
const RENEWAL: Duration = Duration::days(60);

/// How long after an attempt the next one is made.
const PAUSE: Duration = Duration::HOUR;

impl App {
    /// Has another certificate issued for the listeners where theirs ends soon, for the same key, and presents it from the next
    /// connection on. One of another CA's is its administrator's to renew; whatever lies in its place by then is presented.
    pub async fn renew_listeners(&self) -> Result<(), Failure> {
        let Some(presented) = self.presented.get().filter(|presented| presented.ends() - self.now().0 < RENEWAL) else {
            return Ok(());
        };
        let folder = self.home.tls();
        let there = present(&tls::load(&folder)?)?;
        if there.certificate() != presented.certificate() && there.ends() > self.now().0 {
            presented.replace_by(there);
            log::info!(ends:% = presented.ends(); "listeners present the certificate that was put there");
            return Ok(());
        }
        // Of an issuing CA that ends as soon, another one would be no better.
        if self.ca.issuing_ends() <= presented.ends() || !self.is_own(&there.certificate()).await? {
            return Ok(());
        }
        // Each attempt may leave a certificate on record that never comes to its place.
        if !presented.may_be_renewed(self.now().0, PAUSE) {
            return Ok(());
        }
        // What cannot be put into its place would be issued again with each round.
        files::check_replaceable(&tls::certificate_path(&folder)).map_err(CredentialError::from)?;
        let template = tls::template(&self.settings, tls::prepare(&folder)?);
        let signed = self.certify(template).await?;
        presented.replace_by(present(&tls::install(&folder, &[&signed.der, self.ca.issuing()])?)?);
        log::info!(serial:% = signed.serial, ends:% = presented.ends(); "listeners' certificate renewed");
        Ok(())
    }
}

impl App {
    /// Whether the service itself has had a certificate (DER) issued, and not somebody for it.
    async fn is_own(&self, certificate: &[u8]) -> Result<bool, Failure> {
        let serial =
            X509Certificate::from_der(certificate).ok().and_then(|(_, read)| Serial::try_from(read.raw_serial()).ok());
        let Some(serial) = serial else { return Ok(false) };
        let row = certificates::find(&mut *self.database.read().await?, &serial.to_string()).await?;
        Ok(row.is_some_and(|row| row.request.is_none() && row.der.as_deref() == Some(certificate)))
    }
}

fn present(credential: &Credential) -> Result<Presented, Failure> {
    Presented::of(credential).map_err(|error| {
        log::error!(cause:% = error; "a certificate that the listeners cannot present");
        Failure::Inconsistent { what: "the listeners' certificate" }
    })
}
