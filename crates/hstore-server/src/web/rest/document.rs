//! `/api/KEY`: a key that holds a document in JSON.
//!
//! A document is kept as it was sent, byte by byte, so that no number and no order of names is
//! changed. Invariant: what is answered as JSON is JSON, also where the key was written by another
//! door.

use bytes::Bytes;
use hstore_core::error::ErrorCode;
use hyper::{Response, StatusCode};
use serde::de::IgnoredAny;
use tonic::body::Body;

use super::entry::{Pair, wrong};
use super::read::{self, Found, JSON, find, unchanged};
use super::write::{self, Missing, put};
use crate::web::ask::Ask;
use crate::web::etag;
use crate::web::page;
use crate::web::problem::Problem;

/// `GET /api/KEY`.
pub(super) async fn get(ask: Ask) -> Result<Response<Body>, Problem> {
    let Found { pair, revision } = find(&ask).await?;
    if let Err(why) = check(&pair.value) {
        let what = format!("the value is no document in JSON ({why}); /read has it as it is");
        let problem = Problem::new(ErrorCode::InvalidArgument, what);
        return Err(problem.status(StatusCode::CONFLICT));
    }
    if etag::is_known(&ask.headers, pair.mod_revision)? {
        return Ok(unchanged(&pair, revision));
    }
    Ok(read::tagged(
        page(JSON, pair.value.clone()),
        &pair,
        revision,
    ))
}

/// `PUT /api/KEY`.
pub(super) async fn put_document(mut ask: Ask) -> Result<Response<Body>, Problem> {
    let condition = etag::of_write(&ask.headers)?;
    let document = {
        let body = ask.body().await?;
        check(body.bytes())
            .map_err(|why| wrong(format!("the body is no document in JSON: {why}")))?;
        Bytes::copy_from_slice(body.bytes())
    };
    let pair = Pair {
        key: ask.key(),
        value: document.clone(),
        lease: ask.given.number("lease").unwrap_or_default(),
    };
    let revision = put(&ask, pair, condition, Missing::Fails).await?;
    Ok(write::tagged(page(JSON, document), revision))
}

/// Why bytes are no JSON. Nothing is built of them, so that a small document cannot take much
/// memory.
fn check(bytes: &[u8]) -> Result<(), String> {
    let text = std::str::from_utf8(bytes).map_err(|error| error.to_string())?;
    let read: Result<IgnoredAny, _> = serde_json::from_str(text);
    read.map(drop).map_err(|error| error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_document_is_json_of_any_kind_and_nothing_else() {
        let deep = "[".repeat(100_000) + &"]".repeat(100_000);
        for text in ["null", "1e999", "\"a\"", " [1, {\"a\": {}}]\n", &deep] {
            assert_eq!(check(text.as_bytes()), Ok(()), "{text:.20}");
        }
        for bytes in [
            &b""[..],
            b" ",
            b"{",
            b"{} {}",
            b"nul",
            b"'a'",
            b"\"\xff\"",
            b"\"\n\"",
            b"01",
            b"{\"a\" 1}",
        ] {
            assert!(check(bytes).is_err(), "{bytes:?}");
        }
    }
}
