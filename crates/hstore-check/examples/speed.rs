//! How fast the judges are on a made up history.
//!
//! `cargo run --release -p hstore-check --example speed -- OPERATIONS CLIENTS KEYS UNKNOWN_PERCENT`
#![allow(
    clippy::print_stdout,
    clippy::disallowed_methods,
    reason = "a measurement"
)]

use std::time::Instant;

use hstore_check::generate::{self, Calls, Plan};
use hstore_check::history::History;
use hstore_check::{search, witness};

fn main() {
    let numbers: Vec<u64> = std::env::args()
        .skip(1)
        .map(|text| text.parse().expect("a number"))
        .collect();
    let [operations, clients, keys, unknown_percent] = numbers[..] else {
        panic!("OPERATIONS CLIENTS KEYS UNKNOWN_PERCENT");
    };
    let plan = Plan {
        clients,
        operations,
        keys,
        unknown_percent,
        calls: Calls::OneKey,
        ..Plan::default()
    };
    let history = timed("make", || generate::good(7, &plan));
    let testimony = timed("witness", || witness::judge(&history));
    assert!(testimony.violations.is_empty());
    let findings = timed("search", || {
        search::judge(&history, &search::Limits::default())
    });
    assert!(findings.violations.is_empty());
    println!(
        "{} of {} windows undecided",
        findings.undecided, findings.windows
    );
    let mut bytes = Vec::new();
    timed("write", || history.write(&mut bytes)).expect("memory takes every write");
    drop(history);
    let back = timed("read", || History::read(&bytes[..]));
    assert!(back.is_ok());
}

fn timed<T>(what: &str, work: impl FnOnce() -> T) -> T {
    let begun = Instant::now();
    let result = work();
    println!("{what:8} {:?}", begun.elapsed());
    result
}
