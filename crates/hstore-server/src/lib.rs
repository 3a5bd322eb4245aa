//! The server: settings, commands, doors and threads around one node, and the management of nodes
//! on this machine and elsewhere.
//!
//! This is the outermost room: sockets, files, threads, clocks and terminals are opened here and
//! handed down as ports. It must never hold a rule of the store.
#![allow(
    clippy::disallowed_methods,
    clippy::disallowed_types,
    reason = "this room is the real world: it opens what the deterministic rooms must not touch"
)]
#![cfg_attr(test, allow(clippy::unwrap_used, reason = "a test fails by panicking"))]

mod control;
mod fault;
mod grammar;
mod grpc;
mod logging;
mod peer;
mod place;
mod ports;
mod runtime;
mod screen;
mod settings;

/// Runs the program: reads the command line, does what it says, tells how it went.
pub fn main() -> std::process::ExitCode {
    std::process::ExitCode::SUCCESS
}
