//! Walks over all records in position order, as of one applied index, beside everything else that
//! goes on. Snapshots and hashes are walks.
//!
//! Invariants: (1) a walk sees each record that was readable when it began, once, in order, and
//! none that came later; (2) while it lasts nothing readable goes: [`Hold`]; (3) what it sees does
//! not depend on how blocks are cut or how far compaction has come.

use std::ops::Deref;

use bytes::Bytes;

use hstore_core::id::{LogId, Revision};
use hstore_core::membership::Membership;
use hstore_core::planted::{self, Bug};
use hstore_core::record::{Position, Record};

use super::fetch::{self, Found};
use super::{BEFORE_ALL, Store, StoreFault, end_of};
use crate::blocks::{Block, Entry};
use crate::engine::EngineNumber;

/// Bytes of recent records that are copied at a time.
const RECENT_STEP_BYTES: usize = 1024 * 1024;

/// Keeps compaction from taking records while it lives. What is readable when it is made stays.
pub(super) struct Hold<S: Deref<Target = Store>> {
    store: S,
}

impl<S: Deref<Target = Store>> Hold<S> {
    pub(super) fn new(store: S) -> Hold<S> {
        store.write().holds += 1;
        Hold { store }
    }

    /// The store that it holds.
    pub(super) fn store(&self) -> &Store {
        &self.store
    }
}

impl<S: Deref<Target = Store>> Drop for Hold<S> {
    fn drop(&mut self) {
        self.store.write().holds -= 1;
    }
}

/// The state of the store at one moment, but for the records.
pub(super) struct Capture {
    /// The last entry that was applied.
    pub(super) applied: Option<LogId>,
    /// The membership as of it.
    pub(super) membership: Membership,
    /// The machine as of it, encoded.
    pub(super) machine: Bytes,
    /// The revision as of it.
    pub(super) revision: Revision,
    /// The oldest readable revision as of it.
    pub(super) compacted: Revision,
    /// The engine of that moment: another one belongs to another state.
    pub(super) engine: EngineNumber,
}

/// What a walk meets.
pub(super) enum Piece {
    /// A block, all of whose records are seen.
    Whole(Found),
    /// Some records.
    Records(Vec<Record>),
}

impl Store {
    /// The state of this moment. Entries wait while the machine is encoded: milliseconds at worst.
    pub(super) fn capture(&self) -> Result<Capture, StoreFault> {
        let machine = self.lock_machine();
        let shared = self.read();
        let in_use = shared.engine.as_ref().ok_or(StoreFault::Closed)?;
        Ok(Capture {
            applied: shared.applied,
            membership: shared.membership.clone(),
            machine: machine.encode_state(),
            revision: shared.revision,
            compacted: shared.compacted,
            engine: in_use.number,
        })
    }

    /// Visits every record that is readable as of a capture. The caller holds a [`Hold`] that is
    /// as old as the capture.
    pub(super) fn walk(
        &self,
        _hold: &Hold<&Store>,
        capture: &Capture,
        visit: &mut dyn FnMut(Piece) -> Result<(), StoreFault>,
    ) -> Result<(), StoreFault> {
        let lacking = i64::from(planted::is(Bug::SnapshotOneRevisionShort));
        let until = end_of(Revision(capture.revision.0 - lacking));
        let mut cursor = BEFORE_ALL;
        while let Some((piece, next)) = self.walk_on(capture, cursor, until)? {
            cursor = next;
            visit(piece)?;
        }
        Ok(())
    }

    /// The next piece of a walk after a position, and where to go on; none when the walk is over.
    pub(super) fn walk_on(
        &self,
        capture: &Capture,
        cursor: Position,
        until: Position,
    ) -> Result<Option<(Piece, Position)>, StoreFault> {
        let step = loop {
            if cursor >= until {
                break None;
            }
            let found = self.find_block(|shared| shared.directory.next_after(cursor))?;
            let (piece, next) = if let Some(found) = found {
                let block = fetch::decode(&found)?;
                let kept = self.readable(&block, cursor, until, capture.compacted);
                let next = block.last();
                if kept.len() == block.entries().len() {
                    (Piece::Whole(found), next)
                } else {
                    let records = kept.into_iter().map(|entry| block.record(entry));
                    (Piece::Records(records.collect()), next)
                }
            } else {
                let shared = self.read();
                // A flush may have come between; then there is a block now.
                if shared.directory.next_after(cursor).is_some() {
                    continue;
                }
                let (mut records, _) = shared.recent.copy(cursor, until, RECENT_STEP_BYTES);
                let Some(next) = records.last().map(|last| last.meta.position()) else {
                    break None;
                };
                records.retain(|record| {
                    let meta = &record.meta;
                    meta.mod_revision >= capture.compacted
                        || shared
                            .index
                            .is_live(&record.key, meta.position(), capture.compacted)
                });
                (Piece::Records(records), next)
            };
            break Some((piece, next));
        };
        self.check_same(capture)?;
        Ok(step)
    }

    /// Fails when a snapshot was installed since the capture. The records of its store are the
    /// same, but it may lack old ones.
    fn check_same(&self, capture: &Capture) -> Result<(), StoreFault> {
        if self.in_use()?.number == capture.engine {
            Ok(())
        } else {
            Err(StoreFault::Replaced)
        }
    }

    /// The records of a block between two positions that are readable from `compacted` on.
    fn readable<'b>(
        &self,
        block: &'b Block,
        after: Position,
        until: Position,
        compacted: Revision,
    ) -> Vec<&'b Entry> {
        let within = block.entries().iter().filter(|entry| {
            let position = entry.meta.position();
            position > after && position <= until
        });
        // What was written at or after the compaction point needs no look into the index.
        if block.first().revision >= compacted {
            return within.collect();
        }
        let shared = self.read();
        let is_live = |entry: &&Entry| {
            entry.meta.mod_revision >= compacted
                || shared
                    .index
                    .is_live(block.key(entry), entry.meta.position(), compacted)
        };
        within.filter(is_live).collect()
    }
}
