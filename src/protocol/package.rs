//! The install package: what an organisation gets, and how its manifest proves that nobody changed it.
//!
//! A package lies in `config/<environment>/` under the client's home. Its manifest is a JWS (RFC 7515, compact,
//! ES256) over the SHA-256 of every other file, signed by the service's package signer, whose certificate comes in
//! `x5c` and chains up to the package's trust anchor.

use std::collections::BTreeMap;

use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED, UnparsedPublicKey};
use base64::prelude::{BASE64_STANDARD, BASE64_URL_SAFE_NO_PAD, Engine};
use rustls::pki_types::{CertificateDer, UnixTime};
use serde::{Deserialize, Serialize};
use time::OffsetDateTime;
use webpki::{ALL_VERIFICATION_ALGS, EndEntityCert, KeyUsage, anchor_from_trusted_cert};
use x509_parser::prelude::{FromDer, X509Certificate};

use super::messages::Organisation;
use super::request::{Kind, StoreScope};
use super::secret::sha256_hex;

/// The one format of package and manifest.
pub const FORMAT: u32 = 1;
/// The settings, TOML: a [`Package`].
pub const SETTINGS: &str = "package.toml";
/// The root certificate that the service's certificates chain up to, PEM.
pub const TRUST_ANCHOR: &str = "trust-anchor.pem";
/// The enrollment secret.
pub const ENROLLMENT_SECRET: &str = "enrollment-secret";
/// The manifest, a compact JWS.
pub const MANIFEST: &str = "manifest.jws";
/// Every file that the manifest vouches for.
pub const FILES: [&str; 3] = [SETTINGS, TRUST_ANCHOR, ENROLLMENT_SECRET];
/// The `typ` of the JWS, so that no other signature of the same key passes for a manifest.
pub const JWS_TYPE: &str = "ptc-package-manifest";

/// The settings of an install package.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Package {
    /// [`FORMAT`].
    pub format: u32,
    /// Name of the environment, also of the folder: lower-case letters, digits and `-`.
    pub environment: String,
    /// Where the public listener is: `https://host[:port]`.
    pub service_url: String,
    /// Where the secure listener is.
    pub secure_url: String,
    /// What is enrolled on this machine: a workstation, server or mobile.
    pub kind: Kind,
    /// Where the client installs, unless told otherwise.
    pub store: StoreScope,
    /// Whether CSRs of external servers may be submitted.
    pub external_requests: bool,
    /// Whether the listeners' certificates chain up to roots that the client's system trusts, instead of the trust
    /// anchor of the package.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub system_roots: bool,
    /// The organisation that got the package.
    pub organisation: Organisation,
    /// What the client uses for fields that nobody gave.
    #[serde(default, skip_serializing_if = "Defaults::is_empty")]
    pub defaults: Defaults,
}

/// Defaults for the fields of a request, the same for a whole organisation or site.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "service", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields, default)]
pub struct Defaults {
    /// Locality of the machines.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub locality: Option<String>,
    /// State or region of the machines.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub region: Option<String>,
    /// E-mail address of the person in charge.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub email: Option<String>,
    /// Telephone number.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub telephone: Option<String>,
    /// Free text for the approver.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    /// Key algorithm: `rsa-2048`, `ec-p256`, ….
    #[serde(skip_serializing_if = "Option::is_none")]
    pub key: Option<String>,
}

impl Defaults {
    /// Whether nothing is given.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

/// What the signer vouches for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Manifest {
    /// [`FORMAT`].
    pub format: u32,
    /// Name of the environment.
    pub environment: String,
    /// Code of the organisation.
    pub organisation: String,
    /// When the package was made.
    #[serde(with = "time::serde::rfc3339")]
    pub created_at: OffsetDateTime,
    /// SHA-256 of every file, in hexadecimal.
    pub files: BTreeMap<String, String>,
}

/// The protected header of the JWS.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct JwsHeader {
    /// `ES256`.
    pub alg: String,
    /// [`JWS_TYPE`].
    pub typ: String,
    /// The signer's certificate and those above it, base64 DER (RFC 7515 §4.1.6).
    pub x5c: Vec<String>,
}

/// Why a manifest is not believed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum BadManifest {
    /// Not a JWS of the expected form.
    #[error("the manifest is not a signed manifest")]
    Malformed,
    /// The signer's certificate does not chain up to the trust anchor, is over, or is for something else.
    #[error("the manifest's signer is not trusted by the package's trust anchor")]
    Signer,
    /// The signature does not fit.
    #[error("the manifest was changed after it was signed")]
    Signature,
    /// The manifest is of a later format.
    #[error("the manifest is of a later format")]
    Format,
}

impl Manifest {
    /// Reads a manifest and checks its signature up to `anchor` (DER) at the time `now`.
    pub fn verify(jws: &str, anchor: &[u8], now: OffsetDateTime) -> Result<Self, BadManifest> {
        let jws = jws.trim();
        let (signed, signature) = jws.rsplit_once('.').ok_or(BadManifest::Malformed)?;
        let (header, payload) = signed.split_once('.').ok_or(BadManifest::Malformed)?;
        let decode = |part: &str| BASE64_URL_SAFE_NO_PAD.decode(part).map_err(|_| BadManifest::Malformed);
        let manifest: Self = serde_json::from_slice(&decode(payload)?).map_err(|_| BadManifest::Malformed)?;
        let header: JwsHeader = serde_json::from_slice(&decode(header)?).map_err(|_| BadManifest::Malformed)?;
        if header.alg != "ES256" || header.typ != JWS_TYPE {
            return Err(BadManifest::Malformed);
        }
        let chain = header
            .x5c
            .iter()
            .map(|certificate| BASE64_STANDARD.decode(certificate).map(CertificateDer::from))
            .collect::<Result<Vec<_>, _>>()
            .map_err(|_| BadManifest::Malformed)?;
        let (signer, intermediates) = chain.split_first().ok_or(BadManifest::Malformed)?;
        // The package is there, so it is at least as late as it was made: a clock that is behind must not make the
        // package look forged. `test` tells by how much the clock is off.
        let moment = now.max(manifest.created_at);
        verify_signer(signer, intermediates, anchor, moment).map_err(|_| BadManifest::Signer)?;
        let (_, signer) = X509Certificate::from_der(signer).map_err(|_| BadManifest::Signer)?;
        // webpki can only ask for the usage in the whole chain, where CAs need not have it, or wherever one is named.
        if !matches!(signer.extended_key_usage(), Ok(Some(usage)) if usage.value.code_signing) {
            return Err(BadManifest::Signer);
        }
        let point = &signer.public_key().subject_public_key.data;
        UnparsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, point)
            .verify(signed.as_bytes(), &decode(signature)?)
            .map_err(|_| BadManifest::Signature)?;
        if manifest.format == FORMAT { Ok(manifest) } else { Err(BadManifest::Format) }
    }

    /// Whether a file is the one that was signed.
    pub fn vouches_for(&self, name: &str, content: &[u8]) -> bool {
        self.files.get(name).is_some_and(|expected| *expected == sha256_hex(content))
    }
}

fn verify_signer(
    signer: &CertificateDer<'_>,
    intermediates: &[CertificateDer<'_>],
    anchor: &[u8],
    now: OffsetDateTime,
) -> Result<(), webpki::Error> {
    // codeSigning without the arcs' first two numbers, which DER folds into one octet.
    const CODE_SIGNING: &[u8] = &[43, 6, 1, 5, 5, 7, 3, 3];
    let anchor = CertificateDer::from(anchor);
    let anchors = [anchor_from_trusted_cert(&anchor)?];
    let seconds = u64::try_from(now.unix_timestamp()).unwrap_or_default();
    let now = UnixTime::since_unix_epoch(std::time::Duration::from_secs(seconds));
    let usage = KeyUsage::required_if_present(CODE_SIGNING);
    EndEntityCert::try_from(signer)?
        .verify_for_usage(ALL_VERIFICATION_ALGS, &anchors, intermediates, now, usage, None, None)
        .map(|_| ())
}

/// Whether a text can name an environment, which also names folders on every system: 1 to 32 lower-case letters,
/// digits and `-`, a letter first, and none of the names that Windows keeps for devices.
pub fn check_environment(name: &str) -> bool {
    const DEVICES: [&str; 4] = ["con", "prn", "aux", "nul"];
    let numbered = matches!(name.len(), 4) && (name.starts_with("com") || name.starts_with("lpt"));
    name.len() <= 32
        && name.starts_with(|first: char| first.is_ascii_lowercase())
        && name.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-')
        && !DEVICES.contains(&name)
        && !numbered
}
