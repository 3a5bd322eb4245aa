//! Keys and ranges of keys, in the byte order that every node shares.
//!
//! A key is any non-empty byte string; `KeyRange` is what etcd's `key` and `range_end` mean
//! together (etcd API v3: an empty end is one key, an end of one zero byte is "from key").

use bytes::Bytes;

/// Which keys a request speaks of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum KeyRange {
    /// Exactly this key.
    One(Bytes),
    /// Every key in `start..end`; empty when `end <= start`.
    Span {
        /// The first key that is in.
        start: Bytes,
        /// The first key that is out.
        end: Bytes,
    },
    /// Every key from this one on.
    From(Bytes),
}

impl KeyRange {
    /// Every key of the store.
    pub fn all() -> KeyRange {
        KeyRange::From(Bytes::from_static(&[0]))
    }

    /// Every key that begins with `prefix`; an empty prefix is every key.
    pub fn prefix(prefix: &Bytes) -> KeyRange {
        if prefix.is_empty() {
            return KeyRange::all();
        }
        match prefix.iter().rposition(|byte| *byte < u8::MAX) {
            None => KeyRange::From(prefix.clone()),
            Some(last) => {
                let mut end = prefix[..=last].to_vec();
                end[last] += 1;
                KeyRange::Span {
                    start: prefix.clone(),
                    end: end.into(),
                }
            }
        }
    }

    /// The smallest key that may be in the range.
    pub fn start(&self) -> &Bytes {
        match self {
            KeyRange::One(key) | KeyRange::From(key) => key,
            KeyRange::Span { start, .. } => start,
        }
    }

    /// Whether `key` is in the range.
    pub fn contains(&self, key: &[u8]) -> bool {
        match self {
            KeyRange::One(one) => one == key,
            KeyRange::Span { start, end } => key >= &start[..] && key < &end[..],
            KeyRange::From(start) => key >= &start[..],
        }
    }
}
