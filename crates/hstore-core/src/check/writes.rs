//! Which keys one branch of a transaction writes, to refuse that it writes one twice.
//!
//! All writes of a transaction have one revision, so their order could not be told afterwards: a
//! key that is put may not be put or deleted by another operation of the branch, on whichever
//! level. The two branches of a nested transaction may write the same key, since one of them runs.
//! etcd lets one case pass that is refused here: a put in a nested transaction and its deletion by
//! a later sibling of that transaction.

use std::collections::BTreeSet;

use super::Violation;
use crate::command::Operation;
use crate::spans::Spans;

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
        self.deletes.join(other.deletes);
    }
}
