//! The style sheet and the script, compiled in.

use axum::extract::Path;
use axum::http::header::{CACHE_CONTROL, CONTENT_TYPE};
use axum::response::{IntoResponse, Response};

use crate::service::error::{Failure, Refusal};

const SOURCES: [(&str, &str, &str); 2] = [
    ("style.css", "text/css; charset=utf-8", include_str!("static/style.css")),
    ("script.js", "text/javascript; charset=utf-8", include_str!("static/script.js")),
];

/// One of them. Pages name it with the program's version, so that it may stay in the browser until the next one.
pub(super) async fn source(Path(name): Path<String>) -> Result<Response, Failure> {
    let (_, media_type, content) =
        SOURCES.into_iter().find(|(known, ..)| *known == name).ok_or_else(Refusal::not_found)?;
    let headers = [(CONTENT_TYPE, media_type), (CACHE_CONTROL, "private, max-age=86400")];
    Ok((headers, content).into_response())
}
