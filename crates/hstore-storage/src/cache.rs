//! The cache: values of records that are in blocks, and the blocks that were decoded last, both
//! bounded in bytes. Records are immutable, so nothing here is ever out of date; compaction merely
//! leaves entries that nobody asks for any more. It must never know the index or the engine.
//!
//! Invariants: (1) what it holds never weighs more than it was given, bookkeeping included;
//! (2) the same calls give the same hits, in every process: the hasher has no random seed and
//! the number of shards does not depend on the machine.

use std::hash::{BuildHasherDefault, Hasher};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;
use quick_cache::sync::{Cache as Quick, DefaultLifecycle};
use quick_cache::{OptionsBuilder, Weighter};

use hstore_core::record::Position;

use crate::blocks::Block;

/// Shards of the values, so that readers rarely meet. Each has its part of the bytes, and a value
/// larger than a part is not kept: with the default of 64 MiB that is 14 MiB.
const SHARDS: usize = 4;

/// Which part of the bytes goes to decoded blocks.
const BLOCKS_DIVISOR: u64 = 8;

/// What an entry takes beside its bytes: key, value, links, and the slack of the hash table.
const ENTRY_OVERHEAD_BYTES: u64 = 128;

/// What values are expected to weigh, to size the tables.
const ENTRY_BYTES_EXPECTED: u64 = 512;

/// What blocks are expected to weigh.
const BLOCK_BYTES_EXPECTED: u64 = 16 * 1024;

type Map<K, V> = Quick<K, V, Bytewise, BuildHasherDefault<Mixer>, DefaultLifecycle<K, V>>;

/// Values and decoded blocks.
pub(crate) struct Cache {
    values: Map<Position, Bytes>,
    blocks: Map<u64, Arc<Block>>,
    hits: AtomicU64,
    misses: AtomicU64,
}

impl Cache {
    /// A cache of at most so many bytes.
    pub(crate) fn new(bytes_max: u64) -> Cache {
        let blocks = bytes_max / BLOCKS_DIVISOR;
        Cache {
            values: map(bytes_max - blocks, ENTRY_BYTES_EXPECTED, SHARDS),
            blocks: map(blocks, BLOCK_BYTES_EXPECTED, 1),
            hits: AtomicU64::new(0),
            misses: AtomicU64::new(0),
        }
    }

    /// Gives the cache another size. What is beyond a smaller one is dropped.
    pub(crate) fn set_bytes(&self, bytes_max: u64) {
        let blocks = bytes_max / BLOCKS_DIVISOR;
        self.values.set_capacity(whole(bytes_max - blocks, SHARDS));
        self.blocks.set_capacity(blocks);
    }

    /// The value of the record at a position. Counts a hit, but not a miss: whoever only tries
    /// comes back.
    pub(crate) fn value(&self, position: Position) -> Option<Bytes> {
        let found = self.values.get(&position);
        if found.is_some() {
            self.hits.fetch_add(1, Ordering::Relaxed);
        }
        found
    }

    /// Counts a miss.
    pub(crate) fn missed(&self) {
        self.misses.fetch_add(1, Ordering::Relaxed);
    }

    /// Keeps a value. Its bytes must be its own.
    pub(crate) fn keep_value(&self, position: Position, value: Bytes) {
        self.values.insert(position, value);
    }

    /// Gives up a value that is unlikely to be asked for again.
    pub(crate) fn forget_value(&self, position: Position) {
        let _forgotten = self.values.remove(&position);
    }

    /// The decoded block of a number.
    pub(crate) fn block(&self, number: u64) -> Option<Arc<Block>> {
        self.blocks.get(&number)
    }

    /// Keeps a decoded block.
    pub(crate) fn keep_block(&self, number: u64, block: Arc<Block>) {
        self.blocks.insert(number, block);
    }

    /// Forgets everything.
    pub(crate) fn clear(&self) {
        self.values.clear();
        self.blocks.clear();
    }

    /// How many values were found.
    pub(crate) fn hits(&self) -> u64 {
        self.hits.load(Ordering::Relaxed)
    }

    /// How many were not.
    pub(crate) fn misses(&self) -> u64 {
        self.misses.load(Ordering::Relaxed)
    }

    /// What everything in it weighs.
    pub(crate) fn bytes(&self) -> u64 {
        self.values.weight() + self.blocks.weight()
    }
}

/// What the shards can have in equal parts: a shard's part is rounded up, and the sum must not be
/// above the bound.
fn whole(bytes_max: u64, shards: usize) -> u64 {
    bytes_max / shards as u64 * shards as u64
}

fn map<K: Eq + std::hash::Hash + Clone, V: Clone>(
    bytes_max: u64,
    entry_bytes: u64,
    shards: usize,
) -> Map<K, V>
where
    Bytewise: Weighter<K, V>,
{
    let options = OptionsBuilder::new()
        .shards(shards)
        .estimated_items_capacity((bytes_max / entry_bytes) as usize)
        .weight_capacity(whole(bytes_max, shards))
        .build()
        .expect("the capacities that are required are given");
    Quick::with_options(
        options,
        Bytewise,
        BuildHasherDefault::default(),
        DefaultLifecycle::default(),
    )
}

/// Weighs entries by their bytes.
#[derive(Clone, Copy, Debug)]
struct Bytewise;

impl Weighter<Position, Bytes> for Bytewise {
    fn weight(&self, _: &Position, value: &Bytes) -> u64 {
        ENTRY_OVERHEAD_BYTES + value.len() as u64
    }
}

impl Weighter<u64, Arc<Block>> for Bytewise {
    fn weight(&self, _: &u64, block: &Arc<Block>) -> u64 {
        ENTRY_OVERHEAD_BYTES + block.memory_bytes() as u64
    }
}

/// Mixes the numbers that positions are made of. They come from the log, so nobody chooses them
/// to collide.
#[derive(Clone, Copy, Debug, Default)]
struct Mixer(u64);

impl Hasher for Mixer {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.write_u64(u64::from(*byte));
        }
    }

    fn write_u32(&mut self, number: u32) {
        self.write_u64(u64::from(number));
    }

    fn write_i64(&mut self, number: i64) {
        self.write_u64(number as u64);
    }

    fn write_u64(&mut self, number: u64) {
        // The finalizer of SplitMix64 (Steele, Lea, Flood: Fast splittable pseudorandom number
        // generators, 2014).
        let mut mixed = (self.0 ^ number).wrapping_add(0x9e37_79b9_7f4a_7c15);
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        self.0 = mixed ^ (mixed >> 31);
    }
}

#[cfg(test)]
mod tests {
    use hstore_core::id::Revision;

    use super::*;

    fn position(revision: u64) -> Position {
        Position {
            revision: Revision(revision as i64),
            sub: 0,
        }
    }

    #[test]
    fn it_never_weighs_more_than_it_was_given() {
        for bytes_max in [0, 1000, 100_000, 1024 * 1024] {
            let cache = Cache::new(bytes_max);
            for n in 0..10_000 {
                let len = (n * 7919 % 5000) as usize;
                cache.keep_value(position(n), Bytes::from(vec![0; len]));
                assert!(
                    cache.bytes() <= bytes_max,
                    "{} of {bytes_max}",
                    cache.bytes()
                );
            }
            cache.keep_value(position(1), Bytes::from(vec![0; 2 * 1024 * 1024]));
            assert!(cache.bytes() <= bytes_max);
        }
    }

    #[test]
    fn it_never_weighs_more_than_its_new_size_and_fills_a_larger_one() {
        let cache = Cache::new(100_000);
        let fill = |cache: &Cache| {
            for n in 0..10_000 {
                cache.keep_value(position(n), Bytes::from(vec![0; 500]));
            }
            cache.bytes()
        };
        let before = fill(&cache);
        cache.set_bytes(20_000);
        assert!(cache.bytes() <= 20_000, "{} at once", cache.bytes());
        assert!(fill(&cache) <= 20_000, "{} later", cache.bytes());
        cache.set_bytes(1_000_000);
        let after = fill(&cache);
        assert!(before < after && after <= 1_000_000, "{before} {after}");
    }

    #[test]
    fn a_value_that_was_kept_is_a_hit_and_clearing_forgets_it() {
        let cache = Cache::new(1024 * 1024);
        assert_eq!(cache.value(position(5)), None);
        cache.missed();
        cache.keep_value(position(5), Bytes::from_static(b"value"));
        assert_eq!(cache.value(position(5)), Some(Bytes::from_static(b"value")));
        assert_eq!((cache.hits(), cache.misses()), (1, 1));
        cache.clear();
        assert_eq!((cache.value(position(5)), cache.bytes()), (None, 0));
    }

    #[test]
    fn the_same_calls_keep_the_same_values() {
        let run = || {
            let cache = Cache::new(50_000);
            for n in 0..5000 {
                cache.keep_value(position(n), Bytes::from(vec![0; 100]));
                cache.value(position(n / 3));
            }
            (0..5000)
                .filter(|n| cache.value(position(*n)).is_some())
                .collect::<Vec<_>>()
        };
        let kept = run();
        assert!(!kept.is_empty());
        assert_eq!(kept, run());
    }
}
