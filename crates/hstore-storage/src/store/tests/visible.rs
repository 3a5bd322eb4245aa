//! What readers see, what memory is taken, and what the figures say.

use hstore_core::id::Revision;
use hstore_core::key::KeyRange;
use hstore_core::range::Range;

use super::super::StoreOptions;
use super::world::{World, delete, put};

fn get(key: &[u8]) -> Range {
    Range::of(KeyRange::One(key.to_vec().into()))
}

#[test]
fn recent_records_are_bounded_by_a_caller_that_flushes_when_told() {
    let mut world = World::new();
    let max = world.options.recent_bytes_max as u64;
    for n in 0..500u32 {
        world.run([put(&n.to_be_bytes(), &[7; 200])]);
        if world.store().recent_is_full() {
            world.store().flush().unwrap();
            assert_eq!(world.store().stats().recent_bytes, 0);
        }
        let stats = world.store().stats();
        assert!(stats.recent_bytes <= max + 1024, "{stats:?}");
        assert!(stats.cache_bytes <= world.options.cache_bytes, "{stats:?}");
    }
    assert!(world.store().stats().blocks > 100);
    world.check();
}

#[test]
fn a_read_that_needs_the_disk_is_left_to_the_one_that_may() {
    let mut world = World::new();
    world.options.cache_bytes = 0;
    world.reopen();
    world.run([put(b"key", b"value")]);
    assert!(
        world.store().try_range(&get(b"key")).unwrap().is_some(),
        "recent"
    );
    world.store().flush().unwrap();
    assert_eq!(world.store().try_range(&get(b"key")).unwrap(), None);
    assert_eq!(
        world
            .store()
            .try_range(&get(b"other"))
            .unwrap()
            .unwrap()
            .result
            .unwrap()
            .count,
        0
    );
    let keys_only = Range {
        keys_only: true,
        ..get(b"key")
    };
    assert!(world.store().try_range(&keys_only).unwrap().is_some());
    let outcome = world.store().range(&get(b"key")).unwrap();
    assert_eq!(outcome.result.unwrap().records[0].value, "value");
}

#[test]
fn the_cache_answers_after_a_flush_and_after_the_first_read() {
    let mut world = World::new();
    world.run([put(b"key", b"value")]);
    world.store().flush().unwrap();
    assert!(
        world.store().try_range(&get(b"key")).unwrap().is_some(),
        "kept by the flush"
    );
    assert_eq!(world.store().stats().cache_hits, 1);
    world.reopen();
    assert_eq!(world.store().try_range(&get(b"key")).unwrap(), None);
    world.store().range(&get(b"key")).unwrap();
    assert!(
        world.store().try_range(&get(b"key")).unwrap().is_some(),
        "kept by the read"
    );
    let stats = world.store().stats();
    assert_eq!((stats.cache_hits, stats.cache_misses), (1, 1));
    assert!(stats.cache_bytes > 0);
}

#[test]
fn values_that_were_replaced_make_room_in_the_cache() {
    let mut world = World::new();
    for round in 0..50u8 {
        world.run((0..40u8).map(|key| put(&[key], &[round; 100])));
        world.store().flush().unwrap();
    }
    // 40 values of 100 bytes fit well; 2000 do not.
    for key in 0..40u8 {
        assert!(
            world.store().try_range(&get(&[key])).unwrap().is_some(),
            "key {key}"
        );
    }
}

#[test]
fn an_answer_keeps_no_more_in_memory_than_its_own_bytes() {
    let mut world = World::new();
    world.options.block_bytes = 64 * 1024;
    world.reopen();
    world.run((0..100u8).map(|n| put(&[n], &[n; 500])));
    world.reopen();
    let outcome = world.store().range(&get(&[7])).unwrap();
    let value = outcome.result.unwrap().records[0].value.clone();
    drop(world.store.take());
    // Nobody else holds the bytes now; a slice of a block would not be that short.
    assert_eq!(value.try_into_mut().map(|bytes| bytes.capacity()), Ok(500));
}

#[test]
fn a_range_of_many_keys_is_scanned_whole_and_in_order() {
    let mut world = World::new();
    world.options = StoreOptions::default();
    world.reopen();
    let names: Vec<_> = (0..3000u32).map(u32::to_be_bytes).collect();
    world.run(names.iter().map(|name| put(name, b"v")));
    world.run([delete(KeyRange::Span {
        start: 1000u32.to_be_bytes().to_vec().into(),
        end: 2000u32.to_be_bytes().to_vec().into(),
    })]);
    let all = world
        .store()
        .range(&Range::of(KeyRange::all()))
        .unwrap()
        .result
        .unwrap();
    assert_eq!(all.count, 2000);
    let keys: Vec<_> = all
        .records
        .iter()
        .map(|record| record.key.to_vec())
        .collect();
    let left = names
        .iter()
        .filter(|name| !(1000..2000).contains(&u32::from_be_bytes(**name)));
    assert_eq!(keys, left.map(|name| name.to_vec()).collect::<Vec<_>>());
    let page = Range {
        limit: 700,
        revision: Revision(2),
        ..Range::of(KeyRange::all())
    };
    let page = world.store().range(&page).unwrap().result.unwrap();
    assert_eq!((page.records.len(), page.count, page.more), (1, 1, false));
}

#[test]
fn a_delete_of_many_keys_is_seen_whole_or_not_at_all() {
    let mut world = World::new();
    world.options = StoreOptions::default();
    world.reopen();
    world.run((0..5000u32).map(|n| put(&n.to_be_bytes(), b"v")));
    let outcomes = world.run([delete(KeyRange::all())]);
    assert_eq!(outcomes.len(), 1);
    let count = |revision| {
        let range = Range {
            count_only: true,
            revision,
            ..Range::of(KeyRange::all())
        };
        world.store().range(&range).unwrap().result.unwrap().count
    };
    assert_eq!((count(Revision(0)), count(Revision(5001))), (0, 5000));
}
