//! What `ptc-enroll` does on an administrator's machine.
//!
//! One way through: [`cli::Arguments`] → [`config::Config`] → `commands::x::run` → a [`report::Report`] → printed once,
//! here. The parts below take plain values, never the whole configuration.

pub mod api;
pub mod cli;
pub mod commands;
pub mod config;
pub mod console;
pub mod csr;
pub mod error;
pub mod event_log;
pub mod exit;
pub mod external;
pub mod home;
pub mod installation;
pub mod journal;
pub mod keys;
pub mod machine;
pub mod manifest;
pub mod package;
pub mod prompt;
pub mod proxy;
pub mod report;
#[cfg(windows)]
pub mod schannel;
pub mod store;
#[cfg(windows)]
pub mod windows;

use std::ffi::OsString;
use std::process::ExitCode;

use crate::locales::Language;

/// Runs the program with its command line and prints what comes of it.
pub fn run(arguments: impl IntoIterator<Item = OsString>) -> ExitCode {
    let arguments = match cli::parse(arguments) {
        Ok(arguments) => arguments,
        Err(stop) => return stop.print().into(),
    };
    start_logging(arguments.global.verbose);
    let language = arguments.global.lang.unwrap_or_else(Language::system);
    let printer = report::Printer::new(arguments.global.output, language);
    match commands::run(arguments, &printer) {
        Ok(outcome) => printer.outcome(&outcome).into(),
        Err(failure) => printer.failure(&failure).into(),
    }
}

/// Logs go to stderr: warnings by default, more with `-v`, and as `RUST_LOG` says.
fn start_logging(verbose: u8) {
    let level = match verbose {
        0 => log::LevelFilter::Warn,
        1 => log::LevelFilter::Info,
        _ => log::LevelFilter::Debug,
    };
    let mut builder = env_logger::Builder::new();
    builder.filter_module("ptc_enroll", level).parse_default_env();
    // A second call in one process keeps the first logger, which is what is wanted.
    let _ = builder.try_init();
}
