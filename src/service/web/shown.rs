//! What is shown to people: moments, ages and numbers as each language writes them, and the texts of others.

use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use crate::locales::{self, Language, Text};
use crate::protocol::rules::Finding;
use crate::protocol::text::printable;

/// Text of others: nothing in it acts or hides.
pub(super) fn inert(text: &str) -> String {
    printable(text).into_owned()
}

/// The same of text that may have several lines.
pub(super) fn inert_lines(text: &str) -> String {
    text.lines().map(inert).collect::<Vec<_>>().join("\n")
}

/// A finding in one line; its field is called what the pages call it.
pub(super) fn finding(finding: &Finding, language: Language) -> String {
    let label = match finding.field.as_str() {
        "key" => "item-key",
        "signature" => "field-signature",
        "subject" => "item-subject",
        "subject.C" => "item-country",
        "subject.ST" => "field-region",
        "subject.L" => "field-locality",
        "subject.O" => "head-organisation",
        "subject.OU" => "field-unit",
        "subject.CN" => "head-common-name",
        "extension.subjectAltName" => "field-alternative-names",
        "extension.keyUsage" => "item-key-usage",
        "extension.extendedKeyUsage" => "item-extended-key-usage",
        "machine.host_name" => "machine-host-name",
        "machine.mac_address" => "machine-mac-address",
        // The CSR as a whole, or an extension by its number.
        _ => return locales::finding(finding, language),
    };
    let field = Text::new(label).in_language(language);
    locales::finding(&Finding { field, ..finding.clone() }, language)
}

/// A moment: for people, and for the `datetime` attribute.
pub(super) struct Moment {
    pub(super) text: String,
    pub(super) machine: String,
}

/// A moment in UTC, to the minute.
pub(super) fn moment(moment: OffsetDateTime, language: Language) -> Moment {
    let moment = moment.to_offset(time::UtcOffset::UTC);
    let text = Text::new("shown-moment")
        .with("day", moment.day())
        .with("month", month(moment, language))
        .with("year", moment.year())
        .with("time", format_args!("{:02}:{:02}", moment.hour(), moment.minute()))
        .in_language(language);
    Moment { text, machine: moment.format(&Rfc3339).unwrap_or_default() }
}

fn month(moment: OffsetDateTime, language: Language) -> String {
    Text::new("shown-month").with_number("month", i64::from(u8::from(moment.month()))).in_language(language)
}

/// How long ago something was, in its largest unit.
pub(super) fn age(since: OffsetDateTime, now: OffsetDateTime, language: Language) -> String {
    let seconds = (now - since).whole_seconds().max(0);
    let (id, count) = match seconds {
        ..3_600 => ("shown-minutes", seconds / 60),
        3_600..172_800 => ("shown-hours", seconds / 3_600),
        _ => ("shown-days", seconds / 86_400),
    };
    Text::new(id).with("count", number(count, language)).in_language(language)
}

/// A number with its thousands apart.
pub(super) fn number(number: i64, language: Language) -> String {
    let separator = match language {
        Language::English => ',',
        // Narrow no-break space.
        Language::French => '\u{202f}',
    };
    let digits = number.unsigned_abs().to_string();
    let mut text = String::from(if number < 0 { "-" } else { "" });
    for (position, digit) in digits.chars().enumerate() {
        if position > 0 && (digits.len() - position).is_multiple_of(3) {
            text.push(separator);
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests {
    use time::macros::datetime;

    use super::*;

    #[test]
    fn numbers_and_moments_of_each_language() {
        for (value, english, french) in
            [(7, "7", "7"), (1_234, "1,234", "1\u{202f}234"), (1_000_000, "1,000,000", "1\u{202f}000\u{202f}000")]
        {
            assert_eq!(number(value, Language::English), english);
            assert_eq!(number(value, Language::French), french);
        }
        let noon = datetime!(2026-02-07 12:05:59 UTC);
        assert_eq!(moment(noon, Language::English).text, "7 Feb 2026, 12:05 UTC");
        assert_eq!(moment(noon, Language::French).text, "7 févr. 2026, 12:05 UTC");
        for (seconds, english) in [(59, "0 min"), (3_599, "59 min"), (7_200, "2 h"), (172_800, "2 d")] {
            assert_eq!(age(noon - time::Duration::seconds(seconds), noon, Language::English), english);
        }
    }
}
