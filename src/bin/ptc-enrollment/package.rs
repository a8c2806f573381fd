//! `package`: install packages.

use ptc_enroll::locales::{self, Text};
use ptc_enroll::protocol::messages::NewPackage;
use ptc_enroll::protocol::secret::sha256_hex;
use ptc_enroll::service::app::App;
use ptc_enroll::service::files::{self, FileError};
use ptc_enroll::service::package;
use ptc_enroll::service::registration::CreatedPackage;
use serde_json::json;
use time::format_description::well_known::Rfc3339;

use crate::cli::{PackageCommand, PlaceArguments};
use crate::context::Context;
use crate::error::CommandError;
use crate::output::{Output, moment, yes_no};

pub(crate) async fn run(context: &Context, command: PackageCommand) -> Result<(), CommandError> {
    let app = context.app().await?;
    let operator = context.operator();
    let output = &context.output;
    match command {
        PackageCommand::Create { organisation, kind, store, external_requests, expires, places, defaults } => {
            let client = prepare(&places)?;
            let defaults = (*defaults).into();
            let new = NewPackage { organisation, kind, store, external_requests, defaults, expires_at: expires };
            let created = app.create_package(&operator, &new).await?;
            hand_over(output, &app, "package create", created, client, &places)
        }
        PackageCommand::Rotate { id, grace, places } => {
            let client = prepare(&places)?;
            let created = app.rotate_package(&operator, id, grace).await?;
            hand_over(output, &app, "package rotate", created, client, &places)
        }
        PackageCommand::List => {
            let packages = app.list_packages(&operator).await?;
            output.result("package list", &packages, || {
                let rows: Vec<_> = packages
                    .iter()
                    .map(|package| {
                        [
                            package.id.to_string(),
                            package.organisation.clone(),
                            output.say(locales::kind(package.kind)),
                            output.say(locales::store(package.store)),
                            output.say(yes_no(package.external_requests)),
                            moment(package.created_at),
                            package.expires_at.map(moment).unwrap_or_default(),
                            package.disabled_at.map(moment).unwrap_or_default(),
                        ]
                    })
                    .collect();
                let titles = [
                    Text::new("column-number"),
                    Text::new("column-organisation"),
                    Text::new("column-kind"),
                    Text::new("column-store"),
                    Text::new("column-external"),
                    Text::new("column-created"),
                    Text::new("column-expires"),
                    Text::new("column-disabled"),
                ];
                output.table(titles, &rows)
            })
        }
        PackageCommand::Disable { id } => {
            let package = app.disable_package(&operator, id).await?;
            output.result("package disable", &package, || output.say(Text::new("package-disabled").with("id", id)))
        }
    }
}

/// What is to be right before the package exists, because nobody could get at its secret later. Reads the files that
/// go along.
fn prepare(places: &PlaceArguments) -> Result<Vec<(String, Vec<u8>)>, CommandError> {
    for path in [&places.out, &places.zip].into_iter().flatten() {
        let empty_folder = path.read_dir().is_ok_and(|mut entries| entries.next().is_none());
        if path.exists() && !empty_folder {
            return Err(FileError::Exists { path: path.clone() }.into());
        }
    }
    Ok(places.client.as_ref().map_or_else(|| Ok(Vec::new()), |folder| package::client_files(folder))?)
}

/// Writes a new package to its places and says so.
fn hand_over(
    output: &Output,
    app: &App,
    command: &str,
    mut created: CreatedPackage,
    client: Vec<(String, Vec<u8>)>,
    places: &PlaceArguments,
) -> Result<(), CommandError> {
    created.files.extend(client);
    if let Some(folder) = &places.out {
        package::write_folder(&created.files, folder)?;
    }
    if let Some(file) = &places.zip {
        files::write_secret(file, &package::zip(&created.files)?)?;
    }
    let fingerprint = sha256_hex(app.ca().root());
    let written: Vec<String> =
        [&places.out, &places.zip].into_iter().flatten().map(|path| path.display().to_string()).collect();
    let value = json!({
        "id": created.id, "settings": created.package, "written": written, "trust_anchor_sha256": fingerprint,
        "expires_at": created.expires_at.and_then(|end| end.format(&Rfc3339).ok()), "replaces": created.replaces,
    });
    output.result(command, &value, || {
        let text = Text::new("package-created")
            .with("id", created.id)
            .with("organisation", created.package.organisation.subject_name())
            .with("places", written.join(", "))
            .with("fingerprint", &fingerprint);
        let ending = created.replaces.iter().map(|old| match old.expires_at {
            Some(end) if !old.disabled => Text::new("package-replaced").with("id", old.id).with("until", moment(end)),
            _ => Text::new("package-disabled").with("id", old.id),
        });
        let lines: Vec<String> = [text].into_iter().chain(ending).map(|text| output.say(text)).collect();
        lines.join("\n")
    })
}
