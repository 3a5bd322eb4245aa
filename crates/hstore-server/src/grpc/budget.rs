//! How many bytes of requests the client port holds at a time, over all its connections.
//!
//! Each request is bounded and so is each connection's share of what is on its way; but what has
//! been read of many half-sent requests of many connections is bounded by nothing else than this.
//!
//! Invariants: (1) what a request took it gives back when its answer is gone, however it ended;
//! (2) a request that does not fit is refused as overloaded, never made to wait: waiting requests
//! could hold what each of them waits for.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll};

use bytes::Bytes;
use hstore_core::error::ErrorCode;
use hstore_proto::status;
use http_body::{Frame, SizeHint};
use tonic::Status;
use tonic::body::Body;

/// The bytes that are left for requests.
#[derive(Debug)]
pub(super) struct Budget {
    left: AtomicUsize,
}

impl Budget {
    /// A budget of so many bytes.
    pub(super) fn new(bytes: usize) -> Budget {
        Budget {
            left: AtomicUsize::new(bytes),
        }
    }

    fn take(&self, bytes: usize) -> bool {
        // No other memory hangs on this number, so no order is needed.
        let taken = self
            .left
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| {
                left.checked_sub(bytes)
            });
        taken.is_ok()
    }
}

/// What one request took; given back when the last holder lets go.
#[derive(Debug)]
pub(super) struct Share {
    budget: Arc<Budget>,
    taken: AtomicUsize,
}

impl Share {
    /// The share of a request that took nothing yet.
    pub(super) fn new(budget: &Arc<Budget>) -> Arc<Share> {
        Arc::new(Share {
            budget: Arc::clone(budget),
            taken: AtomicUsize::new(0),
        })
    }

    fn take(&self, bytes: usize) -> bool {
        let fits = self.budget.take(bytes);
        if fits {
            self.taken.fetch_add(bytes, Ordering::Relaxed);
        }
        fits
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        let taken = *self.taken.get_mut();
        self.budget.left.fetch_add(taken, Ordering::Relaxed);
    }
}

/// The body of a request, counted.
pub(super) struct Counted {
    body: Body,
    share: Arc<Share>,
}

impl Counted {
    /// Counts a body.
    pub(super) fn body(body: Body, share: Arc<Share>) -> Body {
        Body::new(Counted { body, share })
    }
}

impl http_body::Body for Counted {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        let frame = std::task::ready!(Pin::new(&mut self.body).poll_frame(context));
        if let Some(Ok(frame)) = &frame
            && let Some(data) = frame.data_ref()
            && !self.share.take(data.len())
        {
            let what = "all requests together are larger than the node has room for";
            return Poll::Ready(Some(Err(status::failure(ErrorCode::Overloaded, what))));
        }
        Poll::Ready(frame)
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
    fn a_share_is_given_back_whole_when_its_last_holder_is_gone() {
        let budget = Arc::new(Budget::new(10));
        let one = Share::new(&budget);
        let holder = Arc::clone(&one);
        assert!(one.take(4) && one.take(3));
        drop(one);
        let two = Share::new(&budget);
        assert!(!two.take(4));
        assert!(two.take(3));
        drop(holder);
        assert!(two.take(7));
        assert!(!two.take(1));
        drop(two);
        assert!(Share::new(&budget).take(10));
    }
}
