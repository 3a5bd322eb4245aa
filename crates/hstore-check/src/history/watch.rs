//! What a client asked to watch and what it was told, word by word.
//!
//! A watch is one place in the store's history that moves forward. It may take several streams,
//! one after the other, each at whatever node: a stream that ends, for whatever reason, is followed
//! by one that goes on.
//!
//! Invariants: (1) the streams of a watch follow each other; (2) what a stream was told is in the
//! order in which it arrived.

use hstore_core::id::Revision;
use hstore_core::key::KeyRange;
use hstore_core::record::Record;

use super::{ClientId, Moment, WatchId};

/// One watch of one client.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Watch {
    /// Its name in this history.
    pub id: WatchId,
    /// Who watches.
    pub client: ClientId,
    /// What it wants to hear of.
    pub wish: Wish,
    /// One after the other.
    pub streams: Vec<Stream>,
}

/// What somebody who watches wants to hear of.
#[derive(Clone, Debug, PartialEq, Eq)]
#[allow(
    clippy::struct_excessive_bools,
    reason = "each is a switch of its own on the wire"
)]
pub struct Wish {
    /// The keys.
    pub keys: KeyRange,
    /// Say with each event what it replaced.
    pub prev_kv: bool,
    /// Leave out what was put.
    pub no_put: bool,
    /// Leave out what was deleted.
    pub no_delete: bool,
    /// An answer may come in pieces.
    pub fragment: bool,
}

impl Wish {
    /// Everything about some keys.
    pub fn of(keys: KeyRange) -> Wish {
        Wish {
            keys,
            prev_kv: false,
            no_put: false,
            no_delete: false,
            fragment: false,
        }
    }

    /// Whether something that happened to a key is wanted.
    pub fn wants(&self, key: &[u8], is_deletion: bool) -> bool {
        let is_left_out = if is_deletion {
            self.no_delete
        } else {
            self.no_put
        };
        !is_left_out && self.keys.contains(key)
    }
}

/// A part of a watch that one node served.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stream {
    /// When it was asked for.
    pub asked: Moment,
    /// The first revision that was asked for; 0 is the one after the store's at that node.
    pub start: Revision,
    /// When the client asked for its end, if it did.
    pub ended: Option<Moment>,
    /// What it was told. After the last word it ended, or the run did.
    pub told: Vec<Word>,
}

/// One answer of a watch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Word {
    /// The watch is made.
    Created {
        /// When that arrived.
        at: Moment,
        /// The revision of the store at that node.
        revision: Revision,
    },
    /// Something happened.
    Events {
        /// When that arrived.
        at: Moment,
        /// The revision in the head of the answer.
        revision: Revision,
        /// What happened.
        events: Vec<Event>,
        /// Whether this is a piece, and another one follows.
        more: bool,
    },
    /// Everything up to a revision has been told.
    Progress {
        /// When that arrived.
        at: Moment,
        /// The revision.
        revision: Revision,
    },
    /// The watch ended.
    Canceled {
        /// When that arrived.
        at: Moment,
        /// The revision in the head of the answer.
        revision: Revision,
        /// The oldest revision that can be told; 0 when it ended for another reason.
        compacted: Revision,
        /// Whether it ended since whoever watches may not read the keys any more.
        denied: bool,
    },
}

/// One thing that happened to one key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event {
    /// What was written; a tombstone is a deletion.
    pub record: Record,
    /// What it replaced, as far as that was told.
    pub previous: Option<Record>,
}

impl Word {
    /// When it arrived.
    pub fn at(&self) -> Moment {
        match self {
            Word::Created { at, .. }
            | Word::Events { at, .. }
            | Word::Progress { at, .. }
            | Word::Canceled { at, .. } => *at,
        }
    }

    /// The revision that it states.
    pub fn revision(&self) -> Revision {
        match self {
            Word::Created { revision, .. }
            | Word::Events { revision, .. }
            | Word::Progress { revision, .. }
            | Word::Canceled { revision, .. } => *revision,
        }
    }

    /// What it says that happened.
    pub fn events(&self) -> &[Event] {
        match self {
            Word::Events { events, .. } => events,
            Word::Created { .. } | Word::Progress { .. } | Word::Canceled { .. } => &[],
        }
    }
}
