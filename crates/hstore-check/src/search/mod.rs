//! The search: is there any order of the operations that explains their answers?
//!
//! It looks at times and values only, never at a revision or a version, so it judges also what the
//! witness has to believe. Each key is judged alone, since a history is linearizable only if it is
//! so for each key (Herlihy and Wing: Linearizability, 1990); what shows across keys is the
//! witness's to find.
//!
//! The method is Lowe's (Testing for linearizability, 2017) on the idea of Wing and Gong: go through
//! the events in time and keep every state that the key may be in, with the operations under way
//! that it already has in it. Equal states are kept once. An operation is put in only when its answer
//! arrives, or when another one needs it.
//!
//! Keys that were ever attached to a lease are not searched: they go by themselves.
//!
//! Invariants: (1) a violation is a proof: what is given up only ever allows more; (2) a key is
//! judged in windows, and one that is given up is counted as undecided.

mod frontier;
mod project;

use bytes::Bytes;

use crate::history::{History, OperationId};
use crate::violation::{Kind, Violations};
use crate::words;
use frontier::Frontier;
use project::KeyHistory;

/// How much a search may cost.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// A window ends after so many operations of a key.
    pub window_operations: u64,
    /// So many states may be looked at in one window; then it is undecided.
    pub steps_max: u64,
    /// So many states may be kept at once; then the window is undecided.
    pub states_max: usize,
}

impl Default for Limits {
    fn default() -> Limits {
        Limits {
            window_operations: 2000,
            steps_max: 50_000,
            states_max: 10_000,
        }
    }
}

/// What the search has to say.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Findings {
    /// Keys and operations that no order explains.
    pub violations: Violations,
    /// Keys that were searched.
    pub keys: u64,
    /// Operations that were searched, once for each key that they touch.
    pub operations: u64,
    /// Windows that were searched.
    pub windows: u64,
    /// Windows that were given up.
    pub undecided: u64,
}

/// Judges a history by its times and values.
pub fn judge(history: &History, limits: &Limits) -> Findings {
    let mut findings = Findings::default();
    for (key, key_history) in project::project(history) {
        findings.keys += 1;
        findings.operations += key_history.steps.len() as u64;
        judge_key(&key, &key_history, limits, &mut findings);
    }
    findings
}

fn judge_key(key: &Bytes, history: &KeyHistory, limits: &Limits, findings: &mut Findings) {
    let mut frontier = Frontier::new(history, limits);
    let (mut in_window, mut gave_up) = (0, false);
    for event in &history.events {
        match frontier.take(*event) {
            frontier::Verdict::Fine => {}
            frontier::Verdict::GaveUp => gave_up = true,
            frontier::Verdict::Impossible => {
                report(key, history, *event, findings);
                // What follows a contradiction proves nothing more.
                findings.windows += 1;
                return;
            }
        }
        in_window += u64::from(event.is_return);
        if in_window >= limits.window_operations {
            findings.windows += 1;
            findings.undecided += u64::from(gave_up);
            (in_window, gave_up) = (0, false);
            frontier.next_window();
        }
    }
    if in_window > 0 {
        findings.windows += 1;
        findings.undecided += u64::from(gave_up);
    }
}

fn report(key: &Bytes, history: &KeyHistory, event: project::Event, findings: &mut Findings) {
    let step = &history.steps[event.step as usize];
    let beside: Vec<OperationId> = history
        .overlapping(event.step)
        .map(|step| step.operation)
        .take(8)
        .collect();
    let id = step.operation;
    let involved: Vec<OperationId> = [id].into_iter().chain(beside).collect();
    findings.violations.push(Kind::NotLinearizable, &involved, None, || {
        format!(
            "no order of the operations on key {} explains the answer of operation {id}, which {}",
            words::quoted(key),
            history.described(event.step)
        )
    });
}
