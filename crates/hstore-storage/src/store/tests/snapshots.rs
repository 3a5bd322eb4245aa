//! Snapshots out of one store and into another.

use std::sync::Arc;

use hstore_core::command::RequestId;
use hstore_core::id::{ClusterId, LogIndex};
use hstore_core::key::KeyRange;
use hstore_core::membership::{Member, Membership};

use super::super::{
    ApplyItem, LogRange, Opened, RebuildReason, Store, StoreError, StoreFault, StoreSetup,
};
use super::world::{World, batch, compact, compare, delete, put, setup, small_options};
use crate::disk::Disk;
use crate::disk::memory::{Fault, MemoryDisk, Operation};
use crate::engine::EngineSource;
use crate::engine::memory::MemorySource;
use crate::snapshot::SnapshotReader;

/// A store with history, tombstones, compaction half done, sessions, members and a large value.
pub(super) fn rich() -> World {
    let mut world = World::new();
    let mut membership = Membership::default();
    membership
        .members
        .insert(hstore_core::id::NodeId(1), Member::default());
    world.apply(ApplyItem::Membership(membership));
    for n in 0..60u8 {
        world.run([put(&[n % 20], &[n; 80]), put(&[100, n], b"once")]);
        if n % 9 == 0 {
            world.run([delete(KeyRange::One(vec![n % 20].into()))]);
            world.store().flush().unwrap();
        }
    }
    world.run([put(b"large", &vec![b'l'; 1536 * 1024]), compact(70)]);
    for _ in 0..3 {
        world.store().maintain().unwrap();
    }
    let request = RequestId {
        client: 9,
        sequence: 1,
        answered_below: 0,
        born: LogIndex(0),
    };
    world.apply(batch([(Some(request), put(b"session", b"kept"))]));
    world
}

/// Another node's store, empty.
fn other() -> (StoreSetup, Arc<MemorySource>, Arc<MemoryDisk>, Store) {
    let engines = Arc::new(MemorySource::new());
    let disk = Arc::new(MemoryDisk::new());
    disk.create_dir_all(&super::world::snapshots()).unwrap();
    let setup = setup(
        small_options(),
        engines.clone(),
        disk.clone(),
        LogRange::default(),
    );
    let (store, opened) = Store::open(setup.clone()).unwrap();
    assert_eq!(opened, Opened::Empty);
    (setup, engines, disk, store)
}

/// Carries a file from one disk to another, as the node's stream does.
fn carry(from: &dyn Disk, to: &dyn Disk, path: &std::path::Path) {
    let reader = SnapshotReader::open(from, path).unwrap();
    let file = to.open(path, crate::disk::OpenMode::Create).unwrap();
    let bytes = reader.read_raw(0, reader.len_bytes() as usize).unwrap();
    file.set_len(0).unwrap();
    file.write_at(0, &bytes).unwrap();
    file.sync_data().unwrap();
    to.sync_dir(path.parent().unwrap()).unwrap();
}

#[test]
fn a_store_that_installed_a_snapshot_is_the_one_that_wrote_it() {
    let mut world = rich();
    let (path, header) = world.store().write_snapshot().unwrap();
    assert_eq!(header.last.index, LogIndex(world.log.len() as u64 - 1));
    let (setup, engines, _, store) = other();
    store.apply(world.log[0].0, world.log[0].1.clone()).unwrap();
    carry(world.disk.as_ref(), setup.disk.as_ref(), &path);
    assert_eq!(store.install_snapshot(&path).unwrap(), header);
    compare(&store, &world.naive);
    assert_eq!(
        store.content_hash().unwrap(),
        world.store().content_hash().unwrap()
    );
    assert_eq!(engines.list().unwrap().len(), 1);

    // Both go on alike, a repeated request included.
    let request = RequestId {
        client: 9,
        sequence: 1,
        answered_below: 0,
        born: LogIndex(0),
    };
    let from = world.log.len();
    world.apply(batch([(Some(request), put(b"session", b"twice"))]));
    world.run([put(b"next", b"value"), compact(90), delete(KeyRange::all())]);
    for (at, (id, item)) in world.log.iter().enumerate().skip(from) {
        assert_eq!(store.apply(*id, item.clone()).unwrap(), world.outcomes[at]);
    }
    compare(&store, &world.naive);
    assert_eq!(
        store.content_hash().unwrap(),
        world.store().content_hash().unwrap()
    );

    // And after a restart from the installed engine.
    store.close().unwrap();
    let (store, opened) = Store::open(StoreSetup {
        log: world.log_range(),
        ..setup
    })
    .unwrap();
    assert_eq!(opened, Opened::Reused);
    compare(&store, &world.naive);
}

#[test]
fn a_snapshot_does_not_depend_on_flushes_and_on_how_far_compaction_came() {
    let world = rich();
    let hash = world.store().content_hash().unwrap();
    world.store().flush().unwrap();
    assert_eq!(world.store().content_hash().unwrap(), hash);
    world.maintain_all();
    assert_eq!(world.store().content_hash().unwrap(), hash);
    let (_, header) = world.store().write_snapshot().unwrap();
    assert_eq!(header.compacted, world.store().compacted());
}

#[test]
fn a_power_loss_is_made_good_from_the_snapshot_and_the_log_after_it() {
    let mut world = rich();
    world.snapshot_and_purge();
    world.run([put(b"after", b"the snapshot")]);
    let reason = RebuildReason::PowerLoss;
    assert_eq!(world.lose_power(), Opened::Rebuilt { reason });
    world.check();
}

#[test]
fn a_disk_that_fails_while_a_snapshot_is_written_leaves_the_store_as_it_was() {
    let world = rich();
    for fault in [Fault::Broken, Fault::Full] {
        world.disk.fail(Operation::Write, 1, fault);
        assert!(matches!(
            world.store().write_snapshot(),
            Err(StoreFault::Snapshot(_))
        ));
        world.check();
        let names = world.disk.list(&super::world::snapshots()).unwrap();
        assert!(
            !names.iter().any(|name| name.ends_with("snap")),
            "{names:?}"
        );
    }
    world.store().write_snapshot().unwrap();
}

#[test]
fn a_store_without_an_entry_has_nothing_to_snapshot() {
    let world = World::new();
    assert!(matches!(
        world.store().write_snapshot(),
        Err(StoreFault::NothingApplied)
    ));
}

#[test]
fn a_foreign_or_damaged_snapshot_is_refused_and_changes_nothing() {
    let world = rich();
    let (path, _) = world.store().write_snapshot().unwrap();
    let (mut foreign, engines, _, store) = other();
    carry(world.disk.as_ref(), foreign.disk.as_ref(), &path);
    drop(store);
    foreign.cluster_id = ClusterId(5);
    match Store::open(foreign.clone()).map(|(_, opened)| opened) {
        Err(StoreError::ForeignSnapshot {
            found, expected, ..
        }) => {
            assert_eq!((found, expected), (super::world::CLUSTER, ClusterId(5)));
        }
        other => panic!("{other:?}"),
    }
    assert_eq!(
        engines.list().unwrap().len(),
        1,
        "no half-made engine stays"
    );

    let (setup, engines, memory, store) = other();
    carry(world.disk.as_ref(), setup.disk.as_ref(), &path);

    let before = (engines.current().unwrap(), store.content_hash().unwrap());
    let len = SnapshotReader::open(setup.disk.as_ref(), &path)
        .unwrap()
        .len_bytes();
    for offset in (0..len).step_by(len as usize / 40) {
        assert!(memory.flip(&path, offset, 0x10));
        assert!(store.install_snapshot(&path).is_err(), "byte {offset}");
        assert!(memory.flip(&path, offset, 0x10));
        let after = (engines.current().unwrap(), store.content_hash().unwrap());
        assert_eq!(after, before, "byte {offset}");
    }
    store.install_snapshot(&path).unwrap();
    compare(&store, &world.naive);
}
