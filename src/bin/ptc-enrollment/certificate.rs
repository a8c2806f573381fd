//! `certificate`: what was issued, and its end.

use ptc_enroll::locales::Text;
use ptc_enroll::protocol::messages::Revocation;
use ptc_enroll::service::registration::CertificateQuery;

use crate::cli::CertificateCommand;
use crate::context::Context;
use crate::error::CommandError;
use crate::output::moment;

pub(crate) async fn run(context: &Context, command: CertificateCommand) -> Result<(), CommandError> {
    let app = context.app().await?;
    let operator = context.operator();
    let output = &context.output;
    match command {
        CertificateCommand::List { organisation, search, page } => {
            let query = CertificateQuery {
                organisation,
                search,
                after: page.after,
                limit: page.limit,
                ..CertificateQuery::default()
            };
            let page = app.list_certificates(&operator, &query).await?;
            output.result("certificate list", &page, || {
                let rows: Vec<_> = page
                    .items
                    .iter()
                    .map(|certificate| {
                        [
                            certificate.serial.clone(),
                            certificate.request.map(|number| number.to_string()).unwrap_or_default(),
                            moment(certificate.not_after),
                            certificate.revoked_at.map(moment).unwrap_or_default(),
                            certificate.subject.clone(),
                        ]
                    })
                    .collect();
                let titles = [
                    Text::new("column-serial"),
                    Text::new("column-request"),
                    Text::new("column-not-after"),
                    Text::new("column-revoked"),
                    Text::new("column-subject"),
                ];
                let table = output.table(titles, &rows);
                match page.next {
                    Some(next) => format!("{table}\n{}", output.say(Text::new("table-more").with("next", next))),
                    None => table,
                }
            })
        }
        CertificateCommand::Revoke { serial, code, reason } => {
            let certificate = app.revoke(&operator, &serial, &Revocation { code, reason }).await?;
            output.result("certificate revoke", &certificate, || {
                let text =
                    Text::new("certificate-revoked").with("serial", &serial).with("subject", &certificate.subject);
                output.say(text)
            })
        }
    }
}
