//! Flags, answers file, environment variables and package defaults, made into one checked value, in that order.

use std::env;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use serde::Deserialize;
use time::OffsetDateTime;

use super::cli::{FieldArguments, Global, MachineArguments};
use super::event_log::EventLog;
use super::home::Home;
use super::journal::Journal;
use super::keys::KeyAlgorithm;
use super::package::{InstalledPackage, PackageError};
use super::prompt;
use super::store::Replaced;
use crate::locales::{Language, Text};
use crate::protocol::messages::{
    Contact, DESCRIPTION_LIMIT, MACHINE_FIELD_LIMIT, MachineDetails, Submission, TELEPHONE_LIMIT,
};
use crate::protocol::request::{RequestNumber, StoreScope};
use crate::protocol::subject::{self, BadName};
use crate::protocol::text::shortened;

/// No answers file is larger, in bytes; a device or pipe in its place must not take all memory.
const ANSWERS_LIMIT: u64 = 256 * 1024;
/// Variables that give a field start like this.
const VARIABLE_PREFIX: &str = "PTC_ENROLL_";

/// What every command that knows an environment works with.
#[derive(Debug)]
pub struct Config {
    /// Where files are.
    pub home: Home,
    /// The environment's package.
    pub package: InstalledPackage,
    /// The language of what people read.
    pub language: Language,
    /// Whether a person can be asked.
    pub interactive: bool,
    /// The event log.
    pub events: EventLog,
}

impl Config {
    /// Finds home and package.
    pub fn load(global: &Global, language: Language) -> Result<Self, PackageError> {
        let home = Home::find(global.home.as_deref());
        let package = InstalledPackage::load(&home, global.environment.as_deref(), OffsetDateTime::now_utc())?;
        let events = EventLog::new(home.log.clone());
        Ok(Self { home, package, language, interactive: !global.no_input && prompt::possible(), events })
    }

    /// The name of the environment.
    pub fn environment(&self) -> &str {
        &self.package.settings.environment
    }

    /// The environment's journal.
    pub fn journal(&self) -> Journal {
        Journal::new(self.home.state.join(self.environment()))
    }
}

/// Why the fields of a request are not usable.
#[derive(Debug, thiserror::Error)]
#[error("{}", self.text())]
pub enum ConfigError {
    /// The answers file is not TOML, or has a field that does not exist.
    Answers {
        /// The file.
        path: PathBuf,
        /// What is wrong, with the line.
        #[source]
        source: Box<toml::de::Error>,
    },
    /// A file or folder cannot be read.
    File {
        /// Which one.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// Something else stands where a file is wanted.
    NotAFile {
        /// Where.
        path: PathBuf,
    },
    /// A folder holds no CSR.
    NoRequests {
        /// The folder.
        folder: PathBuf,
    },
    /// No file fits a pattern.
    NoMatch {
        /// The pattern.
        pattern: PathBuf,
    },
    /// The report cannot be written.
    Report {
        /// Its file.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The report would take the place of a folder, link, device or pipe.
    ReportNotAFile {
        /// Its file.
        path: PathBuf,
    },
    /// The report would be written over something else.
    ReportInPlace {
        /// Its file.
        path: PathBuf,
    },
    /// A field that is needed was not given.
    Missing {
        /// The flag that gives it.
        field: &'static str,
    },
    /// A field does not hold what it must.
    Invalid {
        /// The flag that gives it.
        field: &'static str,
        /// What it holds.
        value: String,
        /// What is expected, and why it is not that.
        expected: Text,
    },
    /// The package does not allow CSRs of external servers.
    NoExternalRequests,
    /// No request of this number is known here.
    NotKnown {
        /// The number.
        number: RequestNumber,
    },
    /// Something can still happen to the request.
    StillOpen {
        /// The number.
        number: RequestNumber,
    },
}

impl ConfigError {
    /// What happened and why.
    pub fn text(&self) -> Text {
        match self {
            Self::Answers { path, source } => {
                Text::new("error-answers").with("path", path.display()).with("reason", toml_reason(source))
            }
            Self::File { path, source } => Text::new("error-file").with("path", path.display()).with("reason", source),
            Self::NotAFile { path } => Text::new("error-not-a-file").with("path", path.display()),
            Self::NoRequests { folder } => Text::new("error-no-requests").with("folder", folder.display()),
            Self::NoMatch { pattern } => Text::new("error-no-match").with("pattern", pattern.display()),
            Self::Report { path, source } => {
                Text::new("error-report").with("path", path.display()).with("reason", source)
            }
            Self::ReportNotAFile { path } => Text::new("error-report-not-a-file").with("path", path.display()),
            Self::ReportInPlace { path } => Text::new("error-report-in-place").with("path", path.display()),
            Self::Missing { field } => {
                Text::new("error-missing-field").with("field", field).with("variable", variable(field))
            }
            Self::Invalid { field, value, expected } => Text::new("error-invalid-field")
                .with("field", field)
                .with("value", value)
                .with_text("expected", expected.clone()),
            Self::NoExternalRequests => Text::new("error-no-external-requests"),
            Self::NotKnown { number } => Text::new("error-not-known").with("number", number),
            Self::StillOpen { number } => Text::new("error-still-open").with("number", number),
        }
    }
}

/// The answers file, which may give any field.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Answers {
    email: Option<String>,
    telephone: Option<String>,
    description: Option<String>,
    locality: Option<String>,
    region: Option<String>,
    key: Option<String>,
    common_name: Option<String>,
    store: Option<StoreScope>,
    grant_read: Vec<String>,
    machine: Option<AnsweredMachine>,
}

/// `[machine]` of the answers file: details of an external server.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct AnsweredMachine {
    host_name: Option<String>,
    mac_address: Option<String>,
    nic_id: Option<String>,
    processor_id: Option<String>,
    os_version: Option<String>,
    os_type: Option<String>,
}

impl Answers {
    fn read(path: Option<&Path>) -> Result<Self, ConfigError> {
        let Some(path) = path else { return Ok(Self::default()) };
        let mut content = String::new();
        std::fs::File::open(path)
            .and_then(|file| file.take(ANSWERS_LIMIT).read_to_string(&mut content))
            .map_err(|source| ConfigError::File { path: path.to_owned(), source })?;
        // PowerShell 5.1 and Notepad put a byte order mark in front.
        let content = content.strip_prefix('\u{feff}').unwrap_or(&content);
        toml::from_str(content)
            .map_err(|source| ConfigError::Answers { path: path.to_owned(), source: Box::new(source) })
    }
}

/// The fields of a request for this machine, checked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MachineFields {
    /// Who asks.
    pub contact: Contact,
    /// Where the machine stands.
    pub locality: String,
    /// The region around it, may be empty.
    pub region: String,
    /// The key to make.
    pub key: KeyAlgorithm,
    /// The name to ask for, where the machine's own is not wanted.
    pub common_name: Option<String>,
    /// Where to install.
    pub store: StoreScope,
    /// The accounts besides administrators that may use the key.
    pub readers: Vec<String>,
}

impl MachineFields {
    /// Collects and checks the fields; asks for what is needed where a person is there to answer.
    pub fn collect(config: &Config, arguments: super::cli::SubmitArguments) -> Result<Self, ConfigError> {
        let answers = Answers::read(arguments.fields.answers.as_deref())?;
        let defaults = &config.package.settings.defaults;
        let source = Source { interactive: config.interactive, language: config.language };
        let locality =
            source.field("--locality", [arguments.locality, answers.locality], &defaults.locality, Need::Required)?;
        let region = source.field("--region", [arguments.region, answers.region], &defaults.region, Need::Asked)?;
        let key = match arguments.key {
            Some(key) => key,
            None => {
                let word = source.field("--key", [None, answers.key], &defaults.key, Need::Optional)?;
                if word.is_empty() {
                    KeyAlgorithm::default()
                } else {
                    word.parse().map_err(|_| invalid("--key", &word, Text::new("wanted-key")))?
                }
            }
        };
        let common_name = [arguments.common_name, answers.common_name];
        let need = if config.package.settings.kind.named_by_host() { Need::Required } else { Need::Optional };
        let common_name = source.field("--common-name", common_name, &None, need)?;
        let common_name = if common_name.is_empty() {
            None
        } else if config.package.settings.kind.named_by_host() {
            let host = subject::host_name(&common_name);
            Some(host.map_err(|_| invalid("--common-name", &common_name, Text::new("wanted-host-name")))?)
        } else {
            subject::check_machine_name(&common_name)
                .map_err(|_| invalid("--common-name", &common_name, Text::new("wanted-machine-name")))?;
            Some(common_name)
        };
        let contact = source.contact(
            [arguments.fields.email, answers.email],
            [arguments.fields.telephone, answers.telephone],
            [arguments.fields.description, answers.description],
            defaults,
            Need::Required,
        )?;
        check_text("--locality", &locality, 128)?;
        check_text("--region", &region, 128)?;
        let store = arguments.store.or(answers.store).unwrap_or(config.package.settings.store);
        let readers = if arguments.grant_read.is_empty() { answers.grant_read } else { arguments.grant_read };
        Ok(Self { contact, locality, region, key, common_name, store, readers })
    }
}

/// The fields that go along with CSRs of external servers, checked.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ExternalFields {
    /// Who asks.
    pub contact: Contact,
    /// The server, as the person describes it.
    pub machine: MachineDetails,
}

impl ExternalFields {
    /// Collects and checks the fields that count wherever a manifest says nothing. `named` where it names an e-mail
    /// address for every server, so that none is needed here.
    pub fn collect(
        config: &Config,
        fields: FieldArguments,
        machine: MachineArguments,
        named: bool,
    ) -> Result<Self, ConfigError> {
        let answers = Answers::read(fields.answers.as_deref())?;
        let source = Source { interactive: config.interactive && !named, language: config.language };
        let contact = source.contact(
            [fields.email, answers.email],
            [fields.telephone, answers.telephone],
            [fields.description, answers.description],
            &config.package.settings.defaults,
            if named { Need::Optional } else { Need::Required },
        )?;
        let answered = answers.machine.unwrap_or_default();
        let detail = |field, flag: Option<String>, answer: Option<String>| -> Result<String, ConfigError> {
            let value = flag.or(answer).unwrap_or_default();
            check_detail(field, &value)?;
            Ok(value)
        };
        let machine = MachineDetails {
            host_name: detail("--host-name", machine.host_name, answered.host_name)?,
            mac_address: detail("--mac-address", machine.mac_address, answered.mac_address)?,
            nic_id: detail("--nic-id", machine.nic_id, answered.nic_id)?,
            processor_id: detail("--processor-id", machine.processor_id, answered.processor_id)?,
            os_version: detail("--os-version", machine.os_version, answered.os_version)?,
            os_type: detail("--os-type", machine.os_type, answered.os_type)?,
        };
        Ok(Self { contact, machine })
    }

    /// Whether a submission was made with these.
    pub fn are_of(&self, submission: &Submission) -> bool {
        self.contact == submission.contact && self.machine == submission.machine
    }
}

/// What becomes of the certificate that a newer one replaces: the flag, else the variable.
pub fn replaced(flag: Option<Replaced>) -> Result<Replaced, ConfigError> {
    match (flag, env::var(variable("--replaced"))) {
        (Some(replaced), _) => Ok(replaced),
        (None, Ok(word)) if !word.is_empty() => {
            word.parse().map_err(|_| invalid("--replaced", &word, Text::new("wanted-replaced")))
        }
        _ => Ok(Replaced::default()),
    }
}

/// How much a field is needed.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Need {
    /// Without it there is no request; asked for where somebody is there.
    Required,
    /// Asked for where somebody is there, may stay empty.
    Asked,
    /// Never asked for.
    Optional,
}

/// Where fields come from when neither flag nor answers file gives them.
struct Source {
    interactive: bool,
    language: Language,
}

impl Source {
    fn field(
        &self,
        field: &'static str,
        given: [Option<String>; 2],
        default: &Option<String>,
        need: Need,
    ) -> Result<String, ConfigError> {
        let value = given
            .into_iter()
            .flatten()
            .next()
            .or_else(|| env::var(variable(field)).ok())
            .or_else(|| default.clone())
            .map(|value| value.trim().to_owned())
            .filter(|value| !value.is_empty());
        match (value, need) {
            (Some(value), _) => Ok(value),
            (None, Need::Required | Need::Asked) if self.interactive => {
                let answer = prompt::ask(&question(field), self.language)
                    .map_err(|source| ConfigError::File { path: PathBuf::from("stdin"), source })?;
                match answer {
                    None if need == Need::Required => Err(ConfigError::Missing { field }),
                    answer => Ok(answer.unwrap_or_default()),
                }
            }
            (None, Need::Required) => Err(ConfigError::Missing { field }),
            (None, _) => Ok(String::new()),
        }
    }

    fn contact(
        &self,
        email: [Option<String>; 2],
        telephone: [Option<String>; 2],
        description: [Option<String>; 2],
        defaults: &crate::protocol::package::Defaults,
        need: Need,
    ) -> Result<Contact, ConfigError> {
        let email = self.field("--email", email, &defaults.email, need)?;
        let telephone = self.field("--telephone", telephone, &defaults.telephone, Need::Optional)?;
        let description = self.field("--description", description, &defaults.description, Need::Asked)?;
        for (field, value) in [("--email", &email), ("--telephone", &telephone), ("--description", &description)] {
            check_detail(field, value)?;
        }
        Ok(Contact { email, telephone, description })
    }
}

/// Whether a field of the contact, or a detail of an external server, holds what it may; it may be empty.
pub fn check_detail(field: &'static str, value: &str) -> Result<(), ConfigError> {
    match field {
        _ if value.is_empty() => Ok(()),
        "--email" => subject::check_email(value).map_err(|_| invalid(field, value, Text::new("wanted-email"))),
        "--description" if value.chars().count() > DESCRIPTION_LIMIT => Err(too_long(field, value, DESCRIPTION_LIMIT)),
        // It may have several lines. Nothing else in it may act, and not every database keeps NUL.
        "--description"
            if value.contains(|character: char| character.is_control() && !"\t\r\n".contains(character)) =>
        {
            Err(invalid(field, value, Text::new("wanted-text")))
        }
        "--description" => Ok(()),
        "--os-type" if !["64-bit", "32-bit"].contains(&value) => {
            Err(invalid(field, value, Text::new("wanted-os-type")))
        }
        "--telephone" => check_text(field, value, TELEPHONE_LIMIT),
        _ => check_text(field, value, MACHINE_FIELD_LIMIT),
    }
}

/// The variable that gives a field: `PTC_ENROLL_LOCALITY` for `--locality`.
fn variable(field: &str) -> String {
    format!("{VARIABLE_PREFIX}{}", field.trim_start_matches('-').replace('-', "_").to_uppercase())
}

fn question(field: &str) -> Text {
    match field {
        "--locality" => Text::new("ask-locality"),
        "--region" => Text::new("ask-region"),
        "--email" => Text::new("ask-email"),
        "--common-name" => Text::new("ask-common-name"),
        "--description" => Text::new("ask-description"),
        other => Text::new("ask-other").with("field", other),
    }
}

fn check_text(field: &'static str, value: &str, limit: usize) -> Result<(), ConfigError> {
    match subject::check_text(value, limit) {
        Ok(()) | Err(BadName::Empty) => Ok(()),
        Err(BadName::TooLong) => Err(too_long(field, value, limit)),
        Err(BadName::Character | BadName::NotPublic) => Err(invalid(field, value, Text::new("wanted-plain-text"))),
    }
}

/// The most characters of a value, line or name in an error.
pub(super) const SHOWN: usize = 100;

fn too_long(field: &'static str, value: &str, limit: usize) -> ConfigError {
    invalid(field, value, Text::new("wanted-at-most").with("limit", limit))
}

fn invalid(field: &'static str, value: &str, expected: Text) -> ConfigError {
    ConfigError::Invalid { field, value: shortened(value, SHOWN).into_owned(), expected }
}

/// What is wrong with TOML, with its line; the line itself only where it is one that a person wrote.
fn toml_reason(error: &toml::de::Error) -> String {
    const LONGEST: usize = 1_000;
    let reason = error.to_string();
    match reason.lines().next() {
        Some(place) if reason.len() > LONGEST => format!("{place}: {}", shortened(error.message(), SHOWN)),
        _ => reason.trim_end().replace('\n', " "),
    }
}
