//! Reading many keys, a page at a time, all as of one revision.
//!
//! Invariants: (1) every page is as of the revision of the first; (2) a page asks for so many keys
//! as the pages before it say will fit `PAGE_BYTES`, and never for more than `PAGE_KEYS_MAX`.

use bytes::Bytes;
use hstore_core::error::ErrorCode;
use hstore_core::id::Revision;
use hstore_core::key::KeyRange;
use hstore_proto::etcdserverpb::RangeRequest;

use crate::client::{Client, range_request, revision};
use crate::error::Error;
use crate::kv::{KeyValue, Read};

/// How much a page should hold.
const PAGE_BYTES: usize = 1024 * 1024;
/// The keys of the first page, when nothing is known of their size.
const PAGE_KEYS_FIRST: i64 = 16;
/// The most keys of a page.
const PAGE_KEYS_MAX: i64 = 1024;
/// How much larger than the page before it a page may be.
const PAGE_GROWTH: i64 = 4;

/// Some keys of a range, in order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Page {
    /// The revision of all pages.
    pub revision: Revision,
    /// The keys with their values.
    pub pairs: Vec<KeyValue>,
    /// How many keys the range holds, in the first page of `counted` pages; otherwise a lower bound.
    pub count: u64,
}

/// The pages of a range.
pub struct Pages {
    client: Client,
    rest: Option<KeyRange>,
    read: Read,
    /// How many keys may still be read.
    left: Option<u64>,
    size: i64,
    /// Whether the next page counts the keys of the range.
    count: bool,
}

impl Client {
    /// The keys of a range, at most `limit`, a page at a time.
    pub fn pages(&self, keys: KeyRange, read: Read, limit: Option<u64>) -> Pages {
        let client = self.clone();
        Pages {
            client,
            rest: Some(keys),
            read,
            left: limit,
            size: PAGE_KEYS_FIRST,
            count: false,
        }
    }
}

impl Pages {
    /// The same with the count of the whole range in the first page, which costs a look at each of
    /// its keys.
    #[must_use]
    pub fn counted(mut self) -> Pages {
        self.count = true;
        self
    }

    /// The next page; none after the last. The first one comes even when it is empty.
    pub async fn next(&mut self) -> Result<Option<Page>, Error> {
        let Some(keys) = self.rest.clone() else {
            return Ok(None);
        };
        let limit = match self.left {
            Some(0) => return Ok(None),
            Some(left) => self.size.min(i64::try_from(left).unwrap_or(i64::MAX)),
            None => self.size,
        };
        let answer = match self
            .client
            .range(RangeRequest {
                uncounted: !self.count,
                ..range_request(keys.clone(), self.read, limit)
            })
            .await
        {
            Ok(answer) => answer,
            // The page is larger than an answer may be: ask for fewer keys.
            Err(error) if error.code() == ErrorCode::RequestTooLarge && limit > 1 => {
                self.size = (limit / 8).max(1);
                return Box::pin(self.next()).await;
            }
            Err(error) => return Err(error),
        };
        let revision = match self.read.revision {
            Revision(0) => revision(answer.header.as_ref())?,
            asked => asked,
        };
        self.read.revision = revision;
        self.count = false;
        let pairs: Vec<KeyValue> = answer.kvs.into_iter().map(KeyValue::from).collect();
        self.left = self
            .left
            .map(|left| left.saturating_sub(pairs.len() as u64));
        self.rest = match pairs.last() {
            Some(last) if answer.more => Some(after(&last.key, keys)),
            _ => None,
        };
        self.size = next_size(limit, &pairs);
        Ok(Some(Page {
            revision,
            pairs,
            count: answer.count as u64,
        }))
    }
}

/// What is left of a range after `key`: the smallest key above it is `key` and a zero byte.
fn after(key: &Bytes, keys: KeyRange) -> KeyRange {
    let mut start = Vec::with_capacity(key.len() + 1);
    start.extend_from_slice(key);
    start.push(0);
    let start = Bytes::from(start);
    match keys {
        KeyRange::One(_) => KeyRange::One(start),
        KeyRange::From(_) => KeyRange::From(start),
        KeyRange::Span { end, .. } => KeyRange::Span { start, end },
    }
}

fn next_size(size: i64, pairs: &[KeyValue]) -> i64 {
    let bytes: usize = pairs
        .iter()
        .map(|pair| pair.key.len() + pair.value.len() + 32)
        .sum();
    let each = (bytes / pairs.len().max(1)).max(1);
    let fitting = i64::try_from(PAGE_BYTES / each).unwrap_or(PAGE_KEYS_MAX);
    fitting
        .clamp(1, PAGE_KEYS_MAX)
        .min(size.saturating_mul(PAGE_GROWTH))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pages_grow_to_what_fits_and_shrink_again() {
        let pairs = |count: usize, bytes: usize| {
            vec![
                KeyValue {
                    value: vec![0; bytes].into(),
                    ..KeyValue::default()
                };
                count
            ]
        };
        assert_eq!(next_size(16, &pairs(16, 10)), 64);
        assert_eq!(next_size(1024, &pairs(1024, 10)), 1024);
        assert_eq!(next_size(1024, &pairs(10, 100_000)), 10);
        assert_eq!(next_size(16, &pairs(2, 2_000_000)), 1);
        assert_eq!(next_size(1, &[]), 4);
    }

    #[test]
    fn the_rest_of_a_range_begins_right_after_the_last_key() {
        let rest = after(
            &Bytes::from_static(b"b"),
            KeyRange::prefix(&Bytes::from_static(b"b")),
        );
        assert!(rest.contains(b"b\0") && !rest.contains(b"b") && !rest.contains(b"c"));
        assert!(after(&Bytes::from_static(b"z"), KeyRange::all()).contains(b"zz"));
    }
}
