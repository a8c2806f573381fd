//! Letters on their way to the mail server.

use std::fmt;
use std::path::Path;
use std::time::{Duration, SystemTime};

use lettre::message::Mailbox;
use lettre::message::header::{ContentType, HeaderName, HeaderValue};
use lettre::transport::smtp::authentication::Credentials;
use lettre::transport::smtp::client::{Tls, TlsParameters};
use lettre::transport::smtp::extension::ClientId;
use lettre::transport::smtp::response::Category;
use lettre::transport::smtp::{PoolConfig, SMTP_PORT, SUBMISSION_PORT, SUBMISSIONS_PORT, SmtpTransport};
use lettre::{Message, Transport};

use super::lane::{LaneError, Undelivered};
use super::letter::Letter;
use super::settings::{Mail, Security};
use crate::service::db::outbox::EntryRow;
use crate::service::files::read_secret_text;

/// How long the server may take for each answer: some look into a letter before they take it, and a letter that was taken
/// after we gave up would come twice. A service that stops waits that long at most.
const PATIENCE: Duration = Duration::from_secs(60);
/// How long a connection is kept for the next letter.
const IDLE: Duration = Duration::from_secs(10);

/// The way to the mail server.
pub(super) struct Mailer {
    transport: SmtpTransport,
    from: Mailbox,
    host: String,
}

impl Mailer {
    /// A way to the server of the settings, for a service that is called `host`.
    pub(super) fn new(mail: &Mail, home: &Path, host: &str) -> Result<Self, LaneError> {
        let tls = || TlsParameters::new(mail.server.clone()).map_err(LaneError::Mail);
        let (tls, port) = match mail.security {
            Security::Tls => (Tls::Wrapper(tls()?), SUBMISSIONS_PORT),
            Security::StartTls => (Tls::Required(tls()?), SUBMISSION_PORT),
            Security::None => (Tls::None, SMTP_PORT),
        };
        let mut builder = SmtpTransport::builder_dangerous(&mail.server)
            .port(mail.port.unwrap_or(port))
            .tls(tls)
            .hello_name(ClientId::Domain(host.to_owned()))
            .timeout(Some(PATIENCE))
            .pool_config(PoolConfig::new().max_size(1).idle_timeout(IDLE));
        if let (Some(user), Some(file)) = (&mail.user, &mail.password_file) {
            let password = read_secret_text(&home.join(file))?;
            builder = builder.credentials(Credentials::new(user.clone(), password.to_string()));
        }
        Ok(Self { transport: builder.build(), from: mail.from.clone(), host: host.to_owned() })
    }

    /// Hands a letter to the server.
    pub(super) fn send(&self, entry: &EntryRow) -> Result<(), Undelivered> {
        let message = self.message(entry).map_err(|cause| Undelivered::Refused(cause.to_string()))?;
        self.transport.send(&message).map(drop).map_err(|error| match error.status() {
            // About this letter or its receiver (RFC 5321 §4.2.1); the next one may pass.
            Some(code) if code.category == Category::MailSystem => Undelivered::Refused(error.to_string()),
            _ => Undelivered::Unanswered(error.to_string()),
        })
    }

    fn message(&self, entry: &EntryRow) -> Result<Message, Box<dyn std::error::Error>> {
        let letter: Letter = serde_json::from_str(&entry.payload)?;
        let happened = entry.created_at.0;
        let mut message = Message::builder()
            .from(self.from.clone())
            .to(Mailbox::new(None, entry.receiver.parse()?))
            .subject(letter.subject)
            .date(SystemTime::from(happened))
            // The same at every attempt, so that a letter that did arrive is not shown twice.
            .message_id(Some(format!("<{}.{}@{}>", entry.event, entry.id, self.host)))
            .header(ContentType::TEXT_PLAIN)
            .body(letter.body)?;
        // No answers from those who are away (RFC 3834 §5).
        let name = HeaderName::new_from_ascii_str("Auto-Submitted");
        message.headers_mut().insert_raw(HeaderValue::new(name, "auto-generated".to_owned()));
        Ok(message)
    }
}

/// Not derived: the transport holds the password.
impl fmt::Debug for Mailer {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Mailer").field("from", &self.from).finish_non_exhaustive()
    }
}
