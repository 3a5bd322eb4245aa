//! Who asks for a page: a token, or a name and a password that are proved for this one request.

use std::net::SocketAddr;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hstore_core::error::ErrorCode;
use hstore_node::Node;
use hstore_proto::etcdserverpb::AuthenticateRequest;
use hyper::header::{self, HeaderMap, HeaderValue};
use zeroize::Zeroizing;

use super::problem::Problem;
use super::service::{AUTHENTICATE, Service};
use crate::grpc::Door;

/// The headers with a token in the place of a name and a password. The password is compared as
/// `Authenticate` does it, with its pauses for those who guess; so it costs what that costs.
pub(super) async fn proved(
    door: &Door,
    node: &Node,
    headers: &HeaderMap,
    from: Option<SocketAddr>,
) -> Result<HeaderMap, Problem> {
    let mut told = headers.clone();
    let said = headers.get(header::AUTHORIZATION);
    if let Some(token) = said.and_then(bearer) {
        told.insert(header::AUTHORIZATION, token);
        return Ok(told);
    }
    let Some(pair) = said.and_then(basic) else {
        return Ok(told);
    };
    told.remove(header::AUTHORIZATION);
    if !node.auth().is_enabled() {
        return Ok(told);
    }
    let pair = pair?;
    let Some((name, password)) = pair.split_once(':') else {
        return Err(malformed());
    };
    let service = Service {
        door: door.clone(),
        calls: &[AUTHENTICATE.path],
        headers: HeaderMap::new(),
        from,
    };
    let question = AuthenticateRequest {
        name: name.to_owned(),
        password: password.to_owned(),
    };
    let answer = service.call(&AUTHENTICATE, &question).await?;
    let token = HeaderValue::from_str(&answer.token).map_err(|_no_text| malformed())?;
    told.insert(header::AUTHORIZATION, token);
    Ok(told)
}

/// What stands behind `Bearer`, however that is written: the name of a scheme has no case.
fn bearer(value: &HeaderValue) -> Option<HeaderValue> {
    let (scheme, token) = value.to_str().ok()?.split_once(' ')?;
    let is_token = scheme.eq_ignore_ascii_case("bearer");
    HeaderValue::from_str(token.trim())
        .ok()
        .filter(|_| is_token)
}

/// What stands behind `Basic`, `name:password`.
fn basic(value: &HeaderValue) -> Option<Result<Zeroizing<String>, Problem>> {
    let (scheme, pair) = value.to_str().ok()?.split_once(' ')?;
    if !scheme.eq_ignore_ascii_case("basic") {
        return None;
    }
    let decoded = STANDARD.decode(pair.trim());
    let text = decoded.ok().and_then(|bytes| String::from_utf8(bytes).ok());
    Some(text.map(Zeroizing::new).ok_or_else(malformed))
}

fn malformed() -> Problem {
    let what = "behind Basic there is no name and password in base64";
    Problem::new(ErrorCode::InvalidArgument, what)
}
