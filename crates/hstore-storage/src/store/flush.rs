//! Flushing: recent records become blocks, and the state that belongs to them goes along.
//!
//! A flush takes the state first and then writes the records up to it, in batches of about a
//! megabyte so that nobody waits long for the engine. The last batch holds the state. A process
//! that dies between two batches leaves blocks beyond the state, which the next start removes.
//! While the newest block is small, a flush of one batch goes on with it, so that many small
//! flushes do not leave many small blocks. One of several batches does not: its first batch must
//! not touch a block that the state in the engine still needs.
//!
//! Invariants: (1) blocks and tally change in one batch; (2) a record leaves the recent ones under
//! the same lock under which its block enters the directory; (3) until the batch with the state is
//! written, every block that the state before it needs is there.

use hstore_core::record::Record;

use super::bookkeeping::{STATE_KEY, TALLY_KEY, Tally, encode_state};
use super::directory::BlockInfo;
use super::walk::Capture;
use super::{BEFORE_ALL, Store, StoreFault, end_of, fetch};
use crate::blocks::{self, Packed, Packer};
use crate::engine::WriteBatch;
use crate::index::Place;

/// Bytes of records that go into one batch.
const STEP_BYTES: usize = 1024 * 1024;

/// Records that are looked up under one lock on their way into the cache.
const CACHE_CHUNK_LEN: usize = 256;

/// The newest block is gone on with while it is smaller than one of so many parts of a block.
const TAIL_DIVISOR: usize = 2;

impl Store {
    /// Writes everything applied so far to the engine. Runs beside reads and `apply`.
    pub fn flush(&self) -> Result<(), StoreFault> {
        self.check()?;
        let _writer = self.lock_writer();
        let flushed = self.flush_all();
        self.keep_failure(flushed)
    }

    /// Flushes for whoever holds the writer's lock.
    pub(super) fn flush_all(&self) -> Result<(), StoreFault> {
        let in_use = self.in_use()?;
        let capture = self.capture()?;
        if self.read().flushed == capture.applied {
            return Ok(());
        }
        let until = end_of(capture.revision);
        let mut tail = self.small_tail();
        loop {
            let (recent, more) = self.read().recent.copy(BEFORE_ALL, until, STEP_BYTES);
            let mut batch = WriteBatch::default();
            let mut step = Step::default();
            if !recent.is_empty() {
                step = self.pack(tail.take().filter(|_| !more), recent, more)?;
                self.put_blocks(&mut batch, &step);
            }
            if !more {
                let state = encode_state(
                    capture.applied,
                    &capture.membership,
                    capture.machine.clone(),
                    capture.revision,
                );
                batch.put(STATE_KEY.into(), state);
            }
            {
                let _publishing = self.lock_publishing();
                in_use.engine.write(batch)?;
                self.publish(&step);
            }
            self.keep_newest(step.packed_records());
            if !more {
                self.flushed(&capture);
                return Ok(());
            }
        }
    }

    fn flushed(&self, capture: &Capture) {
        let mut shared = self.write();
        shared.flushed = capture.applied;
        shared.flushed_compacted = capture.compacted;
    }

    /// The newest block, if it is small and there is something to put behind it.
    fn small_tail(&self) -> Option<BlockInfo> {
        let shared = self.read();
        let small = self.setup.options.block_bytes / TAIL_DIVISOR;
        let tail = shared
            .directory
            .last()
            .filter(|info| (info.bytes as usize) < small);
        tail.filter(|_| shared.recent.len() > 0)
    }

    /// Packs the records of a step, behind those of the block before them if that is small.
    fn pack(
        &self,
        tail: Option<BlockInfo>,
        recent: Vec<Record>,
        more: bool,
    ) -> Result<Step, StoreFault> {
        let mut step = Step::default();
        if let Some(tail) = tail {
            let found = self.find_block(|_| Some(tail))?;
            let found = found.ok_or_else(|| StoreFault::damaged("the newest block is gone"))?;
            let block = fetch::decode(&found)?;
            let old = block.entries().iter().map(|entry| block.record(entry));
            step.records.extend(old);
            step.old = step.records.len();
            step.replaced = Some(tail);
        }
        step.records.extend(recent);
        let mut packer = Packer::new(self.setup.options.block_bytes);
        for record in &step.records {
            step.blocks.extend(packer.push(record));
        }
        // The last block waits for the next step, unless nothing would be left of this one.
        if !more || step.blocks.is_empty() {
            step.blocks.extend(packer.finish());
        }
        step.live = self.count_live(&step);
        Ok(step)
    }

    /// How many records of each block are in the index.
    fn count_live(&self, step: &Step) -> Vec<u32> {
        let mut records = step.records.iter();
        let mut count = |packed: &Packed| {
            let shared = self.read();
            let swept = shared.swept;
            let in_index = records
                .by_ref()
                .take(packed.records as usize)
                .filter(|record| {
                    let meta = &record.meta;
                    // Only what is older can have been swept.
                    meta.mod_revision >= swept
                        || shared.index.contains(&record.key, meta.position())
                });
            in_index.count() as u32
        };
        step.blocks.iter().map(&mut count).collect()
    }

    fn put_blocks(&self, batch: &mut WriteBatch, step: &Step) {
        let mut tally = self.read().tally();
        if let Some(replaced) = step.replaced {
            batch.delete(blocks::engine_key(replaced.last));
            tally = tally.without(&replaced);
        }
        for packed in &step.blocks {
            batch.put(blocks::engine_key(packed.last), packed.bytes.clone());
            tally = tally.with(packed);
        }
        batch.put(TALLY_KEY.into(), tally.encode());
    }

    /// Tells readers where the records are now.
    fn publish(&self, step: &Step) {
        let mut shared = self.write();
        if let Some(replaced) = step.replaced {
            shared.directory.remove(replaced.last);
        }
        for (packed, live) in step.blocks.iter().zip(&step.live) {
            shared.directory.insert(packed, *live);
        }
        if let Some(last) = step.blocks.last() {
            shared.recent.forget(last.last);
        }
    }

    /// Keeps the values of the records that are their key's newest: they are read next. Those
    /// that they replaced make room.
    fn keep_newest(&self, records: &[Record]) {
        for chunk in records.chunks(CACHE_CHUNK_LEN) {
            let places: Vec<Option<Place>> = {
                let shared = self.read();
                let place =
                    |record: &Record| shared.index.place(&record.key, record.meta.position());
                chunk.iter().map(place).collect()
            };
            for (record, place) in chunk.iter().zip(places) {
                // Compaction may have taken it meanwhile.
                let Some(place) = place else {
                    continue;
                };
                if let Some(replaced) = place.replaced {
                    self.cache.forget_value(replaced);
                }
                if place.is_newest && !record.meta.is_tombstone() {
                    let position = record.meta.position();
                    self.cache.keep_value(position, record.value.clone());
                }
            }
        }
    }
}

/// One batch of a flush.
#[derive(Default)]
struct Step {
    /// The block that the first one goes on with.
    replaced: Option<BlockInfo>,
    /// The records of that block, then recent ones; those at the end may be in no block yet.
    records: Vec<Record>,
    /// How many of them were in a block before.
    old: usize,
    blocks: Vec<Packed>,
    /// How many records of each block are alive.
    live: Vec<u32>,
}

impl Step {
    /// The recent records that are in a block now.
    fn packed_records(&self) -> &[Record] {
        let packed: usize = self
            .blocks
            .iter()
            .map(|packed| packed.records as usize)
            .sum();
        &self.records[self.old..packed.max(self.old)]
    }
}

impl Tally {
    /// With a block more.
    pub(super) fn with(self, packed: &Packed) -> Tally {
        Tally {
            blocks: self.blocks + 1,
            records: self.records + u64::from(packed.records),
        }
    }

    /// With a block less, that was counted before.
    pub(super) fn without(self, info: &BlockInfo) -> Tally {
        Tally {
            blocks: self.blocks - 1,
            records: self.records - u64::from(info.records),
        }
    }
}
