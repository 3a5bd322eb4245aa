//! The first snapshot of the folder: etcd's keys as of one revision, with everything that etcd knows
//! of them, and its leases.
//!
//! A snapshot holds records in the order of revisions, etcd gives them in the order of keys. So they
//! are put into a file without a name first, and of each only its revision and its place stay in
//! memory: 16 bytes a key.

use std::fs::File;
use std::io::{BufWriter, Write as _};
use std::os::unix::fs::FileExt as _;
use std::path::Path;

use bytes::{Buf as _, BufMut as _, Bytes, BytesMut};
use futures::{StreamExt as _, TryStreamExt as _, stream};
use hstore_core::error::ErrorCode;
use hstore_core::id::{LeaseTime, Revision};
use hstore_core::machine::Machine;
use hstore_core::outcome::LeaseState;
use hstore_core::record::{Meta, Record};
use hstore_proto::mvccpb::KeyValue;
use hstore_storage::store::{Founding, SeedWriter, StoreFault};

use super::source::{Etcd, SourceLease};
use super::told::Told;
use crate::fault::Fault;
use crate::nursery::Nursery;

/// How many leases are asked about at a time.
const ASKED_MAX: usize = 32;

/// What stands before a record's key and value in the file.
const HEAD_BYTES: usize = 4 + 4 + 8 + 8 + 8;

/// Makes the first snapshot of the folder; the number of keys.
pub(super) async fn seed(
    etcd: &Etcd,
    nursery: &Nursery,
    founding: &Founding,
    revision: i64,
    told: &mut Told,
) -> Result<u64, Fault> {
    // After the revision is known: a lease that is gone by now took its keys with it in a later one.
    let leases = leases(etcd).await?;
    let alive = leases.iter().map(|lease| {
        let state = LeaseState {
            ttl: lease.granted,
            // Whole seconds were rounded down; a lease never ends early.
            ends: LeaseTime(0).after_seconds(lease.left.saturating_add(1)),
        };
        (lease.id, state)
    });
    let machine = Machine::seeded(Revision(revision), LeaseTime(0), alive).ok_or_else(|| {
        Fault::new(
            ErrorCode::TooManyLeases,
            format!(
                "{} has {} leases, more than there may be",
                etcd.name,
                leases.len()
            ),
        )
    })?;
    let mut pile = Pile::beside(&nursery.data).map_err(|error| pile_fault(nursery, &error))?;
    let mut pages = etcd.pages(revision);
    while let Some(page) = pages.next().await? {
        for pair in &page {
            pile.add(pair)
                .map_err(|error| pile_fault(nursery, &error))?;
        }
        told.reading(pile.places.len());
    }
    let keys = pile.places.len() as u64;
    tokio::task::block_in_place(|| {
        let failed = |fault: &StoreFault| {
            Fault::new(fault.code(), format!("{}: {fault}", nursery.data.display()))
        };
        let (file, places) = pile.sorted().map_err(|error| pile_fault(nursery, &error))?;
        let (disk, dir) = (nursery.disk(), nursery.snapshots());
        let mut writer =
            SeedWriter::create(disk, &dir, founding, &machine).map_err(|fault| failed(&fault))?;
        let mut before = None;
        let mut sub = 0;
        for (revision, offset) in places {
            sub = if before == Some(revision) { sub + 1 } else { 0 };
            before = Some(revision);
            let record = record(&file, revision, sub, offset)
                .map_err(|error| pile_fault(nursery, &error))?;
            writer.push(&record).map_err(|fault| failed(&fault))?;
        }
        writer.finish().map_err(|fault| failed(&fault))
    })?;
    Ok(keys)
}

/// All leases of etcd that are alive.
pub(super) async fn leases(etcd: &Etcd) -> Result<Vec<SourceLease>, Fault> {
    let ids = etcd.leases().await?;
    let asked = stream::iter(ids).map(|id| async move { etcd.lease(id).await });
    let found: Vec<Option<SourceLease>> = asked.buffered(ASKED_MAX).try_collect().await?;
    Ok(found.into_iter().flatten().collect())
}

fn pile_fault(nursery: &Nursery, error: &std::io::Error) -> Fault {
    Fault::of_file(nursery.data.display(), error)
}

/// Records in the order in which they came.
struct Pile {
    file: BufWriter<File>,
    written: u64,
    /// The revision of each and where it lies.
    places: Vec<(i64, u64)>,
}

impl Pile {
    fn beside(data: &Path) -> std::io::Result<Pile> {
        let path = data.join("import.tmp");
        let file = File::options()
            .read(true)
            .write(true)
            .create(true)
            .truncate(true)
            .open(&path)?;
        // Whoever has it open goes on; nothing of it stays.
        std::fs::remove_file(&path)?;
        Ok(Pile {
            file: BufWriter::with_capacity(1 << 20, file),
            written: 0,
            places: Vec::new(),
        })
    }

    fn add(&mut self, pair: &KeyValue) -> std::io::Result<()> {
        let mut head = BytesMut::with_capacity(HEAD_BYTES);
        head.put_u32(u32::try_from(pair.key.len()).map_err(std::io::Error::other)?);
        head.put_u32(u32::try_from(pair.value.len()).map_err(std::io::Error::other)?);
        head.put_i64(pair.create_revision);
        head.put_i64(pair.version);
        head.put_i64(pair.lease);
        for bytes in [&head[..], &pair.key, &pair.value] {
            self.file.write_all(bytes)?;
        }
        self.places.push((pair.mod_revision, self.written));
        self.written += (HEAD_BYTES + pair.key.len() + pair.value.len()) as u64;
        Ok(())
    }

    /// The file, and the places in the order of revisions; of one revision in the order of keys.
    fn sorted(mut self) -> std::io::Result<(File, Vec<(i64, u64)>)> {
        self.places.sort_unstable();
        let file = self
            .file
            .into_inner()
            .map_err(std::io::IntoInnerError::into_error)?;
        Ok((file, self.places))
    }
}

fn record(file: &File, revision: i64, sub: u32, offset: u64) -> std::io::Result<Record> {
    let mut head = [0; HEAD_BYTES];
    file.read_exact_at(&mut head, offset)?;
    let mut fields = &head[..];
    let (key, value) = (fields.get_u32() as usize, fields.get_u32() as usize);
    let meta = Meta {
        mod_revision: Revision(revision),
        sub,
        create_revision: Revision(fields.get_i64()),
        version: fields.get_i64(),
        lease: fields.get_i64(),
    };
    let mut bytes = vec![0; key + value];
    file.read_exact_at(&mut bytes, offset + HEAD_BYTES as u64)?;
    let mut bytes = Bytes::from(bytes);
    let key = bytes.split_to(key);
    Ok(Record {
        key,
        value: bytes,
        meta,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_come_back_in_the_order_of_revisions() {
        let folder = tempfile::tempdir().unwrap();
        let mut pile = Pile::beside(folder.path()).unwrap();
        let pair = |key: &'static str, at: i64, value: usize| KeyValue {
            key: key.into(),
            create_revision: at - 1,
            mod_revision: at,
            version: 2,
            value: vec![b'v'; value].into(),
            lease: -3,
        };
        for pair in [pair("a", 9, 5), pair("b", 4, 0), pair("c", 9, 100_000)] {
            pile.add(&pair).unwrap();
        }
        let (file, places) = pile.sorted().unwrap();
        let read: Vec<Record> = places
            .iter()
            .map(|(revision, offset)| record(&file, *revision, 0, *offset).unwrap())
            .collect();
        let keys: Vec<&[u8]> = read.iter().map(|record| &record.key[..]).collect();
        assert_eq!(keys, [b"b", b"a", b"c"]);
        assert_eq!(read[2].value.len(), 100_000);
        assert_eq!(read[1].meta.create_revision, Revision(8));
        assert_eq!(read[1].meta.lease, -3);
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
    }
}
