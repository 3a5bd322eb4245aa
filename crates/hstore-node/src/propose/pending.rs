//! One proposal that waits for its outcome.
//!
//! Invariant: a caller that stops waiting learns in the same instant whether the proposal had
//! been handed on. The three states and who may change them:
//!   QUEUED -> HANDED      the proposer, just before the proposal leaves its hands
//!   HANDED -> QUEUED      the proposer, when it learned that the proposal is in no log
//!   QUEUED -> ABANDONED   the caller, when its deadline passes; the proposer then drops it

use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};

use bytes::Bytes;
use hstore_core::outcome::Outcome;
use hstore_core::planted::{self, Bug};
use tokio::sync::{OwnedSemaphorePermit, oneshot};
use tokio::time::Instant;

use crate::follow::{Journey, Moments};

const QUEUED: u8 = 0;
const HANDED: u8 = 1;
const ABANDONED: u8 = 2;

/// Why a proposal has no outcome.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Failure {
    /// It is in no log, and no leader with a quorum was found in time.
    NoQuorum,
    /// It is in no log: the node that got it does not lead.
    NotLeader,
    /// It may be in a log.
    Unknown,
}

/// Where a proposal stands, shared with its caller.
#[derive(Clone, Debug, Default)]
pub(super) struct Stage(Arc<AtomicU8>);

impl Stage {
    /// Hands the proposal on; false when its caller has gone.
    pub(super) fn hand_on(&self) -> bool {
        self.step(QUEUED, HANDED)
    }

    /// Takes the proposal back: it is in no log for certain.
    pub(super) fn take_back(&self) {
        self.0.store(QUEUED, Ordering::SeqCst);
    }

    /// The caller goes; false when the proposal had been handed on.
    pub(super) fn abandon(&self) -> bool {
        self.step(QUEUED, ABANDONED)
    }

    /// Whether the caller has gone before the proposal was handed on.
    pub(super) fn is_abandoned(&self) -> bool {
        self.0.load(Ordering::SeqCst) == ABANDONED
    }

    fn step(&self, from: u8, to: u8) -> bool {
        self.0
            .compare_exchange(from, to, Ordering::SeqCst, Ordering::SeqCst)
            .is_ok()
    }
}

/// What a proposal came to.
pub(super) type Verdict = Result<Outcome, Failure>;

/// One proposal that waits.
#[derive(Debug)]
pub(super) struct Pending {
    /// The encoded proposal.
    pub(super) bytes: Bytes,
    /// Whether it carries a request id, so that proposing it twice applies it once.
    pub(super) repeatable: bool,
    /// Whether another node sent it here because this one leads.
    pub(super) from_peer: bool,
    /// Whether an earlier attempt may be in a log: then it is handed on for ever, and whoever
    /// gives up waiting hears "unknown".
    pub(super) tainted: bool,
    /// When its caller stops waiting.
    pub(super) deadline: Instant,
    /// Where it stands.
    pub(super) stage: Stage,
    /// Who waits.
    pub(super) answer: oneshot::Sender<Verdict>,
    /// Its way, if it is followed.
    pub(super) journey: Option<Arc<Journey>>,
    /// Its place and its bytes in the bounded queue.
    pub(super) permits: (OwnedSemaphorePermit, OwnedSemaphorePermit),
}

impl Pending {
    /// Answers whoever waits, if somebody still does, and gives the place back.
    pub(super) fn settle(self, verdict: Verdict) {
        let _gone = self.answer.send(verdict);
        drop(self.permits);
    }

    /// Hands it on; false when its caller has gone.
    pub(super) fn hand_on(&self) -> bool {
        self.tainted || self.stage.hand_on()
    }

    /// Writes a moment down, if it is followed.
    pub(super) fn note(&self, note: impl FnOnce(&mut Moments, Instant)) {
        if let Some(journey) = &self.journey {
            journey.note(note);
        }
    }

    /// Takes it back after an attempt that is in no log.
    pub(super) fn take_back(&self) {
        if !self.tainted {
            self.stage.take_back();
        }
    }

    /// Takes it back after an attempt that may be in a log; none, and settled, when it must not
    /// be proposed again.
    pub(super) fn taint(mut self) -> Option<Pending> {
        let repeatable = self.repeatable || planted::is(Bug::ProposedAgainWithoutRequestId);
        if repeatable && !self.from_peer {
            self.tainted = true;
            return Some(self);
        }
        self.settle(Err(Failure::Unknown));
        None
    }

    /// The deadline has passed.
    pub(super) fn expire(self) {
        let failure = if self.tainted {
            Failure::Unknown
        } else {
            Failure::NoQuorum
        };
        self.settle(Err(failure));
    }

    /// Whether nobody waits any more.
    pub(super) fn is_over(&self) -> bool {
        self.answer.is_closed() || self.stage.is_abandoned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_caller_that_goes_knows_whether_its_proposal_was_handed_on() {
        let queued = Stage::default();
        assert!(queued.abandon());
        assert!(queued.is_abandoned());
        assert!(!queued.hand_on(), "an abandoned proposal must not leave");

        let handed = Stage::default();
        assert!(handed.hand_on());
        assert!(!handed.abandon(), "it may be in a log by now");

        let taken_back = Stage::default();
        assert!(taken_back.hand_on());
        taken_back.take_back();
        assert!(taken_back.abandon(), "it is in no log after all");
    }
}
