//! The rules of RFC 5280 and of the profiles, read from the very bytes that are about to be signed.
//!
//! What builds those bytes is believed in nothing: every rule is checked on what a relying party will read. A rule
//! that cannot be checked counts as broken.

use std::collections::HashSet;

use rcgen::{ExtendedKeyUsagePurpose, KeyUsagePurpose};
use time::{Date, Month, OffsetDateTime, Time};
use x509_parser::certificate::TbsCertificate;
use x509_parser::der_parser::asn1_rs::Oid;
use x509_parser::der_parser::oid;
use x509_parser::extensions::{DistributionPointName, ExtendedKeyUsage, GeneralName, ParsedExtension, X509Extension};
use x509_parser::prelude::FromDer;
use x509_parser::public_key::PublicKey;
use x509_parser::revocation_list::TbsCertList;
use x509_parser::time::ASN1Time;
use x509_parser::x509::{AlgorithmIdentifier, SubjectPublicKeyInfo, X509Version};

use super::CaError;
use super::issuing_certificate::IssuingCertificate;
use super::profile::{Hosts, Profile};
use super::serial::Serial;
use super::times::BACKDATED;
use crate::protocol::der;
use crate::protocol::subject;

/// What must hold, where it is written, and how it is seen.
struct Rule<T> {
    says: &'static str,
    clause: &'static str,
    holds: fn(&T) -> bool,
}

const fn rule<T>(says: &'static str, clause: &'static str, holds: fn(&T) -> bool) -> Rule<T> {
    Rule { says, clause, holds }
}

/// A certificate that is about to be signed.
struct Certificate<'a> {
    tbs: &'a TbsCertificate<'a>,
    issuing: &'a IssuingCertificate,
    profile: Profile,
}

fn certificate_rules<'a>() -> Vec<Rule<Certificate<'a>>> {
    vec![
        rule("the version is 3", "RFC 5280 §4.1.2.1", |given| given.tbs.version == X509Version::V3),
        rule("the serial number is this CA's, positive and at most 20 octets", "RFC 5280 §4.1.2.2", |given| {
            Serial::try_from(given.tbs.raw_serial()).is_ok()
        }),
        rule("the signature algorithm is the issuing key's", "RFC 5280 §4.1.2.3", |given| {
            is_algorithm_of(&given.tbs.signature, given.issuing)
        }),
        rule("the issuer is the issuing certificate's subject, byte for byte", "RFC 5280 §4.1.2.4", |given| {
            given.tbs.issuer.as_raw() == given.issuing.subject
        }),
        rule("the times are UTCTime until 2049 and GeneralizedTime from 2050", "RFC 5280 §4.1.2.5", |given| {
            is_canonical(given.tbs.validity.not_before) && is_canonical(given.tbs.validity.not_after)
        }),
        rule("the start is before the end", "RFC 5280 §4.1.2.5", |given| {
            given.tbs.validity.not_before < given.tbs.validity.not_after
        }),
        rule("the validity is inside the issuing certificate's", "RFC 5280 §4.1.2.5", |given| {
            let (inner, outer) = (&given.tbs.validity, &given.issuing.validity);
            outer.not_before.timestamp() <= inner.not_before.timestamp()
                && inner.not_after.timestamp() <= outer.not_after.timestamp()
        }),
        rule("the validity is no longer than the profile's", "profile", |given| {
            let [start, end, issuer_end] =
                [given.tbs.validity.not_before, given.tbs.validity.not_after, given.issuing.validity.not_after]
                    .map(|time| time.to_datetime());
            end <= given.profile.end(start, issuer_end)
        }),
        rule("the subject has a common name, and each attribute once, within its upper bound", "X.520", |given| {
            has_sound_subject(given.tbs)
        }),
        rule("the key is RSA 2048 to 4096, P-256 or P-384, and not the issuing key", "profile", |given| {
            is_sound_key(&given.tbs.subject_pki) && given.tbs.subject_pki.raw != given.issuing.public_key
        }),
        rule("there are no unique identifiers", "RFC 5280 §4.1.2.8", |given| {
            given.tbs.issuer_uid.is_none() && given.tbs.subject_uid.is_none()
        }),
        rule("every extension is known, readable, not empty and there once", "RFC 5280 §4.2", |given| {
            are_sound(given.tbs.extensions(), |parsed| {
                matches!(
                    parsed,
                    ParsedExtension::AuthorityKeyIdentifier(_)
                        | ParsedExtension::SubjectKeyIdentifier(_)
                        | ParsedExtension::KeyUsage(_)
                        | ParsedExtension::ExtendedKeyUsage(_)
                        | ParsedExtension::BasicConstraints(_)
                        | ParsedExtension::SubjectAlternativeName(_)
                        | ParsedExtension::CRLDistributionPoints(_)
                        | ParsedExtension::AuthorityInfoAccess(_)
                ) || matches!(parsed, ParsedExtension::UnsupportedExtension { oid } if *oid == OCSP_NOCHECK)
            })
        }),
        rule("key usage and basic constraints are critical, the rest is not", "RFC 5280 §4.2.1", |given| {
            given.tbs.extensions().iter().all(|extension| {
                let critical = matches!(
                    extension.parsed_extension(),
                    ParsedExtension::KeyUsage(_) | ParsedExtension::BasicConstraints(_)
                );
                extension.critical == critical
            })
        }),
        rule("the authority key identifier is the issuing key's", "RFC 5280 §4.2.1.1", |given| {
            names_key_of(given.tbs.extensions(), given.issuing)
        }),
        rule("there is a subject key identifier", "RFC 5280 §4.2.1.2", |given| {
            let found = find(given.tbs.extensions(), |parsed| match parsed {
                ParsedExtension::SubjectKeyIdentifier(identifier) => Some(identifier.0),
                _ => None,
            });
            found.is_some_and(|identifier| !identifier.is_empty())
        }),
        rule("there are no CA rights", "RFC 5280 §4.2.1.9", |given| {
            matches!(given.tbs.basic_constraints(), Ok(Some(found))
            if !found.value.ca && found.value.path_len_constraint.is_none())
        }),
        rule("the key usage is the profile's", "RFC 5280 §4.2.1.3, RFC 8813 §3", |given| {
            let expected = given.profile.key_usage(is_rsa(given.tbs.subject_pki.raw));
            matches!(given.tbs.key_usage(), Ok(Some(found)) if found.value.flags == flags(expected))
        }),
        rule("the extended key usage is the profile's", "RFC 5280 §4.2.1.12", |given| {
            let found = given.tbs.extended_key_usage();
            matches!(found, Ok(Some(found)) if is_only(found.value, &given.profile.extended_key_usage()))
        }),
        rule("the alternative names are the profile's", "RFC 5280 §4.2.1.6", has_sound_names),
        rule("the CRL's place is one http or https URL", "RFC 5280 §4.2.1.13", |given| {
            let places = find(given.tbs.extensions(), |parsed| match parsed {
                ParsedExtension::CRLDistributionPoints(places) => Some(places.points.as_slice()),
                _ => None,
            });
            match places {
                None => true,
                Some([place]) if place.reasons.is_none() && place.crl_issuer.is_none() => {
                    matches!(&place.distribution_point, Some(DistributionPointName::FullName(names))
                    if matches!(names.as_slice(), [place] if is_web_place(place)))
                }
                Some(_) => false,
            }
        }),
        rule(
            "the OCSP responder and the issuer's certificate each have one http or https URL",
            "RFC 5280 §4.2.2.1",
            |given| {
                let access = find(given.tbs.extensions(), |parsed| match parsed {
                    ParsedExtension::AuthorityInfoAccess(access) => Some(access.accessdescs.as_slice()),
                    _ => None,
                });
                match access {
                    None => true,
                    Some([ocsp, issuer]) => {
                        ocsp.access_method == ACCESS_OCSP
                            && issuer.access_method == ACCESS_CA_ISSUERS
                            && is_web_place(&ocsp.access_location)
                            && is_web_place(&issuer.access_location)
                    }
                    Some(_) => false,
                }
            },
        ),
        rule("only an OCSP responder's state is not to be asked for", "RFC 6960 §4.2.2.2.1", |given| {
            let nocheck = given.tbs.extensions().iter().find(|extension| extension.oid == OCSP_NOCHECK);
            match nocheck {
                Some(extension) => given.profile == Profile::OcspResponder && extension.value == [5, 0],
                None => given.profile != Profile::OcspResponder,
            }
        }),
    ]
}

/// A CRL that is about to be signed.
struct List<'a> {
    /// All but the entries.
    tbs: &'a TbsCertList<'a>,
    entries: &'a [Entry],
    issuing: &'a IssuingCertificate,
}

fn list_rules<'a>() -> Vec<Rule<List<'a>>> {
    vec![
        rule("the version is 2", "RFC 5280 §5.1.2.1", |given| given.tbs.version == Some(X509Version::V2)),
        rule("the signature algorithm is the issuing key's", "RFC 5280 §5.1.2.2", |given| {
            is_algorithm_of(&given.tbs.signature, given.issuing)
        }),
        rule("the issuer is the issuing certificate's subject, byte for byte", "RFC 5280 §5.1.2.3", |given| {
            given.tbs.issuer.as_raw() == given.issuing.subject
        }),
        rule("the next update is after this one", "RFC 5280 §5.1.2.5", |given| {
            given.tbs.next_update.is_some_and(|next| given.tbs.this_update < next)
        }),
        rule("the times are UTCTime until 2049 and GeneralizedTime from 2050", "RFC 5280 §5.1.2.4", |given| {
            let times = [given.tbs.this_update].into_iter().chain(given.tbs.next_update);
            times.into_iter().all(is_canonical) && given.entries.iter().all(|entry| entry.revoked_at.is_some())
        }),
        rule("the list starts within the issuing certificate's validity", "RFC 5280 §5.1.2.4", |given| {
            given.issuing.validity.is_valid_at(given.tbs.this_update)
        }),
        rule("each serial number is one of this CA's, and there once", "RFC 5280 §5.1.2.6", |given| {
            let mut serials: Vec<_> = given.entries.iter().map(|entry| entry.serial).collect();
            serials.sort_unstable();
            serials.iter().all(Option::is_some) && serials.windows(2).all(|pair| pair[0] != pair[1])
        }),
        rule("nothing is revoked after the list was made", "RFC 5280 §5.1.2.6", |given| {
            let made = given.tbs.this_update.to_datetime() + BACKDATED;
            given.entries.iter().all(|entry| entry.revoked_at.is_some_and(|at| at <= made))
        }),
        rule("an entry holds at most a reason, and never the unspecified one", "RFC 5280 §5.3.1", |given| {
            given.entries.iter().all(|entry| entry.is_plain)
        }),
        rule("every extension is known, readable, not empty, not critical and there once", "RFC 5280 §5.2", |given| {
            given.tbs.extensions().iter().all(|extension| !extension.critical)
                && are_sound(given.tbs.extensions(), |parsed| {
                    matches!(parsed, ParsedExtension::AuthorityKeyIdentifier(_) | ParsedExtension::CRLNumber(_))
                })
        }),
        rule("the authority key identifier is the issuing key's", "RFC 5280 §5.2.1", |given| {
            names_key_of(given.tbs.extensions(), given.issuing)
        }),
        rule("the list has a number of at most 20 octets", "RFC 5280 §5.2.3", |given| {
            let number = find(given.tbs.extensions(), |parsed| match parsed {
                ParsedExtension::CRLNumber(number) => Some(number),
                _ => None,
            });
            number.is_some_and(|number| number.bits() < 160)
        }),
    ]
}

/// Reads a to-be-signed certificate, and checks it against every rule and the first of the profiles that fits.
pub(super) fn certificate<'a>(
    tbs: &'a [u8],
    issuing: &IssuingCertificate,
    profiles: &[Profile],
) -> Result<TbsCertificate<'a>, CaError> {
    let (_, tbs) = der::check(tbs).ok().and_then(|()| TbsCertificate::from_der(tbs).ok()).ok_or_else(not_der)?;
    let broken = profiles
        .iter()
        .map(|profile| broken(&certificate_rules(), &Certificate { tbs: &tbs, issuing, profile: *profile }))
        .min_by_key(Vec::len);
    verdict(broken.unwrap_or_default())?;
    Ok(tbs)
}

/// Checks a to-be-signed CRL against every rule.
pub(super) fn crl(tbs: &[u8], issuing: &IssuingCertificate) -> Result<(), CaError> {
    let (head, entries) = take_entries(tbs).ok_or_else(not_der)?;
    let (_, tbs) = der::check(&head).ok().and_then(|()| TbsCertList::from_der(&head).ok()).ok_or_else(not_der)?;
    verdict(broken(&list_rules(), &List { tbs: &tbs, entries: &entries, issuing }))
}

/// What a rule asks of an entry of a CRL. There may be 100,000 of them, which x509-parser would take apart into ten times
/// as many pieces.
struct Entry {
    /// The serial number, if it can be one of this CA's.
    serial: Option<Serial>,
    /// The revocation date, if it is in its one form.
    revoked_at: Option<OffsetDateTime>,
    /// Whether nothing follows but a reason, and not the unspecified one.
    is_plain: bool,
}

/// A TBSCertList (RFC 5280 §5.1) without its entries, which may not be DER; and these, which are where each is what a rule
/// asks.
fn take_entries(tbs: &[u8]) -> Option<(Vec<u8>, Vec<Entry>)> {
    const SEQUENCE: u8 = 0x30;
    let (der::Value { tag: SEQUENCE, content }, []) = der::split(tbs).ok()? else { return None };
    // Version, signature and issuer stand before the times, and they before the entries.
    let mut rest = content;
    for place in 0.. {
        let Ok((value, after)) = der::split(rest) else { break };
        if place > 3 && value.tag == SEQUENCE {
            let head = [&content[..content.len() - rest.len()], after];
            let head = yasna::construct_der(|writer| {
                writer.write_sequence(|writer| head.iter().for_each(|part| writer.next().write_der(part)));
            });
            let mut entries = Vec::new();
            let mut rest = value.content;
            while !rest.is_empty() {
                let (value, after) = der::split(rest).ok()?;
                entries.push(entry(value)?);
                rest = after;
            }
            // An empty list is none (RFC 5280 §5.1.2.6).
            return Some((head, entries)).filter(|(_, entries)| !entries.is_empty());
        }
        rest = after;
    }
    Some((tbs.to_vec(), Vec::new()))
}

fn entry(entry: der::Value<'_>) -> Option<Entry> {
    let (serial, rest) = der::split(entry.content).ok()?;
    let (date, extensions) = der::split(rest).ok()?;
    if (entry.tag, serial.tag) != (0x30, 0x02) {
        return None;
    }
    Some(Entry {
        serial: Serial::try_from(serial.content).ok(),
        revoked_at: canonical_time(date),
        is_plain: match extensions.split_last() {
            None => true,
            // SEQUENCE { SEQUENCE { id-ce-cRLReasons, OCTET STRING { ENUMERATED } } }, and a reason that there is.
            Some((reason, before)) => before == REASON && matches!(reason, 1..=6 | 8..=10),
        },
    })
}

/// The one extension that an entry may have, but for the reason itself.
const REASON: [u8; 13] = [0x30, 12, 0x30, 10, 0x06, 3, 0x55, 0x1d, 0x15, 0x04, 3, 0x0a, 1];

/// A Time in its one form: UTCTime until 2049 and GeneralizedTime from 2050, to the second and in UTC.
fn canonical_time(time: der::Value<'_>) -> Option<OffsetDateTime> {
    let digits = time.content.strip_suffix(b"Z")?;
    if !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    let two = |pair: &[u8]| (pair[0] - b'0') * 10 + (pair[1] - b'0');
    let (year, rest) = match (time.tag, digits) {
        (0x17, [year @ .., _, _, _, _, _, _, _, _, _, _]) if year.len() == 2 => {
            let year = i32::from(two(year));
            (if year < 50 { 2000 + year } else { 1900 + year }, &digits[2..])
        }
        (0x18, [century, decade, year, unit, rest @ ..]) if rest.len() == 10 => {
            let year = i32::from(two(&[*century, *decade])) * 100 + i32::from(two(&[*year, *unit]));
            (Some(year).filter(|year| *year >= 2050)?, rest)
        }
        _ => return None,
    };
    let month = Month::try_from(two(&rest[..2])).ok()?;
    let date = Date::from_calendar_date(year, month, two(&rest[2..4])).ok()?;
    let time = Time::from_hms(two(&rest[4..6]), two(&rest[6..8]), two(&rest[8..])).ok()?;
    Some(OffsetDateTime::new_utc(date, time))
}

/// Whether a DER SubjectPublicKeyInfo holds an RSA key.
pub(super) fn is_rsa(public_key: &[u8]) -> bool {
    SubjectPublicKeyInfo::from_der(public_key).is_ok_and(|(_, info)| info.algorithm.algorithm == RSA_ENCRYPTION)
}

const RSA_ENCRYPTION: Oid<'static> = oid!(1.2.840.113549.1.1.1);
const SHA256_WITH_RSA: Oid<'static> = oid!(1.2.840.113549.1.1.11);
const EC_PUBLIC_KEY: Oid<'static> = oid!(1.2.840.10045.2.1);
const ECDSA_WITH_SHA256: Oid<'static> = oid!(1.2.840.10045.4.3.2);
const SECP256R1: Oid<'static> = oid!(1.2.840.10045.3.1.7);
const SECP384R1: Oid<'static> = oid!(1.3.132.0.34);

const ACCESS_OCSP: Oid<'static> = oid!(1.3.6.1.5.5.7.48.1);
const ACCESS_CA_ISSUERS: Oid<'static> = oid!(1.3.6.1.5.5.7.48.2);
const OCSP_NOCHECK: Oid<'static> = oid!(1.3.6.1.5.5.7.48.1.5);

fn broken<T>(rules: &[Rule<T>], given: &T) -> Vec<String> {
    let broken = rules.iter().filter(|rule| !(rule.holds)(given));
    broken.map(|rule| format!("{} ({})", rule.says, rule.clause)).collect()
}

fn verdict(broken: Vec<String>) -> Result<(), CaError> {
    if broken.is_empty() { Ok(()) } else { Err(CaError::Lint { broken }) }
}

fn not_der() -> CaError {
    CaError::Lint { broken: vec!["the encoding is DER of the expected structure (X.690 §10)".to_owned()] }
}

/// The value of the first extension that `pick` takes.
pub(super) fn find<'a, 'b, T>(
    extensions: &'a [X509Extension<'b>],
    pick: impl Fn(&'a ParsedExtension<'b>) -> Option<T>,
) -> Option<T> {
    extensions.iter().find_map(|extension| pick(extension.parsed_extension()))
}

fn are_sound(extensions: &[X509Extension<'_>], known: impl Fn(&ParsedExtension<'_>) -> bool) -> bool {
    let mut seen = HashSet::new();
    extensions.iter().all(|extension| {
        // An empty SEQUENCE is what a basicConstraints without CA rights holds, and nothing else.
        let empty = extension.value.is_empty() || extension.value == [0x30, 0];
        let may_be_empty = matches!(extension.parsed_extension(), ParsedExtension::BasicConstraints(_));
        known(extension.parsed_extension())
            && der::check(extension.value).is_ok()
            && (!empty || may_be_empty)
            && seen.insert(extension.oid.clone())
    })
}

/// Whether the authority key identifier is that of the issuing certificate.
fn names_key_of(extensions: &[X509Extension<'_>], issuing: &IssuingCertificate) -> bool {
    let named = find(extensions, |parsed| match parsed {
        ParsedExtension::AuthorityKeyIdentifier(authority) => authority.key_identifier.as_ref(),
        _ => None,
    });
    named.is_some_and(|identifier| identifier.0 == issuing.key_identifier)
}

/// Whether signatures of the issuing key are of this algorithm.
pub(super) fn is_algorithm_of(algorithm: &AlgorithmIdentifier<'_>, issuing: &IssuingCertificate) -> bool {
    if issuing.is_rsa {
        // RFC 4055 §5: the parameters are NULL.
        let null = algorithm.parameters.as_ref().is_some_and(|parameters| parameters.as_null().is_ok());
        algorithm.algorithm == SHA256_WITH_RSA && null
    } else {
        // RFC 5758 §3.2: there are no parameters.
        algorithm.algorithm == ECDSA_WITH_SHA256 && algorithm.parameters.is_none()
    }
}

/// x509-parser remembers which of the two forms it read.
fn is_canonical(time: ASN1Time) -> bool {
    time == ASN1Time::new(time.to_datetime())
}

/// Key usage as x509-parser holds it: bit 0 is digitalSignature (RFC 5280 §4.2.1.3). None of a CA's bits has a name here.
fn flags(usages: &[KeyUsagePurpose]) -> u16 {
    usages.iter().fold(0, |flags, usage| {
        flags
            | match usage {
                KeyUsagePurpose::DigitalSignature => 1 << 0,
                KeyUsagePurpose::KeyEncipherment => 1 << 2,
                KeyUsagePurpose::DataEncipherment => 1 << 3,
                _ => u16::MAX,
            }
    })
}

fn is_only(found: &ExtendedKeyUsage<'_>, expected: &ExtendedKeyUsagePurpose) -> bool {
    let none_else = !found.any && !found.email_protection && !found.time_stamping;
    let mut ours = [
        (found.client_auth, ExtendedKeyUsagePurpose::ClientAuth),
        (found.server_auth, ExtendedKeyUsagePurpose::ServerAuth),
        (found.code_signing, ExtendedKeyUsagePurpose::CodeSigning),
        (found.ocsp_signing, ExtendedKeyUsagePurpose::OcspSigning),
    ]
    .into_iter();
    none_else && found.other.is_empty() && ours.all(|(given, usage)| given == (usage == *expected))
}

fn is_web_place(name: &GeneralName<'_>) -> bool {
    matches!(name, GeneralName::URI(url) if url.starts_with("http://") || url.starts_with("https://"))
}

/// The forms of names that the profile has, each name well formed and there once; a public host by its common name too.
fn has_sound_names(given: &Certificate<'_>) -> bool {
    let allowed = given.profile.names();
    let names = find(given.tbs.extensions(), |parsed| match parsed {
        ParsedExtension::SubjectAlternativeName(names) => Some(names.general_names.as_slice()),
        _ => None,
    })
    .unwrap_or_default();
    let mut seen = HashSet::new();
    let sound = names.iter().all(|name| {
        let fits = match name {
            GeneralName::DNSName(host) => match allowed.hosts {
                Hosts::None => false,
                Hosts::Public => subject::host_name(host).as_deref() == Ok(host),
                Hosts::Any => is_host(host),
            },
            GeneralName::IPAddress(octets) => allowed.hosts == Hosts::Any && matches!(octets.len(), 4 | 16),
            GeneralName::RFC822Name(email) => allowed.emails && subject::check_email(email).is_ok(),
            _ => false,
        };
        fits && seen.insert(name.to_string())
    });
    let mut common_names = given.tbs.subject.iter_common_name().filter_map(|part| part.as_str().ok());
    let named = match allowed.hosts {
        Hosts::None => true,
        Hosts::Public => common_names.all(|common_name| {
            names.iter().any(|name| matches!(name, GeneralName::DNSName(host) if *host == common_name))
        }),
        Hosts::Any => !names.is_empty(),
    };
    sound && named
}

/// Whether a text is a host name of any kind, in lower case (RFC 1123 §2.1).
fn is_host(name: &str) -> bool {
    name.split('.').all(|label| {
        let good = |octet: u8| octet.is_ascii_lowercase() || octet.is_ascii_digit() || octet == b'-';
        !label.is_empty() && label.len() <= 63 && label.bytes().all(good)
    })
}

fn has_sound_subject(tbs: &TbsCertificate<'_>) -> bool {
    let mut seen = HashSet::new();
    let sound = tbs.subject.iter().all(|set| {
        set.iter().count() == 1
            && set.iter().all(|part| {
                let known = subject::attribute(part.attr_type());
                let fits = |limit| part.as_str().is_ok_and(|text| subject::check_text(text, limit).is_ok());
                known.is_some_and(|known| seen.insert(known.short) && fits(known.limit))
            })
    });
    sound && seen.contains("CN")
}

fn is_sound_key(key: &SubjectPublicKeyInfo<'_>) -> bool {
    match key.parsed() {
        Ok(PublicKey::RSA(rsa)) => {
            // The modulus comes with the zero octet that keeps it positive.
            let octets = rsa.modulus.iter().skip_while(|octet| **octet == 0).count();
            key.algorithm.algorithm == RSA_ENCRYPTION && matches!(octets * 8, 2048 | 3072 | 4096)
        }
        Ok(PublicKey::EC(_)) => {
            let curve = key.algorithm.parameters.as_ref().and_then(|parameters| parameters.as_oid().ok());
            key.algorithm.algorithm == EC_PUBLIC_KEY
                && curve.is_some_and(|curve| curve == SECP256R1 || curve == SECP384R1)
        }
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use time::macros::datetime;

    use super::*;

    #[test]
    fn only_one_form_of_each_time_is_read() {
        for (tag, content, expected) in [
            (0x17, "261124130000Z", Some(datetime!(2026-11-24 13:00 UTC))),
            (0x17, "491231235959Z", Some(datetime!(2049-12-31 23:59:59 UTC))),
            (0x18, "20500101000000Z", Some(datetime!(2050-01-01 0:00 UTC))),
            (0x18, "20491231235959Z", None),
            (0x17, "20500101000000Z", None),
            (0x17, "2611241300Z", None),
            (0x17, "261124130000", None),
            (0x17, "261124130000+0000", None),
            (0x17, "261324130000Z", None),
            (0x17, "260230130000Z", None),
            (0x17, "261124240000Z", None),
            (0x18, "20500101000000.5Z", None),
            (0x04, "261124130000Z", None),
            (0x17, "", None),
        ] {
            assert_eq!(canonical_time(der::Value { tag, content: content.as_bytes() }), expected, "{content}");
        }
    }

    #[test]
    fn an_entry_is_a_serial_number_a_date_and_perhaps_a_reason() {
        let serial = [[0x02, 16].as_slice(), &[0x41; 16]].concat();
        let date = [[0x17, 13].as_slice(), b"261124130000Z"].concat();
        let reason = |number: u8| [REASON.as_slice(), &[number]].concat();
        let read = |content: Vec<u8>| {
            let read = entry(der::Value { tag: 0x30, content: &content })?;
            Some((read.serial.is_some(), read.revoked_at.is_some(), read.is_plain))
        };
        for (content, expected) in [
            ([serial.clone(), date.clone()].concat(), Some((true, true, true))),
            ([serial.clone(), date.clone(), reason(1)].concat(), Some((true, true, true))),
            ([serial.clone(), date.clone(), reason(0)].concat(), Some((true, true, false))),
            ([serial.clone(), date.clone(), reason(7)].concat(), Some((true, true, false))),
            ([serial.clone(), date.clone(), reason(1), reason(1)].concat(), Some((true, true, false))),
            ([serial.clone(), date.clone(), vec![0x30, 0]].concat(), Some((true, true, false))),
            ([vec![0x02, 1, 5], date.clone()].concat(), Some((false, true, true))),
            ([serial.clone(), serial.clone()].concat(), Some((true, false, true))),
            (date, None),
            (serial, None),
        ] {
            assert_eq!(read(content.clone()), expected, "{content:02x?}");
        }
    }
}
