//! Whether whoever asks may have a command done: decided where it is applied, on the state that it
//! meets, the same on every node.
//!
//! Invariants: (1) both branches of a transaction, on every level, are looked at before anything
//! runs, and so are its comparisons, since their outcome tells of keys; (2) what a command answers
//! of a key beyond having changed it needs the right to read it; (3) who ends a lease deletes all its
//! keys, so that needs the right to write each, and so does to add a key to a lease: who adds one
//! could not take it back otherwise.

use super::View;
use crate::auth::{Auth, AuthRefusal, Author};
use crate::command::{Command, Delete, Operation, Put, Txn};
use crate::key::KeyRange;
use crate::planted::{self, Bug};

/// Whether `author` may have this done.
pub(super) fn permit<V: View>(
    view: &V,
    auth: &Auth,
    author: &Author,
    command: &Command,
) -> Result<(), AuthRefusal> {
    if !auth.is_enabled() {
        return Ok(());
    }
    let asked = Asked { view, auth, author };
    match command {
        // It changes nothing that the clock has not decided, whoever says it.
        Command::ExpireLeases => Ok(()),
        Command::Alarm(_)
        | Command::AllocateNode { .. }
        | Command::Auth(_)
        | Command::ChangeSettings(_)
        | Command::Compact(_)
        | Command::ReleaseNode { .. }
        | Command::ReserveNode(_) => auth.check_root(author),
        Command::Delete(delete) => asked.delete(delete),
        Command::GrantLease(_) | Command::RenewLease { .. } => auth.check_user(author),
        Command::Put(put) => asked.put(put),
        Command::RevokeLease { lease } => asked.keys_of_lease(*lease),
        Command::Txn(txn) => asked.txn(txn),
    }
}

/// Who asks, and what the answer depends on.
struct Asked<'a, V> {
    view: &'a V,
    auth: &'a Auth,
    author: &'a Author,
}

impl<V: View> Asked<'_, V> {
    fn put(&self, put: &Put) -> Result<(), AuthRefusal> {
        let keys = KeyRange::One(put.key.clone());
        self.auth.check_write(self.author, &keys)?;
        if put.lease != 0 {
            self.keys_of_lease(put.lease)?;
        }
        if put.prev_kv && !planted::is(Bug::PreviousNeedsNoRight) {
            self.auth.check_read(self.author, &keys)?;
        }
        Ok(())
    }

    fn delete(&self, delete: &Delete) -> Result<(), AuthRefusal> {
        self.auth.check_write(self.author, &delete.keys)?;
        if delete.prev_kv {
            self.auth.check_read(self.author, &delete.keys)?;
        }
        Ok(())
    }

    /// A lease that is not there has no keys; that it is not there is told by the command itself.
    fn keys_of_lease(&self, lease: i64) -> Result<(), AuthRefusal> {
        self.auth.check_user(self.author)?;
        if self.auth.is_unlimited(self.author) {
            return Ok(());
        }
        let mut keys = self.view.attached(lease).into_iter();
        keys.try_for_each(|key| self.auth.check_write(self.author, &KeyRange::One(key)))
    }

    fn txn(&self, txn: &Txn) -> Result<(), AuthRefusal> {
        // An empty transaction, too, answers the revision.
        self.auth.check_user(self.author)?;
        for compare in &txn.compare {
            self.auth.check_read(self.author, &compare.keys)?;
        }
        let mut operations = txn.then.iter().chain(&txn.otherwise);
        operations.try_for_each(|operation| match operation {
            Operation::Delete(delete) => self.delete(delete),
            Operation::Put(put) => self.put(put),
            Operation::Range(range) => self.auth.check_read(self.author, &range.keys),
            Operation::Txn(_) if planted::is(Bug::RightsEndAtNesting) => Ok(()),
            Operation::Txn(txn) => self.txn(txn),
        })
    }
}
