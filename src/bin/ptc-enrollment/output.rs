//! Results as text or JSON on stdout, errors on stderr.

use std::fmt::Write as _;
use std::io::{self, Write};

use ptc_enroll::locales::{self, Language, Text};
use ptc_enroll::protocol::text::printable;
use serde::Serialize;
use serde_json::{Value, json};
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

    /// Writes a result: as JSON under `name`, or as the text that `text` makes.
    pub(crate) fn result(
        &self,
        name: &str,
        value: &impl Serialize,
        text: impl FnOnce() -> String,
    ) -> Result<(), CommandError> {
        let written = match self.format {
            Format::Text => text(),
            Format::Json => {
                let value = serde_json::to_value(value).map_err(io::Error::from)?;
                ascii(&json!({ "schema": SCHEMA, name: value }))
            }
        };
        line(&mut io::stdout().lock(), written.trim_end()).map_err(CommandError::from)
    }

    /// Writes an error: what, why and what to do next.
    pub(crate) fn error(&self, error: &CommandError) {
        let text = error.text();
        let (message, hint) = (text.in_language(self.language), text.hint(self.language));
        let written = match self.format {
            Format::Json => ascii(&json!({
                "schema": SCHEMA,
                "error": { "code": error.code(), "message": message, "hint": hint, "findings": error.findings() },
            })),
            Format::Text => {
                let mut lines = Text::new("error-line").with("message", message).in_language(self.language);
                for finding in error.findings() {
                    let _ = write!(lines, "\n  - {}", locales::finding(finding, self.language));
                }
                if let Some(hint) = hint {
                    let _ = write!(lines, "\n{}", Text::new("hint-line").with("hint", hint).in_language(self.language));
                }
                lines
            }
        };
        // Where stderr is closed there is nobody to tell.
        let _ = line(&mut io::stderr().lock(), &written);
    }

    /// A table with a title for each column, or a line that says that it is empty.
    pub(crate) fn table<const N: usize>(&self, titles: [Text; N], rows: &[[String; N]]) -> String {
        if rows.is_empty() {
            return Text::new("table-empty").in_language(self.language);
        }
        let titles = titles.map(|title| title.in_language(self.language));
        let rows: Vec<[String; N]> =
            rows.iter().map(|row| row.each_ref().map(|cell| printable(cell).into_owned())).collect();
        let mut widths = titles.each_ref().map(|title| title.chars().count());
        for row in &rows {
            for (width, cell) in widths.iter_mut().zip(row) {
                *width = (*width).max(cell.chars().count());
            }
        }
        let line = |row: &[String; N]| {
            let cells: Vec<String> = row.iter().zip(widths).map(|(cell, width)| format!("{cell:<width$}")).collect();
            cells.join("  ").trim_end().to_owned()
        };
        [&titles].into_iter().chain(&rows).map(line).collect::<Vec<_>>().join("\n")
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

/// JSON of ASCII characters only: what redirects and old consoles do to others is not foreseeable.
fn ascii(value: &Value) -> String {
    let text = value.to_string();
    let mut safe = String::with_capacity(text.len());
    for character in text.chars() {
        if character.is_ascii() && character != '\u{7f}' {
            safe.push(character);
        } else {
            // Only strings hold others, so the escape of strings serves (RFC 8259 §7).
            for unit in character.encode_utf16(&mut [0; 2]) {
                let _ = write!(safe, "\\u{unit:04x}");
            }
        }
    }
    safe
}

fn line(stream: &mut impl Write, text: &str) -> io::Result<()> {
    writeln!(stream, "{text}")?;
    stream.flush()
}
