//! The store on systems without one: a folder of PEM files, laid out so that curl, nginx and OpenSSL use it as it is.
//!
//! ```text
//! <store>/<id>/key.pem          the private key, PKCS #8, owner-only from the moment it exists
//! <store>/<id>/certificate.pem  the certificate alone
//! <store>/<id>/fullchain.pem    the certificate and the issuing CA, for servers
//! <store>/<id>/ca.pem           every CA certificate, to verify the other side with
//! <store>/current               a link to the folder of the newest certificate, switched in one step
//! ```

use std::fs::{self, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivatePkcs8KeyDer};
use x509_parser::pem::Pem;
use zeroize::Zeroizing;

use super::{Delivery, Identity, Replaced, Store, StoreError};
use crate::client::journal::{create_private_folder, sync_folder, write_durably};
use crate::client::keys::{KeyAlgorithm, PrivateKey};
use crate::kill_point;
use crate::protocol::request::{RequestNumber, StoreScope};
use crate::protocol::subject::Subject;

const KEY: &str = "key.pem";
const CERTIFICATE: &str = "certificate.pem";
const FULL_CHAIN: &str = "fullchain.pem";
const CA: &str = "ca.pem";
const CURRENT: &str = "current";

/// A folder of PEM files.
#[derive(Debug)]
pub struct FileStore {
    folder: PathBuf,
    scope: StoreScope,
}

impl FileStore {
    /// The store in a folder, which need not exist yet.
    pub fn new(folder: PathBuf, scope: StoreScope) -> Self {
        Self { folder, scope }
    }

    fn key_path(&self, id: &str) -> PathBuf {
        self.folder.join(id).join(KEY)
    }

    fn error(&self, path: &Path) -> impl FnOnce(io::Error) -> StoreError {
        let path = path.to_owned();
        let machine = self.scope == StoreScope::Machine;
        move |source| match source.kind() {
            io::ErrorKind::PermissionDenied if machine => StoreError::NotElevated { path, source },
            _ => StoreError::File { path, source },
        }
    }

    /// Reads the certificates of a PEM file.
    fn certificates(&self, path: &Path) -> Result<Vec<Vec<u8>>, StoreError> {
        let content = fs::read(path).map_err(self.error(path))?;
        let certificates: Vec<Vec<u8>> =
            Pem::iter_from_buffer(&content).flatten().map(|block| block.contents).collect();
        if certificates.is_empty() { Err(StoreError::Damaged { path: path.to_owned() }) } else { Ok(certificates) }
    }
}

impl Store for FileStore {
    fn check_access(&self, _key: KeyAlgorithm, readers: &[String]) -> Result<(), StoreError> {
        if !readers.is_empty() {
            return Err(StoreError::NoReaders);
        }
        create_private_folder(&self.folder).map_err(self.error(&self.folder))?;
        tempfile::tempfile_in(&self.folder).map(drop).map_err(self.error(&self.folder))
    }

    fn account(&self) -> Option<String> {
        None
    }

    fn hold_key(&self, id: &str, key: &PrivateKey, _name: &Subject) -> Result<(), StoreError> {
        let path = self.key_path(id);
        let folder = self.folder.join(id);
        create_private_folder(&folder).map_err(self.error(&folder))?;
        let mut options = OpenOptions::new();
        options.write(true).create_new(true);
        #[cfg(unix)]
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
        let pem = Zeroizing::new(pem("PRIVATE KEY", &key.to_pkcs8()));
        let mut file = options.open(&path).map_err(self.error(&path))?;
        file.write_all(pem.as_bytes()).and_then(|()| file.sync_all()).map_err(self.error(&path))?;
        sync_folder(&folder).and_then(|()| sync_folder(&self.folder)).map_err(self.error(&path))
    }

    fn holds_key(&self, id: &str) -> Result<bool, StoreError> {
        let path = self.key_path(id);
        match fs::read(&path).map(Zeroizing::new) {
            // The power may have failed while the key was written: what does not parse was never used.
            Ok(content) => Ok(PrivatePkcs8KeyDer::from_pem_slice(&content).is_ok()),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
            Err(error) => Err(self.error(&path)(error)),
        }
    }

    /// The folder is named by its record; a number would be one more thing to keep right.
    fn label(&self, _id: &str, _number: RequestNumber) -> Result<(), StoreError> {
        Ok(())
    }

    fn install(&self, id: &str, delivery: &Delivery<'_>, _readers: &[String]) -> Result<PathBuf, StoreError> {
        let folder = self.folder.join(id);
        let write = |name: &str, certificates: &[&[u8]]| {
            let content: String = certificates.iter().map(|certificate| pem("CERTIFICATE", certificate)).collect();
            let path = folder.join(name);
            write_durably(&path, content.as_bytes()).map_err(self.error(&path))
        };
        let chain: Vec<&[u8]> = delivery.chain.iter().map(Vec::as_slice).collect();
        // TLS 1.3 (RFC 8446 §4.4.2): the sender's certificate first, the root may be left out.
        let without_root = &chain[..chain.len().saturating_sub(1)];
        let full: Vec<&[u8]> = [delivery.certificate].into_iter().chain(without_root.iter().copied()).collect();
        write(CA, &chain)?;
        write(FULL_CHAIN, &full)?;
        kill_point::pass("install.before-certificate");
        write(CERTIFICATE, &[delivery.certificate])?;
        kill_point::pass("install.before-current");
        point_to(&self.folder, id).map_err(self.error(&folder))?;
        Ok(folder)
    }

    /// Programs follow the link to the newest certificate, so an older one is out of the way already.
    fn retire(&self, id: &str, how: Replaced) -> Result<(), StoreError> {
        match how {
            Replaced::Keep | Replaced::Archive => Ok(()),
            Replaced::Remove => self.discard(id),
        }
    }

    fn discard(&self, id: &str) -> Result<(), StoreError> {
        let folder = self.folder.join(id);
        match fs::remove_dir_all(&folder) {
            Ok(()) => sync_folder(&self.folder).map_err(self.error(&folder)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            Err(error) => Err(self.error(&folder)(error)),
        }
    }

    fn certificate(&self, id: &str) -> Result<Option<Vec<u8>>, StoreError> {
        let path = self.folder.join(id).join(CERTIFICATE);
        if !path.exists() {
            return Ok(None);
        }
        Ok(self.certificates(&path)?.into_iter().next())
    }

    fn identity(&self, id: &str) -> Result<Identity, StoreError> {
        let path = self.key_path(id);
        refuse_exposed(&path)?;
        let pem = fs::read_to_string(&path).map(Zeroizing::new).map_err(|error| match error.kind() {
            io::ErrorKind::NotFound => StoreError::NoKey { path: path.clone() },
            _ => self.error(&path)(error),
        })?;
        let key = PrivatePkcs8KeyDer::from_pem_slice(pem.as_bytes()).map_err(|_| StoreError::Damaged { path })?;
        let full_chain = self.folder.join(id).join(FULL_CHAIN);
        let chain = self.certificates(&full_chain)?;
        // rustls takes both on trust, so a foreign file is found out here.
        let provider = rustls::crypto::aws_lc_rs::default_provider().key_provider;
        let fits = provider
            .load_private_key(key.into())
            .and_then(|signing| {
                let chain = chain.iter().map(|certificate| CertificateDer::from(certificate.clone())).collect();
                rustls::sign::CertifiedKey::new(chain, signing).keys_match()
            })
            .is_ok();
        if fits { Ok(Identity::InMemory { chain, key: pem }) } else { Err(StoreError::Damaged { path: full_chain }) }
    }
}

/// A DER value as PEM (RFC 7468). Our own, because it also writes keys, and what the crates for it copy is not cleared.
pub fn pem(label: &str, der: &[u8]) -> String {
    use base64::prelude::{BASE64_STANDARD, Engine};
    let text = Zeroizing::new(BASE64_STANDARD.encode(der));
    let mut pem = String::with_capacity(text.len() + text.len() / 64 + 2 * label.len() + 40);
    pem.push_str(&format!("-----BEGIN {label}-----\n"));
    let mut rest = text.as_str();
    while !rest.is_empty() {
        let (line, more) = rest.split_at(rest.len().min(64));
        pem.push_str(line);
        pem.push('\n');
        rest = more;
    }
    pem.push_str(&format!("-----END {label}-----\n"));
    pem
}

/// Makes `current` lead to the folder of an id, in one step.
#[cfg(unix)]
fn point_to(folder: &Path, id: &str) -> io::Result<()> {
    let link = folder.join(CURRENT);
    // Ids start with the time: an older certificate that arrives late does not take a newer one's place.
    if fs::read_link(&link).is_ok_and(|target| target.as_path() >= Path::new(id)) {
        return Ok(());
    }
    let next = folder.join(format!(".{CURRENT}-{id}"));
    match fs::remove_file(&next) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    std::os::unix::fs::symlink(id, &next)?;
    fs::rename(&next, &link)?;
    sync_folder(folder)
}

/// Links need rights on Windows; there, the file store is a stand-in and a small file names the folder.
#[cfg(not(unix))]
fn point_to(folder: &Path, id: &str) -> io::Result<()> {
    write_durably(&folder.join(CURRENT), id.as_bytes())
}

/// Refuses a key that others than its owner can read.
fn refuse_exposed(path: &Path) -> Result<(), StoreError> {
    #[cfg(unix)]
    if fs::metadata(path).is_ok_and(|metadata| std::os::unix::fs::MetadataExt::mode(&metadata) & 0o077 != 0) {
        return Err(StoreError::Exposed { path: path.to_owned() });
    }
    let _ = path;
    Ok(())
}
