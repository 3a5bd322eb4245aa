//! Where history and live tail meet.

use hstore_storage::disk::OpenMode;

use super::*;

#[test]
fn a_watch_from_now_on_is_told_what_comes_after_its_registration() {
    let mut world = World::new();
    world.put("a", "1");
    let mut stream = world.stream();
    stream.create(WatchRequest::of(prefix("")));
    world.put("a", "2");
    stream.create(WatchRequest::of(one("a")));
    world.run([put("a", "3"), put("b", "4")]);
    world.settle();
    assert_eq!(
        told(&mut stream),
        ["0 created @2", "1 created @3", "0: a@3 a@4 b@5", "1: a@4"]
    );
    world.run([delete(prefix("")), put("b", "5")]);
    world.settle();
    assert_eq!(told(&mut stream), ["0: -a@6 -b@6 b@7", "1: -a@6"]);
}

#[test]
fn a_watch_from_the_past_meets_the_tail_without_gap_or_double() {
    for flushed in [false, true] {
        let mut world = World::new();
        for n in 0..100 {
            world.put(&format!("k{}", n % 10), &"x".repeat(100));
        }
        if flushed {
            world.maintain();
        }
        let mut stream = world.stream();
        // One that keeps the tail where it is, and the others behind it.
        stream.create(WatchRequest::of(one("none")));
        stream.create(from(prefix("k"), 2));
        stream.create(from(one("k3"), 40));
        let mut expected: Vec<String> = Vec::new();
        let mut of_one = Vec::new();
        let mut seen: [Vec<String>; 3] = Default::default();
        for revision in 2..=101 {
            expected.push(format!("k{}@{revision}", (revision - 2) % 10));
            if (revision - 2) % 10 == 3 && revision >= 40 {
                of_one.push(format!("k3@{revision}"));
            }
        }
        for revision in 102..140 {
            world.put("k3", "live");
            expected.push(format!("k3@{revision}"));
            of_one.push(format!("k3@{revision}"));
            if revision % 3 == 0 {
                world.errand_step();
            }
            if revision % 2 == 0 {
                world.tail_step();
            }
        }
        world.settle();
        for delivery in take(&mut stream) {
            if let Delivery::Events { id, events, .. } = delivery {
                let texts = events.iter().map(|event| short(&event.record));
                seen[id as usize].extend(texts);
            }
        }
        assert_eq!(seen, [Vec::new(), expected, of_one], "flushed: {flushed}");
    }
}

#[test]
fn a_start_in_the_future_is_waited_for() {
    let mut world = World::new();
    let mut stream = world.stream();
    stream.create(from(one("a"), 5));
    stream.ask_progress();
    world.settle();
    for _write in 0..2 {
        world.put("a", "early");
        world.settle();
    }
    assert_eq!(told(&mut stream), ["0 created @1"]);
    world.run([put("a", "early"), put("a", "on time"), put("a", "later")]);
    world.settle();
    assert_eq!(told(&mut stream), ["0: a@5 a@6", "all @6"]);
}

#[test]
fn a_watch_of_compacted_history_is_told_where_it_can_begin() {
    let mut world = World::new();
    for _write in 0..10 {
        world.put("a", "v");
    }
    world.run([compact(8)]);
    let mut stream = world.stream();
    stream.create(from(one("a"), 7));
    stream.create(from(one("a"), 8));
    world.settle();
    assert_eq!(
        told(&mut stream),
        [
            "0 created @11",
            "0 canceled Compacted { compacted: Revision(8) }",
            "1 created @11",
            "1: a@8 a@9 a@10 a@11"
        ]
    );
}

#[test]
fn compaction_ends_a_watch_that_still_needs_what_it_took_and_no_other() {
    let mut world = World::new();
    for n in 0..50 {
        world.put(&format!("k{n}"), &"x".repeat(100));
    }
    world.maintain();
    let mut stream = world.stream();
    stream.create(WatchRequest::of(prefix("")));
    stream.create(from(prefix(""), 2));
    stream.create(from(one("k9"), 2));
    stream.create(from(prefix(""), 45));
    world.run([compact(40)]);
    world.maintain();
    world.put("k9", "live");
    world.settle();
    let told = told(&mut stream);
    let gone = "canceled Compacted { compacted: Revision(40) }";
    assert!(told.contains(&format!("1 {gone}")), "{told:?}");
    assert!(told.contains(&format!("2 {gone}")), "{told:?}");
    assert_eq!(
        told.iter().filter(|text| text.contains("canceled")).count(),
        2
    );
    assert!(
        told.iter().any(|text| text.starts_with("3: k43@45")),
        "{told:?}"
    );
    assert!(told.contains(&"0: k9@52".to_owned()), "{told:?}");
}

#[test]
fn whoever_keeps_up_is_not_cut_off_by_a_compaction_right_behind_a_write() {
    let mut world = World::new();
    let mut stream = world.stream();
    stream.create(WatchRequest::of(prefix("")));
    world.run([put("a", "1"), put("a", "2"), put("a", "3"), compact(4)]);
    world.settle();
    assert_eq!(told(&mut stream), ["0 created @1", "0: a@2 a@3 a@4"]);
}

#[test]
fn a_state_that_jumps_is_caught_up_with_through_history_or_the_watch_ends() {
    for is_compacted in [false, true] {
        // Another node wrote all this, and its snapshot is installed here.
        let mut ahead = World::new();
        let world = World::new();
        let mut stream = world.stream();
        stream.create(WatchRequest::of(prefix("k")));
        stream.create(from(prefix("k"), 30));
        for n in 0..20 {
            ahead.put(&format!("k{n}"), "v");
            let (id, item) = ahead.log.last().unwrap().clone();
            if n < 3 {
                world.store.apply(id, item).unwrap();
            }
        }
        if is_compacted {
            ahead.run([compact(15)]);
        }
        world.settle();
        let (path, _header) = ahead.store.write_snapshot().unwrap();
        let from = ahead.disk.open(&path, OpenMode::Read).unwrap();
        let mut bytes = vec![0; from.len().unwrap() as usize];
        from.read_exact_at(0, &mut bytes).unwrap();
        let to = world.disk.open(&path, OpenMode::CreateNew).unwrap();
        to.write_at(0, &bytes).unwrap();
        world.store.install_snapshot(&path).unwrap();
        world.settle();
        let told = told(&mut stream);
        assert_eq!(
            told[..3],
            ["0 created @1", "1 created @1", "0: k0@2 k1@3 k2@4"]
        );
        if is_compacted {
            assert_eq!(
                told[3..],
                ["0 canceled Compacted { compacted: Revision(15) }"]
            );
        } else {
            let rest: Vec<String> = (3..20).map(|n| format!("k{n}@{}", n + 2)).collect();
            let delivered = told[3..].join(" ").replace("0: ", "");
            assert_eq!(delivered, rest.join(" "));
        }
    }
}
