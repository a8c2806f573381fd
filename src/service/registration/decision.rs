//! What a manager does to a request: approve or reject.

use serde_json::json;

use super::{check_again, check_stored, found, record, record_certificate, row_object};
use crate::locales::{self, Text};
use crate::protocol::messages::{Approval, REASON_LIMIT, Rejection};
use crate::protocol::request::{RequestNumber, State};
use crate::protocol::rules::CheckedCsr;
use crate::service::app::App;
use crate::service::auth::{Action, Actor};
use crate::service::ca::Template;
use crate::service::db::Connection;
use crate::service::db::certificates::Holder;
use crate::service::db::requests::{self, Decision, RequestRow};
use crate::service::error::{Failure, Refusal};

impl App {
    /// Says yes to exactly the CSR that was shown.
    ///
    /// The decision, the serial number and the to-be-signed certificate are recorded together, before anything is
    /// signed. A service that stops in between signs what was recorded when it comes back.
    pub async fn approve(&self, actor: &Actor, number: RequestNumber, approval: &Approval) -> Result<(), Failure> {
        self.reach_request(actor, Action::Approve, number).await?;
        self.expire().await?;

        let mut transaction = self.database.write().await?;
        let row = still_pending(&mut transaction, number).await?;
        if row.csr_sha256 != approval.csr_sha256 {
            return Err(Refusal::other_csr().into());
        }
        let csr = check_again(&mut transaction, &row).await?.map_err(Refusal::csr_refused)?;
        refuse_own_request(actor, &row, &csr)?;
        let template = self.template(&row, &csr);
        let holder = Holder::Request(number, row.kind);
        let serial =
            record_certificate(&self.issuer(), &mut transaction, &template, holder, Some(&row.organisation)).await?;
        let decided_by = actor.to_string();
        let approved = Decision { state: State::Approved, at: self.now(), by: &decided_by, reason: None };
        requests::decide(&mut transaction, number, &approved).await?;
        let detail = json!({ "csr_sha256": row.csr_sha256, "serial": serial.to_string() });
        record(self, &mut transaction, actor, Action::Approve, &row_object(&row), detail).await?;
        self.tell(&mut transaction, number).await?;
        transaction.commit().await?;

        // From here on the request is approved, whatever happens; what is not signed now is signed later.
        if let Err(error) = self.sign_recorded().await {
            log::error!("certificate not signed yet: serial={serial} cause={error}");
        }
        Ok(())
    }

    /// Says no, and why.
    pub async fn reject(&self, actor: &Actor, number: RequestNumber, rejection: &Rejection) -> Result<(), Failure> {
        self.reach_request(actor, Action::Reject, number).await?;
        if rejection.reason.trim().is_empty() {
            return Err(Refusal::invalid_field("reason", Text::new("expected-reason")).into());
        }
        check_stored("reason", &rejection.reason, REASON_LIMIT)?;
        self.expire().await?;

        let mut transaction = self.database.write().await?;
        let row = still_pending(&mut transaction, number).await?;
        let decided_by = actor.to_string();
        let reason = Some(rejection.reason.as_str());
        let rejected = Decision { state: State::Rejected, at: self.now(), by: &decided_by, reason };
        requests::decide(&mut transaction, number, &rejected).await?;
        let detail = json!({ "reason": rejection.reason });
        record(self, &mut transaction, actor, Action::Reject, &row_object(&row), detail).await?;
        self.tell(&mut transaction, number).await?;
        Ok(transaction.commit().await?)
    }

    /// Approves a request that just came, in an environment that does so. The request waits where this fails.
    pub(super) async fn auto_approve(&self, number: RequestNumber) {
        let approve = async {
            let row = found(requests::find(&mut *self.database.read().await?, number).await?)?;
            self.approve(&Actor::AutoApproval, number, &Approval { csr_sha256: row.csr_sha256 }).await
        };
        match approve.await {
            Ok(()) => log::warn!("request approved automatically: number={number}"),
            Err(error) => log::error!("request not approved automatically: number={number} cause={error}"),
        }
    }

    /// What the certificate will hold: what the profile provides for, from the checked request.
    pub(super) fn template(&self, row: &RequestRow, csr: &CheckedCsr) -> Template {
        Template {
            profile: row.kind.into(),
            subject: csr.subject().clone(),
            dns_names: csr.dns_names().to_vec(),
            ip_addresses: Vec::new(),
            emails: csr.emails().to_vec(),
            public_key: csr.public_key().to_vec(),
            crl_url: Some(self.settings.crl_url()),
        }
    }
}

/// The request, if it still waits for a decision; else who was first.
async fn still_pending(transaction: &mut Connection, number: RequestNumber) -> Result<RequestRow, Failure> {
    let row = found(requests::find(transaction, number).await?)?;
    match (row.state, row.replaced_by) {
        (State::Pending, _) => Ok(row),
        (State::Cancelled, Some(newer)) => Err(Refusal::replaced(newer).into()),
        (state, _) => {
            let at = row.decided_at.map(|moment| moment.0);
            Err(Refusal::decided_already(locales::state(state), row.decided_by.as_deref(), at).into())
        }
    }
}

/// A manager does not decide on a request of their own, whichever of its fields names them.
pub(super) fn refuse_own_request(actor: &Actor, row: &RequestRow, csr: &CheckedCsr) -> Result<(), Refusal> {
    let Actor::Manager(manager) = actor else { return Ok(()) };
    let mut named = csr.emails().iter().chain([&row.contact.email]);
    match named.any(|email| email.eq_ignore_ascii_case(&manager.email)) {
        true => Err(Refusal::own_request()),
        false => Ok(()),
    }
}
