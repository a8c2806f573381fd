//! `status`: the requests known here, from local records alone.

use serde_json::json;
use time::macros::format_description;

use crate::client::config::Config;
use crate::client::error::Error;
use crate::client::journal::{Record, Step};
use crate::client::report::{Json, Report};
use crate::locales::{self, Language, Text};
use crate::protocol::text::{printable, table};

pub(super) fn run(config: &Config) -> Result<StatusReport, Error> {
    Ok(StatusReport { records: config.journal().records()? })
}

/// What is known here.
pub(super) struct StatusReport {
    records: Vec<Record>,
}

impl Report for StatusReport {
    fn text(&self, language: Language) -> String {
        if self.records.is_empty() {
            return Text::new("status-nothing").in_language(language) + "\n";
        }
        let heading = [
            Text::new("column-request"),
            Text::new("column-state"),
            Text::new("column-kind"),
            Text::new("column-submitted"),
            Text::new("column-common-name"),
        ];
        let rows = self.records.iter().map(|record| {
            let state = record.state().map_or(const { Text::new("state-not-sent") }, locales::state);
            let time = record.created_at.format(format_description!("[year]-[month]-[day] [hour]:[minute]"));
            vec![
                record.number().map(|number| number.to_string()).unwrap_or_default(),
                state.in_language(language),
                locales::kind(record.submission.kind).in_language(language),
                time.unwrap_or_default(),
                printable(&record.common_name).into_owned(),
            ]
        });
        table(heading.iter().map(|text| text.in_language(language)).collect(), rows.collect())
    }

    fn json(&self, _language: Language) -> Json<'_> {
        let items = self.records.iter().map(|record| {
            json!({
                "record": record.id,
                "kind": record.submission.kind,
                "common_name": record.common_name,
                "sent": record.step != Step::Prepared,
                "location": record.location,
                "source": record.source,
                "request": record.status.as_ref().map(super::request_json),
            })
        });
        Json::List("requests", Box::new(items))
    }
}
