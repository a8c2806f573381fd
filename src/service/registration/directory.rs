//! Organisations and managers.

use serde_json::json;

use super::{found, inert, record, record_certificate};
use crate::kill_point;
use crate::locales::{Language, Text};
use crate::protocol::messages::{
    IssuedManager, Manager, NewManager, Organisation, Reissue, Revocation, RevocationCode,
};
use crate::protocol::request::Role;
use crate::protocol::rules::check_csr_key;
use crate::protocol::subject::{COMMON_NAME_LIMIT, Subject, check_country, check_email, check_text};
use crate::service::app::App;
use crate::service::auth::{Action, Actor, Object};
use crate::service::ca::{Profile, Serial, Template};
use crate::service::db::certificates::{self, Holder};
use crate::service::db::{Connection, Transaction, managers, organisations};
use crate::service::error::{Failure, Refusal};
use crate::service::handover;
use crate::service::pkcs12::Pkcs12;

/// The most characters in an organisation's code.
const ORGANISATION_CODE_LIMIT: usize = 16;
/// X.520 upper bound of an organisation name, in characters.
const ORGANISATION_LIMIT: usize = 64;

impl App {
    /// All organisations.
    pub async fn list_organisations(&self, actor: &Actor) -> Result<Vec<Organisation>, Failure> {
        self.allow(actor, Action::ListOrganisations, &Object::Everything).await?;
        Ok(organisations::all(&mut *self.database.read().await?).await?)
    }

    /// The codes of all organisations, to choose from.
    pub async fn organisation_codes(&self, actor: &Actor) -> Result<Vec<String>, Failure> {
        self.allow(actor, Action::ListOrganisations, &Object::Everything).await?;
        Ok(organisations::codes(&mut *self.database.read().await?).await?)
    }

    /// Refuses the code of an organisation that does not exist.
    pub async fn known_organisation(&self, actor: &Actor, code: &str) -> Result<(), Failure> {
        self.allow(actor, Action::ListOrganisations, &Object::Everything).await?;
        known_organisation(&mut *self.database.read().await?, code).await.map(drop)
    }

    /// The name of an organisation, for those who belong to it.
    pub async fn organisation_name(&self, code: &str) -> Result<String, Failure> {
        let organisation = organisations::find(&mut *self.database.read().await?, code).await?;
        Ok(organisation.ok_or(Failure::Inconsistent { what: "a manager's organisation" })?.name)
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
        record(self, &mut transaction, actor, Action::AddOrganisation, &object, detail);
        kill_point::pass("organisation.before-commit");
        transaction.commit().await?;
        kill_point::pass("organisation.after-commit");
        Ok(())
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
        // Nobody is in office with a certificate that is signed nobody knows when.
        self.ca.check_key()?;

        let mut transaction = self.database.write().await?;
        let code = manager.organisation.as_deref();
        if let Some(code) = code {
            known_organisation(&mut transaction, code).await?;
        }
        let id = managers::insert(&mut transaction, manager, self.now()).await.map_err(|error| {
            let what = || Text::new("thing-manager").with("email", &manager.email);
            duplicate(error.into(), what)
        })?;
        let serial = self.certify_manager(&mut transaction, id, public_key).await?;
        let detail = json!({
            "name": manager.name, "email": manager.email, "role": manager.role, "organisation": code,
            "serial": serial.to_string(),
        });
        record(self, &mut transaction, actor, Action::AddManager, &Object::Manager(id), detail);
        kill_point::pass("manager.before-commit");
        transaction.commit().await?;
        kill_point::pass("manager.after-commit");
        self.issued_manager(id, serial).await.map_err(Failure::after_a_change)
    }

    /// The same with a key made here, which is in the answer and nowhere else.
    ///
    /// Where the answer does not arrive, the manager is in office without a key: [`App::reissue_manager_with_key`].
    pub async fn issue_manager_with_key(
        &self,
        actor: &Actor,
        name: &str,
        email: &str,
        role: Role,
        organisation: Option<&str>,
    ) -> Result<(IssuedManager, Pkcs12), Failure> {
        let (key, csr) = handover::key()?;
        let (name, email, organisation) = (name.to_owned(), email.to_owned(), organisation.map(str::to_owned));
        let added = self.add_manager(actor, &NewManager { name, email, role, organisation, csr }).await?;
        let sealed = Pkcs12::seal(&key, &added.issued)?;
        Ok((added, sealed))
    }

    /// Issues a manager in office another certificate. The older ones stay good unless the caller asks otherwise.
    pub async fn reissue_manager(&self, actor: &Actor, id: u64, reissue: &Reissue) -> Result<IssuedManager, Failure> {
        let object = Object::Manager(id);
        self.allow(actor, Action::ReissueManager, &object).await?;
        let public_key = check_csr_key(&reissue.csr.0).map_err(Refusal::csr_refused)?;
        self.ca.check_key()?;
        let mut transaction = self.database.write().await?;
        if found(managers::find(&mut transaction, id).await?)?.disabled {
            return Err(Refusal::state_conflict(Text::new("conflict-manager-disabled")).into());
        }
        let older = certificates::of_manager(&mut transaction, id).await?;
        let serial = self.certify_manager(&mut transaction, id, public_key).await?;
        let detail = json!({ "serial": serial.to_string(), "revoke_older": reissue.revoke_older });
        record(self, &mut transaction, actor, Action::ReissueManager, &object, detail);
        if reissue.revoke_older {
            self.revoke_all(&mut transaction, actor, &older, RevocationCode::Superseded).await?;
        }
        kill_point::pass("reissue.before-commit");
        transaction.commit().await?;
        kill_point::pass("reissue.after-commit");
        log::info!(manager = id, serial:% = serial, actor = inert(actor); "manager reissued");
        if reissue.revoke_older {
            self.publish_revocations(actor).await;
        }
        self.issued_manager(id, serial).await.map_err(Failure::after_a_change)
    }

    /// The same with a key made here, which is in the answer and nowhere else.
    pub async fn reissue_manager_with_key(
        &self,
        actor: &Actor,
        id: u64,
        revoke_older: bool,
    ) -> Result<(IssuedManager, Pkcs12), Failure> {
        let (key, csr) = handover::key()?;
        let issued = self.reissue_manager(actor, id, &Reissue { csr, revoke_older }).await?;
        let sealed = Pkcs12::seal(&key, &issued.issued)?;
        Ok((issued, sealed))
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
        record(self, &mut transaction, actor, Action::DisableManager, &Object::Manager(id), json!({}));
        let serials = certificates::of_manager(&mut transaction, id).await?;
        self.revoke_all(&mut transaction, actor, &serials, RevocationCode::PrivilegeWithdrawn).await?;
        kill_point::pass("disable.before-commit");
        transaction.commit().await?;
        kill_point::pass("disable.after-commit");
        log::warn!(manager = id, actor = inert(actor); "manager disabled");
        self.publish_revocations(actor).await;
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
        record(self, &mut transaction, actor, Action::SetManagerLanguage, &object, detail);
        transaction.commit().await?;
        Ok(manager)
    }

    /// Records a certificate of a manager; it is signed once the transaction is committed.
    async fn certify_manager(
        &self,
        transaction: &mut Transaction,
        id: u64,
        public_key: Vec<u8>,
    ) -> Result<Serial, Failure> {
        let manager = found(managers::find(transaction, id).await?)?;
        let code = manager.organisation.as_deref();
        let organisation = match code {
            Some(code) => Some(known_organisation(transaction, code).await?),
            None => None,
        };
        let template = self.manager_template(&manager, organisation.as_ref(), public_key);
        record_certificate(&self.issuer(), transaction, &template, Holder::Manager(id), code).await
    }

    /// Signs what [`App::certify_manager`] recorded.
    async fn issued_manager(&self, id: u64, serial: Serial) -> Result<IssuedManager, Failure> {
        self.sign_recorded().await?;
        kill_point::pass("manager.after-sign");
        let mut connection = self.database.read().await?;
        let manager = found(managers::find(&mut connection, id).await?)?;
        let row = found(certificates::find(&mut connection, &serial.to_string()).await?)?;
        let issued = self.issued(&row).ok_or(Failure::Inconsistent { what: "a certificate that was just signed" })?;
        Ok(IssuedManager { manager, issued })
    }

    /// Revokes certificates of a manager. Once that is committed, the caller publishes it.
    async fn revoke_all(
        &self,
        transaction: &mut Transaction,
        actor: &Actor,
        serials: &[String],
        code: RevocationCode,
    ) -> Result<(), Failure> {
        let revocation = Revocation { code, reason: String::new() };
        for serial in serials {
            let row = found(certificates::find(transaction, serial).await?)?;
            self.revoke_within(transaction, actor, &row, &revocation).await?;
        }
        Ok(())
    }

    fn manager_template(
        &self,
        manager: &Manager,
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
            places: Some(self.settings.places()),
        }
    }
}

pub(super) async fn known_organisation(connection: &mut Connection, code: &str) -> Result<Organisation, Failure> {
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

/// Whether a text is at least near to a code: nothing else gets into logs and records as one.
pub(super) fn could_be_code(text: &str) -> bool {
    text.len() <= ORGANISATION_CODE_LIMIT && text.bytes().all(|byte| byte.is_ascii_alphanumeric())
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
