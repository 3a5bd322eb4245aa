//! Names for the writes of one client, so that a retry is applied at most once (Raft thesis,
//! section 6.3).
//!
//! Invariants: (1) a number is given once; (2) `answered_below` never passes a request whose
//! caller still waits, so its outcome is not forgotten while it may be asked for again.

use std::collections::BTreeSet;

use hstore_core::command::RequestId;
use hstore_core::id::LogIndex;

/// One session: from the first write of a client until the cluster has forgotten it.
#[derive(Debug)]
pub(crate) struct Session {
    client: u64,
    born: LogIndex,
    next: u64,
    open: BTreeSet<u64>,
}

impl Session {
    /// A session of the client `client`, that saw the applied index `born`.
    pub(crate) fn new(client: u64, born: LogIndex) -> Session {
        Session {
            client,
            born,
            next: 1,
            open: BTreeSet::new(),
        }
    }

    /// Whether the request was named by this session.
    pub(crate) fn named(&self, request: &RequestId) -> bool {
        self.client == request.client
    }

    /// A name for a write; it stays open until `close`.
    pub(crate) fn open(&mut self) -> RequestId {
        let sequence = self.next;
        self.next += 1;
        self.open.insert(sequence);
        RequestId {
            client: self.client,
            sequence,
            answered_below: self.open.first().copied().unwrap_or(sequence),
            born: self.born,
        }
    }

    /// The write has its answer, or its caller gave up and will not ask again.
    pub(crate) fn close(&mut self, request: &RequestId) {
        if self.named(request) {
            self.open.remove(&request.sequence);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answered_below_waits_for_the_oldest_open_request() {
        let mut session = Session::new(7, LogIndex(40));
        let (one, two) = (session.open(), session.open());
        assert_eq!((one.sequence, one.answered_below), (1, 1));
        assert_eq!((two.sequence, two.answered_below), (2, 1));
        session.close(&two);
        assert_eq!(session.open().answered_below, 1);
        session.close(&one);
        let four = session.open();
        assert_eq!((four.sequence, four.answered_below), (4, 3));
        assert_eq!((four.client, four.born), (7, LogIndex(40)));
    }
}
