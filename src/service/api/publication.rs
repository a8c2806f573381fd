//! What relying parties ask for, on the public and on the plain listener: the revocation list, OCSP, the issuing
//! certificate. Everything here is signed, for everybody, and may be kept for a time.

use std::sync::Arc;

use axum::body::Bytes;
use axum::extract::{Request, State};
use axum::http::header::{
    CACHE_CONTROL, CONTENT_LENGTH, CONTENT_TYPE, ETAG, EXPIRES, HeaderValue, IF_MODIFIED_SINCE, IF_NONE_MATCH,
    LAST_MODIFIED,
};
use axum::http::{HeaderMap, HeaderName, StatusCode};
use axum::response::{IntoResponse, Response};
use base64::Engine;
use base64::alphabet::{STANDARD, URL_SAFE};
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use time::OffsetDateTime;

use super::extract::{InPath, read};
use crate::protocol::problem::Problem;
use crate::protocol::secret::sha256_hex;
use crate::service::app::App;
use crate::service::ca::ocsp::Unsuccessful;
use crate::service::error::Failure;
use crate::service::publication;

/// No request that is answered is longer: 16 certificates by SHA-256 and a nonce.
const OCSP_REQUEST_LIMIT: usize = 4 * 1024;

/// For how many seconds the issuing certificate, which never changes, is not asked for again.
const ISSUER_SECONDS: u32 = 86_400;

/// Get the revocation list, DER (RFC 5280 §5).
#[utoipa::path(
    get, path = "/ca/crl", tag = "ca",
    responses(
        (status = 200, content_type = "application/pkix-crl", body = Vec<u8>, description = "The list"),
        (status = 304, description = "The list is the one that the asker has"),
    )
)]
pub(in crate::service) async fn crl(State(app): State<Arc<App>>, headers: HeaderMap) -> Result<Response, Failure> {
    let list = app.crl().await?;
    Ok(Kept {
        media_type: "application/pkix-crl",
        body: list.der.clone(),
        tag: list.sha256.clone(),
        modified: Some(list.this_update),
        alone_in_its_second: list.is_alone_in_its_second(),
        expires: Some(list.next_update),
        // Any revocation makes another one, and asking whether there is one costs little.
        control: "no-cache".to_owned(),
    }
    .answer(&headers, app.now().0))
}

/// Get the root's list, DER (RFC 5280 §5): whether the issuing CA is revoked.
#[utoipa::path(
    get, path = "/ca/root-crl", tag = "ca",
    responses(
        (status = 200, content_type = "application/pkix-crl", body = Vec<u8>, description = "The list"),
        (status = 304, description = "The list is the one that the asker has"),
        (status = "default", body = Problem, content_type = "application/problem+json", description = "Refused"),
    )
)]
pub(in crate::service) async fn root_crl(State(app): State<Arc<App>>, headers: HeaderMap) -> Result<Response, Failure> {
    let list = app.root_crl().await?;
    Ok(Kept {
        media_type: "application/pkix-crl",
        tag: sha256_hex(&list.der),
        body: list.der.into(),
        modified: Some(list.this_update),
        alone_in_its_second: false,
        expires: Some(list.next_update),
        control: "no-cache".to_owned(),
    }
    .answer(&headers, app.now().0))
}

/// Get the issuing CA's certificate, DER (RFC 5280 §4.2.2.1).
#[utoipa::path(
    get, path = "/ca/issuer", tag = "ca",
    responses((status = 200, content_type = "application/pkix-cert", body = Vec<u8>, description = "The certificate"))
)]
pub(in crate::service) async fn issuer(State(app): State<Arc<App>>, headers: HeaderMap) -> Response {
    let certificate = app.ca().issuing();
    Kept {
        media_type: "application/pkix-cert",
        body: Bytes::copy_from_slice(certificate),
        tag: sha256_hex(certificate),
        modified: None,
        alone_in_its_second: false,
        expires: None,
        control: format!("max-age={ISSUER_SECONDS}, public"),
    }
    .answer(&headers, app.now().0)
}

/// Ask for the state of certificates (RFC 6960 Appendix A.1): the body is the OCSPRequest, DER, at most 4 KiB.
#[utoipa::path(
    post, path = "/ca/ocsp", tag = "ca",
    request_body(content = Vec<u8>, content_type = "application/ocsp-request"),
    responses(
        (status = 200, content_type = "application/ocsp-response", body = Vec<u8>,
            description = "The OCSPResponse, also where it is an error of OCSP"),
        (status = "default", body = Problem, content_type = "application/problem+json", description = "Refused"),
    )
)]
pub(in crate::service) async fn ocsp(State(app): State<Arc<App>>, request: Request) -> Result<Response, Failure> {
    let body = read(request, OCSP_REQUEST_LIMIT).await?;
    Ok(ocsp_response(app.ocsp(&body).await.der))
}

/// Ask for the state of a certificate in a way that is kept on the way (RFC 5019 §5): the path ends with the OCSPRequest in
/// base64, URL-encoded.
#[utoipa::path(
    get, path = "/ca/ocsp/{*request}", tag = "ca",
    params(("request" = String, Path, description = "The OCSPRequest, DER, in base64")),
    responses(
        (status = 200, content_type = "application/ocsp-response", body = Vec<u8>,
            description = "The OCSPResponse, also where it is an error of OCSP"),
        (status = 304, description = "The response is the one that the asker has"),
    )
)]
pub(in crate::service) async fn ocsp_by_path(
    InPath(request): InPath<String>,
    State(app): State<Arc<App>>,
    headers: HeaderMap,
) -> Response {
    let response = match decode(&request) {
        Some(request) => app.ocsp(&request).await,
        None => Unsuccessful::MalformedRequest.into(),
    };
    let publication::Response { der, lasting: Some(lasting) } = response else { return ocsp_response(response.der) };
    // From the renewal on there is another response (RFC 5019 §6.2 lets it be any time before the next update).
    let seconds = (lasting.renewal() - app.now().0).whole_seconds().max(0);
    Kept {
        media_type: OCSP_RESPONSE,
        body: der,
        tag: lasting.tag.clone(),
        modified: Some(lasting.this_update),
        alone_in_its_second: false,
        expires: Some(lasting.next_update),
        control: format!("max-age={seconds}, public, no-transform, must-revalidate"),
    }
    .answer(&headers, app.now().0)
}

const OCSP_RESPONSE: &str = "application/ocsp-response";

fn ocsp_response(der: Bytes) -> Response {
    ([(CONTENT_TYPE, OCSP_RESPONSE)], der).into_response()
}

/// Base64 as clients really write it: with or without padding, of either alphabet (RFC 4648 §4 and §5), and with a plus sign
/// that something on the way took for a space.
fn decode(text: &str) -> Option<Vec<u8>> {
    let config = GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent);
    let alphabet = if text.contains(['-', '_']) { URL_SAFE } else { STANDARD };
    if text.len() > OCSP_REQUEST_LIMIT.div_ceil(3) * 4 {
        return None;
    }
    GeneralPurpose::new(&alphabet, config).decode(text.replace(' ', "+")).ok()
}

/// An answer that its asker may keep.
struct Kept {
    media_type: &'static str,
    body: Bytes,
    /// What no other answer of this address has.
    tag: String,
    modified: Option<OffsetDateTime>,
    /// Whether it is known that no earlier answer is of the same second, which dates would not tell from this one.
    alone_in_its_second: bool,
    expires: Option<OffsetDateTime>,
    control: String,
}

impl Kept {
    /// The answer, or that the asker has it already (RFC 9110 §13.1).
    fn answer(self, asked: &HeaderMap, now: OffsetDateTime) -> Response {
        let tag = format!("\"{}\"", self.tag);
        let known = self.is_known(asked, &tag);
        let mut headers = HeaderMap::new();
        let texts = [
            (CONTENT_TYPE, Some(self.media_type.to_owned()).filter(|_| !known)),
            // Of the answer that the asker has: to HEAD, 0 would be put there (RFC 9110 §8.6).
            (CONTENT_LENGTH, Some(self.body.len().to_string()).filter(|_| known)),
            (CACHE_CONTROL, Some(self.control)),
            (ETAG, Some(tag)),
            // Never later than the answer (RFC 9110 §8.8.2.1), as where the clock was set back.
            (LAST_MODIFIED, self.modified.filter(|modified| *modified <= now).map(http_date)),
            (EXPIRES, self.expires.map(http_date)),
        ];
        let insert = |(name, text): (HeaderName, Option<String>)| {
            if let Some(value) = text.and_then(|text| HeaderValue::try_from(text).ok()) {
                headers.insert(name, value);
            }
        };
        texts.into_iter().for_each(insert);
        match known {
            true => (StatusCode::NOT_MODIFIED, headers).into_response(),
            false => (headers, self.body).into_response(),
        }
    }

    /// Whether the asker names this very answer, or, without a name, its date (RFC 9110 §13.2.2). A date of the same second is a
    /// weak validator: what changed twice within it has one date (§8.8.2.2). A later date says nothing: where clocks differ, it may
    /// be that of an earlier answer.
    fn is_known(&self, asked: &HeaderMap, tag: &str) -> bool {
        fn text(value: &HeaderValue) -> Option<&str> {
            value.to_str().ok()
        }
        if asked.contains_key(IF_NONE_MATCH) {
            let mut tags = asked.get_all(IF_NONE_MATCH).iter().filter_map(text).flat_map(|line| line.split(','));
            return tags.any(|known| known.trim() == "*" || known.trim().trim_start_matches("W/") == tag);
        }
        match (asked.get(IF_MODIFIED_SINCE).and_then(text), self.modified) {
            (Some(since), Some(modified)) if self.alone_in_its_second => httpdate::parse_http_date(since)
                .is_ok_and(|since| OffsetDateTime::from(since).unix_timestamp() == modified.unix_timestamp()),
            _ => false,
        }
    }
}

fn http_date(time: OffsetDateTime) -> String {
    httpdate::fmt_http_date(time.into())
}
