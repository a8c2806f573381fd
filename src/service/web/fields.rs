//! The fields of a form, as a browser sends them.

use std::str::FromStr;
use std::sync::Arc;

use axum::extract::{FromRequest, FromRequestParts, Request};
use axum::http::header::{CONTENT_TYPE, ORIGIN};
use axum::http::request::Parts;

use crate::protocol::messages::BODY_LIMIT;
use crate::service::api::extract::read;
use crate::service::api::frame::SEC_FETCH_SITE;
use crate::service::app::App;
use crate::service::error::{Failure, Refusal};

const FORM: &str = "application/x-www-form-urlencoded";

/// Names and values, in order; a name may stand several times.
#[derive(Debug, Default)]
pub(super) struct Fields(Vec<(String, String)>);

impl Fields {
    fn parse(encoded: &[u8]) -> Self {
        Self(form_urlencoded::parse(encoded).into_owned().collect())
    }

    /// All of them.
    pub(super) fn iter(&self) -> impl Iterator<Item = &(String, String)> {
        self.0.iter()
    }

    /// The value of a field without white space around it; one that is empty was not filled in.
    pub(super) fn value(&self, name: &str) -> Option<&str> {
        self.all(name).next()
    }

    /// The values of a field that stands several times.
    pub(super) fn all(&self, name: &str) -> impl Iterator<Item = &str> {
        self.0.iter().filter(move |(known, _)| known == name).map(|(_, value)| value.trim()).filter(|it| !it.is_empty())
    }

    /// The text of a field, empty where there is none.
    pub(super) fn text(&self, name: &str) -> String {
        self.value(name).unwrap_or_default().to_owned()
    }

    /// The word of a field, where it is one of those that its type knows.
    pub(super) fn word<T: FromStr>(&self, name: &str) -> Option<T> {
        self.value(name)?.parse().ok()
    }

    /// The fields with some replaced or, by an empty value, left out, as a query.
    pub(super) fn query_with(&self, changes: &[(&str, &str)]) -> String {
        let mut query = form_urlencoded::Serializer::new(String::from("?"));
        let kept = self.0.iter().filter(|(name, _)| changes.iter().all(|(changed, _)| changed != name));
        let kept = kept.map(|(name, value)| (name.as_str(), value.as_str()));
        for (name, value) in kept.chain(changes.iter().copied()).filter(|(_, value)| !value.is_empty()) {
            query.append_pair(name, value);
        }
        query.finish()
    }
}

/// The fields of a form that was posted.
///
/// A form can be sent by any site, so that besides the guard's refusal of what comes from others, one that does not
/// say where it comes from is refused too; browsers always say it.
pub(super) struct Posted(pub(super) Fields);

impl FromRequest<Arc<App>> for Posted {
    type Rejection = Failure;

    async fn from_request(request: Request, _: &Arc<App>) -> Result<Self, Failure> {
        let headers = request.headers();
        if !headers.contains_key(SEC_FETCH_SITE) && !headers.contains_key(ORIGIN) {
            return Err(Refusal::cross_site().into());
        }
        let media_type = headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
        if !media_type.split(';').next().unwrap_or_default().trim().eq_ignore_ascii_case(FORM) {
            return Err(Refusal::unsupported_media_type().into());
        }
        Ok(Self(Fields::parse(&read(request, BODY_LIMIT).await?)))
    }
}

/// The fields of the address bar.
pub(super) struct Asked(pub(super) Fields);

impl FromRequestParts<Arc<App>> for Asked {
    type Rejection = Failure;

    async fn from_request_parts(parts: &mut Parts, _: &Arc<App>) -> Result<Self, Failure> {
        Ok(Self(Fields::parse(parts.uri.query().unwrap_or_default().as_bytes())))
    }
}
