//! The log: lines on stderr, each readable alone, inert whatever it quotes; for people or for programs.

use std::io::{self, Write};
use std::num::NonZeroU8;

use env_logger::Builder;
use env_logger::fmt::Formatter;
use log::kv::{self, Key, Value as Field, VisitSource};
use log::{LevelFilter, Record};
use ptc_enroll::protocol::text::{ascii_line, printable};
use ptc_enroll::service::{files, request_scope};
use serde_json::{Map, Value};
use time::OffsetDateTime;
use time::format_description::well_known::Iso8601;
use time::format_description::well_known::iso8601::{Config, EncodedConfig, TimePrecision};

use crate::cli::LogFormat;

/// Under which name a line tells which request it belongs to.
const REQUEST_ID: &str = "request_id";

/// Starts the log of the service (`info` and worse) in its format, or of a command (`error` and what it waits for, beside its
/// own output); `RUST_LOG` overrides the level.
pub(crate) fn start(service: Option<LogFormat>) {
    let level = if service.is_some() { LevelFilter::Info } else { LevelFilter::Error };
    let format = match service {
        Some(LogFormat::Json) => write_json,
        Some(LogFormat::Text) | None => write_text,
    };
    // Whoever waits is told for what.
    let mut builder = Builder::new();
    builder.filter_level(level).filter_module(files::WAITING, level.max(LevelFilter::Warn));
    builder.parse_default_env().format(format).init();
}

/// `time LEVEL what happened: name=value name=value`
fn write_text(line: &mut Formatter, record: &Record<'_>) -> io::Result<()> {
    let mut message = record.args().to_string();
    let mut fields = Words { separator: if message.contains(": ") { " " } else { ": " }, message: &mut message };
    record.key_values().visit(&mut fields).map_err(io::Error::other)?;
    request_scope::with_id(|id| fields.add(REQUEST_ID, id));
    writeln!(line, "{} {:5} {}", now(), record.level(), printable(&message))
}

/// One object of ASCII a line.
fn write_json(line: &mut Formatter, record: &Record<'_>) -> io::Result<()> {
    let mut object = Map::new();
    object.insert("time".to_owned(), now().into());
    object.insert("level".to_owned(), record.level().as_str().into());
    object.insert("target".to_owned(), record.target().into());
    object.insert("message".to_owned(), record.args().to_string().into());
    request_scope::with_id(|id| object.insert(REQUEST_ID.to_owned(), id.into()));
    record.key_values().visit(&mut Members(&mut object)).map_err(io::Error::other)?;
    line.write_all(ascii_line(&Value::Object(object)).as_bytes())
}

/// The present moment (RFC 3339), always as long, so that sorted lines are in order.
fn now() -> String {
    const MILLISECONDS: EncodedConfig =
        Config::DEFAULT.set_time_precision(TimePrecision::Second { decimal_digits: NonZeroU8::new(3) }).encode();
    // A year has four digits for a while.
    OffsetDateTime::now_utc().format(&Iso8601::<MILLISECONDS>).unwrap_or_default()
}

struct Words<'a> {
    separator: &'static str,
    message: &'a mut String,
}

impl Words<'_> {
    fn add(&mut self, name: &str, value: impl std::fmt::Display) {
        use std::fmt::Write;

        // Writing into a string does not fail.
        let _ = write!(self.message, "{}{name}={value}", self.separator);
        self.separator = " ";
    }
}

impl<'kvs> VisitSource<'kvs> for Words<'_> {
    fn visit_pair(&mut self, name: Key<'kvs>, value: Field<'kvs>) -> Result<(), kv::Error> {
        self.add(name.as_str(), value);
        Ok(())
    }
}

struct Members<'a>(&'a mut Map<String, Value>);

impl<'kvs> VisitSource<'kvs> for Members<'_> {
    fn visit_pair(&mut self, name: Key<'kvs>, value: Field<'kvs>) -> Result<(), kv::Error> {
        let number = value.to_u64().map(Value::from).or_else(|| value.to_f64().map(Value::from));
        self.0.insert(name.to_string(), number.unwrap_or_else(|| value.to_string().into()));
        Ok(())
    }
}
