//! A refusal over HTTP: a problem (RFC 9457) with the stable code.

use std::fmt::Display;

use hstore_core::error::ErrorCode;
use hstore_proto::status;
use hyper::header::{self, HeaderValue};
use hyper::{Response, StatusCode};
use serde_json::{Value, json};
use tonic::Status;
use tonic::body::Body;

use super::page;

/// The type of a refusal.
pub(super) const PROBLEM_JSON: &str = "application/problem+json";

/// A refusal.
#[derive(Debug)]
pub(crate) struct Problem {
    pub(super) code: ErrorCode,
    /// What happened, and what to do.
    pub(super) detail: String,
    status: StatusCode,
    allow: Option<HeaderValue>,
}

impl Problem {
    /// A refusal with its code; `what` says what happened.
    pub(crate) fn new(code: ErrorCode, what: impl Display) -> Problem {
        Problem {
            code,
            detail: format!("{what}. {}", status::advice(code)),
            status: http_status(code),
            allow: None,
        }
    }

    /// The same with another status, where HTTP has a more exact one than the code.
    pub(super) fn status(self, status: StatusCode) -> Problem {
        Problem { status, ..self }
    }

    /// The same, saying which methods would have been taken.
    pub(crate) fn allow(self, methods: &str) -> Problem {
        Problem {
            allow: HeaderValue::from_str(methods).ok(),
            ..self
        }
    }

    /// The refusal in JSON.
    pub(super) fn json(&self) -> Value {
        json!({
            "type": format!("urn:hstore:error:{}", self.code),
            "title": status::text(self.code),
            "status": self.status.as_u16(),
            "detail": self.detail,
            "code": self.code.as_str(),
        })
    }

    /// The refusal as it travels.
    pub(crate) fn response(self) -> Response<Body> {
        let mut response = page(PROBLEM_JSON, self.json().to_string());
        *response.status_mut() = self.status;
        let headers = response.headers_mut();
        if self.status == StatusCode::UNAUTHORIZED {
            // Not `Basic`: a browser would ask for a password, and send it by itself ever after.
            let scheme = HeaderValue::from_static("Bearer");
            headers.insert(header::WWW_AUTHENTICATE, scheme);
        }
        if let Some(allow) = self.allow {
            headers.insert(header::ALLOW, allow);
        }
        response
    }
}

/// A refusal of a call.
impl From<Status> for Problem {
    fn from(refused: Status) -> Problem {
        let failure = status::read(&refused);
        Problem {
            code: failure.code,
            detail: failure.detail,
            status: http_status(failure.code),
            allow: None,
        }
    }
}

/// The HTTP status that a code travels with.
pub(super) fn http_status(code: ErrorCode) -> StatusCode {
    StatusCode::from_u16(code.http_status()).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR)
}
