//! `ca`: the CA's keys on disk.

use ptc_enroll::locales::Text;
use ptc_enroll::service::ca::Ca;
use ptc_enroll::service::config::Settings;
use ptc_enroll::service::private_key::Passphrase;
use serde_json::json;

use crate::cli::CaCommand;
use crate::context::Context;
use crate::error::CommandError;

pub(crate) fn run(context: &Context, command: CaCommand) -> Result<(), CommandError> {
    let home = &context.home;
    let settings = Settings::load(home)?;
    let named = settings.ca_passphrase_file.as_ref().map(|file| home.folder().join(file));
    let old = settings.ca_passphrase(home)?;
    let (name, file) = match command {
        CaCommand::EncryptKeys { passphrase_file } => ("ca encrypt-keys", Some(std::path::absolute(passphrase_file)?)),
        CaCommand::DecryptKeys => ("ca decrypt-keys", None),
    };
    let new = file.as_deref().map(Passphrase::read).transpose()?;
    let replaced = Ca::protect_keys(&home.ca(), old.as_ref(), new.as_ref())?;
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
