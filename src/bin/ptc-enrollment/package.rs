//! `package`: install packages.

use ptc_enroll::locales::{self, Text};
use ptc_enroll::protocol::messages::NewPackage;
use ptc_enroll::protocol::secret::sha256_hex;
use ptc_enroll::service::files::{self, FileError};
use ptc_enroll::service::package;
use serde_json::json;

use crate::cli::PackageCommand;
use crate::context::Context;
use crate::error::CommandError;
use crate::output::{moment, yes_no};

pub(crate) async fn run(context: &Context, command: PackageCommand) -> Result<(), CommandError> {
    let app = context.app().await?;
    let operator = context.operator();
    let output = &context.output;
    match command {
        PackageCommand::Create { organisation, kind, store, external_requests, out, zip, client, defaults } => {
            // Before the package exists, because nobody could get at its secret later.
            for path in [&out, &zip].into_iter().flatten() {
                let empty_folder = path.read_dir().is_ok_and(|mut entries| entries.next().is_none());
                if path.exists() && !empty_folder {
                    return Err(FileError::Exists { path: path.clone() }.into());
                }
            }
            let client = client.map_or_else(|| Ok(Vec::new()), |folder| package::client_files(&folder))?;
            let new = NewPackage { organisation, kind, store, external_requests, defaults: (*defaults).into() };
            let mut created = app.create_package(&operator, &new).await?;
            created.files.extend(client);
            if let Some(folder) = &out {
                package::write_folder(&created.files, folder)?;
            }
            if let Some(file) = &zip {
                files::write_secret(file, &package::zip(&created.files)?)?;
            }
            let fingerprint = sha256_hex(app.ca().root());
            let places: Vec<String> =
                [&out, &zip].into_iter().flatten().map(|path| path.display().to_string()).collect();
            let value = json!({
                "id": created.id, "settings": created.package, "written": places,
                "trust_anchor_sha256": fingerprint,
            });
            output.result("package create", &value, || {
                let text = Text::new("package-created")
                    .with("id", created.id)
                    .with("organisation", created.package.organisation.subject_name())
                    .with("places", places.join(", "))
                    .with("fingerprint", &fingerprint);
                output.say(text)
            })
        }
        PackageCommand::List => {
            let packages = app.list_packages(&operator).await?;
            let value: Vec<_> = packages
                .iter()
                .map(|package| {
                    json!({
                        "id": package.id, "organisation": package.organisation, "kind": package.kind,
                        "store": package.store, "external_requests": package.external_requests,
                        "disabled": package.disabled_at.is_some(),
                    })
                })
                .collect();
            output.result("package list", &value, || {
                let rows: Vec<_> = packages
                    .iter()
                    .map(|package| {
                        [
                            package.id.to_string(),
                            package.organisation.clone(),
                            output.say(locales::kind(package.kind)),
                            output.say(locales::store(package.store)),
                            output.say(yes_no(package.external_requests)),
                            moment(package.created_at.0),
                            package.disabled_at.map(|at| moment(at.0)).unwrap_or_default(),
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
                    Text::new("column-disabled"),
                ];
                output.table(titles, &rows)
            })
        }
        PackageCommand::Disable { id } => {
            app.disable_package(&operator, id).await?;
            output.result("package disable", &json!({ "id": id, "disabled": true }), || {
                output.say(Text::new("package-disabled").with("id", id))
            })
        }
    }
}
