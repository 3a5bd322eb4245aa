//! What is counted on the way, for `/metrics` and for the vitals of the node.
//!
//! A process is one node, and what is counted here belongs to the process: its calls, its bytes, its
//! disk. What the node knows of itself is not here; the page asks the node.
//!
//! Invariants: (1) to count is a few relaxed atomics: no lock, no allocation, nothing that waits;
//! (2) what there is to count is known when the program is built, or bounded by [`PEERS_MAX`]; (3)
//! no number here decides anything.

mod calls;
mod disk;
mod histogram;
mod peers;
mod timing;
mod versions;

use std::sync::atomic::{AtomicU64, Ordering};

pub(crate) use calls::{CALLS, CODES, Call, MethodMeter, Told, received};
pub(crate) use disk::MeteredDisk;
pub(crate) use histogram::{Histogram, Snapshot};
pub(crate) use peers::{PEERS, PeerMeter};
pub(crate) use timing::Times;
pub(crate) use versions::client_versions;

/// How long the log's files took to sync, in seconds.
pub(crate) static LOG_SYNC: Histogram<14> = Histogram::new(DISK_BOUNDS);

/// How long all other files took to sync, in seconds.
pub(crate) static FILE_SYNC: Histogram<14> = Histogram::new(DISK_BOUNDS);

/// How long the store took to be written down, in seconds.
pub(crate) static STORE_COMMIT: Histogram<14> = Histogram::new(DISK_BOUNDS);

/// How often another leader was seen.
pub(crate) static LEADER_CHANGES: Counter = Counter::new();

/// How many proposals of this node's clients failed.
pub(crate) static PROPOSALS_FAILED: Counter = Counter::new();

/// etcd's bounds for its disk: from a millisecond, doubling.
const DISK_BOUNDS: [f64; 14] = [
    0.001, 0.002, 0.004, 0.008, 0.016, 0.032, 0.064, 0.128, 0.256, 0.512, 1.024, 2.048, 4.096,
    8.192,
];

/// A number that only grows.
#[derive(Debug)]
pub(crate) struct Counter(AtomicU64);

impl Counter {
    /// Nothing yet.
    pub(crate) const fn new() -> Counter {
        Counter(AtomicU64::new(0))
    }

    /// One more.
    pub(crate) fn add_one(&self) {
        self.add(1);
    }

    /// So many more.
    pub(crate) fn add(&self, more: u64) {
        // No other memory hangs on this number, so no order is needed.
        self.0.fetch_add(more, Ordering::Relaxed);
    }

    /// How many.
    pub(crate) fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}
