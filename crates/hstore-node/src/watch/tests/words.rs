//! What a stream is told beside events, and what it is refused.

use super::*;

#[test]
fn names_are_given_in_order_and_each_is_used_once() {
    let world = World::new();
    let mut stream = world.stream();
    let named = |id| WatchRequest {
        id,
        ..WatchRequest::of(one("a"))
    };
    for id in [0, 1, 0, 7, 7, -3, 0] {
        stream.create(named(id));
    }
    stream.cancel(1);
    stream.cancel(99);
    stream.create(named(1));
    assert_eq!(
        told(&mut stream),
        [
            "0 created @1",
            "1 created @1",
            "2 created @1",
            "7 created @1",
            "refused: the stream has a watch 7 already",
            "-3 created @1",
            "3 created @1",
            "1 canceled Requested",
            "1 created @1",
        ]
    );
    // Each stream counts for itself.
    let mut other = world.stream();
    other.create(named(0));
    assert_eq!(told(&mut other), ["0 created @1"]);
}

#[test]
fn what_makes_no_sense_is_refused() {
    let world = World::new();
    let mut stream = world.stream();
    let span = |start: &'static str, end: &'static str| KeyRange::Span {
        start: Bytes::from(start),
        end: Bytes::from(end),
    };
    stream.create(WatchRequest::of(span("b", "b")));
    stream.create(WatchRequest::of(span("b", "a")));
    stream.create(from(one("a"), -1));
    stream.create(WatchRequest::of(span("a", "b")));
    assert_eq!(
        told(&mut stream),
        [
            "refused: the range of the watch is empty: its end is not above its key",
            "refused: the range of the watch is empty: its end is not above its key",
            "refused: the start revision -1 is below 0",
            "0 created @1",
        ]
    );
}

#[test]
fn nothing_of_a_watch_follows_its_end() {
    let mut world = World::new();
    let mut stream = world.stream();
    stream.create(WatchRequest::of(one("a")));
    world.put("a", "1");
    world.settle();
    stream.cancel(0);
    world.put("a", "2");
    world.settle();
    assert_eq!(
        told(&mut stream),
        ["0 created @1", "0: a@2", "0 canceled Requested"]
    );
}

#[test]
fn kinds_that_are_not_wanted_are_left_out() {
    let mut world = World::new();
    world.run([put("a", "1"), delete(one("a"))]);
    let mut stream = world.stream();
    for start in [2, 0] {
        stream.create(WatchRequest {
            no_put: true,
            ..from(one("a"), start)
        });
        stream.create(WatchRequest {
            no_delete: true,
            ..from(one("a"), start)
        });
    }
    world.run([put("a", "2"), delete(one("a"))]);
    world.settle();
    let mut told = told(&mut stream);
    told.retain(|text| text.contains(": "));
    told.sort();
    assert_eq!(told, ["0: -a@3 -a@5", "1: a@2 a@4", "2: -a@5", "3: a@4"]);
}

#[test]
fn an_event_says_what_it_replaced_from_wherever_that_is() {
    let mut world = World::new();
    world.put("a", "1");
    let mut stream = world.stream();
    stream.create(WatchRequest {
        previous: true,
        ..from(prefix(""), 2)
    });
    world.run([
        put("a", "2"),
        delete(one("a")),
        put("a", "3"),
        put("b", "4"),
    ]);
    world.maintain();
    world.settle();
    let mut replaced = Vec::new();
    for delivery in take(&mut stream) {
        if let Delivery::Events { events, .. } = delivery {
            replaced.extend(events.iter().map(|event| event.previous().map(short)));
        }
    }
    let some = |text: &str| Some(text.to_owned());
    assert_eq!(replaced, [None, some("a@2"), some("a@3"), None, None]);
}

#[test]
fn what_compaction_took_is_not_said_to_be_replaced() {
    let mut world = World::new();
    world.run([put("a", "1"), put("a", "2"), put("a", "3"), compact(3)]);
    world.maintain();
    let mut stream = world.stream();
    stream.create(WatchRequest {
        previous: true,
        ..from(prefix(""), 3)
    });
    world.settle();
    let Some(Delivery::Events { events, .. }) = take(&mut stream).pop() else {
        panic!("the two events are told");
    };
    let replaced: Vec<_> = events
        .iter()
        .map(|event| event.previous().map(short))
        .collect();
    assert_eq!(replaced, [None, Some("a@3".to_owned())]);
}

#[test]
fn a_report_comes_behind_every_event_that_it_covers() {
    let mut world = World::new();
    for n in 0..60 {
        world.put(&format!("k{n}"), &"x".repeat(200));
    }
    let mut stream = world.stream();
    stream.ask_progress();
    stream.create(WatchRequest::of(one("k1")));
    stream.create(from(prefix("k"), 2));
    stream.ask_progress();
    world.put("k1", "live");
    assert!(world.tail_step());
    world.hub.due();
    // The tail is at the head, but one watch is not.
    let told_early = told(&mut stream);
    assert!(
        !told_early.iter().any(|text| text.contains("all")),
        "{told_early:?}"
    );
    world.settle();
    let told = told(&mut stream);
    assert_eq!(told.last().map(String::as_str), Some("all @62"));
    assert!(told[told.len() - 2].contains("k1@62"), "{told:?}");
    assert_eq!(told.iter().filter(|text| text.contains("all")).count(), 1);
}

#[test]
fn a_quiet_watch_that_asked_for_it_is_told_how_far_it_is() {
    let mut world = World::new();
    world.put("a", "1");
    let mut stream = world.stream();
    stream.create(WatchRequest {
        progress: true,
        ..WatchRequest::of(one("a"))
    });
    stream.create(WatchRequest::of(one("a")));
    stream.create(WatchRequest {
        progress: true,
        ..from(one("a"), 100)
    });
    world.settle();
    let _created = told(&mut stream);
    world.hub.tick();
    assert_eq!(
        told(&mut stream),
        [""; 0],
        "it was not quiet for a whole interval"
    );
    world.put("b", "1");
    world.settle();
    world.hub.tick();
    assert_eq!(told(&mut stream), ["0 quiet @3"]);
    world.put("a", "2");
    world.settle();
    world.hub.tick();
    assert_eq!(told(&mut stream), ["0: a@4", "1: a@4"]);
    world.hub.tick();
    assert_eq!(told(&mut stream), ["0 quiet @4"]);
}

#[test]
fn a_closed_hub_ends_every_stream_the_late_ones_too() {
    let world = World::new();
    let mut stream = world.stream();
    stream.create(WatchRequest::of(one("a")));
    world.hub.close();
    assert!(stream.next().now_or_never().unwrap().is_err());
    let mut late = world.stream();
    late.create(WatchRequest::of(one("a")));
    assert!(late.next().now_or_never().unwrap().is_err());
}
