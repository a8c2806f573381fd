//! `database`: where the rows are kept.

use ptc_enroll::locales::Text;
use ptc_enroll::service::transfer::{Destination, look, relocate};
use serde_json::{Map, Value, json};

use crate::cli::DatabaseCommand;
use crate::context::Context;
use crate::error::CommandError;

pub(crate) fn run(context: &Context, command: DatabaseCommand) -> Result<(), CommandError> {
    let DatabaseCommand::Move { to, password_file, dry_run } = command;
    // As the file is seen from here, whereas the settings are read from anywhere.
    let to = Destination { url: to, password_file: password_file.map(std::path::absolute).transpose()? };
    let output = &context.output;
    if dry_run {
        let (place, rows) = look(&context.home, &to)?;
        return output.result("database move", &json!({ "to": place, "rows": rows, "moved": false }), || {
            output.say(Text::new("move-would").with("rows", rows).with("to", &place))
        });
    }
    let moved = relocate(&context.home, &to, &context.operator(), &context.clock, &output.watch_records())?;
    let rows: u64 = moved.tables.values().sum();
    let tables: Map<String, Value> =
        moved.tables.iter().map(|(name, rows)| (name.clone(), json!({ "rows": rows }))).collect();
    let (entries, head) = &moved.audit;
    let value = json!({
        "to": moved.place,
        "rows": rows,
        "moved": true,
        "tables": tables,
        "audit": { "entries": entries, "head": head },
        "held_seconds": moved.held.as_secs_f64(),
    });
    output.result("database move", &value, || {
        let mut lines = vec![
            output.say(match moved.tables.is_empty() {
                true => Text::new("move-ended").with("to", &moved.place),
                false => Text::new("move-done")
                    .with("rows", rows)
                    .with("to", &moved.place)
                    .with("seconds", format!("{:.1}", moved.held.as_secs_f64())),
            }),
        ];
        lines.push(output.say(Text::new("audit-intact").with("entries", entries).with("head", head)));
        lines.push(output.say(Text::new("move-next").with("file", context.home.database().display())));
        lines.join("\n")
    })
}
