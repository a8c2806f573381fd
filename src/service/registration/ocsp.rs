//! What OCSP says of a certificate (RFC 6960, RFC 5019), and how much of it is signed anew.
//!
//! A response without a nonce is signed once and handed out until half of its time is over or something is said about its
//! certificate that makes it untrue. What a budget does not allow to be signed is answered with what there is.

use std::sync::Arc;

use rcgen::PublicKeyData;
use time::{Duration, OffsetDateTime};
use tokio::time::timeout;

use super::issuing::Signed;
use crate::protocol::problem::ProblemCode;
use crate::protocol::subject::Subject;
use crate::service::app::App;
use crate::service::ca::ocsp::{CertId, Form, NONCE_LIMIT, Request, Responder, Single, Standing, Unsuccessful};
use crate::service::ca::{Profile, Serial, Template};
use crate::service::db::revocations;
use crate::service::error::{Failure, Refusal};
use crate::service::metrics::Limit;
use crate::service::publication::{LOOK, Response};

/// For how long a serial number that nobody has is said to be unknown: somebody may have it soon.
const UNKNOWN: Duration = Duration::minutes(5);

impl App {
    /// Answers an OCSPRequest (DER).
    pub async fn ocsp(self: &Arc<Self>, request: &[u8]) -> Response {
        match self.answer(request).await {
            Ok(response) => response,
            Err(failure) if failure.refusal().code() == ProblemCode::Unavailable => {
                log::warn!(cause:% = failure; "OCSP not answered now");
                Unsuccessful::TryLater.into()
            }
            Err(failure) => {
                log::error!(cause:% = failure; "OCSP not answered");
                Unsuccessful::InternalError.into()
            }
        }
    }

    async fn answer(self: &Arc<Self>, request: &[u8]) -> Result<Response, Failure> {
        let Ok(Request { certificates, nonce }) = Request::read(request) else {
            return Ok(Unsuccessful::MalformedRequest.into());
        };
        // Nobody would believe this responder about another CA's certificate, nor about ours beside it: that CA delegated
        // nothing to it (RFC 6960 §4.2.2.2).
        let forms: Option<Vec<Form>> = certificates.iter().map(|id| self.publication.issuer.form(id)).collect();
        let Some(forms) = forms else { return Ok(Unsuccessful::Unauthorized.into()) };
        self.look().await?;
        let nonce = nonce.filter(|nonce| nonce.len() <= NONCE_LIMIT);
        let alone = match (certificates.as_slice(), forms.as_slice()) {
            ([id], [form]) => Some((id, *form)),
            _ => None,
        };
        match (alone, nonce) {
            (Some((id, form)), None) => self.lasting(id, form).await,
            (_, nonce) if self.publication.budget.take_for_one(certificates.len()) => {
                self.fresh(&certificates, nonce.as_deref()).await
            }
            // A responder may leave the nonce out (RFC 9654 §3.1, RFC 5019 §4).
            (Some((id, form)), Some(_)) => self.lasting(id, form).await,
            (None, _) => Ok(self.try_later()),
        }
    }

    /// A response about one certificate that serves everybody who asks.
    async fn lasting(self: &Arc<Self>, id: &CertId, form: Form) -> Result<Response, Failure> {
        let now = self.now().0;
        let serial = Serial::try_from(id.serial());
        let kept = serial.as_ref().ok().and_then(|serial| self.publication.responses.find(form, *serial, now));
        if let Some(kept) = kept.as_ref().filter(|kept| !kept.is_ageing(now)) {
            return Ok(kept.clone());
        }
        let revocation = self.publication.responses.revocation();
        let standings = self.standings(std::slice::from_ref(id)).await?;
        // Nobody else asks for a serial number that was made up, and there is no end of them: what real ones need is not spent
        // on these.
        let allowed = match standings.as_slice() {
            [Standing::Unknown] => self.publication.budget.take_for_one(1),
            _ => self.publication.budget.take(),
        };
        if !allowed {
            return Ok(kept.unwrap_or_else(|| self.try_later()));
        }
        let (response, until) = self.sign_response(std::slice::from_ref(id), &standings, None, now).await?;
        match (standings.as_slice(), serial) {
            ([Standing::Good | Standing::Revoked(..)], Ok(serial)) => {
                let response = Response::lasting(response, now, until);
                self.publication.responses.keep(form, serial, &response, revocation);
                Ok(response)
            }
            _ => Ok(Response::passing(response)),
        }
    }

    /// The response to whoever asks for more than is signed.
    fn try_later(&self) -> Response {
        self.metrics.limited(Limit::OcspSignatures);
        Unsuccessful::TryLater.into()
    }

    /// A response for whoever asked this very question.
    async fn fresh(self: &Arc<Self>, certificates: &[CertId], nonce: Option<&[u8]>) -> Result<Response, Failure> {
        let now = self.now().0;
        let standings = self.standings(certificates).await?;
        let (response, _) = self.sign_response(certificates, &standings, nonce, now).await?;
        Ok(Response::passing(response))
    }

    /// The states of certificates of this CA.
    async fn standings(&self, certificates: &[CertId]) -> Result<Vec<Standing>, Failure> {
        // Never closed.
        let _turn = self.publication.lookups.acquire().await;
        let mut connection = self.database.read().await?;
        let mut standings = Vec::with_capacity(certificates.len());
        for id in certificates {
            let standing = match Serial::try_from(id.serial()) {
                Ok(serial) => revocations::standing(&mut connection, &serial.to_string()).await?,
                Err(_) => revocations::Standing::NotIssued,
            };
            standings.push(match standing {
                // RFC 6960 §2.2 would also have "revoked" with a date of 1970, for clients that take "unknown" for good.
                // Such a response would have to stand when the certificate is issued a moment later.
                revocations::Standing::NotIssued => Standing::Unknown,
                revocations::Standing::Good => Standing::Good,
                revocations::Standing::Revoked(at, code) => Standing::Revoked(at.0, code),
            });
        }
        Ok(standings)
    }

    /// The signed response, and until when it is good: no longer than its responder.
    async fn sign_response(
        self: &Arc<Self>,
        certificates: &[CertId],
        standings: &[Standing],
        nonce: Option<&[u8]>,
        now: OffsetDateTime,
    ) -> Result<(Vec<u8>, OffsetDateTime), Failure> {
        let responder = self.responder().await?;
        let until = (now + Duration::hours(self.settings.ocsp_hours.into())).min(responder.ends());
        let singles: Vec<_> = certificates
            .iter()
            .zip(standings)
            .map(|(certificate, standing)| Single {
                certificate,
                standing: match *standing {
                    // Clocks differ: another process may be a little ahead.
                    Standing::Revoked(at, code) => Standing::Revoked(at.min(now), code),
                    standing => standing,
                },
                this_update: now,
                next_update: if *standing == Standing::Unknown { until.min(now + UNKNOWN) } else { until },
            })
            .collect();
        Ok((responder.sign(&singles, nonce, now)?, until))
    }

    /// The responder, which is certified when it is first needed, and again when its certificate is over or revoked. That takes
    /// the right to write, for which somebody else may make it wait: those who ask do not wait for long, nor one after the other.
    async fn responder(self: &Arc<Self>) -> Result<Arc<Responder>, Failure> {
        if let Some(responder) = self.good_responder() {
            return Ok(responder);
        }
        if let Some(refusal) = self.publication.uncertified(self.publication.certifying.try_lock().is_err()) {
            return Err(refusal.into());
        }
        timeout(LOOK, self.another_responder()).await.unwrap_or_else(|_| {
            let refusal = Refusal::unavailable();
            self.publication.set_uncertified(refusal.clone());
            Err(refusal.into())
        })
    }

    fn good_responder(&self) -> Option<Arc<Responder>> {
        self.publication.responder().filter(|responder| responder.is_good(self.now().0))
    }

    async fn another_responder(self: &Arc<Self>) -> Result<Arc<Responder>, Failure> {
        let turn = self.publication.certifying.clone().lock_owned().await;
        // Whoever had the turn before may have had it certified, or was refused.
        if let Some(responder) = self.good_responder() {
            return Ok(responder);
        }
        if let Some(refusal) = self.publication.uncertified(false) {
            return Err(refusal.into());
        }
        // What was said of an earlier attempt is not said of this one.
        self.publication.clear_uncertified();
        let app = self.clone();
        // A task of its own: who asked may leave, and the certificate that was recorded meanwhile has its key.
        let certified = tokio::spawn(async move {
            let _turn = turn;
            app.certify_responder().await.inspect_err(|failure| app.publication.set_uncertified(failure.refusal()))
        });
        certified.await.unwrap_or(Err(Failure::Inconsistent { what: "the OCSP responder" }))
    }

    /// Has another responder certified where half of this one's time is over.
    pub async fn renew_responder(&self) -> Result<(), Failure> {
        let _turn = self.publication.certifying.lock().await;
        if self.publication.responder().is_some_and(|responder| responder.is_ageing(self.now().0)) {
            self.certify_responder().await?;
        }
        Ok(())
    }

    async fn certify_responder(&self) -> Result<Arc<Responder>, Failure> {
        let key = Responder::key()?;
        let template = Template {
            profile: Profile::OcspResponder,
            subject: Subject::of_centre(format!("PTC {} OCSP Responder", self.settings.environment)),
            dns_names: Vec::new(),
            ip_addresses: Vec::new(),
            emails: Vec::new(),
            public_key: key.subject_public_key_info(),
            places: None,
        };
        let Signed { serial, der: certificate, .. } = self.certify(template).await?;
        let responder = Arc::new(Responder::new(key, certificate)?);
        self.publication.set_responder(responder.clone());
        // From its commit on it could be revoked, and nobody knew whose it is.
        if self.disown_responder(&mut *self.database.read().await?).await? {
            return Err(Refusal::unavailable().into());
        }
        log::info!(serial:% = serial, ends:% = responder.ends(); "OCSP responder certified");
        Ok(responder)
    }
}
