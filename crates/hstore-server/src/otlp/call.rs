//! One call that is followed, and the spans that it comes to.
//!
//! Invariant: the span of the call is the parent of all others of it, and none is outside of it.

use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use hstore_node::{Journey, Moments};
use tokio::time::Instant;
use tonic::Code;

use super::context::Context;
use super::wire::{Attribute, Outcome, Span};

const INTERNAL: i32 = 1;
const SERVER: i32 = 2;

/// A call that is followed.
#[derive(Debug)]
pub(crate) struct Followed {
    trace: u128,
    own: u64,
    parent: Option<u64>,
    path: &'static str,
    began: Instant,
    pub(super) journey: Arc<Journey>,
}

impl Followed {
    /// A call begins.
    pub(super) fn begin(path: &'static str, context: Option<Context>, trace: u128) -> Followed {
        Followed {
            trace,
            own: rand::random_range(1..=u64::MAX),
            parent: context.map(|context| context.span),
            path,
            began: Instant::now(),
            journey: Arc::default(),
        }
    }

    /// What it comes to, as it ends now.
    pub(super) fn spans(&self, code: Code) -> Vec<Span> {
        let now = Instant::now();
        let clock = Clock {
            now,
            unix_ns: unix_ns(),
        };
        let name = self.path.trim_start_matches('/');
        let (service, method) = name.split_once('/').unwrap_or((name, ""));
        let mut own = self.span(&clock, self.own, name, self.began, now);
        own.kind = SERVER;
        own.parent_span_id = self.parent.map_or_else(Vec::new, id);
        own.attributes = vec![
            Attribute::text("rpc.system", "grpc"),
            Attribute::text("rpc.service", service),
            Attribute::text("rpc.method", method),
            Attribute::number("rpc.grpc.status_code", i64::from(code as i32)),
        ];
        if code != Code::Ok {
            own.status = Some(Outcome {
                message: code.description().to_owned(),
                code: 2,
            });
        }
        let mut spans = vec![own];
        for (name, from, to) in stages(&self.journey.moments(), now) {
            let mut span = self.span(&clock, rand::random_range(1..=u64::MAX), name, from, to);
            span.parent_span_id = id(self.own);
            spans.push(span);
        }
        spans
    }

    fn span(&self, clock: &Clock, own: u64, name: &str, from: Instant, to: Instant) -> Span {
        Span {
            trace_id: self.trace.to_be_bytes().to_vec(),
            id: id(own),
            name: name.to_owned(),
            kind: INTERNAL,
            start_time_unix_nano: clock.unix(from),
            end_time_unix_nano: clock.unix(to.max(from)),
            ..Span::default()
        }
    }
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
        ("forward", forwarded),
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
    fn unix(&self, moment: Instant) -> u64 {
        let ago = self.now.saturating_duration_since(moment);
        self.unix_ns.saturating_sub(ago.as_nanos() as u64)
    }
}

fn unix_ns() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    since.map_or(0, |since| since.as_nanos() as u64)
}
