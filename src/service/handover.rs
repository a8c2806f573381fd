//! What a new manager is handed: a folder with key, certificate, chain and trust anchor, for curl and OpenSSL, and all
//! of it as PKCS #12 with its password, for browsers and Windows.
//!
//! The key comes to lie on disk before the certificate is asked for. A run that was interrupted in between goes on with
//! the same key.

use std::path::Path;

use rcgen::{CertificateParams, KeyPair};
use rustls::pki_types::CertificateDer;
use zeroize::Zeroizing;

use super::credential::{Algorithm, Credential, CredentialError, certificates_pem, load_key, read_chain};
use super::files::{self, FileError};
use super::pkcs12::Pkcs12;
use crate::protocol::messages::{Der, Issued};

/// The name of the files: `manager.key.pem` and `manager.crt.pem`.
const NAME: &str = "manager";
/// The issuing certificate and the root.
const CHAIN: &str = "chain.pem";
/// The root.
const TRUST_ANCHOR: &str = "trust-anchor.pem";
/// Key, certificate and chain as browsers and Windows import them.
const PKCS12: &str = "manager.p12";
/// What opens that file.
const PASSWORD: &str = "manager.p12.password.txt";

/// Makes the manager's key in `folder`, readable by its owner only, and a CSR for it.
///
/// # Errors
/// [`FileError::Exists`] where a certificate or PKCS #12 file lies there already, or something other than a folder.
pub fn prepare(folder: &Path) -> Result<Der, CredentialError> {
    if folder.exists() && !folder.is_dir() {
        return Err(FileError::Exists { path: folder.to_owned() }.into());
    }
    let certificate = format!("{NAME}.crt.pem");
    let taken: &[&str] = match folder.join(format!("{NAME}.key.pem")).exists() {
        // A PKCS #12 file beside a key without a certificate is what an interrupted run left.
        true => &[&certificate],
        false => &[&certificate, PKCS12, PASSWORD],
    };
    if let Some(path) = taken.iter().map(|name| folder.join(name)).find(|path| path.exists()) {
        return Err(FileError::Exists { path }.into());
    }
    Credential::prepare(folder, NAME, Algorithm::EcdsaP256)?;
    let key = load_key(folder, NAME)?;
    csr(&key)
}

/// A key for a manager that lies nowhere but in memory, and a CSR for it.
pub(crate) fn key() -> Result<(Zeroizing<KeyPair>, Der), CredentialError> {
    let key = Algorithm::EcdsaP256.generate().map_err(|cause| CredentialError::Generation { cause })?;
    let csr = csr(&key)?;
    Ok((key, csr))
}

fn csr(key: &KeyPair) -> Result<Der, CredentialError> {
    // Only key and signature count; the names come with the request for the certificate.
    let csr = CertificateParams::default().serialize_request(key);
    Ok(Der(csr.map_err(|cause| CredentialError::Generation { cause })?.der().to_vec()))
}

/// Adds the certificate, its chain and the trust anchor, and all of it as PKCS #12 with its password.
pub fn complete(folder: &Path, issued: &Issued) -> Result<(), CredentialError> {
    let chain: Vec<&[u8]> = issued.chain.iter().map(|der| der.0.as_slice()).collect();
    // The root is the other side's to know (RFC 8446 §4.4.2).
    let intermediates = &chain[..chain.len().saturating_sub(1)];
    let sent: Vec<&[u8]> = [issued.certificate.0.as_slice()].into_iter().chain(intermediates.iter().copied()).collect();
    files::write_public(&folder.join(CHAIN), certificates_pem(&chain).as_bytes())?;
    let root: Vec<&[u8]> = chain.last().copied().into_iter().collect();
    files::write_public(&folder.join(TRUST_ANCHOR), certificates_pem(&root).as_bytes())?;
    let key = load_key(folder, NAME)?;
    let sealed = Pkcs12::seal(&key, issued)?;
    let (file, password) = (folder.join(PKCS12), folder.join(PASSWORD));
    // What an interrupted run left may hold another certificate, and was never complete.
    files::remove(&file)?;
    files::remove(&password)?;
    files::write_secret(&password, Zeroizing::new(format!("{}\n", sealed.password.expose())).as_bytes())?;
    files::write_secret(&file, &sealed.content)?;
    // Last, because it says that the folder is complete.
    Credential::install(folder, NAME, &sent).map(|_| ())
}

/// Takes the certificate away where it is of this CA, so that the next one is asked for with the same key.
pub(super) fn take_back(folder: &Path, issuing: &[u8]) -> Result<(), CredentialError> {
    match read_chain(folder, NAME) {
        Ok(chain) if chain.iter().any(|certificate| certificate.as_ref() == issuing) => {
            Ok(files::remove(&folder.join(format!("{NAME}.crt.pem")))?)
        }
        _ => Ok(()),
    }
}

/// The manager's key and certificate for a TLS client.
pub fn load(folder: &Path) -> Result<(Vec<CertificateDer<'static>>, Zeroizing<Vec<u8>>), CredentialError> {
    let credential = Credential::load(folder, NAME)?;
    Ok((credential.chain().to_vec(), Zeroizing::new(credential.key().serialize_der())))
}
