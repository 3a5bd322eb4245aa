//! Scans of the index in chunks, so that no lock is held for long however large the range is.
//!
//! Invariant: a scan as of a revision gives the same answer whatever is applied or flushed
//! meanwhile, since the index keeps every revision; only compaction beyond the revision takes
//! something away, and that is for the reader to notice.

use std::ops::ControlFlow;

use bytes::Bytes;

use hstore_core::id::Revision;
use hstore_core::key::KeyRange;
use hstore_core::record::Meta;

use super::Store;

/// Keys of the first chunk: most scans want a few.
const VISIT_FIRST: usize = 16;

/// Keys of a large chunk: about 50 microseconds under the lock.
const VISIT_MAX: usize = 512;

impl Store {
    /// The live record of a key as of a revision.
    pub(super) fn get_meta(&self, key: &[u8], at: Revision) -> Option<Meta> {
        self.read().index.get(key, at)
    }

    /// The live keys that are attached to a lease.
    pub(super) fn attached_keys(&self, lease: i64) -> Vec<Bytes> {
        self.read().index.attached(lease)
    }

    /// Visits the live records of a range as of a revision.
    pub(super) fn scan_metas(
        &self,
        keys: &KeyRange,
        at: Revision,
        visit: &mut dyn FnMut(&Bytes, &Meta) -> ControlFlow<()>,
    ) {
        let mut after = None;
        let mut visit_max = VISIT_FIRST;
        loop {
            let chunk = self.read().index.scan(keys, after.as_ref(), at, visit_max);
            for (key, meta) in &chunk.found {
                if visit(key, meta).is_break() {
                    return;
                }
            }
            after = chunk.after;
            if after.is_none() {
                return;
            }
            visit_max = (visit_max * 4).min(VISIT_MAX);
        }
    }
}
