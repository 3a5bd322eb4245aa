//! What those who ask with rights, while there is no room, or for other settings were told, beside the history: who
//! asked, under which name of a request, and between which places of the log it was decided.
//!
//! When all is over the committed log is gone through once more, by the judges' model of users and by models of
//! alarms and settings of this room's own, and each note is held against what it says for the very place in the order.
//!
//! Invariants: (1) a note is made of what was answered, never of what was guessed; (2) what the tape
//! of the log does not reach is not judged, and not counted.

mod board;
mod judge;
mod past;
mod settings;
mod tape;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use hstore_core::auth::Author;
use hstore_core::command::RequestId;
use hstore_core::id::LogIndex;
use hstore_core::key::KeyRange;
use hstore_node::Node;

pub use self::judge::{Verdict, judge};
pub use self::settings::{Answer, Read, Tuned};
pub use self::tape::Tape;

pub use hstore_check::rights::Told;

/// A request that went through the log.
#[derive(Clone, Debug)]
pub struct Asked {
    /// Its name.
    pub request: RequestId,
    /// Who asked.
    pub author: Author,
    /// What came of it, if anything came.
    pub told: Option<Told>,
}

/// Something that was decided by the rights of one place of the log, somewhere in a stretch.
#[derive(Clone, Debug)]
pub struct Looked {
    /// What it was, for whoever reads of it.
    pub what: &'static str,
    /// Who asked.
    pub author: Author,
    /// What had to be readable.
    pub keys: KeyRange,
    /// The first place by which it may have been decided.
    pub from: LogIndex,
    /// The last one.
    pub upto: LogIndex,
    /// What was said.
    pub told: Told,
}

/// Events that somebody who watches was told.
#[derive(Clone, Debug)]
pub struct Heard {
    /// Who watches.
    pub author: Author,
    /// What.
    pub keys: KeyRange,
    /// How far the node was when the watch was made: what is older was told as history.
    pub made: LogIndex,
    /// How far the node was when this was told.
    pub upto: LogIndex,
    /// The values that were told.
    pub values: Vec<Bytes>,
}

/// All notes of one run.
#[derive(Clone, Debug, Default)]
pub struct Notes {
    /// Requests through the log, in the order in which they were sent.
    pub asked: Vec<Asked>,
    /// Decisions of a stretch of the log.
    pub looked: Vec<Looked>,
    /// Events.
    pub heard: Vec<Heard>,
    /// Changes of the settings, in the order in which they were sent.
    pub tuned: Vec<Tuned>,
    /// Settings that were read.
    pub read: Vec<Read>,
}

/// The notes that everybody writes into. Clones are the same.
#[derive(Clone, Debug, Default)]
pub struct Ledger {
    notes: Arc<Mutex<Notes>>,
}

impl Ledger {
    /// The notes.
    pub fn notes(&self) -> MutexGuard<'_, Notes> {
        self.notes.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A request leaves; the place of its note.
    pub fn ask(&self, request: RequestId, author: Author) -> usize {
        let mut notes = self.notes();
        notes.asked.push(Asked {
            request,
            author,
            told: None,
        });
        notes.asked.len() - 1
    }

    /// What came of it.
    pub fn told(&self, place: usize, told: Told) {
        if let Some(asked) = self.notes().asked.get_mut(place) {
            asked.told = Some(told);
        }
    }
}

/// How far a node has applied the log.
pub fn applied(node: &Node) -> LogIndex {
    node.status().applied.map_or(LogIndex(0), |id| id.index)
}
