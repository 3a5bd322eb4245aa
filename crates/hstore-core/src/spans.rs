//! Spans of keys that neither overlap nor touch: start to end, or to nowhere.
//!
//! Invariant: no span holds or touches the start of the next, so that whether a range is covered is
//! told by the one span before its start.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Bound;

use crate::key::KeyRange;

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Spans(BTreeMap<Vec<u8>, Option<Vec<u8>>>);

impl Spans {
    pub(crate) fn add(&mut self, keys: &KeyRange) {
        match keys {
            KeyRange::One(key) => {
                let next = [key, &[0][..]].concat();
                self.insert(key.to_vec(), Some(next));
            }
            KeyRange::Span { start, end } if start < end => {
                self.insert(start.to_vec(), Some(end.to_vec()));
            }
            KeyRange::Span { .. } => {}
            KeyRange::From(start) => self.insert(start.to_vec(), None),
        }
    }

    pub(crate) fn join(&mut self, other: Spans) {
        for (start, end) in other.0 {
            self.insert(start, end);
        }
    }

    fn insert(&mut self, mut start: Vec<u8>, mut end: Option<Vec<u8>>) {
        if let Some((before, before_end)) = self.0.range(..=start.clone()).next_back()
            && before_end
                .as_ref()
                .is_none_or(|before_end| *before_end >= start)
        {
            start.clone_from(before);
        }
        loop {
            let met = self.0.range(start.clone()..).next();
            let Some((met, met_end)) = met.map(|(met, end)| (met.clone(), end.clone())) else {
                break;
            };
            if end.as_ref().is_some_and(|end| met > *end) {
                break;
            }
            self.0.remove(&met);
            end = end.zip(met_end).map(|(a, b)| a.max(b));
        }
        self.0.insert(start, end);
    }

    pub(crate) fn contain(&self, key: &[u8]) -> bool {
        let end = self.end_of_span_at(key);
        end.is_some_and(|end| end.as_ref().is_none_or(|end| key < &end[..]))
    }

    pub(crate) fn contain_any(&self, keys: &BTreeSet<&[u8]>) -> bool {
        self.0.iter().any(|(start, end)| {
            let from_start = (Bound::Included(&start[..]), Bound::Unbounded);
            let first = keys.range::<[u8], _>(from_start).next();
            first.is_some_and(|key| end.as_ref().is_none_or(|end| *key < &end[..]))
        })
    }

    /// Whether every key of a range is in. A range that holds no key is covered where its first key
    /// is, so that nobody learns anything by asking for one.
    pub(crate) fn cover(&self, keys: &KeyRange) -> bool {
        if !self.contain(keys.start()) {
            return false;
        }
        match (keys, self.end_of_span_at(keys.start())) {
            (KeyRange::One(_), _) | (_, Some(None)) => true,
            (KeyRange::Span { end, .. }, Some(Some(covered))) => end[..] <= covered[..],
            (KeyRange::From(_), Some(Some(_))) | (_, None) => false,
        }
    }

    /// The end of the last span that begins at a key or before it, if there is one.
    fn end_of_span_at(&self, key: &[u8]) -> Option<&Option<Vec<u8>>> {
        let to_key = (Bound::Unbounded, Bound::Included(key));
        let before = self.0.range::<[u8], _>(to_key).next_back();
        before.map(|(_, end)| end)
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;

    fn one(key: &'static str) -> KeyRange {
        KeyRange::One(Bytes::from_static(key.as_bytes()))
    }

    fn span(start: &'static str, end: &'static str) -> KeyRange {
        KeyRange::Span {
            start: Bytes::from_static(start.as_bytes()),
            end: Bytes::from_static(end.as_bytes()),
        }
    }

    fn from(start: &'static str) -> KeyRange {
        KeyRange::From(Bytes::from_static(start.as_bytes()))
    }

    #[test]
    fn a_range_is_covered_only_as_a_whole() {
        let mut spans = Spans::default();
        for keys in [span("b", "d"), span("d", "f"), one("k"), from("t")] {
            spans.add(&keys);
        }
        let covered = [
            one("b"),
            one("e"),
            one("k"),
            one("tt"),
            span("b", "f"),
            span("c", "e"),
            span("k", "k\0"),
            span("t", "z"),
            from("t"),
            from("z"),
            span("c", "a"),
        ];
        for keys in covered {
            assert!(spans.cover(&keys), "{keys:?}");
        }
        let open = [
            one("a"),
            one("f"),
            one("k\0"),
            span("a", "c"),
            span("e", "g"),
            span("k", "l"),
            span("s", "u"),
            from("b"),
            from("s"),
            span("a", "a"),
        ];
        for keys in open {
            assert!(!spans.cover(&keys), "{keys:?}");
        }
    }

    #[test]
    fn what_covers_all_covers_the_first_key() {
        let mut spans = Spans::default();
        spans.add(&KeyRange::all());
        assert!(spans.cover(&KeyRange::all()) && spans.cover(&one("\0")) && spans.cover(&one("x")));
        assert!(!Spans::default().cover(&one("x")));
    }
}
