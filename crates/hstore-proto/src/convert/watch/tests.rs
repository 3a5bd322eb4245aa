//! Where an answer is cut, and which keys a request means.

use super::*;
use crate::mvccpb::{Event, KeyValue};

fn event(number: usize, bytes: usize) -> Event {
    Event {
        kv: Some(KeyValue {
            mod_revision: number as i64,
            value: vec![b'v'; bytes].into(),
            ..KeyValue::default()
        }),
        ..Event::default()
    }
}

fn whole(sizes: &[usize]) -> WatchResponse {
    let events = sizes.iter().enumerate();
    WatchResponse {
        watch_id: 7,
        events: events
            .map(|(number, bytes)| event(number, *bytes))
            .collect(),
        ..WatchResponse::default()
    }
}

#[test]
fn an_answer_is_cut_between_events_and_loses_none() {
    let table: [(&[usize], usize); 6] = [
        (&[], 1),
        (&[5000], 1),
        (&[10, 10, 10], 4),
        (&[100, 100, 100, 900, 100, 100], 3),
        (&[2000, 1, 2000], 3),
        (&[300, 300], 1),
    ];
    for (sizes, count) in table {
        let whole = whole(sizes);
        let pieces = cut(whole.clone(), if sizes == [10, 10, 10] { 1 } else { 1000 });
        assert_eq!(pieces.len(), count.min(sizes.len().max(1)), "{sizes:?}");
        for piece in &pieces {
            assert!(
                piece.events.len() <= 1 || piece.encoded_len() <= 1000,
                "{sizes:?}"
            );
            assert_eq!(piece.watch_id, 7);
        }
        let (last, others) = pieces.split_last().expect("there is one at least");
        assert!(!last.fragment && others.iter().all(|piece| piece.fragment));
        let events: Vec<_> = pieces.into_iter().flat_map(|piece| piece.events).collect();
        assert_eq!(events, whole.events);
    }
}

#[test]
fn an_empty_key_is_the_first_one_and_what_is_too_long_is_refused() {
    let limits = Limits {
        key_bytes_max: 4,
        ..Limits::default()
    };
    let asked = |key: &'static str, end: &'static str| {
        let request = WatchCreateRequest {
            key: Bytes::from_static(key.as_bytes()),
            range_end: Bytes::from_static(end.as_bytes()),
            ..WatchCreateRequest::default()
        };
        keys(&request, &limits)
    };
    let one = |key: &'static str| KeyRange::One(Bytes::from_static(key.as_bytes()));
    assert_eq!(asked("", ""), Ok(one("\0")));
    assert_eq!(asked("", "\0"), Ok(KeyRange::all()));
    assert_eq!(asked("a", ""), Ok(one("a")));
    for (key, end) in [("abcde", ""), ("a", "bcdef")] {
        let refused = asked(key, end);
        assert_eq!(refused, Err(Violation::KeyTooLarge { bytes: 5, limit: 4 }));
    }
}
