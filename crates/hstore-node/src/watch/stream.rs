//! The listener's end of a stream of watches.

use std::sync::Arc;

use hstore_core::id::Revision;
use hstore_core::planted::{self, Bug};
use hstore_core::record::Record;

use super::Archive;
use super::hub::Hub;
use super::line::{Line, Popped};
use super::words::{Delivery, Event, WatchId, WatchRequest};
use crate::error::NodeError;

/// A stream of watches. They end with the value.
pub struct WatchStream {
    hub: Arc<Hub>,
    archive: Archive,
    number: u64,
    line: Arc<Line>,
    /// A delivery whose events still need what they replaced.
    held: Option<Delivery>,
}

impl std::fmt::Debug for WatchStream {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("WatchStream")
            .field("number", &self.number)
            .finish_non_exhaustive()
    }
}

impl WatchStream {
    pub(crate) fn open(hub: &Arc<Hub>, archive: Archive) -> Result<WatchStream, NodeError> {
        let (number, line) = hub.open().map_err(|_max| NodeError::Overloaded)?;
        Ok(WatchStream {
            hub: hub.clone(),
            archive,
            number,
            line,
            held: None,
        })
    }

    /// Begins a watch. Whether it could be, and what happens, comes by [`WatchStream::next`].
    pub fn create(&self, request: WatchRequest) {
        self.hub.create(self.number, request);
    }

    /// Ends a watch, if there is one of this name.
    pub fn cancel(&self, id: WatchId) {
        self.hub.cancel(self.number, id);
    }

    /// Asks how far all watches of the stream are: the answer comes behind every event that it
    /// covers, when all watches have been told what there was. Without a watch there is no answer.
    pub fn ask_progress(&self) {
        self.hub.ask(self.number);
    }

    /// How many deliveries that are not events wait to be taken. Who makes watches takes a break
    /// when there are many.
    pub fn words_waiting(&self) -> usize {
        self.line.words()
    }

    /// What comes next; waits for it. Ends with an error when the node ends. Cancel safe: what was
    /// not returned comes with the next call.
    pub async fn next(&mut self) -> Result<Delivery, NodeError> {
        loop {
            if let Some(Delivery::Events { events, .. }) = &self.held {
                let events = events.clone();
                if !self.look_back(&events).await {
                    return Err(NodeError::ShuttingDown);
                }
                if let Some(delivery) = self.held.take() {
                    return Ok(delivery);
                }
            }
            match self.line.pop() {
                Popped::Closed => return Err(NodeError::ShuttingDown),
                Popped::Nothing => self.line.arrived().await,
                Popped::Delivery(delivery, free) => {
                    if !free.is_empty() {
                        self.hub.resume(&free);
                    }
                    if !matches!(delivery, Delivery::Events { previous: true, .. }) {
                        return Ok(delivery);
                    }
                    self.held = Some(delivery);
                }
            }
        }
    }

    /// Finds what events replaced; whether it could.
    async fn look_back(&self, events: &Arc<[Arc<Event>]>) -> bool {
        let mut on_disk = Vec::new();
        for event in events.iter().filter(|event| event.previous.get().is_none()) {
            let Record { key, meta, .. } = &event.record;
            // A creation replaced nothing.
            let found = if !meta.is_tombstone() && meta.create_revision == meta.mod_revision {
                Some(None)
            } else {
                self.archive
                    .store
                    .try_previous(key, before(meta.mod_revision))
            };
            match found {
                // Another stream may have been faster: it found the same, or compaction came.
                Some(found) => drop(event.previous.set(found)),
                None => on_disk.push(event.clone()),
            }
        }
        if on_disk.is_empty() {
            return true;
        }
        let read = self.archive.read(move |store| {
            for event in on_disk {
                let Record { key, meta, .. } = &event.record;
                let found = store.previous(key, before(meta.mod_revision))?;
                drop(event.previous.set(found));
            }
            Ok(())
        });
        read.await.is_some()
    }
}

/// Below which revision it is looked for what an event replaced.
fn before(revision: Revision) -> Revision {
    if planted::is(Bug::WatchPreviousOffByOne) {
        Revision(revision.0 - 1)
    } else {
        revision
    }
}

impl Drop for WatchStream {
    fn drop(&mut self) {
        self.hub.leave(self.number);
    }
}
