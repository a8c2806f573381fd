//! `org`: organisations.

use ptc_enroll::locales::Text;
use ptc_enroll::protocol::messages::Organisation;

use crate::cli::OrganisationCommand;
use crate::context::Context;
use crate::error::CommandError;

pub(crate) async fn run(context: &Context, command: OrganisationCommand) -> Result<(), CommandError> {
    let app = context.app().await?;
    let operator = context.operator();
    match command {
        OrganisationCommand::Add { code, name, country } => {
            let organisation = Organisation { code, name, country };
            app.add_organisation(&operator, &organisation).await?;
            context.output.result("org add", &organisation, || {
                context.output.say(Text::new("org-added").with("name", organisation.subject_name()))
            })
        }
        OrganisationCommand::List => {
            let organisations = app.list_organisations(&operator).await?;
            context.output.result("org list", &organisations, || {
                let rows: Vec<_> = organisations
                    .iter()
                    .map(|organisation| {
                        [organisation.code.clone(), organisation.country.clone(), organisation.name.clone()]
                    })
                    .collect();
                let titles = [Text::new("column-code"), Text::new("column-country"), Text::new("column-name")];
                context.output.table(titles, &rows)
            })
        }
    }
}
