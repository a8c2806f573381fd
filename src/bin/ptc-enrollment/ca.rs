//! `ca`: the CA's keys.

use ptc_enroll::locales::Text;
use ptc_enroll::protocol::secret::sha256_hex;
use ptc_enroll::service::audit;
use ptc_enroll::service::auth::{Action, Object};
use ptc_enroll::service::ca::{Ca, KeyFile, KeyPlace, RootCrl, RootCrlPlan};
use ptc_enroll::service::config::Settings;
use ptc_enroll::service::private_key::Passphrase;
use ptc_enroll::service::{files, opening};
use serde_json::{Value, json};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use crate::cli::{CaCommand, RootCrlArguments};
use crate::context::Context;
use crate::error::CommandError;
use crate::output::{moment, yes_no};

pub(crate) async fn run(context: &Context, command: CaCommand) -> Result<(), CommandError> {
    let home = &context.home;
    let settings = Settings::load(home)?;
    let (name, file) = match command {
        CaCommand::Show => return show(context, &settings),
        CaCommand::EncryptKeys { passphrase_file } => ("ca encrypt-keys", Some(std::path::absolute(passphrase_file)?)),
        CaCommand::DecryptKeys => ("ca decrypt-keys", None),
        CaCommand::RootCrl(arguments) => return root_crl(context, &settings, arguments).await,
    };
    let named = settings.ca_passphrase_file.as_ref().map(|file| home.folder().join(file));
    let old = settings.ca_passphrase(home)?;
    let new = file.as_deref().map(Passphrase::read).transpose()?;
    let keys = Ca::protect_keys(&home.ca(), old.as_ref(), new.as_ref())?;
    if !keys.is_empty() {
        record(context, &settings, Action::ProtectKeys, json!({ "encrypted": new.is_some() })).await?;
    }
    let replaced = keys.write()?;
    let replaced: Vec<_> = replaced.iter().map(|path| path.display().to_string()).collect();
    context.output.result(name, &json!({ "replaced": replaced, "encrypted": new.is_some() }), || {
        let done = if new.is_some() { "ca-key-encrypted" } else { "ca-key-decrypted" };
        let mut texts: Vec<_> = replaced.iter().map(|path| Text::new(done).with("path", path)).collect();
        if texts.is_empty() {
            texts.push(Text::new("ca-keys-unchanged"));
        }
        match &file {
            Some(file) if named.as_ref() != Some(file) => {
                texts.push(Text::new("ca-passphrase-next").with("path", file.display()));
            }
            None if old.is_some() => texts.push(Text::new("ca-passphrase-unused")),
            _ => {}
        }
        texts.into_iter().map(|text| context.output.say(text) + "\n").collect()
    })
}

/// Puts on record what is about to be done with the keys. Whoever is interrupted after that says so again with the next call.
async fn record(context: &Context, settings: &Settings, action: Action, detail: Value) -> Result<(), CommandError> {
    let database = opening::open(&settings.place(&context.home)?, &context.home).await?;
    let mut transaction = database.write().await?;
    let (now, operator) = (context.clock.moment(), context.operator());
    audit::record(&mut transaction, now, &operator, action, &Object::Everything, detail);
    transaction.commit().await?;
    database.close().await;
    Ok(())
}

/// Signs the root's list anew.
async fn root_crl(context: &Context, settings: &Settings, arguments: RootCrlArguments) -> Result<(), CommandError> {
    let RootCrlArguments { days, root_key, root_passphrase_file, revoke_issuing, out } = arguments;
    let folder = context.home.ca();
    let passphrase = match root_passphrase_file {
        Some(file) => Some(Passphrase::read(&file)?),
        None => settings.ca_passphrase(&context.home)?,
    };
    // Of two at once, the second would not know what the first has revoked.
    let _turn = files::wait_for_turn(&folder)?;
    let plan = RootCrlPlan { key: root_key.as_deref(), passphrase: passphrase.as_ref(), days, revoke_issuing };
    let list = Ca::next_root_crl(&folder, &plan, context.clock.now())?;
    let revoked = list.issuing_revoked_at.is_some();
    let detail = json!({
        "issuer": "root", "number": list.number, "sha256": sha256_hex(&list.der), "issuing_revoked": revoked,
    });
    record(context, settings, Action::PublishCrl, detail).await?;
    list.write(&folder)?;
    if let Some(path) = &out {
        files::write_public(path, &list.der)?;
    }
    let written = out.map(|path| path.display().to_string());
    let mut value = described(&list);
    value["written"] = json!(written);
    context.output.result("ca root-crl", &value, || {
        context.output.pairs(&[
            (Text::new("column-number"), list.number.to_string()),
            (Text::new("column-this-update"), moment(list.this_update)),
            (Text::new("column-next-update"), moment(list.next_update)),
            (Text::new("column-issuing-revoked"), list.issuing_revoked_at.map(moment).unwrap_or_default()),
            (Text::new("column-written"), written.clone().unwrap_or_default()),
        ])
    })
}

/// The root's list in JSON.
fn described(list: &RootCrl) -> Value {
    let told = |time: OffsetDateTime| time.format(&Rfc3339).ok();
    json!({
        "number": list.number,
        "this_update": told(list.this_update),
        "next_update": told(list.next_update),
        "issuing_revoked_at": list.issuing_revoked_at.and_then(told),
        "sha256": sha256_hex(&list.der),
    })
}

/// Where the keys are. The issuing key is used once to see that it fits.
fn show(context: &Context, settings: &Settings) -> Result<(), CommandError> {
    let home = &context.home;
    let ca = Ca::load(&home.ca(), &settings.key_access(home)?)?;
    let [root, issuing] = Ca::key_files(&home.ca())?;
    let list = RootCrl::find(&home.ca())?;
    let (place, facts) = (ca.key_place(), ca.key_facts()?);
    let token = match (&place, &facts) {
        (KeyPlace::Token(token), Some(facts)) => Some(json!({
            "module": token.module.display().to_string(),
            "token": token.token,
            "token_serial": token.token_serial,
            "key": token.key,
            "key_id": token.key_id,
            "extractable": facts.extractable,
            "made_inside": facts.made_inside,
        })),
        _ => None,
    };
    let value = json!({
        "root": { "sha256": sha256_hex(ca.root()), "file": root.as_str(), "crl": list.as_ref().map(described) },
        "issuing": { "sha256": sha256_hex(ca.issuing()), "file": issuing.as_str(), "token": token },
    });
    let of_file = |file| match file {
        KeyFile::Absent => context.output.say(Text::new("ca-key-absent")),
        KeyFile::Plain => context.output.say(Text::new("ca-key-plain")),
        KeyFile::Encrypted => context.output.say(Text::new("ca-key-under-passphrase")),
    };
    context.output.result("ca show", &value, || {
        let mut pairs = vec![
            (Text::new("column-root-key"), of_file(root)),
            (Text::new("column-issuing-key-file"), of_file(issuing)),
            (Text::new("column-root-crl"), list.as_ref().map(|list| moment(list.next_update)).unwrap_or_default()),
        ];
        if let (KeyPlace::Token(_), Some(facts)) = (&place, &facts) {
            let told = |yes| context.output.say(yes_no(yes));
            pairs.extend([
                (Text::new("column-issuing-key-token"), place.to_string()),
                (Text::new("column-extractable"), told(facts.extractable)),
                (Text::new("column-made-inside"), told(facts.made_inside)),
            ]);
        }
        context.output.pairs(&pairs)
    })
}
