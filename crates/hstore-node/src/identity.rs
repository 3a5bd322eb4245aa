//! Who this data folder is: the first file written into it and the last one believed.
//!
//! Invariants: (1) the incarnation is on the disk before anybody hears of it; (2) a folder whose
//! stage is `Member` had a log, so a missing log is damage and never a fresh start.

use std::io;
use std::path::Path;

use hstore_core::error::ErrorCode;
use hstore_core::id::{ClusterId, Incarnation, LogIndex, NodeId};
use hstore_storage::disk::{Disk, OpenMode};
use prost::Message;

/// The name of the file in the data folder.
const FILE: &str = "identity";
/// The name that the file has while it is written.
const UNFINISHED: &str = "identity.tmp";
/// The byte that the file begins with.
const VERSION: u8 = 1;
/// More than any identity takes; a longer file is damaged.
const BYTES_MAX: u64 = 64 * 1024;

/// How far a data folder has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stage {
    /// It has an incarnation and belongs to no cluster yet.
    Drawn,
    /// It is to found its cluster: node 1 of 1.
    Founding,
    /// It has a node id in a cluster that may not know it as a member yet.
    Joining,
    /// It was a member when it last ran.
    Member,
}

/// Who a data folder is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    /// The cluster; 0 while `Drawn`.
    pub cluster: ClusterId,
    /// The cluster's name; empty while `Drawn`.
    pub cluster_name: String,
    /// The node id; 0 while `Drawn`.
    pub node: NodeId,
    /// The data folder.
    pub incarnation: Incarnation,
    /// How far it has come.
    pub stage: Stage,
    /// The entry with a membership that this node was part of, once there was one. It proves to
    /// peers that a later membership without this node removed it.
    pub member_since: Option<LogIndex>,
}

impl Identity {
    /// A new data folder that will ask a cluster for its place.
    pub fn draw(incarnation: Incarnation) -> Identity {
        Identity {
            cluster: ClusterId(0),
            cluster_name: String::new(),
            node: NodeId(0),
            incarnation,
            stage: Stage::Drawn,
            member_since: None,
        }
    }

    /// A new data folder that will found a cluster.
    pub fn found(cluster: ClusterId, cluster_name: String, incarnation: Incarnation) -> Identity {
        Identity {
            cluster,
            cluster_name,
            node: NodeId(1),
            incarnation,
            stage: Stage::Founding,
            member_since: None,
        }
    }

    /// The identity with the place that a cluster gave it.
    #[must_use]
    pub fn join(self, cluster: ClusterId, cluster_name: String, node: NodeId) -> Identity {
        Identity {
            cluster,
            cluster_name,
            node,
            stage: Stage::Joining,
            ..self
        }
    }

    /// The identity of a node that was seen in the membership of an entry.
    #[must_use]
    pub fn member(self, since: LogIndex) -> Identity {
        Identity {
            stage: Stage::Member,
            member_since: Some(since),
            ..self
        }
    }

    /// The identity in a data folder, if it has one.
    pub fn read(disk: &dyn Disk, data_dir: &Path) -> Result<Option<Identity>, IdentityError> {
        let path = data_dir.join(FILE);
        let file = match disk.open(&path, OpenMode::Read) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error.into()),
        };
        let len = file.len()?;
        if len > BYTES_MAX {
            return Err(IdentityError::Corrupt);
        }
        let mut bytes = vec![0; len as usize];
        file.read_exact_at(0, &mut bytes)?;
        Identity::decode(&bytes).map(Some)
    }

    /// Writes the identity into a data folder, which is made if it is not there. When it returns
    /// the identity survives a power loss; before, the folder has the old one or none.
    pub fn write(&self, disk: &dyn Disk, data_dir: &Path) -> Result<(), IdentityError> {
        disk.create_dir_all(data_dir)?;
        let unfinished = data_dir.join(UNFINISHED);
        let file = disk.open(&unfinished, OpenMode::Create)?;
        let bytes = self.encode();
        file.set_len(0)?;
        file.write_at(0, &bytes)?;
        file.sync_data()?;
        disk.rename(&unfinished, &data_dir.join(FILE))?;
        disk.sync_dir(data_dir)?;
        Ok(())
    }

    fn encode(&self) -> Vec<u8> {
        let wire = IdentityWire {
            cluster: self.cluster.0,
            cluster_name: self.cluster_name.clone(),
            node: self.node.0,
            incarnation: self.incarnation.0,
            stage: self.stage.number(),
            member_since: self.member_since.map(|index| index.0),
        };
        let mut bytes = vec![VERSION];
        bytes.extend(wire.encode_to_vec());
        let checksum = crc32c::crc32c(&bytes);
        bytes.extend(checksum.to_le_bytes());
        bytes
    }

    fn decode(bytes: &[u8]) -> Result<Identity, IdentityError> {
        // The version comes first: a newer format may have another checksum, or none.
        let version = *bytes.first().ok_or(IdentityError::Corrupt)?;
        if version > VERSION {
            return Err(IdentityError::TooNew { found: version });
        }
        let (body, checksum) = bytes
            .split_last_chunk::<4>()
            .ok_or(IdentityError::Corrupt)?;
        if version != VERSION || crc32c::crc32c(body) != u32::from_le_bytes(*checksum) {
            return Err(IdentityError::Corrupt);
        }
        let rest = body.get(1..).ok_or(IdentityError::Corrupt)?;
        let wire = IdentityWire::decode(rest).map_err(|_error| IdentityError::Corrupt)?;
        Ok(Identity {
            cluster: ClusterId(wire.cluster),
            cluster_name: wire.cluster_name,
            node: NodeId(wire.node),
            incarnation: Incarnation(wire.incarnation),
            stage: Stage::of(wire.stage).ok_or(IdentityError::Corrupt)?,
            member_since: wire.member_since.map(LogIndex),
        })
    }
}

impl Stage {
    fn number(self) -> u32 {
        match self {
            Stage::Drawn => 1,
            Stage::Founding => 2,
            Stage::Joining => 3,
            Stage::Member => 4,
        }
    }

    fn of(number: u32) -> Option<Stage> {
        [Stage::Drawn, Stage::Founding, Stage::Joining, Stage::Member]
            .into_iter()
            .find(|stage| stage.number() == number)
    }
}

#[derive(Clone, PartialEq, prost::Message)]
struct IdentityWire {
    #[prost(fixed64, tag = "1")]
    cluster: u64,
    #[prost(string, tag = "2")]
    cluster_name: String,
    #[prost(uint64, tag = "3")]
    node: u64,
    #[prost(fixed64, tag = "4")]
    incarnation: u64,
    #[prost(uint32, tag = "5")]
    stage: u32,
    #[prost(uint64, optional, tag = "6")]
    member_since: Option<u64>,
}

/// Why there is no identity to be had.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum IdentityError {
    /// The file is not what was written.
    #[error("the file `identity` of the data folder is damaged")]
    Corrupt,
    /// The file is of a version that this one does not know.
    #[error("the data folder is of format {found}, this version knows format 1")]
    TooNew {
        /// The version that was found.
        found: u8,
    },
    /// The disk refused.
    #[error("the data folder cannot be used: {0}")]
    Disk(String),
}

impl IdentityError {
    /// The stable code.
    pub fn code(&self) -> ErrorCode {
        match self {
            IdentityError::Corrupt => ErrorCode::DataCorrupt,
            IdentityError::TooNew { .. } => ErrorCode::FormatTooNew,
            IdentityError::Disk(_) => ErrorCode::DataUnusable,
        }
    }
}

impl From<io::Error> for IdentityError {
    fn from(error: io::Error) -> IdentityError {
        IdentityError::Disk(error.to_string())
    }
}

#[cfg(test)]
mod tests {
    use hstore_storage::disk::memory::MemoryDisk;

    use super::*;

    fn identity() -> Identity {
        Identity::found(ClusterId(7), "home".to_owned(), Incarnation(9))
    }

    #[test]
    fn an_identity_survives_a_power_loss_once_it_is_written() {
        let disk = MemoryDisk::new();
        let folder = Path::new("/data");
        assert_eq!(Identity::read(&disk, folder), Ok(None));
        identity().write(&disk, folder).expect("a healthy disk");
        let joined =
            Identity::draw(Incarnation(3)).join(ClusterId(7), "home".to_owned(), NodeId(5));
        joined.write(&disk, folder).expect("a healthy disk");
        let disk = disk.crash(1);
        assert_eq!(Identity::read(&disk, folder), Ok(Some(joined)));
    }

    #[test]
    fn an_identity_keeps_its_bytes_for_ever() {
        let golden = [
            1, 9, 7, 0, 0, 0, 0, 0, 0, 0, 18, 4, 104, 111, 109, 101, 24, 1, 33, 9, 0, 0, 0, 0, 0,
            0, 0, 40, 2,
        ];
        let bytes = identity().encode();
        assert_eq!(&bytes[..bytes.len() - 4], &golden);
        assert_eq!(Identity::decode(&bytes), Ok(identity()));
    }

    #[test]
    fn a_damaged_or_newer_identity_is_refused() {
        let whole = identity().encode();
        for at in 0..whole.len() {
            let mut damaged = whole.clone();
            damaged[at] ^= 1;
            assert_eq!(Identity::decode(&damaged), Err(IdentityError::Corrupt));
        }
        assert_eq!(Identity::decode(&[]), Err(IdentityError::Corrupt));
        let mut newer = whole[..whole.len() - 4].to_vec();
        newer[0] = 2;
        let checksum = crc32c::crc32c(&newer);
        newer.extend(checksum.to_le_bytes());
        assert_eq!(
            Identity::decode(&newer),
            Err(IdentityError::TooNew { found: 2 })
        );
    }
}
