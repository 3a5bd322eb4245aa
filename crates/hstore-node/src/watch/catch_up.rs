//! Reads history for watchers that are behind, a stretch at a time, each in its turn.

use std::sync::Arc;

use hstore_core::id::Revision;
use hstore_core::key::KeyRange;
use hstore_storage::store::{Recall, Store, StoreFault};

use super::state::Errand;
use super::{Archive, Hub};

/// How much older history is looked at in one go on a read lane.
const DISK_STRETCH_BYTES: usize = 1024 * 1024;

/// Runs until the node ends.
pub(crate) async fn catch_up(hub: Arc<Hub>, archive: Archive) {
    loop {
        let Some(mut errand) = hub.errand() else {
            hub.errand_wanted.notified().await;
            continue;
        };
        let from = errand.from;
        let bytes = hub.bounds().stretch_bytes;
        if let Some(stretch) = archive.store.tail(from, bytes) {
            hub.deliver(&errand, Recall::Stretch(stretch));
        } else {
            let keys = errand.disk_list();
            let recall = archive.recall(from, bytes, move |store| read(store, &keys, from));
            hub.deliver(&errand, recall.await);
        }
        // Others have their turn between two stretches.
        tokio::task::yield_now().await;
    }
}

/// One key is looked up, ranges are read through.
pub(super) fn read(store: &Store, keys: &[KeyRange], from: Revision) -> Result<Recall, StoreFault> {
    match keys {
        [KeyRange::One(key)] => store.recall_key(key, from, DISK_STRETCH_BYTES),
        keys => store.recall(keys, from, DISK_STRETCH_BYTES),
    }
}

impl Errand {
    /// What to read when history has to come from the disk: a watcher of a single key is served
    /// alone, by looks into the index, and nobody else with it.
    pub(super) fn disk_list(&mut self) -> Vec<KeyRange> {
        if matches!(self.keys.first(), Some(KeyRange::One(_))) {
            self.alone();
        }
        self.keys.clone()
    }
}
