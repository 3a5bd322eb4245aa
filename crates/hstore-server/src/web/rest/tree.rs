//! `GET /keys`: the keys under a prefix as a folder shows them, with how many are behind each.
//!
//! What lies under one name is counted and passed over in one step, so that a folder of few names
//! costs little to list however many keys it holds. Invariants: (1) all of an answer is as of one
//! revision; (2) an answer has at most as many names as its limit.

use bytes::Bytes;
use hstore_core::error::ErrorCode;
use hstore_core::key::KeyRange;
use hstore_proto::etcdserverpb::RangeRequest;
use hstore_proto::mvccpb::KeyValue;
use hyper::Response;
use serde_json::{Value, json};
use tonic::body::Body;

use super::entry::Twin;
use super::read::{JSON, asked, behind, ready, revision_of, set_revision, to_wire};
use crate::web::ask::Ask;
use crate::web::page;
use crate::web::problem::Problem;
use crate::web::service::{RANGE, RANGE_STREAM, Service};

/// The most names of an answer, and how many there are when the caller does not say.
pub(super) const NAMES_MAX: i64 = 1000;

/// What parts the names when the caller does not say.
const DELIMITER: &[u8] = b"/";

/// `GET /keys`.
pub(super) async fn keys(ask: Ask) -> Result<Response<Body>, Problem> {
    ready(&ask).await?;
    let prefix = ask.given.bytes("prefix").unwrap_or_default();
    let delimiter = ask.given.bytes("delimiter");
    let delimiter = delimiter.unwrap_or(Bytes::from_static(DELIMITER));
    if delimiter.is_empty() {
        let what = "the delimiter is one byte or more";
        return Err(Problem::new(ErrorCode::InvalidArgument, what));
    }
    let limit = ask.given.number("limit").unwrap_or(NAMES_MAX);
    let mut walk = Walk {
        service: ask.service.clone(),
        fresh: asked(&ask),
        prefix: prefix.clone(),
        delimiter,
        left: usize::try_from(limit).unwrap_or(usize::MAX),
        rest: KeyRange::prefix(&prefix),
        names: Vec::new(),
    };
    if let Some(after) = ask.given.bytes("after") {
        walk.rest = walk.behind_name(&after);
    }
    let count = walk.count(KeyRange::prefix(&prefix)).await?;
    let more = walk.run().await?;
    let revision = walk.fresh.revision;
    let mut told = json!({
        "revision": revision,
        "count": count,
        "names": walk.names,
        "more": more,
    });
    tell(&mut told, "prefix", &prefix);
    let mut response = page(JSON, told.to_string());
    set_revision(response.headers_mut(), revision);
    Ok(response)
}

/// A walk over the names under a prefix.
struct Walk {
    service: Service,
    /// How fresh the first read has to be; its revision is then that of all.
    fresh: RangeRequest,
    prefix: Bytes,
    delimiter: Bytes,
    /// How many names there may still be.
    left: usize,
    /// What was not looked at yet.
    rest: KeyRange,
    names: Vec<Value>,
}

impl Walk {
    /// Lists names until there are enough; whether there are more.
    async fn run(&mut self) -> Result<bool, Problem> {
        // Each turn lists at least one name, so there are no more turns than names.
        loop {
            let found = self.look().await?;
            if found.is_empty() {
                return Ok(false);
            }
            for pair in &found {
                if self.left == 0 {
                    return Ok(true);
                }
                self.left -= 1;
                self.rest = behind(self.rest.clone(), &pair.key);
                if let Some(folder) = self.folder(&pair.key) {
                    let under = KeyRange::prefix(&folder);
                    let count = self.count(under).await?;
                    let mut name = json!({"count": count, "is_prefix": true});
                    tell(&mut name, "key", &folder);
                    self.names.push(name);
                    // What was found behind it may be under it, too.
                    self.rest = self.behind_name(&folder);
                    break;
                }
                let mut name = json!({
                    "count": 1,
                    "is_prefix": false,
                    "revision": pair.mod_revision,
                    "version": pair.version,
                });
                tell(&mut name, "key", &pair.key);
                self.names.push(name);
            }
        }
    }

    /// The first few keys that were not looked at.
    async fn look(&self) -> Result<Vec<KeyValue>, Problem> {
        let (key, range_end) = to_wire(self.rest.clone());
        let request = RangeRequest {
            key,
            range_end,
            keys_only: true,
            ..self.fresh.clone()
        };
        // No more is read than is asked for: the answers that are not heard are not made.
        let mut answers = self.service.stream(&RANGE_STREAM, &request).await?;
        let first = answers.next().await?;
        let first = first.and_then(|answer| answer.range_response);
        Ok(first.unwrap_or_default().kvs)
    }

    /// How many keys a range holds. The first count says as of when all others are.
    async fn count(&mut self, keys: KeyRange) -> Result<i64, Problem> {
        let (key, range_end) = to_wire(keys);
        let request = RangeRequest {
            key,
            range_end,
            count_only: true,
            ..self.fresh.clone()
        };
        let answer = self.service.call(&RANGE, &request).await?;
        if self.fresh.revision == 0 {
            self.fresh.revision = revision_of(&answer);
        }
        self.fresh.serializable = true;
        Ok(answer.count)
    }

    /// The key up to the first delimiter behind the prefix, if there is one.
    fn folder(&self, key: &Bytes) -> Option<Bytes> {
        let rest = key.get(self.prefix.len()..)?;
        let mut places = rest.windows(self.delimiter.len());
        let place = places.position(|bytes| bytes == self.delimiter)?;
        Some(key.slice(..self.prefix.len() + place + self.delimiter.len()))
    }

    /// What is behind a name that was listed: behind all keys under it, if it is a folder.
    fn behind_name(&self, name: &Bytes) -> KeyRange {
        let all = KeyRange::prefix(&self.prefix);
        let is_folder = name.len() > self.prefix.len() && name.ends_with(&self.delimiter);
        if !is_folder || !name.starts_with(&self.prefix) {
            return behind(all, name);
        }
        match (KeyRange::prefix(name), all) {
            (KeyRange::Span { end: start, .. }, KeyRange::Span { end, .. }) => {
                KeyRange::Span { start, end }
            }
            (KeyRange::Span { end: start, .. }, _) => KeyRange::From(start),
            // There is no key behind all that begin so.
            (_, all) => KeyRange::Span {
                start: all.start().clone(),
                end: all.start().clone(),
            },
        }
    }
}

/// Puts bytes under the name that holds them.
fn tell(told: &mut Value, name: &str, bytes: &[u8]) {
    match Twin::of(bytes) {
        Twin {
            text: Some(text), ..
        } => told[name] = json!(text),
        Twin { base64, .. } => told[format!("{name}_base64")] = json!(base64),
    }
}
