//! The directory of blocks: which positions each block of the engine holds and how many of its
//! records are alive. It knows neither keys nor the engine.
//!
//! Invariants: (1) blocks do not overlap, and their order is that of positions; (2) `live` counts
//! the records that are in the index; (3) a block number is used once, so that a decoded block in
//! the cache is never taken for the one that replaced it; (4) `dirty` names exactly the blocks that
//! hold a record which is not alive, and `live` counts the records that are.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Bound;

use hstore_core::record::Position;

use crate::blocks::Packed;

/// What is known of one block.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct BlockInfo {
    /// Names the block in the cache.
    pub(crate) number: u64,
    /// The position of its first record.
    pub(crate) first: Position,
    /// The position of its last record, and its key in the engine.
    pub(crate) last: Position,
    /// How many records it holds.
    pub(crate) records: u32,
    /// How many of them are in the index.
    pub(crate) live: u32,
    /// How many bytes it takes.
    pub(crate) bytes: u32,
}

impl BlockInfo {
    /// The part of its bytes that its living records take, about.
    fn live_bytes(&self) -> u64 {
        let share = u64::from(self.bytes) * u64::from(self.live);
        share.checked_div(u64::from(self.records)).unwrap_or(0)
    }
}

/// All blocks of the engine.
#[derive(Debug, Default)]
pub(crate) struct Directory {
    blocks: BTreeMap<Position, BlockInfo>,
    records: u64,
    live: u64,
    bytes: u64,
    live_bytes: u64,
    next_number: u64,
    dirty: BTreeSet<Position>,
}

impl Directory {
    /// Adds a block with so many live records.
    pub(crate) fn insert(&mut self, packed: &Packed, live: u32) {
        let info = BlockInfo {
            number: self.next_number,
            first: packed.first,
            last: packed.last,
            records: packed.records,
            live,
            bytes: packed.bytes.len() as u32,
        };
        self.next_number += 1;
        self.records += u64::from(info.records);
        self.live += u64::from(info.live);
        self.bytes += u64::from(info.bytes);
        self.live_bytes += info.live_bytes();
        if info.live < info.records {
            self.dirty.insert(info.last);
        }
        let before = self.blocks.insert(info.last, info);
        debug_assert!(before.is_none(), "a block is removed before it is replaced");
    }

    /// Forgets a block.
    pub(crate) fn remove(&mut self, last: Position) {
        if let Some(info) = self.blocks.remove(&last) {
            self.records -= u64::from(info.records);
            self.live -= u64::from(info.live);
            self.bytes -= u64::from(info.bytes);
            self.live_bytes -= info.live_bytes();
            self.dirty.remove(&last);
        }
    }

    /// The block that holds a position, if one does.
    pub(crate) fn locate(&self, position: Position) -> Option<BlockInfo> {
        let (_, info) = self.blocks.range(position..).next()?;
        (info.first <= position).then_some(*info)
    }

    /// The first block that holds anything after a position.
    pub(crate) fn next_after(&self, position: Position) -> Option<BlockInfo> {
        let after = (Bound::Excluded(position), Bound::Unbounded);
        self.blocks.range(after).next().map(|(_, info)| *info)
    }

    /// The newest block.
    pub(crate) fn last(&self) -> Option<BlockInfo> {
        self.blocks.last_key_value().map(|(_, info)| *info)
    }

    /// The record at a position left the index. Nothing happens when it is in no block.
    pub(crate) fn drop_record(&mut self, position: Position) {
        let Some((_, info)) = self.blocks.range_mut(position..).next() else {
            return;
        };
        if info.first > position {
            return;
        }
        debug_assert!(info.live > 0, "a record leaves the index once");
        self.live_bytes -= info.live_bytes();
        info.live -= 1;
        self.live_bytes += info.live_bytes();
        self.live -= 1;
        self.dirty.insert(info.last);
    }

    /// The oldest dirty blocks that have no living record, up to `max`; none when the oldest dirty
    /// one has.
    pub(crate) fn dead_front(&self, max: usize) -> Vec<BlockInfo> {
        let dirty = self.dirty.iter().take(max);
        let infos = dirty.filter_map(|last| self.blocks.get(last)).copied();
        infos.take_while(|info| info.live == 0).collect()
    }

    /// The oldest dirty block and the dirty ones right behind it, up to `max`.
    pub(crate) fn dirty_front(&self, max: usize) -> Vec<BlockInfo> {
        let Some(first) = self.dirty.first() else {
            return Vec::new();
        };
        let blocks = self.blocks.range(first..).take(max);
        blocks
            .take_while(|(last, _)| self.dirty.contains(last))
            .map(|(_, info)| *info)
            .collect()
    }

    /// How many records the blocks hold that are not alive.
    pub(crate) fn waste(&self) -> u64 {
        self.records - self.live
    }

    /// How many bytes the blocks take.
    pub(crate) fn bytes(&self) -> u64 {
        self.bytes
    }

    /// How many bytes of the blocks the living records take, about.
    pub(crate) fn live_bytes(&self) -> u64 {
        self.live_bytes
    }

    /// How many blocks there are.
    pub(crate) fn blocks(&self) -> u64 {
        self.blocks.len() as u64
    }

    /// How many records they hold, dead ones included.
    pub(crate) fn records(&self) -> u64 {
        self.records
    }
}
