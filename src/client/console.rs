//! Text on its way out of the program.
//!
//! On Windows, PowerShell 5.1 and older programs read what a program writes into a pipe or file in the code page of the
//! console and with the line ends of Windows, so that is what they get; a console itself takes every character. JSON is
//! ASCII, the same in every code page.

#[cfg(windows)]
mod windows;

use std::io::{self, IsTerminal, Write};

/// Writes a text and flushes it.
pub fn write(mut stream: impl Write + IsTerminal, text: &str) -> io::Result<()> {
    stream.write_all(&encoded(text, stream.is_terminal()))?;
    stream.flush()
}

#[cfg(not(windows))]
fn encoded(text: &str, _is_terminal: bool) -> std::borrow::Cow<'_, [u8]> {
    text.as_bytes().into()
}

#[cfg(windows)]
fn encoded(text: &str, is_terminal: bool) -> std::borrow::Cow<'_, [u8]> {
    if is_terminal {
        return text.as_bytes().into();
    }
    let text = text.replace('\n', "\r\n");
    let in_code_page = if text.is_ascii() { None } else { windows::in_code_page(&text) };
    in_code_page.unwrap_or_else(|| text.into_bytes()).into()
}
