//! Results, printed once: as text in a language, or as JSON of a versioned schema.

use std::fmt;
use std::io::{self, IsTerminal};

use serde::Serialize;
use serde_json::{Value, json};

use super::console;
use super::error::{Error, Explanation};
use super::exit::Exit;
use crate::locales::{Language, Text};
use crate::protocol::text::ascii_line;

/// The schema of JSON output, described in docs/json-output.md.
const SCHEMA: &str = "ptc-enroll/1";

/// The form of the output.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Output {
    /// For people.
    Text,
    /// One JSON object a command.
    Json,
    /// One JSON object a request.
    Jsonl,
}

/// What a command found out, in every form.
pub trait Report {
    /// For people.
    fn text(&self, language: Language) -> String;

    /// For programs.
    fn json(&self, language: Language) -> Json<'_>;

    /// The exit code that goes with it.
    fn exit(&self) -> Exit {
        Exit::Done
    }

    /// What went wrong once the work was done, so that its result is there all the same. The exit code tells of it too.
    fn error(&self) -> Option<&Error> {
        None
    }
}

/// A result for programs.
pub enum Json<'a> {
    /// One value.
    Value(Value),
    /// The name of a list, and a value a request, made when it is printed: thousands at once are much memory.
    List(&'static str, Box<dyn Iterator<Item = Value> + 'a>),
}

impl From<Value> for Json<'_> {
    fn from(value: Value) -> Self {
        Self::Value(value)
    }
}

/// Which service a command was about.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Place {
    /// Name of the environment.
    pub environment: String,
    /// Where its public listener is.
    pub service_url: String,
}

/// A command that ran to its end.
pub struct Outcome {
    /// The command's name.
    pub command: &'static str,
    /// Which service it was about; completions are about none.
    pub place: Option<Place>,
    /// What it found out.
    pub report: Box<dyn Report>,
}

/// A command that was stopped.
#[derive(Debug)]
pub struct Failure {
    /// The command's name.
    pub command: &'static str,
    /// Which service it was about, as far as that was known.
    pub place: Option<Place>,
    /// What stopped it.
    pub error: Box<Error>,
}

/// Prints results in the form and language chosen.
#[derive(Debug)]
pub struct Printer {
    output: Output,
    language: Language,
}

impl Printer {
    /// A printer for a form and a language.
    pub const fn new(output: Output, language: Language) -> Self {
        Self { output, language }
    }

    /// The language that it prints.
    pub const fn language(&self) -> Language {
        self.language
    }

    /// Lines of a command that takes long, printed as they come.
    pub const fn lines<'a>(&'a self, command: &'static str, place: &'a Place) -> Lines<'a> {
        Lines { printer: self, command, place, printed: Ok(()) }
    }

    /// Prints the result of a command and says how to exit.
    pub fn outcome(&self, outcome: &Outcome) -> Exit {
        let exit = outcome.report.exit();
        let error = outcome.report.error().map(|error| error.explain(self.language));
        let object = || self.envelope(outcome.command, outcome.place.as_ref(), exit);
        let envelope = |result: Value| {
            let mut object = object();
            object["result"] = result;
            if let Some(error) = &error
                && self.output == Output::Json
            {
                object["error"] = json!(error);
            }
            ascii_line(&object)
        };
        let printed = if self.output == Output::Text {
            print(&format!(
                "{}{}",
                outcome.place.as_ref().map(|place| self.header(place)).unwrap_or_default(),
                outcome.report.text(self.language)
            ))
        } else {
            match outcome.report.json(self.language) {
                Json::Value(value) => print(&envelope(value)),
                Json::List(name, items) if self.output == Output::Json => {
                    print_list(&envelope(json!({ name: [] })), name, items)
                }
                Json::List(_, mut items) => items.try_for_each(|item| print(&envelope(item))),
            }
        };
        match printed {
            Ok(()) => {
                if let Some(error) = &error {
                    self.tell(object(), error, "", self.output == Output::Jsonl);
                }
                exit
            }
            Err(error) => {
                let (command, place) = (outcome.command, outcome.place.clone());
                self.failure(&Failure { command, place, error: Box::new(Error::Output(error)) })
            }
        }
    }

    /// Prints what stopped a command and says how to exit.
    pub fn failure(&self, failure: &Failure) -> Exit {
        let exit = Exit::from(&*failure.error);
        let explanation = failure.error.explain(self.language);
        let header = failure.place.as_ref().map(|place| self.header(place)).unwrap_or_default();
        let object = self.envelope(failure.command, failure.place.as_ref(), exit);
        self.tell(object, &explanation, &header, self.output != Output::Text);
        exit
    }

    /// Tells of an error on stderr, behind a header, and for programs in an object of its own.
    fn tell(&self, mut object: Value, explanation: &Explanation, header: &str, for_programs: bool) {
        if for_programs {
            object["error"] = json!(explanation);
            // Where stdout is closed there is still stderr.
            let _ = print(&ascii_line(&object));
        }
        // Where stderr is closed too, the exit code is all that is left.
        let _ = console::write(io::stderr().lock(), &(header.to_owned() + &self.explanation(explanation)));
    }

    /// What, why, every detail, the next step, and the number for support.
    fn explanation(&self, explanation: &Explanation) -> String {
        let mut lines = vec![Text::new("line-error").with("message", &explanation.message)];
        lines.extend(explanation.details.iter().map(|detail| Text::new("line-detail").with("detail", detail)));
        lines.extend(explanation.hint.iter().map(|hint| Text::new("line-hint").with("hint", hint)));
        lines.extend(explanation.request_id.iter().map(|id| Text::new("line-request-id").with("id", id)));
        lines.iter().map(|line| line.in_language(self.language) + "\n").collect()
    }

    fn header(&self, place: &Place) -> String {
        let header = Text::new("header").with("environment", &place.environment).with("url", &place.service_url);
        header.in_language(self.language) + "\n\n"
    }

    fn envelope(&self, command: &str, place: Option<&Place>, exit: Exit) -> Value {
        let mut object = json!({ "schema": SCHEMA, "command": command, "exit_code": exit as u8 });
        if let Some(place) = place {
            object["environment"] = json!(place.environment);
            object["service_url"] = json!(place.service_url);
        }
        object
    }
}

/// Results that are printed as they come, in the form `jsonl`; the other forms wait for the whole report.
#[derive(Debug)]
pub struct Lines<'a> {
    printer: &'a Printer,
    command: &'static str,
    place: &'a Place,
    printed: io::Result<()>,
}

impl Lines<'_> {
    /// Whether lines are printed as they come.
    pub fn are_printed(&self) -> bool {
        self.printer.output == Output::Jsonl
    }

    /// Prints one, with the exit code that it would have by itself. Once nobody takes them, nothing is printed any more,
    /// and the work goes on.
    pub fn print(&mut self, exit: Exit, result: impl FnOnce() -> Value) {
        if self.are_printed() && self.printed.is_ok() {
            let mut object = self.printer.envelope(self.command, Some(self.place), exit);
            object["result"] = result();
            self.printed = print(&ascii_line(&object));
        }
    }

    /// Whether all could be printed.
    pub fn finish(self) -> io::Result<()> {
        self.printed
    }
}

fn print(text: &str) -> io::Result<()> {
    console::write(io::stdout().lock(), text)
}

/// Prints a line of JSON with items in its list of that name, which stands there empty.
fn print_list(line: &str, name: &str, items: impl Iterator<Item = Value>) -> io::Result<()> {
    // Quotation marks in a string would be escaped, so this is the list.
    let empty = format!("\"{name}\":[]");
    let place = line.find(&empty).map_or(line.len(), |start| start + empty.len() - 1);
    let (before, after) = line.split_at(place);
    print(before)?;
    let mut separator = "";
    for item in items {
        print(&format!("{separator}{}", ascii_line(&item).trim_end()))?;
        separator = ",";
    }
    print(after)
}

/// A sign of life on long work: on a terminal only, on stderr, gone when dropped.
pub struct Progress(Option<indicatif::ProgressBar>);

impl Progress {
    /// Starts to show what is going on.
    pub fn start(text: &Text, language: Language) -> Self {
        if !io::stderr().is_terminal() {
            return Self(None);
        }
        let bar = indicatif::ProgressBar::new_spinner().with_message(text.in_language(language));
        bar.enable_steady_tick(std::time::Duration::from_millis(120));
        Self(Some(bar))
    }

    /// Starts to count work on many things, with the rate and the time left; few are done before anybody could read it.
    pub fn of(count: usize, text: &Text, language: Language) -> Self {
        const FEW: usize = 100;
        /// Signs that need no language.
        const TEMPLATE: &str = "{msg} {wide_bar} {human_pos}/{human_len}  {rate}/s  {eta}";
        if count <= FEW || !io::stderr().is_terminal() {
            return Self(None);
        }
        let style = indicatif::ProgressStyle::with_template(TEMPLATE)
            .unwrap_or_else(|_| indicatif::ProgressStyle::default_bar())
            .with_key("rate", |state: &indicatif::ProgressState, out: &mut dyn fmt::Write| {
                // Where it cannot be written, nobody reads it.
                let _ = write!(out, "{}", indicatif::HumanCount(state.per_sec().round() as u64));
            });
        let bar = indicatif::ProgressBar::new(count as u64).with_style(style).with_message(text.in_language(language));
        bar.enable_steady_tick(std::time::Duration::from_millis(120));
        Self(Some(bar))
    }

    /// Prints something else without a bar across it.
    pub fn aside(&self, print: impl FnOnce()) {
        match &self.0 {
            Some(bar) => bar.suspend(print),
            None => print(),
        }
    }

    /// So many more are done.
    pub fn advance(&self, count: usize) {
        if let Some(bar) = &self.0 {
            bar.inc(count as u64);
        }
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        if let Some(bar) = &self.0 {
            bar.finish_and_clear();
        }
    }
}
