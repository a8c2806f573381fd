//! What a decision rests on: the CSR beside what would be issued and what the machine has, duplicates, history, who
//! else is looking.

use time::OffsetDateTime;
use x509_parser::certification_request::X509CertificationRequest;
use x509_parser::extensions::{GeneralName, ParsedExtension};
use x509_parser::prelude::{FromDer, TbsCertificate, X509Certificate};
use x509_parser::x509::{SubjectPublicKeyInfo, X509Name};

use super::{check_again, found};
use crate::protocol::messages::{AuditEntry, MachineDetails, RequestDetail};
use crate::protocol::request::{RequestNumber, State};
use crate::protocol::rules::{CheckedCsr, key_kind};
use crate::protocol::secret::sha256_hex;
use crate::protocol::subject::NameFormat;
use crate::protocol::text::printable;
use crate::service::app::App;
use crate::service::audit;
use crate::service::auth::{Action, Actor, authorize};
use crate::service::db::certificates;
use crate::service::db::requests::{self, RequestRow};
use crate::service::error::{Failure, Refusal};

/// The most entries of a request's history; none has more unless somebody reaches for it again and again.
const HISTORY_LIMIT: u32 = 100;

/// A request with all that a decision rests on.
#[derive(Debug)]
pub struct Evidence {
    /// The request.
    pub detail: RequestDetail,
    /// What the CSR asks for.
    pub asked: Content,
    /// What would be issued now, or was issued; absent where nothing would.
    pub issued: Option<Content>,
    /// What the machine was issued before, and for which request.
    pub previous: Option<Previous>,
    /// What happened to the request, oldest first.
    pub history: Vec<AuditEntry>,
    /// Names of the others who have it open.
    pub watchers: Vec<String>,
    /// Why the one who looks may not decide; absent where they may.
    pub undecidable: Option<Refusal>,
}

/// The certificate that a machine had before.
#[derive(Debug)]
pub struct Previous {
    /// The request that it answered.
    pub number: RequestNumber,
    /// Where that request stands.
    pub state: State,
    /// What the machine said of itself then.
    pub machine: MachineDetails,
    /// What it holds.
    pub content: Content,
}

/// What a CSR or certificate holds, for a person to compare.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Content {
    /// The subject (RFC 4514).
    pub subject: String,
    /// dNSName entries of the SAN.
    pub dns_names: Vec<String>,
    /// rfc822Name entries of the SAN.
    pub emails: Vec<String>,
    /// Other entries of the SAN.
    pub other_names: Vec<String>,
    /// `RSA 2048`, `EC P-256`, ….
    pub key: String,
    /// SHA-256 of the SubjectPublicKeyInfo.
    pub key_sha256: String,
    /// Key usage, the words of RFC 5280 §4.2.1.3.
    pub key_usage: Vec<String>,
    /// Extended key usage, the words of RFC 5280 §4.2.1.12.
    pub extended_key_usage: Vec<String>,
    /// From when to when; absent in a CSR.
    pub validity: Option<(OffsetDateTime, OffsetDateTime)>,
}

impl Content {
    /// Of a CSR (DER).
    pub fn of_csr(der: &[u8]) -> Option<Self> {
        let (_, csr) = X509CertificationRequest::from_der(der).ok()?;
        let info = &csr.certification_request_info;
        let extensions = csr.requested_extensions().into_iter().flatten();
        Some(Self::read(&info.subject, &info.subject_pki, extensions))
    }

    /// Every name of the SAN, safe to show.
    pub fn names(&self) -> Vec<String> {
        let names = self.dns_names.iter().chain(&self.emails).chain(&self.other_names);
        names.map(|name| printable(name).into_owned()).collect()
    }

    /// Of a certificate (DER).
    pub fn of_certificate(der: &[u8]) -> Option<Self> {
        let (_, certificate) = X509Certificate::from_der(der).ok()?;
        Some(Self::of_tbs(&certificate.tbs_certificate))
    }

    fn of_tbs(tbs: &TbsCertificate<'_>) -> Self {
        let extensions = tbs.extensions().iter().map(|extension| extension.parsed_extension());
        let validity = (tbs.validity.not_before.to_datetime(), tbs.validity.not_after.to_datetime());
        Self { validity: Some(validity), ..Self::read(&tbs.subject, &tbs.subject_pki, extensions) }
    }

    fn read<'a>(
        subject: &X509Name<'_>,
        key: &SubjectPublicKeyInfo<'_>,
        extensions: impl Iterator<Item = &'a ParsedExtension<'a>>,
    ) -> Self {
        let mut content = Self {
            subject: NameFormat::Rfc4514.print(subject),
            key: key_kind(key).map(|kind| kind.to_string()).unwrap_or_default(),
            key_sha256: sha256_hex(key.raw),
            ..Self::default()
        };
        for extension in extensions {
            match extension {
                ParsedExtension::SubjectAlternativeName(names) => {
                    for name in &names.general_names {
                        match name {
                            GeneralName::DNSName(name) => content.dns_names.push((*name).to_owned()),
                            GeneralName::RFC822Name(name) => content.emails.push((*name).to_owned()),
                            other => content.other_names.push(other.to_string()),
                        }
                    }
                }
                ParsedExtension::KeyUsage(usage) => {
                    content.key_usage = [
                        (usage.digital_signature(), "digitalSignature"),
                        (usage.non_repudiation(), "nonRepudiation"),
                        (usage.key_encipherment(), "keyEncipherment"),
                        (usage.data_encipherment(), "dataEncipherment"),
                        (usage.key_agreement(), "keyAgreement"),
                        (usage.key_cert_sign(), "keyCertSign"),
                        (usage.crl_sign(), "cRLSign"),
                    ]
                    .into_iter()
                    .filter(|(set, _)| *set)
                    .map(|(_, word)| word.to_owned())
                    .collect();
                }
                ParsedExtension::ExtendedKeyUsage(usage) => {
                    content.extended_key_usage = [
                        (usage.any, "anyExtendedKeyUsage"),
                        (usage.server_auth, "serverAuth"),
                        (usage.client_auth, "clientAuth"),
                        (usage.code_signing, "codeSigning"),
                        (usage.email_protection, "emailProtection"),
                        (usage.time_stamping, "timeStamping"),
                        (usage.ocsp_signing, "OCSPSigning"),
                    ]
                    .into_iter()
                    .filter(|(set, _)| *set)
                    .map(|(_, word)| word.to_owned())
                    .chain(usage.other.iter().map(ToString::to_string))
                    .collect();
                }
                _ => {}
            }
        }
        content
    }
}

impl App {
    /// A request with all that a decision rests on, to be shown to somebody who is now looking at it.
    pub async fn evidence(&self, actor: &Actor, number: RequestNumber) -> Result<Evidence, Failure> {
        self.reach_request(actor, Action::ReadRequest, number).await?;
        self.expire().await?;
        let mut connection = self.database.read().await?;
        let row = found(requests::find(&mut connection, number).await?)?;
        let csr = check_again(&mut connection, &row).await?;
        let certificate = certificates::find_by_request(&mut connection, number).await?;
        let issued = match (&certificate, &csr) {
            (Some(certificate), _) => certificate.der.as_deref().and_then(Content::of_certificate),
            (None, Ok(csr)) if row.state == State::Pending => {
                let now = self.clock.now();
                let prepared = self.ca.prepare(&self.template(row.kind, csr), (self.serials)(now)?, now)?;
                TbsCertificate::from_der(prepared.tbs()).ok().map(|(_, tbs)| Content::of_tbs(&tbs))
            }
            _ => None,
        };
        let previous = match requests::find_predecessor(&mut connection, &row).await? {
            Some(older) => {
                let certificate = certificates::find_by_request(&mut connection, older.number).await?;
                let content = certificate.and_then(|row| row.der).as_deref().and_then(Content::of_certificate);
                content.map(|content| Previous {
                    number: older.number,
                    state: older.state,
                    machine: older.machine,
                    content,
                })
            }
            None => None,
        };
        let history = audit::list_of(&mut connection, &format!("request:{number}"), HISTORY_LIMIT).await?;
        let undecidable = self.undecidable(actor, &row, csr.as_ref().ok());
        let watchers = self.watchers.look(actor, number, self.clock.now());
        let asked = Content::of_csr(&row.csr).unwrap_or_default();
        Ok(Evidence {
            detail: self.detail(&mut connection, actor, row, &csr).await?,
            asked,
            issued,
            previous,
            history,
            watchers,
            undecidable,
        })
    }

    /// Why an actor may not decide on a pending request, by the same functions that a decision asks.
    fn undecidable(&self, actor: &Actor, row: &RequestRow, csr: Option<&CheckedCsr>) -> Option<Refusal> {
        authorize(actor, Action::Approve, &super::row_object(row))
            .and_then(|()| super::decision::refuse_own_request(actor, &row.contact, csr))
            .err()
    }
}
