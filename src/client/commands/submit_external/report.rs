//! What `submit-external` says: how every file ended, in the order of the files.

use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use super::super::request_json;
use crate::client::error::Fault;
use crate::client::exit::Exit;
use crate::client::report::{Json, Lines, Progress, Report};
use crate::locales::{Language, Text};
use crate::protocol::messages::RequestStatus;
use crate::protocol::text::{csv_cell, printable};

/// How a file ended, where it did not fail.
#[derive(Clone)]
pub(super) enum Sent {
    /// A dry run: good, and this is its common name.
    Checked(String),
    /// Accepted now.
    Now(RequestStatus),
    /// Accepted by an earlier run, or in this one from another file.
    Before(RequestStatus),
}

/// What becomes known of a file.
pub(super) enum Outcome {
    /// How it ended.
    Ended(Result<Sent, Fault>),
    /// It holds the same CSR as an earlier one, and ends as that one does.
    As(usize),
}

/// The outcomes as they come, in any order; each is told once all before it are known.
pub(super) struct Results<'a> {
    files: Vec<PathBuf>,
    outcomes: Vec<Option<Outcome>>,
    told: Vec<Line>,
    lines: Lines<'a>,
    progress: Progress,
}

impl<'a> Results<'a> {
    pub(super) fn new(files: Vec<PathBuf>, lines: Lines<'a>, progress: Progress) -> Self {
        let outcomes = files.iter().map(|_| None).collect();
        Self { told: Vec::with_capacity(files.len()), files, outcomes, lines, progress }
    }

    /// Takes the outcome of a file.
    pub(super) fn settle(&mut self, index: usize, outcome: Outcome) {
        self.outcomes[index] = Some(outcome);
        while let Some(outcome) = self.outcomes.get_mut(self.told.len()).and_then(Option::take) {
            let ended = match outcome {
                Outcome::Ended(ended) => ended,
                Outcome::As(earlier) => match self.told[earlier].ended.clone() {
                    Ok(Sent::Now(status)) => Ok(Sent::Before(status)),
                    other => other,
                },
            };
            let line = Line { file: std::mem::take(&mut self.files[self.told.len()]), ended };
            self.progress.aside(|| self.lines.print(line.exit(), || line.json()));
            self.progress.advance(1);
            self.told.push(line);
        }
    }

    /// All of them, once every outcome is known; and whether the lines could be printed.
    pub(super) fn finish(self) -> (ExternalReport, std::io::Result<()>) {
        let printed = self.lines.are_printed();
        (ExternalReport { lines: self.told, printed }, self.lines.finish())
    }
}

/// A file and how it ended.
struct Line {
    file: PathBuf,
    ended: Result<Sent, Fault>,
}

impl Line {
    fn exit(&self) -> Exit {
        self.ended.as_ref().err().map_or(Exit::Done, |fault| fault.exit)
    }

    fn json(&self) -> Value {
        let mut value = json!({ "file": self.file.display().to_string() });
        match &self.ended {
            Ok(Sent::Checked(common_name)) => value["common_name"] = json!(common_name),
            Ok(Sent::Now(status)) => value["request"] = request_json(status),
            Ok(Sent::Before(status)) => {
                value["request"] = request_json(status);
                value["submitted_before"] = json!(true);
            }
            Err(Fault { exit, explanation, .. }) => {
                value["error"] = json!(**explanation);
                value["exit_code"] = json!(*exit as u8);
            }
        }
        value
    }

    fn csv(&self, separator: &str) -> String {
        let file = self.file.display().to_string();
        let of_request = |result: &str, status: &RequestStatus| {
            let (number, state) = (status.number.to_string(), status.state.to_string());
            [file.clone(), result.to_owned(), number, status.common_name.clone(), state, String::new(), String::new()]
        };
        let without_request = |result: &str, name: &str, code: &str, message: String| {
            let empty = String::new;
            [file.clone(), result.to_owned(), empty(), name.to_owned(), empty(), code.to_owned(), message]
        };
        let cells = match &self.ended {
            Ok(Sent::Checked(common_name)) => without_request("checked", common_name, "", String::new()),
            Ok(Sent::Now(status)) => of_request("submitted", status),
            Ok(Sent::Before(status)) => of_request("submitted-before", status),
            Err(Fault { explanation, .. }) => {
                let message = std::iter::once(&explanation.message).chain(&explanation.details);
                let message: Vec<&str> = message.map(String::as_str).collect();
                without_request("failed", "", &explanation.code, message.join(" "))
            }
        };
        cells.map(|cell| csv_cell(&printable(&cell))).join(separator) + "\r\n"
    }
}

/// How every file ended.
pub(in crate::client::commands) struct ExternalReport {
    lines: Vec<Line>,
    /// `jsonl` was printed as the outcomes came.
    printed: bool,
}

impl ExternalReport {
    /// Writes a CSV file with a row a CSR, complete or not at all. Separated as the spreadsheets of the language expect
    /// it, and marked as UTF-8, which they else take for something else.
    pub(super) fn write(&self, path: &Path, language: Language) -> std::io::Result<()> {
        let separator = match language {
            Language::English => ",",
            Language::French => ";",
        };
        let head = ["file", "result", "request", "common_name", "state", "code", "message"].join(separator);
        let mut content = format!("\u{feff}{head}\r\n");
        self.lines.iter().for_each(|line| content.push_str(&line.csv(separator)));
        crate::client::journal::write_durably(&std::path::absolute(path)?, content.as_bytes())
    }
}

impl Report for ExternalReport {
    fn text(&self, language: Language) -> String {
        let mut text = String::new();
        for line in &self.lines {
            let file = line.file.display();
            let words = match &line.ended {
                Ok(Sent::Checked(name)) => Text::new("external-checked").with("common_name", name),
                Ok(Sent::Now(status)) => Text::new("external-submitted")
                    .with("number", status.number)
                    .with("common_name", &status.common_name),
                Ok(Sent::Before(status)) => {
                    Text::new("external-known").with("number", status.number).with("common_name", &status.common_name)
                }
                Err(fault) => Text::new("external-failed").with("message", &fault.explanation.message),
            };
            text.push_str(&(words.with("file", file).in_language(language) + "\n"));
            if let Err(Fault { explanation, .. }) = &line.ended {
                text.extend(explanation.details.iter().map(|detail| format!("  - {detail}\n")));
                text.extend(explanation.hint.iter().map(|hint| format!("  {hint}\n")));
            }
        }
        let good = self.lines.iter().filter(|line| line.ended.is_ok()).count();
        let checked = self.lines.iter().any(|line| matches!(line.ended, Ok(Sent::Checked(_))));
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
        self.lines.iter().fold(Exit::Done, |exit, line| exit.or(line.exit()))
    }
}
