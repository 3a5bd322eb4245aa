//! Whole clusters on a clock that the test moves: every run of one seed is the same run.

#![allow(
    clippy::unwrap_used,
    clippy::disallowed_methods,
    reason = "a test may panic, and it lives in the world that the node's ports lead to"
)]

mod auth;
mod determinism;
mod expected;
mod leases;
mod life;
mod locks;
mod membership;
mod room;
mod safety;
mod settings;
mod starts;
