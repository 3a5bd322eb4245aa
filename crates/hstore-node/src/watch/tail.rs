//! The tail: reads what is new once and tells everybody who is live. It also looks at the clock
//! for those who want to hear of progress.

use std::sync::Arc;
use std::time::Duration;

use hstore_core::key::KeyRange;
use hstore_storage::store::Store;
use tokio::sync::watch;
use tokio::time::{Instant, sleep_until};

use super::{Archive, Hub};
use crate::raft::Applied;

/// Follows the store until the node ends.
pub(crate) async fn follow(
    hub: Arc<Hub>,
    archive: Archive,
    mut applied: watch::Receiver<Applied>,
    progress_interval: Duration,
) {
    let mut look = Instant::now() + progress_interval;
    loop {
        applied.mark_unchanged();
        while let Some(from) = hub.due() {
            let bytes = hub.bounds().stretch_bytes;
            let read = move |store: &Store| store.recall(&[KeyRange::all()], from, bytes);
            let recall = archive.recall(from, bytes, read).await;
            hub.tell(from, recall);
            // Others have their turn between two stretches.
            tokio::task::yield_now().await;
        }
        let has_watchers = hub.has_watchers();
        tokio::select! {
            biased;
            () = sleep_until(look) => {
                hub.tick();
                look = Instant::now() + progress_interval;
            }
            () = hub.tail_wanted.notified() => {}
            changed = applied.changed(), if has_watchers => {
                if changed.is_err() {
                    // Consensus has stopped; the node's fate says the rest.
                    std::future::pending::<()>().await;
                }
            }
        }
    }
}
