//! The committed log, as the synced disks of the nodes showed it, entry by entry, before it was let
//! go.
//!
//! Invariant: an entry is taken from a log only up to an entry that is known to be committed and is
//! in that very log, so that nothing on the tape was ever taken back.

use std::collections::BTreeMap;

use bytes::Bytes;
use hstore_core::command::Proposal;
use hstore_core::id::LogIndex;
use hstore_node::proposals_of;

use crate::invariants::Sight;

/// What was committed, by index.
#[derive(Clone, Debug, Default)]
pub struct Tape {
    entries: BTreeMap<LogIndex, Bytes>,
}

impl Tape {
    /// Takes over what is committed and was not seen yet.
    pub fn take(&mut self, sight: &Sight) {
        let (Some(committed), Some(logs)) = (sight.committed(), &sight.logs) else {
            return;
        };
        for kept in logs.iter().filter(|kept| !kept.lost) {
            let Some(Ok(log)) = &kept.log else { continue };
            if log.at(committed.index) != Some(committed) {
                continue;
            }
            for ((id, _checksum), payload) in log.entries.iter().zip(&log.payloads) {
                if id.index <= committed.index {
                    let place = self.entries.entry(id.index);
                    place.or_insert_with(|| Bytes::copy_from_slice(payload));
                }
            }
        }
    }

    /// A log of these entries.
    #[cfg(test)]
    pub(super) fn of(entries: Vec<Vec<Proposal>>) -> Tape {
        let payload = |proposals: Vec<Proposal>| {
            let batch = hstore_core::codec::Batch {
                time: hstore_core::id::LeaseTime(0),
                proposals: proposals
                    .iter()
                    .map(hstore_core::codec::encode_proposal)
                    .collect(),
            };
            // Version and kind, as docs/formats.md has them.
            let mut bytes = vec![1, 1];
            bytes.extend_from_slice(&batch.encode());
            Bytes::from(bytes)
        };
        let entries = (1..).map(LogIndex).zip(entries.into_iter().map(payload));
        Tape {
            entries: entries.collect(),
        }
    }

    /// What was asked for, from the beginning of the log to the first entry that nobody saw.
    pub fn proposals(&self) -> impl Iterator<Item = (LogIndex, Vec<Option<Proposal>>)> {
        let first = self.entries.keys().next().map_or(0, |index| index.0);
        let whole = self
            .entries
            .iter()
            .zip(first..)
            .take_while(move |((index, _), expected)| first <= 1 && index.0 == *expected);
        whole.map(|((index, payload), _)| (*index, proposals_of(payload)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tape(indexes: &[u64]) -> Vec<u64> {
        let entries = indexes.iter().map(|n| (LogIndex(*n), Bytes::new()));
        let tape = Tape {
            entries: entries.collect(),
        };
        tape.proposals().map(|(index, _)| index.0).collect()
    }

    #[test]
    fn a_tape_ends_before_the_first_entry_that_nobody_saw() {
        assert_eq!(tape(&[0, 1, 2, 4, 5]), [0, 1, 2]);
        assert_eq!(tape(&[1, 2]), [1, 2]);
        assert!(tape(&[3, 4]).is_empty() && tape(&[]).is_empty());
    }
}
