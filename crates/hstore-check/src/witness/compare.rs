//! The first difference between the answer that the replay expects and the one that was given.

use hstore_core::command::{Delete, Operation as Step, Put, Txn};
use hstore_core::outcome::Reply;
use hstore_core::range::{Range, RangeResult};
use hstore_core::record::Record;

use crate::history::Call;
use crate::violation::Kind;
use crate::words;

/// What is different, and how.
#[derive(Debug)]
pub(super) struct Difference {
    pub(super) kind: Kind,
    /// Expected and found, as a part of a sentence.
    pub(super) what: String,
    /// The record that should not have been answered as it is.
    pub(super) found: Option<Record>,
}

impl Difference {
    fn new(kind: Kind, what: String) -> Difference {
        let found = None;
        Difference { kind, what, found }
    }
}

/// Whether a reply is of the kind that the call asks for, with a reply for each step of a branch,
/// and nothing in it that was not asked for.
pub(crate) fn fits(call: &Call, reply: &Reply) -> bool {
    match (call, reply) {
        (Call::Compact(_), Reply::Compact) => true,
        (Call::Delete(delete), reply) => delete_fits(delete, reply),
        (Call::Put(put), reply) => put_fits(put, reply),
        (Call::Range { range, .. }, reply) => range_fits(range, reply),
        (Call::Txn(txn), reply) => txn_fits(txn, reply),
        (Call::Compact(_), _) => false,
    }
}

fn delete_fits(delete: &Delete, reply: &Reply) -> bool {
    matches!(reply, Reply::Delete { previous, .. } if delete.prev_kv || previous.is_empty())
}

fn put_fits(put: &Put, reply: &Reply) -> bool {
    matches!(reply, Reply::Put { previous } if put.prev_kv || previous.is_none())
}

fn range_fits(range: &Range, reply: &Reply) -> bool {
    matches!(reply, Reply::Range(result) if !range.count_only || result.records.is_empty())
}

fn txn_fits(txn: &Txn, reply: &Reply) -> bool {
    let Reply::Txn { succeeded, replies } = reply else {
        return false;
    };
    let branch = if *succeeded {
        &txn.then
    } else {
        &txn.otherwise
    };
    let fits = |(step, reply): (&Step, &Reply)| match step {
        Step::Delete(delete) => delete_fits(delete, reply),
        Step::Put(put) => put_fits(put, reply),
        Step::Range(range) => range_fits(range, reply),
        Step::Txn(txn) => txn_fits(txn, reply),
    };
    branch.len() == replies.len() && branch.iter().zip(replies).all(fits)
}

/// Whether the reply says that a record was written.
pub(crate) fn wrote(reply: &Reply) -> bool {
    match reply {
        Reply::Alarms(_)
        | Reply::Auth
        | Reply::Compact
        | Reply::Lease(_)
        | Reply::Node(_)
        | Reply::Range(_)
        | Reply::Settings(_)
        | Reply::Untold => false,
        Reply::Delete { deleted, .. } => *deleted > 0,
        Reply::Put { .. } => true,
        Reply::Txn { replies, .. } => replies.iter().any(wrote),
    }
}

/// Every record that a reply shows.
pub(crate) fn records<'r>(reply: &'r Reply, visit: &mut impl FnMut(&'r Record)) {
    match reply {
        Reply::Alarms(_)
        | Reply::Auth
        | Reply::Compact
        | Reply::Lease(_)
        | Reply::Node(_)
        | Reply::Settings(_)
        | Reply::Untold => {}
        Reply::Delete { previous, .. } => previous.iter().for_each(visit),
        Reply::Put { previous } => previous.iter().for_each(visit),
        Reply::Range(result) => result.records.iter().for_each(visit),
        Reply::Txn { replies, .. } => {
            for reply in replies {
                records(reply, visit);
            }
        }
    }
}

/// The first difference between two replies that both fit the call.
pub(super) fn difference(call: &Call, expected: &Reply, found: &Reply) -> Option<Difference> {
    match (call, expected, found) {
        (Call::Range { range, .. }, Reply::Range(expected), Reply::Range(found)) => {
            ranges(range, expected, found)
        }
        (Call::Txn(txn), expected, found) => txns(txn, expected, found),
        _ => writes(expected, found),
    }
}

fn writes(expected: &Reply, found: &Reply) -> Option<Difference> {
    match (expected, found) {
        (Reply::Put { previous: expected }, Reply::Put { previous: found }) => {
            previous(expected.as_slice(), found.as_slice())
        }
        (
            Reply::Delete {
                deleted: expected,
                previous: before,
            },
            Reply::Delete {
                deleted: found,
                previous: told,
            },
        ) => {
            if expected == found {
                previous(before, told)
            } else {
                let what = format!("expected {expected} deleted keys, found {found}");
                Some(Difference::new(Kind::WrongDeleted, what))
            }
        }
        _ => None,
    }
}

fn previous(expected: &[Record], found: &[Record]) -> Option<Difference> {
    let longest = expected.len().max(found.len());
    (0..longest).find_map(|place| {
        let (expected, found) = (expected.get(place), found.get(place));
        if let (Some(expected), Some(found)) = (expected, found)
            && same(expected, found)
        {
            return None;
        }
        Some(Difference {
            kind: Kind::WrongPrevious,
            what: format!(
                "expected as previous {}, found {}",
                words::maybe(expected),
                words::maybe(found)
            ),
            found: found.cloned(),
        })
    })
}

fn txns(txn: &Txn, expected: &Reply, found: &Reply) -> Option<Difference> {
    let (
        Reply::Txn {
            succeeded: expected,
            replies: should,
        },
        Reply::Txn {
            succeeded: found,
            replies: are,
        },
    ) = (expected, found)
    else {
        return None;
    };
    if expected != found {
        let branch = |succeeded: &bool| if *succeeded { "then" } else { "else" };
        let (expected, found) = (branch(expected), branch(found));
        let what = format!("expected the branch `{expected}`, found `{found}`");
        return Some(Difference::new(Kind::WrongBranch, what));
    }
    let branch = if *expected { &txn.then } else { &txn.otherwise };
    let mut steps = branch.iter().zip(should).zip(are);
    steps.find_map(|((step, expected), found)| match (step, expected, found) {
        (Step::Range(range), Reply::Range(expected), Reply::Range(found)) => {
            ranges(range, expected, found)
        }
        (Step::Txn(txn), expected, found) => txns(txn, expected, found),
        _ => writes(expected, found),
    })
}

fn ranges(range: &Range, expected: &RangeResult, found: &RangeResult) -> Option<Difference> {
    for (expected, found) in expected.records.iter().zip(&found.records) {
        if let Some(difference) = records_differ(expected, found) {
            return Some(difference);
        }
    }
    let (should, are) = (expected.records.len(), found.records.len());
    if should != are {
        let shorter = should.min(are);
        let what = format!(
            "expected {should} records, found {are}; the first that differs: expected {}, found {}",
            words::maybe(expected.records.get(shorter)),
            words::maybe(found.records.get(shorter))
        );
        return Some(Difference {
            kind: Kind::WrongRecords,
            what,
            found: found.records.get(shorter).cloned(),
        });
    }
    if expected.more != found.more {
        let what = format!("expected more = {}, found {}", expected.more, found.more);
        return Some(Difference::new(Kind::WrongMore, what));
    }
    // Who does not want the count gets one of what the read saw before it stopped.
    let counted = if range.uncounted {
        (are as u64..=expected.count).contains(&found.count)
    } else {
        expected.count == found.count
    };
    if !counted {
        let what = format!("expected count {}, found {}", expected.count, found.count);
        return Some(Difference::new(Kind::WrongCount, what));
    }
    None
}

/// Whether two records are the same; the place within a revision travels in no answer.
pub(super) fn same(a: &Record, b: &Record) -> bool {
    a.key == b.key
        && a.value == b.value
        && a.meta.mod_revision == b.meta.mod_revision
        && a.meta.create_revision == b.meta.create_revision
        && a.meta.version == b.meta.version
        && a.meta.lease == b.meta.lease
}

fn records_differ(expected: &Record, found: &Record) -> Option<Difference> {
    if same(expected, found) {
        return None;
    }
    let (should, is) = (&expected.meta, &found.meta);
    let kind = if expected.key != found.key {
        Kind::WrongRecords
    } else if expected.value != found.value {
        Kind::WrongValue
    } else if should.mod_revision != is.mod_revision {
        Kind::WrongModRevision
    } else if should.create_revision != is.create_revision {
        Kind::WrongCreateRevision
    } else if should.version != is.version {
        Kind::WrongVersion
    } else {
        Kind::WrongLease
    };
    Some(Difference {
        kind,
        what: format!(
            "expected {}, found {}",
            words::record(expected),
            words::record(found)
        ),
        found: Some(found.clone()),
    })
}
