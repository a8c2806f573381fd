//! `init`: makes an installation.

use ptc_enroll::locales::Text;
use ptc_enroll::service::config::Settings;
use ptc_enroll::service::install::{Plan, install};
use ptc_enroll::service::token::TokenSettings;
use serde_json::json;

use crate::cli::InitArguments;
use crate::context::{Context, account};
use crate::error::CommandError;

pub(crate) fn run(context: &Context, arguments: InitArguments) -> Result<(), CommandError> {
    let mut settings = Settings::new(&arguments.environment, &arguments.public_url, &arguments.secure_url);
    settings.pkcs11 = token(&arguments)?;
    settings.public_listen = arguments.public_listen.unwrap_or(settings.public_listen);
    settings.secure_listen = arguments.secure_listen.unwrap_or(settings.secure_listen);
    settings.operations_listen = arguments.operations_listen.or(settings.operations_listen);
    settings.http_url = arguments.http_url.map(|url| url.trim_end_matches('/').to_owned());
    settings.http_listen = arguments.http_listen;
    settings.database = arguments.database;
    // As it is seen from here, whereas the settings are read from anywhere.
    settings.database_password_file = arguments.database_password_file.map(std::path::absolute).transpose()?;
    settings.ca_passphrase_file = arguments.ca_passphrase_file.map(std::path::absolute).transpose()?;
    let plan = Plan {
        settings,
        algorithm: arguments.algorithm,
        manager_name: arguments.manager_name,
        manager_email: arguments.manager_email,
        manager_out: arguments.manager_out,
        account: account(),
    };
    let installed = install(&context.home, &plan, &context.clock)?;
    let value = json!({
        "home": context.home.folder().display().to_string(),
        "environment": plan.settings.environment,
        "trust_anchor_sha256": installed.trust_anchor_sha256,
        "manager": installed.manager,
        "manager_out": plan.manager_out.display().to_string(),
    });
    context.output.result("init", &value, || {
        let text = Text::new("init-done")
            .with("home", context.home.folder().display())
            .with("environment", &plan.settings.environment)
            .with("fingerprint", &installed.trust_anchor_sha256)
            .with("out", plan.manager_out.display())
            .with("manager", &plan.manager_name);
        context.output.say(text)
    })
}

/// Where the issuing key is to be made, if in a token.
fn token(arguments: &InitArguments) -> Result<Option<TokenSettings>, CommandError> {
    let Some(module) = arguments.pkcs11_module.clone() else { return Ok(None) };
    Ok(Some(TokenSettings {
        module,
        token: arguments.pkcs11_token.clone(),
        token_serial: None,
        key: arguments.pkcs11_key.clone().or_else(|| Some(format!("PTC {} Issuing CA", arguments.environment))),
        key_id: None,
        pin_file: arguments.pkcs11_pin_file.as_ref().map(std::path::absolute).transpose()?,
    }))
}
