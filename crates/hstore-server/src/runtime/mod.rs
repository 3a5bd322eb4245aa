//! The real world behind a node's ports: threads, files, the clock of this machine.

mod boot;
mod clock;
mod handles;
mod lanes;
mod panics;

pub(crate) use boot::mount_id;
pub(crate) use clock::SystemClock;
pub(crate) use handles::allow_all_handles;
pub(crate) use lanes::Threads;
pub(crate) use panics::{Last, abort_on_panic, panics_follow};
