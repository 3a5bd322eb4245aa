//! All judges on one history, and what they say in one report.

use std::fmt;

use crate::history::History;
use crate::search::{self, Limits};
use crate::violation::Violations;
use crate::{lock, watch, witness};

/// So many violations are shown in the block for people; the others are counted.
const SHOWN_MAX: usize = 10;

/// What all judges say of a history.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Report {
    /// Operations of the history.
    pub operations: u64,
    /// Operations with an answer.
    pub answered: u64,
    /// Operations that were refused.
    pub refused: u64,
    /// Operations whose outcome is unknown.
    pub unknown: u64,
    /// Unknown writes that were found to have happened.
    pub resolved: u64,
    /// Entries of the log that came with the history.
    pub log_entries: u64,
    /// Answers that the witness could not compare, for want of a log.
    pub unchecked: u64,
    /// Windows that were searched.
    pub windows: u64,
    /// Windows in which the search was given up. They are neither good nor bad.
    pub undecided: u64,
    /// Watches of the history.
    pub watches: u64,
    /// Streams of watches.
    pub watch_streams: u64,
    /// Events that watches were told.
    pub watch_events: u64,
    /// Reports of progress that watches were told.
    pub watch_marks: u64,
    /// Events that could not be compared with a log.
    pub watch_unchecked: u64,
    /// Locks of the history.
    pub locks: u64,
    /// How often somebody was told to hold one.
    pub lock_grants: u64,
    /// What holders wrote with their tokens.
    pub lock_writes: u64,
    /// Grants that could not be compared with a log.
    pub lock_unchecked: u64,
    /// What is wrong.
    pub violations: Violations,
}

impl Report {
    /// Whether nothing is wrong. What was not decided is counted in `undecided` and `unchecked`.
    pub fn is_good(&self) -> bool {
        self.violations.is_empty()
    }
}

/// Judges a history by the witness, by the search, and by the laws of watches and of locks.
pub fn judge(history: &History) -> Report {
    judge_within(history, &Limits::default())
}

/// Judges a history, with other limits for the search.
pub fn judge_within(history: &History, limits: &Limits) -> Report {
    let testimony = witness::judge(history);
    let findings = search::judge(history, limits);
    let watched = watch::judge(history);
    let locked = lock::judge_history(history);
    let mut violations = testimony.violations;
    violations.join(findings.violations);
    violations.join(watched.violations);
    violations.join(locked.violations);
    Report {
        operations: history.operations.len() as u64,
        answered: testimony.answered,
        refused: testimony.refused,
        unknown: testimony.unknown,
        resolved: testimony.resolved,
        log_entries: history.log.len() as u64,
        unchecked: testimony.unchecked,
        windows: findings.windows,
        undecided: findings.undecided,
        watches: watched.watches,
        watch_streams: watched.streams,
        watch_events: watched.events,
        watch_marks: watched.marks,
        watch_unchecked: watched.unchecked,
        locks: locked.locks,
        lock_grants: locked.grants,
        lock_writes: locked.writes,
        lock_unchecked: locked.unchecked,
        violations,
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "operations  {} ({} answered, {} refused, {} unknown)",
            self.operations, self.answered, self.refused, self.unknown
        )?;
        writeln!(
            f,
            "witness     {} unknown resolved, {} log entries, {} answers not compared",
            self.resolved, self.log_entries, self.unchecked
        )?;
        writeln!(
            f,
            "search      {} windows, {} undecided",
            self.windows, self.undecided
        )?;
        if self.watches > 0 {
            writeln!(
                f,
                "watches     {} ({} streams, {} events, {} reports of progress), {} events not \
                 compared",
                self.watches,
                self.watch_streams,
                self.watch_events,
                self.watch_marks,
                self.watch_unchecked
            )?;
        }
        if self.locks > 0 {
            writeln!(
                f,
                "locks       {} ({} grants, {} fenced writes), {} grants not compared",
                self.locks, self.lock_grants, self.lock_writes, self.lock_unchecked
            )?;
        }
        let kept = self.violations.kept();
        for violation in kept.iter().take(SHOWN_MAX) {
            writeln!(f, "violation   {violation}")?;
        }
        let shown = kept.len().min(SHOWN_MAX) as u64;
        let hidden = self.violations.count() - shown;
        if hidden > 0 {
            writeln!(f, "            and {hidden} more")?;
        }
        match self.violations.count() {
            0 => write!(f, "verdict     good"),
            1 => write!(f, "verdict     1 violation"),
            n => write!(f, "verdict     {n} violations"),
        }
    }
}
