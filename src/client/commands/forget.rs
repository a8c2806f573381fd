//! `forget`: drops the records of requests to which nothing more can happen, so that they no longer count.

use std::collections::BTreeSet;

use serde_json::json;

use super::pending;
use crate::client::cli::ForgetArguments;
use crate::client::config::{Config, ConfigError};
use crate::client::error::Error;
use crate::client::journal::{Record, Step};
use crate::client::report::{Json, Report};
use crate::locales::{Language, Text};
use crate::protocol::request::RequestNumber;

pub(super) fn run(config: &Config, arguments: &ForgetArguments) -> Result<ForgetReport, Error> {
    let journal = pending::lock(config)?;
    let records = journal.read().records()?;
    // All or nothing: every number is looked at before any record goes.
    let numbers: BTreeSet<RequestNumber> = arguments.numbers.iter().copied().collect();
    let closed = numbers.iter().map(|number| closed(&records, *number)).collect::<Result<Vec<_>, _>>()?;
    pending::forget(config, &journal, &closed)?;
    for record in closed {
        config.events.record("forgotten", &[("record", &record.id)]);
    }
    Ok(ForgetReport { numbers: numbers.into_iter().collect() })
}

fn closed(records: &[Record], number: RequestNumber) -> Result<&Record, ConfigError> {
    match records.iter().find(|record| record.number() == Some(number)) {
        Some(record) if record.step == Step::Closed => Ok(record),
        Some(_) => Err(ConfigError::StillOpen { number }),
        None => Err(ConfigError::NotKnown { number }),
    }
}

/// The numbers that are forgotten now.
pub(super) struct ForgetReport {
    numbers: Vec<RequestNumber>,
}

impl Report for ForgetReport {
    fn text(&self, language: Language) -> String {
        let forgotten = |number| Text::new("forget-done").with("number", number).in_language(language) + "\n";
        self.numbers.iter().map(forgotten).collect()
    }

    fn json(&self, _language: Language) -> Json<'_> {
        json!({ "forgotten": self.numbers }).into()
    }
}
