//! Many seeds of the simulation with the whole way from a program to a node: the client library,
//! HTTP/2, the doors. It is a test of `hstore-server`; here it is built fast and given seeds.
//!
//! Invariant: what fails there fails here.

use anyhow::Result;
use clap::Args;

use crate::shell;

/// The test that runs the seeds that the environment names.
const TEST: &str = "clients_get_what_was_promised_in_any_weather";

/// What `sim weather` takes.
#[derive(Args)]
pub(super) struct Options {
    /// How many seeds.
    #[arg(long, default_value_t = 100)]
    seeds: u64,
    /// The first seed.
    #[arg(long, default_value_t = 1)]
    from: u64,
    /// One seed alone.
    #[arg(long, conflicts_with_all = ["seeds", "from"])]
    seed: Option<u64>,
}

/// Builds the test and runs the seeds.
pub(super) fn run(options: &Options) -> Result<()> {
    let (from, seeds) = match options.seed {
        Some(seed) => (seed, 1),
        None => (options.from, options.seeds),
    };
    let what = ["test", "--package", "hstore-server", "--test", "weather"];
    shell::run(
        shell::cargo()
            .args(what)
            .args(["--profile", "sim", "--locked"])
            .args(["--", "--exact", TEST, "--nocapture"])
            .env("HSTORE_WEATHER_FROM", from.to_string())
            .env("HSTORE_WEATHER_SEEDS", seeds.to_string()),
    )
}
