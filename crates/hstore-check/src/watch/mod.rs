//! The laws of watches: what a watch was told is what the log has, all of it, once, in order.
//!
//! A watch is not linearizable and need not be: it may come late. But it is the store's history,
//! and from where it began to where it says that it is nothing may be missing. Each law is a file.
//! Those that need to know what happened hold the watch against the log of the history; what no log
//! covers is counted, not judged.
//!
//! Invariants: (1) a law looks at what was told and at the log, never at another law; (2) an answer
//! that came in pieces counts when its last piece came: what is left of it when a stream breaks is
//! told again by the next.

mod atomic;
mod bookmarkable;
mod case;
mod ending;
mod filter;
mod foreseen;
mod future;
mod ordered;
mod origin;
mod pairing;
mod previous;
mod reliable;
mod resumable;
mod timeline;
mod unique;

use crate::history::History;
use crate::violation::Violations;
use case::{Case, Found};
use timeline::Lore;

/// What the laws of watches have to say.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Findings {
    /// What is wrong.
    pub violations: Violations,
    /// Watches.
    pub watches: u64,
    /// Streams that the watches took.
    pub streams: u64,
    /// Events that were told.
    pub events: u64,
    /// Reports of progress.
    pub marks: u64,
    /// Events that no log covers: they were held against each other only.
    pub unchecked: u64,
}

/// One law: looks at one stream of a watch.
type Law = fn(&Case<'_>, &Lore<'_>, &mut Found<'_>);

/// Every law that looks at one stream at a time. `reliable` looks at all streams of a watch.
const LAWS: &[Law] = &[
    atomic::check,
    bookmarkable::check,
    ending::check,
    filter::check,
    foreseen::check,
    future::check,
    ordered::check,
    origin::check,
    pairing::check,
    previous::check,
    resumable::check,
    unique::check,
];

/// Judges all watches of a history.
pub fn judge(history: &History) -> Findings {
    let mut findings = Findings::default();
    if history.watches.is_empty() {
        return findings;
    }
    let lore = Lore::of(history);
    for watch in &history.watches {
        findings.watches += 1;
        let cases: Vec<Case<'_>> = watch
            .streams
            .iter()
            .map(|stream| Case::of(watch, stream))
            .collect();
        let mut found = Found::of(watch, &mut findings.violations);
        for case in &cases {
            for law in LAWS {
                law(case, &lore, &mut found);
            }
        }
        reliable::check(&cases, &lore, &mut found);
        for case in &cases {
            findings.streams += 1;
            findings.marks += case.marks().count() as u64;
            for (_, event) in case.events() {
                findings.events += 1;
                findings.unchecked += u64::from(!lore.covers(event.record.meta.mod_revision));
            }
        }
    }
    findings
}
