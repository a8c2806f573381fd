//! The subject of a CSR.

use x509_parser::x509::X509Name;

use super::{Expectation, Finding, Rule};
use crate::protocol::request::Kind;
use crate::protocol::subject::{self, ATTRIBUTES, BadName, Subject};

/// The subject, if nothing is wrong with it.
pub(super) fn check_subject(
    name: &X509Name<'_>,
    expectation: &Expectation<'_>,
    findings: &mut Vec<Finding>,
) -> Option<Subject> {
    let before = findings.len();
    let mut values: [Option<String>; 6] = Default::default();
    // What exactly the six must be, where the package or the kind decides that; in the order of `ATTRIBUTES`.
    let unit = expectation.kind.organisational_unit();
    let fixed = [Some(expectation.country), None, None, Some(expectation.organisation), Some(unit), None];
    for set in name.iter() {
        if set.iter().count() != 1 {
            findings.push(Finding::new(Rule::SubjectRepeated, "subject", "1 RDN", "1 × AttributeTypeAndValue"));
        }
        for part in set.iter() {
            let known = subject::attribute(part.attr_type());
            let position = ATTRIBUTES[..6].iter().position(|own| known.is_some_and(|known| known.short == own.short));
            let Some(position) = position else {
                let label = known.map_or_else(|| part.attr_type().to_id_string(), |known| known.short.to_owned());
                findings.push(Finding::new(Rule::SubjectUnexpected, "subject", label, "C, ST, L, O, OU, CN"));
                continue;
            };
            let attribute = &ATTRIBUTES[position];
            let field = format!("subject.{}", attribute.short);
            let value = &mut values[position];
            if value.is_some() {
                findings.push(Finding::new(Rule::SubjectRepeated, field, part.as_str().unwrap_or_default(), "1 ×"));
                continue;
            }
            // macOS writes accents apart from their letters; the name is the same (RFC 5280 §7.1).
            let text = subject::composed(part.as_str().unwrap_or_default());
            let fault = match fixed[position] {
                _ if part.as_str().is_err() => Some((Rule::BadText, "UTF8String or PrintableString".to_owned())),
                Some(expected) => {
                    (text != subject::composed(expected)).then(|| (Rule::SubjectMismatch, expected.to_owned()))
                }
                None => subject::check_text(&text, attribute.limit).err().map(|bad| match bad {
                    BadName::Empty => (Rule::SubjectMissing, String::new()),
                    BadName::TooLong => (Rule::TooLong, format!("≤ {}", attribute.limit)),
                    BadName::Character | BadName::NotPublic => (Rule::BadText, String::new()),
                }),
            };
            match fault {
                Some((rule, expected)) => findings.push(Finding::new(rule, field, &text, expected)),
                None if attribute.short == "CN" => check_common_name(&text, expectation.kind, findings),
                None => {}
            }
            *value = Some(text);
        }
    }
    for ((attribute, value), expected) in ATTRIBUTES.iter().zip(&values).zip(fixed) {
        if value.is_none() && (expected.is_some() || attribute.short == "CN") {
            let field = format!("subject.{}", attribute.short);
            findings.push(Finding::new(Rule::SubjectMissing, field, "", expected.unwrap_or_default()));
        }
    }
    let [country, region, locality, organisation, organisational_unit, common_name] =
        values.map(Option::unwrap_or_default);
    let common_name = match expectation.kind.named_by_host() {
        true => canonical_host(&common_name).unwrap_or_default(),
        false => common_name,
    };
    (findings.len() == before).then_some(Subject {
        country,
        region,
        locality,
        organisation,
        organisational_unit,
        common_name,
    })
}

fn check_common_name(name: &str, kind: Kind, findings: &mut Vec<Finding>) {
    const FIELD: &str = "subject.CN";
    if kind.named_by_host() {
        if canonical_host(name).is_none() {
            findings.push(Finding::new(Rule::NotAHostName, FIELD, name, "server.operator.example"));
        }
    } else if subject::check_machine_name(name).is_err() {
        findings.push(Finding::new(Rule::NotAMachineName, FIELD, name, "A–Z a–z 0–9 - _ ."));
    }
}

/// A host name in its one form. A URL is a way to say it on a command line, not a name to certify.
pub(super) fn canonical_host(name: &str) -> Option<String> {
    let bare = !name.contains(['/', ':', '?', '#']) && !name.contains(char::is_whitespace);
    bare.then(|| subject::host_name(name).ok()).flatten()
}
