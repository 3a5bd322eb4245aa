//! Values and blocks: from memory if they are there, else from the engine, with no lock held.
//!
//! A block may be replaced between the look into the directory and the read. Whoever finds it gone
//! looks again while `publishing` stands still, and then directory and engine agree.
//!
//! Invariants: (1) a value is the one of the record at that position or none; (2) a value in the
//! cache has its bytes to itself.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use bytes::Bytes;

use hstore_core::record::Position;

use super::directory::BlockInfo;
use super::{InUse, Shared, Store, StoreFault};
use crate::blocks::{self, Block};

/// How often a read is tried while engines are switched under it; more is damage.
const ATTEMPTS_MAX: u32 = 8;

/// A block as the engine holds it, and decoded.
pub(super) struct Found {
    /// What the directory says of it.
    pub(super) info: BlockInfo,
    /// As the engine holds it.
    pub(super) bytes: Bytes,
}

impl Store {
    /// The value of a record that is in memory.
    pub(super) fn value_in_memory(&self, position: Position) -> Option<Bytes> {
        if let Some(value) = self.read().recent.value(position) {
            self.recent_hits.fetch_add(1, Ordering::Relaxed);
            return Some(value);
        }
        self.cache.value(position)
    }

    /// The value of a record; none when compaction took the record.
    pub(super) fn value(&self, position: Position) -> Result<Option<Bytes>, StoreFault> {
        if let Some(value) = self.value_in_memory(position) {
            return Ok(Some(value));
        }
        self.cache.missed();
        let Some(block) = self.decoded(position)? else {
            return Ok(None);
        };
        let Some(entry) = block.find(position) else {
            return Ok(None);
        };
        let value = Bytes::copy_from_slice(block.value(entry));
        self.cache.keep_value(position, value.clone());
        Ok(Some(value))
    }

    /// The decoded block that holds a position, if one does.
    fn decoded(&self, position: Position) -> Result<Option<Arc<Block>>, StoreFault> {
        let info = self.read().directory.locate(position);
        if let Some(block) = info.and_then(|info| self.cache.block(info.number)) {
            return Ok(Some(block));
        }
        let Some(found) = self.find_block(|shared| shared.directory.locate(position))? else {
            return Ok(None);
        };
        let block = Arc::new(decode(&found)?);
        // A block of one large record is in the cache as a value already.
        if found.info.records > 1 {
            self.cache.keep_block(found.info.number, Arc::clone(&block));
        }
        Ok(Some(block))
    }

    /// The block that `choose` picks, read from the engine; none when it picks none.
    pub(super) fn find_block(
        &self,
        choose: impl Fn(&Shared) -> Option<BlockInfo>,
    ) -> Result<Option<Found>, StoreFault> {
        let mut chosen = None;
        for attempt in 0..ATTEMPTS_MAX {
            let _still = (attempt > 0).then(|| self.lock_publishing());
            let (info, in_use) = {
                let shared = self.read();
                let in_use = shared.engine.clone().ok_or(StoreFault::Closed)?;
                (choose(&shared), in_use)
            };
            let Some(info) = info else {
                return Ok(None);
            };
            chosen = Some(info);
            match in_use.engine.get(&blocks::engine_key(info.last)) {
                Ok(Some(bytes)) => return Ok(Some(Found { info, bytes })),
                Err(fault) if self.is_in_use(&in_use) => return Err(fault.into()),
                Ok(None) | Err(_) => {}
            }
        }
        Err(StoreFault::damaged(format!(
            "the engine has lost the block that ends at {:?}",
            chosen.map(|info| info.last)
        )))
    }

    /// Whether the engine is still the one in use.
    fn is_in_use(&self, in_use: &InUse) -> bool {
        let shared = self.read();
        shared
            .engine
            .as_ref()
            .is_some_and(|now| now.number == in_use.number)
    }
}

/// Decodes a block and compares it with what the directory says.
pub(super) fn decode(found: &Found) -> Result<Block, StoreFault> {
    let info = &found.info;
    let block = Block::decode(&found.bytes).map_err(|error| {
        StoreFault::damaged(format!("the block that ends at {:?}: {error}", info.last))
    })?;
    if block.last() != info.last {
        return Err(StoreFault::damaged(format!(
            "the block that should end at {:?} ends at {:?}",
            info.last,
            block.last()
        )));
    }
    Ok(block)
}
