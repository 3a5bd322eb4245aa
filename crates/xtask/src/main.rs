//! The project's own tasks: `cargo xtask <task>`.
//!
//! What it is for: one place for every command that a contributor or CI types. What it must never
//! know: the inside of a node; it runs the binaries and reads the tree like anybody else.
//!
//! Invariants: (1) `verify` and `tidy` never write to the tree; (2) a failed step says what to do;
//! (3) every process that a task starts is gone when the task ends.
#![allow(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a tool for a terminal: its output is what it is for"
)]
#![allow(
    clippy::disallowed_methods,
    reason = "runs and times real processes on the real clock"
)]
#![cfg_attr(test, allow(clippy::unwrap_used, reason = "a failing test may panic"))]

mod bench;
mod chaos;
mod clients;
mod cluster;
mod count;
mod failover;
mod fleet;
mod interrupt;
mod page_check;
mod process;
mod rest_check;
mod shell;
mod sim;
mod tidy;
mod verify;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// Tasks of the hstore project.
#[derive(Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask", version, about)]
struct Arguments {
    #[command(subcommand)]
    task: Task,
}

#[derive(Subcommand)]
enum Task {
    /// Measure hstore beside etcd and write docs/benchmarks.md.
    Bench(bench::Options),
    /// Strike real nodes with real faults and judge what their clients saw.
    Chaos(chaos::Options),
    /// Run clients that others wrote, unchanged, against a cluster of three nodes.
    Clients(clients::Options),
    /// Start a cluster on this machine, show it working, kill its leader and show that it heals.
    Cluster(cluster::Options),
    /// Count the instructions of the small pieces of work that a request is made of, and hold them against
    /// docs/counts.txt.
    Count(count::Options),
    /// Measure how long no write succeeds when nodes fail or move, beside etcd.
    Failover(failover::Options),
    /// Format the tree and apply what clippy can mend by itself. Writes to the tree.
    Fix,
    /// Drive a real browser at the dashboard of a cluster that is started for it.
    PageCheck(page_check::Options),
    /// Ask a node for what its description of the API says, well and badly, some thousand times.
    RestCheck(rest_check::Options),
    /// Measure how the cost of hstore grows with the number of keys, and what its own work does to writes.
    Scale(bench::scale::Options),
    /// Run seeds of the simulator, or one seed, or take one apart.
    Sim(sim::Options),
    /// Build everything and run every test.
    Test(verify::TestOptions),
    /// Check the rules that no compiler knows: crate edges, sizes, heads, error pages, paths.
    Tidy,
    /// Everything that must hold before a change lands. Never writes to the tree.
    Verify(verify::Options),
}

fn main() -> ExitCode {
    let result = match Arguments::parse().task {
        Task::Bench(options) => bench::run(&options),
        Task::Chaos(options) => chaos::run(&options),
        Task::Clients(options) => clients::run(&options),
        Task::Cluster(options) => cluster::run(&options),
        Task::Count(options) => count::run(&options),
        Task::Failover(options) => failover::run(&options),
        Task::Fix => verify::fix(),
        Task::PageCheck(options) => page_check::run(&options),
        Task::RestCheck(options) => rest_check::run(&options),
        Task::Scale(options) => bench::scale::run(&options),
        Task::Sim(options) => sim::run(&options),
        Task::Test(options) => verify::test(&options),
        Task::Tidy => tidy::run(),
        Task::Verify(options) => verify::run(&options),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}
