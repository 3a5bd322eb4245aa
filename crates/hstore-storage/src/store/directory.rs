//! The directory of blocks: which positions each block of the engine holds and how many of its
//! records are alive. It knows neither keys nor the engine.
//!
//! Invariants: (1) blocks do not overlap, and their order is that of positions; (2) `live` counts
//! the records that are in the index; (3) a block number is used once, so that a decoded block in
//! the cache is never taken for the one that replaced it; (4) `dead` and `sparse` name exactly the
//! blocks whose live count says so.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Bound;

use hstore_core::record::Position;

use crate::blocks::Packed;

/// A block is worth rewriting when less than one of so many of its records is alive.
const SPARSE_DIVISOR: u32 = 2;

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

/// All blocks of the engine.
#[derive(Debug, Default)]
pub(crate) struct Directory {
    blocks: BTreeMap<Position, BlockInfo>,
    records: u64,
    next_number: u64,
    dead: BTreeSet<Position>,
    sparse: BTreeSet<Position>,
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
        let before = self.blocks.insert(info.last, info);
        debug_assert!(before.is_none(), "a block is removed before it is replaced");
        self.sort(&info);
    }

    /// Forgets a block.
    pub(crate) fn remove(&mut self, last: Position) {
        if let Some(info) = self.blocks.remove(&last) {
            self.records -= u64::from(info.records);
            self.dead.remove(&last);
            self.sparse.remove(&last);
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
        info.live -= 1;
        let info = *info;
        self.sort(&info);
    }

    fn sort(&mut self, info: &BlockInfo) {
        if info.live == 0 {
            self.sparse.remove(&info.last);
            self.dead.insert(info.last);
        } else if info.live < info.records.div_ceil(SPARSE_DIVISOR) {
            self.sparse.insert(info.last);
        }
    }

    /// Up to `max` blocks without a live record.
    pub(crate) fn dead(&self, max: usize) -> Vec<BlockInfo> {
        self.dead
            .iter()
            .take(max)
            .filter_map(|last| self.blocks.get(last))
            .copied()
            .collect()
    }

    /// The first sparse block and the sparse ones right after it, up to `max`.
    pub(crate) fn sparse_run(&self, max: usize) -> Vec<BlockInfo> {
        let Some(first) = self.sparse.first() else {
            return Vec::new();
        };
        self.blocks
            .range(first..)
            .take(max)
            .take_while(|(last, _)| self.sparse.contains(last))
            .map(|(_, info)| *info)
            .collect()
    }

    /// Whether compaction left anything to delete or to rewrite.
    pub(crate) fn has_waste(&self) -> bool {
        !self.dead.is_empty() || !self.sparse.is_empty()
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
