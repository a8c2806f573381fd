//! Text from outside, made safe to show: no control, no direction change, nothing invisible reaches a terminal or a log.

use std::borrow::Cow;

/// The text with every character that could act on a terminal, forge a log line or hide itself written as `\u{…}`.
///
/// Escaped are control characters (C0, DEL, C1: ECMA-48), line and paragraph separators, bidirectional controls
/// (UAX #9 §2) and zero-width or invisible format characters. All else, accents and other scripts, stays as it is.
pub fn printable(text: &str) -> Cow<'_, str> {
    if !text.contains(acts_or_hides) {
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
}
