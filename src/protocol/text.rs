//! Text made fit to show: nothing from outside acts on a terminal or hides in a log, JSON survives every console, rows
//! stand in columns.

use std::borrow::Cow;

use serde_json::Value;

/// The text with every character that could act on a terminal, forge a log line or hide itself written as `\u{…}`.
///
/// Escaped are control characters (C0, DEL, C1: ECMA-48), line and paragraph separators, bidirectional controls
/// (UAX #9 §2) and zero-width or invisible format characters. All else, accents and other scripts, stays as it is.
pub fn printable(text: &str) -> Cow<'_, str> {
    let plain = |byte| matches!(byte, b' '..=b'~');
    if text.bytes().all(plain) || !text.contains(acts_or_hides) {
        return Cow::Borrowed(text);
    }
    let mut safe = String::with_capacity(text.len() + 16);
    for character in text.chars() {
        if acts_or_hides(character) {
            safe.extend(character.escape_unicode());
        } else {
            safe.push(character);
        }
    }
    Cow::Owned(safe)
}

/// As much of a text as tells which one it is, at most so many characters: no mistake fills a screen.
pub fn shortened(text: &str, most: usize) -> Cow<'_, str> {
    match text.char_indices().nth(most) {
        Some((end, _)) => format!("{}…", &text[..end]).into(),
        None => text.into(),
    }
}

/// Whether a character acts on a terminal or cannot be seen.
pub fn acts_or_hides(character: char) -> bool {
    character.is_control()
        || matches!(
            character,
            '\u{00AD}'
                | '\u{034F}'
                | '\u{061C}'
                | '\u{115F}'..='\u{1160}'
                | '\u{17B4}'..='\u{17B5}'
                | '\u{180B}'..='\u{180F}'
                | '\u{200B}'..='\u{200F}'
                | '\u{2028}'..='\u{202E}'
                | '\u{2060}'..='\u{206F}'
                | '\u{3164}'
                | '\u{FEFF}'
                | '\u{FFA0}'
                | '\u{FFF9}'..='\u{FFFB}'
                | '\u{E0000}'..='\u{E007F}'
        )
}

/// A JSON value as one line of ASCII, so that no code page of a console or pipe can spoil it. Characters outside ASCII
/// stand in strings alone, where `\u` escapes mean the same (RFC 8259 §7).
pub fn ascii_line(value: &Value) -> String {
    let json = value.to_string();
    let mut line = String::with_capacity(json.len() + 1);
    for character in json.chars() {
        if character.is_ascii() {
            line.push(character);
        } else {
            for unit in character.encode_utf16(&mut [0; 2]) {
                line.push_str(&format!("\\u{unit:04x}"));
            }
        }
    }
    line.push('\n');
    line
}

/// A cell of a CSV file in quotation marks (RFC 4180 §2), which no spreadsheet takes for a formula.
pub fn csv_cell(text: &str) -> String {
    let formula = text.starts_with(['=', '+', '-', '@', '\t', '\r', '\n']);
    format!("\"{}{}\"", if formula { "'" } else { "" }, text.replace('"', "\"\""))
}

/// Rows in columns as wide as their widest cell, two spaces apart, the heading first.
pub fn table(heading: Vec<String>, rows: Vec<Vec<String>>) -> String {
    let all: Vec<Vec<String>> = std::iter::once(heading).chain(rows).collect();
    let columns = all.iter().map(Vec::len).max().unwrap_or(0);
    let widths: Vec<usize> = (0..columns)
        .map(|column| all.iter().filter_map(|row| row.get(column)).map(|cell| cell.chars().count()).max().unwrap_or(0))
        .collect();
    let mut text = String::new();
    for row in &all {
        let cells: Vec<String> = row.iter().zip(&widths).map(|(cell, width)| format!("{cell:<width$}")).collect();
        text.push_str(cells.join("  ").trim_end());
        text.push('\n');
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_acts_is_written_out_and_what_reads_stays() {
        for (given, shown) in [
            ("Bureau de Besançon — guichet 3", "Bureau de Besançon — guichet 3"),
            ("\u{1b}[2J\r\nok", "\\u{1b}[2J\\u{d}\\u{a}ok"),
            ("abc\u{202e}cba", "abc\\u{202e}cba"),
            ("pay\u{200b}pal", "pay\\u{200b}pal"),
            ("日本郵便", "日本郵便"),
            ("\u{9b}31m", "\\u{9b}31m"),
        ] {
            assert_eq!(printable(given), shown);
        }
    }

    #[test]
    fn json_is_ascii_and_means_the_same() {
        let value = serde_json::json!({ "name": "Île-de-France 🏤\n" });
        let line = ascii_line(&value);
        assert!(line.is_ascii());
        assert_eq!(serde_json::from_str::<Value>(&line).unwrap(), value);
    }

    #[test]
    fn tables_line_up() {
        let row = |cells: [&str; 2]| cells.map(str::to_owned).to_vec();
        assert_eq!(table(row(["No", "État"]), vec![row(["7", "é"]), row(["123", ""])]), "No   État\n7    é\n123\n");
    }

    #[test]
    fn no_cell_is_a_formula() {
        for (text, cell) in [
            ("plain", "\"plain\""),
            ("=1+1", "\"'=1+1\""),
            ("+1", "\"'+1\""),
            ("-1", "\"'-1\""),
            ("@SUM(A1)", "\"'@SUM(A1)\""),
            ("\t=1", "\"'\t=1\""),
            ("a \"b\", c", "\"a \"\"b\"\", c\""),
        ] {
            assert_eq!(csv_cell(text), cell);
        }
    }
}
