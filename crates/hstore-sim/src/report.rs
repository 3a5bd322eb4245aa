//! What came of one run, as one line of JSON.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// Whether the run says something, and what.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// Everything held, and enough happened for that to mean something.
    Ok,
    /// Everything held, but too little happened.
    Invalid,
    /// Something did not hold.
    Violation,
}

/// What came of one run.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Report {
    /// The seed.
    pub seed: u64,
    /// The scenario.
    pub scenario: String,
    /// The verdict.
    pub verdict: Verdict,
    /// What did not hold, or what was missing.
    pub reasons: Vec<String>,
    /// How many nodes there were in the beginning.
    pub nodes: usize,
    /// Simulated seconds.
    pub sim_seconds: f64,
    /// Operations that the judge looked at.
    pub ops: u64,
    /// Writes that were acknowledged.
    pub writes: u64,
    /// Reads that were answered.
    pub reads: u64,
    /// Operations whose outcome is unknown.
    pub unknown: u64,
    /// Windows of a key's history that the search went through.
    pub windows: u64,
    /// Windows that the search gave up: they are neither good nor bad.
    pub undecided: u64,
    /// Faults that had an effect.
    pub struck: BTreeMap<String, u64>,
    /// Streams of watches that were judged.
    pub watch_streams: u64,
    /// Events that watches were told.
    pub watch_events: u64,
    /// Answers that were held against the committed log.
    pub log_judged: u64,
    /// Of those, refusals for want of rights.
    pub denied: u64,
    /// Requests that met a lack of room.
    pub full: u64,
    /// Changes of settings that were acknowledged and are in the log.
    pub settings: u64,
    /// How often the laws looked.
    pub looks: u64,
    /// How many lines the trace has.
    pub trace_lines: u64,
    /// The hash of the trace, hexadecimal.
    pub trace_hash: String,
}
