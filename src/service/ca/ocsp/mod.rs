//! OCSP (RFC 6960): what a request asks, and what a responder that the CA delegated to says to it (§4.2.2.2).
//!
//! Who knows the state of a certificate, and how often anybody may ask, is decided elsewhere.

mod request;
mod response;

pub use self::request::{CertId, Form, Issuer, Malformed, NONCE_LIMIT, Request};
pub use self::response::{Responder, Single, Standing, Unsuccessful};
