//! Compaction in small steps: the index is swept of records that no read can see any more, then
//! blocks without a living record are deleted and those with few are rewritten.
//!
//! Invariants: (1) a step holds the readers' lock for well under a millisecond; (2) blocks change
//! only when the engine's state knows the compaction (invariant 5 of the store); (3) nothing goes
//! while a walk holds it off.

use super::bookkeeping::TALLY_KEY;
use super::directory::BlockInfo;
use super::{Progress, Store, StoreFault, fetch};
use crate::blocks::{self, Packed, Packer};
use crate::engine::WriteBatch;
use crate::index::Sweep;

/// Keys of the index that a step looks at.
const SWEEP_KEYS: usize = 1024;

/// Dead blocks that a step deletes.
const DELETE_BLOCKS_MAX: usize = 64;

/// Sparse blocks that a step joins.
const REWRITE_BLOCKS_MAX: usize = 8;

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
                let stepped = self.reclaim();
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
    fn reclaim(&self) -> Result<Progress, StoreFault> {
        let (has_waste, is_known) = {
            let shared = self.read();
            (
                shared.directory.has_waste(),
                shared.flushed_compacted >= shared.swept,
            )
        };
        if !has_waste {
            return Ok(Progress::Idle);
        }
        if !is_known {
            self.flush_all()?;
            return Ok(Progress::More);
        }
        let dead = self.read().directory.dead(DELETE_BLOCKS_MAX);
        if dead.is_empty() {
            let sparse = self.read().directory.sparse_run(REWRITE_BLOCKS_MAX);
            let joined = self.join(&sparse)?;
            self.replace(&sparse, &joined)?;
        } else {
            self.replace(&dead, &[])?;
        }
        Ok(Progress::More)
    }

    /// Packs what is alive in some blocks.
    fn join(&self, sparse: &[BlockInfo]) -> Result<Vec<Packed>, StoreFault> {
        let mut packer = Packer::new(self.setup.options.block_bytes);
        let mut joined = Vec::new();
        for info in sparse {
            let found = self.find_block(|_| Some(*info))?;
            let found = found.ok_or_else(|| StoreFault::damaged("a sparse block is gone"))?;
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
