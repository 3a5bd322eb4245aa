//! The hash by which members compare what they hold as of a revision.
//!
//! Invariants: (1) it depends on nothing but the revision, the compaction point and what can be read
//! between the two: not on blocks, not on how far compaction has come, not on what was written
//! later; (2) it is computed in steps, between which nothing is locked; compaction waits.

use std::sync::Arc;

use bytes::Bytes;

use hstore_core::id::Revision;
use hstore_core::membership::Membership;
use hstore_core::outcome::Refusal;
use hstore_core::record::{Position, Record};

use super::walk::{Capture, Hold, Piece};
use super::{BEFORE_ALL, Store, StoreFault, end_of, fetch};
use crate::recent::RECORD_OVERHEAD_BYTES;

/// What two members compare.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KeyHash {
    /// The hash.
    pub hash: u32,
    /// As of this revision.
    pub revision: Revision,
    /// The oldest revision that was readable: two hashes with different ones say nothing.
    pub compacted: Revision,
    /// The current revision when the hash was begun.
    pub current: Revision,
}

/// A hash that is being computed.
pub struct HashWalk {
    hold: Hold<Arc<Store>>,
    capture: Capture,
    current: Revision,
    cursor: Position,
    hash: u32,
}

impl HashWalk {
    /// Begins; 0 is the current revision.
    pub fn begin(
        store: Arc<Store>,
        revision: Revision,
    ) -> Result<Result<HashWalk, Refusal>, StoreFault> {
        store.check()?;
        let hold = Hold::new(store);
        let (capture, current) = {
            let shared = hold.store().read();
            let current = shared.revision;
            let compacted = shared.compacted;
            if revision > current {
                return Ok(Err(Refusal::FutureRevision { current }));
            }
            if revision > Revision(0) && revision < compacted {
                return Ok(Err(Refusal::Compacted { compacted }));
            }
            let revision = if revision <= Revision(0) {
                current
            } else {
                revision
            };
            let in_use = shared.engine.as_ref().ok_or(StoreFault::Closed)?;
            let capture = Capture {
                applied: shared.applied,
                membership: Membership::default(),
                machine: Bytes::new(),
                revision,
                compacted,
                engine: in_use.number,
            };
            (capture, current)
        };
        Ok(Ok(HashWalk {
            hold,
            capture,
            current,
            cursor: BEFORE_ALL,
            hash: 0,
        }))
    }

    /// Goes on for about so many bytes; the hash when it is done. A store that was replaced
    /// meanwhile is [`StoreFault::Replaced`]: then the hash is begun again.
    pub fn step(&mut self, bytes_max: usize) -> Result<Option<KeyHash>, StoreFault> {
        let until = end_of(self.capture.revision);
        let mut bytes = 0;
        while bytes < bytes_max {
            let store = self.hold.store();
            let Some((piece, next)) = store.walk_on(&self.capture, self.cursor, until)? else {
                return Ok(Some(KeyHash {
                    hash: self.hash,
                    revision: self.capture.revision,
                    compacted: self.capture.compacted,
                    current: self.current,
                }));
            };
            self.cursor = next;
            match piece {
                Piece::Whole(found) => {
                    let block = fetch::decode(&found)?;
                    for entry in block.entries() {
                        bytes += self.take(&block.record(entry));
                    }
                }
                Piece::Records(records) => {
                    for record in &records {
                        bytes += self.take(record);
                    }
                }
            }
        }
        Ok(None)
    }

    /// Takes a record in; its bytes.
    fn take(&mut self, record: &Record) -> usize {
        let meta = &record.meta;
        let numbers = [
            meta.mod_revision.0,
            i64::from(meta.sub),
            meta.create_revision.0,
            meta.version,
            meta.lease,
            record.key.len() as i64,
            record.value.len() as i64,
        ];
        let mut hash = self.hash;
        for number in numbers {
            hash = crc32c::crc32c_append(hash, &number.to_le_bytes());
        }
        hash = crc32c::crc32c_append(hash, &record.key);
        self.hash = crc32c::crc32c_append(hash, &record.value);
        RECORD_OVERHEAD_BYTES + record.key.len() + record.value.len()
    }
}
