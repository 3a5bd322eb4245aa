//! Reading a range: what etcd's Range answers.
//!
//! Invariants: (1) filters and sort come before the limit, the count knows neither; (2) values are
//! fetched for the records that are answered only, unless the order is by value; (3) a read with a
//! limit keeps a small multiple of the limit in memory, however large the range;
//! (4) the view is asked for the room of whatever is kept.

use std::cmp::Ordering;
use std::ops::ControlFlow;

use bytes::Bytes;

use super::View;
use super::told::RECORD_BYTES;
use crate::id::Revision;
use crate::key::KeyRange;
use crate::outcome::Refusal;
use crate::planted::{self, Bug};
use crate::range::{Filter, Range, RangeResult, Sort, SortTarget};
use crate::record::{Meta, Record};

/// Beyond twice the limit and so many candidates more, those that cannot be answered are dropped.
const SPARE_CANDIDATES: usize = 1024;

/// Reads a range of a store at revision `current` whose history begins at `compacted`.
pub fn read<V: View>(
    view: &V,
    current: Revision,
    compacted: Revision,
    range: &Range,
) -> Result<Result<RangeResult, Refusal>, V::Fault> {
    match revision_of(range, current, compacted) {
        Ok(at) => read_at(view, at, range).map(Ok),
        Err(refusal) => Ok(Err(refusal)),
    }
}

/// The revision that a range asks for.
pub(super) fn revision_of(
    range: &Range,
    current: Revision,
    compacted: Revision,
) -> Result<Revision, Refusal> {
    if range.revision <= Revision(0) || planted::is(Bug::HistoricalReadShowsNewest) {
        Ok(current)
    } else if range.revision > current {
        Err(Refusal::FutureRevision { current })
    } else if range.revision < compacted {
        Err(Refusal::Compacted { compacted })
    } else {
        Ok(range.revision)
    }
}

/// Reads a range as of a revision that is known to be readable.
pub(super) fn read_at<V: View>(
    view: &V,
    at: Revision,
    range: &Range,
) -> Result<RangeResult, V::Fault> {
    if let KeyRange::One(key) = &range.keys {
        return read_one(view, at, key, range);
    }
    if range.count_only {
        return Ok(RangeResult {
            count: count(view, at, &range.keys),
            ..RangeResult::default()
        });
    }
    if range.sort.target == SortTarget::Value {
        return read_by_value(view, at, range);
    }
    let mut best = Best::new(range);
    let mut count: u64 = 0;
    let mut held = Ok(());
    view.scan(&range.keys, at, &mut |key, meta| {
        count += 1;
        if passes(&range.filter, meta) {
            held = best.offer(view, key, meta);
        }
        if held.is_err() || (range.uncounted && best.is_settled()) {
            ControlFlow::Break(())
        } else {
            ControlFlow::Continue(())
        }
    });
    held?;
    let (chosen, more) = best.finish();
    if planted::is(Bug::CountIsLimited) {
        count = chosen.len() as u64;
    }
    let records = chosen
        .into_iter()
        .map(|(key, meta)| load(view, key, meta, range.keys_only))
        .collect::<Result<_, _>>()?;
    Ok(RangeResult {
        records,
        more,
        count,
    })
}

fn read_one<V: View>(
    view: &V,
    at: Revision,
    key: &Bytes,
    range: &Range,
) -> Result<RangeResult, V::Fault> {
    let Some(meta) = view.get(key, at) else {
        return Ok(RangeResult::default());
    };
    let mut result = RangeResult {
        count: 1,
        ..RangeResult::default()
    };
    if !range.count_only && passes(&range.filter, &meta) {
        view.hold(RECORD_BYTES + key.len())?;
        let record = load(view, key.clone(), meta, range.keys_only)?;
        result.records.push(record);
    }
    Ok(result)
}

fn count<V: View>(view: &V, at: Revision, keys: &KeyRange) -> u64 {
    let mut count = 0;
    view.scan(keys, at, &mut |_, _| {
        count += 1;
        ControlFlow::Continue(())
    });
    count
}

/// The one order that needs values before it is known what is answered. The values are fetched
/// after the scan, not within it: the store may hold a lock while it scans.
fn read_by_value<V: View>(view: &V, at: Revision, range: &Range) -> Result<RangeResult, V::Fault> {
    let mut candidates = Vec::new();
    let mut count = 0;
    let mut held = Ok(());
    view.scan(&range.keys, at, &mut |key, meta| {
        count += 1;
        if passes(&range.filter, meta) {
            held = view.hold(RECORD_BYTES + key.len());
            candidates.push((key.clone(), *meta));
        }
        if held.is_err() {
            ControlFlow::Break(())
        } else {
            ControlFlow::Continue(())
        }
    });
    held?;
    let limit = limit_of(range);
    let more = candidates.len() > limit;
    let order = |a: &Record, b: &Record| directed(a.value.cmp(&b.value), range.sort);
    let mut records: Vec<Record> = Vec::new();
    for (key, meta) in candidates {
        records.push(load(view, key, meta, false)?);
        if records.len() >= crowd(limit) {
            records.sort_by(order);
            records.truncate(limit);
        }
    }
    records.sort_by(order);
    records.truncate(limit);
    if range.keys_only {
        for record in &mut records {
            record.value = Bytes::new();
        }
    }
    Ok(RangeResult {
        records,
        more,
        count,
    })
}

/// The best of the records that were offered, in key order: those that are within the limit.
struct Best {
    limit: usize,
    sort: Sort,
    candidates: Vec<(Bytes, Meta)>,
    /// The most candidates that there were at a time.
    most: usize,
    offered: usize,
}

impl Best {
    fn new(range: &Range) -> Best {
        Best {
            limit: limit_of(range),
            sort: range.sort,
            candidates: Vec::new(),
            most: 0,
            offered: 0,
        }
    }

    fn is_in_key_order(&self) -> bool {
        self.sort.target == SortTarget::Key && !self.sort.descending
    }

    fn offer<V: View>(&mut self, view: &V, key: &Bytes, meta: &Meta) -> Result<(), V::Fault> {
        self.offered += 1;
        if self.is_in_key_order() && self.candidates.len() >= self.limit {
            return Ok(());
        }
        if self.candidates.len() == self.most {
            self.most += 1;
            view.hold(RECORD_BYTES + key.len())?;
        }
        self.candidates.push((key.clone(), *meta));
        if self.candidates.len() >= crowd(self.limit) {
            self.select();
        }
        Ok(())
    }

    /// Whether nothing that comes later can change the answer: the limit is reached, and it is
    /// known that there is more.
    fn is_settled(&self) -> bool {
        self.is_in_key_order() && self.offered > self.limit
    }

    /// Puts the candidates in order and drops those behind the limit. Offers come in key order and
    /// the sort is stable, so ties keep key order however often this runs.
    fn select(&mut self) {
        let sort = self.sort;
        if !self.is_in_key_order() {
            self.candidates.sort_by(|a, b| by_meta(a, b, sort));
        }
        self.candidates.truncate(self.limit);
    }

    fn finish(mut self) -> (Vec<(Bytes, Meta)>, bool) {
        self.select();
        let more = self.offered > self.limit
            || (planted::is(Bug::MoreOffByOne) && self.offered == self.limit);
        (self.candidates, more)
    }
}

fn by_meta(a: &(Bytes, Meta), b: &(Bytes, Meta), sort: Sort) -> Ordering {
    let ascending = match sort.target {
        SortTarget::Key => a.0.cmp(&b.0),
        SortTarget::Version => a.1.version.cmp(&b.1.version),
        SortTarget::CreateRevision => a.1.create_revision.cmp(&b.1.create_revision),
        SortTarget::ModRevision => a.1.mod_revision.cmp(&b.1.mod_revision),
        // These go another way, `read_by_value`.
        SortTarget::Value => Ordering::Equal,
    };
    directed(ascending, sort)
}

fn directed(ascending: Ordering, sort: Sort) -> Ordering {
    if sort.descending {
        ascending.reverse()
    } else {
        ascending
    }
}

fn limit_of(range: &Range) -> usize {
    match range.limit {
        0 => usize::MAX,
        limit => usize::try_from(limit).unwrap_or(usize::MAX),
    }
}

/// So many candidates are too many to keep.
fn crowd(limit: usize) -> usize {
    limit.saturating_mul(2).saturating_add(SPARE_CANDIDATES)
}

fn passes(filter: &Filter, meta: &Meta) -> bool {
    let within = |revision: Revision, min: Revision, max: Revision| {
        (min == Revision(0) || revision >= min) && (max == Revision(0) || revision <= max)
    };
    within(
        meta.mod_revision,
        filter.mod_revision_min,
        filter.mod_revision_max,
    ) && within(
        meta.create_revision,
        filter.create_revision_min,
        filter.create_revision_max,
    )
}

fn load<V: View>(view: &V, key: Bytes, meta: Meta, keys_only: bool) -> Result<Record, V::Fault> {
    let value = if keys_only {
        Bytes::new()
    } else {
        let value = view.value(&key, &meta)?;
        view.hold(value.len())?;
        value
    };
    Ok(Record { key, value, meta })
}
