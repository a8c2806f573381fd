//! A manifest of servers elsewhere: a CSV file with a line a server, its CSR and what is known of it.
//!
//! It is read and checked as a whole before anything is sent: half a manifest is none.

use std::collections::HashMap;
use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use csv::{ByteRecord, ReaderBuilder, Trim};

use super::config::{ConfigError, ExternalFields, SHOWN, check_detail};
use super::external::is_no_file;
use crate::locales::{Language, Text};
use crate::protocol::text::shortened;

/// No manifest is larger, in bytes: room for 100,000 servers with every detail short.
const LIMIT: u64 = 16 * 1024 * 1024;

/// More mistakes than anybody reads at once.
const MISTAKES: usize = 20;

/// The column that names the CSR's file, relative to the manifest's folder.
const CSR: &str = "csr";

/// A column that may stand beside it.
struct Column {
    name: &'static str,
    /// The flag that gives the same, and whose rules the values keep.
    flag: &'static str,
    field: fn(&mut ExternalFields) -> &mut String,
}

const COLUMNS: [Column; 9] = [
    Column { name: "host_name", flag: "--host-name", field: |fields| &mut fields.machine.host_name },
    Column { name: "mac_address", flag: "--mac-address", field: |fields| &mut fields.machine.mac_address },
    Column { name: "nic_id", flag: "--nic-id", field: |fields| &mut fields.machine.nic_id },
    Column { name: "processor_id", flag: "--processor-id", field: |fields| &mut fields.machine.processor_id },
    Column { name: "os_version", flag: "--os-version", field: |fields| &mut fields.machine.os_version },
    Column { name: "os_type", flag: "--os-type", field: |fields| &mut fields.machine.os_type },
    Column { name: "email", flag: "--email", field: |fields| &mut fields.contact.email },
    Column { name: "telephone", flag: "--telephone", field: |fields| &mut fields.contact.telephone },
    Column { name: "description", flag: "--description", field: |fields| &mut fields.contact.description },
];

/// A server of the manifest.
#[derive(Debug)]
pub struct Row {
    /// The file of its CSR.
    pub csr: PathBuf,
    /// What the manifest says of it; empty where it says nothing.
    pub fields: ExternalFields,
}

/// Why a manifest cannot be used.
#[derive(Debug, thiserror::Error)]
#[error("{}", self.text())]
pub struct ManifestError {
    path: PathBuf,
    mistakes: Vec<Mistake>,
}

/// What is wrong on a line, and in which column.
#[derive(Debug)]
struct Mistake {
    line: u64,
    column: Option<String>,
    text: Text,
}

impl ManifestError {
    /// What happened.
    pub fn text(&self) -> Text {
        Text::new("error-manifest").with("path", self.path.display())
    }

    /// Every mistake, with its line and column.
    pub fn details(&self, language: Language) -> Vec<String> {
        let said = |mistake: &Mistake| {
            let text = match &mistake.column {
                Some(column) => Text::new("manifest-column").with("column", column),
                None => Text::new("manifest-line"),
            };
            text.with("line", mistake.line).with_text("mistake", mistake.text.clone()).in_language(language)
        };
        self.mistakes.iter().map(said).collect()
    }
}

/// The servers in a manifest, in its order.
///
/// UTF-8 with or without a byte order mark, separated by commas or, as Excel writes it in many countries, by semicolons.
pub fn read(path: &Path) -> Result<Vec<Row>, super::error::Error> {
    let file_error = |source| ConfigError::File { path: path.to_owned(), source };
    if is_no_file(path) {
        return Err(ConfigError::NotAFile { path: path.to_owned() }.into());
    }
    let mut content = Vec::new();
    File::open(path).and_then(|file| file.take(LIMIT + 1).read_to_end(&mut content)).map_err(file_error)?;
    if content.len() as u64 > LIMIT {
        return Err(file_error(io::ErrorKind::FileTooLarge.into()).into());
    }
    let mut reader = Reader { folder: path.parent().unwrap_or(Path::new("")), mistakes: Vec::new() };
    let rows = reader.rows(content.strip_prefix(b"\xef\xbb\xbf").unwrap_or(&content));
    match reader.mistakes {
        mistakes if mistakes.is_empty() => Ok(rows),
        mistakes => Err(ManifestError { path: path.to_owned(), mistakes }.into()),
    }
}

/// The line that a record starts on. Its position is where the reader went on, before the ends of lines that it skipped.
fn line_of(record: &ByteRecord, content: &[u8]) -> u64 {
    let Some(position) = record.position() else { return 1 };
    let skipped = content.iter().skip(usize::try_from(position.byte()).unwrap_or(usize::MAX));
    let ends = skipped.take_while(|byte| matches!(byte, b'\r' | b'\n')).filter(|byte| **byte == b'\n');
    position.line() + ends.count() as u64
}

/// Where quotes do not fit each other: a value that ends with the file, or goes on behind its closing quote (RFC 4180 §2).
/// What stands between would become part of a value, and the servers in it nobody's.
fn stray_quote(content: &[u8], separator: u8) -> Option<(u64, Text)> {
    let mut bytes = content.iter().copied().peekable();
    let mut line = 1;
    loop {
        // At the start of a value. Behind a space, a quote is one character like others.
        if bytes.next_if_eq(&b'"').is_some() {
            let opened = line;
            loop {
                match bytes.next() {
                    None => return Some((opened, Text::new("manifest-quote-open"))),
                    Some(b'"') if bytes.next_if_eq(&b'"').is_none() => break,
                    Some(byte) => line += u64::from(byte == b'\n'),
                }
            }
            while bytes.next_if(|byte| matches!(byte, b' ' | b'\t')).is_some() {}
            if bytes.peek().is_some_and(|byte| ![separator, b'\r', b'\n'].contains(byte)) {
                return Some((line, Text::new("manifest-quote-closed").with("opened", opened)));
            }
        }
        // To the start of the next one.
        match bytes.find(|byte| [separator, b'\r', b'\n'].contains(byte)) {
            None => return None,
            Some(byte) => line += u64::from(byte == b'\n'),
        }
    }
}

struct Reader<'a> {
    folder: &'a Path,
    mistakes: Vec<Mistake>,
}

impl Reader<'_> {
    fn rows(&mut self, content: &[u8]) -> Vec<Row> {
        let head = content.split(|byte| *byte == b'\n').next().unwrap_or_default();
        // No column's name holds either.
        let separator = if head.contains(&b';') { b';' } else { b',' };
        // “Unicode text”, as Excel calls it, is UTF-16.
        if head.contains(&0) || content.starts_with(b"\xff\xfe") || content.starts_with(b"\xfe\xff") {
            self.mistake(1, None, Text::new("manifest-not-utf8"));
            return Vec::new();
        }
        if let Some((line, mistake)) = stray_quote(content, separator) {
            self.mistake(line, None, mistake);
            return Vec::new();
        }
        let mut csv = ReaderBuilder::new()
            .delimiter(separator)
            .has_headers(false)
            .flexible(true)
            .trim(Trim::All)
            .from_reader(content);
        let mut record = ByteRecord::new();
        let mut columns: Option<Vec<&'static str>> = None;
        let mut rows = Vec::new();
        // The line on which each CSR was named first.
        let mut named: HashMap<PathBuf, u64> = HashMap::new();
        // Bytes in memory cannot fail to be read, and a record of any length is one.
        while self.mistakes.len() < MISTAKES && csv.read_byte_record(&mut record).unwrap_or(false) {
            let line = line_of(&record, content);
            // Spreadsheets leave lines of nothing but separators behind.
            if record.iter().all(<[u8]>::is_empty) {
                continue;
            }
            let Some(columns) = &columns else {
                columns = Some(self.columns(line, &record));
                if !self.mistakes.is_empty() {
                    break;
                }
                continue;
            };
            let Some(row) = self.row(line, columns, &record) else { continue };
            match named.insert(row.csr.clone(), line) {
                Some(first) => {
                    self.mistake(line, Some(CSR), Text::new("manifest-csr-repeated").with("first", first));
                }
                None => rows.push(row),
            }
        }
        if rows.is_empty() && self.mistakes.is_empty() {
            self.mistake(1, None, Text::new("manifest-empty"));
        }
        rows
    }

    /// The columns that the first line names.
    fn columns(&mut self, line: u64, head: &ByteRecord) -> Vec<&'static str> {
        let mut columns = Vec::with_capacity(head.len());
        for (index, name) in head.iter().enumerate() {
            if self.mistakes.len() == MISTAKES {
                break;
            }
            let name = String::from_utf8_lossy(name);
            let mut known = std::iter::once(CSR).chain(COLUMNS.map(|column| column.name));
            match known.find(|column| *column == name) {
                Some(column) if columns.contains(&column) => {
                    self.mistake(line, Some(column), Text::new("manifest-column-repeated"));
                }
                Some(column) => columns.push(column),
                None if name.is_empty() => {
                    self.mistake(line, None, Text::new("manifest-column-unnamed").with("place", index + 1));
                }
                None => {
                    let known = COLUMNS.map(|column| column.name).join(", ");
                    let text = Text::new("manifest-column-unknown").with("known", known);
                    self.mistake(line, Some(&shortened(&name, SHOWN)), text);
                }
            }
        }
        if self.mistakes.is_empty() && !columns.contains(&CSR) {
            self.mistake(line, None, Text::new("manifest-no-csr-column"));
        }
        columns
    }

    /// A server, unless its line holds a mistake.
    fn row(&mut self, line: u64, columns: &[&'static str], record: &ByteRecord) -> Option<Row> {
        if record.len() != columns.len() {
            let text = Text::new("manifest-count").with("found", record.len()).with("expected", columns.len());
            self.mistake(line, None, text);
            return None;
        }
        let before = self.mistakes.len();
        let mut row = Row { csr: PathBuf::new(), fields: ExternalFields::default() };
        for (name, value) in columns.iter().zip(record) {
            let Ok(value) = std::str::from_utf8(value) else {
                self.mistake(line, Some(name), Text::new("manifest-not-utf8"));
                continue;
            };
            match COLUMNS.iter().find(|column| column.name == *name) {
                None if value.is_empty() => self.mistake(line, Some(name), Text::new("manifest-no-csr")),
                None => {
                    row.csr = self.folder.join(value);
                    if is_no_file(&row.csr) {
                        self.mistake(line, Some(name), Text::new("manifest-not-a-file").with("value", value));
                    }
                }
                Some(_) if value.is_empty() => {}
                Some(column) => match check_detail(column.flag, value) {
                    Err(ConfigError::Invalid { value, expected, .. }) => {
                        let text = Text::new("manifest-value").with("value", value).with_text("expected", expected);
                        self.mistake(line, Some(name), text);
                    }
                    _ => value.clone_into((column.field)(&mut row.fields)),
                },
            }
        }
        (self.mistakes.len() == before).then_some(row)
    }

    fn mistake(&mut self, line: u64, column: Option<&str>, text: Text) {
        self.mistakes.push(Mistake { line, column: column.map(str::to_owned), text });
    }
}

impl ExternalFields {
    /// These fields, and where one is empty, the other's.
    pub fn or(&self, other: &Self) -> Self {
        let mut fields = self.clone();
        let mut other = other.clone();
        for Column { field, .. } in COLUMNS {
            if field(&mut fields).is_empty() {
                std::mem::swap(field(&mut fields), field(&mut other));
            }
        }
        fields
    }
}
