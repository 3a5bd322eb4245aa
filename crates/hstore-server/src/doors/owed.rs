//! What of answers was made and waits here for clients that have no room for it, over all connections
//! of the port. Of what is told for a while, such as a watch, only the piece that is on its way.
//!
//! Invariants: (1) more than [`BYTES_MAX`] wait only if they are of one answer; (2) what is waited
//! for no longer is owed no longer, however it ended.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll};

use bytes::Bytes;
use http_body::{Frame, SizeHint};
use tonic::Status;

use crate::meter::Told;

/// How many bytes may wait. One answer more breaks off: whoever asked for it has no room, and
/// neither has the node.
const BYTES_MAX: usize = 256 * 1024 * 1024;

/// A piece of an answer of HTTP/1 that is not counted: as much as HTTP/2 sends to a client that has said
/// nothing of its window.
const SMALL_BYTES: usize = 64 * 1024;

/// What is owed to all.
#[derive(Debug, Default)]
pub(super) struct Owed {
    bytes: AtomicUsize,
}

/// What is owed to one.
#[derive(Debug)]
pub(super) struct Debt {
    owed: Arc<Owed>,
    bytes: usize,
}

impl Owed {
    /// Holds so many bytes of an answer, if there is room for them.
    pub(super) fn hold(self: &Arc<Owed>, bytes: usize) -> Option<Debt> {
        // No other memory hangs on this number, so no order is needed.
        let held = self
            .bytes
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |before| {
                let after = before.checked_add(bytes)?;
                (before == 0 || after <= BYTES_MAX).then_some(after)
            });
        held.ok().map(|_before| Debt {
            owed: Arc::clone(self),
            bytes,
        })
    }
}

impl Debt {
    /// So many bytes were taken.
    pub(super) fn pay(&mut self, bytes: usize) {
        let bytes = bytes.min(self.bytes);
        self.bytes -= bytes;
        self.owed.bytes.fetch_sub(bytes, Ordering::Relaxed);
    }
}

impl Drop for Debt {
    fn drop(&mut self) {
        self.pay(self.bytes);
    }
}

/// The body of an answer of HTTP/1: each piece is owed from when it was made until it is written.
pub(super) struct Owing {
    body: Told,
    owed: Arc<Owed>,
}

impl Owing {
    /// A body that is owed with what is owed to all.
    pub(super) fn new(body: Told, owed: Arc<Owed>) -> Owing {
        Owing { body, owed }
    }

    fn piece(&self, bytes: Bytes) -> Result<Bytes, Status> {
        if bytes.len() <= SMALL_BYTES {
            return Ok(bytes);
        }
        let Some(debt) = self.owed.hold(bytes.len()) else {
            let what = "too much waits for those who asked for it";
            return Err(Status::resource_exhausted(what));
        };
        Ok(Bytes::from_owner(Piece { bytes, _debt: debt }))
    }
}

/// A piece with its debt, which ends with the last hold on its bytes.
struct Piece {
    bytes: Bytes,
    _debt: Debt,
}

impl AsRef<[u8]> for Piece {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

impl http_body::Body for Owing {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        let frame = std::task::ready!(Pin::new(&mut self.body).poll_frame(context));
        Poll::Ready(frame.map(|frame| match frame?.into_data() {
            Ok(bytes) => self.piece(bytes).map(Frame::data),
            Err(frame) => Ok(frame),
        }))
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn more_than_there_is_room_for_is_held_for_one_alone() {
        let owed = Arc::new(Owed::default());
        let one = owed.hold(BYTES_MAX + 1).unwrap();
        assert!(owed.hold(1).is_none());
        drop(one);
        let mut one = owed.hold(BYTES_MAX - 1).unwrap();
        assert!(owed.hold(2).is_none());
        one.pay(1);
        let two = owed.hold(2).unwrap();
        assert!(owed.hold(1).is_none());
        // Nothing is paid twice.
        one.pay(usize::MAX);
        drop((one, two));
        assert_eq!(owed.bytes.load(Ordering::Relaxed), 0);
    }
}
