//! `backup`: a copy of the whole installation.

use ptc_enroll::locales::Text;
use ptc_enroll::service::config::Settings;
use ptc_enroll::service::transfer::{CaKeys, Manifest, backup};
use serde_json::{Value, json};
use time::format_description::well_known::Rfc3339;

use crate::cli::BackupArguments;
use crate::context::Context;
use crate::error::CommandError;
use crate::output::{Output, moment};

pub(crate) fn run(context: &Context, arguments: &BackupArguments) -> Result<(), CommandError> {
    let manifest = backup(&context.home, &arguments.to, &context.clock, &context.output.watch_records())?;
    let mut value = summary(&manifest);
    value["to"] = arguments.to.display().to_string().into();
    let token = Settings::load(&context.home)?.pkcs11;
    value["token"] = token.as_ref().map(ToString::to_string).into();
    context.output.result("backup", &value, || {
        let output = &context.output;
        let done = Text::new("backup-done").with("to", arguments.to.display());
        let mut lines = vec![output.say(done), contents(output, &manifest)];
        lines.push(output.say(Text::new(match manifest.ca_keys {
            CaKeys::Absent => "backup-keys-absent",
            CaKeys::Encrypted => "backup-keys-encrypted",
            CaKeys::Plain => "backup-keys-plain",
        })));
        if let Some(token) = &token {
            let kept = Text::new("backup-token").with("key", token).with("module", token.module.display());
            lines.push(output.say(kept));
        }
        for file in &manifest.left_out {
            lines.push(output.say(Text::new("backup-left-out").with("path", file.display())));
        }
        lines.join("\n")
    })
}

/// What a backup holds, for programs.
pub(crate) fn summary(manifest: &Manifest) -> Value {
    let records: serde_json::Map<String, Value> =
        manifest.tables.iter().map(|contents| (contents.table.name.clone(), contents.records.into())).collect();
    json!({
        "taken_at": manifest.taken_at.format(&Rfc3339).ok(),
        "program": manifest.program,
        "environment": manifest.environment,
        "trust_anchor_sha256": manifest.trust_anchor_sha256,
        "ca_keys": manifest.ca_keys,
        "files": manifest.files.keys().collect::<Vec<_>>(),
        "left_out": manifest.left_out,
        "records": records,
        "audit": { "entries": manifest.audit_entries, "head": manifest.audit_head },
    })
}

/// The same for people.
pub(crate) fn contents(output: &Output, manifest: &Manifest) -> String {
    output.pairs(&[
        (Text::new("backup-environment"), manifest.environment.clone()),
        (Text::new("backup-taken"), moment(manifest.taken_at)),
        (Text::new("backup-requests"), manifest.records("requests").to_string()),
        (Text::new("backup-certificates"), manifest.records("certificates").to_string()),
        (Text::new("backup-records"), manifest.all_records().to_string()),
        (Text::new("backup-files"), manifest.files.len().to_string()),
        (Text::new("backup-audit"), manifest.audit_entries.to_string()),
        (Text::new("backup-head"), manifest.audit_head.clone()),
    ])
}
