//! The state machine: commands in, outcomes and records out.
//!
//! `apply` cannot fail but for a fault of the store below it, and then the node stops.

mod view;

pub use view::View;
