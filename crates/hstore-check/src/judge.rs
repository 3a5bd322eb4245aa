//! Both judges on one history, and what they say in one report.

use std::fmt;

use crate::history::History;
use crate::search::{self, Limits};
use crate::violation::Violations;
use crate::witness;

/// So many violations are shown in the block for people; the others are counted.
const SHOWN_MAX: usize = 10;

/// What both judges say of a history.
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
    /// What is wrong.
    pub violations: Violations,
}

impl Report {
    /// Whether nothing is wrong. What was not decided is counted in `undecided` and `unchecked`.
    pub fn is_good(&self) -> bool {
        self.violations.is_empty()
    }
}

/// Judges a history by the witness and by the search.
pub fn judge(history: &History) -> Report {
    judge_within(history, &Limits::default())
}

/// Judges a history, with other limits for the search.
pub fn judge_within(history: &History, limits: &Limits) -> Report {
    let testimony = witness::judge(history);
    let findings = search::judge(history, limits);
    let mut violations = testimony.violations;
    violations.join(findings.violations);
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
