//! The letters, complete and in their reader's language.
//!
//! What requesters and machines said of themselves goes in as arguments of [`Text`], where it can neither end a line nor
//! hide. Letters to requesters name no manager, and repeat nothing but the request's own name: whoever submits could
//! have named anybody's address.

use serde::{Deserialize, Serialize};

use crate::locales::{self, Language, Text};
use crate::protocol::request::State;
use crate::service::db::requests::RequestRow;

/// The most requests that a reminder lists.
const LISTED: usize = 50;

/// A letter as it lies in the outbox.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Letter {
    pub(super) subject: String,
    pub(super) body: String,
}

impl Letter {
    fn new(text: &Text, language: Language) -> Self {
        Self { subject: text.title(language).unwrap_or_default(), body: text.in_language(language) }
    }
}

/// Who writes letters.
pub(super) struct Writer<'a> {
    pub(super) environment: &'a str,
    pub(super) secure_url: &'a str,
}

impl Writer<'_> {
    /// To a manager: a request waits.
    pub(super) fn pending(&self, row: &RequestRow, language: Language) -> Letter {
        let description = Some(row.contact.description.as_str()).filter(|text| !text.is_empty()).unwrap_or("–");
        let text = self
            .about(Text::new("notice-pending"), row)
            .with("description", description)
            .with("submitted", row.submitted_at.0.date())
            .with("url", self.page(row));
        Letter::new(&text, language)
    }

    /// To the requester: somebody decided.
    pub(super) fn decided(&self, row: &RequestRow, language: Language) -> Letter {
        let reason = || row.reason.as_deref().unwrap_or("–");
        let text = match row.state {
            State::Approved => self.about(Text::new("notice-approved"), row),
            State::Rejected => self.about(Text::new("notice-rejected"), row).with("reason", reason()),
            _ => self.about(Text::new("notice-revoked"), row).with("reason", reason()),
        };
        Letter::new(&text, language)
    }

    /// To a manager: these requests have been waiting for long.
    pub(super) fn reminder(&self, rows: &[&RequestRow], language: Language) -> Letter {
        let count = i64::try_from(rows.len()).unwrap_or(i64::MAX);
        let text = Text::new("notice-reminder").with("environment", self.environment).with_number("count", count);
        let mut letter = Letter::new(&text, language);
        letter.body.push('\n');
        for row in rows.iter().take(LISTED) {
            let line = self
                .about(Text::new("notice-reminder-line"), row)
                .with("submitted", row.submitted_at.0.date())
                .with("url", self.page(row));
            letter.body.push('\n');
            letter.body.push_str(&line.in_language(language));
        }
        if let Some(more) = count.checked_sub(LISTED as i64).filter(|more| *more > 0) {
            letter.body.push('\n');
            letter.body.push_str(&Text::new("notice-reminder-more").with_number("count", more).in_language(language));
        }
        letter
    }

    /// What every letter on a request says.
    fn about(&self, text: Text, row: &RequestRow) -> Text {
        text.with("environment", self.environment)
            .with("number", row.number)
            .with("organisation", &row.organisation)
            .with_text("kind", locales::kind(row.kind))
            .with("common_name", &row.common_name)
    }

    /// Where managers look at a request.
    fn page(&self, row: &RequestRow) -> String {
        format!("{}/requests/{}", self.secure_url, row.number)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reminders_count_in_both_languages() {
        for (language, count, subject) in [
            (Language::English, 1, "PTC Enroll (test): a request still waits for your decision"),
            (Language::English, 2, "PTC Enroll (test): 2 requests still wait for your decision"),
            (Language::French, 1, "PTC Enroll (test) : une demande attend toujours votre décision"),
            (Language::French, 2, "PTC Enroll (test) : 2 demandes attendent toujours votre décision"),
        ] {
            let text = Text::new("notice-reminder").with("environment", "test").with_number("count", count);
            let letter = Letter::new(&text, language);
            assert_eq!(letter.subject, subject);
            assert_eq!(letter.body.lines().count(), 1, "{}", letter.body);
        }
    }
}
