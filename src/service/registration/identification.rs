//! Whom a client certificate stands for, asked anew on every request.

use x509_parser::prelude::{FromDer, X509Certificate};

use crate::protocol::messages::Identity;
use crate::protocol::secret::hex;
use crate::service::app::App;
use crate::service::auth::{Action, Actor, Object};
use crate::service::db::certificates::{self, CertificateRow};
use crate::service::db::{Connection, Moment, managers};
use crate::service::error::{Failure, Refusal};

/// Somebody with a certificate that is good at this moment.
#[derive(Debug)]
pub struct Caller {
    /// Whom it stands for.
    pub actor: Actor,
    certificate: CertificateRow,
}

/// Whoever makes a bulk decision, which goes on while they are gone.
#[derive(Debug, Clone, Copy)]
pub struct Maker<'a> {
    /// Who it is.
    pub actor: &'a Actor,
    /// The serial number of the certificate that they show; none where they sit at the service's computer.
    pub certificate: Option<&'a str>,
}

impl Caller {
    /// The same as somebody who makes a bulk decision.
    pub fn maker(&self) -> Maker<'_> {
        Maker { actor: &self.actor, certificate: Some(&self.certificate.serial) }
    }
}

impl App {
    /// Whom a certificate (DER) that TLS has verified stands for.
    ///
    /// # Errors
    /// [`Refusal::caller_revoked`] where it is revoked or over, its holder disabled, or it is not one that this service
    /// recorded byte for byte.
    pub async fn identify(&self, certificate: &[u8]) -> Result<Caller, Failure> {
        let refused = || Failure::from(Refusal::caller_revoked());
        let (_, parsed) = X509Certificate::from_der(certificate).map_err(|_| refused())?;
        let mut connection = self.database.read().await?;
        let row = certificates::find(&mut connection, &hex(parsed.raw_serial())).await?.ok_or_else(refused)?;
        if row.der.as_deref() != Some(certificate) {
            return Err(refused());
        }
        let actor = holder(&mut connection, &row, self.now()).await?.map_err(Failure::from)?;
        Ok(Caller { actor, certificate: row })
    }

    /// Who the service thinks the caller is.
    pub async fn test(&self, caller: &Caller) -> Result<Identity, Failure> {
        self.allow(&caller.actor, Action::Test, &Object::Everything).await?;
        let row = &caller.certificate;
        Ok(Identity {
            environment: self.settings.environment.clone(),
            organisation: row.organisation.clone(),
            kind: row.kind,
            role: match &caller.actor {
                Actor::Manager(manager) => Some(manager.role),
                _ => None,
            },
            subject: row.subject.clone(),
            serial: row.serial.clone(),
            not_after: row.not_after.0,
            time: self.clock.now(),
        })
    }
}

/// Whom a certificate on record stands for at this moment, or that it is not good any more: a connection outlives the
/// certificate that it was made with.
pub(super) async fn holder(
    connection: &mut Connection,
    row: &CertificateRow,
    now: Moment,
) -> Result<Result<Actor, Refusal>, Failure> {
    let actor = match (row.manager, row.kind, &row.organisation) {
        _ if row.revoked_at.is_some() || row.not_after < now => None,
        (Some(id), _, _) => {
            let manager = managers::find(connection, id.unsigned_abs()).await?;
            manager.filter(|manager| !manager.disabled).map(Actor::Manager)
        }
        (None, Some(kind), Some(organisation)) => {
            Some(Actor::Machine { serial: row.serial.clone(), organisation: organisation.clone(), kind })
        }
        // The service's own certificates are not a client's.
        _ => None,
    };
    Ok(actor.ok_or_else(Refusal::caller_revoked))
}
