//! Records that were made together and lie in one file, one a line: what would be thousands of syncs is one.
//!
//! A record lies in exactly one file. A file is replaced as a whole, so that each of its records is as it was before or
//! after a step, like one that lies alone.

use std::collections::HashMap;
use std::fs;
use std::io;
use std::path::Path;

use serde::Deserialize;
use zeroize::Zeroizing;

use super::{JournalError, Record};

/// The ending of a file that holds several records.
pub(super) const ENDING: &str = "jsonl";

/// What one record takes, with some room; a buffer that grows would leave tokens behind in memory.
const RECORD_LENGTH: usize = 4 * 1024;

/// All that is needed of a record that stays as it is.
#[derive(Deserialize)]
struct Named<'a> {
    #[serde(borrow)]
    id: &'a str,
}

/// The records in a file's content.
pub(super) fn read(content: &[u8]) -> impl Iterator<Item = Result<Record, serde_json::Error>> {
    lines(content).map(serde_json::from_slice)
}

/// A file's content with records put in, each in the place of its earlier form, or with them taken out. Empty where no
/// record is left.
pub(super) fn changed(path: &Path, records: &[&Record], keep: bool) -> Result<Zeroizing<Vec<u8>>, JournalError> {
    let damaged = |source| JournalError::Damaged { path: path.to_owned(), source };
    let before = match fs::read(path) {
        Ok(content) => Zeroizing::new(content),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Zeroizing::default(),
        Err(source) => return Err(JournalError::File { path: path.to_owned(), source }),
    };
    let mut open: HashMap<&str, &Record> = records.iter().map(|record| (record.id.as_str(), *record)).collect();
    let mut content = Zeroizing::new(Vec::with_capacity(before.len() + records.len() * RECORD_LENGTH));
    for line in lines(&before) {
        let Named { id } = serde_json::from_slice(line).map_err(damaged)?;
        match open.remove(id) {
            None => content.extend_from_slice(line),
            Some(record) if keep => serde_json::to_writer(&mut *content, record).map_err(damaged)?,
            Some(_) => continue,
        }
        content.push(b'\n');
    }
    for record in records.iter().filter(|record| keep && open.contains_key(record.id.as_str())) {
        serde_json::to_writer(&mut *content, record).map_err(damaged)?;
        content.push(b'\n');
    }
    Ok(content)
}

fn lines(content: &[u8]) -> impl Iterator<Item = &[u8]> {
    content.split(|byte| *byte == b'\n').filter(|line| !line.is_empty())
}
