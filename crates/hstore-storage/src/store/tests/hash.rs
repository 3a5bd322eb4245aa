//! The hash by which members compare what they hold, and what becomes of waste on the disk.

use std::sync::Arc;

use hstore_core::id::Revision;
use hstore_core::key::KeyRange;
use hstore_core::outcome::Refusal;

use super::super::{HashWalk, KeyHash, LogRange, Progress, Store, StoreOptions};
use super::world::{World, compact, delete, put, setup, small_options, snapshots};
use crate::disk::Disk;
use crate::disk::memory::MemoryDisk;
use crate::engine::memory::MemorySource;

fn hash(store: &Arc<Store>, revision: i64) -> Result<KeyHash, Refusal> {
    let mut walk = HashWalk::begin(Arc::clone(store), Revision(revision)).unwrap()?;
    loop {
        // One byte is one piece.
        if let Some(hash) = walk.step(1).unwrap() {
            return Ok(hash);
        }
    }
}

/// A history with compaction half way through its blocks.
fn history() -> World {
    let mut world = World::new();
    for n in 0..80u8 {
        world.run([put(&[n % 20], &[n; 80]), put(&[100, n], b"once")]);
        if n % 9 == 0 {
            world.run([delete(KeyRange::One(vec![n % 20].into()))]);
        }
        if n % 11 == 0 {
            world.store().flush().unwrap();
        }
    }
    world.run([compact(70)]);
    world.run([put(b"after", b"it")]);
    world
}

/// The same entries applied by another node, which keeps them in its own way.
fn replica(world: &World, options: StoreOptions) -> Arc<Store> {
    let disk = Arc::new(MemoryDisk::new());
    disk.create_dir_all(&snapshots()).unwrap();
    let engines = Arc::new(MemorySource::new());
    let setup = setup(options, engines, disk, LogRange::default());
    let (store, _opened) = Store::open(setup).unwrap();
    world.replay(&store);
    Arc::new(store)
}

#[test]
fn members_agree_whatever_their_blocks_are_and_however_far_compaction_is() {
    let mut world = history();
    let unflushed = replica(&world, StoreOptions::default());
    let large_blocks = replica(
        &world,
        StoreOptions {
            block_bytes: 5000,
            ..small_options()
        },
    );
    large_blocks.flush().unwrap();
    for _ in 0..3 {
        large_blocks.maintain().unwrap();
    }
    world.maintain_all();
    let swept = Arc::new(world.store.take().unwrap());
    let current = swept.revision().0;
    let mut before = None;
    for revision in 70..=current {
        let expected = hash(&swept, revision).unwrap();
        assert_eq!(expected.revision, Revision(revision));
        assert_eq!(expected.compacted, Revision(70));
        assert_eq!(expected.current, Revision(current));
        assert_eq!(hash(&unflushed, revision), Ok(expected));
        assert_eq!(hash(&large_blocks, revision), Ok(expected));
        assert_ne!(before, Some(expected.hash), "every revision counts");
        before = Some(expected.hash);
    }
    assert_eq!(hash(&swept, 0), hash(&unflushed, current));
    let compacted = Refusal::Compacted {
        compacted: Revision(70),
    };
    assert_eq!(hash(&swept, 69), Err(compacted));
    let future = Refusal::FutureRevision {
        current: Revision(current),
    };
    assert_eq!(hash(&swept, current + 1), Err(future));
}

#[test]
fn a_hash_under_way_holds_compaction_off_and_sees_nothing_that_comes_later() {
    let world = history();
    let store = replica(&world, small_options());
    store.flush().unwrap();
    let expected = hash(&store, 0).unwrap();
    let mut walk = HashWalk::begin(Arc::clone(&store), Revision(0))
        .unwrap()
        .unwrap();
    assert_eq!(walk.step(1).unwrap(), None);
    let (last, _) = store.applied();
    let mut next = last.unwrap();
    for command in [put(&[3], b"later"), compact(expected.revision.0)] {
        next.index.0 += 1;
        let item = super::world::batch([(None, command)]);
        store.apply(next, item).unwrap();
    }
    for _ in 0..50 {
        assert_eq!(store.maintain().unwrap(), Progress::Idle, "it waits");
    }
    let found = loop {
        if let Some(found) = walk.step(1).unwrap() {
            break found;
        }
    };
    assert_eq!(found.hash, expected.hash);
    drop(walk);
    assert_eq!(store.maintain().unwrap(), Progress::More);
}

#[test]
fn what_is_reclaimed_is_told_and_tidying_takes_what_would_not_pay() {
    let mut world = World::new();
    for n in 0..60u8 {
        world.run([put(&[n], &[n; 80])]);
    }
    world.run([put(&[0], b"again")]);
    world.store().flush().unwrap();
    let before = world.store().stats();
    assert!(before.live_bytes > 0 && before.live_bytes <= before.block_bytes);
    assert!(before.block_bytes <= before.engine_bytes);
    assert_eq!(before.room_bytes(), before.block_bytes);
    assert_eq!(world.store().reclaimed(), Revision(0));
    let revision = world.store().revision();
    world.run([compact(revision.0)]);
    world.maintain_all();
    assert_eq!(world.store().reclaimed(), revision);
    // One dead record of sixty stays where it is.
    let swept = world.store().stats();
    assert_eq!(swept.block_records, 61);
    assert!(swept.live_bytes < before.live_bytes);
    world.store().tidy();
    world.maintain_all();
    let tidied = world.store().stats();
    assert_eq!(tidied.block_records, 60);
    assert!(tidied.room_bytes() < swept.room_bytes());
    world.check();
}
