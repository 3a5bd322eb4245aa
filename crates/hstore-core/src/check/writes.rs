//! Which keys one branch of a transaction writes, to refuse that it writes one twice.
//!
//! All writes of a transaction have one revision, so their order could not be told afterwards: a
//! key that is put may not be put or deleted by another operation of the branch, on whichever
//! level. The two branches of a nested transaction may write the same key, since one of them runs.
//! etcd lets one case pass that is refused here: a put in a nested transaction and its deletion by
//! a later sibling of that transaction.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Bound;

use super::Violation;
use crate::command::Operation;
use crate::key::KeyRange;

/// The writes of some operations. Sets and not lists: a hostile transaction has 100,000 of them.
#[derive(Default)]
pub(super) struct Writes<'t> {
    puts: BTreeSet<&'t [u8]>,
    deletes: Spans,
}

impl<'t> Writes<'t> {
    /// The writes of a branch, unless two of its operations write the same key.
    pub(super) fn of(branch: &'t [Operation]) -> Result<Writes<'t>, Violation> {
        let mut all = Writes::default();
        for operation in branch {
            let mut one = Writes::default();
            match operation {
                Operation::Delete(delete) => one.deletes.add(&delete.keys),
                Operation::Put(put) => {
                    one.puts.insert(&put.key);
                }
                Operation::Range(_) => {}
                Operation::Txn(txn) => {
                    one.join(Writes::of(&txn.then)?);
                    one.join(Writes::of(&txn.otherwise)?);
                }
            }
            if all.conflicts_with(&one) {
                return Err(Violation::DuplicateKey);
            }
            all.join(one);
        }
        Ok(all)
    }

    fn conflicts_with(&self, other: &Writes<'_>) -> bool {
        let put_twice = |key: &&[u8]| self.puts.contains(key) || self.deletes.contain(key);
        other.puts.iter().any(put_twice) || other.deletes.contain_any(&self.puts)
    }

    fn join(&mut self, other: Writes<'t>) {
        self.puts.extend(other.puts);
        for (start, end) in other.deletes.0 {
            self.deletes.insert(start, end);
        }
    }
}

/// Spans of keys that neither overlap nor touch: start to end, or to nowhere.
#[derive(Default)]
struct Spans(BTreeMap<Vec<u8>, Option<Vec<u8>>>);

impl Spans {
    fn add(&mut self, keys: &KeyRange) {
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

    fn contain(&self, key: &[u8]) -> bool {
        let to_key = (Bound::Unbounded, Bound::Included(key));
        let before = self.0.range::<[u8], _>(to_key).next_back();
        before.is_some_and(|(_, end)| end.as_ref().is_none_or(|end| key < &end[..]))
    }

    fn contain_any(&self, keys: &BTreeSet<&[u8]>) -> bool {
        self.0.iter().any(|(start, end)| {
            let from_start = (Bound::Included(&start[..]), Bound::Unbounded);
            let first = keys.range::<[u8], _>(from_start).next();
            first.is_some_and(|key| end.as_ref().is_none_or(|end| *key < &end[..]))
        })
    }
}
