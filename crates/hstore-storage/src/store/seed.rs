//! The first snapshot of a new cluster: made from a backup, or from records that come from
//! elsewhere. And a look at what a backup holds.
//!
//! Invariants: (1) what is written is what a store would have written: it opens, or it is refused
//! here; (2) memory is that of the keys at most, never that of the values.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::Bytes;
use hstore_core::id::{ClusterId, LogId};
use hstore_core::machine::Machine;
use hstore_core::membership::Membership;
use hstore_core::record::{Position, Record};

use super::bookkeeping::{BookError, State, encode_state};
use super::load::Loader;
use super::parts::{self, Part, Parts, misfit};
use super::{StoreError, StoreFault, StoreOptions, end_of};
use crate::blocks::Packer;
use crate::disk::Disk;
use crate::snapshot::{SnapshotHeader, SnapshotReader, SnapshotWriter};

/// Whose first snapshot it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Founding {
    /// The new cluster.
    pub cluster_id: ClusterId,
    /// The entry that the new log goes on after.
    pub last: LogId,
    /// The founder, alone, as of that entry.
    pub membership: Membership,
}

/// What a snapshot holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Summary {
    /// What it says of itself.
    pub header: SnapshotHeader,
    /// Keys that are alive.
    pub keys: u64,
    /// Records of them and of what was before them.
    pub records: u64,
    /// Leases.
    pub leases: u64,
    /// The running hash over everything that was applied.
    pub state_hash: u64,
}

/// Reads a whole snapshot, checks all of it, and says what it holds.
pub fn inspect(reader: SnapshotReader) -> Result<Summary, StoreError> {
    let header = reader.header().clone();
    let mut loader = Loader::default();
    let mut found: Option<State> = None;
    let mut parts = Parts::of(reader);
    while let Some(part) = parts.next()? {
        match part {
            Part::State(bytes) if found.is_none() => found = Some(state_of(&header, &bytes)?),
            Part::State(_) => return Err(misfit("it has two states").into()),
            Part::Block(bytes) => {
                let packed = loader.add(&bytes, header.compacted)?;
                if packed.last > end_of(header.revision) {
                    return Err(misfit("it has records beyond its revision").into());
                }
            }
        }
    }
    let state = found.ok_or_else(|| misfit("it has no state"))?;
    Ok(Summary {
        keys: loader.index.live_keys(),
        records: loader.index.records(),
        leases: state.machine.leases().count() as u64,
        state_hash: state.machine.state_hash(),
        header,
    })
}

/// Writes the first snapshot of a new cluster from one of a former cluster, which [`inspect`] found
/// whole. `bump` and `compacted` are as in [`Machine::refounded`].
pub fn refound(
    reader: SnapshotReader,
    disk: Arc<dyn Disk>,
    dir: &Path,
    founding: &Founding,
    bump: u64,
    compacted: bool,
) -> Result<(PathBuf, SnapshotHeader), StoreError> {
    let header = reader.header().clone();
    let mut parts = Parts::of(reader);
    let Some(Part::State(bytes)) = parts.next()? else {
        return Err(misfit("it does not begin with a state").into());
    };
    let machine = state_of(&header, &bytes)?
        .machine
        .refounded(bump, compacted)
        .ok_or_else(|| misfit("its revisions cannot be raised so far"))?;
    let (mut writer, header) = begin(disk, dir, founding, &machine)?;
    match copy(&mut parts, &mut writer) {
        Ok(()) => Ok((writer.finish()?, header)),
        Err(error) => {
            // The error says more than a file that cannot be removed either.
            let _removed = writer.abandon();
            Err(error)
        }
    }
}

fn copy(parts: &mut Parts, writer: &mut SnapshotWriter) -> Result<(), StoreError> {
    while let Some(part) = parts.next()? {
        match part {
            Part::Block(bytes) => parts::write_block(writer, &bytes)?,
            Part::State(_) => return Err(misfit("it has two states").into()),
        }
    }
    Ok(())
}

/// Writes the first snapshot of a new cluster from records that come from elsewhere.
pub struct SeedWriter {
    writer: SnapshotWriter,
    packer: Packer,
    header: SnapshotHeader,
    last: Option<Position>,
}

impl SeedWriter {
    /// Begins it in the folder.
    pub fn create(
        disk: Arc<dyn Disk>,
        dir: &Path,
        founding: &Founding,
        machine: &Machine,
    ) -> Result<SeedWriter, StoreFault> {
        let (writer, header) = begin(disk, dir, founding, machine)?;
        Ok(SeedWriter {
            writer,
            packer: Packer::new(StoreOptions::default().block_bytes),
            header,
            last: None,
        })
    }

    /// Adds a record. Positions only grow, and none is beyond the machine's revision.
    pub fn push(&mut self, record: &Record) -> Result<(), StoreFault> {
        let position = record.meta.position();
        let grows = self.last.is_none_or(|last| last < position);
        if !grows || position > end_of(self.header.revision) {
            return Err(misfit("its records are not in order"));
        }
        self.last = Some(position);
        if let Some(packed) = self.packer.push(record) {
            parts::write_block(&mut self.writer, &packed.bytes)?;
        }
        Ok(())
    }

    /// Ends it; it is durable when this returns.
    pub fn finish(mut self) -> Result<(PathBuf, SnapshotHeader), StoreFault> {
        if let Some(packed) = self.packer.finish() {
            parts::write_block(&mut self.writer, &packed.bytes)?;
        }
        Ok((self.writer.finish()?, self.header))
    }
}

fn begin(
    disk: Arc<dyn Disk>,
    dir: &Path,
    founding: &Founding,
    machine: &Machine,
) -> Result<(SnapshotWriter, SnapshotHeader), StoreFault> {
    let header = SnapshotHeader {
        cluster_id: founding.cluster_id,
        last: founding.last,
        membership: founding.membership.clone(),
        revision: machine.revision(),
        compacted: machine.compacted(),
    };
    let state = encode_state(
        Some(founding.last),
        &founding.membership,
        machine.encode_state(),
        machine.revision(),
    );
    let mut writer = SnapshotWriter::create(disk, dir, &header)?;
    parts::write_state(&mut writer, &state)?;
    Ok((writer, header))
}

/// The state of a snapshot, if it is the one of its header.
pub(super) fn state_of(header: &SnapshotHeader, bytes: &Bytes) -> Result<State, StoreFault> {
    let state = State::decode(bytes).map_err(|error| match error {
        BookError::Damaged => misfit("its state does not decode"),
        BookError::TooNew => misfit("a newer version wrote its state"),
    })?;
    let agrees = state.applied == Some(header.last)
        && state.membership == header.membership
        && state.machine.revision() == header.revision
        && state.machine.compacted() == header.compacted;
    if agrees {
        Ok(state)
    } else {
        Err(misfit("its state is not the one of its header"))
    }
}
