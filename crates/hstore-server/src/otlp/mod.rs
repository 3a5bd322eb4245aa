//! Traces over OTLP (gRPC): where the time of a call went, for a collector of OpenTelemetry.
//!
//! Off unless an endpoint is named. Invariants: (1) off costs one branch a call; (2) no call ever
//! waits for a span: the queue to the exporter is bounded, and a span that finds no place is counted
//! and dropped; (3) a collector that is slow or gone costs its spans and nothing else.

mod call;
mod context;
mod export;
#[cfg(test)]
mod tests;
mod wire;

use std::sync::{Arc, OnceLock};

use hstore_node::{Guest, Journey};
use hyper::HeaderMap;
use tokio::sync::mpsc;
use tonic::Code;

pub(crate) use call::Followed;
use context::Context;
pub(crate) use context::TRACEPARENT;
pub(crate) use export::{Exporter, endpoint};
use wire::Span;

use crate::meter::Counter;

/// Spans that were taken by a collector.
pub(crate) static EXPORTED: Counter = Counter::new();

/// Spans that were not: the queue was full, or the collector did not take them.
pub(crate) static DROPPED: Counter = Counter::new();

/// So many spans wait for the exporter; one more is dropped.
const QUEUE_MAX: usize = 4096;

/// So many of a million calls that nobody else traces.
pub(crate) const RATIO_ONE: u32 = 1_000_000;

/// Of this process; there is one node in it.
static TRACER: OnceLock<Tracer> = OnceLock::new();

/// Takes spans.
#[derive(Debug)]
pub(crate) struct Tracer {
    queue: mpsc::Sender<Span>,
    ratio: u32,
}

impl Tracer {
    /// A tracer, and what comes out of it. So many of a million calls are followed whose caller does
    /// not say whether they are.
    pub(crate) fn new(ratio: u32) -> (Tracer, mpsc::Receiver<Span>) {
        let (queue, spans) = mpsc::channel(QUEUE_MAX);
        (Tracer { queue, ratio }, spans)
    }

    /// Follows the calls of this process from now on.
    pub(crate) fn install(self) {
        // A process starts one node.
        let _there = TRACER.set(self);
    }

    fn begin(&self, path: &'static str, headers: &HeaderMap) -> Option<Followed> {
        let context = Context::of(headers);
        let trace = match context {
            Some(context) if !context.is_sampled => return None,
            Some(context) => context.trace,
            // The last bytes are the random ones, for whoever samples by them.
            None => rand::random_range(1..=u128::MAX),
        };
        let is_drawn = || {
            let of_a_million = (u64::from(trace as u32) * u64::from(RATIO_ONE)) >> 32;
            of_a_million < u64::from(self.ratio)
        };
        if context.is_none() && !is_drawn() {
            return None;
        }
        Some(Followed::begin(path, context, trace))
    }

    fn end(&self, followed: &Followed, code: Code) {
        self.tell(followed.spans(code));
    }

    fn tell(&self, spans: Vec<Span>) {
        for span in spans {
            if self.queue.try_send(span).is_err() {
                DROPPED.add_one();
            }
        }
    }
}

/// Whether this call is followed.
pub(crate) fn begin(path: &'static str, headers: &HeaderMap) -> Option<Followed> {
    TRACER.get()?.begin(path, headers)
}

/// Makes spans of the writes of other nodes; ends with the node.
pub(crate) async fn tell_guests(mut guests: mpsc::Receiver<Guest>) {
    while let Some(guest) = guests.recv().await {
        if let Some(tracer) = TRACER.get() {
            tracer.tell(call::spans_of(&guest));
        }
    }
}

impl Followed {
    /// Its way.
    pub(crate) fn journey(&self) -> Arc<Journey> {
        Arc::clone(&self.journey)
    }

    /// It is over.
    pub(crate) fn end(&self, code: Code) {
        if let Some(tracer) = TRACER.get() {
            tracer.end(self, code);
        }
    }

    /// Runs the call to its end as one that is followed. `code` says how it ended.
    pub(crate) async fn run<T>(
        self,
        call: impl Future<Output = T>,
        code: impl FnOnce(&T) -> Code,
    ) -> T {
        let answer = hstore_node::follow(self.journey.clone(), call).await;
        self.end(code(&answer));
        answer
    }
}
