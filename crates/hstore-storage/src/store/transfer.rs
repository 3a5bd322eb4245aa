//! Snapshot files out of a store and into one, and the hash that compares two stores.
//!
//! A snapshot holds the state (machine, applied index, membership) and every readable record, as
//! blocks in position order.
//!
//! Invariants: (1) what is written is the state of one applied index; (2) what is installed is
//! whole and checked before `CURRENT` names it, so a crash leaves the old store or the new one;
//! (3) two stores of the same applied index write the same records, whatever their blocks are.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::Bytes;

use hstore_core::membership::Membership;
use hstore_core::planted::{self, Bug};
use hstore_core::record::Record;

use super::bookkeeping::{STATE_KEY, State, TALLY_KEY, Tally, encode_state};
use super::load::Loader;
use super::parts::{self, Part, Parts, misfit};
use super::seed::state_of;
use super::walk::{Capture, Hold, Piece};
use super::{Shared, Store, StoreError, StoreFault, StoreSetup, end_of, fetch, open};
use crate::blocks::{self, Packer};
use crate::disk::Disk;
use crate::engine::{Engine, WriteBatch};
use crate::snapshot::{SnapshotError, SnapshotHeader, SnapshotReader, SnapshotWriter};

/// How a file is begun.
type Begin = fn(Arc<dyn Disk>, &Path, &SnapshotHeader) -> Result<SnapshotWriter, SnapshotError>;

/// Bytes of blocks that are written to a new engine at a time.
const BATCH_BYTES: usize = 1024 * 1024;

impl Store {
    /// Writes a snapshot file of the state as of now into the folder. Runs beside everything but
    /// compaction, which waits.
    pub fn write_snapshot(&self) -> Result<(PathBuf, SnapshotHeader), StoreFault> {
        let (writer, header) = self.fill_snapshot(SnapshotWriter::create, &|| true)?;
        Ok((writer.finish()?, header))
    }

    /// The same into a file without a name, for whoever takes the state elsewhere, for as long as
    /// it is wanted.
    pub fn spool_snapshot(
        &self,
        is_wanted: &dyn Fn() -> bool,
    ) -> Result<SnapshotReader, StoreFault> {
        let (writer, _header) = self.fill_snapshot(SnapshotWriter::spool, is_wanted)?;
        Ok(writer.finish_spool()?)
    }

    fn fill_snapshot(
        &self,
        begin: Begin,
        is_wanted: &dyn Fn() -> bool,
    ) -> Result<(SnapshotWriter, SnapshotHeader), StoreFault> {
        self.check()?;
        let hold = Hold::new(self);
        let mut capture = self.capture()?;
        if planted::is(Bug::MembershipLostInSnapshot) {
            capture.membership = Membership::default();
        }
        let header = SnapshotHeader {
            cluster_id: self.setup.cluster_id,
            last: capture.applied.ok_or(StoreFault::NothingApplied)?,
            membership: capture.membership.clone(),
            revision: capture.revision,
            compacted: capture.compacted,
        };
        let disk = self.setup.disk.clone();
        let mut writer = begin(disk, &self.setup.snapshots, &header)?;
        match self.write_parts(&hold, &capture, &mut writer, is_wanted) {
            Ok(()) => Ok((writer, header)),
            Err(fault) => {
                // The fault says more than a file that cannot be removed either.
                let _removed = writer.abandon();
                Err(fault)
            }
        }
    }

    fn write_parts(
        &self,
        hold: &Hold<&Store>,
        capture: &Capture,
        writer: &mut SnapshotWriter,
        is_wanted: &dyn Fn() -> bool,
    ) -> Result<(), StoreFault> {
        let state = encode_state(
            capture.applied,
            &capture.membership,
            capture.machine.clone(),
            capture.revision,
        );
        parts::write_state(writer, &state)?;
        let mut packer = Packer::new(self.setup.options.block_bytes);
        self.walk(hold, capture, &mut |piece| {
            if !is_wanted() {
                return Err(StoreFault::Unwanted);
            }
            match piece {
                Piece::Whole(found) => {
                    if let Some(packed) = packer.finish() {
                        parts::write_block(writer, &packed.bytes)?;
                    }
                    parts::write_block(writer, &found.bytes)?;
                }
                Piece::Records(records) => {
                    for record in &records {
                        if let Some(packed) = packer.push(record) {
                            parts::write_block(writer, &packed.bytes)?;
                        }
                    }
                }
            }
            Ok(())
        })?;
        if let Some(packed) = packer.finish() {
            parts::write_block(writer, &packed.bytes)?;
        }
        Ok(())
    }

    /// Replaces the state by that of a snapshot file. The caller applies nothing meanwhile; reads
    /// go on and see the old state or the new. Both are in memory for a moment.
    pub fn install_snapshot(&self, path: &Path) -> Result<SnapshotHeader, StoreError> {
        self.check()?;
        let mut writer = self.lock_writer();
        let mut machine = self.lock_machine();
        let content = open::build(&self.setup, Some(path))?;
        let header = SnapshotReader::open(self.setup.disk.as_ref(), path)?
            .header()
            .clone();
        let number = content.in_use.number;
        *machine = content.state.machine.clone();
        writer.sweep = None;
        let old = {
            let mut shared = self.write();
            let holds = shared.holds;
            let old = std::mem::replace(&mut *shared, Shared::new(content));
            // Walks that are under way end with a fault or with the new records; they still
            // give back their hold.
            shared.holds = holds;
            old
        };
        self.cache.clear();
        // The old index and engine are taken apart with no lock held but the writer's.
        drop(machine);
        drop(old);
        open::remove_others(self.setup.engines.as_ref(), number);
        drop(writer);
        Ok(header)
    }

    /// A hash over everything that can be read, and the state: equal on all nodes with the same
    /// applied index, whatever their blocks look like. Reads everything.
    pub fn content_hash(&self) -> Result<u64, StoreFault> {
        self.check()?;
        let hold = Hold::new(self);
        let capture = self.capture()?;
        let mut hash = ContentHash::default();
        hash.bytes(&capture.machine);
        self.walk(&hold, &capture, &mut |piece| {
            match piece {
                Piece::Whole(found) => {
                    let block = fetch::decode(&found)?;
                    for entry in block.entries() {
                        hash.record(&block.record(entry));
                    }
                }
                Piece::Records(records) => records.iter().for_each(|record| hash.record(record)),
            }
            Ok(())
        })?;
        Ok(hash.0)
    }
}

/// FNV-1a with 64 bits (Fowler, Noll, Vo): for comparing, not against anybody.
struct ContentHash(u64);

impl Default for ContentHash {
    fn default() -> ContentHash {
        ContentHash(0xcbf2_9ce4_8422_2325)
    }
}

impl ContentHash {
    fn bytes(&mut self, bytes: &[u8]) {
        for byte in (bytes.len() as u64).to_le_bytes().iter().chain(bytes) {
            self.0 = (self.0 ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01b3);
        }
    }

    fn record(&mut self, record: &Record) {
        let meta = &record.meta;
        self.bytes(&record.key);
        self.bytes(&record.value);
        self.bytes(&meta.create_revision.0.to_le_bytes());
        self.bytes(&meta.mod_revision.0.to_le_bytes());
        self.bytes(&meta.sub.to_le_bytes());
        self.bytes(&meta.version.to_le_bytes());
        self.bytes(&meta.lease.to_le_bytes());
    }
}

/// Fills a new engine from a snapshot file.
pub(super) fn load_snapshot(
    setup: &StoreSetup,
    path: &Path,
    engine: &dyn Engine,
) -> Result<(Loader, State), StoreError> {
    let reader = SnapshotReader::open(setup.disk.as_ref(), path)?;
    let header = reader.header().clone();
    if header.cluster_id != setup.cluster_id {
        return Err(StoreError::ForeignSnapshot {
            path: path.to_owned(),
            found: header.cluster_id,
            expected: setup.cluster_id,
        });
    }
    let mut filler = Filler::new(engine, header);
    let mut parts = Parts::of(reader);
    while let Some(part) = parts.next()? {
        match part {
            Part::State(bytes) => filler.state(&bytes)?,
            Part::Block(bytes) => filler.block(&bytes)?,
        }
    }
    Ok(filler.finish()?)
}

/// A new engine that is being filled.
struct Filler<'e> {
    engine: &'e dyn Engine,
    header: SnapshotHeader,
    loader: Loader,
    state: Option<(State, Bytes)>,
    batch: WriteBatch,
}

impl<'e> Filler<'e> {
    fn new(engine: &'e dyn Engine, header: SnapshotHeader) -> Filler<'e> {
        Filler {
            engine,
            header,
            loader: Loader::default(),
            state: None,
            batch: WriteBatch::default(),
        }
    }

    fn state(&mut self, bytes: &Bytes) -> Result<(), StoreFault> {
        let state = state_of(&self.header, bytes)?;
        if self.state.is_some() {
            return Err(misfit("it has two states"));
        }
        self.state = Some((state, bytes.clone()));
        Ok(())
    }

    fn block(&mut self, bytes: &Bytes) -> Result<(), StoreFault> {
        let packed = self.loader.add(bytes, self.header.compacted)?;
        if packed.last > end_of(self.header.revision) {
            return Err(misfit("it has records beyond its revision"));
        }
        self.batch
            .put(blocks::engine_key(packed.last), packed.bytes);
        if self.batch.bytes() >= BATCH_BYTES {
            self.write()?;
        }
        Ok(())
    }

    fn write(&mut self) -> Result<(), StoreFault> {
        let mut batch = std::mem::take(&mut self.batch);
        let tally = Tally {
            blocks: self.loader.directory.blocks(),
            records: self.loader.directory.records(),
        };
        batch.put(TALLY_KEY.into(), tally.encode());
        Ok(self.engine.write(batch)?)
    }

    fn finish(mut self) -> Result<(Loader, State), StoreFault> {
        let (state, bytes) = self.state.take().ok_or_else(|| misfit("it has no state"))?;
        self.batch.put(STATE_KEY.into(), bytes);
        self.write()?;
        Ok((self.loader, state))
    }
}
