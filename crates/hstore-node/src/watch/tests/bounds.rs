//! What is bounded, and that it is work that grows slowly and not only time.

use super::*;
use crate::watch::hub::Bounds;

#[test]
fn one_stream_and_one_watch_too_many_are_refused() {
    let world = World::with(Bounds {
        streams_max: 2,
        watches_max: 3,
        stream_watches_max: 2,
        ..bounds()
    });
    let mut one_stream = world.stream();
    let mut two = world.stream();
    assert!(WatchStream::open(&world.hub, world.archive()).is_err());
    for stream in [&one_stream, &two] {
        for _watch in 0..3 {
            stream.create(WatchRequest::of(one("a")));
        }
    }
    let refused = |max| format!("refused: there are {max} watches already, which is the most");
    assert_eq!(told(&mut one_stream)[2], refused(2));
    assert_eq!(told(&mut two)[1..], [refused(3), refused(3)]);
    drop(one_stream);
    two.create(WatchRequest::of(one("a")));
    assert_eq!(told(&mut two), ["1 created @1"], "what left makes room");
    assert_eq!(world.hub.figures(), (1, 2, 0));
}

#[test]
fn a_watcher_that_does_not_read_is_told_later_and_what_waits_is_bounded() {
    let bounds = Bounds {
        watch_bytes_max: 4000,
        stretch_bytes: 1000,
        ..bounds()
    };
    let mut world = World::with(bounds);
    let mut slow = world.stream();
    let mut fast = world.stream();
    slow.create(WatchRequest::of(prefix("")));
    fast.create(WatchRequest::of(prefix("")));
    let mut fast_told = Vec::new();
    for n in 0..300 {
        world.put(&format!("k{n}"), &"x".repeat(100));
        if n % 50 == 0 {
            world.maintain();
        }
        world.settle();
        fast_told.extend(told(&mut fast));
        let (_, _, waiting) = world.hub.figures();
        assert!(waiting < 8000, "{waiting} bytes wait");
    }
    assert_eq!(fast_told.len(), 301, "the slow one held up nobody");
    let mut slow_told = Vec::new();
    loop {
        let more = told(&mut slow);
        if more.is_empty() {
            break;
        }
        slow_told.extend(more);
        world.settle();
    }
    let all = slow_told[1..].join(" ").replace("0: ", "");
    let expected: Vec<String> = (0..300).map(|n| format!("k{n}@{}", n + 2)).collect();
    assert_eq!(all, expected.join(" "));
}

#[test]
fn a_full_node_still_tells_those_who_read() {
    let bounds = Bounds {
        node_bytes_max: 5000,
        stretch_bytes: 1000,
        ..bounds()
    };
    let mut world = World::with(bounds);
    let mut idle: Vec<WatchStream> = (0..5).map(|_| world.stream()).collect();
    for stream in &idle {
        stream.create(WatchRequest::of(prefix("")));
    }
    let mut reader = world.stream();
    reader.create(WatchRequest::of(prefix("")));
    let mut heard = Vec::new();
    for n in 0..100 {
        world.put(&format!("k{n}"), &"x".repeat(100));
        world.settle();
        heard.extend(told(&mut reader));
    }
    assert_eq!(heard.len(), 101);
    let (_, _, waiting) = world.hub.figures();
    assert!(waiting < 8000, "{waiting} bytes wait");
    for stream in &mut idle {
        let mut events = 0;
        loop {
            let more = take(stream);
            if more.is_empty() {
                break;
            }
            for delivery in more {
                if let Delivery::Events { events: some, .. } = delivery {
                    events += some.len();
                }
            }
            world.settle();
        }
        assert_eq!(events, 100);
    }
    assert_eq!(world.hub.figures().2, 0);
}

#[test]
fn many_watchers_on_different_keys_cost_an_event_a_short_walk() {
    const WATCHERS: usize = 10_000;
    let mut world = World::new();
    let mut stream = world.stream();
    for n in 0..WATCHERS {
        let keys = if n % 2 == 0 {
            one(&format!("single/{n:05}"))
        } else {
            prefix(&format!("prefix/{n:05}/"))
        };
        stream.create(WatchRequest::of(keys));
    }
    assert_eq!(take(&mut stream).len(), WATCHERS);
    for n in (0..WATCHERS).step_by(100) {
        world.run([
            put(&format!("single/{n:05}"), "v"),
            put(&format!("prefix/{:05}/key", n + 1), "v"),
            put("nobody", "v"),
        ]);
    }
    world.settle();
    let delivered = take(&mut stream).len();
    assert_eq!(delivered, 200);
    let events = 300;
    let looked = world.hub.looked();
    assert!(looked < events * 60, "{looked} looks for {events} events");
}

#[test]
fn watchers_that_are_near_are_read_for_together() {
    let mut world = World::with(Bounds {
        node_bytes_max: 64 * 1024 * 1024,
        ..bounds()
    });
    for n in 0..200 {
        world.put(&format!("k{n}"), &"x".repeat(100));
    }
    world.maintain();
    let mut stream = world.stream();
    stream.create(WatchRequest::of(one("none")));
    for _watch in 0..50 {
        stream.create(from(prefix("k"), 2));
    }
    let mut errands = 0;
    while world.errand_step() {
        errands += 1;
    }
    assert!(errands < 5, "{errands} errands for fifty watchers");
    let events = take(&mut stream)
        .into_iter()
        .map(|delivery| match delivery {
            Delivery::Events { events, .. } => events.len(),
            _ => 0,
        });
    assert_eq!(events.sum::<usize>(), 50 * 200);
}
