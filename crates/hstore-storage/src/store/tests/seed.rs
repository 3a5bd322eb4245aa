//! Backups out of a store, what is wrong with them, and the stores of new clusters made of them.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::Bytes;
use hstore_core::id::{ClusterId, Incarnation, LeaseTime, LogId, LogIndex, NodeId, Revision, Term};
use hstore_core::key::KeyRange;
use hstore_core::machine::Machine;
use hstore_core::membership::{Member, Membership};
use hstore_core::outcome::{LeaseState, Refusal};
use hstore_core::range::Range;
use hstore_core::record::{Meta, Record};

use super::super::{
    Founding, LogRange, Opened, RebuildReason, SeedWriter, Store, StoreError, StoreFault,
    StoreSetup, inspect, refound,
};
use super::snapshots::rich;
use super::world::{World, put, setup, small_options};
use crate::backup::{Backup, Outgoing};
use crate::disk::memory::{Fault, MemoryDisk, Operation};
use crate::disk::{Disk, OpenMode};
use crate::engine::memory::MemorySource;
use crate::snapshot::SnapshotError;

const FILE: &str = "/saved/backup";

/// Everything that a store sends, in pieces of this size, and how much was said to remain.
fn sent(store: &Store, piece: usize) -> Vec<u8> {
    let mut outgoing = Outgoing::of(store.spool_snapshot(&|| true).unwrap());
    let mut bytes = Vec::new();
    let mut remaining = outgoing.remaining_bytes();
    while let Some(next) = outgoing.next(piece).unwrap() {
        assert!(!next.is_empty() && next.len() <= piece);
        remaining -= next.len() as u64;
        assert_eq!(outgoing.remaining_bytes(), remaining);
        bytes.extend_from_slice(&next);
    }
    assert_eq!(remaining, 0);
    bytes.extend_from_slice(&outgoing.trailer());
    bytes
}

fn kept(bytes: &[u8]) -> Arc<MemoryDisk> {
    let disk = Arc::new(MemoryDisk::new());
    disk.create_dir_all(Path::new("/saved")).unwrap();
    let file = disk.open(Path::new(FILE), OpenMode::Create).unwrap();
    file.write_at(0, bytes).unwrap();
    disk
}

fn check(disk: &dyn Disk) -> Result<super::super::Summary, StoreError> {
    inspect(Backup::open(disk, Path::new(FILE))?.read()?)
}

fn founding() -> Founding {
    let last = LogId {
        term: Term(0),
        leader: NodeId(0),
        index: LogIndex(500),
    };
    let member = Member {
        name: "founder".to_owned(),
        incarnation: Incarnation(3),
        ..Member::default()
    };
    Founding {
        cluster_id: ClusterId(0xfeed),
        last,
        membership: Membership {
            log_id: Some(last),
            voters: vec![[NodeId(1)].into()],
            members: [(NodeId(1), member)].into(),
        },
    }
}

/// The store that a new node opens.
fn opened(disk: Arc<MemoryDisk>) -> Store {
    let setup = StoreSetup {
        cluster_id: founding().cluster_id,
        ..setup(
            small_options(),
            Arc::new(MemorySource::new()),
            disk,
            LogRange::default(),
        )
    };
    let (store, opened) = Store::open(setup).unwrap();
    let reason = RebuildReason::Missing;
    assert_eq!(opened, Opened::Rebuilt { reason });
    store
}

fn restored(bytes: &[u8], bump: u64, compacted: bool) -> Store {
    let saved = kept(bytes);
    let disk = Arc::new(MemoryDisk::new());
    let backup = Backup::open(&*saved, Path::new(FILE)).unwrap();
    let dir = super::world::snapshots();
    let to = disk.clone();
    let made = refound(
        backup.read().unwrap(),
        to,
        &dir,
        &founding(),
        bump,
        compacted,
    );
    made.unwrap();
    opened(disk)
}

#[test]
fn a_backup_is_as_long_as_etcds_clients_want_and_says_what_it_holds() {
    let world = rich();
    let bytes = sent(world.store(), 32 * 1024);
    assert_eq!(bytes.len() % 512, 32);
    assert_eq!(bytes, sent(world.store(), 1000), "however it is cut");
    let summary = check(&*kept(&bytes)).unwrap();
    let stats = world.store().stats();
    assert_eq!(summary.keys, stats.keys);
    assert_eq!(summary.state_hash, stats.state_hash);
    assert_eq!(summary.header.revision, stats.revision);
    assert_eq!(Some(summary.header.last), stats.applied);
    let names = world.disk.list(&super::world::snapshots()).unwrap();
    assert_eq!(names, Vec::<String>::new(), "nothing is left of it");
}

#[test]
fn a_changed_byte_of_a_backup_is_found_wherever_it_is() {
    let bytes = sent(rich().store(), 1 << 20);
    let len = bytes.len();
    let step = (len / 300).max(1);
    let ends = (0..64).chain(len - 600..len);
    for at in ends.chain((0..len).step_by(step)) {
        let mut damaged = bytes.clone();
        damaged[at] ^= 0x20;
        assert!(check(&*kept(&damaged)).is_err(), "byte {at} of {len}");
    }
    for short in [
        0,
        1,
        16,
        511,
        512,
        544,
        len / 2,
        len - 512,
        len - 32,
        len - 1,
    ] {
        assert!(check(&*kept(&bytes[..short])).is_err(), "{short} of {len}");
    }
    let mut longer = bytes.clone();
    longer.extend_from_slice(&[0; 512]);
    assert!(check(&*kept(&longer)).is_err());
}

#[test]
fn files_of_others_and_of_later_versions_are_told_apart() {
    let mut bytes = sent(rich().store(), 1 << 20);
    bytes[7] = 9;
    match check(&*kept(&bytes)) {
        Err(StoreError::Fault(StoreFault::Snapshot(SnapshotError::TooNew {
            found: 9, ..
        }))) => {}
        other => panic!("{other:?}"),
    }
    for foreign in [&b""[..], b"hstsnap", &[0; 4096 + 32]] {
        match check(&*kept(foreign)) {
            Err(StoreError::Fault(StoreFault::Snapshot(SnapshotError::Foreign { .. }))) => {}
            other => panic!("{other:?}"),
        }
    }
}

#[test]
fn a_file_out_of_a_nodes_folder_is_a_backup_without_a_trailer() {
    let world = rich();
    let (path, header) = world.store().write_snapshot().unwrap();
    let backup = Backup::open(&*world.disk, &path).unwrap();
    assert_eq!(backup.sha256, None);
    assert_eq!(inspect(backup.read().unwrap()).unwrap().header, header);
}

#[test]
fn a_restored_store_has_every_key_revision_and_session_of_the_former_one() {
    let world = rich();
    let store = restored(&sent(world.store(), 1 << 20), 0, false);
    assert_eq!(store.applied().0, Some(founding().last));
    assert_eq!(store.applied().1, founding().membership);
    assert_eq!(store.leases(), world.store().leases());
    let current = world.store().revision().0;
    for at in world.store().compacted().0..=current {
        let range = Range {
            revision: Revision(at),
            ..Range::of(KeyRange::all())
        };
        let expected = world.store().range(&range).unwrap();
        assert_eq!(store.range(&range).unwrap(), expected, "as of {at}");
    }
    let session = store.history(b"session", 0, Revision(0)).unwrap();
    assert_eq!(session.len(), 1);
    assert!(store.stats().state_hash == world.store().stats().state_hash);
}

#[test]
fn a_restored_store_can_skip_revisions_and_forget_history() {
    let world = rich();
    let bytes = sent(world.store(), 1 << 20);
    let store = restored(&bytes, 1000, true);
    let current = world.store().revision().0 + 1000;
    assert_eq!(store.revision(), Revision(current));
    assert_eq!(store.compacted(), Revision(current));
    let all = Range::of(KeyRange::all());
    let expected = world.store().range(&all).unwrap().result;
    assert_eq!(store.range(&all).unwrap().result, expected);
    let before = Range {
        revision: Revision(current - 1),
        ..all
    };
    let compacted = Revision(current);
    assert_eq!(
        store.range(&before).unwrap().result,
        Err(Refusal::Compacted { compacted })
    );
    while store.maintain().unwrap() == super::super::Progress::More {}
    assert_eq!(
        store.range(&Range::of(KeyRange::all())).unwrap().result,
        expected
    );

    let saved = kept(&bytes);
    let backup = Backup::open(&*saved, Path::new(FILE)).unwrap();
    let disk = Arc::new(MemoryDisk::new());
    let dir = PathBuf::from("/other");
    let too_far = refound(
        backup.read().unwrap(),
        disk,
        &dir,
        &founding(),
        u64::MAX,
        true,
    );
    assert!(too_far.is_err());
}

#[test]
fn a_backup_that_nobody_wants_or_has_room_for_ends_and_the_store_goes_on() {
    let mut world = rich();
    assert!(matches!(
        world.store().spool_snapshot(&|| false),
        Err(StoreFault::Unwanted)
    ));
    world.disk.fail(Operation::Write, 1, Fault::Broken);
    match world.store().spool_snapshot(&|| true) {
        Err(StoreFault::Snapshot(SnapshotError::Io { .. })) => {}
        other => panic!("{:?}", other.map(|reader| reader.len_bytes())),
    }
    world.disk.set_capacity(Some(64 << 20));
    match world.store().spool_snapshot(&|| true) {
        Err(StoreFault::Snapshot(error)) => assert!(error.is_disk_full()),
        other => panic!("{:?}", other.map(|reader| reader.len_bytes())),
    }
    world.disk.set_capacity(None);
    world.run([put(b"still", b"there")]);
    world.check();
    assert!(world.store().spool_snapshot(&|| true).is_ok());
}

#[test]
fn a_spooled_snapshot_is_of_the_moment_in_which_it_began() {
    let mut world = World::new();
    world.run([put(b"a", b"1")]);
    let reader = world.store().spool_snapshot(&|| true).unwrap();
    world.run([put(b"a", b"2")]);
    assert_eq!(reader.header().revision, Revision(2));
    let reader = world.store().spool_snapshot(&|| true).unwrap();
    assert_eq!(reader.header().revision, Revision(3));
}

#[test]
fn a_store_can_be_seeded_with_records_in_order_and_with_no_others() {
    let record = |key: &'static str, at: i64, sub: u32, lease: i64| Record {
        key: Bytes::from_static(key.as_bytes()),
        value: Bytes::from_static(b"value"),
        meta: Meta {
            create_revision: Revision(at - 1),
            mod_revision: Revision(at),
            sub,
            version: 7,
            lease,
        },
    };
    let ends = LeaseTime(5000);
    let leases = [(8, LeaseState { ttl: 60, ends })];
    let machine = Machine::seeded(Revision(40), LeaseTime(0), leases).unwrap();
    let disk = Arc::new(MemoryDisk::new());
    let dir = super::world::snapshots();
    let mut writer = SeedWriter::create(disk.clone(), &dir, &founding(), &machine).unwrap();
    let records = [
        record("b", 9, 0, 0),
        record("c", 9, 1, 8),
        record("a", 30, 0, 8),
    ];
    for record in &records {
        writer.push(record).unwrap();
    }
    assert!(writer.push(&record("d", 9, 2, 0)).is_err(), "out of order");
    assert!(
        writer.push(&record("d", 41, 0, 0)).is_err(),
        "beyond the end"
    );
    writer.finish().unwrap();
    let store = opened(disk);
    assert_eq!(store.revision(), Revision(40));
    assert_eq!(store.compacted(), Revision(40));
    let found = store.range(&Range::of(KeyRange::all())).unwrap();
    let [b, c, a] = records;
    assert_eq!(found.result.unwrap().records, [a, b, c]);
    let (state, keys) = store.lease(8, true).unwrap();
    assert_eq!(state, LeaseState { ttl: 60, ends });
    assert_eq!(keys, ["a", "c"]);

    assert!(Machine::seeded(Revision(0), LeaseTime(0), []).is_none());
    for (lease, ttl) in [(0, 5), (1, 0), (1, -1)] {
        let wrong = [(lease, LeaseState { ttl, ends })];
        assert!(Machine::seeded(Revision(1), LeaseTime(0), wrong).is_none());
    }
    let twice = [(8, LeaseState { ttl: 60, ends }); 2];
    assert!(Machine::seeded(Revision(1), LeaseTime(0), twice).is_none());
}
