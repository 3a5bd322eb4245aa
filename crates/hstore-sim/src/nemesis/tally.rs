//! What really struck: a fault that had no effect proves nothing.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use super::kind::Kind;

/// Counts effects. Clones count together.
#[derive(Clone, Debug, Default)]
pub struct Tally {
    struck: Arc<Mutex<BTreeMap<Kind, u64>>>,
}

impl Tally {
    /// A fault had an effect.
    pub fn struck(&self, kind: Kind) {
        let mut struck = self.struck.lock().unwrap_or_else(PoisonError::into_inner);
        *struck.entry(kind).or_default() += 1;
    }

    /// How often each kind had one.
    pub fn counts(&self) -> BTreeMap<Kind, u64> {
        let struck = self.struck.lock().unwrap_or_else(PoisonError::into_inner);
        struck.clone()
    }
}
