//! Questions to a person at a terminal, and never to anybody else.

use std::io::{self, BufRead, IsTerminal, Write};

use crate::locales::{Language, Text};

/// Whether somebody is there to answer.
pub fn possible() -> bool {
    io::stdin().is_terminal() && io::stderr().is_terminal()
}

/// Asks on stderr and reads a line; an empty answer or the end of input is `None`.
pub fn ask(question: &Text, language: Language) -> io::Result<Option<String>> {
    let mut stderr = io::stderr().lock();
    write!(stderr, "{} ", question.in_language(language))?;
    stderr.flush()?;
    let mut line = String::new();
    io::stdin().lock().read_line(&mut line)?;
    let answer = line.trim();
    Ok((!answer.is_empty()).then(|| answer.to_owned()))
}
