//! Who submits: the install packages whose secrets came a moment ago, so that a load of thousands asks the database once.

use std::sync::Arc;
use std::time::{Duration, Instant};

use quick_cache::sync::Cache;

use crate::protocol::messages::Organisation;
use crate::protocol::secret::{Secret, SecretHash};
use crate::service::app::App;
use crate::service::db::packages::{self, PackageRow};
use crate::service::error::{Failure, Refusal};

/// How long an answer of the database is good, as if the submission had come so much earlier. A package that ended since
/// lets nothing in: when a submission enters the record, it is looked at again.
const LIFETIME: Duration = Duration::from_secs(1);

/// How many are remembered.
const CAPACITY: usize = 1_024;

/// An install package, in use or not, and its organisation.
pub type Submitter = Arc<(PackageRow, Organisation)>;

/// The packages of the last moments, by their secrets.
pub struct Submitters(Cache<SecretHash, (Instant, Submitter)>);

impl Default for Submitters {
    fn default() -> Self {
        Self(Cache::new(CAPACITY))
    }
}

impl App {
    /// The install package whose enrollment secret this is.
    pub async fn submitter(&self, secret: &Secret) -> Result<Submitter, Failure> {
        let hash = secret.fingerprint();
        let known = self.submitters.0.get(&hash).filter(|(since, _)| since.elapsed() < LIFETIME);
        if let Some((_, submitter)) = known {
            return Ok(submitter);
        }
        let asked = Instant::now();
        let package = packages::find_by_secret(&mut *self.database.read().await?, &hash).await?;
        let submitter = Submitter::new(package.ok_or_else(Refusal::unauthenticated)?);
        self.submitters.0.insert(hash, (asked, submitter.clone()));
        Ok(submitter)
    }
}
