//! The index against a list of everything that was ever written.

#![allow(clippy::unwrap_used, reason = "tests")]

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;

use super::*;

/// Every record that was pushed, in order.
#[derive(Default)]
struct Model {
    records: Vec<(Vec<u8>, Meta)>,
}

impl Model {
    fn newest(&self, key: &[u8], at: Revision) -> Option<Meta> {
        let mut of_key = self.records.iter().rev().filter(|(of, _)| of == key);
        of_key
            .find(|(_, meta)| meta.mod_revision <= at)
            .map(|(_, meta)| *meta)
    }

    fn live(&self, keys: &KeyRange, at: Revision) -> Vec<(Vec<u8>, Meta)> {
        let names: BTreeSet<&Vec<u8>> = self.records.iter().map(|(key, _)| key).collect();
        let found = names.into_iter().filter(|key| keys.contains(key));
        found
            .filter_map(|key| Some((key.clone(), self.newest(key, at)?)))
            .filter(|(_, meta)| !meta.is_tombstone())
            .collect()
    }
}

fn scan_all(index: &Index, keys: &KeyRange, at: Revision, step: usize) -> Vec<(Vec<u8>, Meta)> {
    let mut found = Vec::new();
    let mut after = None;
    loop {
        let chunk = index.scan(keys, after.as_ref(), at, step);
        found.extend(
            chunk
                .found
                .into_iter()
                .map(|(key, meta)| (key.to_vec(), meta)),
        );
        after = chunk.after;
        if after.is_none() {
            return found;
        }
    }
}

/// What one write does: which key, whether it deletes, which lease, whether a new revision begins.
type Write = (u8, bool, i64, bool);

fn build(writes: &[Write]) -> (Index, Model) {
    let mut index = Index::default();
    let mut model = Model::default();
    let mut alive = BTreeMap::<u8, (Revision, i64)>::new();
    let (mut revision, mut sub) = (Revision(2), 0);
    for (name, deletes, lease, next) in writes {
        if *next {
            revision = revision.next();
            sub = 0;
        }
        let key = [
            &b"a key that is longer than it: "[..usize::from(*name) * 3],
            &[*name],
        ]
        .concat();
        let meta = if *deletes {
            alive.remove(name);
            Meta {
                mod_revision: revision,
                sub,
                ..Meta::default()
            }
        } else {
            let life = alive.entry(*name).or_insert((revision, 0));
            life.1 += 1;
            Meta {
                create_revision: life.0,
                mod_revision: revision,
                sub,
                version: life.1,
                lease: *lease,
            }
        };
        sub += 1;
        index.push(&key, &meta);
        model.records.push((key, meta));
    }
    (index, model)
}

fn writes() -> impl Strategy<Value = Vec<Write>> {
    let write = (
        0u8..9,
        prop::bool::weighted(0.3),
        prop::sample::select(vec![0, 0, 0, 7]),
        any::<bool>(),
    );
    prop::collection::vec(write, 0..120)
}

proptest! {
    #[test]
    fn reads_are_those_of_the_model_at_every_revision(writes in writes(), step in 1usize..6) {
        let (index, model) = build(&writes);
        let last = model.records.last().map_or(2, |(_, meta)| meta.mod_revision.0);
        let ranges = [
            KeyRange::all(),
            KeyRange::From(vec![4].into()),
            KeyRange::Span { start: b"a key".as_slice().into(), end: b"a key that is l".as_slice().into() },
            KeyRange::One(vec![0].into()),
        ];
        for at in (1..=last + 1).map(Revision) {
            for keys in &ranges {
                prop_assert_eq!(scan_all(&index, keys, at, step), model.live(keys, at));
            }
        }
        let live = model.live(&KeyRange::From(Bytes::new()), Revision(i64::MAX));
        prop_assert_eq!(index.live_keys(), live.len() as u64);
        let attached = live.iter().filter(|(_, meta)| meta.lease == 7);
        let attached: Vec<_> = attached.map(|(key, _)| key.clone()).collect();
        prop_assert_eq!(index.attached(7), attached);
        prop_assert_eq!(index.records(), model.records.len() as u64);
    }

    #[test]
    fn compaction_takes_what_no_read_can_see_and_nothing_else(
        writes in writes(), compacted in 0i64..70, keys_at_a_time in 1usize..5,
    ) {
        let compacted = Revision(compacted);
        let (mut index, model) = build(&writes);
        let before: Vec<_> = model.records.iter()
            .filter(|(key, meta)| index.is_live(key, meta.position(), compacted))
            .map(|(_, meta)| meta.position())
            .collect();
        let mut dropped = BTreeSet::new();
        let mut sweep = Sweep::new(compacted);
        while !index.sweep(&mut sweep, keys_at_a_time, &mut |position| {
            assert!(dropped.insert(position), "dropped once");
        }) {}

        let last = model.records.last().map_or(2, |(_, meta)| meta.mod_revision.0);
        for at in (compacted.0..=last + 1).map(Revision) {
            let all = KeyRange::From(Bytes::new());
            prop_assert_eq!(scan_all(&index, &all, at, 100), model.live(&all, at));
        }
        let kept: Vec<_> = model.records.iter()
            .map(|(_, meta)| meta.position())
            .filter(|position| !dropped.contains(position))
            .collect();
        prop_assert_eq!(&kept, &before);
        prop_assert_eq!(index.records(), kept.len() as u64);
        for (key, meta) in &model.records {
            prop_assert_eq!(index.contains(key, meta.position()), kept.contains(&meta.position()));
            // A record stays only if a read at or above the compaction point, or the history
            // at it, shows it.
            if kept.contains(&meta.position()) && meta.mod_revision < compacted {
                prop_assert_eq!(model.newest(key, compacted), Some(*meta));
                prop_assert!(!meta.is_tombstone());
            }
        }

        // Loading the same records with compaction at once gives the same index.
        let mut loaded = Index::default();
        let mut left_out = BTreeSet::new();
        for (key, meta) in &model.records {
            loaded.load(key, meta, compacted, &mut |position| { left_out.insert(position); });
        }
        prop_assert_eq!(left_out, dropped);
        prop_assert_eq!(loaded.records(), index.records());
    }

    #[test]
    fn history_is_the_same_before_and_after_the_sweep(writes in writes(), compacted in 0i64..70) {
        let compacted = Revision(compacted);
        let (mut index, model) = build(&writes);
        let names: BTreeSet<_> = model.records.iter().map(|(key, _)| key.clone()).collect();
        let list = |index: &Index, key: &[u8]| {
            index.history(key, compacted, Revision(60), Revision(50), 5)
        };
        let before: Vec<_> = names.iter().map(|key| list(&index, key)).collect();
        let mut sweep = Sweep::new(compacted);
        while !index.sweep(&mut sweep, 2, &mut |_| {}) {}
        let after: Vec<_> = names.iter().map(|key| list(&index, key)).collect();
        prop_assert_eq!(before, after);
    }
}

#[test]
fn a_key_with_one_record_takes_56_bytes_of_a_node() {
    assert_eq!(size_of::<Key>() + size_of::<History>(), 56);
}

#[test]
fn a_tombstone_stays_readable_at_its_own_revision() {
    let mut index = Index::default();
    let put = Meta {
        create_revision: Revision(2),
        mod_revision: Revision(2),
        version: 1,
        ..Meta::default()
    };
    let tombstone = Meta {
        mod_revision: Revision(3),
        ..Meta::default()
    };
    index.push(b"k", &put);
    index.push(b"k", &tombstone);
    let history = |index: &Index, compacted| {
        index.history(b"k", Revision(compacted), Revision(9), Revision(9), 9)
    };
    assert_eq!(history(&index, 0), [tombstone, put]);
    assert_eq!(history(&index, 3), [tombstone]);
    assert_eq!(history(&index, 4), []);
}
