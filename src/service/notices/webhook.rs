//! Events on their way to other programs, signed so that nobody else can send them.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use aws_lc_rs::hmac;
use serde::Serialize;
use time::OffsetDateTime;
use ureq::tls::{RootCerts, TlsConfig};
use ureq::{Agent, Proxy};

use super::lane::{LaneError, Undelivered};
use super::settings::Webhook;
use crate::protocol::request::{Kind, RequestNumber, State};
use crate::protocol::secret::hex;
use crate::service::config::is_loopback;
use crate::service::db::outbox::EntryRow;
use crate::service::db::requests::RequestRow;
use crate::service::files::read_secret_text;

/// The header with time and signature: `t=<seconds since 1970>,v1=<HMAC-SHA256 of "t.body" in hexadecimal digits>`.
pub const SIGNATURE: &str = "Ptc-Enroll-Signature";
/// The header with the event's id, the same whenever the event is sent again.
pub const EVENT_ID: &str = "Ptc-Enroll-Event-Id";

/// How many characters a secret has at least, so that nobody finds it by trying.
const SECRET_LENGTH: usize = 32;
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
const TIMEOUT: Duration = Duration::from_secs(10);

/// What a webhook is told: where a request stands now, without secrets and without what its requester said.
#[derive(Debug, Serialize)]
pub struct Event<'a> {
    event: String,
    number: RequestNumber,
    organisation: &'a str,
    kind: Kind,
    state: State,
    common_name: &'a str,
    #[serde(with = "time::serde::rfc3339")]
    at: OffsetDateTime,
}

impl<'a> From<&'a RequestRow> for Event<'a> {
    fn from(row: &'a RequestRow) -> Self {
        Self {
            event: format!("request.{}", row.state),
            number: row.number,
            organisation: &row.organisation,
            kind: row.kind,
            state: row.state,
            common_name: &row.common_name,
            at: row.decided_at.unwrap_or(row.submitted_at).0,
        }
    }
}

/// The way to a webhook. The key shows nothing of itself.
#[derive(Debug)]
pub(super) struct Hook {
    pub(super) url: String,
    key: hmac::Key,
    agent: Agent,
}

impl Hook {
    /// A way to a webhook of the settings.
    pub(super) fn new(webhook: &Webhook, home: &Path) -> Result<Self, LaneError> {
        let path = home.join(&webhook.secret_file);
        let secret = read_secret_text(&path)?;
        if secret.len() < SECRET_LENGTH {
            return Err(LaneError::ShortSecret { path });
        }
        let tls = TlsConfig::builder()
            .unversioned_rustls_crypto_provider(Arc::new(rustls::crypto::aws_lc_rs::default_provider()))
            .root_certs(RootCerts::PlatformVerifier)
            .build();
        let here = webhook.url.parse::<ureq::http::Uri>().is_ok_and(|uri| uri.host().is_some_and(is_loopback));
        let agent = Agent::config_builder()
            .tls_config(tls)
            .proxy(if here { None } else { Proxy::try_from_env() })
            // What is signed for one place goes to no other.
            .max_redirects(0)
            .max_redirects_will_error(false)
            .http_status_as_error(false)
            .timeout_connect(Some(CONNECT_TIMEOUT))
            .timeout_global(Some(TIMEOUT))
            .user_agent(concat!("ptc-enrollment/", env!("CARGO_PKG_VERSION")))
            .build()
            .new_agent();
        Ok(Self { url: webhook.url.clone(), key: hmac::Key::new(hmac::HMAC_SHA256, secret.as_bytes()), agent })
    }

    /// Posts an event.
    pub(super) fn send(&self, entry: &EntryRow, now: OffsetDateTime) -> Result<(), Undelivered> {
        let answer = self
            .agent
            .post(&self.url)
            .header(SIGNATURE, self.signature(now.unix_timestamp(), &entry.payload))
            .header(EVENT_ID, &entry.event)
            .content_type("application/json")
            .send(&entry.payload)
            .map_err(|error| Undelivered::Unanswered(error.to_string()))?;
        match answer.status() {
            status if status.is_success() => Ok(()),
            status => Err(Undelivered::Refused(status.to_string())),
        }
    }

    /// The time is signed too, so that what is played back later can be told apart.
    fn signature(&self, at: i64, body: &str) -> String {
        let tag = hmac::sign(&self.key, format!("{at}.{body}").as_bytes());
        format!("t={at},v1={}", hex(tag.as_ref()))
    }
}
