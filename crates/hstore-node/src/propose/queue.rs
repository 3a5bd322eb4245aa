//! The door of the queue: places and bytes are bounded, and who finds none is refused.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use hstore_core::outcome::Outcome;
use hstore_core::planted::{self, Bug};
use tokio::sync::{Semaphore, mpsc, oneshot};
use tokio::time::{Instant, timeout_at};

use super::pending::{Failure, Pending, Stage, Verdict};
use crate::error::NodeError;
use crate::follow::{self, Journey};

/// The largest proposal. An entry holds at least one, and a frame holds at least an entry.
pub(crate) const PROPOSAL_BYTES_MAX: usize = 8 * 1024 * 1024;

/// The longest that a proposal may wait, whatever its caller says.
const WAIT_MAX: Duration = Duration::from_mins(10);

/// How much may wait in a node.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Bounds {
    pub(crate) proposals_max: usize,
    pub(crate) bytes_max: usize,
}

/// The queue's door. Clones are the same door.
#[derive(Clone, Debug)]
pub(crate) struct Queue {
    bounds: Bounds,
    places: Arc<Semaphore>,
    bytes: Arc<Semaphore>,
    tx: mpsc::Sender<Pending>,
}

impl Queue {
    /// A door, and what comes through it.
    pub(super) fn new(bounds: Bounds) -> (Queue, mpsc::Receiver<Pending>) {
        // Every proposal in the channel holds a place, so the channel never fills before the
        // places run out.
        let (tx, rx) = mpsc::channel(bounds.proposals_max.max(1));
        let queue = Queue {
            bounds,
            places: Arc::new(Semaphore::new(bounds.proposals_max)),
            bytes: Arc::new(Semaphore::new(bounds.bytes_max)),
            tx,
        };
        (queue, rx)
    }

    /// How many proposals wait.
    pub(crate) fn waiting(&self) -> usize {
        self.bounds.proposals_max - self.places.available_permits()
    }

    /// Waits until nothing waits any more.
    pub(crate) async fn drained(&self) {
        let all = u32::try_from(self.bounds.proposals_max).unwrap_or(u32::MAX);
        // The semaphore is never closed.
        let _all = self.places.acquire_many(all).await;
    }

    /// Proposes for a caller of this node.
    pub(crate) async fn propose(
        &self,
        bytes: Bytes,
        repeatable: bool,
        deadline: Instant,
    ) -> Result<Outcome, NodeError> {
        let size = self.size(&bytes)?;
        let deadline = deadline.min(Instant::now() + WAIT_MAX);
        let place = self.places.clone().try_acquire_owned();
        let room = self.bytes.clone().try_acquire_many_owned(size);
        let (Ok(place), Ok(room)) = (place, room) else {
            return Err(NodeError::Overloaded);
        };
        let stage = Stage::default();
        let (answer, wait) = oneshot::channel();
        let pending = Pending {
            bytes,
            repeatable,
            from_peer: false,
            tainted: false,
            deadline,
            stage: stage.clone(),
            answer,
            journey: follow::current(),
            permits: (place, room),
        };
        pending.note(|moments, now| moments.queued = Some(now));
        if self.tx.send(pending).await.is_err() {
            return Err(NodeError::ShuttingDown);
        }
        let verdict = match timeout_at(deadline, wait).await {
            Ok(Ok(verdict)) => verdict,
            // The proposer is gone, or the deadline passed.
            Ok(Err(_closed)) if stage.abandon() => return Err(NodeError::ShuttingDown),
            Err(_elapsed) if stage.abandon() => Err(Failure::NoQuorum),
            Ok(Err(_)) | Err(_) => Err(Failure::Unknown),
        };
        verdict.map_err(|failure| match failure {
            Failure::NoQuorum | Failure::NotLeader => NodeError::NoQuorum,
            Failure::Unknown if planted::is(Bug::UnknownToldAsFailed) => NodeError::NoQuorum,
            Failure::Unknown => NodeError::OutcomeUnknown,
        })
    }

    /// Proposes for a peer, waiting for a place; the verdict comes through the receiver. None
    /// when the node is stopping or the proposal is too large.
    pub(super) async fn propose_for_peer(
        &self,
        bytes: Bytes,
        repeatable: bool,
        ttl: Duration,
        journey: Option<Arc<Journey>>,
    ) -> Option<oneshot::Receiver<Verdict>> {
        let size = self.size(&bytes).ok()?;
        let deadline = Instant::now() + ttl.min(WAIT_MAX);
        let place = self.places.clone().acquire_owned().await.ok()?;
        let room = self.bytes.clone().acquire_many_owned(size).await.ok()?;
        let (answer, wait) = oneshot::channel();
        let pending = Pending {
            bytes,
            repeatable,
            from_peer: true,
            tainted: false,
            deadline,
            stage: Stage::default(),
            answer,
            journey,
            permits: (place, room),
        };
        pending.note(|moments, now| moments.queued = Some(now));
        self.tx.send(pending).await.ok()?;
        Some(wait)
    }

    fn size(&self, bytes: &Bytes) -> Result<u32, NodeError> {
        let len = bytes.len();
        if len > PROPOSAL_BYTES_MAX || len > self.bounds.bytes_max {
            return Err(NodeError::TooLarge);
        }
        Ok(u32::try_from(len).unwrap_or(u32::MAX))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bounds() -> Bounds {
        Bounds {
            proposals_max: 2,
            bytes_max: 100,
        }
    }

    fn soon() -> Instant {
        Instant::now() + Duration::from_secs(1)
    }

    #[tokio::test(start_paused = true)]
    async fn a_proposal_that_nobody_takes_is_definitely_not_applied() {
        let (queue, _rx) = Queue::new(bounds());
        let refused = queue.propose(Bytes::from_static(b"x"), false, soon()).await;
        assert_eq!(refused, Err(NodeError::NoQuorum));
    }

    #[tokio::test(start_paused = true)]
    async fn a_proposal_that_was_handed_on_is_unknown_when_the_deadline_passes() {
        let (queue, mut rx) = Queue::new(bounds());
        let taking = async {
            let pending = rx.recv().await.expect("one was proposed");
            assert!(pending.stage.hand_on());
            pending
        };
        let proposing = queue.propose(Bytes::from_static(b"x"), false, soon());
        let (refused, _pending) = tokio::join!(proposing, taking);
        assert_eq!(refused, Err(NodeError::OutcomeUnknown));
    }

    #[tokio::test(start_paused = true)]
    async fn a_full_queue_refuses_and_a_settled_proposal_makes_room() {
        let (queue, mut rx) = Queue::new(bounds());
        let small = || Bytes::from_static(b"x");
        let first = queue.propose(small(), false, soon());
        let second = queue.propose(small(), false, soon());
        let checks = async {
            tokio::task::yield_now().await;
            let third = queue.propose(small(), false, soon()).await;
            assert_eq!(third, Err(NodeError::Overloaded));
            let pending = rx.recv().await.expect("two were proposed");
            pending.settle(Err(Failure::Unknown));
            assert_eq!(queue.waiting(), 1);
        };
        let (first, second, ()) = tokio::join!(first, second, checks);
        assert_eq!(first, Err(NodeError::OutcomeUnknown));
        assert_eq!(second, Err(NodeError::NoQuorum));
    }

    #[tokio::test(start_paused = true)]
    async fn bytes_are_bounded_too() {
        let (queue, _rx) = Queue::new(bounds());
        let sixty = Bytes::from_static(&[0; 60]);
        let first = queue.propose(sixty.clone(), false, soon());
        let second = async {
            tokio::task::yield_now().await;
            queue.propose(sixty.clone(), false, soon()).await
        };
        let (_first, second) = tokio::join!(first, second);
        assert_eq!(second, Err(NodeError::Overloaded));
        let huge = Bytes::from_static(&[0; 101]);
        let refused = queue.propose(huge, false, soon()).await;
        assert_eq!(refused, Err(NodeError::TooLarge));
    }
}
