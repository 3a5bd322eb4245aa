//! Which engines are used again and which are not (DESIGN.md, D2).

use std::collections::BTreeMap;
use std::ops::ControlFlow;

use bytes::Bytes;

use hstore_core::id::{ClusterId, LogId, LogIndex, NodeId, Term};

use super::super::bookkeeping::{self, Tally};
use super::super::{ApplyItem, LogRange, Opened, RebuildReason, Store, StoreError, StoreFault};
use super::world::{World, compare, put};
use crate::blocks::Block;
use crate::engine::{EngineSource, WriteBatch};

/// A world with a hundred keys, half of them flushed.
fn filled() -> World {
    let mut world = World::new();
    for n in 0..100u8 {
        world.run([put(&[n], &[n; 50]), put(&[n / 2], b"again")]);
        if n == 50 {
            world.store().flush().unwrap();
        }
    }
    world
}

fn rebuilt(reason: RebuildReason) -> Opened {
    Opened::Rebuilt { reason }
}

#[test]
fn a_clean_stop_leaves_nothing_to_replay() {
    let mut world = filled();
    world.store.take().unwrap().close().unwrap();
    let (store, opened) = world.try_open().unwrap();
    assert_eq!(opened, Opened::Reused);
    compare(&store, &world.naive);
    world.store = Some(store);
    assert_eq!(world.reopen(), Opened::Reused);
    world.check();
}

#[test]
fn a_process_that_died_leaves_what_it_flushed() {
    let mut world = filled();
    let flushed = world.store().stats().flushed;
    drop(world.store.take());
    let (store, opened) = world.try_open().unwrap();
    assert_eq!(opened, Opened::Reused);
    assert_eq!(store.applied().0, flushed);
    assert_eq!(flushed.map(|id| id.index), Some(LogIndex(50)));
    world.replay(&store);
    compare(&store, &world.naive);
}

#[test]
fn a_machine_that_lost_its_power_leaves_nothing_that_is_trusted() {
    let mut world = filled();
    assert_eq!(world.lose_power(), rebuilt(RebuildReason::PowerLoss));
    world.check();
    // But after a clean stop the power may go.
    world.store.take().unwrap().close().unwrap();
    world.engines.crash_machine();
    assert_eq!(world.open(), Opened::Reused);
    world.check();
    assert_eq!(
        world.engines.list().unwrap().len(),
        1,
        "what was set aside is removed"
    );
}

#[test]
fn an_engine_of_a_newer_or_foreign_hand_or_a_damaged_one_is_not_used() {
    type Harm = fn(&World);
    let current = |world: &World| world.engines.current().unwrap().unwrap();
    let cases: [(&str, Harm, RebuildReason); 9] = [
        (
            "an empty marker",
            |world| {
                world
                    .engines
                    .save_marker(world.engines.current().unwrap().unwrap(), b"")
                    .unwrap();
            },
            RebuildReason::Damaged,
        ),
        (
            "a newer marker",
            |world| {
                let number = world.engines.current().unwrap().unwrap();
                let mut marker = world.engines.marker(number).unwrap().unwrap().to_vec();
                marker[0] += 1;
                world.engines.save_marker(number, &marker).unwrap();
            },
            RebuildReason::TooNew,
        ),
        (
            "a marker of another cluster",
            |world| {
                let number = world.engines.current().unwrap().unwrap();
                let marker = super::super::marker::Marker {
                    cluster_id: ClusterId(1),
                    boot_id: world.engines.boot_id(),
                    clean: None,
                };
                world.engines.save_marker(number, &marker.encode()).unwrap();
            },
            RebuildReason::Foreign,
        ),
        (
            "a pointer to nothing",
            |world| {
                world
                    .engines
                    .switch(crate::engine::EngineNumber(99))
                    .unwrap();
            },
            RebuildReason::Missing,
        ),
        (
            "a block less",
            |world| change(world, |blocks| vec![(blocks[2].0.clone(), None)]),
            RebuildReason::Damaged,
        ),
        (
            "a flipped bit in a block",
            |world| {
                change(world, |blocks| {
                    let (key, value) = &blocks[3];
                    let mut value = value.to_vec();
                    let at = value.len() / 2;
                    value[at] ^= 4;
                    vec![(key.clone(), Some(value.into()))]
                });
            },
            RebuildReason::Damaged,
        ),
        (
            "a block under the key of another",
            |world| {
                change(world, |blocks| {
                    vec![
                        (blocks[1].0.clone(), Some(blocks[0].1.clone())),
                        (blocks[0].0.clone(), None),
                    ]
                });
            },
            RebuildReason::Damaged,
        ),
        (
            "a pair that nobody wrote",
            |world| {
                change(world, |_| {
                    vec![(Bytes::from_static(b"what"), Some(Bytes::new()))]
                });
            },
            RebuildReason::Damaged,
        ),
        (
            "a newer state",
            |world| {
                change(world, |_| {
                    let key = Bytes::from_static(bookkeeping::STATE_KEY);
                    vec![(key, Some(Bytes::from_static(&[2, 0, 0, 0, 0, 0])))]
                });
            },
            RebuildReason::TooNew,
        ),
    ];
    for (name, harm, reason) in cases {
        let mut world = filled();
        world.store.take().unwrap().close().unwrap();
        let before = current(&world);
        harm(&world);
        assert_eq!(world.open(), rebuilt(reason), "{name}");
        world.check();
        assert_ne!(current(&world), before, "{name}");
        assert_eq!(world.engines.list().unwrap(), [current(&world)], "{name}");
        assert_eq!(world.reopen(), Opened::Reused, "{name}");
        world.check();
    }
}

/// Keys and their new values, or none to delete.
type Changes = Vec<(Bytes, Option<Bytes>)>;

/// Changes the engine in use behind the store's back.
fn change(world: &World, harm: fn(&[(Bytes, Bytes)]) -> Changes) {
    let number = world.engines.current().unwrap().unwrap();
    let mut blocks = Vec::new();
    let engine = world
        .engines
        .open(number, &mut |key, value| {
            if key[0] == 1 {
                blocks.push((Bytes::copy_from_slice(key), Bytes::copy_from_slice(value)));
            }
            ControlFlow::Continue(())
        })
        .unwrap();
    let mut batch = WriteBatch::default();
    for (key, value) in harm(&blocks) {
        match value {
            Some(value) => batch.put(key, value),
            None => batch.delete(key),
        }
    }
    engine.write(batch).unwrap();
}

#[test]
fn an_engine_that_the_log_cannot_go_on_from_is_not_used() {
    let id = |term, index| LogId {
        term: Term(term),
        leader: NodeId(1),
        index: LogIndex(index),
    };
    // The store's last entry is 99, of term 10; the snapshot's is the same.
    let cases = [
        (
            LogRange {
                purged: None,
                last: Some(id(10, 99)),
            },
            true,
        ),
        (
            LogRange {
                purged: None,
                last: Some(id(30, 200)),
            },
            true,
        ),
        (
            LogRange {
                purged: Some(id(10, 99)),
                last: None,
            },
            true,
        ),
        (
            LogRange {
                purged: Some(id(9, 80)),
                last: Some(id(12, 120)),
            },
            true,
        ),
        (
            LogRange {
                purged: None,
                last: Some(id(10, 98)),
            },
            false,
        ),
        (
            LogRange {
                purged: None,
                last: Some(id(11, 99)),
            },
            false,
        ),
        (
            LogRange {
                purged: None,
                last: None,
            },
            false,
        ),
        (
            LogRange {
                purged: Some(id(11, 99)),
                last: None,
            },
            false,
        ),
        (
            LogRange {
                purged: Some(id(10, 98)),
                last: None,
            },
            false,
        ),
    ];
    for (log, reused) in cases {
        let mut world = filled();
        world.store().write_snapshot().unwrap();
        world.store.take().unwrap().close().unwrap();
        let mut setup = world.setup();
        setup.log = log;
        let (store, opened) = Store::open(setup).unwrap();
        let expected = if reused {
            Opened::Reused
        } else {
            rebuilt(RebuildReason::AppliedOutOfRange)
        };
        assert_eq!(opened, expected, "{log:?}");
        compare(&store, &world.naive);
    }
}

#[test]
fn a_log_that_begins_after_every_snapshot_is_an_error_and_not_an_empty_store() {
    let mut world = filled();
    world.snapshot_and_purge();
    world.run([put(b"later", b"value")]);
    let (path, _) = world.store().write_snapshot().unwrap();
    world.purged = world.log.last().map(|(id, _)| *id);
    drop(world.store.take());
    world.engines.crash_machine();
    assert!(world.disk.flip(&path, 300, 1));
    match world.try_open() {
        Err(StoreError::Gap { purged, snapshot }) => {
            assert_eq!((purged, snapshot), (LogIndex(100), Some(LogIndex(99))));
        }
        other => panic!("{:?}", other.map(|(_, opened)| opened)),
    }
    assert!(world.disk.flip(&path, 300, 1));
    assert_eq!(world.open(), rebuilt(RebuildReason::PowerLoss));
    world.check();
}

#[test]
fn a_flush_that_did_not_end_leaves_blocks_that_do_not_count() {
    // A flush of one batch, and one of several.
    for (records, value_bytes, batches) in [(5, 10, 1), (40, 100_000, 3)] {
        let mut world = filled();
        // The newest block has one small record, so that a flush may go on with it.
        world.run([put(b"fills a block", &[0; 1000]), put(b"small", b"")]);
        world.store().flush().unwrap();
        let number = world.engines.current().unwrap().unwrap();
        let engine = world
            .engines
            .open(number, &mut |_, _| ControlFlow::Continue(()))
            .unwrap();
        let state = Bytes::from_static(bookkeeping::STATE_KEY);
        let before = pairs(&world);
        // It goes into the block of the small one, if the flush goes on with that.
        world.run([put(b"small too", b"")]);
        for n in 0..records {
            world.run([put(&[200, n], &vec![n; value_bytes])]);
        }
        world.store().flush().unwrap();
        let after = pairs(&world);
        // As if the last batch, the one with the state, had not been written. It has the blocks
        // that no batch before it could have: the newest megabyte of records at most.
        let mut batch = WriteBatch::default();
        let mut tally = Tally::decode(&after[bookkeeping::TALLY_KEY]).unwrap();
        if batches == 1 {
            for key in after.keys() {
                batch.delete(key.clone());
            }
            for (key, value) in &before {
                batch.put(key.clone(), value.clone());
            }
        } else {
            let last = after.last_key_value().unwrap();
            batch.delete(last.0.clone());
            tally.blocks -= 1;
            tally.records -= Block::decode(last.1).unwrap().entries().len() as u64;
            batch.put(Bytes::from_static(bookkeeping::TALLY_KEY), tally.encode());
            batch.put(state.clone(), before[&state].clone());
        }
        engine.write(batch).unwrap();
        assert_eq!(world.crash(), Opened::Reused);
        world.check();
        world.store().flush().unwrap();
        assert_eq!(world.crash(), Opened::Reused);
        world.check();
    }
}

/// Everything in the engine in use.
fn pairs(world: &World) -> BTreeMap<Bytes, Bytes> {
    let number = world.engines.current().unwrap().unwrap();
    let mut pairs = BTreeMap::new();
    world
        .engines
        .open(number, &mut |key, value| {
            pairs.insert(Bytes::copy_from_slice(key), Bytes::copy_from_slice(value));
            ControlFlow::Continue(())
        })
        .unwrap();
    pairs
}

#[test]
fn entries_come_one_after_another_and_a_closed_store_takes_none() {
    let mut world = filled();
    let next = LogId {
        term: Term(20),
        leader: NodeId(1),
        index: LogIndex(100),
    };
    for index in [0, 99, 101, 500] {
        let found = LogIndex(index);
        let refused = world.store().apply(
            LogId {
                index: found,
                ..next
            },
            ApplyItem::Blank,
        );
        assert!(
            matches!(refused, Err(StoreFault::OutOfOrder { found: refused, .. }) if refused == found)
        );
    }
    // A refused entry changes nothing.
    world.run([put(b"key", b"value")]);
    world.check();
    world.store().close().unwrap();
    let after = LogId {
        index: LogIndex(101),
        ..next
    };
    assert!(matches!(
        world.store().apply(after, ApplyItem::Blank),
        Err(StoreFault::Closed)
    ));
    assert!(matches!(world.store().flush(), Err(StoreFault::Closed)));
    assert!(matches!(world.store().close(), Err(StoreFault::Closed)));
}
