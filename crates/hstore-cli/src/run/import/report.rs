//! What became of the lines of an import.

use std::time::Duration;

use serde_json::{Value, json};

use crate::text;

/// What became of the lines of an import.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct ImportReport {
    /// Pairs that are stored.
    pub(crate) stored: u64,
    /// Lines that are not.
    pub(crate) failed: u64,
    /// Pairs that may or may not be stored, now or later.
    pub(crate) unknown: u64,
    /// The first failure, in words.
    pub(crate) first_failure: Option<String>,
    /// The line to go on with, when it ended early.
    pub(crate) resume_line: Option<u64>,
    /// The last line whose fate is known.
    pub(crate) last_line: u64,
    /// How long it took.
    pub(crate) elapsed: Duration,
}

impl ImportReport {
    pub(super) fn read_to(&mut self, line: u64) {
        self.last_line = self.last_line.max(line);
    }

    pub(super) fn failed(&mut self, line: u64, why: String) {
        self.failed += 1;
        self.read_to(line);
        self.resume_at(line);
        self.first_failure.get_or_insert(why);
    }

    pub(super) fn resume_at(&mut self, line: u64) {
        self.resume_line = Some(self.resume_line.map_or(line, |known| known.min(line)));
    }

    /// For people.
    pub(crate) fn sentence(&self) -> String {
        let mut parts = vec![format!("{} stored", text::count(self.stored, "pair"))];
        if self.failed > 0 {
            parts.push(format!(", {} failed", self.failed));
        }
        if self.unknown > 0 {
            parts.push(format!(", {} with an unknown outcome", self.unknown));
        }
        let seconds = self.elapsed.as_secs_f64();
        parts.push(format!(" in {seconds:.1} s"));
        if self.stored > 0 && seconds > 0.0 {
            parts.push(format!(" ({:.0} pairs/s)", self.stored as f64 / seconds));
        }
        if let Some(why) = &self.first_failure {
            parts.push(format!("; first failure: {why}"));
        }
        if let Some(line) = self.resume_line {
            parts.push(format!("; go on with --from-line {line}"));
        }
        parts.concat()
    }

    /// For programs.
    pub(crate) fn json(&self) -> Value {
        json!({
            "stored": self.stored,
            "failed": self.failed,
            "unknown": self.unknown,
            "first_failure": self.first_failure,
            "resume_line": self.resume_line,
            "last_line": self.last_line,
            "elapsed_ms": self.elapsed.as_millis() as u64,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_report_says_everything_that_is_needed_to_go_on() {
        let mut report = ImportReport {
            stored: 100,
            elapsed: Duration::from_secs(2),
            ..ImportReport::default()
        };
        assert_eq!(report.sentence(), "100 pairs stored in 2.0 s (50 pairs/s)");
        report.failed(9, "line 9: no".to_owned());
        report.failed(4, "line 4: no".to_owned());
        report.unknown = 3;
        assert_eq!(
            report.sentence(),
            "100 pairs stored, 2 failed, 3 with an unknown outcome in 2.0 s (50 pairs/s); \
             first failure: line 9: no; go on with --from-line 4"
        );
        assert_eq!(report.json()["resume_line"], 4);
        assert_eq!(report.json()["last_line"], 9);
    }
}
