//! What is asked of a watch and what it is told. Words only.

use std::sync::{Arc, OnceLock};

use hstore_core::auth::{AuthRefusal, Author};
use hstore_core::id::Revision;
use hstore_core::key::KeyRange;
use hstore_core::planted::{self, Bug};
use hstore_core::record::Record;

/// What a stream calls one of its watches.
pub type WatchId = i64;

/// What to watch.
#[derive(Clone, Debug, PartialEq, Eq)]
#[allow(
    clippy::struct_excessive_bools,
    reason = "each is a switch of its own on the wire"
)]
pub struct WatchRequest {
    /// Who watches: the watch ends when they may not read the keys any more.
    pub author: Author,
    /// The keys.
    pub keys: KeyRange,
    /// The first revision to be told: 0 is the one after the store's at the moment of
    /// registration; one of the future waits until it comes.
    pub start: Revision,
    /// The name that the caller wants for it, or 0 for the next free one.
    pub id: WatchId,
    /// Say with each event what it replaced.
    pub previous: bool,
    /// Leave out what was put.
    pub no_put: bool,
    /// Leave out what was deleted.
    pub no_delete: bool,
    /// Report progress when nothing happened for a while.
    pub progress: bool,
    /// Whether a large delivery may be cut on the wire. It comes back with each delivery.
    pub fragment: bool,
}

impl WatchRequest {
    /// A watch of some keys from now on, by the node itself.
    pub fn of(keys: KeyRange) -> WatchRequest {
        WatchRequest {
            author: Author::Node,
            keys,
            start: Revision(0),
            id: 0,
            previous: false,
            no_put: false,
            no_delete: false,
            progress: false,
            fragment: false,
        }
    }

    /// Whether a record is of a kind that is wanted.
    pub(super) fn wants(&self, record: &Record) -> bool {
        if record.meta.is_tombstone() {
            !self.no_delete || planted::is(Bug::WatchFilterIgnored)
        } else {
            !self.no_put
        }
    }
}

/// One thing that happened to one key.
#[derive(Debug)]
pub struct Event {
    /// What was written: a tombstone is a deletion.
    pub record: Record,
    /// What it replaced, once somebody looked.
    pub(super) previous: OnceLock<Option<Record>>,
}

impl Event {
    pub(super) fn new(record: Record) -> Event {
        Event {
            record,
            previous: OnceLock::new(),
        }
    }

    /// What it replaced, in a watch that asked for it; none when it created the key, and when
    /// compaction took it.
    pub fn previous(&self) -> Option<&Record> {
        self.previous.get().and_then(Option::as_ref)
    }
}

/// Why a watch was not made.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum WatchRefusal {
    /// Who asks may not read the keys.
    #[error(transparent)]
    Denied(#[from] AuthRefusal),
    /// The stream has a watch of this name.
    #[error("the stream has a watch {0} already")]
    DuplicateId(WatchId),
    /// No key can be in the range.
    #[error("the range of the watch is empty: its end is not above its key")]
    EmptyRange,
    /// The start revision is below 0.
    #[error("the start revision {0} is below 0")]
    NegativeStart(Revision),
    /// The stream or the node has as many watches as it may.
    #[error("there are {max} watches already, which is the most")]
    TooMany {
        /// How many there may be.
        max: usize,
    },
}

/// Why a watch ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CancelReason {
    /// Compaction took history that it had not been told.
    Compacted {
        /// The oldest revision from which a watch can start now.
        compacted: Revision,
    },
    /// Its owner may not read the keys any more.
    Denied(AuthRefusal),
    /// Its owner asked for it.
    Requested,
}

/// What a stream of watches is told, in this order.
#[derive(Clone, Debug)]
pub enum Delivery {
    /// A watch begins. Comes before its first event.
    Created {
        /// The watch.
        id: WatchId,
        /// The store's revision at that moment.
        revision: Revision,
    },
    /// A watch was not made.
    Refused {
        /// Why.
        refusal: WatchRefusal,
        /// The store's revision at that moment.
        revision: Revision,
    },
    /// Something happened: whole revisions, in order.
    Events {
        /// The watch.
        id: WatchId,
        /// Everything up to this revision is told with this.
        revision: Revision,
        /// What happened.
        events: Arc<[Arc<Event>]>,
        /// Whether what the events replaced was asked for.
        previous: bool,
        /// Whether it may be cut on the wire.
        fragment: bool,
    },
    /// A watch ended. Nothing of it follows.
    Canceled {
        /// The watch.
        id: WatchId,
        /// Why.
        reason: CancelReason,
        /// The store's revision at that moment.
        revision: Revision,
    },
    /// Everything up to a revision has been told.
    Progress {
        /// The watch; none is every watch of the stream.
        id: Option<WatchId>,
        /// The revision.
        revision: Revision,
    },
}
