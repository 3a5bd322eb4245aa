//! The book of the demo's writes: what was acknowledged, what nobody knows, what was read back.
//!
//! Every key has one writer, and every write is a compare-and-set on the revision that the writer
//! knows, so the writes of a key are a chain: one that was acknowledged proves that the key was as
//! the write before it left it. A write whose outcome is unknown is settled by the next one: either
//! that one finds the key as expected, and the unknown one can never happen any more, or it
//! finds the unknown one done.
//!
//! Invariants: (1) a write counts as read back only after its own value was read at its own revision;
//! (2) what contradicts the book is a violation, whatever explains it; (3) of each key the newest
//! `KEPT_MAX` writes are kept, older ones only after they were read back.

use std::collections::VecDeque;

use serde::Serialize;

/// How many writes of a key are kept to be looked at again.
const KEPT_MAX: usize = 4096;
/// How many writes of a key may wait to be read back; then its writer waits.
const UNREAD_MAX: usize = 64;
/// How many violations are kept in words; further ones are counted.
const VIOLATIONS_MAX: usize = 32;

/// What is counted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub(super) struct Tally {
    /// Writes that the cluster acknowledged.
    pub(super) acknowledged: u64,
    /// Those of them whose value was read at its revision.
    pub(super) read_back: u64,
    /// Those of them that are not there any more.
    pub(super) lost: u64,
    /// Writes that were certainly not done.
    pub(super) refused: u64,
    /// Writes without an answer.
    pub(super) unknown: u64,
    /// Those of them that turned out to be done.
    pub(super) unknown_done: u64,
    /// Those of them that turned out not to be done.
    pub(super) unknown_not_done: u64,
}

/// A write that its writer is about to ask for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Write {
    /// The key.
    pub(super) key: String,
    /// The value: a number that no other write has.
    pub(super) number: u64,
    /// The revision that the key must have; 0 when it must not be there.
    pub(super) expect: i64,
}

/// What was found under a key: its revision and its value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Found {
    /// The revision that wrote it.
    pub(super) revision: i64,
    /// The value, if it is a number as ours are.
    pub(super) number: Option<u64>,
}

/// A write that happened.
#[derive(Clone, Copy, Debug)]
struct Entry {
    revision: i64,
    number: u64,
    acknowledged: bool,
    read_back: bool,
}

/// One key.
#[derive(Debug, Default)]
struct Chain {
    /// What happened, in order.
    entries: VecDeque<Entry>,
    /// The write that is asked for now.
    asked: Option<u64>,
    /// Writes with an unknown outcome since the last one that happened.
    maybes: Vec<u64>,
}

/// The book.
#[derive(Debug)]
pub(super) struct Ledger {
    chains: Vec<Chain>,
    next: u64,
    tally: Tally,
    violations: Vec<String>,
}

impl Ledger {
    /// A book of so many keys.
    pub(super) fn new(keys: usize) -> Ledger {
        Ledger {
            chains: (0..keys).map(|_| Chain::default()).collect(),
            next: 1,
            tally: Tally::default(),
            violations: Vec::new(),
        }
    }

    /// What is counted.
    pub(super) fn tally(&self) -> Tally {
        self.tally
    }

    /// What contradicts the book, in words.
    pub(super) fn violations(&self) -> &[String] {
        &self.violations
    }

    /// How many keys there are.
    pub(super) fn keys(&self) -> usize {
        self.chains.len()
    }

    /// The next write of a key; none while too many of it wait to be read back.
    pub(super) fn ask(&mut self, place: usize) -> Option<Write> {
        let chain = &mut self.chains[place];
        let unread = chain.entries.iter().filter(|entry| !entry.read_back);
        if unread.count() >= UNREAD_MAX {
            return None;
        }
        let number = self.next;
        self.next += 1;
        chain.asked = Some(number);
        Some(Write {
            key: key(place),
            number,
            expect: chain.entries.back().map_or(0, |entry| entry.revision),
        })
    }

    /// The write was acknowledged.
    pub(super) fn acknowledged(&mut self, place: usize, number: u64, revision: i64) {
        self.tally.acknowledged += 1;
        let last = self.chains[place].last_revision();
        if revision <= last {
            let what = format!(
                "{} was written at revision {revision}, after revision {last}",
                key(place)
            );
            self.violate(what);
        }
        let chain = &mut self.chains[place];
        chain.asked = None;
        // It found the key as expected, so none of these can happen any more.
        self.tally.unknown_not_done += chain.maybes.len() as u64;
        chain.maybes.clear();
        chain.push(Entry {
            revision,
            number,
            acknowledged: true,
            read_back: false,
        });
    }

    /// The write was certainly not done.
    pub(super) fn refused(&mut self, place: usize) {
        self.tally.refused += 1;
        self.chains[place].asked = None;
    }

    /// Nobody knows what became of the write.
    pub(super) fn unknown(&mut self, place: usize) {
        self.tally.unknown += 1;
        let chain = &mut self.chains[place];
        chain.maybes.extend(chain.asked.take());
    }

    /// The write was not done, because the key was not as expected but like this.
    pub(super) fn differs(&mut self, place: usize, found: Option<Found>) {
        self.chains[place].asked = None;
        self.settle(place, found);
    }

    /// The revision of each key that a read which begins now must see at least.
    pub(super) fn floor(&self) -> Vec<i64> {
        self.chains.iter().map(Chain::last_revision).collect()
    }

    /// A linearizable read, which began when the book stood at `floor`, found this under a key.
    pub(super) fn read(&mut self, place: usize, floor: i64, found: Option<&Found>) {
        match found {
            None if floor == 0 => return,
            Some(found) if found.revision >= floor => {
                let chain = &mut self.chains[place];
                if let Some(entry) = chain.entry(found.revision) {
                    let number = entry.number;
                    if found.number == Some(number) {
                        chain.see(found.revision, &mut self.tally);
                        return;
                    }
                } else if found.revision > chain.last_revision()
                    && found.number.is_some_and(|number| chain.may_be(number))
                {
                    // Its writer will hear of it, and then it is in the book.
                    return;
                }
            }
            _ => {}
        }
        self.lose(place, floor, &describe(found));
    }

    /// The keys of which older writes wait to be read back, which takes their history.
    pub(super) fn behind(&self) -> Vec<usize> {
        let is_behind = |chain: &Chain| {
            let older = chain.entries.len().saturating_sub(1);
            chain.entries.iter().take(older).any(|e| !e.read_back)
        };
        let places = self.chains.iter().enumerate();
        places
            .filter(|(_, chain)| is_behind(chain))
            .map(|(place, _)| place)
            .collect()
    }

    /// The oldest revision of a key that waits to be read back; `all` counts those that were, too.
    pub(super) fn oldest(&self, place: usize, all: bool) -> Option<i64> {
        let mut entries = self.chains[place].entries.iter();
        let oldest = entries.find(|entry| all || !entry.read_back)?;
        Some(oldest.revision)
    }

    /// A linearizable read of a key's history found these, newest first, and nothing else at
    /// revisions from `from` up to `floor`.
    pub(super) fn history(&mut self, place: usize, from: i64, floor: i64, found: &[Found]) {
        let entries: Vec<Entry> = self.chains[place]
            .entries
            .iter()
            .filter(|entry| entry.revision >= from && entry.revision <= floor)
            .copied()
            .collect();
        for entry in entries {
            let same = found.iter().find(|found| found.revision == entry.revision);
            if same.is_some_and(|found| found.number == Some(entry.number)) {
                self.chains[place].see(entry.revision, &mut self.tally);
            } else {
                self.lose(place, entry.revision, &describe(same));
            }
        }
    }

    /// Something was seen that must not be.
    pub(super) fn violate(&mut self, what: String) {
        if self.violations.len() < VIOLATIONS_MAX {
            self.violations.push(what);
        }
    }

    /// Finds out which of the unknown writes was done, since the key is not as the book has it.
    fn settle(&mut self, place: usize, found: Option<Found>) {
        let chain = &mut self.chains[place];
        let last = chain.last_revision();
        match &found {
            Some(Found {
                revision,
                number: Some(number),
            }) if *revision > last && chain.maybes.contains(number) => {
                self.tally.unknown_done += 1;
                self.tally.unknown_not_done += chain.maybes.len() as u64 - 1;
                chain.maybes.clear();
                chain.push(Entry {
                    revision: *revision,
                    number: *number,
                    acknowledged: false,
                    read_back: true,
                });
            }
            _ => {
                let was = describe(found.as_ref());
                self.lose(place, last, &was);
                // Go on from what is there, so that one loss is told once.
                if let Some(found) = found {
                    let chain = &mut self.chains[place];
                    chain.entries.clear();
                    chain.maybes.clear();
                    chain.push(Entry {
                        revision: found.revision,
                        number: found.number.unwrap_or(0),
                        acknowledged: false,
                        read_back: true,
                    });
                } else {
                    self.chains[place] = Chain::default();
                }
            }
        }
    }

    /// The write of a key at a revision is not there.
    fn lose(&mut self, place: usize, revision: i64, was: &str) {
        let chain = &mut self.chains[place];
        let entry = chain.entry(revision).copied();
        let wrote = entry.map_or_else(String::new, |entry| format!(" wrote {}, but", entry.number));
        if entry.is_some_and(|entry| entry.acknowledged) {
            self.tally.lost += 1;
        }
        // Told once.
        chain.entries.retain(|entry| entry.revision != revision);
        self.violate(format!(
            "{}: revision {revision}{wrote} the key was found {was}",
            key(place)
        ));
    }
}

impl Chain {
    fn last_revision(&self) -> i64 {
        self.entries.back().map_or(0, |entry| entry.revision)
    }

    fn entry(&self, revision: i64) -> Option<&Entry> {
        let place = self
            .entries
            .binary_search_by_key(&revision, |entry| entry.revision);
        self.entries.get(place.ok()?)
    }

    fn may_be(&self, number: u64) -> bool {
        self.asked == Some(number) || self.maybes.contains(&number)
    }

    fn see(&mut self, revision: i64, tally: &mut Tally) {
        let place = self
            .entries
            .binary_search_by_key(&revision, |entry| entry.revision);
        if let Some(entry) = place.ok().and_then(|place| self.entries.get_mut(place))
            && !entry.read_back
        {
            entry.read_back = true;
            tally.read_back += u64::from(entry.acknowledged);
        }
    }

    fn push(&mut self, entry: Entry) {
        self.entries.push_back(entry);
        while self.entries.len() > KEPT_MAX && self.entries.front().is_some_and(|e| e.read_back) {
            self.entries.pop_front();
        }
    }
}

/// The key at a place.
pub(super) fn key(place: usize) -> String {
    format!("{PREFIX}{place:02}")
}

/// What all keys of the demo's writes begin with.
pub(super) const PREFIX: &str = "demo/";

fn describe(found: Option<&Found>) -> String {
    match found {
        None => "gone".to_owned(),
        Some(Found { revision, number }) => {
            let number = number.map_or_else(|| "another value".to_owned(), |n| n.to_string());
            format!("as {number} of revision {revision}")
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(revision: i64, number: u64) -> Found {
        Found {
            revision,
            number: Some(number),
        }
    }

    /// A book in which key 0 was written at revisions 5 and 8.
    fn written() -> (Ledger, u64, u64) {
        let mut ledger = Ledger::new(2);
        let first = ledger.ask(0).unwrap();
        assert_eq!(first.expect, 0);
        ledger.acknowledged(0, first.number, 5);
        let second = ledger.ask(0).unwrap();
        assert_eq!(second.expect, 5);
        ledger.acknowledged(0, second.number, 8);
        (ledger, first.number, second.number)
    }

    #[test]
    fn what_is_read_at_its_revision_counts_as_read_back_once() {
        let (mut ledger, first, second) = written();
        assert_eq!(ledger.tally().acknowledged, 2);
        let floor = ledger.floor();
        assert_eq!(floor, [8, 0]);
        ledger.read(0, floor[0], Some(&found(8, second)));
        ledger.read(0, floor[0], Some(&found(8, second)));
        ledger.read(1, floor[1], None);
        assert_eq!(ledger.tally().read_back, 1);
        assert_eq!(ledger.behind(), [0], "the older write was not read");
        let history = [found(8, second), found(5, first)];
        ledger.history(0, 5, 8, &history);
        assert_eq!(ledger.tally().read_back, 2);
        assert!(ledger.behind().is_empty());
        assert!(ledger.violations().is_empty());
    }

    #[test]
    fn a_planted_lost_write_is_reported_however_it_is_looked_for() {
        type Look = fn(&mut Ledger, u64, u64);
        let looks: [(&str, Look); 6] = [
            ("gone", |ledger, _, _| ledger.read(0, 8, None)),
            ("an older value", |ledger, first, _| {
                ledger.read(0, 8, Some(&found(5, first)));
            }),
            ("another value", |ledger, _, _| {
                ledger.read(0, 8, Some(&found(8, 999)));
            }),
            ("a value that nobody wrote", |ledger, _, _| {
                ledger.read(0, 8, Some(&found(9, 999)));
            }),
            ("not in the history", |ledger, first, _| {
                ledger.history(0, 5, 8, &[found(5, first)]);
            }),
            ("the next write finds the one before", |ledger, first, _| {
                let _next = ledger.ask(0).unwrap();
                ledger.differs(0, Some(found(5, first)));
            }),
        ];
        for (what, look) in looks {
            let (mut ledger, first, second) = written();
            look(&mut ledger, first, second);
            assert_eq!(ledger.tally().lost, 1, "{what}");
            let told = ledger.violations();
            assert_eq!(told.len(), 1, "{what}: {told:?}");
            assert!(told[0].contains("demo/00"), "{what}: {told:?}");
            assert!(told[0].contains("revision 8"), "{what}: {told:?}");
        }
    }

    #[test]
    fn a_revision_that_does_not_grow_is_a_violation() {
        let (mut ledger, _, _) = written();
        let next = ledger.ask(0).unwrap();
        ledger.acknowledged(0, next.number, 8);
        assert_eq!(ledger.violations().len(), 1);
    }

    #[test]
    fn an_unknown_write_is_settled_by_the_next_one() {
        let (mut ledger, _, second) = written();
        let lost = ledger.ask(0).unwrap();
        ledger.unknown(0);
        // It may be there now or later, or never.
        ledger.read(0, 8, Some(&found(9, lost.number)));
        ledger.read(0, 8, Some(&found(8, second)));
        assert!(ledger.violations().is_empty());
        let next = ledger.ask(0).unwrap();
        assert_eq!(next.expect, 8);
        ledger.acknowledged(0, next.number, 10);
        let tally = ledger.tally();
        assert_eq!((tally.unknown, tally.unknown_not_done), (1, 1));
        // From now on it must not be there.
        ledger.read(0, 10, Some(&found(11, lost.number)));
        assert_eq!(ledger.violations().len(), 1);

        let (mut ledger, _, _) = written();
        let done = ledger.ask(0).unwrap();
        ledger.unknown(0);
        let _next = ledger.ask(0).unwrap();
        ledger.differs(0, Some(found(9, done.number)));
        let tally = ledger.tally();
        assert_eq!((tally.unknown, tally.unknown_done), (1, 1));
        assert_eq!(tally.acknowledged, 2, "nobody acknowledged it");
        assert!(ledger.violations().is_empty());
        assert_eq!(ledger.ask(0).unwrap().expect, 9);
    }

    #[test]
    fn a_refused_write_changes_nothing_and_must_not_show_up() {
        let (mut ledger, _, _) = written();
        let refused = ledger.ask(0).unwrap();
        ledger.refused(0);
        assert_eq!(ledger.tally().refused, 1);
        ledger.read(0, 8, Some(&found(9, refused.number)));
        assert_eq!(ledger.violations().len(), 1);
    }

    #[test]
    fn a_key_whose_writes_are_not_read_back_is_written_no_more() {
        let mut ledger = Ledger::new(1);
        for revision in 1..=UNREAD_MAX as i64 {
            let write = ledger.ask(0).unwrap();
            ledger.acknowledged(0, write.number, revision);
        }
        assert_eq!(ledger.ask(0), None);
        assert_eq!(ledger.oldest(0, false), Some(1));
        let last = UNREAD_MAX as i64;
        ledger.read(0, last, Some(&found(last, UNREAD_MAX as u64)));
        assert!(ledger.ask(0).is_some());
    }

    #[test]
    fn what_is_kept_is_bounded() {
        let mut ledger = Ledger::new(1);
        for revision in 1..=2 * KEPT_MAX as i64 {
            let write = ledger.ask(0).unwrap();
            ledger.acknowledged(0, write.number, revision);
            ledger.read(0, revision, Some(&found(revision, write.number)));
        }
        assert_eq!(ledger.chains[0].entries.len(), KEPT_MAX);
        assert_eq!(ledger.tally().read_back, 2 * KEPT_MAX as u64);
    }
}
