//! The log: lines on stderr, each readable alone, inert whatever it quotes.

use std::io::Write;

use env_logger::Builder;
use log::LevelFilter;
use ptc_enroll::protocol::text::printable;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

/// Starts the log: `info` and worse for the service, `error` beside a command's own output; `RUST_LOG` overrides.
pub(crate) fn start(service: bool) {
    let level = if service { LevelFilter::Info } else { LevelFilter::Error };
    Builder::new()
        .filter_level(level)
        .parse_default_env()
        .format(|line, record| {
            let now = OffsetDateTime::now_utc();
            // Whole milliseconds are enough, and a year has four digits for a while.
            let now = now.replace_millisecond(now.millisecond()).unwrap_or(now).format(&Rfc3339).unwrap_or_default();
            let message = record.args().to_string();
            writeln!(line, "{now} {:5} {}", record.level(), printable(&message))
        })
        .init();
}
