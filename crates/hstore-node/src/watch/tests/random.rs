//! Whatever the interleaving of writes, flushes, compaction, the two tasks, and listeners that are
//! quick, slow or gone: every watcher is told exactly the events of its range from its start on, in
//! order, or that compaction took them; and no revision is cut in two.

use std::collections::{BTreeMap, VecDeque};

use proptest::prelude::*;

use super::*;
use crate::watch::CancelReason;
use crate::watch::hub::Bounds;

#[derive(Clone, Debug)]
enum Step {
    Write(Vec<(u8, u8)>),
    DeleteAll(u8),
    Compact(u8),
    Flush,
    Maintain,
    Tail,
    Errand,
    Watch {
        stream: u8,
        key: u8,
        kind: u8,
        back: u8,
        filter: u8,
    },
    Cancel {
        stream: u8,
        id: u8,
    },
    Read {
        stream: u8,
        count: u8,
    },
    Ask(u8),
    Leave(u8),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        6 => prop::collection::vec((0u8..6, 0u8..200), 1..6).prop_map(Step::Write),
        1 => (0u8..6).prop_map(Step::DeleteAll),
        1 => (0u8..100).prop_map(Step::Compact),
        1 => Just(Step::Flush),
        1 => Just(Step::Maintain),
        4 => Just(Step::Tail),
        4 => Just(Step::Errand),
        3 => (0u8..3, 0u8..6, 0u8..3, 0u8..120, 0u8..4).prop_map(
            |(stream, key, kind, back, filter)| Step::Watch { stream, key, kind, back, filter }
        ),
        1 => (0u8..3, 0u8..6).prop_map(|(stream, id)| Step::Cancel { stream, id }),
        4 => (0u8..3, 0u8..20).prop_map(|(stream, count)| Step::Read { stream, count }),
        1 => (0u8..3).prop_map(Step::Ask),
        1 => (0u8..3).prop_map(Step::Leave),
    ];
    prop::collection::vec(step, 1..150)
}

fn name(key: u8) -> String {
    format!("k{key}")
}

/// What one watch was told.
#[derive(Debug)]
struct Heard {
    request: WatchRequest,
    from: Revision,
    records: Vec<Record>,
    last: Revision,
    compacted: Option<Revision>,
    ended: bool,
}

/// One listener.
struct Listener {
    stream: WatchStream,
    asked: VecDeque<WatchRequest>,
    heard: BTreeMap<i64, Heard>,
    over: Vec<Heard>,
}

impl Listener {
    fn new(world: &World) -> Listener {
        Listener {
            stream: world.stream(),
            asked: VecDeque::new(),
            heard: BTreeMap::new(),
            over: Vec::new(),
        }
    }

    fn hear(&mut self, delivery: Delivery) {
        match delivery {
            Delivery::Created { id, revision } => {
                let request = self.asked.pop_front().unwrap();
                let from = match request.start {
                    Revision(0) => revision.next(),
                    start => start,
                };
                let heard = Heard {
                    request,
                    from,
                    records: Vec::new(),
                    last: Revision(0),
                    compacted: None,
                    ended: false,
                };
                assert!(self.heard.insert(id, heard).is_none());
            }
            Delivery::Refused { .. } => panic!("nothing here is to be refused"),
            Delivery::Events {
                id,
                events,
                revision,
                ..
            } => {
                let heard = self.heard.get_mut(&id).unwrap();
                assert!(!events.is_empty());
                let first = events[0].record.meta.mod_revision;
                assert!(first > heard.last, "{first} after {}", heard.last);
                for event in events.iter() {
                    assert!(event.record.meta.mod_revision <= revision);
                    heard.records.push(event.record.clone());
                }
                heard.last = revision;
            }
            Delivery::Canceled { id, reason, .. } => {
                let mut heard = self.heard.remove(&id).unwrap();
                if let CancelReason::Compacted { compacted } = reason {
                    heard.compacted = Some(compacted);
                }
                heard.ended = true;
                self.over.push(heard);
            }
            Delivery::Progress { id, revision } => {
                assert_eq!(id, None);
                for heard in self.heard.values_mut() {
                    assert!(heard.from <= revision.next(), "it has not begun");
                    heard.last = heard.last.max(revision);
                }
            }
        }
    }
}

fn check(heard: &Heard, all: &[Record], is_settled: bool) {
    let wanted = |record: &&Record| {
        record.meta.mod_revision >= heard.from
            && heard.request.keys.contains(&record.key)
            && heard.request.wants(record)
    };
    let expected: Vec<&Record> = all.iter().filter(wanted).collect();
    let told: Vec<&Record> = heard.records.iter().collect();
    if is_settled && !heard.ended {
        let short = |records: &[&Record]| {
            records
                .iter()
                .map(|record| short(record))
                .collect::<Vec<_>>()
        };
        assert_eq!(short(&told), short(&expected), "{:?}", heard.request);
        assert_eq!(told, expected);
        return;
    }
    assert!(told.len() <= expected.len(), "{heard:?}");
    assert_eq!(told[..], expected[..told.len()]);
    // It ended between two revisions.
    if let (Some(last), Some(next)) = (told.last(), expected.get(told.len())) {
        assert!(last.meta.mod_revision < next.meta.mod_revision);
    }
    if let Some(compacted) = heard.compacted {
        assert!(
            heard.from < compacted && heard.last < compacted,
            "{heard:?}"
        );
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 150, ..ProptestConfig::default() })]
    #[test]
    fn every_watcher_is_told_exactly_what_is_its_own(steps in steps()) {
        let mut world = World::with(Bounds {
            watch_bytes_max: 1500,
            watch_batches_max: 4,
            stream_bytes_max: 4000,
            node_bytes_max: 8000,
            stretch_bytes: 700,
            ..bounds()
        });
        let mut listeners: Vec<Listener> = (0..3).map(|_| Listener::new(&world)).collect();
        let mut all: Vec<Record> = Vec::new();
        for step in steps {
            match step {
                Step::Write(writes) => {
                    let commands: Vec<_> = writes
                        .iter()
                        .map(|(key, size)| put(&name(*key), &"v".repeat(usize::from(*size))))
                        .collect();
                    world.run(commands);
                }
                Step::DeleteAll(key) => {
                    let start = Bytes::from(name(key));
                    world.run([delete(KeyRange::From(start))]);
                }
                Step::Compact(percent) => {
                    let current = world.store.revision().0;
                    world.run([compact(1 + current * i64::from(percent) / 100)]);
                }
                Step::Flush => world.store.flush().unwrap(),
                Step::Maintain => world.maintain(),
                Step::Tail => { world.tail_step(); }
                Step::Errand => { world.errand_step(); }
                Step::Watch { stream, key, kind, back, filter } => {
                    let text = name(key);
                    let keys = match kind {
                        0 => one(&text),
                        1 => prefix("k"),
                        _ => KeyRange::From(Bytes::from(text)),
                    };
                    let current = world.store.revision().0;
                    let start = match back {
                        0..20 => 0,
                        back => current * (i64::from(back) - 20) / 90,
                    };
                    let request = WatchRequest {
                        no_put: filter == 1,
                        no_delete: filter == 2,
                        previous: filter == 3,
                        ..from(keys, start)
                    };
                    let listener = &mut listeners[usize::from(stream)];
                    listener.asked.push_back(request.clone());
                    listener.stream.create(request);
                }
                Step::Cancel { stream, id } => listeners[usize::from(stream)].stream.cancel(id.into()),
                Step::Ask(stream) => listeners[usize::from(stream)].stream.ask_progress(),
                Step::Read { stream, count } => {
                    let listener = &mut listeners[usize::from(stream)];
                    for _read in 0..count {
                        let Some(next) = listener.stream.next().now_or_never() else {
                            break;
                        };
                        listener.hear(next.unwrap());
                    }
                }
                Step::Leave(stream) => listeners[usize::from(stream)] = Listener::new(&world),
            }
            let written = all.last().map_or(Revision(2), |last| last.meta.mod_revision.next());
            // What was just applied is still in memory, or was told before.
            if let Some(stretch) = world.store.tail(written, usize::MAX) {
                all.extend(stretch.records);
            }
        }
        loop {
            world.settle();
            let mut more = false;
            for listener in &mut listeners {
                while let Some(next) = listener.stream.next().now_or_never() {
                    listener.hear(next.unwrap());
                    more = true;
                }
            }
            if !more {
                break;
            }
        }
        for listener in &listeners {
            for heard in listener.heard.values() {
                check(heard, &all, true);
            }
            for heard in &listener.over {
                check(heard, &all, false);
            }
        }
        prop_assert_eq!(world.hub.figures().2, 0);
    }
}
