//! What the machine needs of the store below it.

use std::ops::ControlFlow;

use bytes::Bytes;

use crate::id::Revision;
use crate::key::KeyRange;
use crate::record::{Meta, Record};

/// The store as the machine sees it. A record that was appended is visible to the next read.
pub trait View {
    /// Why a value could not be read: a fault of the disk, which stops the node.
    type Fault;

    /// The record that was the newest of `key` as of `at`, tombstones excluded.
    fn get(&self, key: &[u8], at: Revision) -> Option<Meta>;

    /// Visits the live records of `keys` as of `at` in key order until told to stop.
    fn scan(
        &self,
        keys: &KeyRange,
        at: Revision,
        visit: &mut dyn FnMut(&Bytes, &Meta) -> ControlFlow<()>,
    );

    /// The live keys that are attached to a lease as of now, in key order.
    fn attached(&self, lease: i64) -> Vec<Bytes>;

    /// The value of a record that `get` or `scan` named.
    fn value(&self, key: &[u8], meta: &Meta) -> Result<Bytes, Self::Fault>;

    /// A read is about to hold so many bytes more until its answer is on its way; a fault when
    /// there is no room for them.
    fn hold(&self, _bytes: usize) -> Result<(), Self::Fault> {
        Ok(())
    }

    /// Adds a record; positions only ever grow. Key and value are slices of the log entry that they
    /// came in: whoever keeps a key for long copies it, or keeps the whole entry in memory.
    fn append(&mut self, record: Record);
}
