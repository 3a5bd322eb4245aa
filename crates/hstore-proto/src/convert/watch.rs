//! Watches on the wire: which keys a request means, how an answer is cut, and how the end of a
//! watch is told.
//!
//! Invariant: the pieces of an answer hold its events in order, each once, and all pieces but the
//! last say that more follows.

use bytes::Bytes;
use hstore_core::check::{self, Violation};
use hstore_core::error::ErrorCode;
use hstore_core::key::KeyRange;
use hstore_core::limits::Limits;
use hstore_core::range::Range;
use prost::Message;

use super::keys;
use crate::etcdserverpb::watch_create_request::FilterType;
use crate::etcdserverpb::{WatchCreateRequest, WatchResponse};

/// The name that stands for no watch, or for all of a stream.
pub const NO_WATCH: i64 = -1;

/// The smallest key there can be: what an empty one means here.
const FIRST_KEY: &[u8] = &[0];

/// The keys that a request watches.
pub fn keys(request: &WatchCreateRequest, limits: &Limits) -> Result<KeyRange, Violation> {
    let key = match &request.key {
        key if key.is_empty() => Bytes::from_static(FIRST_KEY),
        key => key.clone(),
    };
    let keys = keys::from_wire(key, request.range_end.clone());
    check::range(&Range::of(keys.clone()), limits)?;
    Ok(keys)
}

/// Whether a request leaves something out.
pub fn leaves_out(request: &WatchCreateRequest, what: FilterType) -> bool {
    request.filters().any(|filter| filter == what)
}

/// The end of a watch that failed: `reason` in etcd's words, `what` happened in ours.
pub fn ended(
    code: ErrorCode,
    reason: impl Into<String>,
    what: impl std::fmt::Display,
) -> WatchResponse {
    WatchResponse {
        watch_id: NO_WATCH,
        canceled: true,
        cancel_reason: reason.into(),
        code: code.as_str().to_owned(),
        detail: what.to_string(),
        ..WatchResponse::default()
    }
}

/// An answer in pieces of at most so many bytes, or of one event where that is larger.
pub fn cut(whole: WatchResponse, bytes_max: usize) -> Vec<WatchResponse> {
    if whole.events.len() < 2 || whole.encoded_len() < bytes_max {
        return vec![whole];
    }
    let frame = WatchResponse {
        events: Vec::new(),
        fragment: true,
        ..whole
    };
    let frame_bytes = frame.encoded_len();
    let mut pieces = Vec::new();
    let mut piece = frame.clone();
    let mut bytes = frame_bytes;
    for event in whole.events {
        // The field's tag and the length before the event take a few bytes of their own.
        let event_bytes = event.encoded_len() + FIELD_BYTES_MAX;
        if !piece.events.is_empty() && bytes + event_bytes > bytes_max {
            pieces.push(std::mem::replace(&mut piece, frame.clone()));
            bytes = frame_bytes;
        }
        bytes += event_bytes;
        piece.events.push(event);
    }
    piece.fragment = false;
    pieces.push(piece);
    pieces
}

/// What stands before an event in an answer, at most: a tag of one byte and a length of up to
/// five.
const FIELD_BYTES_MAX: usize = 6;

#[cfg(test)]
#[path = "watch/tests.rs"]
mod tests;
