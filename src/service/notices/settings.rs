//! The settings of notices, as they stand in `enrollment.toml`. Secrets are files, read when the service starts.

use std::net::IpAddr;
use std::path::PathBuf;

use lettre::message::Mailbox;
use serde::{Deserialize, Serialize};
use ureq::http::Uri;

use crate::locales::{Language, Text};
use crate::service::config::{SettingsError, host, is_loopback};

/// How people are written to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Mail {
    /// The SMTP server's host name.
    pub server: String,
    /// Its port; without it, the usual one for `security`.
    #[serde(default)]
    pub port: Option<u16>,
    /// How the connection is protected.
    #[serde(default)]
    pub security: Security,
    /// The account on the server, if it asks for one.
    #[serde(default)]
    pub user: Option<String>,
    /// The file with that account's password; relative to the home.
    #[serde(default)]
    pub password_file: Option<PathBuf>,
    /// Whom letters come from: an address, or a name with an address in angle brackets.
    pub from: Mailbox,
    /// The language of letters to requesters, of whom no language is known.
    #[serde(default)]
    pub language: Language,
    /// After how many days managers are reminded of a pending request, again and again; 0 for never.
    #[serde(default = "reminder_days")]
    pub reminder_days: u16,
}

const fn reminder_days() -> u16 {
    3
}

/// How the connection to the mail server is protected.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Security {
    /// TLS from the start.
    #[default]
    Tls,
    /// TLS after `STARTTLS`, without which nothing is sent.
    StartTls,
    /// Not at all, within this computer.
    None,
}

/// A program that is told of every event.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Webhook {
    /// Where events are posted to: `https://…`, or `http://…` within this computer.
    pub url: String,
    /// The file with the secret that signs them; relative to the home.
    pub secret_file: PathBuf,
    /// Code of the one organisation whose events are told; without it, those of all.
    #[serde(default)]
    pub organisation: Option<String>,
}

impl Webhook {
    /// Whether this program is told of an organisation's events.
    pub fn concerns(&self, organisation: &str) -> bool {
        self.organisation.as_deref().is_none_or(|only| only == organisation)
    }
}

/// Checks what the types do not.
pub fn check(mail: Option<&Mail>, webhooks: &[Webhook]) -> Result<(), SettingsError> {
    let wrong = |setting, found: &str, expected| {
        Err(SettingsError::Value { setting, found: found.to_owned(), expected: Text::new(expected) })
    };
    if let Some(mail) = mail {
        if mail.server.parse::<IpAddr>().is_err() && host(&format!("https://{}", mail.server)) != Some(&mail.server) {
            return wrong("mail.server", &mail.server, "expected-host");
        }
        if mail.port == Some(0) {
            return wrong("mail.port", "0", "expected-positive");
        }
        if mail.security == Security::None && !is_loopback(&mail.server) {
            return wrong("mail.security", "none", "expected-protected-mail");
        }
        if mail.user.is_some() != mail.password_file.is_some() {
            return wrong("mail.user", mail.user.as_deref().unwrap_or_default(), "expected-user-and-password");
        }
    }
    for (index, webhook) in webhooks.iter().enumerate() {
        if !is_webhook(&webhook.url) {
            return wrong("webhooks.url", &webhook.url, "expected-webhook-url");
        }
        if webhooks[..index].iter().any(|other| other.url == webhook.url) {
            return wrong("webhooks.url", &webhook.url, "expected-other-webhook");
        }
    }
    Ok(())
}

fn is_webhook(url: &str) -> bool {
    let Ok(uri) = url.parse::<Uri>() else { return false };
    let (Some(scheme), Some(authority)) = (uri.scheme_str(), uri.authority()) else { return false };
    let protected = scheme == "https" || scheme == "http" && is_loopback(authority.host());
    protected && !authority.host().is_empty() && !authority.as_str().contains('@')
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::service::config::Settings;

    fn mail(server: &str, security: &str) -> Mail {
        let text = format!("server = {server:?}\nsecurity = {security:?}\nfrom = 'PTC <enroll@ptc.example>'");
        toml::from_str(&text).unwrap()
    }

    #[track_caller]
    fn refused(mail: Option<&Mail>, webhooks: &[Webhook]) -> &'static str {
        match check(mail, webhooks) {
            Err(SettingsError::Value { setting, .. }) => setting,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn mail_is_protected_unless_it_stays_within_the_computer() {
        for (server, security) in [
            ("mail.ptc.example", "tls"),
            ("192.0.2.1", "starttls"),
            ("localhost", "none"),
            ("127.0.0.1", "none"),
            ("::1", "none"),
        ] {
            assert!(check(Some(&mail(server, security)), &[]).is_ok(), "{server} {security}");
        }
        for server in ["mail.ptc.example", "192.0.2.1", "localhost.example"] {
            assert_eq!(refused(Some(&mail(server, "none")), &[]), "mail.security", "{server}");
        }
        for server in ["", "mail.ptc.example:25", "smtp://mail.ptc.example", "mail.ptc.example\r\n"] {
            assert_eq!(refused(Some(&mail(server, "tls")), &[]), "mail.server", "{server}");
        }
    }

    #[test]
    fn an_account_has_a_password_and_a_sender_an_address() {
        let good = mail("mail.ptc.example", "tls");
        let half = Mail { user: Some("enroll".to_owned()), ..good.clone() };
        assert_eq!(refused(Some(&half), &[]), "mail.user");
        for from in ["", "PTC Enroll", "enroll@ptc.example\r\nBcc: all@ptc.example"] {
            let text = format!("server = 'mail.ptc.example'\nfrom = {from:?}");
            assert!(toml::from_str::<Mail>(&text).is_err(), "{text}");
        }
    }

    #[test]
    fn the_sample_says_how_it_is_written() {
        let sample = include_str!("../../../config/enrollment.toml");
        let setting =
            |line: &&str| line.strip_prefix('#').is_none_or(|rest| !rest.is_empty() && !rest.starts_with(' '));
        let text: String =
            sample.lines().filter(setting).map(|line| format!("{}\n", line.trim_start_matches('#'))).collect();
        let settings: Settings = toml::from_str(&text).unwrap();
        settings.check().unwrap();
        let written: Settings = toml::from_str(&toml::to_string(&settings).unwrap()).unwrap();
        assert_eq!(written, settings);
        assert_eq!((settings.mail.unwrap().reminder_days, settings.webhooks.len()), (3, 1));
    }

    #[test]
    fn webhooks_are_protected_and_each_is_named_once() {
        let webhook =
            |url: &str| Webhook { url: url.to_owned(), secret_file: "webhook.secret".into(), organisation: None };
        for url in ["https://hooks.example/a?b=c", "http://127.0.0.1:8080/", "http://localhost/x", "http://[::1]:1/"] {
            assert!(check(None, &[webhook(url)]).is_ok(), "{url}");
        }
        for url in ["http://hooks.example/", "ftp://localhost/", "/events", "https://user:word@hooks.example/", "x y"] {
            assert_eq!(refused(None, &[webhook(url)]), "webhooks.url", "{url}");
        }
        let twice = [webhook("https://hooks.example/"), webhook("https://hooks.example/")];
        assert_eq!(refused(None, &twice), "webhooks.url");
    }
}
