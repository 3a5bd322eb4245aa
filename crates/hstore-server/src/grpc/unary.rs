//! Calls of one message and one answer that are made all the time: the reads and writes of keys.
//!
//! They go from their bytes to their method and back without what a call of gRPC may have besides:
//! streams, compression, buffers of a size that fits everything. A request that has any of that is
//! passed on, as it came, to the service that knows it all; so what is answered here is answered in
//! no other words than there.
//!
//! Invariants: (1) no bytes of a request are held that its share does not count; (2) what may take
//! long to work at gets a task of its own, so that it holds up no other call of its connection.

use std::convert::Infallible;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::{Buf as _, BufMut as _, Bytes, BytesMut};
use hstore_node::follow_along;
use hstore_proto::etcdserverpb::request_op::Request as Step;
use hstore_proto::etcdserverpb::{DeleteRangeRequest, PutRequest, RangeRequest, TxnRequest};
use http_body::{Frame, SizeHint};
use http_body_util::BodyExt as _;
use prost::Message;
use tokio_util::task::AbortOnDropHandle;
use tonic::body::Body;
use tonic::codegen::http;
use tonic::codegen::http::{HeaderMap, HeaderValue};
use tonic::metadata::{GRPC_CONTENT_TYPE, MetadataMap};
use tonic::{Request, Response, Status};

use super::budget::Bounded;

/// The methods that are answered here, all of etcd's KV.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Light {
    DeleteRange,
    Put,
    Range,
    Txn,
}

/// The bytes before a message: whether it is compressed, and its length.
const HEAD_BYTES: usize = 5;

impl Light {
    /// The method of a path, if it is answered here.
    pub(super) fn of(path: &str) -> Option<Light> {
        Some(match path.strip_prefix("/etcdserverpb.KV/")? {
            "DeleteRange" => Light::DeleteRange,
            "Put" => Light::Put,
            "Range" => Light::Range,
            "Txn" => Light::Txn,
            _other => return None,
        })
    }
}

/// Whether the calls of a path are answered here.
pub(crate) fn is_light(path: &str) -> bool {
    Light::of(path).is_some()
}

/// A request that tells how much work it is.
pub(super) trait Weigh {
    /// Whether the answer may be of any size.
    fn is_heavy(&self) -> bool;
}

impl Weigh for PutRequest {
    fn is_heavy(&self) -> bool {
        false
    }
}

impl Weigh for RangeRequest {
    fn is_heavy(&self) -> bool {
        !self.range_end.is_empty()
    }
}

impl Weigh for DeleteRangeRequest {
    fn is_heavy(&self) -> bool {
        !self.range_end.is_empty()
    }
}

impl Weigh for TxnRequest {
    fn is_heavy(&self) -> bool {
        let steps = self.success.iter().chain(&self.failure);
        let mut steps = steps.filter_map(|step| step.request.as_ref());
        steps.any(|step| match step {
            Step::RequestRange(range) => range.is_heavy(),
            Step::RequestPut(put) => put.is_heavy(),
            Step::RequestDeleteRange(delete) => delete.is_heavy(),
            Step::RequestTxn(txn) => txn.is_heavy(),
        })
    }
}

/// Answers a call by `method`; one that is unusual is passed on to `service`.
pub(super) async fn answer<Q, A, M, S>(
    request: http::Request<Bounded>,
    message_bytes_max: usize,
    method: impl FnOnce(Request<Q>) -> M,
    service: impl FnOnce(http::Request<Bounded>) -> S,
) -> Result<http::Response<Body>, Infallible>
where
    Q: Message + Default + Weigh,
    A: Message + 'static,
    M: Future<Output = Result<Response<A>, Status>> + Send + 'static,
    S: Future<Output = Result<http::Response<Body>, Infallible>>,
{
    let (head, mut body) = request.into_parts();
    let read = if head.headers.contains_key("grpc-encoding") {
        Ok(Read::Unusual(Bytes::new()))
    } else {
        read(&mut body, message_bytes_max).await
    };
    let message = match read {
        Ok(Read::Message(message)) => message,
        Ok(Read::Unusual(bytes)) => {
            body.give_back(bytes);
            return service(http::Request::from_parts(head, body)).await;
        }
        Err(status) => return Ok(status.into_http()),
    };
    let answered = match Q::decode(message) {
        Ok(message) => {
            let is_heavy = message.is_heavy();
            let metadata = MetadataMap::from_headers(head.headers);
            let answering = method(Request::from_parts(metadata, head.extensions, message));
            if is_heavy {
                let answering = AbortOnDropHandle::new(tokio::spawn(follow_along(answering)));
                answering.await.unwrap_or_else(|error| {
                    Err(Status::internal(format!("the call did not end: {error}")))
                })
            } else {
                answering.await
            }
        }
        Err(error) => Err(Status::internal(error.to_string())),
    };
    Ok(match answered {
        Ok(answer) => {
            let (_metadata, message, extensions) = answer.into_parts();
            let mut response = response(&message);
            *response.extensions_mut() = extensions;
            response
        }
        Err(status) => status.into_http(),
    })
}

/// What was read of a request.
enum Read {
    /// Its one message, and nothing else.
    Message(Bytes),
    /// So far; it is something else.
    Unusual(Bytes),
}

/// Reads the message of a request.
async fn read(body: &mut Bounded, message_bytes_max: usize) -> Result<Read, Status> {
    let mut whole = Bytes::new();
    while !http_body::Body::is_end_stream(body) {
        let Some(frame) = body.frame().await.transpose()? else {
            break;
        };
        let Ok(data) = frame.into_data() else {
            // Trailers, of which requests of gRPC have none that mean anything.
            break;
        };
        whole = if whole.is_empty() {
            data
        } else {
            let mut longer = BytesMut::from(whole);
            longer.put(data);
            longer.freeze()
        };
        if whole.len() >= HEAD_BYTES && !may_end(&whole, message_bytes_max) {
            return Ok(Read::Unusual(whole));
        }
    }
    if whole.len() < HEAD_BYTES || whole.len() != HEAD_BYTES + length(&whole) {
        return Ok(Read::Unusual(whole));
    }
    whole.advance(HEAD_BYTES);
    Ok(Read::Message(whole))
}

/// Whether these bytes are the beginning of one plain message that is not too large, or all of it.
fn may_end(bytes: &[u8], message_bytes_max: usize) -> bool {
    let length = length(bytes);
    bytes[0] == 0 && length <= message_bytes_max && bytes.len() <= HEAD_BYTES + length
}

/// The length that the head of a message says.
fn length(mut bytes: &[u8]) -> usize {
    bytes.advance(1);
    bytes.get_u32() as usize
}

/// The answer with this message.
fn response(message: &impl Message) -> http::Response<Body> {
    let bytes = message.encoded_len();
    let mut framed = BytesMut::with_capacity(HEAD_BYTES + bytes);
    framed.put_u8(0);
    match u32::try_from(bytes) {
        Ok(bytes) => framed.put_u32(bytes),
        Err(_too_large) => {
            let what = format!("the answer of {bytes} bytes is larger than gRPC can send");
            return Status::resource_exhausted(what).into_http();
        }
    }
    message
        .encode(&mut framed)
        .expect("the buffer has room for all of it");
    let mut response = http::Response::new(Body::new(Once {
        message: Some(framed.freeze()),
        is_over: false,
    }));
    let headers = response.headers_mut();
    headers.insert(http::header::CONTENT_TYPE, GRPC_CONTENT_TYPE);
    response
}

/// The body of an answer that went well: its message, and the code that says so.
struct Once {
    message: Option<Bytes>,
    is_over: bool,
}

impl http_body::Body for Once {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        if let Some(message) = self.message.take() {
            return Poll::Ready(Some(Ok(Frame::data(message))));
        }
        if self.is_over {
            return Poll::Ready(None);
        }
        self.is_over = true;
        let mut trailers = HeaderMap::with_capacity(1);
        trailers.insert(Status::GRPC_STATUS, HeaderValue::from_static("0"));
        Poll::Ready(Some(Ok(Frame::trailers(trailers))))
    }

    fn is_end_stream(&self) -> bool {
        self.is_over
    }

    fn size_hint(&self) -> SizeHint {
        let message = self.message.as_ref();
        SizeHint::with_exact(message.map_or(0, |message| message.len() as u64))
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use futures::stream;
    use hstore_proto::etcdserverpb::RequestOp;
    use http_body_util::StreamBody;

    use super::super::budget::{Budget, Share, Source};
    use super::*;

    const MESSAGE_BYTES_MAX: usize = 10;

    fn body(frames: &[&[u8]]) -> Bounded {
        let frames: Vec<_> = frames
            .iter()
            .map(|frame| Ok::<_, Status>(Frame::data(Bytes::copy_from_slice(frame))))
            .collect();
        let source = Source::Within(Body::new(StreamBody::new(stream::iter(frames))));
        let budget = Arc::new(Budget::new(1000));
        Bounded::by(Share::new(&budget, 1000), source)
    }

    #[tokio::test]
    async fn a_message_is_read_however_it_is_cut_and_nothing_else_is() {
        let table: [(&[&[u8]], bool); 11] = [
            (&[b"\0\0\0\0\x03abc"], true),
            (&[b"\0\0", b"\0\0\x03", b"a", b"", b"bc"], true),
            (&[b"\0\0\0\0\0"], true),
            (&[b"\0\0\0\0\x0aabcdefghij"], true),
            // Too long, compressed, and no flag that there is.
            (&[b"\0\0\0\0\x0babcdefghijk"], false),
            (&[b"\x01\0\0\0\x03abc"], false),
            (&[b"\x02\0\0\0\x03abc"], false),
            // Two messages, half of one, and none.
            (&[b"\0\0\0\0\x01a\0\0\0\0\x01b"], false),
            (&[b"\0\0\0\0\x03ab"], false),
            (&[b"\0\0"], false),
            (&[], false),
        ];
        for (frames, is_message) in table {
            let whole: Vec<u8> = frames.concat();
            let mut body = body(frames);
            match read(&mut body, MESSAGE_BYTES_MAX).await.unwrap() {
                Read::Message(message) => {
                    assert!(is_message, "{frames:?}");
                    assert_eq!(message, whole[HEAD_BYTES..]);
                }
                Read::Unusual(bytes) => {
                    assert!(!is_message, "{frames:?}");
                    // Whoever it is passed on to reads all of it.
                    body.give_back(bytes);
                    let again = body.collect().await.unwrap().to_bytes();
                    assert_eq!(again, whole);
                }
            }
        }
    }

    #[tokio::test]
    async fn a_message_that_is_too_long_is_passed_on_before_it_is_read() {
        let begun = stream::iter([Ok::<_, Status>(Frame::data(Bytes::from_static(
            b"\0\x7f\0\0\0abc",
        )))]);
        let endless = futures::StreamExt::chain(begun, stream::pending());
        let source = Source::Within(Body::new(StreamBody::new(endless)));
        let budget = Arc::new(Budget::new(1000));
        let mut body = Bounded::by(Share::new(&budget, 1000), source);
        let read = read(&mut body, MESSAGE_BYTES_MAX).await.unwrap();
        assert!(matches!(read, Read::Unusual(bytes) if bytes.len() == 8));
    }

    #[test]
    fn what_touches_more_than_one_key_is_heavy() {
        let one = RangeRequest {
            key: b"a".to_vec().into(),
            ..RangeRequest::default()
        };
        let many = RangeRequest {
            range_end: b"b".to_vec().into(),
            ..one.clone()
        };
        assert!(!one.is_heavy() && many.is_heavy());
        let within = |range: RangeRequest| TxnRequest {
            failure: vec![RequestOp {
                request: Some(Step::RequestRange(range)),
            }],
            ..TxnRequest::default()
        };
        assert!(!within(one).is_heavy());
        let nested = TxnRequest {
            success: vec![RequestOp {
                request: Some(Step::RequestTxn(within(many))),
            }],
            ..TxnRequest::default()
        };
        assert!(nested.is_heavy());
    }
}
