//! What `fetch` says: how every request stands.

use serde_json::{Value, json};

use crate::client::error::Fault;
use crate::client::exit::Exit;
use crate::client::journal::{Record, Step};
use crate::client::report::{Json, Report};
use crate::locales::{self, Language, Text};
use crate::protocol::messages::RequestStatus;
use crate::protocol::request::{Kind, State};

/// How one request stands after a fetch.
pub(super) struct Line {
    pub(super) id: String,
    pub(super) kind: Kind,
    pub(super) common_name: String,
    source: Option<String>,
    pub(super) status: Option<RequestStatus>,
    pub(super) location: Option<String>,
    /// No newer request for the same identity is known, so this one decides how the command ends.
    pub(super) newest: bool,
    /// Something became known or was done in this run.
    pub(super) news: bool,
    before: (Option<State>, Step),
    pub(super) fault: Option<Fault>,
}

impl Line {
    pub(super) fn new(record: &Record, newest: bool) -> Self {
        Self {
            id: record.id.clone(),
            kind: record.submission.kind,
            common_name: record.common_name.clone(),
            source: record.source.clone(),
            status: record.status.clone(),
            location: record.location.clone(),
            newest,
            news: false,
            before: (record.state(), record.step),
            fault: None,
        }
    }

    pub(super) fn fail(&mut self, fault: Fault) {
        self.fault = Some(fault);
    }

    pub(super) fn update(&mut self, record: &Record) {
        self.status.clone_from(&record.status);
        self.location.clone_from(&record.location);
        self.news = self.before != (record.state(), record.step);
    }

    fn state(&self) -> Option<State> {
        self.status.as_ref().map(|status| status.state)
    }

    pub(super) fn exit(&self) -> Exit {
        if let Some(fault) = &self.fault {
            return fault.exit;
        }
        match self.state() {
            Some(State::Pending) => Exit::Pending,
            Some(State::Approved) if self.location.is_none() => Exit::Pending,
            Some(state) if state.is_final() && self.newest => Exit::Refused,
            _ => Exit::Done,
        }
    }

    /// Worth a line to a person: open, new, wrong, or the last word on an identity.
    fn matters(&self) -> bool {
        self.fault.is_some() || self.status.is_some() && (self.news || self.newest)
    }

    /// What a person reads of it, but for the hint, which may be the same for many.
    fn words(&self, language: Language) -> Vec<String> {
        let mut lines = vec![self.standing(language)];
        if let Some(Fault { explanation: error, .. }) = &self.fault {
            lines.push(format!("  {}", error.message));
            lines.extend(error.details.iter().map(|detail| format!("  - {detail}")));
        }
        lines
    }

    fn hint(&self) -> Option<&str> {
        self.fault.as_ref()?.explanation.hint.as_deref()
    }

    fn standing(&self, language: Language) -> String {
        let Some(status) = &self.status else {
            let name = self.source.as_ref().unwrap_or(&self.common_name);
            return Text::new("fetch-not-sent").with("name", name).in_language(language);
        };
        let number = status.number;
        let reason = status.reason.clone().unwrap_or_default();
        let named = |text: Text| text.with("number", number).with("common_name", &self.common_name);
        named(match (status.state, &self.location, &status.replaced_by) {
            (State::Pending, ..) => Text::new("fetch-pending").with_text("approver", locales::role(status.approver)),
            (State::Installed, Some(location), _) => Text::new("fetch-installed").with("location", location),
            (State::Downloaded, Some(location), _) => Text::new("fetch-downloaded").with("location", location),
            (State::Rejected, ..) => Text::new("fetch-rejected").with("reason", &reason),
            (State::Cancelled, _, Some(newer)) => Text::new("fetch-cancelled").with("newer", newer),
            (State::Revoked, ..) if !reason.is_empty() => Text::new("fetch-revoked").with("reason", &reason),
            (state, ..) => Text::new("fetch-state").with_text("state", locales::state(state)),
        })
        .in_language(language)
    }

    fn json(&self) -> Value {
        let mut value = json!({
            "record": self.id,
            "kind": self.kind,
            "common_name": self.common_name,
            "news": self.news,
            "location": self.location,
            "error": self.fault.as_ref().map(|fault| &*fault.explanation),
            "exit_code": self.exit() as u8,
        });
        if let Some(status) = &self.status {
            value["request"] = super::super::request_json(status);
        }
        value
    }
}

/// How all requests stand after a fetch.
pub(in crate::client::commands) struct FetchReport {
    pub(super) lines: Vec<Line>,
}

impl Report for FetchReport {
    fn text(&self, language: Language) -> String {
        let mut text = String::new();
        let mut lines = self.lines.iter().filter(|line| line.matters()).peekable();
        while let Some(line) = lines.next() {
            text.extend(line.words(language).into_iter().map(|words| words + "\n"));
            // Once for all in a row that share it.
            if lines.peek().is_none_or(|next| next.hint() != line.hint()) {
                text.extend(line.hint().map(|hint| format!("  {hint}\n")));
            }
        }
        if self.lines.is_empty() {
            text.push_str(&(Text::new("fetch-nothing").in_language(language) + "\n"));
        }
        let next = match self.exit() {
            Exit::Pending => Some(Text::new("fetch-next-pending")),
            Exit::Done if self.lines.iter().any(|line| line.news && line.state() == Some(State::Installed)) => {
                Some(Text::new("fetch-next-installed"))
            }
            _ => None,
        };
        text.extend(next.map(|next| format!("\n{}\n", next.in_language(language))));
        text
    }

    fn json(&self, _language: Language) -> Json<'_> {
        Json::List("requests", Box::new(self.lines.iter().map(Line::json)))
    }

    fn exit(&self) -> Exit {
        self.lines.iter().fold(Exit::Done, |exit, line| exit.or(line.exit()))
    }
}
