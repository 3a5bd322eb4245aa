//! Readers on threads beside apply, flush, compaction and snapshots.

use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::thread;

use hstore_core::id::Revision;
use hstore_core::key::KeyRange;
use hstore_core::outcome::Refusal;
use hstore_core::range::Range;

use super::world::{World, compact, put};

const KEYS: u8 = 40;
const ROUNDS: i64 = 120;

/// Every entry writes all keys with the same value, so any read that sees half of an entry, or a
/// record of another revision, shows two values.
fn check_whole(outcome: &super::super::ReadOutcome, acknowledged: i64) -> bool {
    let result = match &outcome.result {
        Ok(result) => result,
        Err(Refusal::Compacted { .. }) => return false,
        Err(other) => panic!("{other:?}"),
    };
    assert_eq!(result.count, u64::from(KEYS));
    let first = &result.records[0].value;
    assert!(
        result.records.iter().all(|record| record.value == first),
        "half an entry"
    );
    let round = i64::from_be_bytes(first[..8].try_into().unwrap());
    assert!(
        round >= acknowledged,
        "an older state than was acknowledged"
    );
    true
}

#[test]
#[allow(clippy::disallowed_methods, reason = "the test is about threads")]
fn readers_see_entries_whole_beside_everything_else() {
    let mut world = World::new();
    let value = |round: i64| [&round.to_be_bytes()[..], &[round as u8; 40]].concat();
    world.run((0..KEYS).map(|key| put(&[key], &value(0))));
    let done = AtomicBool::new(false);
    let acknowledged = AtomicI64::new(0);
    let store = world.store.take().unwrap();
    let mut hashes = Vec::new();
    thread::scope(|scope| {
        let readers: Vec<_> = (0..2)
            .map(|reader| {
                let (store, done, acknowledged) = (&store, &done, &acknowledged);
                scope.spawn(move || {
                    let mut whole = 0;
                    let mut turn = 0;
                    while !done.load(Ordering::Acquire) || turn < 20 {
                        turn += 1;
                        let floor = acknowledged.load(Ordering::Acquire);
                        let now = Range::of(KeyRange::all());
                        assert!(
                            check_whole(&store.range(&now).unwrap(), floor),
                            "now is readable"
                        );
                        // A revision that ends an entry, a little back; compaction may be faster.
                        let per_round = i64::from(KEYS);
                        let entries = (store.revision().0 - 1) / per_round;
                        let back = (entries - 3 - reader).max(1);
                        let then = Range {
                            revision: Revision(1 + back * per_round),
                            ..now
                        };
                        whole += u32::from(check_whole(&store.range(&then).unwrap(), 0));
                        let history = store.history(&[3], 3, Revision(0)).unwrap();
                        assert!(!history.is_empty());
                    }
                    whole
                })
            })
            .collect();
        let keeper = scope.spawn(|| {
            let mut snapshots = 0;
            while !done.load(Ordering::Acquire) {
                store.flush().unwrap();
                for _ in 0..20 {
                    store.maintain().unwrap();
                }
                store.write_snapshot().unwrap();
                snapshots += 1;
            }
            snapshots
        });
        for round in 1..=ROUNDS {
            let mut commands: Vec<_> = (0..KEYS).map(|key| put(&[key], &value(round))).collect();
            if round % 5 == 0 {
                let current = store.revision().0;
                commands.push(compact(current - i64::from(KEYS) * (round % 3)));
            }
            let id = hstore_core::id::LogId {
                index: hstore_core::id::LogIndex(world.log.len() as u64),
                ..world.log[0].0
            };
            let item = super::world::batch(commands.into_iter().map(|command| (None, command)));
            let outcomes = store.apply(id, item.clone()).unwrap();
            assert_eq!(world.naive.apply(id, &item), outcomes);
            world.log.push((id, item));
            world.outcomes.push(outcomes);
            acknowledged.store(round, Ordering::Release);
        }
        done.store(true, Ordering::Release);
        for reader in readers {
            assert!(
                reader.join().unwrap() > 0,
                "some reads of the past came before compaction"
            );
        }
        assert!(keeper.join().unwrap() > 0);
        hashes.push(store.content_hash().unwrap());
    });
    world.store = Some(store);
    world.check();
    world.maintain_all();
    assert_eq!(world.store().content_hash().unwrap(), hashes[0]);
    world.crash();
    world.check();
}
