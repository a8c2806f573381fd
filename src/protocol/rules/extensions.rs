//! The extensions that a CSR asks for.

use std::collections::HashSet;

use x509_parser::certification_request::X509CertificationRequest;
use x509_parser::cri_attributes::ParsedCriAttribute;
use x509_parser::der_parser::asn1_rs::Oid;
use x509_parser::extensions::{GeneralName, KeyUsage, ParsedExtension};

use super::key::RSA_ENCRYPTION;
use super::subject::canonical_host;
use super::{Expectation, Finding, Rule};
use crate::protocol::der;
use crate::protocol::request::Kind;
use crate::protocol::subject::check_email;

/// More host names than any server here has.
const SAN_LIMIT: usize = 100;

/// What the CSR's extensions ask for and the profile may use.
#[derive(Default)]
pub(super) struct Requested {
    pub(super) dns_names: Vec<String>,
    pub(super) emails: Vec<String>,
}

const CLIENT_AUTH: &str = "clientAuth";
const SERVER_AUTH: &str = "serverAuth";

pub(super) fn check_extensions(
    csr: &X509CertificationRequest<'_>,
    expectation: &Expectation<'_>,
    findings: &mut Vec<Finding>,
) -> Requested {
    let mut requested = Requested::default();
    let mut seen = HashSet::new();
    let mut requests = 0;
    let mut key_usage = None;
    let mut extended_key_usage = None;
    for attribute in csr.certification_request_info.iter_attributes() {
        let ParsedCriAttribute::ExtensionRequest(request) = attribute.parsed_attribute() else { continue };
        requests += 1;
        for extension in &request.extensions {
            let oid = extension.oid.to_id_string();
            if !seen.insert(&extension.oid) {
                findings.push(Finding::new(Rule::BadExtension, format!("extension.{oid}"), "", "1 ×"));
                continue;
            }
            let readable = !extension.value.is_empty() && der::check(extension.value).is_ok();
            match extension.parsed_extension() {
                _ if !readable => {
                    findings.push(Finding::new(Rule::BadExtension, format!("extension.{oid}"), "", "DER"));
                }
                ParsedExtension::KeyUsage(usage) => key_usage = Some(*usage),
                ParsedExtension::ExtendedKeyUsage(usage) => {
                    let mut names: Vec<String> = [
                        (usage.any, "anyExtendedKeyUsage"),
                        (usage.server_auth, SERVER_AUTH),
                        (usage.client_auth, CLIENT_AUTH),
                        (usage.code_signing, "codeSigning"),
                        (usage.email_protection, "emailProtection"),
                        (usage.time_stamping, "timeStamping"),
                        (usage.ocsp_signing, "OCSPSigning"),
                    ]
                    .into_iter()
                    .filter(|(asked, _)| *asked)
                    .map(|(_, name)| name.to_owned())
                    .collect();
                    names.extend(usage.other.iter().map(Oid::to_id_string));
                    extended_key_usage = Some(names);
                }
                ParsedExtension::SubjectAlternativeName(names) => {
                    check_names(&names.general_names, expectation.kind, &mut requested, findings);
                }
                ParsedExtension::BasicConstraints(constraints)
                    if (constraints.ca || constraints.path_len_constraint.is_some()) =>
                {
                    findings.push(Finding::new(Rule::CaRights, "extension.basicConstraints", "CA:TRUE", "CA:FALSE"));
                }
                ParsedExtension::BasicConstraints(_) | ParsedExtension::SubjectKeyIdentifier(_) => {}
                ParsedExtension::ParseError { .. } => {
                    findings.push(Finding::new(Rule::BadExtension, format!("extension.{oid}"), "", "RFC 5280 §4.2"));
                }
                _ if extension.critical => {
                    findings.push(Finding::new(Rule::UnknownCritical, format!("extension.{oid}"), "", ""));
                }
                // Windows' certreq adds its own, not critical; the profile copies none of them.
                _ => {}
            }
        }
    }
    // RFC 2985 §5.4.2: extensionRequest is SINGLE VALUE, so that nothing hides in a second one.
    if requests > 1 {
        findings.push(Finding::new(Rule::BadExtension, "extensionRequest", format!("{requests} ×"), "1 ×"));
    }
    let with_rsa = csr.certification_request_info.subject_pki.algorithm.algorithm == RSA_ENCRYPTION;
    check_key_usage(key_usage, with_rsa, findings);
    let expected = if expectation.kind == Kind::ExternalServer { SERVER_AUTH } else { CLIENT_AUTH };
    match extended_key_usage {
        Some(names) if names == [expected] => {}
        found => {
            let found = found.map(|names| names.join(", ")).unwrap_or_default();
            findings.push(Finding::new(Rule::ExtendedKeyUsage, "extension.extendedKeyUsage", found, expected));
        }
    }
    requested
}

fn check_key_usage(usage: Option<KeyUsage>, with_rsa: bool, findings: &mut Vec<Finding>) {
    const FIELD: &str = "extension.keyUsage";
    let bits = usage.map_or(0, |usage| usage.flags);
    let names: Vec<&str> =
        KEY_USAGES.iter().enumerate().filter_map(|(bit, name)| (bits >> bit & 1 == 1).then_some(*name)).collect();
    if names.iter().any(|name| matches!(*name, "keyCertSign" | "cRLSign")) {
        findings.push(Finding::new(Rule::CaRights, FIELD, names.join(", "), ""));
        return;
    }
    // Encipherment has no meaning with an EC key (RFC 8813 §3), so its CSR may leave that out.
    let good = match with_rsa {
        true => names == RSA_KEY_USAGES,
        false => names.first() == Some(&KEY_USAGES[0]) && names.iter().all(|name| ACCEPTED_WITH_EC.contains(name)),
    };
    if !good {
        let expected = if with_rsa { RSA_KEY_USAGES.join(", ") } else { KEY_USAGES[0].to_owned() };
        findings.push(Finding::new(Rule::KeyUsage, FIELD, names.join(", "), expected));
    }
}

/// The names of the bits (RFC 5280 §4.2.1.3), bit 0 first.
const KEY_USAGES: [&str; 9] = [
    "digitalSignature",
    "nonRepudiation",
    "keyEncipherment",
    "dataEncipherment",
    "keyAgreement",
    "keyCertSign",
    "cRLSign",
    "encipherOnly",
    "decipherOnly",
];
const RSA_KEY_USAGES: [&str; 3] = ["digitalSignature", "keyEncipherment", "dataEncipherment"];
const ACCEPTED_WITH_EC: [&str; 4] = ["digitalSignature", "keyEncipherment", "dataEncipherment", "keyAgreement"];

fn check_names(names: &[GeneralName<'_>], kind: Kind, requested: &mut Requested, findings: &mut Vec<Finding>) {
    const FIELD: &str = "extension.subjectAltName";
    if names.is_empty() || names.len() > SAN_LIMIT {
        let found = format!("{} × GeneralName", names.len());
        findings.push(Finding::new(Rule::BadExtension, FIELD, found, format!("1 – {SAN_LIMIT}")));
        return;
    }
    for name in names {
        match name {
            GeneralName::RFC822Name(email) => match check_email(email) {
                Ok(()) => requested.emails.push((*email).to_owned()),
                Err(_) => findings.push(Finding::new(Rule::NotAnEmail, FIELD, email, "name@operator.example")),
            },
            GeneralName::DNSName(host) if kind.named_by_host() => match canonical_host(host) {
                Some(canonical) => requested.dns_names.push(canonical),
                None => findings.push(Finding::new(Rule::NotAHostName, FIELD, host, "server.operator.example")),
            },
            other => {
                let expected = if kind.named_by_host() { "dNSName, rfc822Name" } else { "rfc822Name" };
                findings.push(Finding::new(Rule::SanUnexpected, FIELD, other.to_string(), expected));
            }
        }
    }
}
