//! `manager`: managers, their keys and certificates.

use ptc_enroll::locales::{self, Text};
use ptc_enroll::protocol::messages::{NewManager, Reissue};
use ptc_enroll::service::error::Failure;
use ptc_enroll::service::handover;
use ptc_enroll::service::registration::check_person;
use serde_json::json;

use crate::cli::ManagerCommand;
use crate::context::Context;
use crate::error::CommandError;
use crate::output::yes_no;

pub(crate) async fn run(context: &Context, command: ManagerCommand) -> Result<(), CommandError> {
    let app = context.app().await?;
    let operator = context.operator();
    let output = &context.output;
    match command {
        ManagerCommand::Add { name, email, role, organisation, out } => {
            check_person(&name, &email).map_err(Failure::from)?;
            let csr = handover::prepare(&out)?;
            let manager = NewManager { name, email, role, organisation, csr };
            let added = app.add_manager(&operator, &manager).await?;
            handover::complete(&out, &added.issued)?;
            let value =
                json!({ "manager": added.manager, "serial": added.issued.serial, "out": out.display().to_string() });
            output.result("manager add", &value, || {
                let text = Text::new("manager-added")
                    .with("id", added.manager.id)
                    .with("name", &added.manager.name)
                    .with("serial", &added.issued.serial)
                    .with("out", out.display());
                output.say(text)
            })
        }
        ManagerCommand::Reissue { id, out, revoke_older } => {
            let csr = handover::prepare(&out)?;
            let reissued = app.reissue_manager(&operator, id, &Reissue { csr, revoke_older }).await?;
            handover::complete(&out, &reissued.issued)?;
            let value = json!({
                "manager": reissued.manager, "serial": reissued.issued.serial, "revoked_older": revoke_older,
                "out": out.display().to_string(),
            });
            output.result("manager reissue", &value, || {
                let text = match revoke_older {
                    true => Text::new("manager-reissued-alone"),
                    false => Text::new("manager-reissued"),
                };
                let text = text
                    .with("id", reissued.manager.id)
                    .with("name", &reissued.manager.name)
                    .with("serial", &reissued.issued.serial)
                    .with("out", out.display());
                output.say(text)
            })
        }
        ManagerCommand::List => {
            let managers = app.list_managers(&operator).await?;
            output.result("manager list", &managers, || {
                let rows: Vec<_> = managers
                    .iter()
                    .map(|manager| {
                        [
                            manager.id.to_string(),
                            manager.name.clone(),
                            manager.email.clone(),
                            output.say(locales::role(manager.role)),
                            manager.organisation.clone().unwrap_or_default(),
                            output.say(yes_no(manager.disabled)),
                        ]
                    })
                    .collect();
                let titles = [
                    Text::new("column-number"),
                    Text::new("column-name"),
                    Text::new("column-email"),
                    Text::new("column-role"),
                    Text::new("column-organisation"),
                    Text::new("column-disabled"),
                ];
                output.table(titles, &rows)
            })
        }
        ManagerCommand::Language { id, tag } => {
            let manager = app.set_manager_language(&operator, id, tag).await?;
            output.result("manager language", &manager, || {
                output.say(Text::new("manager-language").with("name", &manager.name).with("language", tag))
            })
        }
        ManagerCommand::Disable { id } => {
            let manager = app.disable_manager(&operator, id).await?;
            output.result("manager disable", &manager, || {
                output.say(Text::new("manager-disabled").with("name", &manager.name))
            })
        }
    }
}
