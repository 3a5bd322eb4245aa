//! Sessions of clients: a request that is proposed twice is applied once (Raft thesis, section
//! 6.3).
//!
//! Invariants: (1) a request is new, repeated or refused, and every node says the same; (2) what is
//! forgotten is refused, never taken for new; (3) `by_use` names every session once, under the
//! index of its last use; (4) `bytes` is what the kept outcomes cost, and at most
//! `KEPT_BYTES_MAX`.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;

use crate::codec;
use crate::command::RequestId;
use crate::id::LogIndex;
use crate::outcome::{Outcome, Refusal};
use crate::planted::{self, Bug};

/// So many clients are remembered; the least recently used goes for a new one.
pub(super) const SESSIONS_MAX: usize = 4096;
/// So many outcomes are kept for one client; a further request is refused with `SessionFull` until
/// the client says that it has answers.
pub(super) const OUTCOMES_MAX: usize = 1024;
/// What all kept outcomes may cost; beyond it the least recently used clients are forgotten.
pub(super) const KEPT_BYTES_MAX: usize = 7 * 1024 * 1024;
/// A larger outcome is not kept: a repetition of its request is refused with `OutcomeForgotten`.
/// It is a small part of `KEPT_BYTES_MAX`, so that large outcomes do not make clients forgotten.
pub(super) const OUTCOME_BYTES_MAX: usize = 256 * 1024;
/// What keeping an outcome costs beside its bytes.
const OUTCOME_COST: usize = 64;

/// Whether a request may run.
pub(super) enum Admission {
    /// It was never seen: run it, then `keep` its outcome.
    New,
    /// It must not run, or cannot be told from one that ran.
    Refused(Refusal),
    /// It ran before, and this came of it.
    Repeated(Outcome),
}

#[derive(Clone, Debug, Default)]
pub(super) struct Sessions {
    pub(super) by_client: BTreeMap<u64, Session>,
    by_use: BTreeSet<(LogIndex, u64)>,
    /// The last use of any session that was forgotten.
    pub(super) evicted_up_to: Option<LogIndex>,
    bytes: usize,
}

#[derive(Clone, Debug, Default)]
pub(super) struct Session {
    pub(super) last_used: LogIndex,
    /// Requests below it have their answers; whatever else arrives of them is refused.
    pub(super) answered_below: u64,
    /// Encoded outcomes by sequence; empty bytes stand for one that was too large.
    pub(super) outcomes: BTreeMap<u64, Bytes>,
}

impl Session {
    fn cost(&self) -> usize {
        self.outcomes.values().map(cost).sum()
    }
}

fn cost(outcome: &Bytes) -> usize {
    OUTCOME_COST + outcome.len()
}

impl Sessions {
    /// Decides about a request that stands at `index`.
    pub(super) fn admit(&mut self, request: RequestId, index: LogIndex) -> Admission {
        if planted::is(Bug::RequestIdIgnored) {
            return Admission::New;
        }
        if !self.by_client.contains_key(&request.client) {
            if self
                .evicted_up_to
                .is_some_and(|evicted| request.born <= evicted)
            {
                return Admission::Refused(Refusal::SessionExpired);
            }
            self.create(request.client, index);
        }
        let Some(session) = self.by_client.get_mut(&request.client) else {
            // It was made just now; a refusal changes nothing in any case.
            return Admission::Refused(Refusal::SessionExpired);
        };
        if session.last_used < index {
            self.by_use.remove(&(session.last_used, request.client));
            self.by_use.insert((index, request.client));
            session.last_used = index;
        }
        // A request that waits for its answer cannot be below what is answered.
        let answered_below = request.answered_below.min(request.sequence);
        if answered_below > session.answered_below {
            session.answered_below = answered_below;
            let kept = session.outcomes.split_off(&answered_below);
            let dropped = std::mem::replace(&mut session.outcomes, kept);
            self.bytes -= dropped.values().map(cost).sum::<usize>();
        }
        if request.sequence < session.answered_below && !planted::is(Bug::AnsweredRequestRunsAgain)
        {
            return Admission::Refused(Refusal::OutcomeForgotten);
        }
        match session.outcomes.get(&request.sequence) {
            // Outcomes are decoded once before they are taken in, so the second arm only ever
            // meets the empty bytes of an outcome that was not kept.
            Some(outcome) => match codec::decode_outcome(outcome.clone()) {
                Ok(outcome) => Admission::Repeated(outcome),
                Err(_) => Admission::Refused(Refusal::OutcomeForgotten),
            },
            None if session.outcomes.len() >= OUTCOMES_MAX => {
                Admission::Refused(Refusal::SessionFull)
            }
            None => Admission::New,
        }
    }

    fn create(&mut self, client: u64, index: LogIndex) {
        if self.by_client.len() >= SESSIONS_MAX {
            self.evict_other_than(client);
        }
        let session = Session {
            last_used: index,
            ..Session::default()
        };
        self.by_client.insert(client, session);
        self.by_use.insert((index, client));
    }

    /// Keeps what came of a request that was admitted as new.
    pub(super) fn keep(&mut self, request: RequestId, outcome: Bytes) {
        let outcome = if outcome.len() > OUTCOME_BYTES_MAX {
            Bytes::new()
        } else {
            outcome
        };
        let Some(session) = self.by_client.get_mut(&request.client) else {
            return;
        };
        self.bytes += cost(&outcome);
        session.outcomes.insert(request.sequence, outcome);
        while self.bytes > KEPT_BYTES_MAX {
            if !self.evict_other_than(request.client) {
                self.thin_out(request.client);
            }
        }
    }

    /// Forgets the least recently used session but `client`, if there is one.
    fn evict_other_than(&mut self, client: u64) -> bool {
        let Some(oldest) = self
            .by_use
            .iter()
            .find(|(_, other)| *other != client)
            .copied()
        else {
            return false;
        };
        self.by_use.remove(&oldest);
        if let Some(session) = self.by_client.remove(&oldest.1) {
            self.bytes -= session.cost();
        }
        self.evicted_up_to = self.evicted_up_to.max(Some(oldest.0));
        true
    }

    /// Drops the bytes of all kept outcomes of a client that fills the whole room alone, but still
    /// knows that the requests ran. What is left costs `OUTCOMES_MAX * OUTCOME_COST` at most.
    fn thin_out(&mut self, client: u64) {
        if let Some(session) = self.by_client.get_mut(&client) {
            self.bytes -= session.cost();
            session.outcomes.values_mut().for_each(Bytes::clear);
            self.bytes += session.cost();
        }
    }

    /// Takes in a session that was written down. Says no to what `admit` and `keep` never make.
    pub(super) fn restore(&mut self, client: u64, session: Session) -> Result<(), &'static str> {
        if session.outcomes.len() > OUTCOMES_MAX || self.by_client.len() >= SESSIONS_MAX {
            return Err("more sessions or outcomes than there may be");
        }
        for outcome in session.outcomes.values().filter(|bytes| !bytes.is_empty()) {
            codec::decode_outcome(outcome.clone()).map_err(|_| "a damaged outcome in a session")?;
        }
        self.bytes += session.cost();
        self.by_use.insert((session.last_used, client));
        if self.bytes > KEPT_BYTES_MAX {
            return Err("more bytes of outcomes than there may be");
        }
        match self.by_client.insert(client, session) {
            None => Ok(()),
            Some(_) => Err("a session that is named twice"),
        }
    }
}
