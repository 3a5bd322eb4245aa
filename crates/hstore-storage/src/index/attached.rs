//! Which keys are attached to which lease, as their newest records say.
//!
//! Keys without a lease cost nothing here.
//!
//! Invariant: a key stands under the lease of its newest record, and nowhere when that is 0 or the
//! key is deleted.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;

use hstore_core::record::Meta;

use super::key::Key;

#[derive(Debug, Default)]
pub(super) struct Attached {
    by_lease: BTreeMap<i64, BTreeSet<Key>>,
}

impl Attached {
    /// A key has a new record.
    pub(super) fn replace(&mut self, key: &[u8], former: Option<&Meta>, newest: &Meta) {
        let (from, to) = (former.map_or(0, lease_of), lease_of(newest));
        if from == to {
            return;
        }
        if let Some(keys) = self.by_lease.get_mut(&from) {
            keys.remove(key);
            if keys.is_empty() {
                self.by_lease.remove(&from);
            }
        }
        if to != 0 {
            self.by_lease.entry(to).or_default().insert(Key::new(key));
        }
    }

    /// The keys of a lease, in key order.
    pub(super) fn keys(&self, lease: i64) -> Vec<Bytes> {
        let keys = self.by_lease.get(&lease).into_iter().flatten();
        keys.map(|key| Bytes::copy_from_slice(key.as_slice()))
            .collect()
    }
}

/// The lease that a record attaches its key to, or 0.
fn lease_of(meta: &Meta) -> i64 {
    if meta.is_tombstone() { 0 } else { meta.lease }
}
