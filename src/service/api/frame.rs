//! What surrounds every handler: the request id, the log line, problem documents, security headers; on the secure
//! listener the guard at the door.

use std::hash::{BuildHasher, RandomState};
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, LazyLock};
use std::time::{Duration, Instant};

use axum::body::Body;
use axum::extract::{MatchedPath, Request, State};
use axum::http::header::{
    ACCEPT_LANGUAGE, CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, DATE, HeaderName, HeaderValue, ORIGIN,
    REFERRER_POLICY, RETRY_AFTER, WWW_AUTHENTICATE, X_CONTENT_TYPE_OPTIONS, X_FRAME_OPTIONS,
};
use axum::http::{HeaderMap, Method, StatusCode};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use hyper::body::Body as _;

use super::extract::FromCaller;
use crate::locales::Language;
use crate::protocol::problem::{MEDIA_TYPE, ProblemCode};
use crate::protocol::secret::hex;
use crate::service::app::App;
use crate::service::error::{Failure, Refusal};
use crate::service::listener::{ListenerName, PeerAddress, PeerCertificate};
use crate::service::metrics::{Answered, Asked};
use crate::service::request_scope;

/// Where the answer says under which id the service logged the request.
const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
pub(in crate::service) const SEC_FETCH_SITE: &str = "sec-fetch-site";

/// On every answer. Nothing is to be cached, framed, guessed at or told to other sites.
const HEADERS: [(HeaderName, &str); 6] = [
    (HeaderName::from_static("cross-origin-resource-policy"), "same-origin"),
    (CACHE_CONTROL, "no-store"),
    (X_CONTENT_TYPE_OPTIONS, "nosniff"),
    (X_FRAME_OPTIONS, "DENY"),
    (REFERRER_POLICY, "no-referrer"),
    (CONTENT_SECURITY_POLICY, "default-src 'none'; frame-ancestors 'none'"),
];

/// A failure on its way from a handler to [`frame`], which knows the caller's language and the request id.
#[derive(Clone)]
pub(in crate::service) struct Failed(pub(in crate::service) Arc<Failure>);

/// The id under which a request is logged.
#[derive(Clone)]
pub(in crate::service) struct RequestId(pub(in crate::service) String);

impl IntoResponse for Failure {
    fn into_response(self) -> Response {
        let mut response = Response::new(Body::empty());
        let refusal = self.refusal();
        *response.status_mut() = status(refusal.code());
        if let Some(seconds) = refusal.retry_after() {
            response.headers_mut().insert(RETRY_AFTER, HeaderValue::from(seconds));
        }
        response.extensions_mut().insert(Failed(Arc::new(self)));
        response
    }
}

/// What surrounds the requests of a listener.
#[derive(Clone)]
pub(in crate::service) struct Frame {
    app: Arc<App>,
    listener: ListenerName,
}

impl Frame {
    pub(in crate::service) const fn new(app: Arc<App>, listener: ListenerName) -> Self {
        Self { app, listener }
    }
}

/// Surrounds every request.
///
/// Only the peer's own address is believed, and no id that comes along: `X-Forwarded-For`, `X-Request-Id` and their like
/// are text that anybody can send.
pub(in crate::service) async fn frame(State(frame): State<Frame>, request: Request, next: Next) -> Response {
    let id = request_id();
    request_scope::within(id.clone(), answer(frame, request, next, id)).await
}

async fn answer(frame: Frame, mut request: Request, next: Next, id: String) -> Response {
    let started = Instant::now();
    request.extensions_mut().insert(RequestId(id.clone()));
    let language = accepted_language(request.headers());
    let peer = request.extensions().get::<PeerAddress>().map(|peer| peer.0);
    let route = request.extensions().get::<MatchedPath>().cloned();
    let asked = Asked::new(frame.listener, route, request.method());

    let mut response = next.run(request).await;

    let mut problem = response.extensions_mut().remove::<ProblemCode>();
    if let Some(Failed(failure)) = response.extensions_mut().remove::<Failed>() {
        let refusal = failure.refusal();
        failure.log();
        write_problem(&mut response, &refusal, language, &id);
        problem = Some(refusal.code());
    }
    let headers = response.headers_mut();
    for (name, value) in HEADERS {
        headers.entry(name).or_insert(HeaderValue::from_static(value));
    }
    if let Ok(id) = HeaderValue::from_str(&id) {
        headers.insert(REQUEST_ID, id);
    }
    // What serves HTTP remembers one, which stays ahead where the clock is set back (RFC 9110 §6.6.1).
    if let Ok(date) = HeaderValue::try_from(httpdate::fmt_http_date(frame.app.now().0.into())) {
        headers.insert(DATE, date);
    }
    let duration = started.elapsed();
    let answered = Answered { asked, code: response.status().as_u16() };
    frame.app.metrics.answered(&answered, duration, problem);
    log_access(&frame, &answered, duration, peer, &response);
    response
}

/// One line for every request, without path or query: a search may hold a person's name, and a token that strayed into a
/// path is still a secret. What looks in every few seconds is a detail.
fn log_access(frame: &Frame, answered: &Answered, duration: Duration, peer: Option<SocketAddr>, response: &Response) {
    let level = match frame.listener {
        ListenerName::Operations => log::Level::Debug,
        ListenerName::Public | ListenerName::Secure | ListenerName::Plain => log::Level::Info,
    };
    log::log!(
        level,
        listener = frame.listener.as_str(),
        method = answered.asked.method(),
        route = answered.asked.route(),
        code = answered.code,
        // Whole microseconds.
        duration_ms = duration.as_micros() as f64 / 1000.0,
        bytes = response.body().size_hint().exact().unwrap_or_default(),
        peer:% = peer.map_or_else(String::new, |peer| peer.to_string()),
        actor = request_scope::actor();
        "answered"
    );
}

fn write_problem(response: &mut Response, refusal: &Refusal, language: Language, id: &str) {
    let problem = refusal.problem(language, id);
    // A document of strings always becomes JSON.
    *response.body_mut() = Body::from(serde_json::to_vec(&problem).unwrap_or_default());
    *response.status_mut() = status(refusal.code());
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(MEDIA_TYPE));
    if refusal.code() == ProblemCode::Unauthenticated {
        headers.insert(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
    }
}

fn status(code: ProblemCode) -> StatusCode {
    StatusCode::from_u16(code.status()).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR)
}

/// The first language of `Accept-Language` that is spoken here.
pub(in crate::service) fn accepted_language(headers: &HeaderMap) -> Language {
    let accepted = headers.get(ACCEPT_LANGUAGE).and_then(|value| value.to_str().ok());
    accepted.map(Language::first_spoken).unwrap_or_default()
}

/// 64 bits: enough to find one request in a log. They tell nobody how many requests others have made.
fn request_id() -> String {
    static COUNT: AtomicU64 = AtomicU64::new(0);
    // Keys that this process alone has. To draw each id took 2 % of what an OCSP answer takes.
    static KEYS: LazyLock<RandomState> = LazyLock::new(RandomState::new);
    hex(&KEYS.hash_one(COUNT.fetch_add(1, Ordering::Relaxed)).to_be_bytes())
}

/// The door of the secure listener: no page of another site sends through a manager's browser, and whoever comes shows
/// a certificate that is good at this moment, not merely at the handshake.
pub(in crate::service) async fn guard(State(app): State<Arc<App>>, mut request: Request, next: Next) -> Response {
    if cross_site(&request, &app.settings().secure_url) {
        return Failure::from(Refusal::cross_site()).into_response();
    }
    let Some(PeerCertificate(certificate)) = request.extensions().get().cloned() else {
        return Failure::from(Refusal::unauthenticated()).into_response();
    };
    match app.identify(&certificate).await {
        Ok(caller) => {
            request_scope::asked_by(caller.actor.sort());
            request.extensions_mut().insert(FromCaller(Arc::new(caller)));
            next.run(request).await
        }
        Err(failure) => failure.into_response(),
    }
}

/// Whether a browser asks on behalf of another site (Fetch Metadata; Origin, RFC 6454 §7). Programs send neither header.
fn cross_site(request: &Request, own: &str) -> bool {
    let header = |name: &str| request.headers().get(name).map(|value| value.to_str().unwrap_or("null"));
    let foreign_fetch = header(SEC_FETCH_SITE).is_some_and(|site| !matches!(site, "same-origin" | "none"));
    if matches!(*request.method(), Method::GET | Method::HEAD | Method::OPTIONS) {
        // A link may lead here; a page of another site loads nothing from here, which would be recorded as the manager's.
        let link = header("sec-fetch-mode") == Some("navigate") && header("sec-fetch-dest") == Some("document");
        return foreign_fetch && !link;
    }
    let origin = |url: &str| url.strip_suffix(":443").unwrap_or(url).to_ascii_lowercase();
    let foreign_origin = header(ORIGIN.as_str()).is_some_and(|sent| origin(sent) != origin(own));
    foreign_fetch || foreign_origin
}

/// For paths that lead nowhere.
pub(in crate::service) async fn not_found() -> Failure {
    Refusal::not_found().into()
}

/// For paths that exist with another method.
pub(in crate::service) async fn method_not_allowed() -> Failure {
    Refusal::method_not_allowed().into()
}
