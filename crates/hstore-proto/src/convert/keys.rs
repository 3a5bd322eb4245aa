//! etcd's pair of `key` and `range_end`, and what it stands for.

use bytes::Bytes;
use hstore_core::key::KeyRange;

/// The end that stands for "every key from here on".
const FROM: &[u8] = &[0];

/// An interval that holds nothing, for a range that does not: etcd has no word for it.
const NOTHING: &[u8] = &[1];

/// What a key and a range end mean together.
pub fn from_wire(key: Bytes, range_end: Bytes) -> KeyRange {
    if range_end.is_empty() {
        KeyRange::One(key)
    } else if range_end == FROM {
        KeyRange::From(key)
    } else {
        KeyRange::Span {
            start: key,
            end: range_end,
        }
    }
}

/// The key and the range end that mean a range.
pub fn to_wire(keys: KeyRange) -> (Bytes, Bytes) {
    match keys {
        KeyRange::One(key) => (key, Bytes::new()),
        KeyRange::From(key) => (key, Bytes::from_static(FROM)),
        // An end that is empty or one zero byte would mean something else on the wire.
        KeyRange::Span { start, end } if end <= start => {
            (Bytes::from_static(NOTHING), Bytes::from_static(NOTHING))
        }
        KeyRange::Span { start, end } if end == FROM => {
            debug_assert!(
                start.is_empty(),
                "only the empty key is below one zero byte"
            );
            (Bytes::from_static(NOTHING), Bytes::from_static(NOTHING))
        }
        KeyRange::Span { start, end } => (start, end),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bytes(text: &'static str) -> Bytes {
        Bytes::from_static(text.as_bytes())
    }

    #[test]
    fn a_range_end_says_which_keys_are_meant() {
        let span = KeyRange::Span {
            start: bytes("a"),
            end: bytes("b"),
        };
        let table = [
            ("a", "", KeyRange::One(bytes("a"))),
            ("a", "\0", KeyRange::From(bytes("a"))),
            ("\0", "\0", KeyRange::all()),
            ("a", "b", span),
        ];
        for (key, end, keys) in table {
            assert_eq!(from_wire(bytes(key), bytes(end)), keys);
            assert_eq!(to_wire(keys), (bytes(key), bytes(end)));
        }
    }

    #[test]
    fn a_span_that_holds_nothing_still_holds_nothing_on_the_wire() {
        for (start, end) in [("b", "a"), ("a", "a"), ("a", "\0"), ("a", ""), ("", "\0")] {
            let (key, range_end) = to_wire(KeyRange::Span {
                start: bytes(start),
                end: bytes(end),
            });
            let KeyRange::Span { start, end } = from_wire(key, range_end) else {
                panic!("{start:?}..{end:?} became another kind of range");
            };
            assert!(end <= start);
        }
    }
}
