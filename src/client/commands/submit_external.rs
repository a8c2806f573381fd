//! `submit-external`: CSRs that were made elsewhere, checked here and sent, each a request of its own.

use std::path::{Path, PathBuf};

use serde_json::{Value, json};
use time::OffsetDateTime;

use super::pending;
use crate::client::api::Api;
use crate::client::cli::SubmitExternalArguments;
use crate::client::config::{Config, ExternalFields};
use crate::client::error::{Error, Explanation};
use crate::client::exit::Exit;
use crate::client::journal::{LockedJournal, Record, Step};
use crate::client::keys::KeyError;
use crate::client::report::{Progress, Report};
use crate::client::{config::ConfigError, external, kill_point};
use crate::locales::{Language, Text};
use crate::protocol::messages::{Der, RequestStatus, Submission};
use crate::protocol::request::Kind;
use crate::protocol::rules::{CheckedCsr, Expectation, check_csr, read_csr};
use crate::protocol::secret::Secret;

pub(super) fn run(config: &Config, arguments: SubmitExternalArguments) -> Result<ExternalReport, Error> {
    let fields = ExternalFields::collect(config, arguments.fields, arguments.machine)?;
    let files = external::files(&arguments.files)?;
    let mut lines = Vec::with_capacity(files.len());
    if arguments.dry_run {
        for file in files {
            let checked = check(config, &file);
            lines.push(Line::new(
                config.language,
                file,
                checked.map(|csr| Sent::Checked(csr.subject().common_name.clone())),
            ));
        }
        return Ok(ExternalReport { lines });
    }
    let journal = pending::lock(config)?;
    let api = pending::public_api(config);
    let mut known = journal.records()?;
    let mut progress = None;
    let count = files.len();
    let mut unanswered: Option<(Exit, Explanation)> = None;
    for (index, file) in files.into_iter().enumerate() {
        let text = Text::new("sending").with("index", index + 1).with("count", count);
        progress.get_or_insert_with(|| Progress::start(&text, config.language)).show(&text, config.language);
        let line = match (check(config, &file), &unanswered) {
            // What cannot be sent now is not even recorded, so that the next run starts where this one stopped.
            (Ok(_), Some(before)) => Line { file, outcome: Err(before.clone()) },
            (Ok(csr), None) => {
                let outcome = submit(config, &journal, &api, &fields, &mut known, &file, &csr);
                let no_answer = outcome.as_ref().is_err_and(Error::is_no_answer);
                let line = Line::new(config.language, file, outcome);
                if no_answer {
                    unanswered = line.outcome.as_ref().err().cloned();
                }
                line
            }
            (Err(error), _) => Line::new(config.language, file, Err(error)),
        };
        lines.push(line);
    }
    Ok(ExternalReport { lines })
}

/// Reads a file and checks its CSR against every rule.
fn check(config: &Config, file: &Path) -> Result<CheckedCsr, Error> {
    let content = external::read(file).map_err(|source| ConfigError::File { path: file.to_owned(), source })?;
    let der = read_csr(&content).map_err(|finding| Error::Csr(vec![finding]))?;
    let organisation = &config.package.settings.organisation;
    let expectation = Expectation {
        kind: Kind::ExternalServer,
        organisation: &organisation.subject_name(),
        country: &organisation.country,
    };
    check_csr(&der, &expectation).map_err(Error::Csr)
}

/// Sends a CSR, unless the same one is on its way already.
fn submit(
    config: &Config,
    journal: &LockedJournal,
    api: &Api,
    fields: &ExternalFields,
    known: &mut Vec<Record>,
    file: &Path,
    csr: &CheckedCsr,
) -> Result<Sent, Error> {
    let same = known.iter_mut().find(|record| record.submission.csr.0 == csr.der() && record.step != Step::Closed);
    if let Some(record) = same {
        return match record.status.clone() {
            Some(status) => Ok(Sent::Before(status)),
            None => pending::send(config, journal, api, record).map(Sent::Now),
        };
    }
    let token = Secret::random().map_err(|_| KeyError::Random)?;
    let submission = Submission {
        kind: Kind::ExternalServer,
        csr: Der(csr.der().to_vec()),
        token_sha256: token.fingerprint(),
        machine: fields.machine.clone(),
        contact: fields.contact.clone(),
    };
    let name = csr.subject().common_name.clone();
    let mut record = Record::new(submission, token, name, OffsetDateTime::now_utc()).map_err(|_| KeyError::Random)?;
    record.source = Some(std::path::absolute(file).unwrap_or_else(|_| file.to_owned()).display().to_string());
    kill_point::pass("submit.before-record");
    journal.write(&record)?;
    let status = pending::send(config, journal, api, &mut record)?;
    known.push(record);
    Ok(Sent::Now(status))
}

/// How a file ended.
enum Sent {
    /// A dry run: good, and this is its common name.
    Checked(String),
    /// Accepted now.
    Now(RequestStatus),
    /// Accepted by an earlier run.
    Before(RequestStatus),
}

/// A file and how it ended.
struct Line {
    file: PathBuf,
    outcome: Result<Sent, (Exit, Explanation)>,
}

impl Line {
    fn new(language: Language, file: PathBuf, outcome: Result<Sent, Error>) -> Self {
        Self { file, outcome: outcome.map_err(|error| (Exit::from(&error), error.explain(language))) }
    }

    fn json(&self) -> Value {
        let mut value = json!({ "file": self.file.display().to_string() });
        match &self.outcome {
            Ok(Sent::Checked(common_name)) => value["common_name"] = json!(common_name),
            Ok(Sent::Now(status)) => value["request"] = super::request_json(status),
            Ok(Sent::Before(status)) => {
                value["request"] = super::request_json(status);
                value["submitted_before"] = json!(true);
            }
            Err((exit, explanation)) => {
                value["error"] = json!(explanation);
                value["exit_code"] = json!(*exit as u8);
            }
        }
        value
    }
}

/// How every file ended.
pub(super) struct ExternalReport {
    lines: Vec<Line>,
}

impl Report for ExternalReport {
    fn text(&self, language: Language) -> String {
        let mut text = String::new();
        for line in &self.lines {
            let file = line.file.display();
            let words = match &line.outcome {
                Ok(Sent::Checked(name)) => Text::new("external-checked").with("common_name", name),
                Ok(Sent::Now(status)) => Text::new("external-submitted")
                    .with("number", status.number)
                    .with("common_name", &status.common_name),
                Ok(Sent::Before(status)) => {
                    Text::new("external-known").with("number", status.number).with("common_name", &status.common_name)
                }
                Err((_, explanation)) => Text::new("external-failed").with("message", &explanation.message),
            };
            text.push_str(&(words.with("file", file).in_language(language) + "\n"));
            if let Err((_, explanation)) = &line.outcome {
                text.extend(explanation.details.iter().map(|detail| format!("  - {detail}\n")));
                text.extend(explanation.hint.iter().map(|hint| format!("  {hint}\n")));
            }
        }
        let good = self.lines.iter().filter(|line| line.outcome.is_ok()).count();
        let next = match (good, self.lines.first().map(|line| &line.outcome)) {
            (0, _) => return text,
            (_, Some(Ok(Sent::Checked(_)))) => Text::new("submit-dry-run"),
            _ => Text::new("external-next"),
        };
        text.push_str(&format!("\n{}\n", next.in_language(language)));
        text
    }

    fn json(&self, _language: Language) -> Value {
        json!({ "files": self.lines.iter().map(Line::json).collect::<Vec<_>>() })
    }

    fn lines(&self, _language: Language) -> Vec<Value> {
        self.lines.iter().map(Line::json).collect()
    }

    fn exit(&self) -> Exit {
        self.lines.iter().fold(Exit::Done, |exit, line| match &line.outcome {
            Ok(_) => exit,
            Err((failed, _)) => exit.or(*failed),
        })
    }
}
