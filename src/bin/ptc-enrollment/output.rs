//! Results as text or JSON on stdout, errors on stderr.

use std::cell::{Cell, OnceCell};
use std::io::{self, Write};

use ptc_enroll::client::report::Progress;
use ptc_enroll::locales::{self, Language, Text};
use ptc_enroll::protocol::text::{ascii_line, printable, table};
use serde::Serialize;
use serde_json::json;
use time::OffsetDateTime;
use time::macros::format_description;

use crate::cli::Format;
use crate::error::CommandError;

/// The version of the JSON that commands write; docs/operations.md describes it.
const SCHEMA: &str = "ptc-enrollment/1";

/// How and in which language to write.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Output {
    format: Format,
    pub(crate) language: Language,
}

impl Output {
    pub(crate) const fn new(format: Format, language: Language) -> Self {
        Self { format, language }
    }

    /// Writes the result of a command: as JSON, or as the text that `text` makes.
    pub(crate) fn result(
        &self,
        command: &str,
        value: &impl Serialize,
        text: impl FnOnce() -> String,
    ) -> Result<(), CommandError> {
        self.result_with(command, 0, value, text)
    }

    /// The same of a command that ends with an exit code of its own.
    pub(crate) fn result_with(
        &self,
        command: &str,
        exit_code: u8,
        value: &impl Serialize,
        text: impl FnOnce() -> String,
    ) -> Result<(), CommandError> {
        let written = match self.format {
            Format::Text => format!("{}\n", text().trim_end()),
            Format::Json => {
                let value = serde_json::to_value(value).map_err(io::Error::from)?;
                ascii_line(&json!({ "schema": SCHEMA, "command": command, "exit_code": exit_code, "result": value }))
            }
        };
        print(&mut io::stdout().lock(), &written).map_err(CommandError::from)
    }

    /// Writes what stopped a command: what, why and what to do next, on stderr; with JSON on stdout too.
    pub(crate) fn error(&self, error: &CommandError) {
        let text = error.text();
        let (message, hint) = (text.in_language(self.language), text.hint(self.language));
        let details: Vec<String> =
            error.findings().iter().map(|finding| locales::finding(finding, self.language)).collect();
        // What has a result has said so there already.
        if self.format == Format::Json && !matches!(error, CommandError::NotAllDecided { .. }) {
            let explained = json!({ "code": error.code(), "message": message, "hint": hint, "details": details });
            let object = json!({ "schema": SCHEMA, "exit_code": error.exit() as u8, "error": explained });
            // Where stdout is closed there is still stderr.
            let _ = print(&mut io::stdout().lock(), &ascii_line(&object));
        }
        let mut lines = vec![Text::new("line-error").with("message", message)];
        lines.extend(details.iter().map(|detail| Text::new("line-detail").with("detail", detail)));
        lines.extend(hint.iter().map(|hint| Text::new("line-hint").with("hint", hint)));
        let written: String = lines.iter().map(|line| line.in_language(self.language) + "\n").collect();
        // Where stderr is closed too, the exit code is all that is left.
        let _ = print(&mut io::stderr().lock(), &written);
    }

    /// A table with a title for each column, or a line that says that there is nothing.
    pub(crate) fn table<const N: usize>(&self, titles: [Text; N], rows: &[[String; N]]) -> String {
        if rows.is_empty() {
            return Text::new("table-empty").in_language(self.language);
        }
        let titles = titles.iter().map(|title| title.in_language(self.language)).collect();
        let inert = |row: &[String; N]| row.iter().map(|cell| printable(cell).into_owned()).collect();
        table(titles, rows.iter().map(inert).collect())
    }

    /// Names and values, one pair a line; pairs without a value are left out.
    pub(crate) fn pairs(&self, pairs: &[(Text, String)]) -> String {
        let pairs: Vec<(String, &String)> = pairs
            .iter()
            .filter(|(_, value)| !value.is_empty())
            .map(|(name, value)| (name.in_language(self.language), value))
            .collect();
        let width = pairs.iter().map(|(name, _)| name.chars().count()).max().unwrap_or_default();
        let lines: Vec<String> =
            pairs.iter().map(|(name, value)| format!("{name:<width$}  {}", printable(value))).collect();
        lines.join("\n")
    }

    /// Shows how far work on many records is, which says how many are done, of so many.
    pub(crate) fn watch_records(&self) -> impl Fn(u64, u64) + use<> {
        let (language, progress, shown) = (self.language, OnceCell::new(), Cell::new(0));
        let count = |records: u64| usize::try_from(records).unwrap_or(usize::MAX);
        move |done, of| {
            let working = || Progress::of(count(of), &Text::new("records-working"), language);
            progress.get_or_init(working).advance(count(done - shown.replace(done)));
        }
    }

    /// A text in the language chosen.
    pub(crate) fn say(&self, text: Text) -> String {
        text.in_language(self.language)
    }
}

/// A time as tables show it, in UTC.
pub(crate) fn moment(time: OffsetDateTime) -> String {
    time.format(format_description!("[year]-[month]-[day] [hour]:[minute]Z")).unwrap_or_default()
}

/// Yes or no as a text.
pub(crate) fn yes_no(yes: bool) -> Text {
    if yes { Text::new("yes") } else { Text::new("no") }
}

fn print(stream: &mut impl Write, text: &str) -> io::Result<()> {
    stream.write_all(text.as_bytes())?;
    stream.flush()
}
