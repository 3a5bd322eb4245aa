//! How many bytes of requests the client port holds at a time, over all its connections.
//!
//! Each request is bounded and so is each connection's share of what is on its way; but what has
//! been read of many half-sent requests of many connections is bounded by nothing else than this.
//!
//! Invariants: (1) what a request took it gives back when its answer is gone, however it ended;
//! (2) a request that does not fit is refused as overloaded, never made to wait: waiting requests
//! could hold what each of them waits for; (3) a request whose size is bounded is so in time, too:
//! nobody keeps a part of the budget by not ending.

use std::error::Error as _;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use hstore_core::error::ErrorCode;
use hstore_proto::status;
use http_body::{Body as _, Frame, SizeHint};
use http_body_util::BodyExt as _;
use tokio::time::{Sleep, sleep, timeout};
use tonic::Status;
use tonic::body::Body;

use crate::doors::{Arriving, BrokenOff};
use crate::meter;

/// How long the body of a request may take, from the first time that there was nothing to read.
const BODY_TIMEOUT: Duration = Duration::from_mins(1);

/// How much more of a body that was refused is read and let go, and for how long.
const DISCARD_BYTES_MAX: usize = 16 * 1024 * 1024;
const DISCARD_TIMEOUT: Duration = Duration::from_secs(2);

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
    /// How much it may take.
    bytes_max: usize,
}

/// Why bytes were not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Full {
    Request,
    Budget,
}

impl Share {
    /// The share of a request that took nothing yet and may take so much.
    pub(super) fn new(budget: &Arc<Budget>, bytes_max: usize) -> Arc<Share> {
        Arc::new(Share {
            budget: Arc::clone(budget),
            taken: AtomicUsize::new(0),
            bytes_max,
        })
    }

    /// Gives back what was taken so far: the request is held by nobody any more, although its answer
    /// is still waited for.
    pub(super) fn give_back(&self) {
        let taken = self.taken.swap(0, Ordering::Relaxed);
        self.budget.left.fetch_add(taken, Ordering::Relaxed);
    }

    fn take(&self, bytes: usize) -> Result<(), Full> {
        // One body takes, at one place at a time.
        if self.taken.load(Ordering::Relaxed).saturating_add(bytes) > self.bytes_max {
            return Err(Full::Request);
        }
        if !self.budget.take(bytes) {
            return Err(Full::Budget);
        }
        self.taken.fetch_add(bytes, Ordering::Relaxed);
        Ok(())
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        let taken = *self.taken.get_mut();
        self.budget.left.fetch_add(taken, Ordering::Relaxed);
    }
}

/// Where the body of a request comes from. It is one type, so that each service exists once.
#[derive(Debug)]
pub(crate) enum Source {
    /// From a connection.
    Wire(Arriving),
    /// From within, such as from the gateway.
    Within(Body),
}

/// The body of a request, and what bounds it.
#[derive(Debug)]
pub(super) struct Bounded {
    source: Source,
    /// What was read and given back.
    again: Option<Bytes>,
    /// The method that it is for, if it is for one.
    method: Option<usize>,
    /// None for a stream that may last: its messages are bounded one by one.
    bound: Option<Bound>,
}

#[derive(Debug)]
struct Bound {
    share: Arc<Share>,
    /// Made when the body has to be waited for.
    deadline: Option<Pin<Box<Sleep>>>,
}

impl Bounded {
    /// A body as long as its share allows.
    pub(super) fn by(share: Arc<Share>, source: Source) -> Bounded {
        Bounded {
            source,
            again: None,
            method: None,
            bound: Some(Bound {
                share,
                deadline: None,
            }),
        }
    }

    /// A body that goes on as long as its sender likes.
    pub(super) fn lasting(source: Source) -> Bounded {
        Bounded {
            source,
            again: None,
            method: None,
            bound: None,
        }
    }

    /// Gives back what was read, to be read once more. It is counted already.
    pub(super) fn give_back(&mut self, bytes: Bytes) {
        self.again = (!bytes.is_empty()).then_some(bytes);
    }

    /// The same, counted for a method.
    pub(super) fn counted(self, method: usize) -> Bounded {
        Bounded {
            method: Some(method),
            ..self
        }
    }
}

impl Bound {
    fn take(&self, bytes: usize) -> Result<(), Status> {
        self.share.take(bytes).map_err(|full| match full {
            Full::Request => too_large(self.share.bytes_max),
            Full::Budget => {
                let what = "all requests together are larger than the node has room for";
                status::failure(ErrorCode::Overloaded, what)
            }
        })
    }

    fn wait(&mut self, context: &mut Context<'_>) -> Poll<Status> {
        let deadline = self
            .deadline
            .get_or_insert_with(|| Box::pin(sleep(BODY_TIMEOUT)));
        deadline.as_mut().poll(context).map(|()| {
            let what = "the request was not there in time";
            status::failure(ErrorCode::Timeout, what)
        })
    }
}

impl http_body::Body for Bounded {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        let body = &mut *self;
        if let Some(bytes) = body.again.take() {
            return Poll::Ready(Some(Ok(Frame::data(bytes))));
        }
        let frame = match &mut body.source {
            Source::Wire(wire) => Pin::new(wire)
                .poll_frame(context)
                .map(|frame| frame.map(|frame| frame.map_err(|error| broken(&error)))),
            Source::Within(within) => Pin::new(within).poll_frame(context),
        };
        if let Some(method) = body.method
            && let Poll::Ready(Some(Ok(frame))) = &frame
            && let Some(data) = frame.data_ref()
        {
            meter::received(method, data.len());
        }
        let Some(bound) = &mut body.bound else {
            return frame;
        };
        let Poll::Ready(frame) = frame else {
            return bound.wait(context).map(|status| Some(Err(status)));
        };
        if let Some(Ok(frame)) = &frame
            && let Some(data) = frame.data_ref()
            && let Err(status) = bound.take(data.len())
        {
            return Poll::Ready(Some(Err(status)));
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.again.is_none()
            && match &self.source {
                Source::Wire(wire) => wire.is_end_stream(),
                Source::Within(within) => within.is_end_stream(),
            }
    }

    fn size_hint(&self) -> SizeHint {
        if self.again.is_some() {
            return SizeHint::default();
        }
        match &self.source {
            Source::Wire(wire) => wire.size_hint(),
            Source::Within(within) => within.size_hint(),
        }
    }
}

/// A body that was read whole, and what it takes of the budget until it is let go.
#[derive(Debug)]
pub(crate) struct Whole {
    bytes: Bytes,
    _share: Arc<Share>,
}

impl Whole {
    /// Its bytes.
    pub(crate) fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Reads a body as far as its share allows.
    pub(super) async fn read(share: Arc<Share>, source: Source) -> Result<Whole, Status> {
        let mut body = Bounded::by(Arc::clone(&share), source);
        // Who says beforehand that it is too much need not send it.
        if body.size_hint().lower() > share.bytes_max as u64 {
            let refused = too_large(share.bytes_max);
            discard(body.source).await;
            return Err(refused);
        }
        let mut bytes = BytesMut::new();
        while let Some(frame) = body.frame().await {
            match frame {
                Ok(frame) => {
                    if let Ok(data) = frame.into_data() {
                        bytes.extend_from_slice(&data);
                    }
                }
                Err(status) => {
                    discard(body.source).await;
                    return Err(status);
                }
            }
        }
        Ok(Whole {
            bytes: bytes.freeze(),
            _share: share,
        })
    }
}

/// Lets a sender end who has not read the refusal yet: a connection that is closed in the face of
/// what still comes loses the answer, too.
async fn discard(source: Source) {
    let mut body = Bounded::lasting(source);
    let mut bytes = 0;
    let rest = async {
        while let Some(Ok(frame)) = body.frame().await {
            bytes += frame.data_ref().map_or(0, Bytes::len);
            if bytes > DISCARD_BYTES_MAX {
                return;
            }
        }
    };
    // Who is slow as well has had its time.
    let _ended = timeout(DISCARD_TIMEOUT, rest).await;
}

fn too_large(bytes_max: usize) -> Status {
    let what = format!("the request is larger than {bytes_max} bytes");
    status::failure(ErrorCode::RequestTooLarge, what)
}

/// A body that is none, such as chunks without lengths, which whoever sent it is told; or one that
/// ended before its end: nobody is there to hear that, but for what goes on elsewhere.
fn broken(error: &BrokenOff) -> Status {
    use std::io::ErrorKind::{InvalidData, InvalidInput};
    let cause = error.source().and_then(|cause| cause.downcast_ref());
    let kind = cause.map(std::io::Error::kind);
    if matches!(kind, Some(InvalidData | InvalidInput)) {
        let what = format!("the body cannot be read: {error}");
        return status::failure(ErrorCode::InvalidArgument, what);
    }
    Status::cancelled(format!("the request broke off: {error}"))
}

#[cfg(test)]
mod tests {
    use futures::{StreamExt as _, stream};
    use http_body_util::StreamBody;
    use tokio::time::Instant;

    use super::*;

    #[test]
    fn a_share_is_given_back_whole_when_its_last_holder_is_gone() {
        let budget = Arc::new(Budget::new(10));
        let one = Share::new(&budget, 10);
        let holder = Arc::clone(&one);
        assert_eq!(one.take(4), Ok(()));
        assert_eq!(one.take(3), Ok(()));
        drop(one);
        let two = Share::new(&budget, 10);
        assert_eq!(two.take(4), Err(Full::Budget));
        assert_eq!(two.take(3), Ok(()));
        drop(holder);
        assert_eq!(two.take(7), Ok(()));
        assert_eq!(two.take(1), Err(Full::Request));
        two.give_back();
        let three = Share::new(&budget, 10);
        assert_eq!(three.take(10), Ok(()));
        drop(two);
        // Nothing is given back twice.
        assert_eq!(Share::new(&budget, 10).take(1), Err(Full::Budget));
    }

    #[tokio::test(start_paused = true)]
    async fn a_body_that_does_not_end_is_given_up_and_gives_its_share_back() {
        let budget = Arc::new(Budget::new(10));
        let begun = stream::iter([Ok(Frame::data(Bytes::from_static(b"half")))]);
        let never = begun.chain(stream::pending::<Result<_, Status>>());
        let source = Source::Within(Body::new(StreamBody::new(never)));
        let mut body = Bounded::by(Share::new(&budget, 10), source);
        assert!(body.frame().await.unwrap().is_ok());
        let began = Instant::now();
        let told = body.frame().await.unwrap().unwrap_err();
        assert_eq!(status::read(&told).code, ErrorCode::Timeout);
        assert_eq!(began.elapsed().as_secs(), BODY_TIMEOUT.as_secs());
        assert!(!budget.take(10));
        drop(body);
        assert!(budget.take(10));
    }

    #[tokio::test]
    async fn a_body_without_end_is_refused_at_its_bound() {
        let budget = Arc::new(Budget::new(100));
        let piece = || Ok::<_, Status>(Frame::data(Bytes::from_static(b"more")));
        let endless = stream::repeat_with(piece);
        let source = Source::Within(Body::new(StreamBody::new(endless)));
        let mut body = Bounded::by(Share::new(&budget, 10), source);
        assert!(body.frame().await.unwrap().is_ok());
        assert!(body.frame().await.unwrap().is_ok());
        let told = body.frame().await.unwrap().unwrap_err();
        assert_eq!(status::read(&told).code, ErrorCode::RequestTooLarge);
    }
}
