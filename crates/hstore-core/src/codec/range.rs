//! Ranges and their answers to messages and back.

use super::{DecodeError, wire};
use crate::id::Revision;
use crate::key::KeyRange;
use crate::range::{Filter, Range, RangeResult, Sort, SortTarget};
use crate::record::Record;

impl From<&KeyRange> for wire::KeyRange {
    fn from(keys: &KeyRange) -> Self {
        let (start, end, endless) = match keys {
            KeyRange::One(key) => (key, None, false),
            KeyRange::Span { start, end } => (start, Some(end.clone()), false),
            KeyRange::From(start) => (start, None, true),
        };
        wire::KeyRange {
            start: start.clone(),
            end,
            endless,
        }
    }
}

impl wire::KeyRange {
    /// The range that a message must have.
    pub(super) fn required(keys: Option<wire::KeyRange>) -> Result<KeyRange, DecodeError> {
        let keys = keys.ok_or(DecodeError::Malformed("no keys"))?;
        match (keys.end, keys.endless) {
            (None, false) => Ok(KeyRange::One(keys.start)),
            (None, true) => Ok(KeyRange::From(keys.start)),
            (Some(end), false) => Ok(KeyRange::Span {
                start: keys.start,
                end,
            }),
            (Some(_), true) => Err(DecodeError::Malformed("an endless range with an end")),
        }
    }
}

impl From<&Range> for wire::Range {
    fn from(range: &Range) -> Self {
        wire::Range {
            keys: Some((&range.keys).into()),
            revision: range.revision.0,
            limit: range.limit,
            sort_target: match range.sort.target {
                SortTarget::Key => 0,
                SortTarget::Version => 1,
                SortTarget::CreateRevision => 2,
                SortTarget::ModRevision => 3,
                SortTarget::Value => 4,
            },
            descending: range.sort.descending,
            keys_only: range.keys_only,
            count_only: range.count_only,
            mod_revision_min: range.filter.mod_revision_min.0,
            mod_revision_max: range.filter.mod_revision_max.0,
            create_revision_min: range.filter.create_revision_min.0,
            create_revision_max: range.filter.create_revision_max.0,
            uncounted: range.uncounted,
        }
    }
}

impl TryFrom<wire::Range> for Range {
    type Error = DecodeError;

    fn try_from(range: wire::Range) -> Result<Self, DecodeError> {
        Ok(Range {
            keys: wire::KeyRange::required(range.keys)?,
            revision: Revision(range.revision),
            limit: range.limit,
            sort: Sort {
                target: match range.sort_target {
                    0 => SortTarget::Key,
                    1 => SortTarget::Version,
                    2 => SortTarget::CreateRevision,
                    3 => SortTarget::ModRevision,
                    4 => SortTarget::Value,
                    _ => return Err(DecodeError::Malformed("an unknown sort target")),
                },
                descending: range.descending,
            },
            keys_only: range.keys_only,
            count_only: range.count_only,
            uncounted: range.uncounted,
            filter: Filter {
                mod_revision_min: Revision(range.mod_revision_min),
                mod_revision_max: Revision(range.mod_revision_max),
                create_revision_min: Revision(range.create_revision_min),
                create_revision_max: Revision(range.create_revision_max),
            },
        })
    }
}

impl From<&RangeResult> for wire::RangeResult {
    fn from(result: &RangeResult) -> Self {
        wire::RangeResult {
            records: result.records.iter().map(wire::Record::from).collect(),
            more: result.more,
            count: result.count,
        }
    }
}

impl From<wire::RangeResult> for RangeResult {
    fn from(result: wire::RangeResult) -> Self {
        RangeResult {
            records: result.records.into_iter().map(Record::from).collect(),
            more: result.more,
            count: result.count,
        }
    }
}
