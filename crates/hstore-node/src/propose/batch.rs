//! The proposals that wait for the next entry, and the rule of when it leaves.
//!
//! Invariants: (1) a proposal leaves in the order it came; (2) an entry is bounded in bytes and
//! in proposals, but holds at least one; (3) while an entry is in flight the next one leaves only
//! when it is full, so that proposals gather instead of making many small entries.

use std::collections::VecDeque;

use tokio::time::Instant;

use super::pending::{Failure, Pending};

/// The most bytes of proposals in an entry, unless the first alone is larger.
pub(super) const BATCH_BYTES_MAX: usize = 1024 * 1024;

/// The most proposals in an entry.
pub(super) const BATCH_PROPOSALS_MAX: usize = 1024;

/// From this many bytes on a batch counts as full and does not wait for the one in flight.
const FULL_BYTES: usize = 256 * 1024;

/// From this many proposals on a batch counts as full.
const FULL_PROPOSALS: usize = 512;

/// The most batches in flight; then even a full one waits.
pub(super) const IN_FLIGHT_MAX: usize = 8;

/// Proposals that wait for the next entry.
#[derive(Debug, Default)]
pub(super) struct Waiting {
    queue: VecDeque<Pending>,
    bytes: usize,
    /// How many of them peers sent.
    from_peers: usize,
}

impl Waiting {
    pub(super) fn push(&mut self, pending: Pending) {
        self.count_in(&pending);
        self.queue.push_back(pending);
    }

    /// Puts back what was handed on; it goes before everything that came later.
    pub(super) fn put_back(&mut self, batch: Vec<Pending>) {
        for pending in batch.into_iter().rev() {
            pending.take_back();
            self.count_in(&pending);
            self.queue.push_front(pending);
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.queue.is_empty()
    }

    /// Whether the next batch leaves while this many are in flight.
    pub(super) fn is_due(&self, in_flight: usize) -> bool {
        if self.queue.is_empty() || in_flight >= IN_FLIGHT_MAX {
            return false;
        }
        in_flight == 0 || self.bytes >= FULL_BYTES || self.queue.len() >= FULL_PROPOSALS
    }

    /// The next batch, each of it handed on.
    pub(super) fn take(&mut self) -> Vec<Pending> {
        let mut batch = Vec::new();
        let mut bytes = 0;
        while let Some(next) = self.queue.front() {
            let size = next.bytes.len();
            let full = bytes + size > BATCH_BYTES_MAX || batch.len() >= BATCH_PROPOSALS_MAX;
            if full && !batch.is_empty() {
                break;
            }
            let Some(next) = self.queue.pop_front() else {
                break;
            };
            self.bytes -= size;
            self.from_peers -= usize::from(next.from_peer);
            // Nobody waits for one whose caller has gone, and it has not been handed on.
            if !next.answer.is_closed() && next.hand_on() {
                next.note(|moments, now| moments.handed_on = Some(now));
                bytes += size;
                batch.push(next);
            }
        }
        batch
    }

    /// Sends back what peers sent: this node does not lead.
    pub(super) fn send_back(&mut self) {
        if self.from_peers == 0 {
            return;
        }
        for pending in self.drain() {
            if pending.from_peer {
                pending.settle(Err(Failure::NotLeader));
            } else {
                self.push(pending);
            }
        }
    }

    /// Drops what nobody waits for, and refuses what is past its deadline.
    pub(super) fn sweep(&mut self, now: Instant) {
        for pending in self.drain() {
            if pending.is_over() {
                continue;
            }
            if pending.deadline <= now {
                pending.expire();
            } else {
                self.push(pending);
            }
        }
    }

    fn drain(&mut self) -> VecDeque<Pending> {
        self.bytes = 0;
        self.from_peers = 0;
        std::mem::take(&mut self.queue)
    }

    fn count_in(&mut self, pending: &Pending) {
        self.bytes += pending.bytes.len();
        self.from_peers += usize::from(pending.from_peer);
    }
}
