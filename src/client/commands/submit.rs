//! `submit`: a key and a CSR for this machine, sent to the service.
//!
//! The order is what makes a crash harmless: record, key, network, number. Nothing is sent before record and key are
//! durably on disk; whatever is there without having been sent is sent, or taken away, by the next run.

use serde_json::json;
use time::{Duration, OffsetDateTime};

use super::pending;
use crate::client::cli::SubmitArguments;
use crate::client::config::{Config, MachineFields};
use crate::client::csr;
use crate::client::error::Error;
use crate::client::journal::{Record, Step};
use crate::client::keys::KeyError;
use crate::client::machine;
use crate::client::report::{Json, Progress, Report};
use crate::kill_point;
use crate::locales::{self, Language, Text};
use crate::protocol::messages::{Der, MachineDetails, RequestStatus, Submission};
use crate::protocol::request::Kind;
use crate::protocol::rules::{Expectation, check_csr};
use crate::protocol::secret::{Secret, sha256_hex};
use crate::protocol::subject::Subject;

pub(super) fn run(config: &Config, arguments: SubmitArguments) -> Result<SubmitReport, Error> {
    let dry_run = arguments.dry_run;
    let fields = MachineFields::collect(config, arguments)?;
    let machine = machine::details();
    let wish = Wish::new(config, fields, machine)?;
    if dry_run {
        return Ok(SubmitReport { wish, status: None, resumed: false });
    }
    let store = pending::store_of(config, wish.fields.store);
    store.check_access(wish.fields.key, &wish.fields.readers)?;
    // The longest part; what else has to be looked at is looked at meanwhile.
    let search = wish.fields.key.start_search();
    let journal = pending::lock(config)?;
    let api = pending::public_api(config);

    let mut newest = None;
    for mut record in journal.read().records()? {
        newest = newest.max(Some(record.created_at));
        let ours = record.step == Step::Prepared
            && record.store == Some(wish.fields.store)
            && pending::is_ours(config, &record);
        if !ours || record.submission.kind != wish.kind(config) || !pending::still_whole(config, &journal, &record)? {
            continue;
        }
        // An earlier run was cut off. What it sent, if it did, has to be known before anything newer is sent.
        match pending::send(config, &journal, &api, &mut record) {
            Ok(status) if record.wish == wish.digest() => {
                return Ok(SubmitReport { wish, status: Some(status), resumed: true });
            }
            Ok(_) => {}
            // A refusal of that one is nothing against this one; where the service does not answer, it would
            // not answer this one either.
            Err(error) if record.wish != wish.digest() && !error.is_no_answer() => {}
            Err(error) => return Err(error),
        }
    }

    let mut record = prepare(config, &wish, newest)?;
    record.account = store.account();
    let key = {
        let _progress = Progress::start(&Text::new("making-key"), config.language);
        search.finish()?
    };
    let subject = &wish.subject;
    let csr = csr::build(subject, wish.kind(config), &wish.fields.contact.email, wish.fields.key, &key)?;
    check_csr(&csr, &wish.expectation(config)).map_err(Error::Csr)?;
    record.submission.csr = Der(csr);
    kill_point::pass("submit.before-record");
    journal.write(&record)?;
    kill_point::pass("submit.before-key");
    store.hold_key(&record.id, &key, subject)?;
    let status = pending::send(config, &journal, &api, &mut record)?;
    Ok(SubmitReport { wish, status: Some(status), resumed: false })
}

/// The record of a new request, all but its CSR. It is newer than the newest one there is, also where the clock was set back
/// since: what is newer takes an older one's place.
fn prepare(config: &Config, wish: &Wish, newest: Option<OffsetDateTime>) -> Result<Record, Error> {
    let now = OffsetDateTime::now_utc();
    let now = newest.map_or(now, |newest| now.max(newest + Duration::microseconds(1)));
    let token = Secret::random().map_err(|_| KeyError::Random)?;
    let submission = Submission {
        kind: wish.kind(config),
        csr: Der(Vec::new()),
        token_sha256: token.fingerprint(),
        machine: wish.machine.clone(),
        contact: wish.fields.contact.clone(),
    };
    let name = wish.subject.common_name.clone();
    let mut record = Record::new(submission, token, name, now).map_err(|_| KeyError::Random)?;
    record.store = Some(wish.fields.store);
    record.readers.clone_from(&wish.fields.readers);
    record.wish = wish.digest();
    Ok(record)
}

/// What is asked for, before there is a key.
pub(super) struct Wish {
    fields: MachineFields,
    machine: MachineDetails,
    subject: Subject,
}

impl Wish {
    fn new(config: &Config, fields: MachineFields, machine: MachineDetails) -> Result<Self, Error> {
        let settings = &config.package.settings;
        let common_name = match &fields.common_name {
            Some(name) => name.clone(),
            None => machine::common_name(&machine)?,
        };
        let subject = Subject {
            country: settings.organisation.country.clone(),
            region: fields.region.clone(),
            locality: fields.locality.clone(),
            organisation: settings.organisation.subject_name(),
            organisational_unit: settings.kind.organisational_unit().to_owned(),
            common_name,
        };
        Ok(Self { fields, machine, subject })
    }

    fn kind(&self, config: &Config) -> Kind {
        config.package.settings.kind
    }

    fn expectation<'a>(&'a self, config: &'a Config) -> Expectation<'a> {
        Expectation {
            kind: self.kind(config),
            organisation: &self.subject.organisation,
            country: &self.subject.country,
        }
    }

    /// Tells whether an unfinished record asks for the same.
    fn digest(&self) -> String {
        let Self { fields, subject, machine: _ } = self;
        sha256_hex(format!("{subject:?} {fields:?}").as_bytes())
    }
}

/// What was, or would be, submitted.
pub(super) struct SubmitReport {
    wish: Wish,
    /// Absent in a dry run.
    status: Option<RequestStatus>,
    resumed: bool,
}

impl Report for SubmitReport {
    fn text(&self, language: Language) -> String {
        let wish = &self.wish;
        let store = locales::store(wish.fields.store).in_language(language);
        let system = format!("{} ({})", wish.machine.os_version, wish.machine.os_type);
        let rows = [
            (Text::new("field-common-name"), wish.subject.common_name.as_str()),
            (Text::new("field-organisation"), &wish.subject.organisation),
            (Text::new("field-organisational-unit"), &wish.subject.organisational_unit),
            (Text::new("field-locality"), &wish.subject.locality),
            (Text::new("field-region"), &wish.subject.region),
            (Text::new("field-country"), &wish.subject.country),
            (Text::new("field-email"), &wish.fields.contact.email),
            (Text::new("field-telephone"), &wish.fields.contact.telephone),
            (Text::new("field-description"), &wish.fields.contact.description),
            (Text::new("field-key"), wish.fields.key.as_str()),
            (Text::new("field-host-name"), &wish.machine.host_name),
            (Text::new("field-mac-address"), &wish.machine.mac_address),
            (Text::new("field-nic-id"), &wish.machine.nic_id),
            (Text::new("field-processor-id"), &wish.machine.processor_id),
            (Text::new("field-os"), &system),
            (Text::new("field-store"), &store),
        ];
        let mut text = super::fields(&rows, language);
        text.push('\n');
        let lines = match &self.status {
            None => vec![Text::new("submit-dry-run")],
            Some(status) => super::submitted(status, self.resumed),
        };
        text.extend(lines.iter().map(|line| line.in_language(language) + "\n"));
        text
    }

    fn json(&self, _language: Language) -> Json<'_> {
        let wish = &self.wish;
        let mut value = json!({
            "dry_run": self.status.is_none(),
            "resumed": self.resumed,
            "subject": {
                "country": wish.subject.country,
                "region": wish.subject.region,
                "locality": wish.subject.locality,
                "organisation": wish.subject.organisation,
                "organisational_unit": wish.subject.organisational_unit,
                "common_name": wish.subject.common_name,
            },
            "contact": wish.fields.contact,
            "machine": wish.machine,
            "key": wish.fields.key.as_str(),
            "store": wish.fields.store,
        });
        if let Some(status) = &self.status {
            value["request"] = super::request_json(status);
        }
        value.into()
    }
}
