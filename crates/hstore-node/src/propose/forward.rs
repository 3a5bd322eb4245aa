//! One stream of proposals to one leader.
//!
//! Invariants: (1) every proposal on the stream is answered, taken back or given up as unknown;
//! (2) when the stream breaks, only what carries a request id may go to a leader again.

use std::collections::BTreeMap;

use bytes::Bytes;
use hstore_core::codec::decode_outcome;
use hstore_core::id::NodeId;
use tokio::time::Instant;

use super::pending::{Failure, Pending};
use super::wire::{DONE, NOT_PROPOSED, Pull, Push, PushItem};
use crate::env::Duplex;
use crate::peer::{encode, read_frame};

/// An open stream to a leader.
pub(super) struct Stream {
    pub(super) leader: NodeId,
    /// When another leader took over, if one did: from then on only answers come.
    pub(super) retired: Option<Instant>,
    duplex: Duplex,
    next_id: u64,
    next_frame: u64,
    /// Proposals without a verdict, by number, with the frame they went in.
    in_flight: BTreeMap<u64, (u64, Pending)>,
    /// How many of each frame have no verdict.
    frames: BTreeMap<u64, usize>,
}

/// What came of a stream.
pub(super) enum Event {
    /// These are in no log.
    TakenBack(Vec<Pending>),
    /// Verdicts came.
    Settled,
    /// The stream broke.
    Broken,
}

impl Stream {
    pub(super) fn new(leader: NodeId, duplex: Duplex) -> Stream {
        Stream {
            leader,
            retired: None,
            duplex,
            next_id: 0,
            next_frame: 0,
            in_flight: BTreeMap::new(),
            frames: BTreeMap::new(),
        }
    }

    /// How many frames have no verdict yet.
    pub(super) fn frames_in_flight(&self) -> usize {
        self.frames.len()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.in_flight.is_empty()
    }

    /// Sends a batch; gives it back when the stream takes no more.
    pub(super) fn send(&mut self, batch: Vec<Pending>) -> Result<(), Vec<Pending>> {
        let Ok(place) = self.duplex.tx.try_reserve() else {
            return Err(batch);
        };
        let now = Instant::now();
        let frame = self.next_frame;
        self.next_frame += 1;
        self.frames.insert(frame, batch.len());
        let mut items = Vec::with_capacity(batch.len());
        for pending in batch {
            let id = self.next_id;
            self.next_id += 1;
            let ttl = pending.deadline.saturating_duration_since(now);
            items.push(PushItem {
                id,
                ttl_ms: ttl.as_millis() as u64,
                repeatable: pending.repeatable,
                proposal: pending.bytes.clone(),
                word: pending
                    .journey
                    .as_ref()
                    .map_or_else(Bytes::new, |journey| journey.word()),
            });
            self.in_flight.insert(id, (frame, pending));
        }
        place.send(encode(&Push { items }));
        Ok(())
    }

    /// The next thing that happens. Cancel safe: it only receives.
    pub(super) async fn next(&mut self) -> Event {
        let pull: Option<Pull> = read_frame(&mut self.duplex.rx).await;
        let Some(pull) = pull else {
            return Event::Broken;
        };
        let mut taken_back = Vec::new();
        for item in pull.items {
            let Some((frame, pending)) = self.in_flight.remove(&item.id) else {
                continue;
            };
            self.answered(frame);
            match item.failure {
                DONE => match decode_outcome(item.outcome) {
                    Ok(outcome) => pending.settle(Ok(outcome)),
                    Err(error) => {
                        tracing::warn!("a verdict is not understood: {error}");
                        pending.settle(Err(Failure::Unknown));
                    }
                },
                NOT_PROPOSED => taken_back.push(pending),
                _ => pending.settle(Err(Failure::Unknown)),
            }
        }
        if taken_back.is_empty() {
            Event::Settled
        } else {
            Event::TakenBack(taken_back)
        }
    }

    fn answered(&mut self, frame: u64) {
        if let Some(left) = self.frames.get_mut(&frame) {
            *left -= 1;
            if *left == 0 {
                self.frames.remove(&frame);
            }
        }
    }

    /// Gives up the places of those whose callers have gone.
    pub(super) fn sweep(&mut self) {
        let over: Vec<u64> = self
            .in_flight
            .iter()
            .filter(|(_id, (_frame, pending))| pending.is_over())
            .map(|(id, _)| *id)
            .collect();
        for id in over {
            if let Some((frame, _pending)) = self.in_flight.remove(&id) {
                self.answered(frame);
            }
        }
    }

    /// Ends the stream: what may be proposed again comes back, the rest is unknown.
    pub(super) fn end(self) -> Vec<Pending> {
        self.in_flight
            .into_values()
            .filter_map(|(_frame, pending)| pending.taint())
            .collect()
    }
}
