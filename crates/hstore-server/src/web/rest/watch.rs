//! `GET /watch/KEY`: what happens to a key or a prefix, as server-sent events.
//!
//! Invariants: (1) only the last event of a revision carries an id, so that who comes back with it
//! gets whole revisions and misses none; (2) a watch that cannot begin is refused as a request, and
//! one that cannot go on says so in its last event.

use std::collections::VecDeque;

use bytes::Bytes;
use futures::{Stream, stream};
use hstore_core::error::ErrorCode;
use hstore_core::key::KeyRange;
use hstore_proto::etcdserverpb::{WatchCreateRequest, WatchResponse};
use hstore_proto::mvccpb::event::EventType;
use hstore_proto::mvccpb::{Event as Change, KeyValue};
use hstore_proto::status;
use hyper::{HeaderMap, Response};
use serde_json::{Value, json};
use tonic::body::Body;

use super::entry::Entry;
use super::read::{set_revision, to_wire};
use super::wait;
use crate::web::ask::Ask;
use crate::web::problem::Problem;
use crate::web::service::Answers;
use crate::web::sse::{self, Event};

/// What a browser says when it comes back: the id of the last event that it heard.
const LAST_EVENT_ID: &str = "last-event-id";

/// `GET /watch/KEY`.
pub(super) async fn watch(ask: Ask) -> Result<Response<Body>, Problem> {
    if let Some(revision) = ask.given.number("wait_rev") {
        wait::applied(ask.node(), revision, ask.deadline).await?;
    }
    let start = match last_heard(&ask.headers)? {
        Some(heard) => heard.saturating_add(1),
        None => ask.given.number("rev").unwrap_or_default(),
    };
    let (key, range_end) = if ask.given.flag("prefix") {
        to_wire(KeyRange::prefix(&ask.key()))
    } else {
        (one(ask.key())?, Bytes::new())
    };
    let create = WatchCreateRequest {
        key,
        range_end,
        start_revision: start,
        prev_kv: ask.given.flag("previous"),
        ..WatchCreateRequest::default()
    };
    let mut answers = ask.service.watch(create).await?;
    let Some(begun) = answers.next().await? else {
        let what = "the watch ended before it began";
        return Err(Problem::new(ErrorCode::ShuttingDown, what));
    };
    if begun.canceled {
        return Err(ended(&begun));
    }
    // The watch would say so in its first event, which is no way to say it to a browser: that would
    // come back for ever.
    let compacted = ask.node().status().store.compacted.0;
    if start > 0 && start < compacted {
        let what = format!("the history that the watch needs was dropped up to {compacted}");
        return Err(Problem::new(ErrorCode::Compacted, what));
    }
    let revision = begun.header.as_ref().map_or(0, |header| header.revision);
    let told = tell(answers, revision);
    let mut response = sse::response(ask.node(), told);
    set_revision(response.headers_mut(), revision);
    Ok(response)
}

/// The key of a watch of one key. On the wire an empty one would mean another key.
fn one(key: Bytes) -> Result<Bytes, Problem> {
    if key.is_empty() {
        let what = "the path names no key";
        return Err(Problem::new(ErrorCode::EmptyKey, what));
    }
    Ok(key)
}

fn last_heard(headers: &HeaderMap) -> Result<Option<i64>, Problem> {
    let Some(value) = headers.get(LAST_EVENT_ID) else {
        return Ok(None);
    };
    let text = value.to_str().unwrap_or("?");
    if text.is_empty() {
        return Ok(None);
    }
    match text.parse() {
        Ok(revision) if revision >= 0 => Ok(Some(revision)),
        _other => {
            let what = "Last-Event-ID is the id of an event of this watch";
            Err(Problem::new(ErrorCode::InvalidArgument, what))
        }
    }
}

/// The events of a watch that has begun.
fn tell(answers: Answers<WatchResponse>, revision: i64) -> impl Stream<Item = Event> + Send {
    let open = Event {
        name: "open",
        id: None,
        data: json!({"revision": revision}),
    };
    let state = Telling {
        answers,
        ready: VecDeque::from([open]),
        over: false,
    };
    stream::unfold(state, |mut state| async {
        let event = state.next().await?;
        Some((event, state))
    })
}

struct Telling {
    answers: Answers<WatchResponse>,
    /// What was told by the last answer and is not on its way yet.
    ready: VecDeque<Event>,
    over: bool,
}

impl Telling {
    /// The next event.
    ///
    /// Not cancel safe: an answer that was heard by half would be lost. Whoever gives this up gives
    /// up the whole watch.
    async fn next(&mut self) -> Option<Event> {
        loop {
            if let Some(event) = self.ready.pop_front() {
                return Some(event);
            }
            if self.over {
                return None;
            }
            match self.answers.next().await {
                Ok(Some(answer)) if answer.canceled => self.end(&ended(&answer)),
                Ok(Some(answer)) => self.ready.extend(changes(&answer.events)),
                Ok(None) => self.over = true,
                Err(problem) => self.end(&problem),
            }
        }
    }

    fn end(&mut self, problem: &Problem) {
        self.over = true;
        self.ready.push_back(Event {
            name: "end",
            id: None,
            data: problem.json(),
        });
    }
}

/// What happened, in events.
fn changes(changes: &[Change]) -> impl Iterator<Item = Event> {
    let revision = |change: &Change| change.kv.as_ref().map_or(0, |pair| pair.mod_revision);
    let after = changes.iter().skip(1).map(revision).chain([0]);
    changes.iter().zip(after).map(move |(change, after)| {
        let own = revision(change);
        Event {
            name: match change.r#type() {
                EventType::Put => "put",
                EventType::Delete => "delete",
            },
            id: (own != after).then_some(own),
            data: data(change),
        }
    })
}

fn data(change: &Change) -> Value {
    let is_put = change.r#type() == EventType::Put;
    let pair = change.kv.as_ref();
    let mut data = pair.map_or_else(|| json!({}), |pair| entry(pair, is_put));
    if let Some(previous) = &change.prev_kv {
        data["previous"] = entry(previous, true);
    }
    data
}

fn entry(pair: &KeyValue, with_value: bool) -> Value {
    serde_json::to_value(Entry::of(pair, with_value)).unwrap_or_default()
}

/// Why a watch was not made, or ended.
fn ended(answer: &WatchResponse) -> Problem {
    let code = status::code_of(&answer.code).unwrap_or(ErrorCode::Compacted);
    Problem::new(code, &answer.detail)
}
