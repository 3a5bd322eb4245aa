//! The calls of gRPC, method by method.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Instant;

use bytes::Bytes;
use hstore_node::Allowance;
use http_body::{Frame, SizeHint};
use hyper::{HeaderMap, Response};
use tonic::body::Body;
use tonic::{Code, Status};

use super::{Counter, Histogram, versions};
use crate::doors::AtWork;
use crate::grpc::{METHODS, is_stream};
use crate::otlp::Followed;

/// The codes of gRPC, in the order of their numbers, as they are written on the page.
pub(crate) const CODES: [&str; 17] = [
    "OK",
    "Canceled",
    "Unknown",
    "InvalidArgument",
    "DeadlineExceeded",
    "NotFound",
    "AlreadyExists",
    "PermissionDenied",
    "ResourceExhausted",
    "FailedPrecondition",
    "Aborted",
    "OutOfRange",
    "Unimplemented",
    "Internal",
    "Unavailable",
    "DataLoss",
    "Unauthenticated",
];

/// The bounds of gRPC's own histograms.
const HANDLING_BOUNDS: [f64; 11] = [
    0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0,
];

/// Every method, in the order of the table of what may be called.
pub(crate) static CALLS: [MethodMeter; METHODS] = [const { MethodMeter::new() }; METHODS];

/// What is counted of one method.
#[derive(Debug)]
pub(crate) struct MethodMeter {
    pub(crate) started: Counter,
    pub(crate) handled: [Counter; CODES.len()],
    pub(crate) received_bytes: Counter,
    pub(crate) sent_bytes: Counter,
    /// How long it took, unless it is a stream, which takes as long as its client likes.
    pub(crate) seconds: Histogram<11>,
}

impl MethodMeter {
    const fn new() -> MethodMeter {
        MethodMeter {
            started: Counter::new(),
            handled: [const { Counter::new() }; CODES.len()],
            received_bytes: Counter::new(),
            sent_bytes: Counter::new(),
            seconds: Histogram::new(HANDLING_BOUNDS),
        }
    }
}

/// Bytes of a request of a method came in.
pub(crate) fn received(method: usize, bytes: usize) {
    CALLS[method].received_bytes.add(bytes as u64);
}

/// A call that is under way. One that is let go before its end was canceled.
#[derive(Debug)]
pub(crate) struct Call {
    method: usize,
    /// None for a stream.
    began: Option<Instant>,
    ended: bool,
    /// A stream that is followed; its span is as long as it is.
    followed: Option<Followed>,
}

impl Call {
    /// A call of a method begins, with these headers.
    pub(crate) fn begin(method: usize, headers: &HeaderMap) -> Call {
        let is_stream = is_stream(method);
        CALLS[method].started.add_one();
        versions::note(is_stream, headers);
        Call {
            method,
            began: (!is_stream).then(Instant::now),
            ended: false,
            followed: None,
        }
    }

    /// The same, followed to its end.
    pub(crate) fn followed(self, followed: Followed) -> Call {
        let mut call = self;
        call.followed = Some(followed);
        call
    }

    fn end(&mut self, code: Code) {
        if self.ended {
            return;
        }
        self.ended = true;
        let meter = &CALLS[self.method];
        meter.handled[code as usize].add_one();
        if let Some(began) = self.began {
            meter.seconds.add(began.elapsed());
        }
        if let Some(followed) = self.followed.take() {
            followed.end(code);
        }
    }
}

impl Drop for Call {
    fn drop(&mut self) {
        self.end(Code::Cancelled);
    }
}

/// The body of an answer, and what is counted of it.
#[derive(Debug)]
pub(crate) struct Told {
    body: Body,
    /// None for what is no call.
    call: Option<Call>,
    /// The room that it takes until it is gone.
    allowance: Option<Arc<Allowance>>,
    /// Its connection is at work until this is gone.
    _work: Option<AtWork>,
}

impl Told {
    /// The answer to a call. A refusal has its end in its head already.
    pub(crate) fn to(mut call: Call, mut answer: Response<Body>) -> Response<Told> {
        if let Some(code) = code_in(answer.headers()) {
            call.end(code);
        }
        let call = Some(call);
        let allowance = answer.extensions_mut().remove();
        answer.map(|body| Told {
            body,
            call,
            allowance,
            _work: None,
        })
    }

    /// The same, with which its connection is at work until it is gone.
    pub(crate) fn at_work(self, work: AtWork) -> Told {
        Told {
            _work: Some(work),
            ..self
        }
    }

    /// Whether it is a page, and no answer to a call.
    pub(crate) fn is_page(&self) -> bool {
        self.call.is_none()
    }

    /// The room that it takes, for what is made of it.
    pub(crate) fn allowance(&self) -> Option<Arc<Allowance>> {
        self.allowance.clone()
    }

    /// An answer to what is no call.
    pub(crate) fn plain(mut answer: Response<Body>) -> Response<Told> {
        let allowance = answer.extensions_mut().remove();
        answer.map(|body| Told {
            body,
            call: None,
            allowance,
            _work: None,
        })
    }
}

fn code_in(headers: &HeaderMap) -> Option<Code> {
    let told = headers.get(Status::GRPC_STATUS)?;
    Some(Code::from_bytes(told.as_bytes()))
}

impl http_body::Body for Told {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        let told = &mut *self;
        let frame = std::task::ready!(Pin::new(&mut told.body).poll_frame(context));
        if let Some(call) = &mut told.call {
            match &frame {
                Some(Ok(frame)) => {
                    if let Some(data) = frame.data_ref() {
                        CALLS[call.method].sent_bytes.add(data.len() as u64);
                    }
                    if let Some(code) = frame.trailers_ref().and_then(code_in) {
                        call.end(code);
                    }
                }
                Some(Err(status)) => call.end(status.code()),
                None => {}
            }
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
