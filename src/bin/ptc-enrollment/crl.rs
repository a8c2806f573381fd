//! `crl`: the revocation list.

use ptc_enroll::locales::Text;
use ptc_enroll::service::files;
use serde_json::json;
use time::format_description::well_known::Rfc3339;

use crate::cli::CrlCommand;
use crate::context::Context;
use crate::error::CommandError;
use crate::output::moment;

pub(crate) async fn run(context: &Context, command: CrlCommand) -> Result<(), CommandError> {
    let app = context.app().await?;
    let (command, crl, out) = match command {
        CrlCommand::Show { out } => ("crl show", app.crl().await?, out),
        CrlCommand::Refresh { out } => ("crl refresh", app.publish_crl(&context.operator()).await?, out),
    };
    if let Some(path) = &out {
        files::write_public(path, &crl.der)?;
    }
    let written = out.map(|path| path.display().to_string());
    let value = json!({
        "number": crl.number,
        "this_update": crl.this_update.format(&Rfc3339).ok(),
        "next_update": crl.next_update.format(&Rfc3339).ok(),
        "sha256": crl.sha256,
        "written": written,
    });
    context.output.result(command, &value, || {
        context.output.pairs(&[
            (Text::new("column-number"), crl.number.to_string()),
            (Text::new("column-this-update"), moment(crl.this_update)),
            (Text::new("column-next-update"), moment(crl.next_update)),
            (Text::new("column-written"), written.clone().unwrap_or_default()),
        ])
    })
}
