//! A cluster under bad weather, with everything that is between a program and a node: the client
//! library, HTTP/2 and gRPC on both ends, the doors for clients and for peers. The network, the
//! disks and the clock are simulated, and broken.
//!
//! One seed is one run in a process of its own, and the same seed is the same run.
//!
//! ```text
//! cargo nextest run -p hstore-server --test weather
//! HSTORE_WEATHER_SEEDS=200 HSTORE_WEATHER_FROM=1000 cargo nextest run ...     # other seeds
//! cargo xtask sim weather --seeds 1000                                        # many, and fast
//! ```
#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    clippy::disallowed_methods,
    clippy::disallowed_types,
    reason = "this is the world around the doors; it is a test, and a failing one panics"
)]

mod ask;
mod book;
mod child;
mod clients;
mod draw;
mod frames;
mod nemesis;
mod net;
mod place;
mod run;

use std::collections::BTreeMap;

use child::{run_all, run_here, seeds};

/// The child: runs the seed that the environment names, and prints its report.
#[test]
#[ignore = "it is what the other tests start; it runs one seed"]
fn one_seed() {
    run_here();
}

#[test]
fn clients_get_what_was_promised_in_any_weather() {
    let seeds = seeds();
    let reports = run_all(&seeds, "none");
    let mut struck: BTreeMap<String, u64> = BTreeMap::new();
    let (mut operations, mut broken, mut seconds, mut tasks) = (0, 0, 0.0, 0);
    for report in &reports {
        for (kind, count) in &report.struck {
            *struck.entry(kind.clone()).or_default() += count;
        }
        operations += report.operations;
        broken += report.broken;
        seconds += report.sim_seconds;
        tasks = tasks.max(report.tasks);
    }
    let count = |verdict: &str| reports.iter().filter(|r| r.verdict == verdict).count();
    println!(
        "weather: {} seeds, {} good, {} invalid; {seconds:.0} simulated seconds, {operations} \
         operations judged, {broken} connections broken in the middle of a write, at most {tasks} \
         tasks left in a node; struck: {struck:?}",
        reports.len(),
        count("ok"),
        count("invalid")
    );
    let bad = count("violation") + count("died");
    assert_eq!(bad, 0, "each line above says how to run its seed again");
    assert!(
        10 * count("invalid") <= reports.len(),
        "too many runs mean nothing"
    );
}

#[test]
fn the_same_seed_is_the_same_run() {
    let seeds = [3, 4];
    let (one, two) = (run_all(&seeds, "none"), run_all(&seeds, "none"));
    for (one, two) in one.iter().zip(&two) {
        assert_ne!(one.hash, "", "{one:?}");
        assert_eq!(one, two);
    }
    assert_ne!(one[0].hash, one[1].hash);
}

#[test]
fn a_client_that_lies_is_found_out() {
    for lie in ["blind", "stale"] {
        let found = (1..=30).any(|seed| {
            let reports = run_all(&[seed], lie);
            let mut reasons = reports.iter().flat_map(|report| &report.reasons);
            reasons.any(|why| why.starts_with("judge: ") || why.starts_with("twice: "))
        });
        assert!(found, "{lie}: nobody noticed");
    }
}
