//! What compaction gives back, and that it never takes too much.

use hstore_core::id::Revision;
use hstore_core::key::KeyRange;
use hstore_core::outcome::Refusal;
use hstore_core::range::Range;

use super::super::Progress;
use super::super::walk::Hold;
use super::world::{World, compact, delete, put};

fn overwritten(times: u32) -> World {
    let mut world = World::new();
    for n in 0..times {
        for key in 0..30u8 {
            world.run([put(&[key], &[n as u8; 60])]);
        }
        world.store().flush().unwrap();
    }
    world
}

#[test]
fn blocks_without_a_living_record_go_and_sparse_ones_are_joined() {
    let mut world = overwritten(20);
    let before = world.store().stats();
    assert_eq!(before.records, 600);
    let current = world.store().revision().0;
    world.run([compact(current)]);
    world.maintain_all();
    let after = world.store().stats();
    assert_eq!((after.keys, after.records), (30, 30));
    assert!(after.block_records < 60, "{after:?}");
    assert!(after.blocks * 5 < before.blocks, "{after:?}");
    assert!(after.engine_bytes * 5 < before.engine_bytes, "{after:?}");
    world.check();
    world.crash();
    world.check();
}

#[test]
fn deleting_everything_gives_everything_back() {
    let mut world = overwritten(5);
    world.run([delete(KeyRange::all())]);
    world.run([put(b"last", b"value")]);
    let current = world.store().revision().0;
    world.run([compact(current)]);
    world.maintain_all();
    let stats = world.store().stats();
    assert_eq!((stats.keys, stats.records), (1, 1));
    assert_eq!(stats.block_records + stats.recent_records, 1);
    world.check();
    world.reopen();
    world.check();
}

#[test]
fn blocks_change_only_for_compactions_that_the_engine_knows() {
    let mut world = overwritten(10);
    // Entries after the flush that read old revisions; a replay must see them again.
    let old = Range {
        revision: Revision(40),
        ..Range::of(KeyRange::all())
    };
    let txn = hstore_core::command::Txn {
        then: vec![hstore_core::command::Operation::Range(old.clone())],
        ..Default::default()
    };
    world.run([hstore_core::command::Command::Txn(txn)]);
    let current = world.store().revision().0;
    world.run([compact(current)]);
    // One step at a time, a crash after each.
    for steps in 0..12 {
        for _ in 0..steps {
            world.store().maintain().unwrap();
        }
        world.crash();
        world.check();
    }
    let refused = world.store().range(&old).unwrap().result;
    let compacted = Revision(current);
    assert_eq!(refused, Err(Refusal::Compacted { compacted }));
}

#[test]
fn nothing_goes_while_somebody_walks() {
    let mut world = overwritten(4);
    let hold = Hold::new(world.store());
    let capture = world.store().capture().unwrap();
    let mut before = 0;
    world
        .store
        .as_ref()
        .unwrap()
        .walk(&hold, &capture, &mut |piece| {
            before += match piece {
                super::super::walk::Piece::Whole(found) => found.info.records as usize,
                super::super::walk::Piece::Records(records) => records.len(),
            };
            Ok(())
        })
        .unwrap();
    assert_eq!(before, 120);
    drop(hold);

    let current = world.store().revision().0;
    world.run([compact(current)]);
    let hold = Hold::new(world.store());
    for _ in 0..50 {
        assert_eq!(world.store().maintain().unwrap(), Progress::Idle);
    }
    assert_eq!(world.store().stats().records, 120);
    drop(hold);
    world.maintain_all();
    assert_eq!(world.store().stats().records, 30);
}

#[test]
fn many_small_flushes_do_not_leave_many_small_blocks() {
    let mut world = World::new();
    world.options.block_bytes = 4096;
    world.reopen();
    for n in 0..400u32 {
        world.run([put(
            &n.to_be_bytes(),
            &n.wrapping_mul(2_654_435_761).to_be_bytes(),
        )]);
        world.store().flush().unwrap();
    }
    let stats = world.store().stats();
    assert!(stats.blocks < 30, "{stats:?}");
    world.crash();
    world.check();
}

#[test]
fn a_deleted_key_stays_deleted_however_its_records_leave_the_blocks() {
    let mut world = World::new();
    // The first record of the key lies among many that live, so its block is rewritten last by
    // any rule that looks at waste alone; its tombstone lies among many that die.
    world.run([put(b"gone", b"old")]);
    world.run((0..60u8).map(|key| put(&[key], &[key; 60])));
    world.store().flush().unwrap();
    for round in 0..40u8 {
        world.run([put(b"churn", &[round; 60])]);
        if round == 20 {
            world.run([delete(KeyRange::One(b"gone".as_slice().into()))]);
        }
    }
    let current = world.store().revision().0;
    world.run([compact(current)]);
    world.store().flush().unwrap();
    loop {
        let progress = world.store().maintain().unwrap();
        world.crash();
        world.check();
        // A start sweeps nothing again, so the steps come to an end.
        if progress == Progress::Idle {
            break;
        }
    }
    let gone = Range::of(KeyRange::One(b"gone".as_slice().into()));
    assert_eq!(world.store().range(&gone).unwrap().result.unwrap().count, 0);
}
