//! Where an installation lies, and its settings.
//!
//! The home holds `enrollment.toml` (the [`Settings`]), `enrollment.db` unless the database is on a server, `ca/`, `tls/`
//! and `package-signer/`. Secrets are files, never settings.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::admission::LimitSettings;
use super::ca::{KeyAccess, Places};
use super::db::{Place, Server};
use super::files::{self, FileError};
use super::notices::{self, Mail, Webhook};
use super::private_key::Passphrase;
use super::token::TokenSettings;
use crate::locales::Text;
use crate::protocol::package::check_environment;
use crate::protocol::subject::check_text;

/// The home where nothing else is said.
pub const DEFAULT_HOME: &str = "/var/lib/ptc-enrollment";

/// The name of systemd's credential with the passphrase of the CA's keys (systemd.exec(5), `LoadCredential=`).
const CA_PASSPHRASE: &str = "ca-passphrase";
/// That with the PIN of the token that holds the issuing key.
const CA_PIN: &str = "ca-pin";

/// No OCSP response outlives the certificate that signed it: a responder's certificate is renewed a week before its end.
pub const OCSP_HOURS_LIMIT: u16 = 168;

/// The folder of an installation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Home(PathBuf);

impl Home {
    /// An installation in this folder.
    pub fn new(folder: impl Into<PathBuf>) -> Self {
        Self(folder.into())
    }

    /// The folder.
    pub fn folder(&self) -> &Path {
        &self.0
    }

    /// The [`Settings`].
    pub fn settings(&self) -> PathBuf {
        self.0.join("enrollment.toml")
    }

    /// The database.
    pub fn database(&self) -> PathBuf {
        self.0.join("enrollment.db")
    }

    /// The CA's keys and certificates.
    pub fn ca(&self) -> PathBuf {
        self.0.join("ca")
    }

    /// The listeners' key and certificate.
    pub fn tls(&self) -> PathBuf {
        self.0.join("tls")
    }

    /// The key and certificate that sign install packages.
    pub fn package_signer(&self) -> PathBuf {
        self.0.join("package-signer")
    }
}

/// Why the settings cannot be used.
#[derive(Debug, thiserror::Error)]
#[error("{}", self.text())]
pub enum SettingsError {
    /// There is no installation.
    Missing {
        /// Its home.
        home: PathBuf,
    },
    /// The file cannot be read or written.
    File(FileError),
    /// The file is not TOML, lacks a setting or holds one that is not known.
    Syntax {
        /// The file.
        path: PathBuf,
        /// The line, from 1.
        line: usize,
        /// What is wrong.
        cause: Box<toml::de::Error>,
    },
    /// A setting does not hold what it must.
    Value {
        /// The setting.
        setting: &'static str,
        /// What it holds.
        found: String,
        /// What it should hold.
        expected: Text,
    },
}

impl SettingsError {
    /// The error with its fix, for a person.
    pub fn text(&self) -> Text {
        match self {
            Self::Missing { home } => Text::new("settings-missing").with("home", home.display()),
            Self::File(error) => error.text(),
            Self::Syntax { path, line, cause } => Text::new("settings-syntax")
                .with("path", path.display())
                .with("line", line)
                .with("cause", cause.message()),
            Self::Value { setting, found, expected } => Text::new("settings-value")
                .with("setting", setting)
                .with("found", found)
                .with_text("expected", expected.clone()),
        }
    }
}

/// The settings of an installation, as they stand in `enrollment.toml`. `config/enrollment.toml` explains each.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Settings {
    /// Name of the environment that this installation is to its clients.
    pub environment: String,
    /// The database on a server, `postgres://…` without a password; absent: the file in the home.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub database: Option<String>,
    /// The file with the password of the account there, relative to the home.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub database_password_file: Option<PathBuf>,
    /// The file with the passphrase of the CA's keys, relative to the home, where they are encrypted. What systemd gives
    /// as the credential `ca-passphrase` goes before it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ca_passphrase_file: Option<PathBuf>,
    /// Where the public listener is reached from outside: `https://host[:port]`.
    pub public_url: String,
    /// Where the secure listener is reached from outside.
    pub secure_url: String,
    /// Where the public listener listens.
    #[serde(default = "public_listen")]
    pub public_listen: SocketAddr,
    /// Where the secure listener listens.
    #[serde(default = "secure_listen")]
    pub secure_listen: SocketAddr,
    /// Where those who run the service ask for its health and figures; without it, nowhere.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub operations_listen: Option<SocketAddr>,
    /// Where the plain listener is reached from outside, if there is one: `http://host[:port]`. Certificates then name
    /// it as the place of the revocation list, of OCSP and of their issuer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub http_url: Option<String>,
    /// Where the plain listener listens.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub http_listen: Option<SocketAddr>,
    /// After how many days a request that nobody decided on expires.
    #[serde(default = "request_lifetime_days")]
    pub request_lifetime_days: u16,
    /// How many seconds a client is asked to wait before it asks again.
    #[serde(default = "poll_seconds")]
    pub poll_seconds: u32,
    /// How many days a revocation list is good for; a new one is made after half of them.
    #[serde(default = "crl_days")]
    pub crl_days: u16,
    /// How many hours an OCSP response is good for, at most [`OCSP_HOURS_LIMIT`]; a new one is made after half of them.
    #[serde(default = "ocsp_hours")]
    pub ocsp_hours: u16,
    /// Whether the listeners' certificates are from a CA that the clients' systems trust, rather than from this one.
    #[serde(default)]
    pub system_roots: bool,
    /// The token that holds the CA's issuing key, where it is no file.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pkcs11: Option<TokenSettings>,
    /// How people are written to, if they are.
    #[serde(default)]
    pub mail: Option<Mail>,
    /// How much one caller, or all together, may ask for.
    #[serde(default, skip_serializing_if = "LimitSettings::is_default")]
    pub limits: LimitSettings,
    /// The programs that are told of every event.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub webhooks: Vec<Webhook>,
}

const fn public_listen() -> SocketAddr {
    SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 8443)
}

const fn secure_listen() -> SocketAddr {
    SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 8444)
}

const fn request_lifetime_days() -> u16 {
    30
}

const fn poll_seconds() -> u32 {
    60
}

const fn crl_days() -> u16 {
    7
}

const fn ocsp_hours() -> u16 {
    24
}

impl Settings {
    /// Settings with all that is not given as it is unless said otherwise.
    pub fn new(environment: &str, public_url: &str, secure_url: &str) -> Self {
        Self {
            environment: environment.to_owned(),
            database: None,
            database_password_file: None,
            ca_passphrase_file: None,
            public_url: public_url.trim_end_matches('/').to_owned(),
            secure_url: secure_url.trim_end_matches('/').to_owned(),
            public_listen: public_listen(),
            secure_listen: secure_listen(),
            operations_listen: Some(SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 8445)),
            http_url: None,
            http_listen: None,
            request_lifetime_days: request_lifetime_days(),
            poll_seconds: poll_seconds(),
            crl_days: crl_days(),
            ocsp_hours: ocsp_hours(),
            system_roots: false,
            pkcs11: None,
            mail: None,
            limits: LimitSettings::default(),
            webhooks: Vec::new(),
        }
    }

    /// Reads and checks the settings of an installation.
    pub fn load(home: &Home) -> Result<Self, SettingsError> {
        let path = home.settings();
        let bytes = files::read_public(&path).map_err(|error| match error {
            FileError::Missing { .. } => SettingsError::Missing { home: home.folder().to_owned() },
            error => SettingsError::File(error),
        })?;
        let text = String::from_utf8_lossy(&bytes);
        let settings: Self = toml::from_str(&text).map_err(|cause| {
            let before = cause.span().map_or(0, |span| span.start).min(bytes.len());
            let line = 1 + bytes[..before].iter().filter(|byte| **byte == b'\n').count();
            SettingsError::Syntax { path: path.clone(), line, cause: Box::new(cause) }
        })?;
        settings.check()?;
        Ok(settings)
    }

    /// Checks what the types do not.
    pub fn check(&self) -> Result<(), SettingsError> {
        let wrong = |setting, found: &dyn std::fmt::Display, expected| {
            Err(SettingsError::Value { setting, found: found.to_string(), expected })
        };
        if !check_environment(&self.environment) {
            return wrong("environment", &self.environment, Text::new("expected-environment"));
        }
        for (setting, url) in [("public_url", &self.public_url), ("secure_url", &self.secure_url)] {
            if host(url).is_none() {
                return wrong(setting, url, Text::new("expected-https-url"));
            }
        }
        for (setting, number) in [
            ("request_lifetime_days", u32::from(self.request_lifetime_days)),
            ("poll_seconds", self.poll_seconds),
            ("crl_days", u32::from(self.crl_days)),
            ("ocsp_hours", u32::from(self.ocsp_hours)),
        ] {
            if number == 0 {
                return wrong(setting, &number, Text::new("expected-positive"));
            }
        }
        match (&self.database, &self.database_password_file) {
            (Some(url), _) => drop(server(url)?),
            (None, Some(file)) => {
                return wrong("database_password_file", &file.display(), Text::new("expected-database"));
            }
            (None, None) => {}
        }
        if self.ocsp_hours > OCSP_HOURS_LIMIT {
            let expected = Text::new("expected-at-most-number").with("limit", OCSP_HOURS_LIMIT);
            return wrong("ocsp_hours", &self.ocsp_hours, expected);
        }
        match (&self.http_url, self.http_listen) {
            (Some(url), _) if host_after("http://", url).is_none() => {
                return wrong("http_url", url, Text::new("expected-http-url"));
            }
            (Some(url), None) => return wrong("http_url", url, Text::new("expected-both-http")),
            (None, Some(address)) => return wrong("http_listen", &address, Text::new("expected-both-http")),
            _ => {}
        }
        self.pkcs11.as_ref().map_or(Ok(()), TokenSettings::check)?;
        notices::check(self.mail.as_ref(), &self.webhooks)
    }

    /// Where the database of the installation in this home is, with what opens it.
    pub fn place(&self, home: &Home) -> Result<Place, SettingsError> {
        let Some(url) = &self.database else { return Ok(Place::File(home.database())) };
        let server = server(url)?;
        Ok(Place::Server(match &self.database_password_file {
            Some(file) => {
                let password = files::read_secret_text(&home.folder().join(file)).map_err(SettingsError::File)?;
                server.with_password(&password)
            }
            None => server,
        }))
    }

    /// The files with secrets that the settings name, as they name them, without the passphrase of the CA's keys.
    pub fn secret_files(&self) -> impl Iterator<Item = &PathBuf> {
        let mail = self.mail.as_ref().and_then(|mail| mail.password_file.as_ref());
        let webhooks = self.webhooks.iter().map(|webhook| &webhook.secret_file);
        self.database_password_file.iter().chain(mail).chain(webhooks)
    }

    /// The files with what opens the CA's keys.
    pub fn key_opening_files(&self) -> impl Iterator<Item = &PathBuf> {
        self.ca_passphrase_file.iter().chain(self.pkcs11.as_ref().and_then(|token| token.pin_file.as_ref()))
    }

    /// The passphrase of the CA's keys, where one is given: as systemd's credential, else in the file of the settings.
    pub fn ca_passphrase(&self, home: &Home) -> Result<Option<Passphrase>, SettingsError> {
        match (systemd_credential(CA_PASSPHRASE), &self.ca_passphrase_file) {
            (Some(path), _) => Passphrase::from_systemd(&path).map(Some),
            (None, Some(file)) => Passphrase::read(&home.folder().join(file)).map(Some),
            (None, None) => Ok(None),
        }
        .map_err(SettingsError::File)
    }

    /// What opens the CA's keys: the passphrase, and the token with its PIN, which comes as systemd's credential, else from
    /// the file of the settings.
    pub fn key_access(&self, home: &Home) -> Result<KeyAccess, SettingsError> {
        let passphrase = self.ca_passphrase(home)?;
        let Some(token) = &self.pkcs11 else { return Ok(KeyAccess { passphrase, token: None }) };
        let pin = match (systemd_credential(CA_PIN), &token.pin_file) {
            (Some(path), _) => Passphrase::from_systemd(&path),
            (None, Some(file)) => Passphrase::read(&home.folder().join(file)),
            (None, None) => {
                let expected = Text::new("expected-pin-file");
                return Err(SettingsError::Value { setting: "pkcs11.pin_file", found: String::new(), expected });
            }
        };
        Ok(KeyAccess { passphrase, token: Some((token.clone(), pin.map_err(SettingsError::File)?)) })
    }

    /// Where the CA publishes, as certificates say: under the plain URL where there is one (RFC 5280 §8).
    pub fn places(&self) -> Places {
        Places { crl: self.place_of("crl"), ocsp: self.place_of("ocsp"), issuer: self.place_of("issuer") }
    }

    /// Where the root publishes its list, which the issuing certificate names.
    pub fn root_crl_place(&self) -> String {
        self.place_of("root-crl")
    }

    fn place_of(&self, name: &str) -> String {
        let base = self.http_url.as_ref().unwrap_or(&self.public_url);
        format!("{base}{}/ca/{name}", crate::protocol::messages::API)
    }
}

/// What systemd has put there under this name, if it has.
fn systemd_credential(name: &str) -> Option<PathBuf> {
    let folder = std::env::var_os("CREDENTIALS_DIRECTORY")?;
    Some(Path::new(&folder).join(name)).filter(|path| path.exists())
}

/// The server that a setting names. What it holds is not shown: where it should not be, there may be a password in it.
fn server(url: &str) -> Result<Server, SettingsError> {
    Server::parse(url).map_err(|error| SettingsError::Value {
        setting: "database",
        found: "postgres://…".to_owned(),
        expected: error.text(),
    })
}

/// The host of a URL of the form `https://host[:port]`.
pub fn host(url: &str) -> Option<&str> {
    host_after("https://", url)
}

fn host_after<'a>(scheme: &str, url: &'a str) -> Option<&'a str> {
    let authority = url.strip_prefix(scheme)?;
    let (host, port) = match authority.rsplit_once(':') {
        Some((host, port)) if !port.ends_with(']') => (host, Some(port)),
        _ => (authority, None),
    };
    let good_port = port.is_none_or(|port| port.parse::<u16>().is_ok_and(|port| port != 0));
    let good_host = check_text(host, 253).is_ok() && !host.contains(['/', '?', '#', '@', ' ', '\\']);
    (good_port && good_host).then(|| host.trim_matches(['[', ']']))
}

/// Whether a host is this computer, whatever the network does.
pub fn is_loopback(host: &str) -> bool {
    let address = host.trim_matches(['[', ']']).parse::<IpAddr>();
    host.eq_ignore_ascii_case("localhost") || address.is_ok_and(|address| address.is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_host_and_port_of_an_https_url_are_taken() {
        for (url, expected) in [
            ("https://enroll.ptc.example", Some("enroll.ptc.example")),
            ("https://enroll.ptc.example:8443", Some("enroll.ptc.example")),
            ("https://127.0.0.1:8443", Some("127.0.0.1")),
            ("https://[::1]:8443", Some("::1")),
            ("https://[::1]", Some("::1")),
            ("http://enroll.ptc.example", None),
            ("https://", None),
            ("https://:8443", None),
            ("https://enroll.ptc.example:0", None),
            ("https://enroll.ptc.example:99999", None),
            ("https://enroll.ptc.example/path", None),
            ("https://user@enroll.ptc.example", None),
            ("https://enroll.ptc.example\n", None),
        ] {
            assert_eq!(host(url), expected, "{url}");
        }
    }
}
