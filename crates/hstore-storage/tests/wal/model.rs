//! What the log must hold: a model that remembers every state since the last sync, and the driver
//! that does the same to the model and to the log.

use std::{collections::BTreeMap, path::Path, sync::Arc};

use bytes::Bytes;
use hstore_core::id::{LogId, LogIndex, NodeId, Term};
use hstore_storage::{
    disk::memory::MemoryDisk,
    wal::{LogEntry, Recovered, Wal, WalError, WalOptions},
};

pub(crate) const DIR: &str = "/node/wal";

/// Small segments and next to no tail, so that a short run crosses many borders.
pub(crate) const OPTIONS: WalOptions = WalOptions {
    segment_bytes: 4096,
    tail_bytes_max: 1000,
};

/// Splitmix64.
pub(crate) struct Dice(pub(crate) u64);

impl Dice {
    pub(crate) fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ (mixed >> 31)) % bound
    }
}

#[derive(Clone, Debug)]
pub(crate) enum Op {
    /// Adds entries with payloads of these lengths.
    Append(Vec<usize>),
    Vote(u64),
    /// Keeps this share (in percent) of the entries.
    Truncate(u64),
    TruncateAll,
    /// Purges this share (in percent) of the entries.
    Purge(u64),
    /// Purges this far beyond the end, as after a snapshot was installed.
    PurgeBeyond(u64),
    Sync,
}

impl Op {
    pub(crate) fn random(dice: &mut Dice) -> Op {
        match dice.below(20) {
            0..9 => Op::Append((0..dice.below(4)).map(|_| payload_len(dice)).collect()),
            9..11 => Op::Vote(dice.below(1000)),
            11 | 12 => Op::Truncate(dice.below(100)),
            13 if dice.below(5) == 0 => Op::TruncateAll,
            13 | 14 => Op::Purge(dice.below(101)),
            15 if dice.below(5) == 0 => Op::PurgeBeyond(dice.below(4)),
            _ => Op::Sync,
        }
    }
}

fn payload_len(dice: &mut Dice) -> usize {
    match dice.below(12) {
        0 => 0,
        1 => 5000,
        2..5 => dice.below(1500) as usize,
        _ => dice.below(100) as usize,
    }
}

/// One state of the log.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct State {
    pub(crate) vote: Option<Bytes>,
    pub(crate) purged: Option<LogId>,
    pub(crate) last: Option<LogId>,
    pub(crate) entries: BTreeMap<u64, LogEntry>,
}

impl State {
    fn recovered(&self) -> Recovered {
        Recovered {
            vote: self.vote.clone(),
            purged: self.purged,
            last: self.last,
        }
    }

    fn describe(&self) -> String {
        let text = |id: Option<LogId>| id.map(|id| format!("{}/{}", id.index, id.term));
        let (purged, last) = (text(self.purged), text(self.last));
        let vote = self.vote.as_ref().map(|vote| String::from_utf8_lossy(vote));
        let entries: Vec<_> = self
            .entries
            .values()
            .map(|entry| text(Some(entry.id)))
            .collect();
        format!("{vote:?} purged {purged:?} last {last:?} entries {entries:?}")
    }

    fn next(&self) -> u64 {
        self.last.map_or(0, |last| last.index.0 + 1)
    }

    /// The entry at a share of the kept ones.
    fn at(&self, percent: u64) -> Option<LogId> {
        let nth = self.entries.len() as u64 * percent / 100;
        self.entries
            .values()
            .nth(nth as usize)
            .map(|entry| entry.id)
    }

    fn purge(&mut self, upto: LogId) {
        self.entries.retain(|index, _| *index > upto.index.0);
        self.purged = Some(upto);
        if self.entries.is_empty() {
            self.last = Some(upto);
        }
    }

    fn truncate(&mut self, last: Option<LogId>) {
        self.last = last.or(self.purged);
        let next = self.next();
        self.entries.retain(|index, _| *index < next);
    }
}

/// The log beside its model.
pub(crate) struct Driver {
    pub(crate) disk: MemoryDisk,
    pub(crate) wal: Wal,
    /// Every state since the last sync; the first one is durable.
    pub(crate) states: Vec<State>,
    pub(crate) term: u64,
}

impl Driver {
    pub(crate) fn new(disk: &MemoryDisk) -> Result<Self, WalError> {
        Self::open(disk, &[State::default()], 1)
    }

    /// Opens the log, which must hold one of the states.
    pub(crate) fn open(disk: &MemoryDisk, states: &[State], term: u64) -> Result<Self, WalError> {
        let (wal, recovered) = Wal::open(Arc::new(disk.clone()), Path::new(DIR), OPTIONS)?;
        let found = State {
            entries: read_all(&wal),
            ..State::default()
        };
        let state = states
            .iter()
            .rev()
            .find(|state| state.recovered() == recovered && state.entries == found.entries)
            .unwrap_or_else(|| {
                let known: Vec<_> = states.iter().map(State::describe).collect();
                let found = State {
                    vote: recovered.vote,
                    purged: recovered.purged,
                    ..found
                };
                let found = State {
                    last: recovered.last,
                    ..found
                }
                .describe();
                panic!("found {found}\nwhich is none of {known:#?}")
            });
        Ok(Driver {
            disk: disk.clone(),
            wal,
            states: vec![state.clone()],
            term,
        })
    }

    pub(crate) fn state(&self) -> &State {
        self.states.last().unwrap()
    }

    /// Does an operation; its states are possible from now on also if it fails.
    pub(crate) fn apply(&mut self, op: &Op) -> Result<(), WalError> {
        let mut state = self.state().clone();
        match op {
            Op::Append(lengths) => {
                self.term += 1;
                let mut entries = Vec::new();
                for &length in lengths {
                    let entry = entry(state.next(), self.term, length);
                    state.last = Some(entry.id);
                    state.entries.insert(entry.id.index.0, entry.clone());
                    self.states.push(state.clone());
                    entries.push(entry);
                }
                self.wal.append(entries)
            }
            Op::Vote(number) => {
                let vote = Bytes::from(format!("vote {number}"));
                state.vote = Some(vote.clone());
                self.states.push(state);
                self.wal.save_vote(vote)
            }
            Op::Truncate(percent) => {
                let Some(last) = state.at(*percent) else {
                    return Ok(());
                };
                state.truncate(Some(last));
                self.states.push(state);
                self.wal.truncate_after(Some(last))
            }
            Op::TruncateAll => {
                state.truncate(None);
                self.states.push(state);
                self.wal.truncate_after(None)
            }
            Op::Purge(percent) => {
                let Some(upto) = state.at(*percent).or(state.last) else {
                    return Ok(());
                };
                self.purge(state, upto)
            }
            Op::PurgeBeyond(distance) => {
                let (index, term) = (LogIndex(state.next() + distance), Term(self.term));
                self.purge(
                    state,
                    LogId {
                        index,
                        term,
                        leader: NodeId(1),
                    },
                )
            }
            Op::Sync => {
                self.wal.sync()?;
                self.settled();
                Ok(())
            }
        }
    }

    /// Everything up to the last state is durable.
    pub(crate) fn settled(&mut self) {
        self.states.drain(..self.states.len() - 1);
    }

    /// Whatever the log says must be the last state.
    pub(crate) fn check(&self) {
        let state = self.wal.reader().state();
        assert_eq!(
            (state.purged, state.last),
            (self.state().purged, self.state().last)
        );
        assert_eq!(read_all(&self.wal), self.state().entries);
    }

    fn purge(&mut self, mut state: State, upto: LogId) -> Result<(), WalError> {
        if state
            .purged
            .is_some_and(|purged| purged.index >= upto.index)
        {
            return self.wal.purge(upto);
        }
        state.purge(upto);
        self.states.push(state);
        self.wal.purge(upto)?;
        self.settled();
        Ok(())
    }
}

pub(crate) fn entry(index: u64, term: u64, length: usize) -> LogEntry {
    let id = LogId {
        index: LogIndex(index),
        term: Term(term),
        leader: NodeId(term % 3),
    };
    let payload = (0..length).map(|at| (index as usize * 31 + term as usize * 7 + at) as u8);
    LogEntry {
        id,
        payload: payload.collect(),
    }
}

/// Every entry, read in pieces of varying size.
pub(crate) fn read_all(wal: &Wal) -> BTreeMap<u64, LogEntry> {
    let reader = wal.reader();
    let state = reader.state();
    let (Some(last), mut entries) = (state.last, BTreeMap::new()) else {
        return BTreeMap::new();
    };
    let mut next = match state.purged {
        Some(purged) => purged.index.0 + 1,
        // A log that was never purged may begin anywhere; these tests begin at 0.
        None => 0,
    };
    let mut bytes_max = 1;
    while next <= last.index.0 {
        let end = LogIndex(last.index.0 + 10);
        let piece = reader.read(LogIndex(next)..end, bytes_max).unwrap();
        assert!(
            !piece.is_empty(),
            "an entry that is in the log is always given"
        );
        for entry in piece {
            assert_eq!(entry.id.index.0, next, "never a hole");
            entries.insert(next, entry);
            next += 1;
        }
        bytes_max = bytes_max * 3 + 200;
    }
    entries
}
