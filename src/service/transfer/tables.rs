//! The records of a whole table, one line of JSON each, and the digest over them: the same in a backup's file, in SQLite
//! and in PostgreSQL.

use std::io::{self, Write};

use aws_lc_rs::digest::{Context, SHA256};

use super::{Contents, TransferError, Watch};
use crate::protocol::secret::hex;
use crate::service::db::Connection;
use crate::service::db::records::{self, Record, Table};

/// Counts records and takes the digest over their lines.
pub(super) struct Digest {
    records: u64,
    context: Context,
}

impl Digest {
    pub(super) fn new() -> Self {
        Self { records: 0, context: Context::new(&SHA256) }
    }

    /// Adds a record and returns its line.
    pub(super) fn add(&mut self, record: &Record) -> Result<Vec<u8>, TransferError> {
        let mut line = serde_json::to_vec(record).map_err(io::Error::from)?;
        line.push(b'\n');
        self.context.update(&line);
        self.records += 1;
        Ok(line)
    }

    pub(super) fn finish(self, table: Table) -> Contents {
        Contents { table, records: self.records, sha256: hex(self.context.finish().as_ref()) }
    }
}

/// How far work on many records is.
pub(super) struct Count<'a> {
    pub(super) watch: Watch<'a>,
    pub(super) done: u64,
    pub(super) of: u64,
}

impl Count<'_> {
    pub(super) fn advance(&mut self, records: usize) {
        self.done += records as u64;
        (self.watch)(self.done, self.of);
    }
}

/// Reads a table to its end and writes the lines of its records.
pub(super) async fn read_out(
    connection: &mut Connection,
    table: Table,
    into: &mut impl Write,
    count: &mut Count<'_>,
) -> Result<Contents, TransferError> {
    let mut digest = Digest::new();
    let mut last = None;
    loop {
        let page = records::page(connection, &table, last.as_ref()).await?;
        for record in &page {
            into.write_all(&digest.add(record)?)?;
        }
        count.advance(page.len());
        last = match page.into_iter().next_back() {
            Some(record) => Some(record),
            None => return Ok(digest.finish(table)),
        };
    }
}
