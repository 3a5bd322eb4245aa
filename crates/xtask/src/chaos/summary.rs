//! What a run says at its end.
//!
//! Invariants: (1) what was not run is a line with its reason and a count of its own, and never
//! part of what went well; (2) the verdict is good only if nothing at all is wrong.

use std::fmt;
use std::time::Duration;

use anyhow::Result;
use hstore_check::judge::Report;
use hstore_check::rights::Findings;

use super::aftermath::Use;
use super::fault::Fault;
use super::nemesis::Tally;

/// How many violations are shown.
const SHOWN_MAX: usize = 10;
/// So many more open handles at the end than at the beginning are a leak.
const HANDLES_MORE_MAX: usize = 64;
/// So much more resident memory is a leak: beyond what caches and recent records may take.
const RESIDENT_MORE_MAX: u64 = 512 << 20;

/// Everything about a run.
#[derive(Clone, Debug, Default)]
pub(super) struct Summary {
    /// The seed of the plan.
    pub(super) seed: u64,
    /// How many nodes.
    pub(super) nodes: u32,
    /// How many clients.
    pub(super) clients: u64,
    /// How long faults were struck.
    pub(super) lasted: Duration,
    /// What was struck.
    pub(super) tally: Tally,
    /// What this machine cannot do, with the reason, and whether it was asked for by name.
    pub(super) not_run: Vec<(Fault, String, bool)>,
    /// What the judges say.
    pub(super) report: Report,
    /// What the judge of rights says.
    pub(super) rights: Findings,
    /// Fenced writes that were done, and that were not since the lock was lost.
    pub(super) fenced: (u64, u64),
    /// How many writes were acknowledged.
    pub(super) acknowledged: u64,
    /// What each node used at the beginning and at the end.
    pub(super) uses: Vec<(Use, Use)>,
    /// Everything else that is wrong, in words.
    pub(super) wrong: Vec<String>,
}

impl Summary {
    /// Whether nothing is wrong.
    pub(super) fn is_good(&self) -> bool {
        self.findings().is_empty()
    }

    /// Takes what something gave; its failure is one more thing that is wrong.
    pub(super) fn take<T>(&mut self, given: Result<T>) -> Option<T> {
        match given {
            Ok(given) => Some(given),
            Err(error) => {
                self.wrong.push(format!("{error:#}"));
                None
            }
        }
    }

    /// All that is wrong.
    fn findings(&self) -> Vec<String> {
        let mut found: Vec<String> = Vec::new();
        let mut violations = self.report.violations.clone();
        violations.join(self.rights.violations.clone());
        let shown = violations.kept().iter().take(SHOWN_MAX);
        found.extend(shown.map(ToString::to_string));
        if violations.count() as usize > SHOWN_MAX {
            found.push(format!("{} violations in all", violations.count()));
        }
        let told = &self.report;
        // Without a log that is wrong already.
        if told.log_entries > 0 && told.lock_unchecked > 0 {
            let (some, all) = (told.lock_unchecked, told.lock_grants);
            found.push(format!(
                "{some} of {all} grants of the lock are beyond the log"
            ));
        }
        found.extend(self.wrong.iter().cloned());
        found.extend(self.tally.ended.iter().cloned());
        if self.tally.ended_count > self.tally.ended.len() as u64 {
            let count = self.tally.ended_count;
            found.push(format!("nodes ended by themselves {count} times in all"));
        }
        for (place, (begin, end)) in self.uses.iter().enumerate() {
            if end.handles > begin.handles + HANDLES_MORE_MAX {
                let (from, to) = (begin.handles, end.handles);
                found.push(format!(
                    "n{}: open handles grew from {from} to {to}",
                    place + 1
                ));
            }
            if end.resident_bytes > begin.resident_bytes + RESIDENT_MORE_MAX {
                let (from, to) = (mib(begin.resident_bytes), mib(end.resident_bytes));
                found.push(format!(
                    "n{}: memory grew from {from} to {to} MiB",
                    place + 1
                ));
            }
        }
        let asked = self.not_run.iter().filter(|(_, _, by_name)| *by_name);
        for (fault, why, _) in asked {
            found.push(format!("{} was asked for and not run: {why}", fault.name()));
        }
        found
    }
}

fn mib(bytes: u64) -> u64 {
    bytes >> 20
}

impl fmt::Display for Summary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let told = &self.report;
        writeln!(
            f,
            "chaos: seed {}, {} nodes, {} clients, {:.0} s",
            self.seed,
            self.nodes,
            self.clients,
            self.lasted.as_secs_f64()
        )?;
        writeln!(
            f,
            "operations   {}: {} answered, {} refused, {} unknown ({} of them happened)",
            told.operations, told.answered, told.refused, told.unknown, told.resolved
        )?;
        writeln!(
            f,
            "judged       {} answers not compared by the witness, {} of {} windows undecided by \
             the search",
            told.unchecked, told.undecided, told.windows
        )?;
        writeln!(
            f,
            "watches      {} in {} streams, told {} events",
            told.watches, told.watch_streams, told.watch_events
        )?;
        let (done, lost) = self.fenced;
        writeln!(
            f,
            "locks        granted {} times ({} not compared), {done} fenced writes done, {lost} refused \
             to who had lost it",
            told.lock_grants, told.lock_unchecked
        )?;
        let rights = &self.rights;
        writeln!(
            f,
            "rights       {} changes and {} unknown; {} requests judged, {} denied, {} with a dead \
             token, {} undecided",
            rights.changes,
            rights.unknown,
            rights.judged,
            rights.denied,
            rights.dead,
            rights.undecided
        )?;
        writeln!(f, "writes       {} acknowledged", self.acknowledged)?;
        writeln!(
            f,
            "faults       {:<16} {:>8} {:>8}",
            "kind", "strikes", "victims"
        )?;
        for (fault, (strikes, victims)) in &self.tally.struck {
            writeln!(
                f,
                "             {:<16} {strikes:>8} {victims:>8}",
                fault.name()
            )?;
        }
        for ((fault, why), count) in &self.tally.missed {
            writeln!(
                f,
                "missed       {:<16} {count:>8} times: {why}",
                fault.name()
            )?;
        }
        for (fault, why, _) in &self.not_run {
            writeln!(f, "not run      {:<16} {why}", fault.name())?;
        }
        if !self.not_run.is_empty() {
            writeln!(f, "not run      {} kinds of fault", self.not_run.len())?;
        }
        for (place, (begin, end)) in self.uses.iter().enumerate() {
            writeln!(
                f,
                "n{:<11} memory {} -> {} MiB, open handles {} -> {}, segments {} -> {}",
                place + 1,
                mib(begin.resident_bytes),
                mib(end.resident_bytes),
                begin.handles,
                end.handles,
                begin.segments,
                end.segments
            )?;
        }
        let findings = self.findings();
        for finding in &findings {
            writeln!(f, "WRONG        {finding}")?;
        }
        match findings.len() {
            0 => write!(
                f,
                "verdict      good: linearizable, nothing acknowledged was lost, watches told \
                 all, locks and rights held"
            ),
            count => write!(f, "verdict      BAD: {count} findings"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_not_run_is_seen_and_is_bad_only_when_it_was_asked_for() {
        let mut summary = Summary {
            not_run: vec![(Fault::PowerOne, "no loop devices".to_owned(), false)],
            ..Summary::default()
        };
        assert!(summary.is_good());
        let text = summary.to_string();
        assert!(text.contains("not run      power-one"), "{text}");
        assert!(text.contains("not run      1 kinds"), "{text}");
        summary.not_run[0].2 = true;
        assert!(!summary.is_good());
        assert!(summary.to_string().contains("BAD: 1 findings"));
    }

    #[test]
    fn a_leak_a_dead_node_and_a_loss_are_bad() {
        let begin = Use {
            resident_bytes: 50 << 20,
            handles: 40,
            segments: 1,
        };
        let mut summary = Summary {
            uses: vec![(begin, begin)],
            ..Summary::default()
        };
        assert!(summary.is_good());
        summary.uses[0].1.handles = 140;
        summary.wrong.push("n1 lost a write".to_owned());
        summary.tally.ended.push("n2 ended".to_owned());
        assert!(summary.to_string().contains("BAD: 3 findings"));
    }
}
