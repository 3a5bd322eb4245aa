//! Loading: from blocks in position order to index and directory. Start-up and the installation of
//! a snapshot both come through here.
//!
//! Invariants: (1) every block is checked, whole; (2) what compaction already allowed to go does
//! not enter the index; (3) nothing that was loaded is believed before `finish` compared it with
//! the tally and the state.

use bytes::Bytes;

use hstore_core::id::Revision;
use hstore_core::planted::{self, Bug};
use hstore_core::record::Position;

use super::bookkeeping::{BookError, STATE_KEY, State, TALLY_KEY, Tally};
use super::directory::Directory;
use super::{RebuildReason, StoreFault, end_of};
use crate::blocks::{self, Block, Packed};
use crate::index::Index;

/// Index and directory on their way.
#[derive(Debug, Default)]
pub(super) struct Loader {
    pub(super) index: Index,
    pub(super) directory: Directory,
    last: Option<Position>,
}

impl Loader {
    /// Takes in a block; answers where it lies.
    pub(super) fn add(&mut self, bytes: &Bytes, compacted: Revision) -> Result<Packed, StoreFault> {
        let block = Block::decode(bytes).map_err(|error| {
            StoreFault::damaged(format!("a block after {:?}: {error}", self.last))
        })?;
        if self.last.is_some_and(|last| block.first() <= last) {
            return Err(StoreFault::damaged(format!(
                "two blocks hold {:?}",
                block.first()
            )));
        }
        let packed = Packed {
            first: block.first(),
            last: block.last(),
            records: block.entries().len() as u32,
            bytes: bytes.clone(),
        };
        self.last = Some(packed.last);
        self.directory.insert(&packed, packed.records);
        let directory = &mut self.directory;
        for entry in block.entries() {
            if planted::is(Bug::TombstoneLost) && entry.meta.is_tombstone() {
                continue;
            }
            self.index
                .load(block.key(entry), &entry.meta, compacted, &mut |position| {
                    directory.drop_record(position);
                });
        }
        Ok(packed)
    }
}

/// What the engine of the last run holds.
#[derive(Debug, Default)]
pub(super) struct EngineLoader {
    loader: Loader,
    state: Option<State>,
    tally: Tally,
    seen: Tally,
    /// Blocks beyond the state: a flush did not end.
    leftover: Vec<Position>,
    wrong: Option<RebuildReason>,
}

/// An engine's content, believed.
pub(super) struct Loaded {
    pub(super) loader: Loader,
    pub(super) state: State,
    /// The keys of blocks that do not count and must go before anything is written.
    pub(super) leftover: Vec<Position>,
    /// How many records all blocks hold, leftover ones included.
    pub(super) records: u64,
}

impl EngineLoader {
    /// Takes in one pair of the engine, in order; whether to go on.
    pub(super) fn visit(&mut self, key: &[u8], value: &[u8]) -> bool {
        if let Err(reason) = self.take(key, value) {
            self.wrong = Some(reason);
        }
        self.wrong.is_none()
    }

    fn take(&mut self, key: &[u8], value: &[u8]) -> Result<(), RebuildReason> {
        let reason = |error| match error {
            BookError::Damaged => RebuildReason::Damaged,
            BookError::TooNew => RebuildReason::TooNew,
        };
        let value = Bytes::copy_from_slice(value);
        if key == STATE_KEY {
            self.state = Some(State::decode(&value).map_err(reason)?);
            return Ok(());
        }
        if key == TALLY_KEY {
            self.tally = Tally::decode(&value).map_err(reason)?;
            return Ok(());
        }
        let last = blocks::parse_engine_key(key).ok_or(RebuildReason::Damaged)?;
        // Bookkeeping comes before all blocks. Without a state no flush has ended.
        let (revision, compacted) = self.state.as_ref().map_or_else(
            || (Revision(i64::MIN), Revision(0)),
            |state| (state.machine.revision(), state.machine.compacted()),
        );
        self.seen.blocks += 1;
        if last > end_of(revision) {
            let block = Block::decode(&value).map_err(|_| RebuildReason::Damaged)?;
            self.seen.records += block.entries().len() as u64;
            self.leftover.push(last);
            return Ok(());
        }
        let packed = self
            .loader
            .add(&value, compacted)
            .map_err(|_| RebuildReason::Damaged)?;
        self.seen.records += u64::from(packed.records);
        if packed.last == last {
            Ok(())
        } else {
            Err(RebuildReason::Damaged)
        }
    }

    /// What was loaded, if all of it was there and right.
    pub(super) fn finish(self) -> Result<Loaded, RebuildReason> {
        if let Some(reason) = self.wrong {
            return Err(reason);
        }
        if self.tally != self.seen {
            return Err(RebuildReason::Damaged);
        }
        // There is no state when the node ended before its first flush did.
        let state = self.state.unwrap_or_default();
        Ok(Loaded {
            loader: self.loader,
            state,
            leftover: self.leftover,
            records: self.seen.records,
        })
    }
}
