//! Compaction in small steps: the index is swept of records that no read can see any more, then
//! they leave the blocks. Blocks at the front without a living record are deleted at once; the
//! others are rewritten when a quarter of all records in blocks is waste, so each byte that is
//! given back costs three to write at most.
//!
//! Dead records leave the blocks oldest first, always: were a tombstone to go before an older
//! record of its key in another block, the next start would find that record and think it alive.
//!
//! Invariants: (1) a step holds the readers' lock for well under a millisecond; (2) blocks change
//! only when the engine's state knows the compaction (invariant 5 of the store); (3) nothing goes
//! while a walk holds it off; (4) what is in blocks of a key's records is always the newer part.

use std::sync::atomic::Ordering;

use super::bookkeeping::TALLY_KEY;
use super::directory::BlockInfo;
use super::{Progress, Store, StoreFault, Writer, fetch};
use crate::blocks::{self, Packed, Packer};
use crate::engine::WriteBatch;
use crate::index::Sweep;

/// Keys of the index that a step looks at.
const SWEEP_KEYS: usize = 1024;

/// Dead blocks that a step deletes.
const DELETE_BLOCKS_MAX: usize = 64;

/// Dirty blocks that a step joins.
const REWRITE_BLOCKS_MAX: usize = 32;

/// Rewriting begins when one of so many records in blocks is dead.
const WASTE_DIVISOR: u64 = 4;

impl Store {
    /// Does one small step of compaction. Runs beside reads and `apply`.
    pub fn maintain(&self) -> Result<Progress, StoreFault> {
        self.check()?;
        let mut writer = self.lock_writer();
        let step = self.sweep(&mut writer.sweep);
        match step {
            Swept::Held => Ok(Progress::Idle),
            Swept::More => Ok(Progress::More),
            Swept::Done => {
                let stepped = self.reclaim(&mut writer);
                self.keep_failure(stepped)
            }
        }
    }

    /// Goes on with the sweep of the index.
    fn sweep(&self, sweep: &mut Option<Sweep>) -> Swept {
        let mut shared = self.write();
        let shared = &mut *shared;
        if shared.holds > 0 {
            return Swept::Held;
        }
        if sweep.is_none() && shared.swept < shared.compacted {
            shared.swept = shared.compacted;
            *sweep = Some(Sweep::new(shared.compacted));
        }
        let Some(under_way) = sweep else {
            return Swept::Done;
        };
        let directory = &mut shared.directory;
        let done = shared.index.sweep(under_way, SWEEP_KEYS, &mut |position| {
            directory.drop_record(position);
        });
        if done {
            *sweep = None;
        }
        Swept::More
    }

    /// Deletes or rewrites a few blocks.
    fn reclaim(&self, writer: &mut Writer) -> Result<Progress, StoreFault> {
        let (waste, records, dead, is_known) = {
            let shared = self.read();
            let directory = &shared.directory;
            let is_known = shared.flushed_compacted >= shared.swept;
            let dead = directory.dead_front(DELETE_BLOCKS_MAX);
            (directory.waste(), directory.records(), dead, is_known)
        };
        // Once begun, rewriting goes on until nothing is dirty: the blocks at the front may have
        // little waste, and to begin with them again and again would cost much for little.
        let tidying = self.tidying.swap(false, Ordering::AcqRel);
        writer.is_rewriting |= tidying || waste * WASTE_DIVISOR >= records;
        writer.is_rewriting &= waste > 0;
        if dead.is_empty() && !writer.is_rewriting {
            let mut shared = self.write();
            shared.reclaimed = shared.swept;
            return Ok(Progress::Idle);
        }
        if !is_known {
            self.flush_all()?;
            return Ok(Progress::More);
        }
        if dead.is_empty() {
            let dirty = self.read().directory.dirty_front(REWRITE_BLOCKS_MAX);
            let joined = self.join(&dirty)?;
            self.replace(&dirty, &joined)?;
        } else {
            self.replace(&dead, &[])?;
        }
        Ok(Progress::More)
    }

    /// Packs what is alive in some blocks.
    fn join(&self, dirty: &[BlockInfo]) -> Result<Vec<Packed>, StoreFault> {
        let mut packer = Packer::new(self.setup.options.block_bytes);
        let mut joined = Vec::new();
        for info in dirty {
            let found = self.find_block(|_| Some(*info))?;
            let found = found.ok_or_else(|| StoreFault::damaged("a dirty block is gone"))?;
            let block = fetch::decode(&found)?;
            let living: Vec<bool> = {
                let shared = self.read();
                let is_alive = |entry| {
                    let entry: &blocks::Entry = entry;
                    shared
                        .index
                        .contains(block.key(entry), entry.meta.position())
                };
                block.entries().iter().map(is_alive).collect()
            };
            for (entry, alive) in block.entries().iter().zip(living) {
                if alive {
                    joined.extend(packer.push(&block.record(entry)));
                }
            }
        }
        joined.extend(packer.finish());
        Ok(joined)
    }

    /// Puts blocks in the place of others; all their records are alive.
    fn replace(&self, old: &[BlockInfo], new: &[Packed]) -> Result<(), StoreFault> {
        let in_use = self.in_use()?;
        let mut batch = WriteBatch::default();
        let mut tally = self.read().tally();
        for info in old {
            batch.delete(blocks::engine_key(info.last));
            tally = tally.without(info);
        }
        for packed in new {
            batch.put(blocks::engine_key(packed.last), packed.bytes.clone());
            tally = tally.with(packed);
        }
        batch.put(TALLY_KEY.into(), tally.encode());
        let _publishing = self.lock_publishing();
        in_use.engine.write(batch)?;
        let mut shared = self.write();
        for info in old {
            shared.directory.remove(info.last);
        }
        for packed in new {
            shared.directory.insert(packed, packed.records);
        }
        Ok(())
    }
}

/// How far the sweep of the index is.
enum Swept {
    /// Nothing is left to sweep.
    Done,
    /// A walk needs everything to stay.
    Held,
    /// A step was made.
    More,
}
