//! What handlers take from a request: bodies, queries, numbers, secrets and whom a certificate stands for.
//!
//! Each refuses with a problem document of its own, where axum would answer in plain text.

use std::ops::Deref;
use std::sync::Arc;

use axum::RequestPartsExt;
use axum::extract::{FromRequest, FromRequestParts, Path, Query, Request};
use axum::http::header::{AUTHORIZATION, CONTENT_TYPE};
use axum::http::request::Parts;
use http_body_util::BodyExt;
use serde::de::DeserializeOwned;

use super::JSON;
use crate::protocol::messages::{BODY_LIMIT, IDEMPOTENCY_KEY, Organisation};
use crate::protocol::request::RequestNumber;
use crate::protocol::secret::Secret;
use crate::service::app::App;
use crate::service::auth::Actor;
use crate::service::db::packages::PackageRow;
use crate::service::error::{Failure, Refusal};
use crate::service::registration::Caller;

/// How much of a body that is too large is read for the sake of its sender.
const DISCARD_LIMIT: usize = 4 * 1024 * 1024;

/// A JSON body of at most [`BODY_LIMIT`] bytes.
pub(in crate::service) struct Body<T>(pub(in crate::service) T);

impl<T: DeserializeOwned> FromRequest<Arc<App>> for Body<T> {
    type Rejection = Failure;

    async fn from_request(request: Request, _: &Arc<App>) -> Result<Self, Failure> {
        let headers = request.headers();
        let media_type = headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
        let media_type = media_type.split(';').next().unwrap_or_default().trim();
        if !media_type.eq_ignore_ascii_case(JSON) {
            return Err(Refusal::unsupported_media_type().into());
        }
        let bytes = read(request.into_body()).await?;
        // serde_json stops at 128 levels, serde at a member that stands twice.
        serde_json::from_slice(&bytes).map(Self).map_err(|error| Refusal::malformed(error).into())
    }
}

/// Reads a body up to the limit. Of a longer one nothing is kept, but some more is read, because a client that still
/// sends when the connection is closed would not see the answer (RFC 9112 §9.6).
pub(in crate::service) async fn read(mut body: axum::body::Body) -> Result<Vec<u8>, Refusal> {
    let mut bytes = Vec::new();
    let mut length = 0;
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(Refusal::malformed)?;
        let Some(data) = frame.data_ref() else { continue };
        length += data.len();
        if length <= BODY_LIMIT {
            bytes.extend_from_slice(data);
        } else if length <= DISCARD_LIMIT {
            bytes = Vec::new();
        } else {
            break;
        }
    }
    if length > BODY_LIMIT { Err(Refusal::body_too_large()) } else { Ok(bytes) }
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
pub(in crate::service) struct FromPackage(pub(in crate::service) (PackageRow, Organisation));

impl FromRequestParts<Arc<App>> for FromPackage {
    type Rejection = Failure;

    async fn from_request_parts(parts: &mut Parts, app: &Arc<App>) -> Result<Self, Failure> {
        Ok(Self(app.package_of(&bearer(parts)?).await?))
    }
}

/// The holder of the token of the request in the path.
pub(in crate::service) struct FromHolder {
    pub(in crate::service) number: RequestNumber,
    pub(in crate::service) actor: Actor,
}

impl FromRequestParts<Arc<App>> for FromHolder {
    type Rejection = Failure;

    async fn from_request_parts(parts: &mut Parts, app: &Arc<App>) -> Result<Self, Failure> {
        let token = bearer(parts)?;
        let InPath(number) = InPath::<RequestNumber>::from_request_parts(parts, app).await?;
        Ok(Self { number, actor: app.holder_of(number, &token).await? })
    }
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
