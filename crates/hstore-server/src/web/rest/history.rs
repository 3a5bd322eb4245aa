//! `GET /history/KEY`: every record of one key that is still kept, newest first.
//!
//! Invariant: what is read for an answer at a time is a page, which shrinks when its records are
//! large.

use bytes::Bytes;
use futures::{StreamExt as _, stream};
use hstore_proto::hstore::v1::{HistoryRecord, HistoryRequest, HistoryResponse};
use http_body_util::StreamBody;
use hyper::Response;
use hyper::body::Frame;
use hyper::header::{self, HeaderValue};
use serde_json::{Value, json};
use tonic::Status;
use tonic::body::Body;

use super::entry::Twin;
use super::read::{JSON, ready, set_revision};
use crate::web::ask::Ask;
use crate::web::problem::Problem;
use crate::web::service::{HISTORY, Service};

/// How many records an answer has when the caller does not say.
const RECORDS_DEFAULT: u64 = 100;

/// The records of the first page, when nothing is known of their size, and of any.
const PAGE_FIRST: u64 = 4;
const PAGE_MAX: u64 = 256;

/// What a page should not be larger than, in bytes of values.
const PAGE_BYTES: usize = 1024 * 1024;

/// `GET /history/KEY`.
pub(super) async fn history(ask: Ask) -> Result<Response<Body>, Problem> {
    ready(&ask).await?;
    let limit = match ask.given.number("limit") {
        None | Some(0) => RECORDS_DEFAULT,
        Some(limit) => limit.unsigned_abs(),
    };
    let mut reading = Reading {
        service: ask.service.clone(),
        key: ask.key(),
        before: ask.given.number("before").unwrap_or_default(),
        left: limit,
        page: PAGE_FIRST,
    };
    let first = reading.next().await?;
    let revision = first.revision;
    let opening = opening(&ask.key(), &first);
    let state = Some((first, reading, Some(opening)));
    let pieces = stream::unfold(state, |state| async {
        let (page, mut reading, opening) = state?;
        let is_last = !page.more || reading.left == 0;
        let piece = piece(&page, opening, is_last);
        let piece = Ok::<_, Status>(Frame::data(piece));
        if is_last {
            return Some((vec![piece], None));
        }
        match reading.next().await {
            Ok(page) => Some((vec![piece], Some((page, reading, None)))),
            // Broken off, so that nobody takes what there is for all of it.
            Err(problem) => Some((vec![piece, Err(Status::aborted(problem.detail))], None)),
        }
    });
    let pieces = pieces.flat_map(stream::iter);
    let mut response = Response::new(Body::new(StreamBody::new(pieces)));
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(JSON));
    set_revision(headers, revision);
    Ok(response)
}

struct Reading {
    service: Service,
    key: Bytes,
    /// Only records older than this; 0 begins with the newest.
    before: i64,
    /// How many records may still be told.
    left: u64,
    /// How many the next page has.
    page: u64,
}

impl Reading {
    async fn next(&mut self) -> Result<HistoryResponse, Problem> {
        let request = HistoryRequest {
            key: self.key.clone(),
            limit: self.page.min(self.left),
            before_revision: self.before,
        };
        let page = self.service.call(&HISTORY, &request).await?;
        self.left = self.left.saturating_sub(page.records.len() as u64);
        if let Some(oldest) = page.records.last() {
            self.before = oldest.mod_revision;
        }
        let bytes: usize = page.records.iter().map(|record| record.value.len()).sum();
        if bytes > PAGE_BYTES {
            self.page = (self.page / 2).max(1);
        } else if bytes < PAGE_BYTES / 4 {
            self.page = (self.page * 2).min(PAGE_MAX);
        }
        Ok(page)
    }
}

/// What stands before the records.
fn opening(key: &[u8], page: &HistoryResponse) -> Vec<u8> {
    let mut told = json!({
        "revision": page.revision,
        "compacted_revision": page.compacted_revision,
    });
    match Twin::of(key) {
        Twin {
            text: Some(key), ..
        } => told["key"] = json!(key),
        Twin { base64, .. } => told["key_base64"] = json!(base64),
    }
    let mut text = told.to_string().into_bytes();
    // The object goes on with the records.
    text.pop();
    text.extend_from_slice(b",\"records\":[");
    text
}

fn piece(page: &HistoryResponse, opening: Option<Vec<u8>>, is_last: bool) -> Bytes {
    let mut begun = opening.is_none();
    let mut text = opening.unwrap_or_default();
    for record in &page.records {
        if begun {
            text.extend_from_slice(b",\n");
        }
        begun = true;
        text.extend_from_slice(told(record).to_string().as_bytes());
    }
    if is_last {
        text.extend_from_slice(format!("],\"more\":{}}}\n", page.more).as_bytes());
    }
    Bytes::from(text)
}

fn told(record: &HistoryRecord) -> Value {
    let mut told = json!({"revision": record.mod_revision, "deleted": record.deleted});
    if record.deleted {
        return told;
    }
    told["create_revision"] = json!(record.create_revision);
    told["version"] = json!(record.version);
    if record.lease != 0 {
        told["lease"] = json!(record.lease.to_string());
    }
    match Twin::of(&record.value) {
        Twin {
            text: Some(value), ..
        } => told["value"] = json!(value),
        Twin { base64, .. } => told["value_base64"] = json!(base64),
    }
    told
}
