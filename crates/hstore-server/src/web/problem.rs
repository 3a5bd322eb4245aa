//! A refusal over HTTP: a problem (RFC 9457) with the stable code.

use std::fmt::Display;

use hstore_core::error::ErrorCode;
use hstore_proto::status;
use hyper::header::{self, HeaderValue};
use hyper::{Method, Response, StatusCode};
use serde_json::json;
use tonic::body::Body;

use super::page;

/// A refusal.
#[derive(Debug)]
pub(super) struct Problem {
    pub(super) code: ErrorCode,
    pub(super) what: String,
    allow: Option<HeaderValue>,
}

impl Problem {
    /// A refusal with its code; `what` says what happened.
    pub(super) fn new(code: ErrorCode, what: impl Display) -> Problem {
        Problem {
            code,
            what: what.to_string(),
            allow: None,
        }
    }

    /// The same, saying which method would have been taken.
    pub(super) fn allow(self, method: &Method) -> Problem {
        Problem {
            allow: HeaderValue::from_str(method.as_str()).ok(),
            ..self
        }
    }

    /// The refusal as it travels.
    pub(super) fn response(self) -> Response<Body> {
        let told = json!({
            "type": format!("urn:hstore:error:{}", self.code),
            "title": status::text(self.code),
            "status": self.code.http_status(),
            "detail": format!("{}. {}", self.what, status::advice(self.code)),
            "code": self.code.as_str(),
        });
        let mut response = page("application/problem+json", told.to_string());
        *response.status_mut() = http_status(self.code);
        if let Some(allow) = self.allow {
            response.headers_mut().insert(header::ALLOW, allow);
        }
        response
    }
}

/// The HTTP status that a code travels with.
pub(super) fn http_status(code: ErrorCode) -> StatusCode {
    StatusCode::from_u16(code.http_status()).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR)
}
