//! Every text a person reads, in English and French.
//!
//! The catalogues are Fluent files in `src/locales/<language>/`, compiled in, and parsed when the first text is needed.
//! A message's value says what happened and why; its attribute `.hint` says what to do next. Arguments are made safe
//! to show on their way in, so that nothing from outside can act on a terminal.

use std::fmt;
use std::str::FromStr;
use std::sync::OnceLock;

use fluent_bundle::concurrent::FluentBundle;
use fluent_bundle::{FluentArgs, FluentResource, FluentValue};
use serde::{Deserialize, Serialize};

use crate::protocol::bulk::BulkOutcome;
use crate::protocol::messages::RevocationCode;
use crate::protocol::request::{Kind, Role, State, StoreScope, UnknownWord, by_word};
use crate::protocol::rules::Finding;
use crate::protocol::text::printable;

/// A language that the programs speak.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub enum Language {
    /// English, also where the system's language is not spoken here.
    #[default]
    #[serde(rename = "en")]
    English,
    /// French.
    #[serde(rename = "fr")]
    French,
}

impl Language {
    /// Both languages.
    pub const ALL: [Self; 2] = [Self::English, Self::French];

    /// The tag used on command lines and in `Accept-Language`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::English => "en",
            Self::French => "fr",
        }
    }

    /// The language that the system is set to.
    pub fn system() -> Self {
        sys_locale::get_locale().map(|tag| Self::first_spoken(&tag)).unwrap_or_default()
    }

    /// The first language of a list such as `fr-CH, fr;q=0.9, en;q=0.8` (RFC 9110 §12.5.4) that is spoken here.
    pub fn first_spoken(list: &str) -> Self {
        list.split(',')
            .filter_map(|range| range.trim().split([';', '-', '_', '.']).next())
            .find_map(|tag| Self::ALL.into_iter().find(|language| tag.eq_ignore_ascii_case(language.as_str())))
            .unwrap_or_default()
    }

    fn catalogue(self) -> &'static FluentBundle<FluentResource> {
        static CATALOGUES: [OnceLock<FluentBundle<FluentResource>>; 2] = [OnceLock::new(), OnceLock::new()];
        CATALOGUES[self as usize].get_or_init(|| {
            // The tag chooses the plural rules; both tags parse.
            let tag = self.as_str().parse().unwrap_or_default();
            let mut catalogue = FluentBundle::new_concurrent(vec![tag]);
            // Isolation marks are bidirectional controls, which consoles print as boxes.
            catalogue.set_use_isolating(false);
            for source in self.sources() {
                // A slip in a catalogue costs the messages concerned, not the program; the tests find it.
                let resource = FluentResource::try_new((*source).to_owned()).unwrap_or_else(|(resource, _)| resource);
                let _ = catalogue.add_resource(resource);
            }
            catalogue
        })
    }

    fn sources(self) -> &'static [&'static str] {
        match self {
            Self::English => &[
                include_str!("locales/en/common.ftl"),
                include_str!("locales/en/client.ftl"),
                #[cfg(feature = "service")]
                include_str!("locales/en/service.ftl"),
                #[cfg(feature = "service")]
                include_str!("locales/en/web.ftl"),
            ],
            Self::French => &[
                include_str!("locales/fr/common.ftl"),
                include_str!("locales/fr/client.ftl"),
                include_str!("locales/fr/help.ftl"),
                #[cfg(feature = "service")]
                include_str!("locales/fr/service.ftl"),
                #[cfg(feature = "service")]
                include_str!("locales/fr/web.ftl"),
            ],
        }
    }
}

impl Language {
    /// The text of an id that is made at run time, without arguments; absent where the catalogue has none.
    pub fn look_up(self, id: &str) -> Option<String> {
        let catalogue = self.catalogue();
        let pattern = catalogue.get_message(id)?.value()?;
        Some(catalogue.format_pattern(pattern, None, &mut Vec::new()).into_owned())
    }
}

impl fmt::Display for Language {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.pad(self.as_str())
    }
}

impl FromStr for Language {
    type Err = UnknownWord;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        by_word(text, &Self::ALL, Self::as_str)
    }
}

/// A text of the catalogues with its arguments, not yet in a language. `Display` is the English one, for logs.
#[derive(Debug, Clone, PartialEq)]
pub struct Text {
    id: &'static str,
    arguments: Vec<(&'static str, Argument)>,
}

#[derive(Debug, Clone, PartialEq)]
enum Argument {
    Words(String),
    Number(i64),
    /// A text of its own, put in in the same language.
    Text(Text),
}

impl Text {
    /// The message with this id.
    pub const fn new(id: &'static str) -> Self {
        Self { id, arguments: Vec::new() }
    }

    /// With words put in, made safe to show.
    pub fn with(mut self, name: &'static str, value: impl fmt::Display) -> Self {
        self.arguments.push((name, Argument::Words(printable(&value.to_string()).into_owned())));
        self
    }

    /// With a number put in, which may choose the plural.
    pub fn with_number(mut self, name: &'static str, value: i64) -> Self {
        self.arguments.push((name, Argument::Number(value)));
        self
    }

    /// With another text put in.
    pub fn with_text(mut self, name: &'static str, value: Self) -> Self {
        self.arguments.push((name, Argument::Text(value)));
        self
    }

    /// The message's stable id.
    pub const fn id(&self) -> &'static str {
        self.id
    }

    /// The text in a language.
    pub fn in_language(&self, language: Language) -> String {
        self.format(language, None).unwrap_or_else(|| self.id.to_owned())
    }

    /// What to do next, where the message knows.
    pub fn hint(&self, language: Language) -> Option<String> {
        self.format(language, Some("hint"))
    }

    /// The kind of problem in a few words, where the message has it.
    pub fn title(&self, language: Language) -> Option<String> {
        self.format(language, Some("title"))
    }

    fn format(&self, language: Language, attribute: Option<&str>) -> Option<String> {
        let catalogue = language.catalogue();
        let message = catalogue.get_message(self.id)?;
        let pattern = match attribute {
            Some(attribute) => message.get_attribute(attribute)?.value(),
            None => message.value()?,
        };
        let mut arguments = FluentArgs::with_capacity(self.arguments.len());
        for (name, argument) in &self.arguments {
            arguments.set(
                *name,
                match argument {
                    Argument::Words(words) => FluentValue::from(words.as_str()),
                    Argument::Number(number) => FluentValue::from(*number),
                    Argument::Text(text) => FluentValue::from(text.in_language(language)),
                },
            );
        }
        let mut errors = Vec::new();
        Some(catalogue.format_pattern(pattern, Some(&arguments), &mut errors).into_owned())
    }
}

impl fmt::Display for Text {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.in_language(Language::English))
    }
}

/// The label of a state.
pub fn state(state: State) -> Text {
    Text::new(match state {
        State::Pending => "state-pending",
        State::Approved => "state-approved",
        State::Rejected => "state-rejected",
        State::Cancelled => "state-cancelled",
        State::Expired => "state-expired",
        State::Installed => "state-installed",
        State::Downloaded => "state-downloaded",
        State::Revoked => "state-revoked",
    })
}

/// The label of what became of a request in a bulk decision.
pub fn outcome(outcome: BulkOutcome) -> Text {
    match outcome {
        BulkOutcome::Approved => state(State::Approved),
        BulkOutcome::Rejected => state(State::Rejected),
        BulkOutcome::Waiting => Text::new("outcome-waiting"),
        BulkOutcome::Refused => Text::new("outcome-refused"),
        BulkOutcome::Stopped => Text::new("outcome-stopped"),
    }
}

/// The label of a kind.
pub fn kind(kind: Kind) -> Text {
    Text::new(match kind {
        Kind::Workstation => "kind-workstation",
        Kind::Server => "kind-server",
        Kind::ExternalServer => "kind-external-server",
        Kind::Mobile => "kind-mobile",
    })
}

/// The label of a role.
pub fn role(role: Role) -> Text {
    Text::new(match role {
        Role::RegistrationManager => "role-registration-manager",
        Role::PtcManager => "role-ptc-manager",
    })
}

/// The label of a store.
pub fn store(store: StoreScope) -> Text {
    Text::new(match store {
        StoreScope::Machine => "store-machine",
        StoreScope::User => "store-user",
    })
}

/// The label of a revocation's reason.
pub fn revocation(code: RevocationCode) -> Text {
    Text::new(match code {
        RevocationCode::Unspecified => "revocation-unspecified",
        RevocationCode::KeyCompromise => "revocation-key-compromise",
        RevocationCode::AffiliationChanged => "revocation-affiliation-changed",
        RevocationCode::Superseded => "revocation-superseded",
        RevocationCode::CessationOfOperation => "revocation-cessation-of-operation",
        RevocationCode::PrivilegeWithdrawn => "revocation-privilege-withdrawn",
    })
}

/// A finding in one line: where, what is wrong, what was found, what is expected.
pub fn finding(finding: &Finding, language: Language) -> String {
    // The rule may come from a later service, so its text is looked up and may be missing.
    let rule =
        language.look_up(&format!("rule-{}", finding.rule)).unwrap_or_else(|| printable(&finding.rule).into_owned());
    let id = match (finding.found.is_empty(), finding.expected.is_empty()) {
        (true, true) => "finding-plain",
        (true, false) => "finding-expected",
        (false, true) => "finding-found",
        (false, false) => "finding-found-expected",
    };
    Text::new(id)
        .with("field", &finding.field)
        .with("rule", rule)
        .with("found", &finding.found)
        .with("expected", &finding.expected)
        .in_language(language)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::collections::BTreeSet;
    use std::path::Path;

    use fluent_bundle::FluentResource;

    use super::*;
    use crate::protocol::problem::ProblemCode;
    use crate::protocol::rules::Rule;

    /// Every message and attribute (`id` and `id.hint`) with the arguments it uses.
    fn messages(language: Language) -> BTreeMap<String, BTreeSet<String>> {
        let mut messages = BTreeMap::new();
        let mut id = String::new();
        let mut key = String::new();
        for line in language.sources().iter().flat_map(|source| source.lines()) {
            if let Some((start, _)) = line.split_once(" =").filter(|_| line.starts_with(char::is_alphabetic)) {
                id = start.to_owned();
                key = id.clone();
                assert!(messages.insert(key.clone(), BTreeSet::new()).is_none(), "{language}: {id} stands twice");
            } else if let Some((start, _)) = line.trim().strip_prefix('.').and_then(|rest| rest.split_once(" =")) {
                key = format!("{id}.{start}");
                messages.insert(key.clone(), BTreeSet::new());
            }
            for part in line.split('$').skip(1) {
                let name = part.split(|next: char| !next.is_alphanumeric() && next != '_').next().unwrap();
                messages.get_mut(&key).unwrap().insert(name.to_owned());
            }
        }
        messages
    }

    #[test]
    fn both_languages_say_the_same() {
        let [english, mut french] = Language::ALL.map(messages);
        // The English help stands with the command line itself.
        french.retain(|id, _| !id.starts_with("help-") && !id.starts_with("usage-"));
        for (id, arguments) in &english {
            assert_eq!(Some(arguments), french.get(id), "{id} in French");
        }
        assert_eq!(english.len(), french.len(), "French has messages that English has not");
    }

    #[test]
    fn catalogues_parse_without_error() {
        for source in Language::ALL.iter().flat_map(|language| language.sources()) {
            if let Err((_, errors)) = FluentResource::try_new((*source).to_owned()) {
                panic!("{errors:?} in {source:.40}");
            }
        }
    }

    /// Every id that the code names is in the catalogues: those in `Text::new("…")` and in the pages' `say("…")`, all
    /// rules and all problems.
    #[test]
    fn every_text_exists() {
        let known = messages(Language::English);
        for rule in Rule::ALL {
            assert!(known.contains_key(&format!("rule-{}", rule.as_str())), "rule-{}", rule.as_str());
        }
        if cfg!(feature = "service") {
            for code in ProblemCode::ALL {
                assert!(known.contains_key(&format!("problem-{}", code.as_str())), "problem-{}", code.as_str());
            }
        }
        // The pages show what was done under its word.
        #[cfg(feature = "service")]
        for action in crate::service::auth::Action::ALL {
            let id = format!("action-{}", action.as_str().replace('.', "-"));
            assert!(known.contains_key(&id), "{id}");
        }
        let mut used = 0;
        visit(&Path::new(env!("CARGO_MANIFEST_DIR")).join("src"), &mut |source| {
            let starts = ["Text::new(\"", ".say(\"", ".say_of(\"", ".count(\""];
            for part in starts.iter().flat_map(|start| source.split(start).skip(1)) {
                let id = part.split('"').next().unwrap();
                used += 1;
                let elsewhere = id.starts_with("usage-") || !cfg!(feature = "service");
                assert!(known.contains_key(id) || elsewhere, "{id} is in no catalogue");
            }
        });
        assert!(used > 50, "the search found only {used} uses");
    }

    fn visit(folder: &Path, look: &mut impl FnMut(&str)) {
        for entry in std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()) {
            if entry.is_dir() {
                visit(&entry, look);
            } else if entry.extension().is_some_and(|extension| extension == "rs" || extension == "html")
                && !entry.ends_with("locales.rs")
            {
                look(&std::fs::read_to_string(entry).unwrap());
            }
        }
    }

    #[test]
    fn the_first_spoken_language_wins() {
        for (list, language) in [
            ("fr-CH, fr;q=0.9, en;q=0.8", Language::French),
            ("de, fr;q=0.5", Language::French),
            ("fr_FR.UTF-8", Language::French),
            ("C.UTF-8", Language::English),
            ("en-US,fr", Language::English),
            ("", Language::English),
        ] {
            assert_eq!(Language::first_spoken(list), language, "{list}");
        }
    }

    #[test]
    fn what_is_put_in_cannot_act() {
        let text =
            Text::new("finding-plain").with("field", "\u{1b}[31m").with("rule", "x").in_language(Language::English);
        assert!(!text.contains('\u{1b}'), "{text:?}");
    }
}
