//! The end of a certificate before its time.

use serde_json::json;

use super::{certificate_object, check_stored, found, inert, record};
use crate::kill_point;
use crate::locales::Text;
use crate::protocol::messages::{CertificateSummary, REASON_LIMIT, Revocation};
use crate::protocol::request::State;
use crate::service::app::App;
use crate::service::auth::{Action, Actor};
use crate::service::db::Transaction;
use crate::service::db::certificates::{self, CertificateRow};
use crate::service::db::requests::{self, Decision};
use crate::service::error::{Failure, Refusal};

impl App {
    /// Ends a certificate. OCSP says so from here on, and the list that holds it is published before this returns; where
    /// that fails, by the next round.
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
        let row = found(certificates::find(&mut transaction, serial).await?)?;
        kill_point::pass("revoke.before-commit");
        transaction.commit().await?;
        kill_point::pass("revoke.after-commit");
        log::warn!(serial:% = serial, actor = inert(actor); "certificate revoked");
        self.publish_revocations(actor).await;
        Ok(row.into())
    }

    /// Marks a certificate and its request as revoked. Once that is committed, the caller publishes it.
    pub(super) async fn revoke_within(
        &self,
        transaction: &mut Transaction,
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
                requests::decide(transaction, &[number], &revoked).await?;
                self.tell(transaction, number).await?;
            }
        }
        let detail = json!({ "code": revocation.code, "reason": revocation.reason, "request": row.request });
        record(self, transaction, actor, Action::Revoke, &certificate_object(row), detail);
        Ok(())
    }
}
