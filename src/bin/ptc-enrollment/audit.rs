//! `audit`: the record of every decision.

use ptc_enroll::locales::Text;
use ptc_enroll::service::audit::{self, Verdict};

use crate::cli::AuditCommand;
use crate::context::Context;
use crate::error::CommandError;
use crate::output::moment;

pub(crate) async fn run(context: &Context, command: AuditCommand) -> Result<(), CommandError> {
    let app = context.app().await?;
    let output = &context.output;
    match command {
        AuditCommand::List { page } => {
            let page = app.audit_record(&context.operator(), page.after.unwrap_or_default(), page.limit).await?;
            output.result("audit list", &page, || {
                let rows: Vec<_> = page
                    .items
                    .iter()
                    .map(|entry| {
                        [
                            entry.sequence.to_string(),
                            moment(entry.time),
                            entry.actor.clone(),
                            entry.action.clone(),
                            entry.object.clone(),
                            entry.organisation.clone().unwrap_or_default(),
                            entry.detail.to_string(),
                        ]
                    })
                    .collect();
                let titles = [
                    Text::new("column-number"),
                    Text::new("column-time"),
                    Text::new("column-actor"),
                    Text::new("column-action"),
                    Text::new("column-object"),
                    Text::new("column-organisation"),
                    Text::new("column-detail"),
                ];
                let table = output.table(titles, &rows);
                match page.next {
                    Some(next) => format!("{table}\n{}", output.say(Text::new("table-more").with("next", next))),
                    None => table,
                }
            })
        }
        AuditCommand::Verify => {
            let verdict = audit::verify(app.database()).await?;
            match &verdict {
                Verdict::Intact { entries, head } => output.result("audit verify", &verdict, || {
                    output.say(Text::new("audit-intact").with("entries", entries).with("head", head))
                }),
                Verdict::Broken { sequence } => Err(CommandError::AuditBroken { sequence: *sequence }),
            }
        }
    }
}
