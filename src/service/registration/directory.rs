//! Organisations, managers and install packages.

use serde_json::json;

use super::{ORGANISATION_CODE_LIMIT, check_length, found, inert, record, record_certificate};
use crate::locales::{Language, Text};
use crate::protocol::messages::{
    DESCRIPTION_LIMIT, Issued, IssuedManager, Manager, NewManager, NewPackage, Organisation, Revocation,
    RevocationCode, TELEPHONE_LIMIT,
};
use crate::protocol::package::{Defaults, FORMAT, Package};
use crate::protocol::request::{Kind, Role};
use crate::protocol::rules::check_csr_key;
use crate::protocol::secret::Secret;
use crate::protocol::subject::{COMMON_NAME_LIMIT, Subject, check_country, check_email, check_text};
use crate::service::app::App;
use crate::service::auth::{Action, Actor, Object};
use crate::service::ca::{Profile, Serial, Template};
use crate::service::db::certificates::{self, Holder};
use crate::service::db::packages::PackageRow;
use crate::service::db::{Connection, managers, organisations, packages};
use crate::service::error::{Failure, Refusal};
use crate::service::package;

/// X.520 upper bound of an organisation name, in characters.
const ORGANISATION_LIMIT: usize = 64;
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
    /// Its files, path with `/` → content.
    pub files: Vec<(String, Vec<u8>)>,
}

impl App {
    /// All organisations.
    pub async fn list_organisations(&self, actor: &Actor) -> Result<Vec<Organisation>, Failure> {
        self.allow(actor, Action::ListOrganisations, &Object::Everything).await?;
        Ok(organisations::all(&mut *self.database.read().await?).await?)
    }

    /// Adds an organisation.
    pub async fn add_organisation(&self, actor: &Actor, organisation: &Organisation) -> Result<(), Failure> {
        let object = Object::Organisation(&organisation.code);
        self.allow(actor, Action::AddOrganisation, &object).await?;
        check_organisation(organisation)?;
        let mut transaction = self.database.write().await?;
        organisations::insert(&mut transaction, organisation, self.now()).await.map_err(|error| {
            let what = || Text::new("thing-organisation").with("code", &organisation.code);
            duplicate(error.into(), what)
        })?;
        let detail = json!({ "name": organisation.name, "country": organisation.country });
        record(self, &mut transaction, actor, Action::AddOrganisation, &object, detail).await?;
        Ok(transaction.commit().await?)
    }

    /// All managers.
    pub async fn list_managers(&self, actor: &Actor) -> Result<Vec<Manager>, Failure> {
        self.allow(actor, Action::ListManagers, &Object::Everything).await?;
        Ok(managers::all(&mut *self.database.read().await?).await?)
    }

    /// Adds a manager and issues their certificate.
    pub async fn add_manager(&self, actor: &Actor, manager: &NewManager) -> Result<IssuedManager, Failure> {
        let scope = manager.organisation.as_deref().map_or(Object::Everything, Object::Organisation);
        self.allow(actor, Action::AddManager, &scope).await?;
        check_manager(manager)?;
        let public_key = check_csr_key(&manager.csr.0).map_err(Refusal::csr_refused)?;

        let mut transaction = self.database.write().await?;
        let organisation = match &manager.organisation {
            Some(code) => Some(known_organisation(&mut transaction, code).await?),
            None => None,
        };
        let id = managers::insert(&mut transaction, manager, self.now()).await.map_err(|error| {
            let what = || Text::new("thing-manager").with("email", &manager.email);
            duplicate(error.into(), what)
        })?;
        let template = self.manager_template(manager, organisation.as_ref(), public_key);
        let code = manager.organisation.as_deref();
        let serial = record_certificate(&self.issuer(), &mut transaction, &template, Holder::Manager(id), code).await?;
        let detail = json!({
            "name": manager.name, "email": manager.email, "role": manager.role, "organisation": code,
            "serial": serial.to_string(),
        });
        record(self, &mut transaction, actor, Action::AddManager, &Object::Manager(id), detail).await?;
        transaction.commit().await?;

        self.sign_recorded().await?;
        let mut connection = self.database.read().await?;
        let manager = found(managers::find(&mut connection, id).await?)?;
        Ok(IssuedManager { manager, issued: self.issued_with(&mut connection, serial).await? })
    }

    /// Takes a manager out of office and revokes their certificates. Doing it again changes nothing.
    pub async fn disable_manager(&self, actor: &Actor, id: u64) -> Result<Manager, Failure> {
        self.allow(actor, Action::DisableManager, &Object::Manager(id)).await?;
        let mut transaction = self.database.write().await?;
        let manager = found(managers::find(&mut transaction, id).await?)?;
        if manager.disabled {
            return Ok(manager);
        }
        managers::disable(&mut transaction, id, self.now()).await?;
        record(self, &mut transaction, actor, Action::DisableManager, &Object::Manager(id), json!({})).await?;
        let revocation = Revocation { code: RevocationCode::PrivilegeWithdrawn, reason: String::new() };
        for serial in certificates::of_manager(&mut transaction, id).await? {
            let row = found(certificates::find(&mut transaction, &serial).await?)?;
            self.revoke_within(&mut transaction, actor, &row, &revocation).await?;
        }
        self.publish_within(&mut transaction, actor).await?;
        transaction.commit().await?;
        log::warn!("manager disabled: manager={id} actor={}", inert(actor));
        Ok(Manager { disabled: true, ..manager })
    }

    /// Chooses the language in which a manager is written to.
    pub async fn set_manager_language(&self, actor: &Actor, id: u64, language: Language) -> Result<Manager, Failure> {
        let object = Object::Manager(id);
        self.allow(actor, Action::SetManagerLanguage, &object).await?;
        let mut transaction = self.database.write().await?;
        let manager = found(managers::find(&mut transaction, id).await?)?;
        managers::speak(&mut transaction, id, language).await?;
        let detail = json!({ "language": language });
        record(self, &mut transaction, actor, Action::SetManagerLanguage, &object, detail).await?;
        transaction.commit().await?;
        Ok(manager)
    }

    /// All install packages that were given out.
    pub async fn list_packages(&self, actor: &Actor) -> Result<Vec<PackageRow>, Failure> {
        self.allow(actor, Action::ListPackages, &Object::Everything).await?;
        Ok(packages::all(&mut *self.database.read().await?).await?)
    }

    /// Makes an install package. Its secret is in the answer and nowhere else.
    pub async fn create_package(&self, actor: &Actor, new: &NewPackage) -> Result<CreatedPackage, Failure> {
        self.allow(actor, Action::CreatePackage, &Object::Organisation(&new.organisation)).await?;
        if new.kind == Kind::ExternalServer {
            return Err(Refusal::invalid_field("kind", Text::new("expected-package-kind")).into());
        }
        check_defaults(&new.defaults)?;
        let mut transaction = self.database.write().await?;
        let organisation = known_organisation(&mut transaction, &new.organisation).await?;
        let secret = Secret::random().map_err(|_| Failure::Random)?;
        let id = packages::insert(&mut transaction, new, &secret.fingerprint(), self.now()).await?;
        let package = Package {
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
        };
        let files = package::build(&self.signer, &package, self.ca.root(), &secret, self.clock.now())?;
        let detail = json!({
            "organisation": new.organisation, "kind": new.kind, "store": new.store,
            "external_requests": new.external_requests,
        });
        record(self, &mut transaction, actor, Action::CreatePackage, &Object::Package(id), detail).await?;
        transaction.commit().await?;
        Ok(CreatedPackage { id, package, files })
    }

    /// Ends an install package's use: nothing more can be submitted with its secret.
    pub async fn disable_package(&self, actor: &Actor, id: i64) -> Result<(), Failure> {
        self.allow(actor, Action::DisablePackage, &Object::Package(id)).await?;
        let mut transaction = self.database.write().await?;
        let package = found(packages::find(&mut transaction, id).await?)?;
        if package.disabled_at.is_none() {
            packages::disable(&mut transaction, id, self.now()).await?;
            record(self, &mut transaction, actor, Action::DisablePackage, &Object::Package(id), json!({})).await?;
        }
        Ok(transaction.commit().await?)
    }

    async fn issued_with(&self, connection: &mut Connection, serial: Serial) -> Result<Issued, Failure> {
        let row = found(certificates::find(connection, &serial.to_string()).await?)?;
        self.issued(row).ok_or(Failure::Inconsistent { what: "a certificate that was just signed" })
    }

    fn manager_template(
        &self,
        manager: &NewManager,
        organisation: Option<&Organisation>,
        public_key: Vec<u8>,
    ) -> Template {
        let unit = match manager.role {
            Role::RegistrationManager => "Registration Manager",
            Role::PtcManager => "PTC Manager",
        };
        Template {
            profile: Profile::Manager,
            subject: Subject {
                country: organisation.map(|organisation| organisation.country.clone()).unwrap_or_default(),
                region: String::new(),
                locality: String::new(),
                organisation: organisation.map_or_else(|| "PTC".to_owned(), Organisation::subject_name),
                organisational_unit: unit.to_owned(),
                common_name: manager.name.clone(),
            },
            dns_names: Vec::new(),
            ip_addresses: Vec::new(),
            emails: vec![manager.email.clone()],
            public_key,
            crl_url: Some(self.settings.crl_url()),
        }
    }
}

/// Not derived: the files hold the secret.
impl std::fmt::Debug for CreatedPackage {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("CreatedPackage").field("id", &self.id).finish_non_exhaustive()
    }
}

async fn known_organisation(connection: &mut Connection, code: &str) -> Result<Organisation, Failure> {
    organisations::find(connection, code)
        .await?
        .ok_or_else(|| Refusal::invalid_field("organisation", Text::new("expected-known-organisation")).into())
}

/// A duplicate is the caller's to know, any other failure not.
fn duplicate(error: Failure, what: impl FnOnce() -> Text) -> Failure {
    match error {
        Failure::Database(error) if error.is_duplicate() => Refusal::already_exists(what()).into(),
        error => error,
    }
}

fn check_organisation(organisation: &Organisation) -> Result<(), Refusal> {
    let Organisation { code, name, country } = organisation;
    let good_code = (2..=ORGANISATION_CODE_LIMIT).contains(&code.len())
        && code.bytes().all(|byte| byte.is_ascii_uppercase() || byte.is_ascii_digit());
    if !good_code {
        return Err(Refusal::invalid_field("code", Text::new("expected-organisation-code")));
    }
    let good_name = name.trim() == name && check_text(name, ORGANISATION_LIMIT).is_ok();
    if !good_name || organisation.subject_name().chars().count() > ORGANISATION_LIMIT {
        return Err(Refusal::invalid_field("name", Text::new("expected-organisation-name")));
    }
    check_country(country).map_err(|_| Refusal::invalid_field("country", Text::new("expected-country")))
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
    check_length("defaults.telephone", defaults.telephone.as_deref().unwrap_or_default(), TELEPHONE_LIMIT)?;
    check_length("defaults.description", defaults.description.as_deref().unwrap_or_default(), DESCRIPTION_LIMIT)
}

/// A manager's name and address, to be checked before a key is made for them.
pub fn check_person(name: &str, email: &str) -> Result<(), Refusal> {
    if name.trim() != name || check_text(name, COMMON_NAME_LIMIT).is_err() {
        return Err(Refusal::invalid_field("name", Text::new("expected-person")));
    }
    check_email(email).map_err(|_| Refusal::invalid_field("email", Text::new("expected-email")))
}

fn check_manager(manager: &NewManager) -> Result<(), Refusal> {
    check_person(&manager.name, &manager.email)?;
    match (manager.role, &manager.organisation) {
        (Role::RegistrationManager, None) => {
            Err(Refusal::invalid_field("organisation", Text::new("expected-one-organisation")))
        }
        (Role::PtcManager, Some(_)) => {
            Err(Refusal::invalid_field("organisation", Text::new("expected-no-organisation")))
        }
        _ => Ok(()),
    }
}
