//! Every route, in one table per listener, and the OpenAPI document that describes it.

use std::sync::{Arc, LazyLock};

use axum::Router;
use axum::http::header::CONTENT_TYPE;
use axum::middleware::{from_fn, from_fn_with_state};
use axum::response::IntoResponse;
use axum::routing::get;
use utoipa::openapi::security::{Http, HttpAuthScheme, SecurityRequirement, SecurityScheme};
use utoipa::openapi::{InfoBuilder, OpenApi, OpenApiBuilder};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::api::frame::Frame;
use super::api::places::{Places, one_place};
use super::api::{JSON, administration, batch, bulk, frame, manager, operations, public, publication};
use super::app::App;
use super::listener::ListenerName;
use super::web;
use crate::protocol::messages::API;

/// Where each listener describes itself, below [`API`].
pub const DESCRIPTION: &str = "/openapi.json";

/// Every route of the operations listener.
pub const OPERATIONS: [&str; 3] = [LIVE, READY, METRICS];
const LIVE: &str = "/livez";
const READY: &str = "/readyz";
const METRICS: &str = "/metrics";

/// The routes of the public listener.
fn public_routes() -> OpenApiRouter<Arc<App>> {
    OpenApiRouter::new()
        .routes(routes!(public::submit))
        .routes(routes!(public::follow))
        .routes(routes!(public::report))
        .routes(routes!(batch::submit))
        .routes(routes!(batch::follow))
        .routes(routes!(batch::report))
        .routes(routes!(public::service))
        .routes(routes!(public::chain))
        .merge(plain_routes())
}

/// The routes of the plain listener, which are the public one's too: what is signed by itself and must be reachable without
/// a certificate having been checked before (RFC 5280 §8).
fn plain_routes() -> OpenApiRouter<Arc<App>> {
    OpenApiRouter::new()
        .routes(routes!(publication::crl))
        .routes(routes!(publication::root_crl))
        .routes(routes!(publication::issuer))
        .routes(routes!(publication::ocsp))
        .routes(routes!(publication::ocsp_by_path))
}

/// The routes of the secure listener.
fn secure_routes() -> OpenApiRouter<Arc<App>> {
    OpenApiRouter::new()
        .routes(routes!(manager::test))
        .routes(routes!(manager::requests))
        .routes(routes!(manager::request))
        .routes(routes!(manager::approve))
        .routes(routes!(manager::reject))
        .routes(routes!(bulk::list, bulk::decide))
        .routes(routes!(bulk::status))
        .routes(routes!(bulk::results))
        .routes(routes!(bulk::stop))
        .routes(routes!(manager::certificates))
        .routes(routes!(manager::certificate))
        .routes(routes!(manager::revoke))
        .routes(routes!(administration::organisations, administration::add_organisation))
        .routes(routes!(administration::managers, administration::add_manager))
        .routes(routes!(administration::disable_manager))
        .routes(routes!(administration::reissue_manager))
        .routes(routes!(administration::packages, administration::create_package))
        .routes(routes!(administration::disable_package))
        .routes(routes!(administration::rotate_package))
        .routes(routes!(administration::audit))
}

/// The public listener's router.
pub fn public(app: Arc<App>) -> Router {
    static DOCUMENT: LazyLock<String> = LazyLock::new(|| {
        let mut api = document(public_routes(), "public listener");
        let components = api.components.get_or_insert_default();
        for (name, description) in [
            ("enrollment-secret", "The install package's enrollment secret"),
            ("request-token", "The token whose SHA-256 the submission named"),
        ] {
            let scheme = Http::builder().scheme(HttpAuthScheme::Bearer).description(Some(description)).build();
            components.add_security_scheme(name, SecurityScheme::Http(scheme));
        }
        written(&api)
    });
    let router: Router<Arc<App>> = OpenApiRouter::new().nest(API, public_routes()).into();
    router
        .route(&format!("{API}{DESCRIPTION}"), get(async || describe(&DOCUMENT)))
        .fallback(frame::not_found)
        .method_not_allowed_fallback(frame::method_not_allowed)
        .layer(from_fn_with_state(Places::new(&app), one_place))
        .layer(from_fn_with_state(Frame::new(app.clone(), ListenerName::Public), frame::frame))
        .with_state(app)
}

/// The operations listener's router: how the service is, and nothing else.
pub fn operations(app: Arc<App>) -> Router {
    Router::new()
        .route(LIVE, get(operations::live))
        .route(READY, get(operations::ready))
        .route(METRICS, get(operations::metrics))
        .fallback(frame::not_found)
        .method_not_allowed_fallback(frame::method_not_allowed)
        .layer(from_fn_with_state(Frame::new(app.clone(), ListenerName::Operations), frame::frame))
        .with_state(app)
}

/// What the plain listener has; it does not describe itself.
pub fn plain_description() -> OpenApi {
    document(plain_routes(), "plain listener")
}

/// The plain listener's router.
pub fn plain(app: Arc<App>) -> Router {
    let router: Router<Arc<App>> = OpenApiRouter::new().nest(API, plain_routes()).into();
    router
        .fallback(frame::not_found)
        .method_not_allowed_fallback(frame::method_not_allowed)
        .layer(from_fn_with_state(Places::new(&app), one_place))
        .layer(from_fn_with_state(Frame::new(app.clone(), ListenerName::Plain), frame::frame))
        .with_state(app)
}

/// The secure listener's router: the guard stands before every route.
pub fn secure(app: Arc<App>) -> Router {
    static DOCUMENT: LazyLock<String> = LazyLock::new(|| {
        let mut api = document(secure_routes(), "secure listener");
        let description = Some("A certificate that this service issued to a machine or manager".to_owned());
        let scheme = SecurityScheme::MutualTls { description, deprecated: None, extensions: None };
        api.components.get_or_insert_default().add_security_scheme("certificate", scheme);
        api.security = Some(vec![SecurityRequirement::new::<_, [String; 0], String>("certificate", [])]);
        written(&api)
    });
    let router: Router<Arc<App>> = OpenApiRouter::new().nest(API, secure_routes()).into();
    router
        .route(&format!("{API}{DESCRIPTION}"), get(async || describe(&DOCUMENT)))
        .merge(web::pages())
        .fallback(frame::not_found)
        .method_not_allowed_fallback(frame::method_not_allowed)
        .layer(from_fn_with_state(app.clone(), frame::guard))
        .layer(from_fn_with_state(Places::new(&app), one_place))
        .layer(from_fn(web::present))
        .layer(from_fn_with_state(Frame::new(app.clone(), ListenerName::Secure), frame::frame))
        .with_state(app)
}

fn describe(document: &'static str) -> impl IntoResponse {
    ([(CONTENT_TYPE, JSON)], document)
}

/// The description of a listener's routes.
fn document(routes: OpenApiRouter<Arc<App>>, listener: &str) -> OpenApi {
    let information = InfoBuilder::new()
        .title(format!("PTC Enroll, {listener}"))
        .version(env!("CARGO_PKG_VERSION"))
        .description(Some("Certificate enrollment. Errors are problem documents (RFC 9457)."))
        .build();
    let api: OpenApi = OpenApiBuilder::new().info(information).build();
    let mut api = OpenApiRouter::<Arc<App>>::with_openapi(api).nest(API, routes).into_openapi();
    // OpenAPI has no parameter that spans several segments; slashes in one are to be encoded.
    let paths = std::mem::take(&mut api.paths.paths);
    api.paths.paths = paths.into_iter().map(|(path, item)| (path.replace("{*", "{"), item)).collect();
    api
}

fn written(api: &OpenApi) -> String {
    // The types that derive a schema always become JSON.
    api.to_json().unwrap_or_default()
}
