//! A store that is gone with the process, for tests of what uses a store.

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::{Mutex, MutexGuard, PoisonError};

use zeroize::Zeroizing;

use super::file::pem;
use super::{Delivery, Identity, Replaced, Store, StoreError};
use crate::client::keys::{KeyAlgorithm, PrivateKey};
use crate::protocol::request::RequestNumber;
use crate::protocol::subject::Subject;

#[derive(Debug)]
struct Entry {
    key: Zeroizing<Vec<u8>>,
    chain: Vec<Vec<u8>>,
}

/// Keys and certificates in memory.
#[derive(Debug, Default)]
pub struct MemoryStore {
    entries: Mutex<HashMap<String, Entry>>,
}

impl MemoryStore {
    fn entries(&self) -> MutexGuard<'_, HashMap<String, Entry>> {
        // An entry is inserted or removed whole, so a panic elsewhere leaves nothing half-done.
        self.entries.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn path(id: &str) -> PathBuf {
    PathBuf::from(format!("memory:{id}"))
}

impl Store for MemoryStore {
    fn check_access(&self, _key: KeyAlgorithm, readers: &[String]) -> Result<(), StoreError> {
        if !readers.is_empty() {
            return Err(StoreError::NoReaders);
        }
        Ok(())
    }

    fn account(&self) -> Option<String> {
        None
    }

    fn hold_key(&self, id: &str, key: &PrivateKey, _name: &Subject) -> Result<(), StoreError> {
        self.entries().insert(id.to_owned(), Entry { key: key.to_pkcs8(), chain: Vec::new() });
        Ok(())
    }

    fn holds_key(&self, id: &str) -> Result<bool, StoreError> {
        Ok(self.entries().contains_key(id))
    }

    fn label(&self, _id: &str, _number: RequestNumber) -> Result<(), StoreError> {
        Ok(())
    }

    fn install(&self, id: &str, delivery: &Delivery<'_>, _readers: &[String]) -> Result<PathBuf, StoreError> {
        let mut entries = self.entries();
        let entry = entries.get_mut(id).ok_or_else(|| StoreError::NoKey { path: path(id) })?;
        entry.chain = vec![delivery.certificate.to_vec()];
        entry.chain.extend(delivery.chain.iter().take(delivery.chain.len().saturating_sub(1)).cloned());
        Ok(path(id))
    }

    fn retire(&self, id: &str, how: Replaced) -> Result<(), StoreError> {
        match how {
            Replaced::Keep | Replaced::Archive => Ok(()),
            Replaced::Remove => self.discard(id),
        }
    }

    fn discard(&self, id: &str) -> Result<(), StoreError> {
        self.entries().remove(id);
        Ok(())
    }

    fn certificate(&self, id: &str) -> Result<Option<Vec<u8>>, StoreError> {
        Ok(self.entries().get(id).and_then(|entry| entry.chain.first().cloned()))
    }

    fn identity(&self, id: &str) -> Result<Identity, StoreError> {
        let entries = self.entries();
        let entry = entries.get(id).ok_or_else(|| StoreError::NoKey { path: path(id) })?;
        Ok(Identity::InMemory { chain: entry.chain.clone(), key: Zeroizing::new(pem("PRIVATE KEY", &entry.key)) })
    }
}
