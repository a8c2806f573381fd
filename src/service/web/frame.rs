//! What surrounds every page: who looks, for which organisation, in which language; and refusals as pages.

use std::sync::Arc;

use askama::Template;
use axum::RequestPartsExt;
use axum::body::Body;
use axum::extract::{FromRequestParts, Request};
use axum::http::Method;
use axum::http::header::{
    ALLOW, CONTENT_LANGUAGE, CONTENT_SECURITY_POLICY, CONTENT_TYPE, COOKIE, HeaderMap, HeaderValue, REFERRER_POLICY,
    RETRY_AFTER, SET_COOKIE,
};
use axum::http::request::Parts;
use axum::middleware::Next;
use axum::response::{IntoResponse, Redirect, Response};

use super::fields::Posted;
use super::shown;
use crate::locales::{self, Language, Text};
use crate::protocol::messages::{API, Manager};
use crate::protocol::request::Role;
use crate::service::api::extract::FromCaller;
use crate::service::api::frame::{Failed, RequestId, accepted_language};
use crate::service::app::App;
use crate::service::auth::{Action, Actor, Object};
use crate::service::error::{Failure, Refusal};
use crate::service::registration::Maker;

/// Everything from here, nothing inline; forms go nowhere else.
const POLICY: &str = "default-src 'none'; style-src 'self'; script-src 'self'; connect-src 'self'; \
                      img-src 'self' data:; form-action 'self'; base-uri 'none'; frame-ancestors 'none'";

/// The cookie that holds the chosen language; nothing else is kept in the browser.
const LANGUAGE: &str = "__Host-language";

/// Who looks at a page, and what stands around it.
pub(super) struct Viewer {
    pub(super) actor: Actor,
    pub(super) manager: Manager,
    /// The serial number of the certificate that they show.
    certificate: String,
    /// The organisation's name; of a PTC manager, who acts for all, none.
    pub(super) organisation: Option<String>,
    pub(super) environment: String,
    pub(super) language: Language,
    /// The path of the page, with its query.
    pub(super) path: String,
}

impl FromRequestParts<Arc<App>> for Viewer {
    type Rejection = Failure;

    async fn from_request_parts(parts: &mut Parts, app: &Arc<App>) -> Result<Self, Failure> {
        let caller = parts.extract_with_state::<FromCaller, _>(app).await?;
        let Actor::Manager(manager) = &caller.actor else {
            // Refused as everything that is not a manager's, and recorded.
            app.allow(&caller.actor, Action::ListRequests, &Object::Everything).await?;
            return Err(Refusal::forbidden(Text::new("forbidden-not-a-manager")).into());
        };
        let organisation = match &manager.organisation {
            Some(code) => Some(app.organisation_name(code).await?),
            None => None,
        };
        Ok(Self {
            actor: caller.actor.clone(),
            manager: manager.clone(),
            certificate: caller.maker().certificate.unwrap_or_default().to_owned(),
            organisation,
            environment: app.settings().environment.clone(),
            language: language(&parts.headers),
            // Where a form was posted to, no link leads: its section stands for it.
            path: match parts.method {
                Method::GET => parts.uri.path_and_query().map(ToString::to_string).unwrap_or_default(),
                _ => parts.uri.path().split('/').nth(1).map(|section| format!("/{section}")).unwrap_or_default(),
            },
        })
    }
}

impl Viewer {
    /// The same as somebody who makes a bulk decision.
    pub(super) fn maker(&self) -> Maker<'_> {
        Maker { actor: &self.actor, certificate: Some(&self.certificate) }
    }

    /// A text of the catalogues.
    pub(super) fn say(&self, id: &'static str) -> String {
        Text::new(id).in_language(self.language)
    }

    /// A text with one thing put in.
    pub(super) fn say_of(&self, id: &'static str, name: &'static str, value: impl std::fmt::Display) -> String {
        Text::new(id).with(name, value).in_language(self.language)
    }

    /// A text that depends on a number.
    pub(super) fn count(&self, id: &'static str, count: usize) -> String {
        let count = i64::try_from(count).unwrap_or(i64::MAX);
        Text::new(id).with_number("count", count).with("shown", self.number(count)).in_language(self.language)
    }

    pub(super) fn number(&self, number: i64) -> String {
        shown::number(number, self.language)
    }

    /// Whether a page of the PTC manager's is shown in the navigation.
    pub(super) fn is_ptc(&self) -> bool {
        self.manager.role == Role::PtcManager
    }

    pub(super) fn role(&self) -> String {
        locales::role(self.manager.role).in_language(self.language)
    }

    pub(super) fn at(&self, section: &str) -> bool {
        self.path == section
            || self.path.starts_with(&format!("{section}/"))
            || self.path.starts_with(&format!("{section}?"))
    }

    /// The page in this frame.
    pub(super) fn page(&self, template: &impl Template) -> Result<Response, Failure> {
        let html = template.render().map_err(|_| Failure::Inconsistent { what: "a page" })?;
        Ok(html_response(html, self.language))
    }
}

fn html_response(html: String, language: Language) -> Response {
    let mut response = Response::new(Body::from(html));
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("text/html; charset=utf-8"));
    headers.insert(CONTENT_SECURITY_POLICY, HeaderValue::from_static(POLICY));
    // With `no-referrer` browsers would send `Origin: null` along with forms (Fetch, "append a request Origin header").
    headers.insert(REFERRER_POLICY, HeaderValue::from_static("same-origin"));
    headers.insert(CONTENT_LANGUAGE, HeaderValue::from_static(language.as_str()));
    response
}

/// The language that was chosen, else the first that browser and service both speak.
fn language(headers: &HeaderMap) -> Language {
    let cookies = headers.get_all(COOKIE).iter().filter_map(|value| value.to_str().ok());
    let chosen = cookies
        .flat_map(|cookies| cookies.split(';'))
        .filter_map(|cookie| cookie.trim().split_once('='))
        .find_map(|(name, value)| (name == LANGUAGE).then(|| value.parse().ok())?);
    chosen.unwrap_or_else(|| accepted_language(headers))
}

/// Notes the language that was chosen, and goes back to the page.
pub(super) async fn choose_language(_: Viewer, Posted(fields): Posted) -> Result<Response, Failure> {
    let language: Language = fields.word("language").unwrap_or_default();
    // Only a path of this service, not one that a browser would take for another host.
    let back = fields.value("back").filter(|path| path.starts_with('/') && !path[1..].starts_with(['/', '\\']));
    let cookie = format!("{LANGUAGE}={language}; Path=/; Secure; HttpOnly; SameSite=Strict; Max-Age=31536000");
    Ok(([(SET_COOKIE, cookie)], Redirect::to(back.unwrap_or("/"))).into_response())
}

#[derive(Template)]
#[template(path = "refused.html", config = ".askama.toml")]
struct Refused {
    language: Language,
    title: String,
    detail: String,
    hint: String,
    request_id: String,
    findings: Vec<String>,
    labels: [String; 2],
}

/// Shows refusals and failures of pages as pages; the API's stay problem documents.
pub(in crate::service) async fn present(request: Request, next: Next) -> Response {
    if request.uri().path().starts_with(API) {
        return next.run(request).await;
    }
    let language = language(request.headers());
    let id = request.extensions().get::<RequestId>().cloned();
    let response = next.run(request).await;
    let Some(Failed(failure)) = response.extensions().get::<Failed>() else { return response };
    let refusal = failure.refusal();
    failure.log();
    let page = Refused {
        language,
        title: refusal.text().title(language).unwrap_or_default(),
        detail: refusal.text().in_language(language),
        hint: refusal.text().hint(language).unwrap_or_default(),
        request_id: id.map(|id| id.0).unwrap_or_default(),
        findings: refusal.findings().iter().map(|finding| shown::finding(finding, language)).collect(),
        labels: ["refused-request-id", "nav-home"].map(|id| Text::new(id).in_language(language)),
    };
    let mut html = html_response(page.render().unwrap_or_default(), language);
    *html.status_mut() = response.status();
    // For whoever counts problems.
    html.extensions_mut().insert(refusal.code());
    for name in [ALLOW, RETRY_AFTER] {
        if let Some(value) = response.headers().get(&name) {
            html.headers_mut().insert(name, value.clone());
        }
    }
    html
}
