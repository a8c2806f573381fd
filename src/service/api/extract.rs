//! What handlers take from a request: bodies, queries, numbers, secrets and whom a certificate stands for.
//!
//! Each refuses with a problem document of its own, where axum would answer in plain text.

use std::convert::Infallible;
use std::error::Error;
use std::net::IpAddr;
use std::ops::Deref;
use std::sync::Arc;
use std::{io, iter};

use axum::RequestPartsExt;
use axum::extract::{FromRequest, FromRequestParts, Path, Query, Request};
use axum::http::header::{AUTHORIZATION, CONTENT_TYPE};
use axum::http::request::Parts;
use futures_util::FutureExt;
use http_body_util::BodyExt;
use serde::de::DeserializeOwned;
use zeroize::Zeroizing;

use super::JSON;
use super::frame::{RequestId, accepted_language};
use super::places::{Place, SMALL};
use crate::locales::Language;
use crate::protocol::messages::{BODY_LIMIT, IDEMPOTENCY_KEY};
use crate::protocol::problem::ProblemCode;
use crate::protocol::request::RequestNumber;
use crate::protocol::secret::Secret;
use crate::service::app::App;
use crate::service::auth::Actor;
use crate::service::error::{Failure, Refusal};
use crate::service::listener::PeerAddress;
use crate::service::metrics::Limit;
use crate::service::registration::{Caller, Submitter};
use crate::service::request_scope;

/// How much of a body that is too large is read for the sake of its sender.
const DISCARD_LIMIT: usize = 4 * 1024 * 1024;

/// A JSON body of at most so many bytes.
pub(in crate::service) struct Body<T, const LIMIT: usize = BODY_LIMIT>(pub(in crate::service) T);

impl<T: DeserializeOwned, const LIMIT: usize> FromRequest<Arc<App>> for Body<T, LIMIT> {
    type Rejection = Failure;

    async fn from_request(request: Request, _: &Arc<App>) -> Result<Self, Failure> {
        let headers = request.headers();
        let media_type = headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
        let media_type = media_type.split(';').next().unwrap_or_default().trim();
        if !media_type.eq_ignore_ascii_case(JSON) {
            return Err(Refusal::unsupported_media_type().into());
        }
        // It may hold request tokens.
        let bytes = Zeroizing::new(read(request, LIMIT).await?);
        // serde_json stops at 128 levels, serde at a member that stands twice.
        serde_json::from_slice(&bytes).map(Self).map_err(|error| Refusal::malformed(error).into())
    }
}

/// Reads a request's body up to a limit; while it is still to come, the request gives its place away. Of a longer one nothing
/// is kept, but some more is read, because a connection whose request was read to its end can be used again.
pub(in crate::service) async fn read(request: Request, limit: usize) -> Result<Vec<u8>, Refusal> {
    let place = request.extensions().get::<Place>().cloned();
    let mut room = None;
    let mut body = request.into_body();
    let mut bytes = Vec::new();
    let mut length = 0;
    loop {
        let frame = match body.frame().now_or_never() {
            Some(frame) => frame,
            None => {
                place.iter().for_each(Place::leave);
                body.frame().await
            }
        };
        let Some(frame) = frame else { break };
        let frame = frame.map_err(not_read)?;
        let Some(data) = frame.data_ref() else { continue };
        length += data.len();
        if length <= limit {
            if let Some(place) = place.as_ref().filter(|_| length > SMALL && room.is_none()) {
                room = Some(place.room().await?);
            }
            bytes.extend_from_slice(data);
        } else if length <= DISCARD_LIMIT {
            bytes = Vec::new();
            room = None;
        } else {
            break;
        }
    }
    if length > limit {
        return Err(Refusal::body_too_large(limit));
    }
    if let Some(place) = place {
        place.take().await?;
    }
    Ok(bytes)
}

/// Why a body ended before its end.
fn not_read(error: axum::Error) -> Refusal {
    let mut causes = iter::successors(Some(&error as &(dyn Error + 'static)), |error| (*error).source());
    let is_late = |cause: &(dyn Error + 'static)| {
        cause.downcast_ref::<io::Error>().is_some_and(|error| error.kind() == io::ErrorKind::TimedOut)
    };
    if causes.any(is_late) { Refusal::request_timeout() } else { Refusal::malformed(error) }
}

/// The query of the URL.
pub(in crate::service) struct Parameters<T>(pub(in crate::service) T);

impl<T: DeserializeOwned> FromRequestParts<Arc<App>> for Parameters<T> {
    type Rejection = Failure;

    async fn from_request_parts(parts: &mut Parts, _: &Arc<App>) -> Result<Self, Failure> {
        let query = Query::try_from_uri(&parts.uri).map_err(|error| Refusal::malformed(error.body_text()))?;
        Ok(Self(query.0))
    }
}

/// The `{…}` of the path. What cannot be one does not exist.
pub(in crate::service) struct InPath<T>(pub(in crate::service) T);

impl<T: DeserializeOwned + Send + 'static> FromRequestParts<Arc<App>> for InPath<T> {
    type Rejection = Failure;

    async fn from_request_parts(parts: &mut Parts, _: &Arc<App>) -> Result<Self, Failure> {
        match parts.extract::<Path<T>>().await {
            Ok(Path(value)) => Ok(Self(value)),
            Err(_) => Err(Refusal::not_found().into()),
        }
    }
}

/// The install package whose enrollment secret came as a bearer token (RFC 6750 §2.1), and its organisation.
pub(in crate::service) struct FromPackage(pub(in crate::service) Submitter);

impl FromRequestParts<Arc<App>> for FromPackage {
    type Rejection = Failure;

    async fn from_request_parts(parts: &mut Parts, app: &Arc<App>) -> Result<Self, Failure> {
        let found = app.submitter(&bearer(parts)?).await;
        let found = parts.extract_with_state::<FromAddress, _>(app).await?.judge(found)?;
        request_scope::asked_by(Actor::PACKAGE);
        Ok(Self(found))
    }
}

/// The request in the path, and the token that came for it (RFC 6750 §2.1).
pub(in crate::service) struct FromHolder {
    pub(in crate::service) number: RequestNumber,
    pub(in crate::service) token: Secret,
}

impl FromRequestParts<Arc<App>> for FromHolder {
    type Rejection = Failure;

    async fn from_request_parts(parts: &mut Parts, app: &Arc<App>) -> Result<Self, Failure> {
        let token = bearer(parts)?;
        let InPath(number) = InPath::<RequestNumber>::from_request_parts(parts, app).await?;
        Ok(Self { number, token })
    }
}

/// Where secrets and tokens come from.
pub(in crate::service) struct FromAddress {
    app: Arc<App>,
    address: Option<IpAddr>,
}

impl FromRequestParts<Arc<App>> for FromAddress {
    type Rejection = Failure;

    async fn from_request_parts(parts: &mut Parts, app: &Arc<App>) -> Result<Self, Failure> {
        let address = parts.extensions.get().map(|PeerAddress(peer)| peer.ip());
        Ok(Self { app: app.clone(), address })
    }
}

impl FromAddress {
    /// What became of credentials: where they were wrong, and the address sends one after the other, the order to wait.
    pub(in crate::service) fn judge<T>(&self, outcome: Result<T, Failure>) -> Result<T, Failure> {
        if is_wrong(&outcome) {
            self.note_wrong(1)?;
        }
        outcome
    }

    /// The same of a request's token, which makes whoever has it its holder.
    pub(in crate::service) fn judge_token<T>(&self, outcome: Result<T, Failure>) -> Result<T, Failure> {
        let good = self.judge(outcome)?;
        request_scope::asked_by(Actor::REQUEST_HOLDER);
        Ok(good)
    }

    /// The same of many requests' tokens, of which each wrong one counts. Where they are too many, they are told to wait in
    /// their places, so that the right ones beside them are not; a call without a right one is told so as a whole.
    pub(in crate::service) fn judge_tokens<T>(
        &self,
        outcomes: Vec<Result<T, Failure>>,
    ) -> Result<Vec<Result<T, Failure>>, Failure> {
        let wrong = outcomes.iter().filter(|outcome| is_wrong(outcome)).count();
        let noted = self.note_wrong(wrong);
        if wrong == outcomes.len() {
            noted?;
            return Ok(outcomes);
        }
        request_scope::asked_by(Actor::REQUEST_HOLDER);
        let Err(wait) = noted else { return Ok(outcomes) };
        let told = |outcome| if is_wrong(&outcome) { Err(wait.clone().into()) } else { outcome };
        Ok(outcomes.into_iter().map(told).collect())
    }

    /// Notes so many wrong secrets or tokens, or gives the order to wait.
    fn note_wrong(&self, count: usize) -> Result<(), Refusal> {
        let Some(address) = self.address.filter(|_| count > 0) else { return Ok(()) };
        let count = u32::try_from(count).unwrap_or(u32::MAX);
        self.app.admission.wrong_credentials(address, count).map_err(|wait| {
            self.app.metrics.limited(Limit::WrongCredentials);
            Refusal::too_many_requests(wait)
        })
    }
}

/// Whether an outcome is that of a secret or token that nobody has.
fn is_wrong<T>(outcome: &Result<T, Failure>) -> bool {
    outcome
        .as_ref()
        .is_err_and(|failure| matches!(failure.refusal().code(), ProblemCode::Unauthenticated | ProblemCode::NotFound))
}

/// The secret in the header; a malformed one is none.
fn bearer(parts: &Parts) -> Result<Secret, Refusal> {
    let value = parts.headers.get(AUTHORIZATION).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let (scheme, token) = value.split_once(' ').unwrap_or_default();
    match Secret::parse(token) {
        Ok(secret) if scheme.eq_ignore_ascii_case("bearer") => Ok(secret),
        _ => Err(Refusal::unauthenticated()),
    }
}

/// What problem documents inside an answer need: the caller's language, and the id under which the request is logged.
pub(in crate::service) struct FromFrame {
    pub(in crate::service) language: Language,
    pub(in crate::service) request_id: String,
}

impl FromRequestParts<Arc<App>> for FromFrame {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &Arc<App>) -> Result<Self, Infallible> {
        let request_id = parts.extensions.get::<RequestId>().map(|id| id.0.clone()).unwrap_or_default();
        Ok(Self { language: accepted_language(&parts.headers), request_id })
    }
}

/// The client's idempotency key, if it sent one.
pub(in crate::service) struct IdempotencyKey(pub(in crate::service) Option<String>);

impl FromRequestParts<Arc<App>> for IdempotencyKey {
    type Rejection = Failure;

    async fn from_request_parts(parts: &mut Parts, _: &Arc<App>) -> Result<Self, Failure> {
        // A value that is not text is no key; which ones are is decided with the submission.
        let value = parts.headers.get(IDEMPOTENCY_KEY);
        Ok(Self(value.map(|value| value.to_str().unwrap_or_default().to_owned())))
    }
}

/// Whom the client's certificate stands for. The secure listener's guard put it there.
#[derive(Clone)]
pub(in crate::service) struct FromCaller(pub(in crate::service) Arc<Caller>);

impl Deref for FromCaller {
    type Target = Caller;

    fn deref(&self) -> &Caller {
        &self.0
    }
}

impl FromRequestParts<Arc<App>> for FromCaller {
    type Rejection = Failure;

    async fn from_request_parts(parts: &mut Parts, _: &Arc<App>) -> Result<Self, Failure> {
        parts.extensions.get::<Self>().cloned().ok_or_else(|| Refusal::unauthenticated().into())
    }
}
