//! `subject`: the name of the installed certificate, in the form that other PTC configurations expect.

use serde_json::{Value, json};
use x509_parser::prelude::{FromDer, X509Certificate};

use super::test::installed;
use crate::client::cli::SubjectArguments;
use crate::client::config::Config;
use crate::client::error::Error;
use crate::client::installation::InstallationError;
use crate::client::report::{Json, Report};
use crate::locales::{Language, Text};
use crate::protocol::subject::NameFormat;
use crate::protocol::text::printable;

pub(super) fn run(config: &Config, arguments: &SubjectArguments) -> Result<SubjectReport, Error> {
    let found = installed(config)?;
    let (_, certificate) = X509Certificate::from_der(&found.certificate).map_err(|_| InstallationError::Unreadable)?;
    let subject = arguments.format.print(certificate.subject());
    if arguments.copy {
        copy(&subject)?;
    }
    Ok(SubjectReport { subject, format: arguments.format, copied: arguments.copy })
}

/// Puts a text on the clipboard.
///
/// On Unix a clipboard lives only as long as the program that filled it: a process of our own holds the text until
/// another takes its place.
#[cfg(unix)]
fn copy(text: &str) -> Result<(), Error> {
    use std::io::{BufRead, BufReader, Write};
    use std::process::{Command, Stdio};

    let failed = |error: std::io::Error| Error::Clipboard(error.to_string());
    let program = std::env::current_exe().map_err(failed)?;
    let mut holder = Command::new(program)
        .arg("hold-clipboard")
        .current_dir("/")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .map_err(failed)?;
    if let Some(mut stdin) = holder.stdin.take() {
        stdin.write_all(text.as_bytes()).map_err(failed)?;
    }
    let mut answer = String::new();
    if let Some(stdout) = holder.stdout.take() {
        BufReader::new(stdout).read_line(&mut answer).map_err(failed)?;
    }
    match answer.trim() {
        HELD => Ok(()),
        reason => Err(Error::Clipboard(reason.to_owned())),
    }
}

#[cfg(not(unix))]
fn copy(text: &str) -> Result<(), Error> {
    arboard::Clipboard::new()
        .and_then(|mut clipboard| clipboard.set_text(text))
        .map_err(|error| Error::Clipboard(error.to_string()))
}

/// What the holder answers once the text is on the clipboard; anything else is the reason why it is not.
#[cfg(unix)]
const HELD: &str = "held";

/// Keeps the text from stdin on the clipboard until another takes its place.
pub(super) fn hold_clipboard() -> Result<Box<dyn Report>, Error> {
    #[cfg(unix)]
    hold()?;
    Ok(Box::new(Nothing))
}

#[cfg(unix)]
fn hold() -> Result<(), Error> {
    use std::io::{Read, Write};

    use arboard::SetExtLinux;

    let answer = |word: &str| {
        let mut stdout = std::io::stdout().lock();
        writeln!(stdout, "{word}").and_then(|()| stdout.flush()).map_err(Error::Output)
    };
    let mut text = String::new();
    std::io::stdin().read_to_string(&mut text).map_err(|error| Error::Clipboard(error.to_string()))?;
    let mut clipboard = match arboard::Clipboard::new() {
        Ok(clipboard) => clipboard,
        Err(error) => return answer(&error.to_string()),
    };
    if let Err(error) = clipboard.set_text(text.as_str()) {
        return answer(&error.to_string());
    }
    answer(HELD)?;
    clipboard.set().wait().text(text).map_err(|error| Error::Clipboard(error.to_string()))
}

/// The subject's name.
pub(super) struct SubjectReport {
    subject: String,
    format: NameFormat,
    copied: bool,
}

impl Report for SubjectReport {
    fn text(&self, language: Language) -> String {
        let mut text = format!("{}\n", printable(&self.subject));
        if self.copied {
            text.push_str(&format!("\n{}\n", Text::new("subject-copied").in_language(language)));
        }
        text
    }

    fn json(&self, _language: Language) -> Json<'_> {
        json!({ "subject": self.subject, "format": self.format.as_str(), "copied": self.copied }).into()
    }
}

/// The holder of the clipboard has nothing to say.
struct Nothing;

impl Report for Nothing {
    fn text(&self, _language: Language) -> String {
        String::new()
    }

    fn json(&self, _language: Language) -> Json<'_> {
        Value::Null.into()
    }
}
