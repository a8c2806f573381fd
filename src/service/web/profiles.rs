//! The profiles, to read.

use std::sync::Arc;

use askama::Template;
use axum::extract::State as FromState;
use axum::response::Response;

use super::frame::Viewer;
use crate::service::app::App;
use crate::service::auth::{Action, Object};
use crate::service::ca::{Lifetime, Profile};
use crate::service::error::Failure;

struct Rules {
    name: String,
    lifetime: String,
    key_usage: [String; 2],
    extended_key_usage: String,
}

#[derive(Template)]
#[template(path = "profiles.html", config = ".askama.toml")]
struct Profiles<'a> {
    viewer: &'a Viewer,
    rules: Vec<Rules>,
}

/// What each kind of certificate holds. It is compiled in.
pub(super) async fn profiles(viewer: Viewer, FromState(app): FromState<Arc<App>>) -> Result<Response, Failure> {
    app.allow(&viewer.actor, Action::ReadHealth, &Object::Everything).await?;
    let rules = Profile::ALL
        .into_iter()
        .map(|profile| Rules {
            name: viewer.say(match profile {
                Profile::Workstation => "kind-workstation",
                Profile::Server => "kind-server",
                Profile::ExternalServer => "kind-external-server",
                Profile::Mobile => "kind-mobile",
                Profile::Manager => "profile-manager",
                Profile::Service => "profile-service",
                Profile::PackageSigner => "profile-package-signer",
                Profile::OcspResponder => "profile-ocsp-responder",
            }),
            lifetime: match profile.lifetime() {
                Lifetime::Years(years) => viewer.count("profile-years", years.unsigned_abs() as usize),
                Lifetime::Days(days) => viewer.count("profile-days", days.unsigned_abs() as usize),
                Lifetime::Issuer => viewer.say("profile-as-issuer"),
            },
            key_usage: [true, false].map(|rsa| {
                profile.key_usage(rsa).iter().map(|usage| word(&format!("{usage:?}"))).collect::<Vec<_>>().join(", ")
            }),
            extended_key_usage: word(&format!("{:?}", profile.extended_key_usage())),
        })
        .collect();
    viewer.page(&Profiles { viewer: &viewer, rules })
}

/// The word of RFC 5280 for a name in Rust.
fn word(name: &str) -> String {
    name.chars().enumerate().map(|(at, letter)| if at == 0 { letter.to_ascii_lowercase() } else { letter }).collect()
}
