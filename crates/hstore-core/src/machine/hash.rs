//! The running hash by which replicas notice that they differ.
//!
//! One step a proposal: the hash so far, the log index, the CRC32C and the length of the encoded
//! proposal and those of the encoded outcome are mixed into 64 bits. It finds faults, not forgers:
//! a single difference goes unnoticed once in 2^32, and a difference, once in, never leaves.

use crate::codec;
use crate::command::Proposal;
use crate::id::{LeaseTime, LogIndex};
use crate::outcome::Outcome;

/// A buffer that grew beyond this for one large proposal is given back.
const BUFFER_BYTES_MAX: usize = 64 * 1024;

/// Tells a step of the clock from one of a proposal: no log has so many entries.
const CLOCK: u64 = u64::MAX;

#[derive(Clone, Debug, Default)]
pub(super) struct StateHash {
    value: u64,
    /// For encodings that only the hash looks at; no part of the state.
    buffer: Vec<u8>,
}

impl StateHash {
    pub(super) fn resume(value: u64) -> StateHash {
        StateHash {
            value,
            buffer: Vec::new(),
        }
    }

    pub(super) fn value(&self) -> u64 {
        self.value
    }

    /// Takes in a proposal; one that could not be decoded has no bytes.
    pub(super) fn begin(&mut self, index: LogIndex, proposal: Option<&Proposal>) {
        self.buffer.clear();
        if let Some(proposal) = proposal {
            codec::encode_proposal_into(&mut self.buffer, proposal);
        }
        let digest = digest(&self.buffer);
        self.value = mix(mix(self.value, index.0), digest);
    }

    /// Takes in that the clock of the leases moved on.
    pub(super) fn clock(&mut self, now: LeaseTime) {
        self.value = mix(mix(self.value, CLOCK), now.0);
    }

    /// Takes in what came of it.
    pub(super) fn end(&mut self, outcome: &Outcome) {
        codec::encode_outcome_into(&mut self.buffer, outcome);
        self.value = mix(self.value, digest(&self.buffer));
        if self.buffer.capacity() > BUFFER_BYTES_MAX {
            self.buffer = Vec::new();
        }
    }

    /// Takes in what came of it, encoded already.
    pub(super) fn end_encoded(&mut self, outcome: &[u8]) {
        self.value = mix(self.value, digest(outcome));
        if self.buffer.capacity() > BUFFER_BYTES_MAX {
            self.buffer = Vec::new();
        }
    }
}

fn digest(bytes: &[u8]) -> u64 {
    ((bytes.len() as u64) << 32) ^ u64::from(crc32c::crc32c(bytes))
}

/// Two multiplications by odd numbers with shifts between: every bit in reaches every bit out.
fn mix(hash: u64, word: u64) -> u64 {
    let mut x = hash.rotate_left(23) ^ word;
    x = (x ^ (x >> 32)).wrapping_mul(0xd6e8_feb8_6659_fd93);
    x = (x ^ (x >> 32)).wrapping_mul(0xa0b4_28db_2c1e_9f67);
    x ^ (x >> 32)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::auth::Author;
    use crate::command::{Command, Compact};
    use crate::id::Revision;
    use crate::outcome::Reply;

    fn proposal(revision: i64) -> Proposal {
        Proposal {
            request: None,
            author: Author::Nobody,
            command: Command::Compact(Compact {
                revision: Revision(revision),
            }),
        }
    }

    fn outcome(revision: i64) -> Outcome {
        Outcome {
            revision: Revision(revision),
            result: Ok(Reply::Compact),
        }
    }

    fn step(former: u64, index: u64, proposal: Option<&Proposal>, outcome: &Outcome) -> u64 {
        let mut hash = StateHash::resume(former);
        hash.begin(LogIndex(index), proposal);
        hash.end(outcome);
        hash.value()
    }

    #[test]
    fn everything_that_is_taken_in_matters() {
        let same = step(1, 2, Some(&proposal(3)), &outcome(4));
        assert_eq!(same, step(1, 2, Some(&proposal(3)), &outcome(4)));
        let others = [
            step(0, 2, Some(&proposal(3)), &outcome(4)),
            step(1, 1, Some(&proposal(3)), &outcome(4)),
            step(1, 2, Some(&proposal(4)), &outcome(4)),
            step(1, 2, None, &outcome(4)),
            step(1, 2, Some(&proposal(3)), &outcome(3)),
        ];
        assert!(!others.contains(&same), "{same:x} {others:x?}");
    }

    #[test]
    fn an_outcome_counts_the_same_encoded_or_not() {
        let mut encoded = StateHash::resume(1);
        encoded.begin(LogIndex(2), Some(&proposal(3)));
        encoded.end_encoded(&codec::encode_outcome(&outcome(4)));
        let plain = step(1, 2, Some(&proposal(3)), &outcome(4));
        assert_eq!(encoded.value(), plain);
    }
}
