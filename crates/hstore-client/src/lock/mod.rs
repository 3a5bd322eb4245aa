//! Locks and elections: keys that stand in line under a name, as etcd's own library does it. The
//! client waits itself, so that no node has to live for as long as the wait takes.
//!
//! What a lock is not: a promise that nobody else works. Whoever holds it can be paused or cut off
//! for longer than its lease lives, and go on writing when it wakes. Only what is compared in the
//! transaction that writes keeps such writes out: see [`Fence`].
//!
//! Invariants: (1) a lock is told to be held only after one linearizable read in which the own key
//! is as it was created and nobody's is older; (2) a session is called lost no later than the
//! cluster may end its lease, by a clock of this process that does not jump.

mod election;
mod fence;
mod held;
mod line;
mod session;

pub use election::{Leadership, Observation};
pub use fence::Fence;
pub use held::Held;
pub use session::Session;
