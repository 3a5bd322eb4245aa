//! `GET /read` and `GET /read/KEY`: one value, or all of them.
//!
//! Invariant: of a range of any size one chunk is here at a time.

use bytes::Bytes;
use futures::{Stream, StreamExt as _, stream};
use hstore_core::error::ErrorCode;
use hstore_core::key::KeyRange;
use hstore_proto::convert::keys;
use hstore_proto::etcdserverpb::{RangeRequest, RangeResponse, RangeStreamResponse};
use hstore_proto::mvccpb::KeyValue;
use http_body_util::StreamBody;
use hyper::body::Frame;
use hyper::header::{self, HeaderValue};
use hyper::{HeaderMap, Response, StatusCode};
use serde_json::json;
use tonic::Status;
use tonic::body::Body;

use super::entry::Entry;
use super::wait;
use crate::web::accept;
use crate::web::ask::Ask;
use crate::web::etag;
use crate::web::page;
use crate::web::problem::Problem;
use crate::web::service::{Answers, RANGE, RANGE_STREAM};

pub(super) const JSON: &str = "application/json";
pub(super) const TEXT: &str = "text/plain";
pub(super) const BYTES: &str = "application/octet-stream";
pub(super) const JSON_LINES: &str = "application/x-ndjson";

/// On every answer about keys: the revision of the store that it was made from.
pub(super) const REVISION: &str = "hstore-revision";

/// `GET /read/KEY`.
pub(super) async fn one(ask: Ask) -> Result<Response<Body>, Problem> {
    if ask.given.flag("prefix") {
        let keys = KeyRange::prefix(&ask.key());
        return list(ask, keys).await;
    }
    let Found { pair, revision } = find(&ask).await?;
    let kind = accept::best(&ask.headers, &[JSON, TEXT, BYTES])?;
    if etag::is_known(&ask.headers, pair.mod_revision)? {
        return Ok(unchanged(&pair, revision));
    }
    let body = if kind == JSON {
        let mut text = Vec::new();
        Entry::of(&pair, true).write(&mut text);
        page(JSON, text)
    } else {
        let is_text = kind == TEXT && std::str::from_utf8(&pair.value).is_ok();
        let kind = if is_text {
            "text/plain; charset=utf-8"
        } else {
            kind
        };
        page(kind, pair.value.clone())
    };
    Ok(tagged(body, &pair, revision))
}

/// `GET /read`.
pub(super) async fn all(ask: Ask) -> Result<Response<Body>, Problem> {
    let prefix = ask.given.bytes("prefix").unwrap_or_default();
    list(ask, KeyRange::prefix(&prefix)).await
}

/// A key that was found.
pub(super) struct Found {
    pub(super) pair: KeyValue,
    /// The revision of the store.
    pub(super) revision: i64,
}

/// The key of the path, as the parameters of the request want it.
pub(super) async fn find(ask: &Ask) -> Result<Found, Problem> {
    ready(ask).await?;
    let request = RangeRequest {
        key: ask.key(),
        ..asked(ask)
    };
    let answer = ask.service.call(&RANGE, &request).await?;
    let revision = revision_of(&answer);
    let Some(pair) = answer.kvs.into_iter().next() else {
        let what = format!("the key is not there as of revision {revision}");
        return Err(Problem::new(ErrorCode::KeyNotFound, what));
    };
    Ok(Found { pair, revision })
}

/// Waits for what the parameters say that a read has to wait for.
pub(super) async fn ready(ask: &Ask) -> Result<(), Problem> {
    match ask.given.number("wait_rev") {
        None => Ok(()),
        Some(revision) => wait::applied(ask.node(), revision, ask.deadline).await,
    }
}

/// How fresh the parameters want a read, and as of when.
pub(super) fn asked(ask: &Ask) -> RangeRequest {
    RangeRequest {
        revision: ask.given.number("rev").unwrap_or_default(),
        serializable: ask.given.word("consistency") == Some("serializable"),
        ..RangeRequest::default()
    }
}

pub(super) fn revision_of(answer: &RangeResponse) -> i64 {
    answer.header.as_ref().map_or(0, |header| header.revision)
}

/// The same with the revisions of a key and of the store.
pub(super) fn tagged(
    mut response: Response<Body>,
    pair: &KeyValue,
    revision: i64,
) -> Response<Body> {
    let headers = response.headers_mut();
    headers.insert(header::ETAG, etag::tag(pair.mod_revision));
    headers.insert(REVISION, HeaderValue::from(revision));
    response
}

/// The answer for who has the value already.
pub(super) fn unchanged(pair: &KeyValue, revision: i64) -> Response<Body> {
    let mut response = Response::new(Body::empty());
    *response.status_mut() = StatusCode::NOT_MODIFIED;
    tagged(response, pair, revision)
}

/// The range of keys on the wire; every key is one from the first that can be.
pub(super) fn to_wire(keys: KeyRange) -> (Bytes, Bytes) {
    let (key, range_end) = keys::to_wire(keys);
    if key.is_empty() && !range_end.is_empty() {
        return (Bytes::from_static(&[0]), range_end);
    }
    (key, range_end)
}

/// A range behind one of its keys.
pub(super) fn behind(keys: KeyRange, last: &[u8]) -> KeyRange {
    if last < keys.start().as_ref() {
        return keys;
    }
    let mut start = last.to_vec();
    start.push(0);
    let start = Bytes::from(start);
    match keys {
        KeyRange::Span { end, .. } => KeyRange::Span { start, end },
        KeyRange::From(_) | KeyRange::One(_) => KeyRange::From(start),
    }
}

async fn list(ask: Ask, keys: KeyRange) -> Result<Response<Body>, Problem> {
    let kind = accept::best(&ask.headers, &[JSON, JSON_LINES])?;
    ready(&ask).await?;
    let keys_only = ask.given.flag("keys_only");
    let keys = match ask.given.bytes("after") {
        Some(after) => behind(keys, &after),
        None => keys,
    };
    let (key, range_end) = to_wire(keys);
    let request = RangeRequest {
        key,
        range_end,
        limit: ask.given.number("limit").unwrap_or_default(),
        keys_only,
        ..asked(&ask)
    };
    let mut answers = ask.service.stream(&RANGE_STREAM, &request).await?;
    // The first chunk is read before the head is sent, so that a refusal is one.
    let first = next(&mut answers).await?;
    let listing = Listing {
        answers,
        form: Form {
            in_lines: kind == JSON_LINES,
            with_values: !keys_only,
        },
        begun: false,
    };
    let mut response = Response::new(Body::new(StreamBody::new(listing.frames(first))));
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(kind));
    Ok(response)
}

async fn next(
    answers: &mut Answers<RangeStreamResponse>,
) -> Result<Option<RangeResponse>, Problem> {
    let answer = answers.next().await?;
    Ok(answer.and_then(|answer| answer.range_response))
}

/// How entries stand in an answer.
#[derive(Clone, Copy)]
struct Form {
    /// An entry in a line of its own, and nothing else; else one object around all.
    in_lines: bool,
    with_values: bool,
}

/// A list on its way.
struct Listing {
    answers: Answers<RangeStreamResponse>,
    form: Form,
    /// Whether an entry was told.
    begun: bool,
}

impl Listing {
    /// The pieces of the answer. One that goes wrong half way breaks off, so that nobody takes what
    /// there is for all of it.
    fn frames(
        mut self,
        first: Option<RangeResponse>,
    ) -> impl Stream<Item = Result<Frame<Bytes>, Status>> + Send + 'static {
        let opening = self.piece(first);
        let opening = stream::iter([Ok(Frame::data(opening))]);
        opening.chain(stream::unfold(Some(self), |listing| async {
            let mut listing = listing?;
            match next(&mut listing.answers).await {
                Ok(None) => None,
                Ok(chunk) => {
                    let piece = listing.piece(chunk);
                    Some((Ok(Frame::data(piece)), Some(listing)))
                }
                Err(problem) => {
                    tracing::debug!(code = %problem.code, "a list broke off");
                    Some((Err(Status::aborted(problem.detail)), None))
                }
            }
        }))
    }

    /// What a chunk is in the answer; the last one has a header.
    fn piece(&mut self, chunk: Option<RangeResponse>) -> Bytes {
        let chunk = chunk.unwrap_or_default();
        let mut text = Vec::new();
        let Form {
            in_lines,
            with_values,
        } = self.form;
        for pair in &chunk.kvs {
            let before: &[u8] = match (in_lines, self.begun) {
                (true, _) => b"",
                (false, false) => b"{\"entries\":[",
                (false, true) => b",\n",
            };
            text.extend_from_slice(before);
            self.begun = true;
            Entry::of(pair, with_values).write(&mut text);
            if in_lines {
                text.push(b'\n');
            }
        }
        if let Some(header) = chunk.header.filter(|_| !in_lines) {
            if !self.begun {
                text.extend_from_slice(b"{\"entries\":[");
            }
            let end = json!({
                "revision": header.revision,
                "count": chunk.count,
                "more": chunk.more,
            });
            // The object goes on where the list of entries ends.
            let end = end.to_string();
            text.extend_from_slice(b"],");
            text.extend_from_slice(end.trim_start_matches('{').as_bytes());
            text.push(b'\n');
        }
        // What it grew by in vain is not held for who reads slowly.
        Bytes::from(text.into_boxed_slice())
    }
}

/// Says the revision of the store.
pub(super) fn set_revision(headers: &mut HeaderMap, revision: i64) {
    headers.insert(REVISION, HeaderValue::from(revision));
}
