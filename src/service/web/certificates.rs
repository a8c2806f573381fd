//! The certificates: search, detail, download, revocation.

use std::sync::Arc;

use askama::Template;
use axum::extract::State as FromState;
use axum::http::header::{CONTENT_DISPOSITION, CONTENT_TYPE};
use axum::response::{IntoResponse, Redirect, Response};

use super::fields::{Asked, Posted};
use super::frame::Viewer;
use super::shown::{self, Moment, inert};
use crate::locales;
use crate::protocol::messages::{CertificateSummary, Revocation, RevocationCode};
use crate::protocol::request::RequestNumber;
use crate::service::api::extract::InPath;
use crate::service::app::App;
use crate::service::credential::certificates_pem;
use crate::service::db::certificates::View;
use crate::service::error::{Failure, Refusal};
use crate::service::registration::{CertificateQuery, Content};

const ROWS: u32 = 50;

/// How a certificate stands, as a word of the style sheet and a text.
struct Standing {
    class: &'static str,
    label: String,
}

impl Standing {
    fn of(certificate: &CertificateSummary, viewer: &Viewer, app: &App) -> Self {
        let (class, id) = match certificate {
            CertificateSummary { revoked_at: Some(_), .. } => ("revoked", "standing-revoked"),
            CertificateSummary { certificate: None, .. } => ("pending", "standing-unsigned"),
            it if it.not_after < app.now().0 => ("expired", "standing-ended"),
            _ => ("installed", "standing-good"),
        };
        Self { class, label: viewer.say(id) }
    }
}

struct Row {
    serial: String,
    request: Option<RequestNumber>,
    organisation: String,
    subject: String,
    ends: Moment,
    standing: Standing,
}

/// The revocation list in a line.
struct Crl {
    number: String,
    this_update: Moment,
    next_update: Moment,
}

#[derive(Template)]
#[template(path = "certificates.html", config = ".askama.toml")]
struct List<'a> {
    viewer: &'a Viewer,
    tabs: [(String, String, bool); 3],
    view: &'static str,
    search: String,
    organisation: String,
    rows: Vec<Row>,
    next: Option<String>,
    first: Option<String>,
    crl: Crl,
}

/// The certificates.
pub(super) async fn list(
    viewer: Viewer,
    FromState(app): FromState<Arc<App>>,
    Asked(fields): Asked,
) -> Result<Response, Failure> {
    let (view, word) = match fields.value("view") {
        Some("ending") => (View::Ending, "ending"),
        Some("revoked") => (View::Revoked, "revoked"),
        _ => (View::All, ""),
    };
    let organisation = fields.value("organisation");
    let query = CertificateQuery {
        organisation: organisation.map(str::to_owned),
        search: fields.value("search").map(str::to_owned),
        view,
        newest_first: true,
        after: fields.word("after"),
        limit: Some(ROWS),
    };
    let page = app.list_certificates(&viewer.actor, &query).await?;
    let row = |item: CertificateSummary| Row {
        standing: Standing::of(&item, &viewer, &app),
        subject: inert(&item.subject),
        organisation: item.organisation.unwrap_or_default(),
        request: item.request,
        ends: shown::moment(item.not_after, viewer.language),
        serial: item.serial,
    };
    let crl = app.crl().await?;
    let href = |changes: &[(&str, &str)]| format!("/certificates{}", fields.query_with(changes));
    let template = List {
        tabs: [("", "certificates-all"), ("ending", "certificates-ending"), ("revoked", "certificates-revoked")]
            .map(|(value, id)| (href(&[("view", value), ("after", "")]), viewer.say(id), value == word)),
        view: word,
        search: fields.text("search"),
        organisation: organisation.unwrap_or_default().to_owned(),
        rows: page.items.into_iter().map(row).collect(),
        next: page.next.map(|after| href(&[("after", &after.to_string())])),
        first: fields.value("after").map(|_| href(&[("after", "")])),
        crl: Crl {
            number: crl.number.to_string(),
            this_update: shown::moment(crl.this_update, viewer.language),
            next_update: shown::moment(crl.next_update, viewer.language),
        },
        viewer: &viewer,
    };
    viewer.page(&template)
}

#[derive(Template)]
#[template(path = "certificate.html", config = ".askama.toml")]
struct Shown<'a> {
    viewer: &'a Viewer,
    certificate: CertificateSummary,
    subject: String,
    standing: Standing,
    starts: Moment,
    ends: Moment,
    revoked: Option<(Moment, String, String)>,
    content: Option<Content>,
    codes: Vec<(&'static str, String)>,
}

/// A certificate.
pub(super) async fn certificate(
    viewer: Viewer,
    FromState(app): FromState<Arc<App>>,
    InPath(serial): InPath<String>,
) -> Result<Response, Failure> {
    let certificate = app.certificate(&viewer.actor, &serial).await?;
    let in_language = |text: locales::Text| text.in_language(viewer.language);
    let revoked = certificate.revoked_at.map(|at| {
        let (code, reason) = certificate.revocation.as_ref().map_or_else(Default::default, |revocation| {
            (in_language(locales::revocation(revocation.code)), inert(&revocation.reason))
        });
        (shown::moment(at, viewer.language), code, reason)
    });
    let template = Shown {
        subject: inert(&certificate.subject),
        standing: Standing::of(&certificate, &viewer, &app),
        starts: shown::moment(certificate.not_before, viewer.language),
        ends: shown::moment(certificate.not_after, viewer.language),
        content: certificate.certificate.as_ref().and_then(|der| Content::of_certificate(&der.0)),
        codes: RevocationCode::ALL
            .into_iter()
            .map(|code| (code.as_str(), in_language(locales::revocation(code))))
            .collect(),
        revoked,
        certificate,
        viewer: &viewer,
    };
    viewer.page(&template)
}

/// The certificate with those above it, PEM; with `?form=der` it alone.
pub(super) async fn download(
    viewer: Viewer,
    FromState(app): FromState<Arc<App>>,
    InPath(serial): InPath<String>,
    Asked(fields): Asked,
) -> Result<Response, Failure> {
    let certificate = app.certificate(&viewer.actor, &serial).await?;
    let der = certificate.certificate.ok_or_else(Refusal::not_found)?.0;
    // Serial numbers are hexadecimal digits.
    let (media_type, end, content) = match fields.value("form") {
        Some("der") => ("application/pkix-cert", "cer", der),
        _ => {
            let chain = certificates_pem(&[&der, app.ca().issuing(), app.ca().root()]);
            ("application/pem-certificate-chain", "pem", chain.into_bytes())
        }
    };
    let disposition = format!("attachment; filename=\"{}.{end}\"", certificate.serial);
    Ok(([(CONTENT_TYPE, media_type.to_owned()), (CONTENT_DISPOSITION, disposition)], content).into_response())
}

/// Revokes.
pub(super) async fn revoke(
    viewer: Viewer,
    FromState(app): FromState<Arc<App>>,
    InPath(serial): InPath<String>,
    Posted(fields): Posted,
) -> Result<Redirect, Failure> {
    let words = RevocationCode::ALL.map(RevocationCode::as_str).join(", ");
    let expected = || Refusal::invalid_field("code", locales::Text::new("expected-one-of").with("words", words));
    let code = fields.word("code").ok_or_else(expected)?;
    app.revoke(&viewer.actor, &serial, &Revocation { code, reason: fields.text("reason") }).await?;
    Ok(Redirect::to(&format!("/certificates/{serial}")))
}
