//! What goes over the wire in `/api/v1`.
//!
//! Field names and words are stable within `v1`; receivers ignore fields they do not know. Times are RFC 3339 in UTC,
//! DER is base64 (RFC 4648 §4), serial numbers and digests are lower-case hexadecimal.

use std::str::FromStr;

use base64::prelude::{BASE64_STANDARD, Engine};
use serde::{Deserialize, Serialize};
use time::OffsetDateTime;

use super::request::{Kind, RequestNumber, Role, State, UnknownWord, by_word};
use super::rules::Finding;
use super::secret::{SecretHash, sha256_hex};

/// The common start of every path.
pub const API: &str = "/api/v1";

/// The header that makes a submission safe to repeat: at most 64 visible ASCII characters, chosen by the client.
pub const IDEMPOTENCY_KEY: &str = "Idempotency-Key";

/// The largest body that a route accepts, in bytes; those for batches have a limit of their own.
pub const BODY_LIMIT: usize = 256 * 1024;

/// DER bytes, base64 on the wire.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "service", derive(utoipa::ToSchema))]
#[cfg_attr(feature = "service", schema(value_type = String, format = Byte))]
#[serde(try_from = "String", into = "String")]
pub struct Der(pub Vec<u8>);

impl Der {
    /// SHA-256 of the bytes, in hexadecimal.
    pub fn sha256(&self) -> String {
        sha256_hex(&self.0)
    }
}

impl TryFrom<String> for Der {
    type Error = base64::DecodeError;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        BASE64_STANDARD.decode(text).map(Self)
    }
}

impl From<Der> for String {
    fn from(der: Der) -> Self {
        BASE64_STANDARD.encode(der.0)
    }
}

/// The longest text in [`MachineDetails`], in characters; a host name has at most 253 (RFC 1035 §2.3.4).
pub const MACHINE_FIELD_LIMIT: usize = 253;

/// The longest [`Contact::telephone`], in characters.
pub const TELEPHONE_LIMIT: usize = 64;

/// The longest [`Contact::description`], in characters.
pub const DESCRIPTION_LIMIT: usize = 2_000;

/// The longest reason of a [`Rejection`] or [`Revocation`], in characters.
pub const REASON_LIMIT: usize = 500;

/// What the machine says of itself; evidence for the approver, not identity. Every text is taken as it is, up to
/// [`MACHINE_FIELD_LIMIT`] characters.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "service", derive(utoipa::ToSchema))]
#[serde(default)]
pub struct MachineDetails {
    /// Fully qualified host name where there is one. At most 253 characters.
    pub host_name: String,
    /// MAC address, 12 hexadecimal digits.
    pub mac_address: String,
    /// NIC id, hexadecimal.
    pub nic_id: String,
    /// Processor id, hexadecimal.
    pub processor_id: String,
    /// Name and version of the operating system.
    pub os_version: String,
    /// `64-bit` or `32-bit`.
    pub os_type: String,
}

/// Who asks, for the approver.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "service", derive(utoipa::ToSchema))]
#[serde(default)]
pub struct Contact {
    /// E-mail address of the person in charge; also in the certificate's SAN. May be empty where nobody is.
    pub email: String,
    /// Telephone number, free form, at most 64 characters.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub telephone: String,
    /// Free text that helps the approver, at most 2,000 characters.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub description: String,
}

/// `POST /requests`: a new request.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "service", derive(utoipa::ToSchema))]
pub struct Submission {
    /// What the certificate is for.
    pub kind: Kind,
    /// The CSR (PKCS #10, RFC 2986).
    pub csr: Der,
    /// SHA-256 of the request token that the client made. The service never stores the token itself, so that the
    /// answer to a repeated submission need not hold a secret.
    pub token_sha256: SecretHash,
    /// What the machine says of itself.
    #[serde(default)]
    pub machine: MachineDetails,
    /// Who asks.
    #[serde(default)]
    pub contact: Contact,
}

/// A request as its client sees it: the answer to a submission and to every later question.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "service", derive(utoipa::ToSchema))]
pub struct RequestStatus {
    /// The number by which everybody knows the request.
    pub number: RequestNumber,
    /// What the certificate is for.
    pub kind: Kind,
    /// The name that the certificate will carry.
    pub common_name: String,
    /// Where the request stands.
    pub state: State,
    /// Who will approve it.
    pub approver: Role,
    /// When it was accepted.
    #[serde(with = "time::serde::rfc3339")]
    pub submitted_at: OffsetDateTime,
    /// When it was approved, rejected, cancelled, expired or revoked.
    #[serde(default, with = "time::serde::rfc3339::option", skip_serializing_if = "Option::is_none")]
    pub decided_at: Option<OffsetDateTime>,
    /// The manager's reason for a rejection or revocation.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// The older request that this one cancelled.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub replaces: Option<RequestNumber>,
    /// The newer request that cancelled this one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub replaced_by: Option<RequestNumber>,
    /// The certificate, once it is issued, as long as it is not revoked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub issued: Option<Issued>,
}

/// A certificate on its way to the client.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "service", derive(utoipa::ToSchema))]
pub struct Issued {
    /// Serial number.
    pub serial: String,
    /// The certificate.
    pub certificate: Der,
    /// The issuers above it, nearest first, the root last.
    pub chain: Vec<Der>,
}

/// `PUT /requests/{number}/outcome`: the client holds the certificate now.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "service", derive(utoipa::ToSchema))]
pub struct Outcome {
    /// `installed` or `downloaded`, as fits the kind.
    pub state: State,
}

/// `GET /service`: who answers here.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "service", derive(utoipa::ToSchema))]
pub struct ServiceInfo {
    /// The environment's name.
    pub environment: String,
    /// The service's version.
    pub version: String,
    /// The service's clock.
    #[serde(with = "time::serde::rfc3339")]
    pub time: OffsetDateTime,
    /// Where the secure listener is reached from outside.
    pub secure_url: String,
}

/// `GET /test` on the secure listener: who the service thinks the caller is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "service", derive(utoipa::ToSchema))]
pub struct Identity {
    /// The environment's name.
    pub environment: String,
    /// Code of the caller's organisation; absent for a PTC manager.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub organisation: Option<String>,
    /// The kind of a machine's certificate; absent for a manager.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kind: Option<Kind>,
    /// A manager's role; absent for a machine.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub role: Option<Role>,
    /// The certificate's subject (RFC 4514).
    pub subject: String,
    /// The certificate's serial number.
    pub serial: String,
    /// When the certificate ends.
    #[serde(with = "time::serde::rfc3339")]
    pub not_after: OffsetDateTime,
    /// The service's clock.
    #[serde(with = "time::serde::rfc3339")]
    pub time: OffsetDateTime,
}

/// One page of a list, and where the next one starts.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "service", derive(utoipa::ToSchema))]
pub struct Page<T> {
    /// The rows.
    pub items: Vec<T>,
    /// The `after` of the next page; absent on the last one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next: Option<u64>,
}

/// A request in a manager's list.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "service", derive(utoipa::ToSchema))]
pub struct RequestSummary {
    /// The number by which everybody knows the request.
    pub number: RequestNumber,
    /// Code of the organisation.
    pub organisation: String,
    /// What the certificate is for.
    pub kind: Kind,
    /// Where the request stands.
    pub state: State,
    /// The name that the certificate will carry.
    pub common_name: String,
    /// E-mail address of the person in charge.
    pub email: String,
    /// The requester's words.
    pub description: String,
    /// When it was accepted.
    #[serde(with = "time::serde::rfc3339")]
    pub submitted_at: OffsetDateTime,
    /// The rules of what the approver should look at. Whether the CSR still keeps all rules is in the detail alone.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub warnings: Vec<String>,
}

/// A request with everything that is needed to decide on it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "service", derive(utoipa::ToSchema))]
pub struct RequestDetail {
    /// The request as its client sees it.
    #[serde(flatten)]
    pub status: RequestStatus,
    /// Code of the organisation.
    pub organisation: String,
    /// The CSR's subject (RFC 4514).
    pub subject: String,
    /// The key: `RSA 2048`, `EC P-256`, ….
    pub key: String,
    /// The CSR, byte for byte.
    pub csr: Der,
    /// SHA-256 of the CSR; an approval names it, so that it binds to exactly these bytes.
    pub csr_sha256: String,
    /// What the machine says of itself.
    pub machine: MachineDetails,
    /// Who asks.
    pub contact: Contact,
    /// What the approver should look at.
    pub warnings: Vec<Finding>,
    /// Who decided.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub decided_by: Option<String>,
}

/// `POST …/approve`: yes, to exactly these bytes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "service", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct Approval {
    /// SHA-256 of the CSR that the approver saw.
    pub csr_sha256: String,
}

/// `POST …/reject`: no, and why.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "service", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct Rejection {
    /// The reason, which the client's `fetch` shows. 1 to 500 characters.
    pub reason: String,
}

/// `POST …/revoke`: why a certificate is no longer good.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "service", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct Revocation {
    /// The reason code (RFC 5280 §5.3.1).
    pub code: RevocationCode,
    /// The reason in words, which the client's `fetch` shows. At most 500 characters.
    #[serde(default)]
    pub reason: String,
}

/// The reasons of RFC 5280 §5.3.1 that apply to an end entity and are final.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "service", derive(utoipa::ToSchema))]
#[serde(rename_all = "camelCase")]
pub enum RevocationCode {
    /// No particular reason; written by leaving the extension out.
    Unspecified,
    /// The private key may be known to others.
    KeyCompromise,
    /// The name or the organisation changed.
    AffiliationChanged,
    /// A newer certificate took its place.
    Superseded,
    /// The machine is no longer in use.
    CessationOfOperation,
    /// The holder may no longer have it.
    PrivilegeWithdrawn,
}

impl RevocationCode {
    /// Every code.
    pub const ALL: [Self; 6] = [
        Self::Unspecified,
        Self::KeyCompromise,
        Self::AffiliationChanged,
        Self::Superseded,
        Self::CessationOfOperation,
        Self::PrivilegeWithdrawn,
    ];

    /// The word of RFC 5280, used on the wire, in the database and on command lines.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Unspecified => "unspecified",
            Self::KeyCompromise => "keyCompromise",
            Self::AffiliationChanged => "affiliationChanged",
            Self::Superseded => "superseded",
            Self::CessationOfOperation => "cessationOfOperation",
            Self::PrivilegeWithdrawn => "privilegeWithdrawn",
        }
    }
}

impl FromStr for RevocationCode {
    type Err = UnknownWord;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        by_word(text, &Self::ALL, Self::as_str)
    }
}

/// A certificate in a manager's list.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "service", derive(utoipa::ToSchema))]
pub struct CertificateSummary {
    /// Serial number.
    pub serial: String,
    /// The request it answers; absent for a manager's certificate.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub request: Option<RequestNumber>,
    /// Code of the organisation; absent for a PTC manager's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub organisation: Option<String>,
    /// The certificate's subject (RFC 4514).
    pub subject: String,
    /// When it starts.
    #[serde(with = "time::serde::rfc3339")]
    pub not_before: OffsetDateTime,
    /// When it ends.
    #[serde(with = "time::serde::rfc3339")]
    pub not_after: OffsetDateTime,
    /// When it was revoked.
    #[serde(default, with = "time::serde::rfc3339::option", skip_serializing_if = "Option::is_none")]
    pub revoked_at: Option<OffsetDateTime>,
    /// Why it was revoked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub revocation: Option<Revocation>,
    /// The certificate; absent between approval and signature.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub certificate: Option<Der>,
}

/// A designated postal operator.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "service", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct Organisation {
    /// Code: 2 to 16 capital letters and digits. Example: `J1CFRA`.
    pub code: String,
    /// Name. Example: `FRANCE LA POSTE`. With the code and ` - ` at most 64 characters (X.520 upper bound).
    pub name: String,
    /// Country: two capital letters (ISO 3166-1).
    pub country: String,
}

impl Organisation {
    /// The organisation as it stands in a subject: `J1CFRA - FRANCE LA POSTE`.
    pub fn subject_name(&self) -> String {
        format!("{} - {}", self.code, self.name)
    }
}

/// A registration manager or PTC manager.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "service", derive(utoipa::ToSchema))]
pub struct Manager {
    /// The manager's number.
    pub id: u64,
    /// Name of the person.
    pub name: String,
    /// E-mail address.
    pub email: String,
    /// What the manager may do.
    pub role: Role,
    /// Code of the one organisation of a registration manager.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub organisation: Option<String>,
    /// Whether the manager may no longer decide.
    pub disabled: bool,
}

/// `POST …/managers`: a new manager, who made the key and the CSR themselves.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "service", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct NewManager {
    /// Name of the person, 1 to 64 characters.
    pub name: String,
    /// E-mail address.
    pub email: String,
    /// What the manager may do.
    pub role: Role,
    /// Code of the one organisation of a registration manager.
    #[serde(default)]
    pub organisation: Option<String>,
    /// A CSR for the manager's key; only its key and signature count, the names come from the fields above.
    pub csr: Der,
}

/// The answer to [`NewManager`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "service", derive(utoipa::ToSchema))]
pub struct IssuedManager {
    /// The manager.
    pub manager: Manager,
    /// The manager's certificate.
    pub issued: Issued,
}

/// `POST …/managers/{id}/reissue`: a new certificate for a manager in office, who made the key and the CSR themselves.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "service", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct Reissue {
    /// A CSR for the manager's key; only its key and signature count.
    pub csr: Der,
    /// Whether the manager's older certificates are revoked as `superseded`. They stay good unless that is asked for,
    /// so that the manager can go on while the new one is on its way.
    #[serde(default)]
    pub revoke_older: bool,
}

/// `POST …/packages`: a new install package; the answer is the zip, and the only time the secret is seen.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "service", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct NewPackage {
    /// Code of the organisation.
    pub organisation: String,
    /// What the package enrols: `workstation`, `server` or `mobile`.
    pub kind: Kind,
    /// Where the client installs.
    pub store: super::request::StoreScope,
    /// Whether CSRs of external servers may be submitted with it.
    #[serde(default)]
    pub external_requests: bool,
    /// What the client uses for fields that nobody gave.
    #[serde(default)]
    pub defaults: super::package::Defaults,
    /// When its use ends: nothing can be submitted with it from then on. Never where it is absent.
    #[serde(default, with = "time::serde::rfc3339::option", skip_serializing_if = "Option::is_none")]
    pub expires_at: Option<OffsetDateTime>,
}

/// The most days that an install package may be used beside the one that takes its place.
pub const GRACE_LIMIT: u32 = 366;

/// `POST …/packages/{id}/rotate`: a new package with the same settings; the answer is its zip.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "service", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct Rotation {
    /// For how many days the old package can still be used, at most 366; 0 ends it now.
    #[serde(default)]
    pub grace_days: u32,
}

/// An install package that was given out.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "service", derive(utoipa::ToSchema))]
pub struct PackageSummary {
    /// The package's number.
    pub id: i64,
    /// Code of the organisation that got it.
    pub organisation: String,
    /// What it enrols.
    pub kind: Kind,
    /// Where the client installs.
    pub store: super::request::StoreScope,
    /// Whether CSRs of external servers may be submitted with it.
    pub external_requests: bool,
    /// What the client uses for fields that nobody gave.
    pub defaults: super::package::Defaults,
    /// When it was made.
    #[serde(with = "time::serde::rfc3339")]
    pub created_at: OffsetDateTime,
    /// When its use ends by itself.
    #[serde(default, with = "time::serde::rfc3339::option", skip_serializing_if = "Option::is_none")]
    pub expires_at: Option<OffsetDateTime>,
    /// Whether somebody ended its use.
    pub disabled: bool,
    /// Since when.
    #[serde(default, with = "time::serde::rfc3339::option", skip_serializing_if = "Option::is_none")]
    pub disabled_at: Option<OffsetDateTime>,
    /// The package that takes its place.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub replaced_by: Option<i64>,
}

/// An entry of the audit record.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "service", derive(utoipa::ToSchema))]
pub struct AuditEntry {
    /// Position in the record, from 1, without gaps.
    pub sequence: u64,
    /// When.
    #[serde(with = "time::serde::rfc3339")]
    pub time: OffsetDateTime,
    /// By whom.
    pub actor: String,
    /// What was done or refused. Example: `request.approve`.
    pub action: String,
    /// On what. Example: `request:34`.
    pub object: String,
    /// Code of the organisation concerned.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub organisation: Option<String>,
    /// More, as JSON.
    pub detail: serde_json::Value,
    /// SHA-256 over the previous entry's hash and this entry.
    pub hash: String,
}
