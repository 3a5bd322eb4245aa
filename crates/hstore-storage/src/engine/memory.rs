//! An engine in memory, for tests and for the simulator. It must never know a file.
//!
//! The source outlives the engines it made, as a disk outlives a process: `crash_machine` is the
//! best that a power loss can do to it, `lose_power` the worst; `kill` is the end of the process alone.
//!
//! Invariants: (1) a batch is applied under one lock, so it is atomic to every reader;
//! (2) numbers are never used twice; (3) after `kill` nothing that was left of the process reaches
//! an engine.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::ops::Bound;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};

use bytes::Bytes;

use crate::disk::memory::dice::Dice;

use super::{Engine, EngineFault, EngineNumber, EngineSource, SendVisitor, Visitor, WriteBatch};

/// How many pairs a scan copies at a time, so that its visitor may write to the engine.
const SCAN_CHUNK_LEN: usize = 64;

/// A map behind a lock.
#[derive(Debug, Default)]
pub struct MemoryEngine {
    pairs: RwLock<Pairs>,
    /// The pairs as of the last sync.
    synced: Mutex<Pairs>,
}

type Pairs = BTreeMap<Bytes, Bytes>;

/// Whether a process lives. Clones are of the same process.
#[derive(Clone, Debug)]
struct Life(Arc<AtomicBool>);

impl Default for Life {
    fn default() -> Life {
        Life(Arc::new(AtomicBool::new(true)))
    }
}

impl Life {
    fn end(&self) {
        self.0.store(false, Ordering::Relaxed);
    }

    fn check(&self) -> Result<(), EngineFault> {
        if self.0.load(Ordering::Relaxed) {
            return Ok(());
        }
        Err(EngineFault::Io {
            action: "use",
            source: io::Error::other("the process is gone"),
        })
    }
}

/// An engine as a process has it open.
#[derive(Debug)]
struct Opened {
    engine: Arc<MemoryEngine>,
    life: Life,
}

impl Engine for Opened {
    fn get(&self, key: &[u8]) -> Result<Option<Bytes>, EngineFault> {
        self.life.check()?;
        self.engine.get(key)
    }

    fn scan(&self, start: &[u8], visit: &mut Visitor<'_>) -> Result<(), EngineFault> {
        self.life.check()?;
        self.engine.scan(start, visit)
    }

    fn write(&self, batch: WriteBatch) -> Result<(), EngineFault> {
        self.life.check()?;
        self.engine.write(batch)
    }

    fn sync(&self) -> Result<(), EngineFault> {
        self.life.check()?;
        self.engine.sync()
    }

    fn size_on_disk(&self) -> Result<u64, EngineFault> {
        self.life.check()?;
        self.engine.size_on_disk()
    }
}

impl MemoryEngine {
    /// Takes back a part of what was written since the last sync: pair by pair, since an engine
    /// that promises nothing keeps no batch whole either.
    fn lose(&self, dice: &mut Dice) {
        let synced = self.synced.lock().unwrap_or_else(PoisonError::into_inner);
        let mut pairs = self.pairs.write().unwrap_or_else(PoisonError::into_inner);
        let keys: BTreeSet<Bytes> = pairs.keys().chain(synced.keys()).cloned().collect();
        for key in keys {
            if pairs.get(&key) == synced.get(&key) || dice.coin() {
                continue;
            }
            match synced.get(&key) {
                Some(value) => pairs.insert(key, value.clone()),
                None => pairs.remove(&key),
            };
        }
    }
}

impl Engine for MemoryEngine {
    fn get(&self, key: &[u8]) -> Result<Option<Bytes>, EngineFault> {
        let pairs = self.pairs.read().unwrap_or_else(PoisonError::into_inner);
        Ok(pairs.get(key).cloned())
    }

    fn scan(&self, start: &[u8], visit: &mut Visitor<'_>) -> Result<(), EngineFault> {
        let mut from = Bound::Included(Bytes::copy_from_slice(start));
        loop {
            let chunk: Vec<(Bytes, Bytes)> = {
                let pairs = self.pairs.read().unwrap_or_else(PoisonError::into_inner);
                pairs
                    .range((from, Bound::Unbounded))
                    .take(SCAN_CHUNK_LEN)
                    .map(|(key, value)| (key.clone(), value.clone()))
                    .collect()
            };
            let Some((last, _)) = chunk.last() else {
                return Ok(());
            };
            from = Bound::Excluded(last.clone());
            for (key, value) in &chunk {
                if visit(key, value).is_break() {
                    return Ok(());
                }
            }
        }
    }

    fn write(&self, batch: WriteBatch) -> Result<(), EngineFault> {
        let mut pairs = self.pairs.write().unwrap_or_else(PoisonError::into_inner);
        for (key, value) in batch.into_changes() {
            match value {
                Some(value) => pairs.insert(key, value),
                None => pairs.remove(&key),
            };
        }
        Ok(())
    }

    fn sync(&self) -> Result<(), EngineFault> {
        let mut synced = self.synced.lock().unwrap_or_else(PoisonError::into_inner);
        let pairs = self.pairs.read().unwrap_or_else(PoisonError::into_inner);
        synced.clone_from(&pairs);
        Ok(())
    }

    fn size_on_disk(&self) -> Result<u64, EngineFault> {
        let pairs = self.pairs.read().unwrap_or_else(PoisonError::into_inner);
        Ok(pairs
            .iter()
            .map(|(key, value)| (key.len() + value.len()) as u64)
            .sum())
    }
}

/// Engines in memory that outlive their users.
#[derive(Debug, Default)]
pub struct MemorySource {
    state: Mutex<Folders>,
    life: Life,
}

#[derive(Debug, Default)]
struct Folders {
    engines: BTreeMap<EngineNumber, Arc<MemoryEngine>>,
    markers: BTreeMap<EngineNumber, Bytes>,
    current: Option<EngineNumber>,
    made: u64,
    boot: u64,
}

impl MemorySource {
    /// A source without engines.
    pub fn new() -> MemorySource {
        MemorySource::default()
    }

    /// The end of the process: what it wrote is there, synced or not. This source, and the engines
    /// that were opened through it, fail from now on.
    #[must_use]
    pub fn kill(&self) -> MemorySource {
        self.life.end();
        MemorySource {
            state: Mutex::new(std::mem::take(&mut *self.lock())),
            life: Life::default(),
        }
    }

    /// The machine lost its power: what was written is kept (the best case), but nobody can know
    /// that, since the boot is another one.
    pub fn crash_machine(&self) {
        self.lock().boot += 1;
    }

    /// The same, and a part of what was not synced, drawn from the seed, is gone.
    pub fn lose_power(&self, seed: u64) {
        self.crash_machine();
        let mut dice = Dice::new(seed);
        for engine in self.lock().engines.values() {
            engine.lose(&mut dice);
        }
    }

    fn opened(&self, engine: Arc<MemoryEngine>) -> Arc<dyn Engine> {
        let life = self.life.clone();
        Arc::new(Opened { engine, life })
    }

    fn lock(&self) -> MutexGuard<'_, Folders> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl EngineSource for MemorySource {
    fn list(&self) -> Result<Vec<EngineNumber>, EngineFault> {
        self.life.check()?;
        Ok(self.lock().engines.keys().copied().collect())
    }

    fn current(&self) -> Result<Option<EngineNumber>, EngineFault> {
        self.life.check()?;
        Ok(self.lock().current)
    }

    fn marker(&self, number: EngineNumber) -> Result<Option<Bytes>, EngineFault> {
        self.life.check()?;
        Ok(self.lock().markers.get(&number).cloned())
    }

    fn save_marker(&self, number: EngineNumber, marker: &[u8]) -> Result<(), EngineFault> {
        self.life.check()?;
        let marker = Bytes::copy_from_slice(marker);
        self.lock().markers.insert(number, marker);
        Ok(())
    }

    fn create(&self) -> Result<(EngineNumber, Arc<dyn Engine>), EngineFault> {
        self.life.check()?;
        let mut folders = self.lock();
        folders.made += 1;
        let number = EngineNumber(folders.made);
        let engine = Arc::new(MemoryEngine::default());
        folders.engines.insert(number, Arc::clone(&engine));
        Ok((number, self.opened(engine)))
    }

    fn open(
        &self,
        number: EngineNumber,
        visit: &mut SendVisitor<'_>,
    ) -> Result<Arc<dyn Engine>, EngineFault> {
        self.life.check()?;
        let found = self.lock().engines.get(&number).map(Arc::clone);
        let engine = found.ok_or_else(|| EngineFault::Damaged {
            what: format!("{number} is not there"),
        })?;
        engine.scan(&[], visit)?;
        Ok(self.opened(engine))
    }

    fn switch(&self, number: EngineNumber) -> Result<(), EngineFault> {
        self.life.check()?;
        self.lock().current = Some(number);
        Ok(())
    }

    fn close(&self, _number: EngineNumber, engine: Arc<dyn Engine>) -> Result<bool, EngineFault> {
        engine.sync()?;
        Ok(Arc::strong_count(&engine) == 1)
    }

    fn remove(&self, number: EngineNumber) -> Result<(), EngineFault> {
        self.life.check()?;
        let mut folders = self.lock();
        folders.engines.remove(&number);
        folders.markers.remove(&number);
        Ok(())
    }

    fn boot_id(&self) -> String {
        format!("boot-{}", self.lock().boot)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use std::ops::ControlFlow;

    use super::*;

    fn written(engine: &dyn Engine, key: u8) {
        let mut batch = WriteBatch::default();
        batch.put(Bytes::from(vec![key]), Bytes::from(vec![key]));
        engine.write(batch).unwrap();
    }

    #[test]
    fn a_power_loss_may_take_any_part_of_what_was_not_synced_and_nothing_else() {
        let (mut kept, mut gone) = (0, 0);
        for seed in 0..20 {
            let source = MemorySource::new();
            let (_number, engine) = source.create().unwrap();
            written(engine.as_ref(), 1);
            engine.sync().unwrap();
            written(engine.as_ref(), 2);
            written(engine.as_ref(), 3);
            let boot = source.boot_id();
            source.lose_power(seed);
            assert_ne!(source.boot_id(), boot);
            assert!(engine.get(&[1]).unwrap().is_some());
            for key in [2, 3] {
                match engine.get(&[key]).unwrap() {
                    Some(_) => kept += 1,
                    None => gone += 1,
                }
            }
        }
        assert!(kept > 0 && gone > 0, "{kept} kept, {gone} gone");
    }

    #[test]
    fn what_is_left_of_a_process_that_was_killed_reaches_no_engine() {
        let source = MemorySource::new();
        let (number, engine) = source.create().unwrap();
        written(engine.as_ref(), 1);
        let next = source.kill();
        let reopened = next
            .open(number, &mut |_, _| ControlFlow::Continue(()))
            .unwrap();
        assert!(engine.write(WriteBatch::default()).is_err());
        assert!(engine.get(&[1]).is_err());
        assert!(source.create().is_err() && source.remove(number).is_err());
        // What it wrote is there.
        assert!(reopened.get(&[1]).unwrap().is_some());
        written(reopened.as_ref(), 2);
    }
}
