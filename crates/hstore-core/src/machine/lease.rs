//! Leases: who promised to stay, and until when on the clock that all nodes share.
//!
//! A machine has no time. The leader stamps each log entry with its reading of the lease clock, a
//! count of milliseconds that goes on from leader to leader, and the newest stamp is "now" for
//! every lease. So a lease ends on all nodes at the same entry, a keep-alive that was acknowledged
//! is known to every later leader, and what is left of a lease survives any change of the leader.
//!
//! Invariants: (1) the clock never goes back; (2) a lease whose time is over is renewed by nobody:
//! it can only end; (3) a lease ends together with its keys, in one revision; (4) which keys are
//! attached to a lease is told by their newest records, so it is kept nowhere else.

use std::collections::{BTreeMap, BTreeSet};

use super::View;
use super::writer::Writer;
use crate::id::LeaseTime;
use crate::limits::LEASE_TTL_MIN_S;
use crate::outcome::{LeaseState, Refusal};
use crate::planted::{self, Bug};
use crate::record::Meta;

/// So many leases are remembered; one more is refused.
pub(super) const LEASES_MAX: usize = 200_000;

/// So many keys are removed by one command, unless those of one lease alone are more.
pub(super) const EXPIRED_KEYS_MAX: usize = 1024;

/// So many leases end by one command.
pub(super) const EXPIRED_LEASES_MAX: usize = 1024;

/// All leases, and the clock that they end by.
#[derive(Clone, Debug, Default)]
pub(super) struct Leases {
    pub(super) now: LeaseTime,
    pub(super) by_id: BTreeMap<i64, LeaseState>,
    /// Every lease once, under the time at which it ends.
    by_end: BTreeSet<(LeaseTime, i64)>,
}

impl Leases {
    /// Moves the clock on; whether it moved.
    pub(super) fn advance(&mut self, now: LeaseTime) -> bool {
        let moves = now > self.now;
        if moves {
            self.now = now;
        }
        moves
    }

    pub(super) fn contains(&self, lease: i64) -> bool {
        self.by_id.contains_key(&lease)
    }

    /// Makes a lease; the time to live in seconds that it got.
    pub(super) fn grant(&mut self, lease: i64, ttl: i64) -> Result<i64, Refusal> {
        if self.by_id.contains_key(&lease) {
            return Err(Refusal::LeaseExists);
        }
        if self.by_id.len() >= LEASES_MAX {
            return Err(Refusal::TooManyLeases);
        }
        let ttl = ttl.max(LEASE_TTL_MIN_S);
        let ends = self.now.after_seconds(ttl);
        self.insert(lease, LeaseState { ttl, ends });
        Ok(ttl)
    }

    /// Gives a lease its full time again; the time to live in seconds.
    pub(super) fn renew(&mut self, lease: i64) -> Result<i64, Refusal> {
        let Some(state) = self.by_id.get(&lease).copied() else {
            return Err(Refusal::LeaseNotFound);
        };
        if state.ends <= self.now {
            return Err(Refusal::LeaseNotFound);
        }
        if planted::is(Bug::LeaseRenewedInName) {
            return Ok(state.ttl);
        }
        let ends = self.now.after_seconds(state.ttl);
        self.remove(lease);
        self.insert(lease, LeaseState { ends, ..state });
        Ok(state.ttl)
    }

    /// A lease whose time is over.
    pub(super) fn first_due(&self) -> Option<i64> {
        let (ends, lease) = self.by_end.first()?;
        let early = if planted::is(Bug::LeaseEndsEarly) {
            1000
        } else {
            0
        };
        (ends.0 <= self.now.0 + early).then_some(*lease)
    }

    /// When the next lease ends.
    pub(super) fn next_end(&self) -> Option<LeaseTime> {
        self.by_end.first().map(|(ends, _)| *ends)
    }

    pub(super) fn insert(&mut self, lease: i64, state: LeaseState) {
        self.by_end.insert((state.ends, lease));
        self.by_id.insert(lease, state);
    }

    pub(super) fn remove(&mut self, lease: i64) {
        if let Some(state) = self.by_id.remove(&lease) {
            self.by_end.remove(&(state.ends, lease));
        }
    }
}

/// Writes a tombstone for every key of a lease; how many.
pub(super) fn detach<V: View>(writer: &mut Writer<'_, V>, lease: i64) -> usize {
    let mut keys = writer.view().attached(lease);
    if planted::is(Bug::LeaseKeysStay) {
        keys.clear();
    }
    let count = keys.len();
    for key in keys {
        writer.append(key, bytes::Bytes::new(), Meta::default());
    }
    count
}
