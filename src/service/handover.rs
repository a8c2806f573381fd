//! What a new manager is handed: a folder with key, certificate, chain and trust anchor, for browser, curl and OpenSSL.
//!
//! The key comes to lie on disk before the certificate is asked for. A run that was interrupted in between goes on with
//! the same key.

use std::path::Path;

use rcgen::{CertificateParams, KeyPair};
use rustls::pki_types::CertificateDer;
use zeroize::Zeroizing;

use super::credential::{Algorithm, Credential, CredentialError, certificates_pem};
use super::files::{self, FileError};
use crate::protocol::messages::{Der, Issued};

/// The name of the files: `manager.key.pem` and `manager.crt.pem`.
const NAME: &str = "manager";
/// The issuing certificate and the root.
const CHAIN: &str = "chain.pem";
/// The root.
const TRUST_ANCHOR: &str = "trust-anchor.pem";

/// Makes the manager's key in `folder`, readable by its owner only, and a CSR for it.
///
/// # Errors
/// [`FileError::Exists`] where a certificate lies there already, or something other than a folder.
pub fn prepare(folder: &Path) -> Result<Der, CredentialError> {
    if folder.exists() && !folder.is_dir() {
        return Err(FileError::Exists { path: folder.to_owned() }.into());
    }
    let certificate = folder.join(format!("{NAME}.crt.pem"));
    if certificate.exists() {
        return Err(FileError::Exists { path: certificate }.into());
    }
    Credential::prepare(folder, NAME, Algorithm::EcdsaP256)?;
    let path = folder.join(format!("{NAME}.key.pem"));
    let text = files::read_secret(&path)?;
    let key = std::str::from_utf8(&text).ok().and_then(|text| KeyPair::from_pem(text).ok());
    let key = Zeroizing::new(key.ok_or(CredentialError::Malformed { path })?);
    // Only key and signature count; the names come with the request for the certificate.
    let csr = CertificateParams::default().serialize_request(&*key);
    Ok(Der(csr.map_err(|cause| CredentialError::Generation { cause })?.der().to_vec()))
}

/// Adds the certificate, its chain and the trust anchor.
pub fn complete(folder: &Path, issued: &Issued) -> Result<(), CredentialError> {
    let chain: Vec<&[u8]> = issued.chain.iter().map(|der| der.0.as_slice()).collect();
    // The root is the other side's to know (RFC 8446 §4.4.2).
    let intermediates = &chain[..chain.len().saturating_sub(1)];
    let sent: Vec<&[u8]> = [issued.certificate.0.as_slice()].into_iter().chain(intermediates.iter().copied()).collect();
    files::write_public(&folder.join(CHAIN), certificates_pem(&chain).as_bytes())?;
    let root: Vec<&[u8]> = chain.last().copied().into_iter().collect();
    files::write_public(&folder.join(TRUST_ANCHOR), certificates_pem(&root).as_bytes())?;
    // Last, because it says that the folder is complete.
    Credential::install(folder, NAME, &sent).map(|_| ())
}

/// The manager's key and certificate for a TLS client.
pub fn load(folder: &Path) -> Result<(Vec<CertificateDer<'static>>, Zeroizing<Vec<u8>>), CredentialError> {
    let credential = Credential::load(folder, NAME)?;
    Ok((credential.chain().to_vec(), Zeroizing::new(credential.key().serialize_der())))
}
