//! The body of a request on its way in, by either version of HTTP.

use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use h2::{Reason, RecvStream};
use http_body::{Body, Frame, SizeHint};
use hyper::body::Incoming;

/// What arrives of a body.
#[derive(Debug)]
pub(crate) enum Arriving {
    /// By HTTP/1.
    Http1(Incoming),
    /// By HTTP/2.
    Http2(OfStream),
}

/// The body of a stream of HTTP/2.
#[derive(Debug)]
pub(crate) struct OfStream {
    stream: RecvStream,
    /// How much is still to come, if the head said how much there is.
    left: Option<u64>,
    /// Whether only the trailers can follow.
    over: bool,
}

/// Why a body ended before its end.
#[derive(Debug, thiserror::Error)]
pub(crate) enum BrokenOff {
    /// By HTTP/1.
    #[error(transparent)]
    Http1(#[from] hyper::Error),
    /// By HTTP/2.
    #[error(transparent)]
    Http2(#[from] h2::Error),
}

impl OfStream {
    /// The body of a stream whose head said how long it is, if it did.
    pub(super) fn new(stream: RecvStream, bytes: Option<u64>) -> OfStream {
        OfStream {
            stream,
            left: bytes,
            over: false,
        }
    }

    fn poll_frame(
        &mut self,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, h2::Error>>> {
        if !self.over {
            match ready!(self.stream.poll_data(context)) {
                Some(Ok(bytes)) => {
                    // Whoever takes the frame holds its bytes by a bound of their own. The window is
                    // gone only with the stream.
                    let _gone = self.stream.flow_control().release_capacity(bytes.len());
                    if let Some(left) = &mut self.left {
                        *left = left.saturating_sub(bytes.len() as u64);
                    }
                    return Poll::Ready(Some(Ok(Frame::data(bytes))));
                }
                Some(Err(error)) => return Poll::Ready(ended(error).map(Err)),
                None => self.over = true,
            }
        }
        let trailers = ready!(self.stream.poll_trailers(context));
        Poll::Ready(match trailers {
            Ok(trailers) => trailers.map(|trailers| Ok(Frame::trailers(trailers))),
            Err(error) => ended(error).map(Err),
        })
    }
}

/// A sender that gives up on purpose has ended, which is no failure.
fn ended(error: h2::Error) -> Option<h2::Error> {
    let on_purpose = matches!(error.reason(), Some(Reason::NO_ERROR | Reason::CANCEL));
    (!on_purpose).then_some(error)
}

impl Body for Arriving {
    type Data = Bytes;
    type Error = BrokenOff;

    fn poll_frame(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BrokenOff>>> {
        match self.get_mut() {
            Arriving::Http1(body) => Pin::new(body)
                .poll_frame(context)
                .map(|frame| frame.map(|frame| frame.map_err(BrokenOff::Http1))),
            Arriving::Http2(body) => body
                .poll_frame(context)
                .map(|frame| frame.map(|frame| frame.map_err(BrokenOff::Http2))),
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Arriving::Http1(body) => body.is_end_stream(),
            Arriving::Http2(body) => body.stream.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Arriving::Http1(body) => body.size_hint(),
            Arriving::Http2(body) => body
                .left
                .map_or_else(SizeHint::default, SizeHint::with_exact),
        }
    }
}
