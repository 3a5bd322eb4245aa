//! Who calls: what the metadata of a call says of that, looked up in the state of users and roles.

use std::time::SystemTime;

use hstore_core::auth::{Auth, Author, Identity};
use hstore_core::error::ErrorCode;
use hstore_core::id::ClusterId;
use hstore_proto::{metadata, status};
use tonic::Status;
use tonic::codegen::http::{HeaderMap, HeaderValue};

use super::token::Token;

/// Why it cannot be told who calls.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::grpc) enum Unknown {
    /// The token says that it was made after what this node has applied; that may be true.
    Behind,
    /// The token is forged, has expired or was revoked.
    Invalid,
}

impl Unknown {
    /// What the caller hears.
    pub(in crate::grpc) fn status(self) -> Status {
        let what = match self {
            Unknown::Behind => "the token is of a time that this cluster has not seen",
            Unknown::Invalid => "the token is forged, has expired or was revoked",
        };
        status::failure(ErrorCode::InvalidAuthToken, what)
    }
}

/// Who calls with these headers, as of this state. While nobody is asked, a token is passed over.
pub(in crate::grpc) fn identify(
    headers: &HeaderMap,
    cluster: ClusterId,
    auth: &Auth,
) -> Result<Author, Unknown> {
    let Some(key) = auth.token_key() else {
        return Ok(Author::Nobody);
    };
    let Some(value) = value_of_token(headers) else {
        return Ok(Author::Nobody);
    };
    let text = value.to_str().map_err(|_no_text| Unknown::Invalid)?;
    let text = text.strip_prefix("Bearer ").unwrap_or(text);
    let token = Token::parse(text).ok_or(Unknown::Invalid)?;
    if token.claimed_revision() > auth.revision() {
        return Err(Unknown::Behind);
    }
    let claims = token
        .claims(&key, cluster, now_s())
        .ok_or(Unknown::Invalid)?;
    let author = Author::User(Identity {
        name: claims.name,
        revision: claims.revision,
    });
    match auth.check_user(&author) {
        Ok(()) => Ok(author),
        Err(_revoked) => Err(Unknown::Invalid),
    }
}

/// Whether a token says that it was made from this state of users or a newer one. Where nobody is asked
/// that means that somebody is by now: what ended that would have made the state newer.
pub(super) fn claims_newer(headers: &HeaderMap, auth: &Auth) -> bool {
    let text = value_of_token(headers).and_then(|value| value.to_str().ok());
    let token = text.and_then(|text| Token::parse(text.strip_prefix("Bearer ").unwrap_or(text)));
    token.is_some_and(|token| token.claimed_revision() >= auth.revision())
}

fn value_of_token(headers: &HeaderMap) -> Option<&HeaderValue> {
    let token = headers.get(metadata::TOKEN);
    token.or_else(|| headers.get(metadata::AUTHORIZATION))
}

/// Seconds since 1970: a token lives by the time of day, which need not be exact.
pub(super) fn now_s() -> u64 {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    since.map_or(0, |since| since.as_secs())
}
