//! Which operation of the in-memory disk fails, and how.

use std::{collections::BTreeMap, io};

/// What an operation is, for counting and for failing the nth of its kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Operation {
    /// Reading a file.
    Read,
    /// Writing a file, setting its length, reserving its space.
    Write,
    /// Syncing a file.
    Sync,
    /// Changing a folder: making a file, renaming, removing.
    Folder,
    /// Syncing a folder.
    SyncFolder,
}

/// How an operation fails.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// An input/output error (EIO).
    Broken,
    /// No space left (ENOSPC).
    Full,
}

impl Fault {
    pub(super) fn error(self) -> io::Error {
        match self {
            Fault::Broken => io::Error::other("input/output error (simulated)"),
            Fault::Full => io::ErrorKind::StorageFull.into(),
        }
    }
}

/// Counts operations and fails the planned ones.
#[derive(Default)]
pub(super) struct Faults {
    counts: BTreeMap<Operation, u64>,
    plan: BTreeMap<(Operation, u64), Fault>,
    /// How many operations are left before the power fails.
    power: Option<u64>,
    dark: bool,
}

impl Faults {
    pub(super) fn count(&self, operation: Operation) -> u64 {
        self.counts.get(&operation).copied().unwrap_or(0)
    }

    pub(super) fn plan(&mut self, operation: Operation, nth: u64, fault: Fault) {
        self.plan
            .insert((operation, self.count(operation) + nth), fault);
    }

    pub(super) fn cut_power_after(&mut self, operations: u64) {
        self.power = Some(operations);
    }

    pub(super) fn is_dark(&self) -> bool {
        self.dark
    }

    /// Counts an operation; says how it fails, if it does.
    pub(super) fn meet(&mut self, operation: Operation) -> Option<Fault> {
        let count = self.counts.entry(operation).or_default();
        *count += 1;
        match &mut self.power {
            Some(0) => {
                self.dark = true;
                return Some(Fault::Broken);
            }
            Some(left) => *left -= 1,
            None => {}
        }
        self.plan.remove(&(operation, *count))
    }
}
