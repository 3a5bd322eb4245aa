//! Watches: what was written to a range of keys, from a revision on, in order, for as long as
//! somebody listens.
//!
//! There is one source for everything that is told: the store's history. A watcher that has been
//! told all there is is *live*: one task, the tail, reads each new stretch of history once and
//! hands it to all live watchers. A watcher that has not is *behind*: another task reads older
//! history for it, together with others that are near, until it meets the tail. A watcher whose
//! queue is full is *blocked* until its listener has read on; then it is behind. Since both tasks
//! read the same history and count in revisions, where a watcher changes hands nothing can be
//! missed and nothing told twice.
//!
//! Invariants: (1) apply knows nothing of all this and never waits for it: the tail follows the
//! store; (2) a live watcher was told everything below the tail's cursor, one that is behind
//! everything below its own revision; (3) all events of one revision are in one delivery; (4) what
//! is queued is bounded for each watcher, each stream and the node, and a watcher that reaches a
//! bound costs the others nothing but the reading of its history later; (5) a progress report is
//! queued behind every event that it covers; (6) a watcher is told nothing that was written after its
//! owner lost the right to read it.
//!
//! This room must never know a wire.

mod catch_up;
mod hub;
mod intervals;
mod line;
mod ranges;
mod state;
mod stream;
mod tail;
#[cfg(test)]
mod tests;
mod words;

use std::sync::Arc;

use hstore_core::id::Revision;
use hstore_storage::store::{Recall, Store, StoreFault};
use tokio::sync::{Semaphore, oneshot};

use crate::env::Lanes;
use crate::fate::{Fate, reason_of};

pub(crate) use catch_up::catch_up;
pub(crate) use hub::{Bounds, Hub};
pub use stream::WatchStream;
pub(crate) use tail::follow;
pub use words::{CancelReason, Delivery, Event, WatchId, WatchRefusal, WatchRequest};

/// Where history is read.
#[derive(Clone)]
pub(crate) struct Archive {
    pub(crate) store: Arc<Store>,
    pub(crate) lanes: Arc<dyn Lanes>,
    /// Places on the lanes, which all reads of the node share.
    pub(crate) places: Arc<Semaphore>,
    pub(crate) fate: Fate,
}

impl Archive {
    /// Reads where reading may block; none when the node is ending.
    async fn read<T: Send + 'static>(
        &self,
        read: impl FnOnce(&Store) -> Result<T, StoreFault> + Send + 'static,
    ) -> Option<T> {
        // The semaphore is never closed.
        let _place = self.places.acquire().await.ok()?;
        let store = self.store.clone();
        let (answer, wait) = oneshot::channel();
        let job = Box::new(move || {
            // Whoever asked may be gone.
            let _gone = answer.send(read(&store));
        });
        self.lanes.read(job).ok()?;
        match wait.await.ok()? {
            Ok(value) => Some(value),
            Err(fault) => {
                self.fate.end(reason_of(fault.code(), &fault));
                None
            }
        }
    }

    /// History from memory, or else as `read` finds it; does not return when the node is ending.
    async fn recall(
        &self,
        from: Revision,
        bytes_max: usize,
        read: impl FnOnce(&Store) -> Result<Recall, StoreFault> + Send + 'static,
    ) -> Recall {
        if let Some(stretch) = self.store.tail(from, bytes_max) {
            return Recall::Stretch(stretch);
        }
        match self.read(read).await {
            Some(recall) => recall,
            None => std::future::pending().await,
        }
    }
}
