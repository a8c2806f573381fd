//! Install packages: made, listed, ended, replaced.

use serde_json::json;
use time::{OffsetDateTime, UtcOffset};

use super::directory::known_organisation;
use super::{as_json, check_stored, days_from, found, record};
use crate::kill_point;
use crate::locales::Text;
use crate::protocol::messages::{
    DESCRIPTION_LIMIT, GRACE_LIMIT, NewPackage, Organisation, PackageSummary, TELEPHONE_LIMIT,
};
use crate::protocol::package::{Defaults, FORMAT, Package};
use crate::protocol::request::Kind;
use crate::protocol::secret::Secret;
use crate::protocol::subject::{check_email, check_text};
use crate::service::app::App;
use crate::service::auth::{Action, Actor, Object};
use crate::service::db::{Moment, Transaction, packages};
use crate::service::error::{Failure, Refusal};
use crate::service::package;

/// X.520 upper bound of a locality or region, in characters.
const PLACE_LIMIT: usize = 128;
/// The keys that clients make.
const KEYS: [&str; 5] = ["rsa-2048", "rsa-3072", "rsa-4096", "ec-p256", "ec-p384"];

/// An install package, the only time that its secret is seen.
pub struct CreatedPackage {
    /// Its number.
    pub id: i64,
    /// Its settings.
    pub package: Package,
    /// When its use ends by itself.
    pub expires_at: Option<OffsetDateTime>,
    /// Its files, path with `/` → content.
    pub files: Vec<(String, Vec<u8>)>,
    /// The package whose place it takes, as it stands now.
    pub replaces: Option<PackageSummary>,
}

impl App {
    /// All install packages that were given out.
    pub async fn list_packages(&self, actor: &Actor) -> Result<Vec<PackageSummary>, Failure> {
        self.allow(actor, Action::ListPackages, &Object::Everything).await?;
        let rows = packages::all(&mut *self.database.read().await?).await?;
        Ok(rows.into_iter().map(PackageSummary::from).collect())
    }

    /// Makes an install package. Its secret is in the answer and nowhere else.
    pub async fn create_package(&self, actor: &Actor, new: &NewPackage) -> Result<CreatedPackage, Failure> {
        self.allow(actor, Action::CreatePackage, &Object::Organisation(&new.organisation)).await?;
        check_package(new, self.now())?;
        let mut transaction = self.database.write().await?;
        let created = self.create_within(&mut transaction, actor, new, None).await?;
        kill_point::pass("package.before-commit");
        transaction.commit().await?;
        kill_point::pass("package.after-commit");
        Ok(created)
    }

    /// The settings that [`App::create_package`] would give the client, `package.toml`, after all that it checks.
    /// Makes nothing.
    pub async fn preview_package(&self, actor: &Actor, new: &NewPackage) -> Result<String, Failure> {
        self.allow(actor, Action::CreatePackage, &Object::Organisation(&new.organisation)).await?;
        check_package(new, self.now())?;
        let organisation = known_organisation(&mut *self.database.read().await?, &new.organisation).await?;
        let package = self.settings_of(new, organisation);
        // Built to the end and thrown away, so that a signer who is over shows now. The secret opens nothing.
        let secret = Secret::random().map_err(|_| Failure::Random)?;
        package::build(&self.signer, &package, self.ca.root(), &secret, self.clock.now())?;
        Ok(package::settings(&package)?)
    }

    /// Ends an install package's use: nothing more can be submitted with its secret. Doing it again changes nothing.
    pub async fn disable_package(&self, actor: &Actor, id: i64) -> Result<PackageSummary, Failure> {
        self.allow(actor, Action::DisablePackage, &Object::Package(id)).await?;
        let mut transaction = self.database.write().await?;
        if found(packages::find(&mut transaction, id).await?)?.disabled_at.is_none() {
            packages::disable(&mut transaction, id, self.now()).await?;
            record(self, &mut transaction, actor, Action::DisablePackage, &Object::Package(id), json!({}));
        }
        let package = found(packages::find(&mut transaction, id).await?)?;
        kill_point::pass("end-package.before-commit");
        transaction.commit().await?;
        kill_point::pass("end-package.after-commit");
        Ok(package.into())
    }

    /// Makes an install package with the settings of an older one and a fresh secret. The old one ends now or after
    /// the days of grace, and not later than it would have. An expiry is as far away for the new one as it was for the
    /// old one when that was made.
    ///
    /// # Errors
    /// [`Refusal::state_conflict`] where another package took its place already. One that is over or was ended can be
    /// replaced: its organisation needs a new one all the more.
    pub async fn rotate_package(&self, actor: &Actor, id: i64, grace_days: u32) -> Result<CreatedPackage, Failure> {
        let object = Object::Package(id);
        self.allow(actor, Action::RotatePackage, &object).await?;
        if grace_days > GRACE_LIMIT {
            return Err(
                Refusal::invalid_field("grace_days", Text::new("expected-days").with("limit", GRACE_LIMIT)).into()
            );
        }
        let now = self.now();
        let mut transaction = self.database.write().await?;
        let old = found(packages::find(&mut transaction, id).await?)?;
        if let Some(newer) = old.replaced_by {
            return Err(Refusal::state_conflict(Text::new("conflict-package-replaced").with("id", newer)).into());
        }
        let new = NewPackage {
            organisation: old.organisation,
            kind: old.kind,
            store: old.store,
            external_requests: old.external_requests,
            defaults: old.defaults,
            // Where that is later than any date, the old one's end is far enough.
            expires_at: old.expires_at.map(|end| now.0.checked_add(end.0 - old.created_at.0).unwrap_or(end.0)),
        };
        let mut created = self.create_within(&mut transaction, actor, &new, Some(id)).await?;
        let grace_ends = days_from(now, grace_days.into());
        let end = old.expires_at.map_or(grace_ends, |end| end.min(grace_ends));
        packages::replace(&mut transaction, id, created.id, (grace_days > 0).then_some(end).or(old.expires_at)).await?;
        if grace_days == 0 {
            packages::disable(&mut transaction, id, now).await?;
        }
        let detail = json!({ "replaced_by": created.id, "grace_days": grace_days });
        record(self, &mut transaction, actor, Action::RotatePackage, &object, detail);
        created.replaces = Some(found(packages::find(&mut transaction, id).await?)?.into());
        kill_point::pass("rotate.before-commit");
        transaction.commit().await?;
        kill_point::pass("rotate.after-commit");
        Ok(created)
    }

    async fn create_within(
        &self,
        transaction: &mut Transaction,
        actor: &Actor,
        new: &NewPackage,
        replaces: Option<i64>,
    ) -> Result<CreatedPackage, Failure> {
        let organisation = known_organisation(transaction, &new.organisation).await?;
        let secret = Secret::random().map_err(|_| Failure::Random)?;
        let defaults = as_json(&new.defaults)?;
        let id = packages::insert(transaction, new, &defaults, &secret.fingerprint(), self.now()).await?;
        let package = self.settings_of(new, organisation);
        let files = package::build(&self.signer, &package, self.ca.root(), &secret, self.clock.now())?;
        let expires_at = new.expires_at.map(|end| end.unix_timestamp());
        let detail = json!({
            "organisation": new.organisation, "kind": new.kind, "store": new.store,
            "external_requests": new.external_requests, "expires_at": expires_at, "replaces": replaces,
        });
        record(self, transaction, actor, Action::CreatePackage, &Object::Package(id), detail);
        Ok(CreatedPackage { id, package, expires_at: new.expires_at, files, replaces: None })
    }

    fn settings_of(&self, new: &NewPackage, organisation: Organisation) -> Package {
        Package {
            format: FORMAT,
            environment: self.settings.environment.clone(),
            service_url: self.settings.public_url.clone(),
            secure_url: self.settings.secure_url.clone(),
            kind: new.kind,
            store: new.store,
            external_requests: new.external_requests,
            system_roots: self.settings.system_roots,
            organisation,
            defaults: new.defaults.clone(),
        }
    }
}

/// Not derived: the files hold the secret.
impl std::fmt::Debug for CreatedPackage {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("CreatedPackage").field("id", &self.id).finish_non_exhaustive()
    }
}

fn check_package(new: &NewPackage, now: Moment) -> Result<(), Refusal> {
    if new.kind == Kind::ExternalServer {
        return Err(Refusal::invalid_field("kind", Text::new("expected-package-kind")));
    }
    // West of Greenwich the year 9999 ends in one that no database here can tell.
    let in_utc = |end: OffsetDateTime| end.checked_to_offset(UtcOffset::UTC);
    if new.expires_at.is_some_and(|end| in_utc(end).is_none_or(|end| end.truncate_to_second() <= now.0)) {
        return Err(Refusal::invalid_field("expires_at", Text::new("expected-future")));
    }
    check_defaults(&new.defaults)
}

/// What a package gives its clients keeps the rules that their requests must keep.
fn check_defaults(defaults: &Defaults) -> Result<(), Refusal> {
    for (field, text) in [("defaults.locality", &defaults.locality), ("defaults.region", &defaults.region)] {
        if text.as_ref().is_some_and(|text| check_text(text, PLACE_LIMIT).is_err()) {
            return Err(Refusal::invalid_field(field, Text::new("expected-place").with("limit", PLACE_LIMIT)));
        }
    }
    if defaults.email.as_ref().is_some_and(|email| check_email(email).is_err()) {
        return Err(Refusal::invalid_field("defaults.email", Text::new("expected-email")));
    }
    if defaults.key.as_ref().is_some_and(|key| !KEYS.contains(&key.as_str())) {
        return Err(Refusal::invalid_field("defaults.key", Text::new("expected-key").with("keys", KEYS.join(", "))));
    }
    check_stored("defaults.telephone", defaults.telephone.as_deref().unwrap_or_default(), TELEPHONE_LIMIT)?;
    check_stored("defaults.description", defaults.description.as_deref().unwrap_or_default(), DESCRIPTION_LIMIT)
}
