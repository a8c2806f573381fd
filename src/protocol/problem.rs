//! Problem documents (RFC 9457): the one form of every HTTP error.

use serde::{Deserialize, Serialize};

use super::rules::Finding;

/// The media type of a problem document (RFC 9457 §6.1).
pub const MEDIA_TYPE: &str = "application/problem+json";

/// The stable prefix of every `type`; a [`ProblemCode`] follows.
const TYPE_PREFIX: &str = "urn:ptc-enroll:problem:";

/// An HTTP error's body.
///
/// `title`, `detail` and `hint` are in the language that the caller accepts; programs decide by `type` and `status`.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[cfg_attr(feature = "service", derive(utoipa::ToSchema))]
pub struct Problem {
    /// `urn:ptc-enroll:problem:` and a stable code.
    pub r#type: String,
    /// The kind of problem, in a few words.
    pub title: String,
    /// The HTTP status again (RFC 9457 §3.1.2).
    pub status: u16,
    /// What happened this time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub detail: Option<String>,
    /// What to do next.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hint: Option<String>,
    /// The number under which the service logged this; to be quoted to support.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub request_id: String,
    /// Every rule that a CSR broke, where that is the problem.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub findings: Vec<Finding>,
}

impl Problem {
    /// The `type` of a code.
    pub fn type_of(code: ProblemCode) -> String {
        format!("{TYPE_PREFIX}{}", code.as_str())
    }

    /// The code, if this version knows it.
    pub fn code(&self) -> Option<ProblemCode> {
        let word = self.r#type.strip_prefix(TYPE_PREFIX)?;
        ProblemCode::ALL.into_iter().find(|code| code.as_str() == word)
    }
}

macro_rules! problem_codes {
    ($($(#[$doc:meta])* $name:ident = $word:literal, $status:literal;)*) => {
        /// The stable codes of all problems, each with its HTTP status.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        pub enum ProblemCode {
            $($(#[$doc])* $name,)*
        }

        impl ProblemCode {
            /// Every code.
            pub const ALL: [Self; [$($status),*].len()] = [$(Self::$name),*];

            /// The last part of the problem's `type`.
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$name => $word,)* }
            }

            /// The HTTP status that goes with it (RFC 9110 §15).
            pub const fn status(self) -> u16 {
                match self { $(Self::$name => $status,)* }
            }
        }
    };
}

problem_codes! {
    /// The body or the query is not what the API describes.
    Malformed = "malformed", 400;
    /// No credentials, or none that are known.
    Unauthenticated = "unauthenticated", 401;
    /// The credentials are good, but do not allow this.
    Forbidden = "forbidden", 403;
    /// A browser sent this on behalf of another site.
    CrossSite = "cross-site", 403;
    /// The install package does not allow this kind of request.
    KindNotAllowed = "kind-not-allowed", 403;
    /// The one who asks may not decide on their own request.
    OwnRequest = "own-request", 403;
    /// The certificate that the caller shows was revoked or its holder disabled.
    CallerRevoked = "caller-revoked", 403;
    /// There is no such thing, or none that the caller may see.
    NotFound = "not-found", 404;
    /// The path exists, but not with this method.
    MethodNotAllowed = "method-not-allowed", 405;
    /// The body did not arrive in time.
    RequestTimeout = "request-timeout", 408;
    /// The state does not allow this (any more): somebody else was first.
    StateConflict = "state-conflict", 409;
    /// A thing with this name exists already.
    AlreadyExists = "already-exists", 409;
    /// What was shown is not what is there now.
    Superseded = "superseded", 412;
    /// The body is larger than any valid one.
    BodyTooLarge = "body-too-large", 413;
    /// The body is not JSON.
    UnsupportedMediaType = "unsupported-media-type", 415;
    /// The CSR breaks rules; `findings` lists every one.
    CsrRefused = "csr-refused", 422;
    /// The idempotency key was used with another body.
    IdempotencyMismatch = "idempotency-mismatch", 422;
    /// A field does not hold what it must.
    InvalidField = "invalid-field", 422;
    /// Too many calls; `Retry-After` says when to come back.
    TooManyRequests = "too-many-requests", 429;
    /// The service failed; its log says more under the request id.
    Internal = "internal", 500;
    /// The service cannot answer now; `Retry-After` says when to come back.
    Unavailable = "unavailable", 503;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_type_leads_back_to_its_code() {
        for code in ProblemCode::ALL {
            let problem: Problem = serde_json::from_value(serde_json::json!({
                "type": Problem::type_of(code), "title": "x", "status": code.status(), "unknown": [1, 2],
            }))
            .unwrap();
            assert_eq!(problem.code(), Some(code));
        }
    }
}
