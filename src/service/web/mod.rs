//! The managers' pages: HTML for the functions of `registration`, the same that the API calls.
//!
//! Nothing is decided here. A page works without script; script adds refresh and keys. Texts stand in
//! `locales/*/web.ftl`.

mod audit;
mod bulk;
mod certificates;
mod fields;
mod frame;
mod health;
mod managers;
mod organisations;
mod packages;
mod profiles;
mod queue;
mod request;
mod shown;
mod sources;

use std::sync::Arc;

use axum::Router;
use axum::response::Redirect;
use axum::routing::{get, post};

use super::app::App;

pub(in crate::service) use self::frame::present;

macro_rules! pages {
    ($($method:ident $path:literal => $handler:path;)*) => {
        /// Every page: method and path.
        pub const PAGES: &[(&str, &str)] = &[$((stringify!($method), $path)),*];

        /// The router of all pages.
        pub(in crate::service) fn pages() -> Router<Arc<App>> {
            Router::new()$(.route($path, $method($handler)))*
        }
    };
}

pages! {
    get "/" => home;
    get "/requests" => queue::queue;
    get "/requests/{number}" => request::request;
    post "/requests/{number}/approve" => request::approve;
    post "/requests/{number}/reject" => request::reject;
    post "/requests/preview" => queue::preview;
    post "/requests/decide" => queue::decide;
    get "/requests/bulk" => bulk::list;
    post "/requests/bulk" => bulk::draft;
    get "/requests/bulk/{id}" => bulk::show;
    post "/requests/bulk/{id}/start" => bulk::start;
    post "/requests/bulk/{id}/stop" => bulk::stop;
    get "/requests/bulk/{id}/results" => bulk::results;
    get "/certificates" => certificates::list;
    get "/certificates/{serial}" => certificates::certificate;
    get "/certificates/{serial}/download" => certificates::download;
    post "/certificates/{serial}/revoke" => certificates::revoke;
    get "/organisations" => organisations::list;
    post "/organisations" => organisations::add;
    get "/managers" => managers::list;
    post "/managers" => managers::issue;
    post "/managers/{id}/reissue" => managers::reissue;
    post "/managers/{id}/disable" => managers::disable;
    get "/packages" => packages::list;
    post "/packages" => packages::create;
    post "/packages/preview" => packages::preview;
    post "/packages/{id}/rotate" => packages::rotate;
    post "/packages/{id}/disable" => packages::disable;
    get "/profiles" => profiles::profiles;
    get "/health" => health::health;
    get "/audit" => audit::record;
    get "/audit/export" => audit::export;
    post "/audit/verify" => audit::verify;
    post "/language" => frame::choose_language;
    get "/static/{name}" => sources::source;
}

/// The queue is what managers come for.
async fn home() -> Redirect {
    Redirect::to("/requests")
}
