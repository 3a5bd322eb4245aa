//! hstore on real processes, real files and real sockets: what a person and a bad day do to it.
//!
//! One binary, so that it links once. Every case starts its own processes in its own folder with
//! its own registry of running nodes, and leaves nothing behind.
//!
//! Invariants: (1) no fixed port, no shared folder, no retry of a failed check; (2) waiting is
//! always for a condition with a deadline, never for a time; (3) a case that the machine cannot run
//! says "not run" where a person sees it, and is never counted as passed in silence.
#![allow(
    clippy::unwrap_used,
    clippy::print_stderr,
    clippy::disallowed_methods,
    reason = "tests of processes run on real clocks and threads, and a failing one panics"
)]

mod backup;
mod bad_days;
mod bad_input;
mod catch_up;
mod cli;
mod demo;
mod doctor;
mod etcd;
mod floods;
mod flows;
mod harness;
mod import;
mod import_tls;
mod kills;
mod locks;
mod power;
mod quota;
mod ranges;
mod real_input;
mod settings;
mod supervised;
mod top;
mod traces;
mod users;
mod watch;
