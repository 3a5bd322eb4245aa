//! How old history is: which revision was current when, by the clock that the log carries.
//!
//! A mark says "at this time the revision was this one", so all that was written later is younger.
//! Marks come with the stamps of the log, so every node has the same ones, a new leader goes on
//! with those of the former, and a restart forgets none.
//!
//! Invariants: (1) times and revisions of the marks grow; (2) there are at most `MARKS_MAX`; what
//! goes for a new one is what is least missed: the older the history, the wider the gaps may be.

use crate::id::{LeaseTime, Revision};

/// So many marks are kept.
pub(super) const MARKS_MAX: usize = 256;

/// Marks have at least so many milliseconds between them.
const MARK_EVERY_MS: u64 = 1000;

/// The revision that was current at a time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Mark {
    pub(super) time: LeaseTime,
    pub(super) revision: Revision,
}

#[derive(Clone, Debug, Default)]
pub(super) struct Ages {
    pub(super) marks: Vec<Mark>,
}

impl Ages {
    /// The clock moved on to `time` while `revision` is current.
    pub(super) fn note(&mut self, time: LeaseTime, revision: Revision) {
        if let Some(last) = self.marks.last() {
            let soon = time.0 < last.time.0.saturating_add(MARK_EVERY_MS);
            // A later mark of the same revision says less than the earlier one.
            if soon || revision <= last.revision {
                return;
            }
        }
        if self.marks.len() >= MARKS_MAX {
            self.thin_out(time);
        }
        self.marks.push(Mark { time, revision });
    }

    /// Drops the mark whose neighbours are nearest to each other for its age.
    fn thin_out(&mut self, now: LeaseTime) {
        let cost = |place: usize| {
            let gap = self.marks[place + 1].time.0 - self.marks[place - 1].time.0;
            let age = now.0.saturating_sub(self.marks[place].time.0).max(1);
            (u128::from(gap) << 64) / u128::from(age)
        };
        if let Some(place) = (1..self.marks.len() - 1).min_by_key(|place| cost(*place)) {
            self.marks.remove(place);
        }
    }

    /// The newest revision that is known to have been current at `time` or before it.
    pub(super) fn as_of(&self, time: LeaseTime) -> Option<Revision> {
        let until = self.marks.partition_point(|mark| mark.time <= time);
        until.checked_sub(1).map(|place| self.marks[place].revision)
    }

    /// Forgets marks that say nothing about what is left of the history.
    pub(super) fn compacted(&mut self, revision: Revision) {
        self.marks.retain(|mark| mark.revision > revision);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_current_at_a_time_is_never_told_too_new() {
        let mut ages = Ages::default();
        assert_eq!(ages.as_of(LeaseTime(u64::MAX)), None);
        // A write every 100 ms for a day: far more than there are marks.
        for step in 0..864_000_u64 {
            ages.note(LeaseTime(step * 100), Revision(step as i64 + 1));
        }
        assert_eq!(ages.marks.len(), MARKS_MAX);
        let now = 864_000 * 100;
        for age_s in [1, 10, 60, 600, 3600, 12 * 3600, 23 * 3600] {
            let at = now - age_s * 1000;
            let told = ages.as_of(LeaseTime(at)).map_or(0, |revision| revision.0);
            let true_one = (at / 100 + 1) as i64;
            assert!(told <= true_one, "{age_s}: {told} is too new");
            // A tenth of the age and two seconds too old at most; ten revisions are a second.
            let slack = age_s as i64 + 20;
            assert!(told >= true_one - slack, "{age_s}: {told} for {true_one}");
        }
    }

    #[test]
    fn quiet_times_and_compacted_history_cost_no_mark() {
        let mut ages = Ages::default();
        ages.note(LeaseTime(1000), Revision(5));
        ages.note(LeaseTime(5000), Revision(5));
        ages.note(LeaseTime(5500), Revision(6));
        ages.note(LeaseTime(5900), Revision(7));
        assert_eq!(ages.marks.len(), 2);
        assert_eq!(ages.as_of(LeaseTime(999)), None);
        assert_eq!(ages.as_of(LeaseTime(5499)), Some(Revision(5)));
        assert_eq!(ages.as_of(LeaseTime(5500)), Some(Revision(6)));
        ages.compacted(Revision(5));
        assert_eq!(ages.as_of(LeaseTime(5499)), None);
        assert_eq!(ages.marks.len(), 1);
    }
}
