//! What `submit-external` says: how every file ended, in the order of the files.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use super::super::request_json;
use crate::client::error::{Error, Fault};
use crate::client::exit::Exit;
use crate::client::report::{Json, Lines, Progress, Report};
use crate::locales::{Language, Text};
use crate::protocol::messages::RequestStatus;
use crate::protocol::request::{RequestNumber, State};
use crate::protocol::text::{csv_cell, printable};

/// How a file ended.
#[derive(Clone)]
pub(super) enum Ended {
    /// A dry run: good, and this is its common name.
    Checked(String),
    /// Accepted now.
    Now(RequestStatus),
    /// Accepted by an earlier run, or in this one from another file.
    Before(RequestStatus),
    /// Not sent, because the certificate of this request was revoked.
    Revoked(RequestStatus, Fault),
    /// Not accepted.
    Failed(Fault),
}

impl Ended {
    /// Why it is not good.
    const fn fault(&self) -> Option<&Fault> {
        match self {
            Self::Revoked(_, fault) | Self::Failed(fault) => Some(fault),
            Self::Checked(_) | Self::Now(_) | Self::Before(_) => None,
        }
    }

    /// The request that its CSR became.
    const fn request(&self) -> Option<&RequestStatus> {
        match self {
            Self::Now(status) | Self::Before(status) | Self::Revoked(status, _) => Some(status),
            Self::Checked(_) | Self::Failed(_) => None,
        }
    }

    /// Notes that a newer request took the place of this one.
    fn note(&mut self, newer: &HashMap<RequestNumber, RequestNumber>) {
        if let Self::Now(status) | Self::Before(status) = self {
            replaced(status, newer);
        }
    }
}

/// Notes in a status which newer request, if any, took its place.
pub(super) fn replaced(status: &mut RequestStatus, newer: &HashMap<RequestNumber, RequestNumber>) {
    if let Some(newer) = newer.get(&status.number) {
        status.state = State::Cancelled;
        status.replaced_by = Some(*newer);
    }
}

/// What becomes known of a file.
pub(super) enum Outcome {
    /// How it ended.
    Ended(Box<Ended>),
    /// It holds the same CSR as an earlier one, and ends as that one does.
    As(usize),
}

/// The outcomes as they come, in any order; each is told once all before it are known.
pub(super) struct Results<'a> {
    files: Vec<PathBuf>,
    outcomes: Vec<Option<Outcome>>,
    told: Vec<Line>,
    /// By the number of the request that was replaced, which one took its place.
    newer: HashMap<RequestNumber, RequestNumber>,
    lines: Lines<'a>,
    progress: Progress,
}

impl From<Ended> for Outcome {
    fn from(ended: Ended) -> Self {
        Self::Ended(ended.into())
    }
}

impl<'a> Results<'a> {
    pub(super) fn new(files: Vec<PathBuf>, lines: Lines<'a>, progress: Progress) -> Self {
        let outcomes = files.iter().map(|_| None).collect();
        Self { told: Vec::with_capacity(files.len()), files, outcomes, newer: HashMap::new(), lines, progress }
    }

    /// Takes the outcome of a file.
    pub(super) fn settle(&mut self, index: usize, outcome: Outcome) {
        self.settle_all([(index, outcome)]);
    }

    /// Takes the outcomes of files. One of them may say of another that it replaced it, so all are known before any is
    /// told.
    pub(super) fn settle_all(&mut self, outcomes: impl IntoIterator<Item = (usize, Outcome)>) {
        for (index, outcome) in outcomes {
            if let Outcome::Ended(ended) = &outcome
                && let Ended::Now(status) = &**ended
                && let Some(older) = status.replaces
            {
                self.newer.insert(older, status.number);
            }
            self.outcomes[index] = Some(outcome);
        }
        while let Some(outcome) = self.outcomes.get_mut(self.told.len()).and_then(Option::take) {
            let mut ended = match outcome {
                Outcome::Ended(ended) => *ended,
                Outcome::As(earlier) => match self.told[earlier].ended.clone() {
                    Ended::Now(status) => Ended::Before(status),
                    other => other,
                },
            };
            ended.note(&self.newer);
            let line = Line { file: std::mem::take(&mut self.files[self.told.len()]), ended };
            if self.lines.are_printed() {
                self.progress.aside(|| self.lines.print(line.exit(), || line.json()));
            }
            self.progress.advance(1);
            self.told.push(line);
        }
    }

    /// All of them, once every outcome is known; and whether the lines could be printed.
    pub(super) fn finish(mut self) -> (ExternalReport, std::io::Result<()>) {
        // Also what a later one replaced.
        self.told.iter_mut().for_each(|line| line.ended.note(&self.newer));
        let printed = self.lines.are_printed();
        (ExternalReport { lines: self.told, printed, unwritten: None }, self.lines.finish())
    }
}

/// A file and how it ended.
struct Line {
    file: PathBuf,
    ended: Ended,
}

impl Line {
    fn exit(&self) -> Exit {
        self.ended.fault().map_or(Exit::Done, |fault| fault.exit)
    }

    fn json(&self) -> Value {
        let mut value = json!({ "file": self.file.display().to_string() });
        if let Ended::Checked(common_name) = &self.ended {
            value["common_name"] = json!(common_name);
        }
        if let Some(status) = self.ended.request() {
            value["request"] = request_json(status);
        }
        if matches!(self.ended, Ended::Before(_) | Ended::Revoked(..)) {
            value["submitted_before"] = json!(true);
        }
        if let Some(Fault { exit, explanation, .. }) = self.ended.fault() {
            value["error"] = json!(**explanation);
            value["exit_code"] = json!(*exit as u8);
        }
        value
    }

    /// What a person reads of it, on one line.
    fn words(&self, language: Language) -> String {
        let of_request = |id, status: &RequestStatus| {
            Text::new(id).with("number", status.number).with("common_name", &status.common_name)
        };
        let (text, more) = match &self.ended {
            Ended::Checked(name) => (Text::new("external-checked").with("common_name", name), None),
            Ended::Now(status) => {
                let newer = status.replaced_by.map(|newer| Text::new("external-replaced-since").with("newer", newer));
                let older = status.replaces.map(|older| Text::new("submit-replaces").with("number", older));
                (of_request("external-submitted", status), newer.or(older))
            }
            Ended::Before(status) => match status.replaced_by {
                Some(newer) => (of_request("external-replaced", status).with("newer", newer), None),
                None => (of_request("external-known", status), None),
            },
            Ended::Revoked(_, fault) | Ended::Failed(fault) => {
                (Text::new("external-failed").with("message", &fault.explanation.message), None)
            }
        };
        let mut words = text.with("file", self.file.display()).in_language(language);
        words.extend(more.map(|more| format!(" {}", more.in_language(language))));
        words
    }

    fn csv(&self, separator: &str) -> String {
        let status = self.ended.request();
        let explanation = self.ended.fault().map(|fault| &*fault.explanation);
        let result = match &self.ended {
            Ended::Checked(_) => "checked",
            Ended::Now(status) | Ended::Before(status) if status.replaced_by.is_some() => "replaced",
            Ended::Now(_) => "submitted",
            Ended::Before(_) => "submitted-before",
            Ended::Revoked(..) | Ended::Failed(_) => "failed",
        };
        let common_name = match &self.ended {
            Ended::Checked(common_name) => Some(common_name),
            _ => status.map(|status| &status.common_name),
        };
        let message = explanation.map(|explanation| {
            let parts = std::iter::once(&explanation.message).chain(&explanation.details);
            parts.map(String::as_str).collect::<Vec<_>>().join(" ")
        });
        let number = |number: Option<RequestNumber>| number.map(|number| number.to_string()).unwrap_or_default();
        let cells = [
            self.file.display().to_string(),
            result.to_owned(),
            number(status.map(|status| status.number)),
            common_name.cloned().unwrap_or_default(),
            status.map(|status| status.state.to_string()).unwrap_or_default(),
            explanation.map(|explanation| explanation.code.clone()).unwrap_or_default(),
            message.unwrap_or_default(),
            number(status.and_then(|status| status.replaces)),
            number(status.and_then(|status| status.replaced_by)),
        ];
        cells.map(|cell| csv_cell(&printable(&cell))).join(separator) + "\r\n"
    }
}

/// How every file ended.
pub(in crate::client::commands) struct ExternalReport {
    lines: Vec<Line>,
    /// `jsonl` was printed as the outcomes came.
    printed: bool,
    /// Why the CSV file could not be written.
    pub(super) unwritten: Option<Error>,
}

impl ExternalReport {
    /// Writes a CSV file with a row a CSR, complete or not at all. Separated as the spreadsheets of the language expect
    /// it, and marked as UTF-8, which they else take for something else.
    pub(super) fn write(&self, path: &Path, language: Language) -> std::io::Result<()> {
        let separator = match language {
            Language::English => ",",
            Language::French => ";",
        };
        let columns =
            ["file", "result", "request", "common_name", "state", "code", "message", "replaces", "replaced_by"];
        let head = columns.join(separator);
        let mut content = format!("\u{feff}{head}\r\n");
        self.lines.iter().for_each(|line| content.push_str(&line.csv(separator)));
        crate::client::journal::write_durably(&std::path::absolute(path)?, content.as_bytes())
    }
}

impl Report for ExternalReport {
    fn text(&self, language: Language) -> String {
        let mut text = String::new();
        for line in &self.lines {
            text.push_str(&(line.words(language) + "\n"));
            if let Some(Fault { explanation, .. }) = line.ended.fault() {
                text.extend(explanation.details.iter().map(|detail| format!("  - {detail}\n")));
                text.extend(explanation.hint.iter().map(|hint| format!("  {hint}\n")));
            }
        }
        let good = self.lines.iter().filter(|line| line.ended.fault().is_none()).count();
        let checked = self.lines.iter().any(|line| matches!(line.ended, Ended::Checked(_)));
        let next = match (good, checked) {
            (0, _) => return text,
            (_, true) => Text::new("submit-dry-run"),
            (_, false) => Text::new("external-next"),
        };
        if let count @ 2.. = self.lines.len() {
            let summary = Text::new("external-summary").with("good", good).with("failed", count - good);
            text.push_str(&format!("\n{}", summary.in_language(language)));
        }
        text.push_str(&format!("\n{}\n", next.in_language(language)));
        text
    }

    fn json(&self, _language: Language) -> Json<'_> {
        let to_print = if self.printed { &[][..] } else { &self.lines };
        Json::List("files", Box::new(to_print.iter().map(Line::json)))
    }

    fn exit(&self) -> Exit {
        let unwritten = self.unwritten.as_ref().map_or(Exit::Done, Exit::from);
        self.lines.iter().fold(unwritten, |exit, line| exit.or(line.exit()))
    }

    fn error(&self) -> Option<&Error> {
        self.unwritten.as_ref()
    }
}
