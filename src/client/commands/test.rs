//! `test`: a mutually authenticated connection with the certificate that lies in the store.

use serde_json::json;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use super::pending;
use crate::client::api::{Api, duration};
use crate::client::config::Config;
use crate::client::error::Error;
use crate::client::journal::Record;
use crate::client::report::{Json, Progress, Report};
use crate::locales::{self, Language, Text};
use crate::protocol::messages::Identity;
use crate::protocol::request::Kind;

/// Clocks further apart than this lead to trouble with tokens and fresh certificates, in seconds.
const CLOCK_TOLERANCE: i64 = 60;

pub(super) fn run(config: &Config) -> Result<TestReport, Error> {
    let found = installed(config)?;
    let identity = found.store.identity(&found.record.id)?;
    let settings = &config.package.settings;
    let api = Api::secure(&settings.secure_url, config.package.trust(), identity, config.language)?;
    let progress = Progress::start(&Text::new("testing"), config.language);
    let asked = OffsetDateTime::now_utc();
    let identity = api.test()?;
    let answered = OffsetDateTime::now_utc();
    drop(progress);
    // The service looked at its clock about half-way between question and answer.
    let here: OffsetDateTime = asked + (answered - asked) / 2;
    let clock_difference = (here - identity.time).whole_seconds();
    config.events.record("tested", &[("serial", &identity.serial), ("clock_difference", &clock_difference)]);
    Ok(TestReport {
        identity,
        clock_difference,
        answered,
        location: found.record.location.unwrap_or_default(),
        secure_url: settings.secure_url.clone(),
    })
}

/// The newest certificate of this machine that lies in the store.
pub(super) struct Installed {
    pub(super) record: Record,
    pub(super) store: Box<dyn crate::client::store::Store>,
    pub(super) certificate: Vec<u8>,
}

/// Finds it, or says that there is none.
pub(super) fn installed(config: &Config) -> Result<Installed, Error> {
    let records = config.journal().records()?;
    let ours = records.into_iter().rev().filter(|record| record.submission.kind != Kind::ExternalServer);
    for record in ours.filter(|record| record.location.is_some()) {
        let Some(scope) = record.store else { continue };
        let store = pending::store_of(config, scope);
        if let Some(certificate) = store.certificate(&record.id)? {
            return Ok(Installed { record, store, certificate });
        }
    }
    Err(Error::NoCertificate)
}

/// What the service said of us.
pub(super) struct TestReport {
    identity: Identity,
    /// Positive where this machine's clock is ahead, in seconds.
    clock_difference: i64,
    answered: OffsetDateTime,
    location: String,
    secure_url: String,
}

impl TestReport {
    fn days_left(&self) -> i64 {
        (self.identity.not_after - self.answered).whole_days()
    }
}

impl Report for TestReport {
    fn text(&self, language: Language) -> String {
        let identity = &self.identity;
        let kind = identity.kind.map(|kind| locales::kind(kind).in_language(language)).unwrap_or_default();
        let not_after = identity.not_after.date();
        let until = Text::new("test-until").with("date", not_after).with_number("days", self.days_left());
        let clock = match self.clock_difference {
            0 => Text::new("test-clock-equal"),
            ahead if ahead > 0 => Text::new("test-clock-ahead").with("difference", duration(ahead)),
            behind => Text::new("test-clock-behind").with("difference", duration(behind)),
        };
        let rows = [
            (Text::new("field-secure-url"), self.secure_url.as_str()),
            (Text::new("field-subject"), &identity.subject),
            (Text::new("field-organisation"), identity.organisation.as_deref().unwrap_or_default()),
            (Text::new("field-kind"), &kind),
            (Text::new("field-serial"), &identity.serial),
            (Text::new("field-valid"), &until.in_language(language)),
            (Text::new("field-clock"), &clock.in_language(language)),
            (Text::new("field-location"), &self.location),
        ];
        let mut text = super::fields(&rows, language);
        text.push('\n');
        text.push_str(&(Text::new("test-good").in_language(language) + "\n"));
        if self.clock_difference.abs() > CLOCK_TOLERANCE {
            let warning = Text::new("test-clock-warning").with("difference", duration(self.clock_difference));
            text.push_str(&(warning.in_language(language) + "\n"));
        }
        text
    }

    fn json(&self, _language: Language) -> Json<'_> {
        let identity = &self.identity;
        json!({
            "secure_url": self.secure_url,
            "subject": identity.subject,
            "organisation": identity.organisation,
            "kind": identity.kind,
            "serial": identity.serial,
            "not_after": identity.not_after.format(&Rfc3339).unwrap_or_default(),
            "days_left": self.days_left(),
            "clock_difference_seconds": self.clock_difference,
            "location": self.location,
        })
        .into()
    }
}
