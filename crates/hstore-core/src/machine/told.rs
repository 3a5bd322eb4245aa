//! What the outcome of one command may tell.
//!
//! A small transaction can name any number of large ranges, and every node makes what comes of it,
//! again after each start: without a bound one request would end all nodes, and keep them from
//! starting.
//!
//! Invariants: (1) the records of an outcome cost at most `TOLD_BYTES_MAX`, and so does everything
//! that is held to find them; (2) the bound is about what is told and never about what is done; (3) it
//! is the same on every node, whatever they hold in memory.

use std::cell::Cell;
use std::ops::ControlFlow;

use bytes::Bytes;

use super::View;
use crate::id::Revision;
use crate::key::KeyRange;
use crate::record::{Meta, Record};

/// What the records that one command tells may cost, in bytes: 64 MiB. All nodes of a cluster have the
/// same.
pub const TOLD_BYTES_MAX: usize = 64 * 1024 * 1024;

/// What a record costs beside its key and its value, in bytes.
pub const RECORD_BYTES: usize = 128;

/// How much more one outcome may tell.
pub(super) struct Told {
    left: Cell<Option<usize>>,
}

impl Told {
    pub(super) fn new() -> Told {
        Told {
            left: Cell::new(Some(TOLD_BYTES_MAX)),
        }
    }

    /// Takes so much; whether there was that much. Once there was not there is nothing any more.
    pub(super) fn take(&self, bytes: usize) -> bool {
        let left = self.left.get().and_then(|left| left.checked_sub(bytes));
        self.left.set(left);
        left.is_some()
    }

    /// Whether more was to be told than may be.
    pub(super) fn is_too_much(&self) -> bool {
        self.left.get().is_none()
    }
}

/// Why a read ends early.
pub(super) enum Stop<F> {
    /// It tells too much.
    TooMuch,
    Fault(F),
}

/// A view for reads whose answer is told.
pub(super) struct Telling<'t, V> {
    pub(super) view: &'t V,
    pub(super) told: &'t Told,
}

impl<V: View> View for Telling<'_, V> {
    type Fault = Stop<V::Fault>;

    fn get(&self, key: &[u8], at: Revision) -> Option<Meta> {
        self.view.get(key, at)
    }

    fn scan(
        &self,
        keys: &KeyRange,
        at: Revision,
        visit: &mut dyn FnMut(&Bytes, &Meta) -> ControlFlow<()>,
    ) {
        self.view.scan(keys, at, visit);
    }

    fn attached(&self, lease: i64) -> Vec<Bytes> {
        self.view.attached(lease)
    }

    fn value(&self, key: &[u8], meta: &Meta) -> Result<Bytes, Self::Fault> {
        self.view.value(key, meta).map_err(Stop::Fault)
    }

    fn hold(&self, bytes: usize) -> Result<(), Self::Fault> {
        if self.told.take(bytes) {
            Ok(())
        } else {
            Err(Stop::TooMuch)
        }
    }

    fn append(&mut self, _record: Record) {
        unreachable!("what is told is read by a shared reference, and appending needs another")
    }
}
