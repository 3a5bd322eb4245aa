//! What every case stands on: a world of its own, nodes in it, a journal of acknowledged writes.

mod clients;
mod journal;
mod memory;
mod mounts;
mod node;
mod notes;
pub(crate) mod ports;
mod wait;
mod world;

pub(crate) use clients::{
    Kv, authenticate, code_of, endpoint, maintenance, members, runtime, scan, status,
};
pub(crate) use journal::{Journal, Writers};
pub(crate) use memory::Peak;
pub(crate) use mounts::{Mount, loop_image, tmpfs};
pub(crate) use node::Node;
pub(crate) use notes::{can_run, not_run};
pub(crate) use wait::{SOON, until};
pub(crate) use world::{Done, World, cli_binary, server_binary};
