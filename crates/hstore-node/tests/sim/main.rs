//! Whole clusters on a clock that the test moves: every run of one seed is the same run.

#![allow(
    clippy::unwrap_used,
    clippy::disallowed_methods,
    reason = "a harness may panic, and it is the world that the node's ports lead to"
)]

mod determinism;
mod life;
mod membership;
mod net;
mod safety;
mod starts;
mod world;
