//! Reading: which records of a range, in which order, at which revision.

use crate::id::Revision;
use crate::key::KeyRange;
use crate::record::Record;

/// A read of the keys of a range as they were at one revision.
///
/// The order of work is etcd's: the revision filters and the sort come before the limit; `count`
/// ignores filters and limit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Range {
    /// Which keys.
    pub keys: KeyRange,
    /// As of which revision; 0 is the current one.
    pub revision: Revision,
    /// At most so many records; 0 is no limit.
    pub limit: u64,
    /// The order of the answer.
    pub sort: Sort,
    /// Leave the values out.
    pub keys_only: bool,
    /// Answer the count alone.
    pub count_only: bool,
    /// The count is not wanted: the read may stop where it knows its answer, and its count is then
    /// of what it saw. Without it a page costs as much as the whole range.
    pub uncounted: bool,
    /// Only records within these revisions.
    pub filter: Filter,
}

impl Range {
    /// The live records of `keys`, all of them, in key order.
    pub fn of(keys: KeyRange) -> Range {
        Range {
            keys,
            revision: Revision(0),
            limit: 0,
            sort: Sort::default(),
            keys_only: false,
            count_only: false,
            uncounted: false,
            filter: Filter::default(),
        }
    }
}

/// Bounds on revisions, both ends included; 0 is no bound.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Filter {
    /// Written at or after this revision.
    pub mod_revision_min: Revision,
    /// Written at or before this revision.
    pub mod_revision_max: Revision,
    /// Created at or after this revision.
    pub create_revision_min: Revision,
    /// Created at or before this revision.
    pub create_revision_max: Revision,
}

/// The order of an answer: ascending by key when nothing else was asked for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Sort {
    /// What is compared; ties keep key order.
    pub target: SortTarget,
    /// Largest first.
    pub descending: bool,
}

/// What records are sorted by.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum SortTarget {
    /// By key.
    #[default]
    Key,
    /// By version.
    Version,
    /// By create revision.
    CreateRevision,
    /// By mod revision.
    ModRevision,
    /// By value.
    Value,
}

/// What a range answered.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RangeResult {
    /// The records, in the order asked for.
    pub records: Vec<Record>,
    /// Whether the limit cut records off.
    pub more: bool,
    /// How many keys the range holds, filters and limit aside.
    pub count: u64,
}
