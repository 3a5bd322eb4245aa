//! etcd's RangeStream: a range of any size, chunk by chunk, as of one revision.
//!
//! All chunks put together are the answer of Range: what is known at the end only (header, count,
//! more) is in the last one.
//!
//! Invariants: (1) a chunk is made when the connection has room for it, so what is held for a
//! stream is one chunk, whatever the range holds; (2) a chunk is no larger than [`CHUNK_BYTES`] and
//! one record more; (3) every chunk is as of the revision of the first.

use std::pin::Pin;
use std::time::Duration;

use bytes::{BufMut as _, Bytes, BytesMut};
use futures::{Stream, StreamExt as _, stream};
use hstore_core::auth::Author;
use hstore_core::error::ErrorCode;
use hstore_core::id::Revision;
use hstore_core::key::KeyRange;
use hstore_core::limits::Limits;
use hstore_core::range::{Filter, Range, Sort, SortTarget};
use hstore_node::{Consistency, Header, Node};
use hstore_proto::convert::{answer, request};
use hstore_proto::etcdserverpb::{RangeRequest, RangeResponse, RangeStreamResponse};
use hstore_proto::status;
use hstore_storage::store::{Page, PageRequest};
use tokio::time::Instant;
use tonic::{Request, Response, Status};

use super::call::{Call, TIMEOUT_DEFAULT, node_error};
use super::render;

/// How large a chunk is. A thousand readers hold a thousand of them, so it is small; larger ones are
/// hardly faster.
const CHUNK_BYTES: usize = 256 * 1024;

/// The keys of the first chunk, when nothing is known of their size.
const KEYS_FIRST: usize = 10;

/// The most keys of a chunk, however small they are.
const KEYS_MAX: usize = 8192;

/// How long a stream may take when the caller names no time: as long as any call may.
const TIMEOUT: Duration = Duration::from_hours(1);

/// The answers of the call.
pub(super) type Answers = Pin<Box<dyn Stream<Item = Result<RangeStreamResponse, Status>> + Send>>;

/// Begins to read a range. The first chunk is read before the call is answered, so that a refusal
/// is one of the call.
pub(super) async fn begin(
    node: &Node,
    limits: &Limits,
    request: Request<RangeRequest>,
) -> Result<Response<Answers>, Status> {
    let call = Call::read(request.metadata(), node, TIMEOUT)?;
    let request = request.into_inner();
    let is_sorted = request.sort_order != 0;
    let serializable = request.serializable;
    let range = request::range(request, limits).map_err(|error| status::refused_request(&error))?;
    check(&range, is_sorted)?;
    let consistency = if serializable {
        Consistency::Serializable
    } else {
        Consistency::Linearizable
    };
    let mut reading = Reading {
        node: node.clone(),
        author: call.author,
        keys_max: KEYS_FIRST,
        left: (range.limit > 0).then_some(range.limit),
        rest: range.keys.clone(),
        sent: 0,
        header: None,
        deadline: call.deadline,
        consistency,
        range,
    };
    let first = reading.next().await?;
    let answers = stream::unfold(State::Chunk(first, reading), |state| async {
        match state {
            State::Chunk(Chunk { answer, is_last }, reading) => {
                let then = if is_last {
                    State::Over
                } else {
                    State::Reading(reading)
                };
                Some((Ok(wrapped(answer)), then))
            }
            State::Reading(mut reading) => match reading.next().await {
                Ok(Chunk { answer, is_last }) => {
                    let then = if is_last {
                        State::Over
                    } else {
                        State::Reading(reading)
                    };
                    Some((Ok(wrapped(answer)), then))
                }
                Err(error) => Some((Err(error), State::Over)),
            },
            State::Over => None,
        }
    });
    Ok(Response::new(answers.boxed()))
}

/// What cannot be read in the order of keys from the beginning to the end.
fn check(range: &Range, is_sorted: bool) -> Result<(), Status> {
    let by_key = Sort {
        target: SortTarget::Key,
        descending: false,
    };
    if is_sorted && range.sort != by_key {
        return Err(unsupported(status::CUSTOM_SORT));
    }
    if range.filter != Filter::default() {
        return Err(unsupported(status::REVISION_FILTER));
    }
    Ok(())
}

fn unsupported(words: &'static str) -> Status {
    status::with_text(ErrorCode::Unsupported, words)
}

fn wrapped(answer: RangeResponse) -> RangeStreamResponse {
    RangeStreamResponse {
        range_response: Some(answer),
    }
}

enum State {
    /// The first chunk, which was read already.
    Chunk(Chunk, Reading),
    Reading(Reading),
    Over,
}

struct Chunk {
    answer: RangeResponse,
    is_last: bool,
}

/// A range on its way to one reader.
struct Reading {
    node: Node,
    author: Author,
    range: Range,
    /// How many keys the next chunk may have.
    keys_max: usize,
    /// How many keys may still be sent.
    left: Option<u64>,
    /// What was not read yet.
    rest: KeyRange,
    sent: u64,
    /// That of the first chunk, and the revision that was read.
    header: Option<(Header, Revision)>,
    deadline: Instant,
    consistency: Consistency,
}

impl Reading {
    async fn next(&mut self) -> Result<Chunk, Status> {
        if self.range.count_only || matches!(self.range.keys, KeyRange::One(_)) {
            return self.whole().await;
        }
        let keys_max = match self.left {
            Some(left) => self
                .keys_max
                .min(usize::try_from(left).unwrap_or(usize::MAX)),
            None => self.keys_max,
        };
        let pinned = self.header.map(|(_, revision)| revision);
        let asked = PageRequest {
            author: self.author.clone(),
            keys: self.rest.clone(),
            revision: pinned.unwrap_or(self.range.revision),
            keys_max,
            bytes_max: CHUNK_BYTES,
            keys_only: self.range.keys_only,
        };
        // The first page was read at the leader's word; the revision says the rest.
        let consistency = match pinned {
            None => self.consistency,
            Some(_) => Consistency::Serializable,
        };
        let deadline = self.deadline.min(Instant::now() + TIMEOUT_DEFAULT);
        let read = self.node.page(asked, consistency, deadline).await;
        let (header, page) = read.map_err(|error| node_error(&error))?;
        let page = page.map_err(|refusal| status::refused_command(&refusal))?;
        let (header, revision) = *self.header.get_or_insert((header, page.revision));
        self.adapt(&page, keys_max);
        self.sent += page.records.len() as u64;
        if let Some(left) = &mut self.left {
            *left -= page.records.len() as u64;
        }
        let is_last = !page.more || self.left == Some(0);
        if let Some(last) = page.records.last() {
            self.rest = after(&self.range.keys, &last.key);
        }
        let mut answer = RangeResponse {
            kvs: page.records.into_iter().map(answer::key_value).collect(),
            ..RangeResponse::default()
        };
        if is_last {
            answer.header = Some(render::header(header));
            answer.more = page.more;
            answer.count = if page.more {
                self.count(revision).await?
            } else {
                self.sent as i64
            };
        }
        Ok(Chunk { answer, is_last })
    }

    /// Comes closer to the size that a chunk should have.
    fn adapt(&mut self, page: &Page, keys_max: usize) {
        if page.records.len() < keys_max {
            // The bytes ended it.
            self.keys_max = page.records.len().max(1);
        } else if page.bytes < CHUNK_BYTES / 2 {
            self.keys_max = (self.keys_max * 2).min(KEYS_MAX);
        }
    }

    /// What has one answer and no more than one record.
    async fn whole(&mut self) -> Result<Chunk, Status> {
        let range = self.range.clone();
        let read = self
            .node
            .range(&self.author, range, self.consistency, self.deadline);
        let (header, result) = read.await.map_err(|error| node_error(&error))?;
        let result = result.map_err(|refusal| status::refused_command(&refusal))?;
        Ok(Chunk {
            answer: answer::range(render::header(header), result),
            is_last: true,
        })
    }

    /// How many keys the range holds, which a limit left unread.
    async fn count(&self, revision: Revision) -> Result<i64, Status> {
        let range = Range {
            revision,
            count_only: true,
            ..Range::of(self.range.keys.clone())
        };
        let read = self.node.range(
            &self.author,
            range,
            Consistency::Serializable,
            self.deadline,
        );
        let (_header, result) = read.await.map_err(|error| node_error(&error))?;
        let result = result.map_err(|refusal| status::refused_command(&refusal))?;
        Ok(result.count as i64)
    }
}

/// The keys of a range behind a key of it.
fn after(keys: &KeyRange, last: &[u8]) -> KeyRange {
    let mut start = BytesMut::with_capacity(last.len() + 1);
    start.put_slice(last);
    start.put_u8(0);
    let start = start.freeze();
    match keys {
        KeyRange::One(_) | KeyRange::From(_) => KeyRange::From(start),
        KeyRange::Span { end, .. } => KeyRange::Span {
            start,
            end: Bytes::clone(end),
        },
    }
}
