//! One call that is followed, and the spans that it comes to.
//!
//! A write that goes on to the leader takes the trace and the span of its way there along; what it comes
//! to there has that span as its parent.
//!
//! Invariant: the span of the call is the parent of all others of it, and none is outside of it.

use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use hstore_node::{Guest, Journey, Moments};
use tokio::time::Instant;
use tonic::Code;

use super::context::Context;
use super::wire::{Attribute, Outcome, Span};

const INTERNAL: i32 = 1;
const SERVER: i32 = 2;

/// The way of a write to the leader and back.
const FORWARD: &str = "forward";
/// What the leader did in that time.
const LEAD: &str = "lead";

/// A call that is followed.
#[derive(Debug)]
pub(crate) struct Followed {
    trace: u128,
    own: u64,
    parent: Option<u64>,
    path: &'static str,
    began: Instant,
    /// The span of the way to the leader, if there is one.
    forward: u64,
    pub(super) journey: Arc<Journey>,
}

impl Followed {
    /// A call begins.
    pub(super) fn begin(path: &'static str, context: Option<Context>, trace: u128) -> Followed {
        let mut followed = Followed {
            trace,
            own: drawn(),
            forward: drawn(),
            parent: context.map(|context| context.span),
            path,
            began: Instant::now(),
            journey: Arc::default(),
        };
        followed.journey = Arc::new(Journey::named(followed.word()));
        followed
    }

    /// What goes along to the leader: the trace, and the span of the way there.
    pub(super) fn word(&self) -> Bytes {
        let (trace, forward) = (self.trace.to_be_bytes(), self.forward.to_be_bytes());
        Bytes::from([&trace[..], &forward].concat())
    }

    /// What it comes to, as it ends now.
    pub(super) fn spans(&self, code: Code) -> Vec<Span> {
        let clock = Clock::now();
        let now = clock.now;
        let name = self.path.trim_start_matches('/');
        let (service, method) = name.split_once('/').unwrap_or((name, ""));
        let mut own = span(self.trace, &clock, self.own, name, self.began, now);
        own.kind = SERVER;
        own.parent_span_id = self.parent.map_or_else(Vec::new, id);
        own.attributes = vec![
            Attribute::text("rpc.system", "grpc"),
            Attribute::text("rpc.service", service),
            Attribute::text("rpc.method", method),
            Attribute::number("rpc.grpc.status_code", i64::from(code as i32)),
        ];
        if code != Code::Ok {
            own.status = Some(failed(code.description()));
        }
        let mut spans = vec![own];
        for (name, from, to) in stages(&self.journey.moments(), now) {
            let of_stage = if name == FORWARD {
                self.forward
            } else {
                drawn()
            };
            let mut span = span(self.trace, &clock, of_stage, name, from, to);
            span.parent_span_id = id(self.own);
            spans.push(span);
        }
        spans
    }
}

/// What a write of another node came to at this one, which leads; nothing where it does not say whose
/// part it is, in words of this version.
pub(super) fn spans_of(guest: &Guest) -> Vec<Span> {
    let word = guest.word.split_first_chunk::<16>();
    let Some((trace, parent)) = word.filter(|(_, parent)| parent.len() == 8) else {
        return Vec::new();
    };
    let Some(began) = guest.moments.queued else {
        return Vec::new();
    };
    let (trace, clock) = (u128::from_be_bytes(*trace), Clock::now());
    let mut own = span(trace, &clock, drawn(), LEAD, began, guest.left);
    own.kind = SERVER;
    own.parent_span_id = parent.to_vec();
    if !guest.is_done {
        own.status = Some(failed("it has no outcome here"));
    }
    let of = own.id.clone();
    let mut spans = vec![own];
    for (name, from, to) in stages(&guest.moments, guest.left) {
        let mut span = span(trace, &clock, drawn(), name, from, to);
        span.parent_span_id.clone_from(&of);
        spans.push(span);
    }
    spans
}

fn span(trace: u128, clock: &Clock, own: u64, name: &str, from: Instant, to: Instant) -> Span {
    Span {
        trace_id: trace.to_be_bytes().to_vec(),
        id: id(own),
        name: name.to_owned(),
        kind: INTERNAL,
        start_time_unix_nano: clock.unix(from),
        end_time_unix_nano: clock.unix(to.max(from)),
        ..Span::default()
    }
}

fn failed(why: &str) -> Outcome {
    Outcome {
        message: why.to_owned(),
        code: 2,
    }
}

fn drawn() -> u64 {
    rand::random_range(1..=u64::MAX)
}

fn id(span: u64) -> Vec<u8> {
    span.to_be_bytes().to_vec()
}

/// The rooms that a request passed, with when it came and went.
fn stages(moments: &Moments, end: Instant) -> Vec<(&'static str, Instant, Instant)> {
    let Moments {
        queued,
        handed_on,
        is_forwarded,
        logged,
        synced,
        committed,
        applied,
        asked,
        confirmed,
    } = *moments;
    let forwarded = handed_on.filter(|_| is_forwarded).map(|from| (from, end));
    let all = [
        ("queue", queued.zip(handed_on)),
        (FORWARD, forwarded),
        ("batch", handed_on.filter(|_| !is_forwarded).zip(logged)),
        ("log sync", logged.zip(synced)),
        ("replicate", logged.zip(committed)),
        ("apply", committed.zip(applied)),
        ("answer", applied.map(|from| (from, end))),
        ("read index", asked.zip(confirmed)),
        ("read", confirmed.map(|from| (from, end))),
    ];
    let passed = all.into_iter();
    passed
        .filter_map(|(name, times)| times.map(|(from, to)| (name, from, to)))
        .collect()
}

/// One moment on both clocks.
struct Clock {
    now: Instant,
    unix_ns: u64,
}

impl Clock {
    fn now() -> Clock {
        Clock {
            now: Instant::now(),
            unix_ns: unix_ns(),
        }
    }

    fn unix(&self, moment: Instant) -> u64 {
        let ago = self.now.saturating_duration_since(moment);
        self.unix_ns.saturating_sub(ago.as_nanos() as u64)
    }
}

fn unix_ns() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    since.map_or(0, |since| since.as_nanos() as u64)
}
