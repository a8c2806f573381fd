//! Distinguished names: what a subject holds, how common names are made and compared, and how names are printed.

use std::fmt::{self, Write};
use std::net::IpAddr;
use std::str::FromStr;

use rcgen::string::PrintableString;
use rcgen::{DistinguishedName, DnType, DnValue};
use unicode_normalization::{IsNormalized, UnicodeNormalization, is_nfc_quick};
use x509_parser::der_parser::asn1_rs::{Oid, ToDer};
use x509_parser::der_parser::oid;
use x509_parser::x509::{AttributeTypeAndValue, X509Name};

use super::request::{UnknownWord, by_word};
use super::text::acts_or_hides;

/// X.520 upper bound of a common name, in characters.
pub const COMMON_NAME_LIMIT: usize = 64;

/// A subject as this suite writes it (RFC 5280 §4.1.2.6). All texts are checked before one is made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Subject {
    /// Two capital letters.
    pub country: String,
    /// State or region, may be empty.
    pub region: String,
    /// Locality, may be empty.
    pub locality: String,
    /// Code and name: `J1CFRA - FRANCE LA POSTE`; empty for the centre's own.
    pub organisation: String,
    /// `Workstation` or `Server`.
    pub organisational_unit: String,
    /// Machine identifier, host name or person.
    pub common_name: String,
}

impl Subject {
    /// The name of something of the centre's own: a service, a signer.
    pub fn of_centre(common_name: String) -> Self {
        Self {
            country: String::new(),
            region: String::new(),
            locality: String::new(),
            organisation: "PTC".to_owned(),
            organisational_unit: String::new(),
            common_name,
        }
    }

    /// The name as rcgen encodes it, from the country down to the common name, empty parts left out.
    ///
    /// # Errors
    /// Fails where the country is not a PrintableString, which checked subjects never are.
    pub fn to_distinguished_name(&self) -> Result<DistinguishedName, rcgen::Error> {
        let mut name = DistinguishedName::new();
        // X.520 §6.3.1: countryName is a PrintableString; the rest is UTF8String (RFC 5280 §4.1.2.4).
        if !self.country.is_empty() {
            let country = PrintableString::try_from(self.country.as_str())?;
            name.push(DnType::CountryName, DnValue::PrintableString(country));
        }
        for (kind, text) in [
            (DnType::StateOrProvinceName, &self.region),
            (DnType::LocalityName, &self.locality),
            (DnType::OrganizationName, &self.organisation),
            (DnType::OrganizationalUnitName, &self.organisational_unit),
            (DnType::CommonName, &self.common_name),
        ] {
            if !text.is_empty() {
                name.push(kind, DnValue::Utf8String(text.clone()));
            }
        }
        Ok(name)
    }
}

/// An attribute type that subjects use, with its names in the printed formats and its upper bound.
pub(crate) struct Attribute {
    /// Short name (RFC 4514 §3; OpenSSL agrees on all of these).
    pub(crate) short: &'static str,
    /// As .NET prints it, where that differs.
    windows: &'static str,
    oid: Oid<'static>,
    /// X.520 upper bound in characters.
    pub(crate) limit: usize,
}

/// The attributes that get a name when printed. The first six make up a [`Subject`].
pub(crate) static ATTRIBUTES: [Attribute; 10] = [
    Attribute { short: "C", windows: "C", oid: oid!(2.5.4.6), limit: 2 },
    Attribute { short: "ST", windows: "S", oid: oid!(2.5.4.8), limit: 128 },
    Attribute { short: "L", windows: "L", oid: oid!(2.5.4.7), limit: 128 },
    Attribute { short: "O", windows: "O", oid: oid!(2.5.4.10), limit: 64 },
    Attribute { short: "OU", windows: "OU", oid: oid!(2.5.4.11), limit: 64 },
    Attribute { short: "CN", windows: "CN", oid: oid!(2.5.4.3), limit: COMMON_NAME_LIMIT },
    Attribute { short: "emailAddress", windows: "E", oid: oid!(1.2.840.113549.1.9.1), limit: 255 },
    Attribute { short: "serialNumber", windows: "SERIALNUMBER", oid: oid!(2.5.4.5), limit: 64 },
    Attribute { short: "street", windows: "STREET", oid: oid!(2.5.4.9), limit: 128 },
    Attribute { short: "DC", windows: "DC", oid: oid!(0.9.2342.19200300.100.1.25), limit: 63 },
];

/// The known attribute of a type.
pub(crate) fn attribute(oid: &Oid<'_>) -> Option<&'static Attribute> {
    ATTRIBUTES.iter().find(|attribute| attribute.oid == *oid)
}

/// How a name is printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NameFormat {
    /// As .NET prints `X509Certificate2.Subject`: last part first, `S` for the region, quotes.
    Windows,
    /// RFC 4514, and as `openssl x509 -subject -nameopt RFC2253,utf8,-esc_msb` prints it: last part first, backslashes.
    Rfc4514,
    /// As `openssl x509 -subject -nameopt oneline,utf8,-esc_msb` prints it: first part first, quotes. That is the
    /// form of OpenSSL 1.1 and 3.0, with accents as they are.
    Openssl,
}

impl NameFormat {
    /// The word used on command lines.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Windows => "windows",
            Self::Rfc4514 => "rfc4514",
            Self::Openssl => "openssl",
        }
    }

    /// Prints a name.
    pub fn print(self, name: &X509Name<'_>) -> String {
        let (between_sets, between_parts) = match self {
            Self::Windows | Self::Openssl => (", ", " + "),
            Self::Rfc4514 => (",", "+"),
        };
        let mut sets: Vec<String> = name
            .iter()
            .map(|set| {
                let mut parts: Vec<String> = set.iter().map(|part| self.part(part)).collect();
                if self == Self::Rfc4514 {
                    parts.reverse();
                }
                parts.join(between_parts)
            })
            .collect();
        if self != Self::Openssl {
            sets.reverse();
        }
        sets.join(between_sets)
    }

    fn part(self, part: &AttributeTypeAndValue<'_>) -> String {
        let known = attribute(part.attr_type());
        let label = match (self, known) {
            (Self::Windows, Some(known)) => known.windows.to_owned(),
            (Self::Windows, None) => format!("OID.{}", part.attr_type()),
            (_, Some(known)) => known.short.to_owned(),
            (_, None) => part.attr_type().to_id_string(),
        };
        let equals = if self == Self::Openssl { " = " } else { "=" };
        let value = match (self, part.as_str()) {
            (Self::Windows, Ok(text)) => quoted_for_windows(text),
            (Self::Rfc4514, Ok(text)) if known.is_some() => escaped_for_rfc4514(text),
            (Self::Openssl, Ok(text)) => quoted_for_openssl(text),
            // RFC 4514 §2.4: a value that is no string, or of a type without a name, is the `#` and its encoding.
            _ => format!("#{}", super::secret::hex(&part.attr_value().to_der_vec().unwrap_or_default()).to_uppercase()),
        };
        format!("{label}{equals}{value}")
    }
}

impl fmt::Display for NameFormat {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.pad(self.as_str())
    }
}

impl FromStr for NameFormat {
    type Err = UnknownWord;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        by_word(text, &[Self::Windows, Self::Rfc4514, Self::Openssl], Self::as_str)
    }
}

/// The rules of `CertNameToStr`, which .NET follows on every system (`NeedsQuoting` in its `X500NameEncoder`).
fn quoted_for_windows(text: &str) -> String {
    let space = |character: char| matches!(character, ' ' | '\t'..='\r');
    let quotes = text.is_empty() || text.starts_with(space) || text.ends_with(space);
    match quotes || text.contains([',', '+', '=', '"', '\n', '<', '>', '#', ';']) {
        true => format!("\"{}\"", text.replace('"', "\"\"")),
        false => text.to_owned(),
    }
}

/// OpenSSL's `esc_2253,esc_ctrl,esc_quote`: quotes around a value that RFC 2253 would escape in.
fn quoted_for_openssl(text: &str) -> String {
    let quotes = text.starts_with(['#', ' ']) || text.ends_with(' ') || text.contains([',', '+', '<', '>', ';']);
    let escaped = escaped(text, |character, _| matches!(character, '"' | '\\'));
    if quotes { format!("\"{escaped}\"") } else { escaped }
}

/// RFC 4514 §2.4.
fn escaped_for_rfc4514(text: &str) -> String {
    escaped(text, |character, index| match character {
        '"' | '+' | ',' | ';' | '<' | '>' | '\\' => true,
        '#' => index == 0,
        ' ' => index == 0 || index + 1 == text.len(),
        _ => false,
    })
}

/// Puts a backslash before some characters, and writes what acts or hides as the hexadecimal digits of its UTF-8 octets
/// (RFC 4514 §2.4 allows that for every character).
fn escaped(text: &str, is_special: impl Fn(char, usize) -> bool) -> String {
    let mut value = String::with_capacity(text.len() + 4);
    for (index, character) in text.char_indices() {
        if acts_or_hides(character) {
            for octet in character.encode_utf8(&mut [0; 4]).bytes() {
                let _ = write!(value, "\\{octet:02X}");
            }
            continue;
        }
        if is_special(character, index) {
            value.push('\\');
        }
        value.push(character);
    }
    value
}

/// Why a name is not taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BadName {
    /// Nothing is left of it.
    Empty,
    /// It is longer than X.520 or RFC 1035 allow.
    TooLong,
    /// It holds a character that has no place in it.
    Character,
    /// It is an IP address or a name without a domain; a public host name is expected.
    NotPublic,
}

/// The host name of a URL or host name, in the one form that is compared and certified: A-labels, lower case, no
/// trailing dot (RFC 5890 §2.3, RFC 1123 §2.1). At most 64 characters, because it becomes a common name.
pub fn host_name(text: &str) -> Result<String, BadName> {
    let text = text.trim();
    let authority = text.split_once("://").map_or(text, |(_, rest)| rest);
    let authority = authority.split(['/', '?', '#']).next().unwrap_or_default();
    let host = match authority.rsplit_once(':') {
        Some((host, port)) if !host.contains(':') && port.bytes().all(|byte| byte.is_ascii_digit()) => host,
        _ => authority,
    };
    let host = host.strip_suffix('.').unwrap_or(host);
    if host.is_empty() {
        return Err(BadName::Empty);
    }
    if host.trim_matches(['[', ']']).parse::<IpAddr>().is_ok() {
        return Err(BadName::NotPublic);
    }
    if host.contains(acts_or_hides) {
        return Err(BadName::Character);
    }
    // No name is longer (RFC 1035 §2.3.4), and Punycode takes time that grows with the square of the length.
    if host.chars().nth(253).is_some() {
        return Err(BadName::TooLong);
    }
    let host = idna::domain_to_ascii_strict(host).map_err(|_| BadName::Character)?;
    if host.len() > COMMON_NAME_LIMIT {
        return Err(BadName::TooLong);
    }
    let last = host.rsplit_once('.').ok_or(BadName::NotPublic)?.1;
    if last.bytes().all(|byte| byte.is_ascii_digit()) { Err(BadName::NotPublic) } else { Ok(host) }
}

/// The common name of a machine: MAC address, processor id and NIC id in capital hexadecimal digits, joined by `-`,
/// cut to the upper bound where an id is longer than any known system's.
pub fn machine_name(mac_address: &str, processor_id: &str, nic_id: &str) -> String {
    let digits = |text: &str| -> String {
        text.chars().filter(char::is_ascii_hexdigit).map(|digit| digit.to_ascii_uppercase()).collect()
    };
    let mut name = [mac_address, processor_id, nic_id].map(digits).join("-");
    name.truncate(COMMON_NAME_LIMIT);
    name
}

/// Whether a text can be the common name of a machine: letters, digits, `-`, `_` and `.`, at most 64.
pub fn check_machine_name(text: &str) -> Result<(), BadName> {
    if text.is_empty() {
        return Err(BadName::Empty);
    }
    if !text.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.')) {
        return Err(BadName::Character);
    }
    if text.len() > COMMON_NAME_LIMIT { Err(BadName::TooLong) } else { Ok(()) }
}

/// The form in which two common names are compared: one machine is one identity, whatever the case, the Unicode
/// normalisation form or a trailing dot.
pub fn identity(common_name: &str) -> String {
    let name = common_name.trim_end_matches('.');
    match name.is_ascii() {
        true => name.to_ascii_lowercase(),
        false => name.nfkc().flat_map(char::to_lowercase).nfc().collect(),
    }
}

/// A text in Normalization Form C, in which most texts are already.
pub(super) fn composed(text: &str) -> String {
    match is_nfc_quick(text.chars()) {
        IsNormalized::Yes => text.to_owned(),
        _ => text.nfc().collect(),
    }
}

/// Whether a text can be an rfc822Name (RFC 5280 §4.2.1.6): `local@domain`, ASCII, no display name.
pub fn check_email(text: &str) -> Result<(), BadName> {
    let (local, domain) =
        text.rsplit_once('@').ok_or(if text.is_empty() { BadName::Empty } else { BadName::Character })?;
    // RFC 5321 §4.5.3.1 for the lengths, RFC 5322 §3.2.3 for atext.
    if local.len() > 64 || text.len() > 254 {
        return Err(BadName::TooLong);
    }
    let atext = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-/=?^_`{|}~".contains(&byte);
    let atoms = |part: &str| part.split('.').all(|atom| !atom.is_empty() && atom.bytes().all(atext));
    let labels = |part: &str| {
        part.contains('.')
            && part.split('.').all(|label| {
                !label.is_empty()
                    && !label.starts_with('-')
                    && !label.ends_with('-')
                    && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
            })
    };
    if atoms(local) && labels(domain) { Ok(()) } else { Err(BadName::Character) }
}

/// Whether a text can stand in a subject: not empty, at most `limit` characters, nothing that acts or hides.
pub fn check_text(text: &str, limit: usize) -> Result<(), BadName> {
    if text.trim().is_empty() {
        return Err(BadName::Empty);
    }
    if text.contains(acts_or_hides) {
        return Err(BadName::Character);
    }
    if text.chars().count() > limit { Err(BadName::TooLong) } else { Ok(()) }
}

/// Whether a text is a country code: two capital letters (ISO 3166-1 alpha-2).
pub fn check_country(text: &str) -> Result<(), BadName> {
    let good = text.len() == 2 && text.bytes().all(|byte| byte.is_ascii_uppercase());
    if good { Ok(()) } else { Err(BadName::Character) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn host_names() {
        for (given, expected) in [
            ("https://Api.Poste.example:8443/path?q#f", Ok("api.poste.example")),
            ("api.poste.example.", Ok("api.poste.example")),
            ("api.poste.example:443", Ok("api.poste.example")),
            ("bücher.poste.example", Ok("xn--bcher-kva.poste.example")),
            ("bu\u{308}cher.poste.example", Ok("xn--bcher-kva.poste.example")),
            ("", Err(BadName::Empty)),
            ("https://", Err(BadName::Empty)),
            ("localhost", Err(BadName::NotPublic)),
            ("192.0.2.1", Err(BadName::NotPublic)),
            ("[2001:db8::1]", Err(BadName::NotPublic)),
            ("a b.example", Err(BadName::Character)),
            ("under_score.example", Err(BadName::Character)),
            ("*.poste.example", Err(BadName::Character)),
            ("-a.example", Err(BadName::Character)),
            ("a\0.example", Err(BadName::Character)),
            ("user@poste.example", Err(BadName::Character)),
        ] {
            assert_eq!(host_name(given), expected.map(str::to_owned), "{given}");
        }
        assert_eq!(host_name(&format!("{}.example", "a".repeat(60))), Err(BadName::TooLong));
        assert_eq!(host_name(&format!("{}.example", "a.".repeat(200))), Err(BadName::TooLong));
    }

    #[test]
    fn machine_names_never_pass_the_bound() {
        assert_eq!(
            machine_name("00:1a:2B:3c:4d:5e", "bfebfbff000906ea", "{5e0c4f2a-1b2c-4d5e-8f90-a1b2c3d4e5f6}"),
            "001A2B3C4D5E-BFEBFBFF000906EA-5E0C4F2A1B2C4D5E8F90A1B2C3D4E5F6"
        );
        assert_eq!(machine_name("00", "11", &"F".repeat(100)).len(), COMMON_NAME_LIMIT);
    }

    #[test]
    fn one_machine_is_one_identity() {
        for (left, right) in [("API.example.", "api.example"), ("e\u{301}", "\u{c9}"), ("AB-cd", "ab-CD")] {
            assert_eq!(identity(left), identity(right));
        }
        assert_ne!(identity("a.example"), identity("b.example"));
    }

    #[test]
    fn emails() {
        for good in ["admin@poste.example", "a.b+c@x-y.example"] {
            assert_eq!(check_email(good), Ok(()), "{good}");
        }
        for bad in [
            "",
            "admin",
            "@x.example",
            "a@",
            "a@b",
            "a b@x.example",
            "é@x.example",
            "a@x.example\r\n",
            "A <a@x.example>",
        ] {
            assert!(check_email(bad).is_err(), "{bad}");
        }
    }
}
