//! The certificate stores and key containers of Windows, where administrators and .NET programs look for them.
//!
//! A request's key lies in a container of its own, named after the request's record, from the moment of `submit`: in
//! the provider that every supported Windows has and that signs with SHA-256, not exportable, of the machine or of the
//! account. Since the name is known before the container exists, no key is ever without a record that leads to it.
//!
//! ```text
//! REQUEST  Certificate Enrollment Requests: a self-signed placeholder that leads to the key, until the certificate comes
//! My       Personal: the certificate with its key
//! CA       Intermediate Certification Authorities: the issuers below the root
//! ```
//!
//! An entry is made outside, with all its properties, and then added as a whole; every change is committed at once.

mod key;
mod rights;

use std::ffi::c_void;
use std::io;
use std::path::PathBuf;
use std::ptr;

use rcgen::CertificateParams;
use schannel::RawPointer;
use schannel::cert_context::{CertContext, HashAlgorithm, KeySpec};
use schannel::cert_store::{CertAdd, CertStore, CertStoreBuilder};
use schannel::crypt_prov::{AcquireOptions, CryptProv, ProviderType};
use windows_sys::Win32::Foundation::{CRYPT_E_EXISTS, ERROR_ACCESS_DENIED, NTE_BAD_KEYSET, NTE_EXISTS};
use windows_sys::Win32::Security::Cryptography::{
    CERT_ARCHIVED_PROP_ID, CERT_KEY_PROV_INFO_PROP_ID, CERT_STORE_CTRL_COMMIT, CERT_STORE_ENUM_ARCHIVED_FLAG,
    CERT_STORE_PROV_SYSTEM_W, CERT_SYSTEM_STORE_CURRENT_USER, CERT_SYSTEM_STORE_LOCAL_MACHINE, CRYPT_DELETEKEYSET,
    CRYPT_INTEGER_BLOB, CRYPT_KEY_PROV_INFO, CRYPT_MACHINE_KEYSET, CRYPT_SILENT, CertControlStore,
    CertGetCertificateContextProperty, CertOpenStore, CertSetCertificateContextProperty, CryptAcquireContextW,
    PROV_RSA_AES,
};

use self::key::{holds_exchange_key, import};
use self::rights::{add_readers, is_elevated, own_account, security_identifier};
use super::{Delivery, Identity, Replaced, Store, StoreError};
use crate::client::keys::{KeyAlgorithm, PrivateKey};
use crate::client::schannel::credentials;
use crate::client::windows::{checked, narrow, wide};
use crate::kill_point;
use crate::protocol::request::{RequestNumber, StoreScope};
use crate::protocol::secret::hex;
use crate::protocol::subject::Subject;

/// On every Windows since XP, and unlike the older ones it signs with SHA-256, which TLS 1.2 asks for.
const PROVIDER: &str = "Microsoft Enhanced RSA and AES Cryptographic Provider";
const REQUEST: &str = "REQUEST";
const PERSONAL: &str = "My";
const INTERMEDIATE: &str = "CA";
/// Writes a store although none of its entries came or went (wincrypt.h).
const CERT_STORE_CTRL_COMMIT_FORCE_FLAG: u32 = 1;

/// The stores of the machine or of this account, as far as one environment goes.
#[derive(Debug)]
pub struct WindowsStore {
    scope: StoreScope,
    environment: String,
}

impl WindowsStore {
    /// The stores of a scope.
    pub fn new(scope: StoreScope, environment: &str) -> Self {
        Self { scope, environment: environment.to_owned() }
    }

    fn machine(&self) -> bool {
        self.scope == StoreScope::Machine
    }

    /// The name of a request's key container.
    fn container(&self, id: &str) -> String {
        format!("PTC Enroll {} {id}", self.environment)
    }

    /// A store, or an entry in it, as PowerShell names it.
    fn path(&self, store: &str, entry: &str) -> PathBuf {
        let location = if self.machine() { "LocalMachine" } else { "CurrentUser" };
        let path = PathBuf::from(format!(r"Cert:\{location}\{store}"));
        if entry.is_empty() { path } else { path.join(entry) }
    }

    fn error(&self, store: &str, entry: &str) -> impl FnOnce(io::Error) -> StoreError + use<> {
        let path = self.path(store, entry);
        let machine = self.machine();
        move |source| match source.kind() {
            io::ErrorKind::PermissionDenied if machine => StoreError::NotElevated { path, source },
            _ => StoreError::File { path, source },
        }
    }

    fn open(&self, name: &str, options: &CertStoreBuilder) -> Result<CertStore, StoreError> {
        let opened = if self.machine() { options.open_local_machine(name) } else { options.open_current_user(name) };
        opened.map_err(self.error(name, ""))
    }

    /// Every account may look into the machine's stores; only administrators may change them.
    fn open_to_read(&self, name: &str) -> Result<CertStore, StoreError> {
        self.open(name, CertStoreBuilder::new().read_only())
    }

    fn open_to_change(&self, name: &str) -> Result<CertStore, StoreError> {
        self.open(name, &CertStoreBuilder::new())
    }

    /// Archived entries are seen on demand only.
    fn open_with_archived(&self, name: &str) -> Result<CertStore, StoreError> {
        let location = if self.machine() { CERT_SYSTEM_STORE_LOCAL_MACHINE } else { CERT_SYSTEM_STORE_CURRENT_USER };
        let wide = wide(name);
        // SAFETY: the name ends with a zero; the handle is checked, and then belongs to the store alone.
        unsafe {
            let flags = location | CERT_STORE_ENUM_ARCHIVED_FLAG;
            let store = CertOpenStore(CERT_STORE_PROV_SYSTEM_W, 0, 0, flags, wide.as_ptr().cast());
            if store.is_null() {
                return Err(self.error(name, "")(io::Error::last_os_error()));
            }
            Ok(CertStore::from_ptr(store))
        }
    }

    /// The entry that leads to a request's key, among everything else that the store holds.
    fn find(&self, store: &CertStore, id: &str) -> Option<CertContext> {
        let container = self.container(id);
        store.certs().find(|entry| container_of(entry).as_deref() == Some(container.as_str()))
    }

    /// Opens the key container of a request, if it is there and holds its key.
    fn held_key(&self, id: &str) -> Result<Option<CryptProv>, StoreError> {
        match self.options(id).acquire(ProviderType::rsa_aes()) {
            Ok(provider) => Ok(Some(provider).filter(holds_exchange_key)),
            // Windows says the same of a key that this account may not use.
            Err(error) if error.raw_os_error() == Some(NTE_BAD_KEYSET) && (!self.machine() || is_elevated()) => {
                Ok(None)
            }
            Err(error) if error.raw_os_error() == Some(NTE_BAD_KEYSET) => {
                Err(self.not_elevated(PERSONAL, &self.container(id)))
            }
            Err(error) => Err(self.error(PERSONAL, &self.container(id))(error)),
        }
    }

    fn not_elevated(&self, store: &str, entry: &str) -> StoreError {
        let source = io::Error::from_raw_os_error(ERROR_ACCESS_DENIED as i32);
        StoreError::NotElevated { path: self.path(store, entry), source }
    }

    fn options(&self, id: &str) -> AcquireOptions {
        let mut options = AcquireOptions::new();
        options.container(&self.container(id)).provider(PROVIDER).machine_keyset(self.machine()).silent(true);
        options
    }

    /// Removes the key container of a request, if there is one.
    fn delete_container(&self, id: &str) -> io::Result<()> {
        let (container, provider) = (wide(&self.container(id)), wide(PROVIDER));
        let machine = if self.machine() { CRYPT_MACHINE_KEYSET } else { 0 };
        let mut none = 0;
        // SAFETY: both names end with a zero; with this flag no handle comes back that would have to be released.
        let done = unsafe {
            CryptAcquireContextW(
                &mut none,
                container.as_ptr(),
                provider.as_ptr(),
                PROV_RSA_AES,
                CRYPT_DELETEKEYSET | CRYPT_SILENT | machine,
            )
        };
        match checked(done) {
            Err(error) if error.raw_os_error() == Some(NTE_BAD_KEYSET) => Ok(()),
            other => other,
        }
    }

    /// A certificate that leads to the key of a request, still outside of any store.
    fn entry(&self, id: &str, der: &[u8], name: &str) -> io::Result<CertContext> {
        let entry = CertContext::new(der)?;
        entry
            .set_key_prov_info()
            .container(&self.container(id))
            .provider(PROVIDER)
            .type_(ProviderType::rsa_aes())
            .machine_keyset(self.machine())
            .key_spec(KeySpec::key_exchange())
            .set()?;
        entry.set_friendly_name(name)?;
        Ok(entry)
    }

    /// Puts an entry into a store, in the place of the same certificate without its key, or from a run that was cut off.
    fn put(&self, name: &str, entry: &CertContext) -> Result<(), StoreError> {
        let mut store = self.open_to_change(name)?;
        let added = store.add_cert(entry, CertAdd::ReplaceExisting);
        added.and_then(|_| commit(&store)).map_err(self.error(name, ""))
    }

    /// Puts an issuer among the intermediates; one that is known stays as it is.
    fn put_issuer(&self, issuer: &[u8]) -> Result<(), StoreError> {
        let mut store = self.open_to_change(INTERMEDIATE)?;
        let added = CertContext::new(issuer).and_then(|issuer| store.add_cert(&issuer, CertAdd::New));
        match added.and_then(|_| commit(&store)) {
            Err(error) if error.raw_os_error() == Some(CRYPT_E_EXISTS) => Ok(()),
            other => other.map_err(self.error(INTERMEDIATE, "")),
        }
    }

    /// Changes what a store says of the entry of a request, if it is there.
    fn change(
        &self,
        name: &str,
        id: &str,
        change: impl FnOnce(&CertContext) -> io::Result<()>,
    ) -> Result<(), StoreError> {
        let store = self.open_to_change(name)?;
        match self.find(&store, id) {
            Some(entry) => change(&entry).and_then(|()| commit(&store)).map_err(self.error(name, "")),
            None => Ok(()),
        }
    }

    /// Takes the entry of a request out of a store, if it is there.
    fn take_out(&self, name: &str, id: &str) -> Result<(), StoreError> {
        let store = self.open_with_archived(name)?;
        match self.find(&store, id) {
            Some(entry) => entry.delete().and_then(|()| commit(&store)).map_err(self.error(name, "")),
            None => Ok(()),
        }
    }

    /// Opens the key of a request to other accounts. One that is not known any more is no reason to do without the
    /// certificate.
    fn grant_read(&self, id: &str, provider: &CryptProv, accounts: &[String]) -> Result<(), StoreError> {
        let known = |account: &String| {
            security_identifier(account).map_err(|error| log::warn!("the key stays closed to an account: {error}")).ok()
        };
        let identifiers: Vec<_> = accounts.iter().filter_map(known).collect();
        if identifiers.is_empty() {
            return Ok(());
        }
        add_readers(provider, &identifiers).map_err(self.error(PERSONAL, &self.container(id)))
    }
}

impl Store for WindowsStore {
    fn check_access(&self, key: KeyAlgorithm, readers: &[String]) -> Result<(), StoreError> {
        if key.is_elliptic() {
            return Err(StoreError::KeyKind { key });
        }
        // An account's keys are encrypted for the account: no right on them would help another one.
        if !self.machine() && !readers.is_empty() {
            return Err(StoreError::NoReaders);
        }
        if self.machine() && !is_elevated() {
            return Err(self.not_elevated(REQUEST, ""));
        }
        readers.iter().try_for_each(|account| security_identifier(account).map(drop))?;
        self.open_to_change(REQUEST).map(drop)
    }

    fn account(&self) -> Option<String> {
        if self.machine() { None } else { own_account() }
    }

    fn hold_key(&self, id: &str, key: &PrivateKey, name: &Subject) -> Result<(), StoreError> {
        let provider = match self.options(id).new_keyset(true).acquire(ProviderType::rsa_aes()) {
            // A run that was cut off here left it empty.
            Err(error) if error.raw_os_error() == Some(NTE_EXISTS) => self.options(id).acquire(ProviderType::rsa_aes()),
            other => other,
        }
        .map_err(self.error(REQUEST, &self.container(id)))?;
        // The key comes last, so that where there is one, there is an entry that leads to it.
        let placeholder = placeholder(key, name)
            .and_then(|der| self.entry(id, &der, &format!("PTC {} request, not sent yet", self.environment)))
            .map_err(self.error(REQUEST, ""))?;
        self.put(REQUEST, &placeholder)?;
        kill_point::pass("store.before-key");
        import(&provider, key).map_err(self.error(REQUEST, &self.container(id)))
    }

    fn holds_key(&self, id: &str) -> Result<bool, StoreError> {
        Ok(self.held_key(id)?.is_some())
    }

    fn label(&self, id: &str, number: RequestNumber) -> Result<(), StoreError> {
        let name = format!("PTC {} request {number}", self.environment);
        self.change(REQUEST, id, |placeholder| placeholder.set_friendly_name(&name))
    }

    fn install(&self, id: &str, delivery: &Delivery<'_>, readers: &[String]) -> Result<PathBuf, StoreError> {
        let Some(provider) = self.held_key(id)? else {
            return Err(StoreError::NoKey { path: self.path(REQUEST, &self.container(id)) });
        };
        self.grant_read(id, &provider, readers)?;
        // The root is not ours to put among those that Windows trusts.
        for issuer in &delivery.chain[..delivery.chain.len().saturating_sub(1)] {
            self.put_issuer(issuer)?;
        }
        kill_point::pass("install.before-certificate");
        let name = self.find(&self.open_to_read(REQUEST)?, id).and_then(|placeholder| placeholder.friendly_name().ok());
        let name = name.unwrap_or_else(|| format!("PTC {}", self.environment));
        let entry = self.entry(id, delivery.certificate, &name).map_err(self.error(PERSONAL, ""))?;
        self.put(PERSONAL, &entry)?;
        kill_point::pass("install.before-current");
        // What is only left over is no reason to do without the certificate.
        if let Err(error) = self.take_out(REQUEST, id) {
            log::warn!("the placeholder stays in the store: {error}");
        }
        let thumbprint = entry.fingerprint(HashAlgorithm::sha1()).map_err(self.error(PERSONAL, ""))?;
        Ok(self.path(PERSONAL, &hex(&thumbprint).to_uppercase()))
    }

    fn retire(&self, id: &str, how: Replaced) -> Result<(), StoreError> {
        match how {
            Replaced::Keep => Ok(()),
            Replaced::Remove => self.discard(id),
            Replaced::Archive => self.change(PERSONAL, id, archive),
        }
    }

    fn discard(&self, id: &str) -> Result<(), StoreError> {
        self.delete_container(id).map_err(self.error(REQUEST, &self.container(id)))?;
        self.take_out(REQUEST, id)?;
        self.take_out(PERSONAL, id)
    }

    fn certificate(&self, id: &str) -> Result<Option<Vec<u8>>, StoreError> {
        Ok(self.find(&self.open_to_read(PERSONAL)?, id).map(|entry| entry.to_der().to_vec()))
    }

    fn identity(&self, id: &str) -> Result<Identity, StoreError> {
        let found = self.find(&self.open_to_read(PERSONAL)?, id);
        let container = self.container(id);
        let Some(certificate) = found else {
            return Err(StoreError::NoKey { path: self.path(PERSONAL, &container) });
        };
        if self.held_key(id)?.is_none() {
            return Err(StoreError::NoKey { path: self.path(PERSONAL, &container) });
        }
        let credentials = credentials(certificate).map_err(self.error(PERSONAL, &container))?;
        Ok(Identity::InStore { credentials })
    }
}

/// Writes what was changed in a store. Closing it would not tell of a failure, and does nothing as long as a reference
/// to one of its entries is alive; without force, a store that only had a property changed might not be written.
fn commit(store: &CertStore) -> io::Result<()> {
    // SAFETY: the store is open; this command takes no value.
    checked(unsafe {
        CertControlStore(store.as_ptr(), CERT_STORE_CTRL_COMMIT_FORCE_FLAG, CERT_STORE_CTRL_COMMIT, ptr::null())
    })
}

/// The key container that an entry leads to.
fn container_of(entry: &CertContext) -> Option<String> {
    let mut length = 0;
    let get = |buffer: *mut c_void, length: &mut u32| {
        // SAFETY: the context lives as long as `entry`; the buffer is absent or as long as `length` says.
        checked(unsafe {
            CertGetCertificateContextProperty(entry.as_ptr().cast(), CERT_KEY_PROV_INFO_PROP_ID, buffer, length)
        })
    };
    get(ptr::null_mut(), &mut length).ok()?;
    // Of this element the buffer is aligned for the structure that stands at its start.
    let mut buffer = vec![0_u64; (length as usize).div_ceil(size_of::<u64>())];
    get(buffer.as_mut_ptr().cast(), &mut length).ok()?;
    let information = buffer.as_ptr().cast::<CRYPT_KEY_PROV_INFO>();
    // SAFETY: the call filled the buffer with this structure; its strings end with a zero and lie in the buffer, too.
    unsafe {
        let name = (*information).pwszContainerName;
        (!name.is_null()).then(|| narrow(name))
    }
}

/// Marks a certificate as archived: programs that list a store no longer see it.
fn archive(entry: &CertContext) -> io::Result<()> {
    // What the property holds does not matter, only that it is there; but not every system takes an empty value.
    let mut mark = [1_u8];
    let value = CRYPT_INTEGER_BLOB { cbData: mark.len() as u32, pbData: mark.as_mut_ptr() };
    // SAFETY: the context lives as long as `entry`; the value is a blob, as the property wants it, and is copied.
    checked(unsafe {
        CertSetCertificateContextProperty(entry.as_ptr().cast(), CERT_ARCHIVED_PROP_ID, 0, ptr::from_ref(&value).cast())
    })
}

/// A certificate that stands in for the one to come, as `certreq` makes it: same name, same key, signed with the key.
fn placeholder(key: &PrivateKey, name: &Subject) -> io::Result<Vec<u8>> {
    let mut params = CertificateParams::default();
    params.distinguished_name = name.to_distinguished_name().map_err(io::Error::other)?;
    let certificate = params.self_signed(key.pair()).map_err(io::Error::other)?;
    Ok(certificate.der().to_vec())
}
