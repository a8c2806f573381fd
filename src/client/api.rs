//! The enrollment calls: blocking HTTP over TLS that trusts the package's anchor and nothing else, unless the package says
//! that the system's roots count.
//!
//! Every answer passes one gate, which tells the service's own answers from those of proxies and portals. Calls that
//! meet a passing fault are repeated a few times; all of them are safe to repeat.

mod batch;

use std::io;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::thread;
use std::time::Duration;

use rustls::{AlertDescription, CertificateError};
use serde::Serialize;
use serde::de::DeserializeOwned;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;
use ureq::http::{Response, StatusCode, header};
use ureq::tls::{Certificate, ClientCert, PrivateKey, RootCerts, TlsConfig};
use ureq::{Agent, Body};

pub use self::batch::{Answers, Keyed};
use super::exit::Exit;
use super::proxy;
use super::store::Identity;
use crate::locales::{Language, Text};
use crate::protocol::messages::{API, IDEMPOTENCY_KEY, Identity as CallerIdentity, Outcome, RequestStatus, Submission};
use crate::protocol::problem::{self, Problem};
use crate::protocol::request::{RequestNumber, State};
use crate::protocol::secret::Secret;
use crate::protocol::text::printable;

/// No answer about one request is longer; what is longer is not from the service.
const ANSWER_LIMIT: u64 = 1024 * 1024;
/// The most connections at the same time.
pub const MOST_CONNECTIONS: usize = 16;
/// How often a call is made before its fault counts as lasting.
const TRIES: u32 = 5;
/// The longest time between two tries, whatever the service asks for: a person or a batch file waits.
const LONGEST_PAUSE: Duration = Duration::from_secs(10);
/// The same where the service is well and says when our turn comes: a limit by the minute.
const LONGEST_TURN: Duration = Duration::from_secs(60);

/// Why a call did not bring the answer that was asked for.
#[derive(Debug, thiserror::Error)]
#[error("{}", self.for_log())]
pub enum ApiError {
    /// No connection, or it broke.
    Unreachable {
        /// What was called.
        url: String,
        /// Why.
        #[source]
        source: ureq::Error,
    },
    /// No answer in time.
    TimedOut {
        /// What was called.
        url: String,
    },
    /// Somebody answered who is not the service: a proxy, a portal.
    NotTheService {
        /// What was called.
        url: String,
        /// What came.
        found: String,
    },
    /// The other side's certificate does not chain up to the trust anchor, or names another host.
    Untrusted {
        /// What was called.
        url: String,
        /// Why.
        #[source]
        source: rustls::Error,
    },
    /// The other side's certificate is not valid at the time that this machine's clock shows.
    UntrustedClock {
        /// What was called.
        url: String,
        /// This machine's clock.
        here: String,
        /// The end of the certificate's validity that was missed.
        limit: String,
        /// By how many seconds.
        seconds: i64,
    },
    /// The service does not take our certificate.
    ClientCertificateRefused {
        /// What was called.
        url: String,
        /// Why.
        #[source]
        source: rustls::Error,
    },
    /// The service said no, in its own words.
    Problem(Box<Problem>),
}

impl ApiError {
    /// What happened and why; a problem brings its own words.
    pub fn text(&self) -> Option<Text> {
        Some(match self {
            Self::Unreachable { url, source } => {
                Text::new("error-unreachable").with("url", url).with("reason", plain(source))
            }
            Self::TimedOut { url } => Text::new("error-timed-out").with("url", url),
            Self::NotTheService { url, found } => {
                Text::new("error-not-the-service").with("url", url).with("found", found)
            }
            Self::Untrusted { url, source } => Text::new("error-untrusted").with("url", url).with("reason", source),
            Self::UntrustedClock { url, here, limit, seconds } => Text::new("error-untrusted-clock")
                .with("url", url)
                .with("here", here)
                .with("limit", limit)
                .with("difference", duration(*seconds)),
            Self::ClientCertificateRefused { url, source } => {
                Text::new("error-client-certificate-refused").with("url", url).with("reason", source)
            }
            Self::Problem(_) => return None,
        })
    }

    /// In English, for logs; of a problem also what support needs to find it.
    fn for_log(&self) -> String {
        match (self, self.text()) {
            (Self::Problem(problem), _) => {
                let detail = problem.detail.as_ref().unwrap_or(&problem.title);
                printable(&format!("{} {} ({detail}; {})", problem.status, problem.r#type, problem.request_id))
                    .into_owned()
            }
            (_, Some(text)) => text.to_string(),
            (_, None) => String::new(),
        }
    }

    /// Whether the service did not answer, so that another call would fare the same.
    pub fn is_no_answer(&self) -> bool {
        matches!(Exit::from(self), Exit::Unavailable | Exit::Untrusted)
    }

    /// How long to wait before the same call may succeed; `None` where it never will.
    fn pause(&self, attempt: u32, retry_after: Option<Duration>) -> Option<Duration> {
        let passing = match self {
            Self::Unreachable { .. } | Self::TimedOut { .. } | Self::NotTheService { .. } => true,
            Self::Problem(problem) => is_passing(problem.status),
            Self::Untrusted { .. } | Self::UntrustedClock { .. } | Self::ClientCertificateRefused { .. } => false,
        };
        let growing = Duration::from_millis(200) * 2_u32.pow(attempt);
        let longest = match self {
            Self::Problem(problem) if problem.status == 429 => LONGEST_TURN,
            _ => LONGEST_PAUSE,
        };
        passing.then(|| retry_after.unwrap_or(growing).max(growing).min(longest))
    }
}

/// Whether the status of a problem passes with time.
fn is_passing(status: u16) -> bool {
    matches!(status, 408 | 429 | 500 | 502 | 503 | 504)
}

/// An error of ureq without the words that ureq puts around the system's.
fn plain(error: &ureq::Error) -> String {
    match error {
        ureq::Error::Io(error) => error.to_string(),
        other => other.to_string(),
    }
}

/// A number of seconds as hours, minutes and seconds: `1 h 2 min 3 s`.
pub fn duration(seconds: i64) -> String {
    let seconds = seconds.unsigned_abs();
    let parts = [(seconds / 86_400, "d"), (seconds / 3_600 % 24, "h"), (seconds / 60 % 60, "min"), (seconds % 60, "s")];
    let shown: Vec<String> =
        parts.iter().filter(|(count, _)| *count > 0).map(|(count, unit)| format!("{count} {unit}")).collect();
    if shown.is_empty() { "0 s".to_owned() } else { shown.join(" ") }
}

/// An answer, and when the service wants to be asked again.
#[derive(Debug)]
pub struct Answer<T> {
    /// What it says.
    pub body: T,
    /// `Retry-After` (RFC 9110 §10.2.3), where it came as seconds.
    pub retry_after: Option<Duration>,
}

/// Whom a connection trusts.
#[derive(Debug, Clone, Copy)]
pub enum Trust<'a> {
    /// What chains up to this certificate (DER), and nothing else.
    Anchor(&'a [u8]),
    /// What the system trusts.
    System,
}

/// A listener of the service.
#[derive(Debug)]
pub struct Api {
    agent: Agent,
    url: String,
    language: Language,
    /// The service turned out to know no batches.
    one_by_one: AtomicBool,
}

impl Api {
    /// The public listener at `url`.
    pub fn public(url: &str, trust: Trust<'_>, language: Language) -> Self {
        Self::new(url, settings(url).tls_config(tls(trust, None)).build().new_agent(), language)
    }

    /// The secure listener at `url`, to which we authenticate with a certificate.
    ///
    /// # Errors
    /// A key that is not PEM, or a trust anchor that is not a certificate; no store and no package gives these.
    pub fn secure(url: &str, trust: Trust<'_>, identity: Identity, language: Language) -> Result<Self, ApiError> {
        let agent = match identity {
            Identity::InMemory { chain, key } => {
                let chain: Vec<_> = chain.iter().map(|der| Certificate::from_der(der).to_owned()).collect();
                let key = PrivateKey::from_pem(key.as_bytes())
                    .map_err(|source| ApiError::Unreachable { url: url.to_owned(), source })?;
                let certificate = ClientCert::new_with_certs(&chain, key);
                settings(url).tls_config(tls(trust, Some(certificate))).build().new_agent()
            }
            #[cfg(windows)]
            Identity::InStore { credentials } => {
                use ureq::unversioned::resolver::DefaultResolver;
                use ureq::unversioned::transport::{ConnectProxyConnector, Connector, TcpConnector};

                let schannel = super::schannel::SchannelConnector::new(credentials, trust)
                    .map_err(|source| tls_error(url.to_owned(), source))?;
                let connector =
                    ().chain(ConnectProxyConnector::default()).chain(TcpConnector::default()).chain(schannel);
                Agent::with_parts(settings(url).build(), connector, DefaultResolver::default())
            }
        };
        Ok(Self::new(url, agent, language))
    }

    fn new(url: &str, agent: Agent, language: Language) -> Self {
        let url = format!("{}{API}", url.trim_end_matches('/'));
        Self { agent, url, language, one_by_one: AtomicBool::new(false) }
    }

    /// Submits a request; the same key and body again bring the same answer.
    pub fn submit(&self, secret: &Secret, key: &str, submission: &Submission) -> Result<RequestStatus, ApiError> {
        let url = format!("{}/requests", self.url);
        let headers = [("Authorization", bearer(secret)), (IDEMPOTENCY_KEY, key.to_owned())];
        self.call(&url, ANSWER_LIMIT, || {
            let request =
                headers.iter().fold(self.agent.post(&url), |request, (name, value)| request.header(*name, value));
            send_json(request.header(header::ACCEPT_LANGUAGE, self.language.as_str()), submission)
        })
        .map(|answer| answer.body)
    }

    /// Where a request stands.
    pub fn status(&self, number: RequestNumber, token: &Secret) -> Result<Answer<RequestStatus>, ApiError> {
        let url = format!("{}/requests/{number}", self.url);
        self.call(&url, ANSWER_LIMIT, || {
            self.agent
                .get(&url)
                .header(header::AUTHORIZATION, bearer(token))
                .header(header::ACCEPT_LANGUAGE, self.language.as_str())
                .call()
        })
    }

    /// Tells the service that the certificate was installed or downloaded.
    pub fn report(&self, number: RequestNumber, token: &Secret, state: State) -> Result<RequestStatus, ApiError> {
        let url = format!("{}/requests/{number}/outcome", self.url);
        self.call(&url, ANSWER_LIMIT, || {
            let request = self.agent.put(&url).header(header::AUTHORIZATION, bearer(token));
            send_json(request.header(header::ACCEPT_LANGUAGE, self.language.as_str()), &Outcome { state })
        })
        .map(|answer| answer.body)
    }

    /// Who the service thinks we are.
    pub fn test(&self) -> Result<CallerIdentity, ApiError> {
        let url = format!("{}/test", self.url);
        self.call(&url, ANSWER_LIMIT, || {
            self.agent.get(&url).header(header::ACCEPT_LANGUAGE, self.language.as_str()).call()
        })
        .map(|answer| answer.body)
    }

    /// Makes a call until it is answered or its fault is a lasting one.
    fn call<T: DeserializeOwned>(
        &self,
        url: &str,
        limit: u64,
        send: impl Fn() -> Result<Response<Body>, ureq::Error>,
    ) -> Result<Answer<T>, ApiError> {
        let mut attempt = 0;
        loop {
            let (error, retry_after) = match send() {
                Ok(mut response) => {
                    let retry_after = retry_after(&response);
                    match read(url, limit, &mut response) {
                        Ok(body) => return Ok(Answer { body, retry_after }),
                        Err(error) => (error, retry_after),
                    }
                }
                Err(error) => (transport_error(url, error), None),
            };
            match error.pause(attempt, retry_after) {
                Some(pause) if attempt + 1 < TRIES => {
                    log::info!("call failed, trying again: url={url} pause={pause:?} error={error}");
                    thread::sleep(pause);
                    attempt += 1;
                }
                _ => return Err(error),
            }
        }
    }
}

/// How every connection behaves.
fn settings(url: &str) -> ureq::config::ConfigBuilder<ureq::typestate::AgentScope> {
    Agent::config_builder()
        .proxy(proxy::for_url(url))
        .https_only(true)
        // A redirect is never from the service, and must not carry a secret elsewhere.
        .max_redirects(0)
        .max_redirects_will_error(false)
        // Errors bring a problem document, which is wanted.
        .http_status_as_error(false)
        // One for each thread that sends.
        .max_idle_connections_per_host(MOST_CONNECTIONS)
        .max_idle_connections(MOST_CONNECTIONS)
        .timeout_connect(Some(Duration::from_secs(10)))
        .timeout_global(Some(Duration::from_secs(60)))
        .user_agent(concat!("ptc-enroll/", env!("CARGO_PKG_VERSION")))
}

fn tls(trust: Trust<'_>, certificate: Option<ClientCert>) -> TlsConfig {
    TlsConfig::builder()
        .unversioned_rustls_crypto_provider(Arc::new(rustls::crypto::aws_lc_rs::default_provider()))
        .root_certs(match trust {
            Trust::Anchor(anchor) => RootCerts::new_with_certs(&[Certificate::from_der(anchor).to_owned()]),
            Trust::System => RootCerts::PlatformVerifier,
        })
        .client_cert(certificate)
        .build()
}

fn bearer(secret: &Secret) -> String {
    format!("Bearer {}", secret.expose())
}

fn send_json(
    request: ureq::RequestBuilder<ureq::typestate::WithBody>,
    body: &impl Serialize,
) -> Result<Response<Body>, ureq::Error> {
    request.send_json(body)
}

fn retry_after(response: &Response<Body>) -> Option<Duration> {
    let value = response.headers().get(header::RETRY_AFTER)?.to_str().ok()?;
    value.trim().parse().ok().map(Duration::from_secs)
}

/// The gate: JSON of the expected shape, or a problem document, or not from the service.
fn read<T: DeserializeOwned>(url: &str, limit: u64, response: &mut Response<Body>) -> Result<T, ApiError> {
    let foreign = |found: String| ApiError::NotTheService { url: url.to_owned(), found };
    let status = response.status();
    if status.is_redirection() {
        let target = response.headers().get(header::LOCATION).and_then(|target| target.to_str().ok());
        return Err(foreign(format!("{status} → {}", target.unwrap_or("?"))));
    }
    let media_type = response
        .headers()
        .get(header::CONTENT_TYPE)
        .and_then(|value| value.to_str().ok())
        .and_then(|value| value.split(';').next())
        .map(|value| value.trim().to_ascii_lowercase())
        .unwrap_or_default();
    let is_problem = media_type == problem::MEDIA_TYPE;
    if !is_problem && media_type != "application/json" {
        return Err(foreign(format!("{status}, Content-Type: {media_type}")));
    }
    let content = response.body_mut().with_config().limit(limit).read_to_vec().map_err(|error| match error {
        ureq::Error::BodyExceedsLimit(limit) => foreign(format!("{status}, > {limit} bytes")),
        error => transport_error(url, error),
    })?;
    let unreadable = |error: serde_json::Error| foreign(format!("{status}, {error}"));
    if status == StatusCode::OK || status == StatusCode::CREATED {
        return serde_json::from_slice(&content).map_err(unreadable);
    }
    let problem: Problem = serde_json::from_slice(&content).map_err(unreadable)?;
    Err(ApiError::Problem(Box::new(problem)))
}

/// Whether an alert is the other side's word on our certificate (RFC 8446 §6.2, RFC 5246 §7.2.2). All others, such as that of
/// a record that was changed on its way, are faults of the connection.
fn is_about_our_certificate(alert: AlertDescription) -> bool {
    use AlertDescription as Alert;
    matches!(
        alert,
        Alert::HandshakeFailure
            | Alert::NoCertificate
            | Alert::BadCertificate
            | Alert::UnsupportedCertificate
            | Alert::CertificateRevoked
            | Alert::CertificateExpired
            | Alert::CertificateUnknown
            | Alert::UnknownCA
            | Alert::AccessDenied
            | Alert::DecryptError
            | Alert::CertificateRequired
    )
}

/// Sorts the ways in which a connection fails.
fn transport_error(url: &str, error: ureq::Error) -> ApiError {
    let url = url.to_owned();
    let tls = match &error {
        ureq::Error::Rustls(tls) => Some(tls.clone()),
        ureq::Error::Io(error) => error.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>()).cloned(),
        _ => None,
    };
    match (error, tls) {
        (_, Some(source)) => tls_error(url, source),
        (ureq::Error::Timeout(_), _) => ApiError::TimedOut { url },
        (ureq::Error::Io(error), _) if error.kind() == io::ErrorKind::TimedOut => ApiError::TimedOut { url },
        (source, _) => ApiError::Unreachable { url, source },
    }
}

fn tls_error(url: String, source: rustls::Error) -> ApiError {
    let clock = |here: u64, limit: u64| {
        let shown = |seconds: u64| {
            i64::try_from(seconds)
                .ok()
                .and_then(|seconds| OffsetDateTime::from_unix_timestamp(seconds).ok())
                .and_then(|time| time.format(&Rfc3339).ok())
                .unwrap_or_default()
        };
        let seconds = i64::try_from(here.abs_diff(limit)).unwrap_or(i64::MAX);
        ApiError::UntrustedClock { url: url.clone(), here: shown(here), limit: shown(limit), seconds }
    };
    match &source {
        rustls::Error::InvalidCertificate(CertificateError::ExpiredContext { time, not_after }) => {
            clock(time.as_secs(), not_after.as_secs())
        }
        rustls::Error::InvalidCertificate(CertificateError::NotValidYetContext { time, not_before }) => {
            clock(time.as_secs(), not_before.as_secs())
        }
        rustls::Error::InvalidCertificate(_) | rustls::Error::NoCertificatesPresented => {
            ApiError::Untrusted { url, source }
        }
        rustls::Error::AlertReceived(alert) if is_about_our_certificate(*alert) => {
            ApiError::ClientCertificateRefused { url, source }
        }
        _ => ApiError::Unreachable { url, source: ureq::Error::Rustls(source) },
    }
}
