//! History in revision order: whatever became of the records, a walk over stretches tells what was
//! written, each once, in order, or says that it is compacted.

use std::collections::BTreeSet;

use bytes::Bytes;

use hstore_core::id::Revision;
use hstore_core::key::KeyRange;
use hstore_core::record::Record;

use super::super::{Recall, Store, Stretch};
use super::naive::Naive;
use super::world::{World, compact, delete, put};

fn key(text: &'static str) -> Bytes {
    Bytes::from_static(text.as_bytes())
}

/// Everything from a revision on, stretch by stretch, each checked for whole revisions.
fn walk(from: Revision, mut step: impl FnMut(Revision) -> Recall) -> Result<Vec<Record>, Revision> {
    let mut all: Vec<Record> = Vec::new();
    let mut from = from;
    loop {
        match step(from) {
            Recall::Compacted(compacted) => return Err(compacted),
            Recall::Stretch(Stretch { records, next }) => {
                let within = |record: &Record| (from..next).contains(&record.meta.mod_revision);
                assert!(records.iter().all(within), "{records:?} in {from}..{next}");
                let done = next == from;
                from = next;
                all.extend(records);
                if done {
                    return Ok(all);
                }
            }
        }
    }
}

/// Without what was replaced by its own revision at the compaction point: compaction may have taken
/// it. The door refuses to write a key twice at once; the machine, which is run here, does not.
fn settled(
    told: Result<Vec<Record>, Revision>,
    compacted: Revision,
) -> Result<Vec<Record>, Revision> {
    let mut records = told?;
    let all = records.clone();
    records.retain(|record| {
        let at = record.meta.position();
        let again = |other: &Record| other.key == record.key && other.meta.position() > at;
        let mut same = all
            .iter()
            .filter(|other| other.meta.mod_revision == at.revision);
        at.revision != compacted || !same.any(again)
    });
    Ok(records)
}

/// Compares what the store tells of its history with everything that was ever written.
pub(super) fn compare(store: &Store, naive: &Naive) {
    let compacted = naive.machine.compacted();
    let current = naive.machine.revision();
    let half = KeyRange::From(Bytes::from_static(b"k\x06"));
    let ranges = [vec![KeyRange::all()], vec![half], Vec::new()];
    let froms: BTreeSet<i64> = [
        1,
        2,
        compacted.0 - 1,
        compacted.0,
        compacted.0 + 1,
        i64::midpoint(compacted.0, current.0),
        current.0,
        current.0 + 1,
        current.0 + 5,
    ]
    .into();
    for from in froms.into_iter().filter(|from| *from > 0).map(Revision) {
        for keys in &ranges {
            for bytes_max in [0, 2000, usize::MAX] {
                let told = walk(from, |from| store.recall(keys, from, bytes_max).unwrap());
                let wanted = |record: &Record| keys.iter().any(|keys| keys.contains(&record.key));
                let expected = expected(naive, from, wanted);
                assert_eq!(settled(told, compacted), expected, "{keys:?} from {from}");
            }
        }
        for name in naive.records.iter().map(|record| &record.key).take(5) {
            let told = walk(from, |from| store.recall_key(name, from, 300).unwrap());
            let wanted = |record: &Record| record.key == name;
            let expected = expected(naive, from, wanted);
            assert_eq!(settled(told, compacted), expected, "{name:?} from {from}");
        }
        if let Some(first) = store.tail(from, 0) {
            let told = walk(from, |at| {
                if at == from {
                    Recall::Stretch(first.clone())
                } else {
                    Recall::Stretch(store.tail(at, 0).unwrap())
                }
            });
            let written = |record: &&Record| record.meta.mod_revision >= from;
            let all: Vec<Record> = naive.records.iter().filter(written).cloned().collect();
            assert_eq!(told, Ok(all), "the tail from {from}");
        }
    }
    for record in naive.records.iter().rev().take(20) {
        let at = record.meta.mod_revision;
        let before = Revision(at.0 - 1);
        let newest = naive
            .records
            .iter()
            .rev()
            .find(|older| older.key == record.key && older.meta.mod_revision <= before);
        let newest = newest.filter(|older| before >= compacted && !older.meta.is_tombstone());
        assert_eq!(store.previous(&record.key, at).unwrap(), newest.cloned());
        if let Some(found) = store.try_previous(&record.key, at) {
            assert_eq!(found, newest.cloned());
        }
    }
}

fn expected(
    naive: &Naive,
    from: Revision,
    wanted: impl Fn(&Record) -> bool,
) -> Result<Vec<Record>, Revision> {
    let compacted = naive.machine.compacted();
    if from < compacted {
        return Err(compacted);
    }
    let written = |record: &&Record| record.meta.mod_revision >= from && wanted(record);
    let told = Ok(naive.records.iter().filter(written).cloned().collect());
    settled(told, compacted)
}

#[test]
fn a_revision_of_many_records_is_told_whole_however_small_the_stretch() {
    let mut world = World::new();
    for n in 0..200u8 {
        world.run([put(&[b'k', n], &[n; 30])]);
    }
    world.run([delete(KeyRange::all())]);
    world.run([put(b"k", b"after")]);
    for flushed in [false, true] {
        if flushed {
            world.store().flush().unwrap();
            assert!(world.store().stats().blocks > 3);
            assert_eq!(
                world.store().tail(Revision(202), 0),
                None,
                "it is in blocks"
            );
        } else {
            let tail = world.store().tail(Revision(202), 0).unwrap();
            assert_eq!((tail.records.len(), tail.next), (200, Revision(203)));
        }
        let told = world.store().recall(&[KeyRange::all()], Revision(202), 0);
        let Recall::Stretch(stretch) = told.unwrap() else {
            panic!("nothing is compacted");
        };
        assert_eq!((stretch.records.len(), stretch.next), (200, Revision(203)));
    }
}

#[test]
fn what_is_still_in_memory_is_told_to_those_who_keep_up_though_it_is_compacted() {
    let mut world = World::new();
    world.run([
        put(b"a", b"1"),
        put(b"a", b"2"),
        put(b"a", b"3"),
        compact(4),
    ]);
    world.maintain_all();
    let tail = world.store().tail(Revision(2), usize::MAX).unwrap();
    assert_eq!(tail.records.len(), 3);
    let told = world
        .store()
        .recall(&[KeyRange::all()], Revision(2), 1000)
        .unwrap();
    assert_eq!(told, Recall::Compacted(Revision(4)));
    let told = world
        .store()
        .recall_key(&key("a"), Revision(3), 1000)
        .unwrap();
    assert_eq!(told, Recall::Compacted(Revision(4)));
    world.store().flush().unwrap();
    assert_eq!(world.store().tail(Revision(2), usize::MAX), None);
}

#[test]
fn a_tail_is_not_told_with_a_gap_when_its_block_was_compacted_away() {
    let mut world = World::new();
    world.run([put(b"a", b"1"), put(b"b", b"2"), put(b"b", b"3")]);
    world.store().flush().unwrap();
    world.run([delete(KeyRange::all()), put(b"c", b"4"), compact(6)]);
    world.store().flush().unwrap();
    world.maintain_all();
    world.run([put(b"c", b"5")]);
    assert_eq!(world.store().tail(Revision(3), usize::MAX), None);
    let tail = world.store().tail(Revision(7), usize::MAX).unwrap();
    assert_eq!((tail.records.len(), tail.next), (1, Revision(8)));
    world.check();
}

#[test]
fn a_store_that_was_installed_tells_its_history_and_not_more() {
    let mut world = World::new();
    for n in 0..30u8 {
        world.run([put(&[b'k', n % 7], &[n; 90])]);
    }
    world.run([compact(20)]);
    let path = world.snapshot_and_purge();
    world.crash();
    world.store().install_snapshot(&path).unwrap();
    assert_eq!(world.store().tail(Revision(25), usize::MAX), None);
    assert!(world.store().tail(Revision(32), usize::MAX).is_some());
    world.check();
}
