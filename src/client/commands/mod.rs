//! The commands, a file each: arguments in, a report out.

mod completions;
mod fetch;
mod forget;
mod pending;
mod status;
mod subject;
mod submit;
mod submit_external;
mod test;

use serde_json::{Value, json};
use time::format_description::well_known::Rfc3339;

use super::cli::{Arguments, Command};
use super::config::Config;
use super::error::Error;
use super::report::{Failure, Outcome, Place, Printer, Report};
use crate::locales::{self, Language, Text};
use crate::protocol::messages::RequestStatus;
use crate::protocol::request::State;
use crate::protocol::text::printable;

/// Runs the command of a command line.
pub fn run(arguments: Arguments, printer: &Printer) -> Result<Outcome, Failure> {
    let command = arguments.command.name();
    let fail = |place: Option<Place>| move |error: Error| Failure { command, place, error: Box::new(error) };
    // These two know no environment.
    let report = match arguments.command {
        Command::Completions { shell } => Some(completions::run(shell)),
        Command::HoldClipboard => Some(subject::hold_clipboard()),
        _ => None,
    };
    if let Some(report) = report {
        return report.map(|report| Outcome { command, place: None, report }).map_err(fail(None));
    }
    let config = Config::load(&arguments.global, printer.language()).map_err(|error| fail(None)(error.into()))?;
    let place = Place {
        environment: config.environment().to_owned(),
        service_url: config.package.settings.service_url.clone(),
    };
    let report = match arguments.command {
        Command::Submit(arguments) => boxed(submit::run(&config, arguments)),
        Command::Fetch(arguments) => boxed(fetch::run(&config, &arguments)),
        Command::Test => boxed(test::run(&config)),
        Command::Subject(arguments) => boxed(subject::run(&config, &arguments)),
        Command::SubmitExternal(arguments) => {
            boxed(submit_external::run(&config, arguments, printer.lines(command, &place)))
        }
        Command::Forget(arguments) => boxed(forget::run(&config, &arguments)),
        Command::Status | Command::Completions { .. } | Command::HoldClipboard => boxed(status::run(&config)),
    };
    match report {
        Ok(report) => Ok(Outcome { command, place: Some(place), report }),
        Err(error) => {
            config.events.record("error", &[("command", &command), ("message", &error)]);
            Err(fail(Some(place))(error))
        }
    }
}

fn boxed<R: Report + 'static>(report: Result<R, Error>) -> Result<Box<dyn Report>, Error> {
    report.map(|report| Box::new(report) as Box<dyn Report>)
}

/// Labelled values, one a line, empty ones left out, lined up.
fn fields(rows: &[(Text, &str)], language: Language) -> String {
    /// Wide enough for the labels of both languages.
    const WIDTH: usize = 24;
    rows.iter()
        .filter(|(_, value)| !value.is_empty())
        .map(|(label, value)| format!("  {:<WIDTH$}  {}\n", label.in_language(language), printable(value)))
        .collect()
}

/// What a person wants to know of a submitted request: its number, who decides, what it replaced, what to do next.
fn submitted(status: &RequestStatus, resumed: bool) -> Vec<Text> {
    let mut lines = Vec::new();
    if resumed {
        lines.push(Text::new("submit-resumed"));
    }
    lines.push(match status.state {
        State::Pending => Text::new("submit-pending")
            .with("number", status.number)
            .with_text("approver", locales::role(status.approver)),
        state => Text::new("submit-decided").with("number", status.number).with_text("state", locales::state(state)),
    });
    if let Some(older) = status.replaces {
        lines.push(Text::new("submit-replaces").with("number", older));
    }
    if matches!(status.state, State::Pending | State::Approved) {
        lines.push(Text::new("submit-next"));
    }
    lines
}

/// A request's standing for programs, without the certificate.
fn request_json(status: &RequestStatus) -> Value {
    json!({
        "number": status.number,
        "kind": status.kind,
        "common_name": status.common_name,
        "state": status.state,
        "approver": status.approver,
        "submitted_at": status.submitted_at.format(&Rfc3339).unwrap_or_default(),
        "decided_at": status.decided_at.and_then(|time| time.format(&Rfc3339).ok()),
        "reason": status.reason,
        "replaces": status.replaces,
        "replaced_by": status.replaced_by,
    })
}
