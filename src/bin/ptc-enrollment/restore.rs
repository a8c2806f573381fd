//! `restore`: an installation from a backup.

use ptc_enroll::locales::Text;
use ptc_enroll::service::config::Settings;
use ptc_enroll::service::transfer::{CaKeys, Target, restore};
use serde_json::{Value, json};

use crate::backup::{contents, summary};
use crate::cli::RestoreArguments;
use crate::context::Context;
use crate::error::CommandError;
use crate::output::moment;

pub(crate) fn run(context: &Context, arguments: RestoreArguments) -> Result<(), CommandError> {
    let target = match arguments.database {
        // As the file is seen from here, whereas the settings are read from anywhere.
        Some(url) => {
            let password_file = arguments.database_password_file.map(std::path::absolute).transpose()?;
            Target::Server { url, password_file }
        }
        None if arguments.database_file => Target::File,
        None => Target::AsBefore,
    };
    let restored = restore(
        &arguments.from,
        &context.home,
        &target,
        &context.operator(),
        &context.clock,
        &context.output.watch_records(),
    )?;
    let manifest = &restored.manifest;
    let home = context.home.folder().display();
    let mut value = summary(manifest);
    value["home"] = home.to_string().into();
    value["database"] = restored.place.clone().into();
    value["missing"] = restored.missing.iter().map(|path| path.display().to_string()).collect();
    value["token"] = restored.token.as_ref().map_or(
        Value::Null,
        |(token, fault)| json!({ "key": token.to_string(), "fault": fault.as_ref().map(ToString::to_string) }),
    );
    // Wherever it comes from: the settings, or systemd.
    let encrypted = manifest.ca_keys == CaKeys::Encrypted;
    let named = Settings::load(&context.home)?.ca_passphrase_file.is_some();
    context.output.result("restore", &value, || {
        let output = &context.output;
        let done = Text::new("restore-done").with("home", home).with("database", &restored.place);
        let mut lines = vec![output.say(done), contents(output, manifest)];
        lines.push(output.say(Text::new("restore-old").with("taken", moment(manifest.taken_at))));
        for file in &restored.missing {
            lines.push(output.say(Text::new("restore-missing").with("path", file.display())));
        }
        match &restored.token {
            None => {}
            Some((token, None)) => lines.push(output.say(Text::new("restore-token-here").with("key", token))),
            Some((token, Some(fault))) => {
                let cause = output.say(fault.text());
                lines.push(output.say(Text::new("restore-token-away").with("key", token).with("cause", cause)));
            }
        }
        if encrypted && !named {
            lines.push(output.say(Text::new("restore-passphrase")));
        }
        lines.push(output.say(Text::new("restore-next").with("home", context.home.folder().display())));
        lines.join("\n")
    })
}
