//! One look at the whole cluster: what every node says of itself, and what its disk would say
//! after a power loss.
//!
//! Invariant: a look takes no simulated time, so all of it is of one moment.

use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;
use hstore_core::id::{LogId, LogIndex, NodeId, Term};
use hstore_node::NodeStatus;
use hstore_storage::disk::memory::MemoryDisk;
use hstore_storage::snapshot;
use hstore_storage::wal::{Wal, WalError, WalOptions};

use crate::world::{World, data_dir};

/// What was seen at one moment.
#[derive(Clone, Debug, Default)]
pub struct Sight {
    /// The nodes that run.
    pub nodes: Vec<Seen>,
    /// The synced logs of all places, when the disks were looked at.
    pub logs: Option<Vec<Kept>>,
}

/// One node that runs.
#[derive(Clone, Debug)]
pub struct Seen {
    /// Its place.
    pub at: usize,
    /// The life that it is in.
    pub life: u64,
    /// What it says.
    pub status: NodeStatus,
}

/// What the disk of one place holds for certain.
#[derive(Clone, Debug)]
pub struct Kept {
    /// The place.
    pub at: usize,
    /// The node that it belongs to.
    pub id: NodeId,
    /// Its disk is lost or damaged: it may have held anything.
    pub lost: bool,
    /// Its log; none when there is no log yet.
    pub log: Option<Result<Logbook, String>>,
}

/// A log as the disk has it.
#[derive(Clone, Debug, Default)]
pub struct Logbook {
    /// Up to where entries were let go.
    pub purged: Option<LogId>,
    /// The term of the last vote.
    pub term: Term,
    /// The last entry.
    pub last: Option<LogId>,
    /// The entry that the newest snapshot file covers.
    pub snapshot: Option<LogId>,
    /// The entries with a checksum of what they say.
    pub entries: Vec<(LogId, u32)>,
    /// What they say, in the same order.
    pub payloads: Vec<Bytes>,
}

impl Logbook {
    /// Reads the log on a disk, which is a copy that nobody else uses.
    pub fn read(disk: &MemoryDisk) -> Result<Logbook, String> {
        let options = WalOptions {
            segment_bytes: 256 * 1024,
            tail_bytes_max: usize::MAX,
        };
        let said = |error: WalError| error.to_string();
        let (wal, recovered) =
            Wal::open(Arc::new(disk.clone()), &data_dir().join("wal"), options).map_err(said)?;
        let read = match recovered.last {
            Some(last) if recovered.purged != recovered.last => {
                let first = recovered.purged.map_or(0, |purged| purged.index.0 + 1);
                let range = LogIndex(first)..LogIndex(last.index.0 + 1);
                wal.reader().read(range, usize::MAX).map_err(said)?
            }
            _ => Vec::new(),
        };
        let entries = read
            .iter()
            .map(|entry| (entry.id, crc32c::crc32c(&entry.payload)))
            .collect();
        let newest = snapshot::newest_unverified(disk, &data_dir().join("snapshots"));
        let newest = newest.map_err(|error| error.to_string())?.snapshot;
        Ok(Logbook {
            purged: recovered.purged,
            term: recovered.vote.as_deref().map_or(Term(0), term_of_vote),
            last: recovered.last,
            snapshot: newest.map(|(_path, header)| header.last),
            entries,
            payloads: read.into_iter().map(|entry| entry.payload).collect(),
        })
    }

    /// The entry at an index, if the log has it.
    pub fn at(&self, index: LogIndex) -> Option<LogId> {
        let first = self.entries.first()?.0.index.0;
        let place = usize::try_from(index.0.checked_sub(first)?).ok()?;
        self.entries.get(place).map(|(id, _checksum)| *id)
    }

    /// Whether the log or a snapshot holds this entry.
    pub fn holds(&self, id: LogId) -> bool {
        let covered = |upto: Option<LogId>| upto.is_some_and(|upto| upto.index >= id.index);
        covered(self.purged) || covered(self.snapshot) || self.at(id.index) == Some(id)
    }
}

impl Sight {
    /// Looks at the nodes, and at the disks too if asked to.
    pub fn of(world: &World, lost: Option<usize>, disks: bool) -> Sight {
        let nodes = world
            .running_at()
            .into_iter()
            .filter_map(|at| {
                Some(Seen {
                    at,
                    life: world.life(at),
                    status: world.node(at)?.status(),
                })
            })
            .collect();
        let logs = disks.then(|| {
            (0..world.seats())
                .map(|at| kept(world, at, lost == Some(at)))
                .collect()
        });
        Sight { nodes, logs }
    }

    /// The newest entry that somebody knows to be committed.
    pub fn committed(&self) -> Option<LogId> {
        let known = self.nodes.iter().filter_map(|seen| seen.status.committed);
        known.max_by_key(|id| id.index)
    }
}

fn kept(world: &World, at: usize, lost: bool) -> Kept {
    let disk = world.disk(at).synced_copy();
    // The copy is opened as after a crash, which may need some room.
    disk.set_capacity(None);
    let has_log = has_log(&disk, &data_dir().join("wal"));
    Kept {
        at,
        id: world.id(at),
        lost,
        log: has_log.then(|| Logbook::read(&disk)),
    }
}

fn has_log(disk: &MemoryDisk, dir: &Path) -> bool {
    use hstore_storage::disk::Disk;
    disk.list(dir).is_ok_and(|names| !names.is_empty())
}

/// The term in the bytes of a vote (docs/formats.md): a version, then protobuf whose first field is
/// the term, left out when it is 0.
fn term_of_vote(bytes: &[u8]) -> Term {
    let Some((0x08, varint)) = bytes
        .get(1..)
        .and_then(|rest| Some((*rest.first()?, &rest[1..])))
    else {
        return Term(0);
    };
    let len = 1 + varint.iter().take_while(|byte| **byte >= 0x80).count();
    let digits = varint.iter().take(len).rev();
    Term(digits.fold(0, |term, byte| (term << 7) | u64::from(byte & 0x7f)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_term_of_a_vote_is_read_as_the_formats_say() {
        let table: [(&[u8], u64); 5] = [
            (&[1, 0x08, 0x05, 0x10, 0x03], 5),
            (&[1, 0x08, 0xac, 0x02, 0x10, 0x03], 300),
            // A term of 0 is left out, and what is no vote has none.
            (&[1, 0x10, 0x03], 0),
            (&[1], 0),
            (&[], 0),
        ];
        for (bytes, term) in table {
            assert_eq!(term_of_vote(bytes), Term(term), "{bytes:?}");
        }
    }
}
