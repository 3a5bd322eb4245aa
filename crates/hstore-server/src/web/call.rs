//! A call of gRPC from within: what the wire would have brought.

use std::net::SocketAddr;

use bytes::{Buf as _, Bytes, BytesMut};
use futures::{StreamExt as _, stream};
use hstore_core::error::ErrorCode;
use hstore_proto::{metadata, status};
use http_body_util::{BodyExt as _, Full, StreamBody};
use hyper::body::Frame;
use hyper::header::{self, HeaderMap, HeaderName, HeaderValue};
use hyper::http::uri::PathAndQuery;
use hyper::{Request, Response, Uri, Version};
use tonic::body::Body;
use tonic::{Code, Status};

use crate::grpc::{Door, Source};
use crate::meter::Told;
use crate::otlp::TRACEPARENT;

/// What a client may say beside its request.
const PASSED: [&str; 6] = [
    "authorization",
    "grpc-timeout",
    metadata::HAS_LEADER,
    metadata::REQUEST,
    "token",
    TRACEPARENT,
];

/// What may stand before those names, as in every gateway of this kind.
const PASSED_AS: &str = "grpc-metadata-";

/// The bytes before each message of gRPC: whether it is compressed, and its length.
pub(super) const FRAME_HEAD_BYTES: usize = 5;

/// A call that is about to be made.
pub(super) struct Outgoing<'a> {
    /// The path of the method.
    pub(super) path: PathAndQuery,
    /// What was said beside the request.
    pub(super) headers: &'a HeaderMap,
    /// Where the request came from.
    pub(super) from: Option<SocketAddr>,
    /// All messages, framed.
    pub(super) messages: Bytes,
    /// Whether it goes on when its requests have ended, until whoever asked goes.
    pub(super) outlives_requests: bool,
}

/// The call as the door takes it.
pub(super) fn request(call: Outgoing<'_>) -> Request<Source> {
    let Outgoing {
        path,
        headers,
        from,
        messages,
        outlives_requests,
    } = call;
    let body = if outlives_requests {
        let told = stream::iter([Ok::<_, Status>(Frame::data(messages))]);
        Body::new(StreamBody::new(told.chain(stream::pending())))
    } else {
        Body::new(Full::new(messages))
    };
    let mut request = Request::new(Source::Within(body));
    *request.method_mut() = hyper::Method::POST;
    *request.version_mut() = Version::HTTP_2;
    *request.uri_mut() = Uri::from(path);
    if let Some(from) = from {
        request.extensions_mut().insert(from);
    }
    let told = request.headers_mut();
    let kind = HeaderValue::from_static("application/grpc");
    told.insert(header::CONTENT_TYPE, kind);
    told.insert(header::TE, HeaderValue::from_static("trailers"));
    for name in PASSED {
        let value = headers
            .get(name)
            .or_else(|| headers.get(format!("{PASSED_AS}{name}")));
        if let Some(value) = value {
            told.insert(HeaderName::from_static(name), value.clone());
        }
    }
    request
}

/// The answer of the door, unless it is a refusal.
pub(super) async fn answer(
    door: &Door,
    request: Request<Source>,
) -> Result<Response<Told>, Status> {
    let response = match door.answer(request).await {
        Ok(response) => response,
        Err(never) => match never {},
    };
    match Status::from_header_map(response.headers()) {
        Some(status) if status.code() != Code::Ok => Err(status),
        _ => Ok(response),
    }
}

/// The messages of an answer, one after the other.
pub(super) struct Messages {
    body: Told,
    /// What was read of the next message.
    heard: BytesMut,
    ended: bool,
}

impl Messages {
    /// The messages of a body.
    pub(super) fn of(body: Told) -> Messages {
        Messages {
            body,
            heard: BytesMut::new(),
            ended: false,
        }
    }

    /// The next message; none when the answer went well and is over.
    ///
    /// Not cancel safe.
    pub(super) async fn next(&mut self) -> Result<Option<Bytes>, Status> {
        loop {
            if let Some(message) = self.cut() {
                return Ok(Some(message));
            }
            if self.ended {
                return Ok(None);
            }
            let Some(frame) = self.body.frame().await else {
                self.ended = true;
                continue;
            };
            match frame?.into_data() {
                Ok(data) => self.heard.extend_from_slice(&data),
                Err(frame) => {
                    self.ended = true;
                    let trailers = frame.into_trailers().unwrap_or_default();
                    match Status::from_header_map(&trailers) {
                        Some(status) if status.code() != Code::Ok => return Err(status),
                        _well => {}
                    }
                }
            }
        }
    }

    /// The only message.
    pub(super) async fn only(mut self) -> Result<Bytes, Status> {
        let message = self.next().await?;
        // The end says whether it went well.
        let more = self.next().await?;
        if let (Some(message), None) = (message, more) {
            return Ok(message);
        }
        let what = "a call was not answered by one message";
        Err(status::failure(ErrorCode::Internal, what))
    }

    fn cut(&mut self) -> Option<Bytes> {
        let mut head = self.heard.get(..FRAME_HEAD_BYTES)?;
        let _compressed = head.get_u8();
        let bytes = head.get_u32() as usize;
        if self.heard.len() < FRAME_HEAD_BYTES + bytes {
            return None;
        }
        self.heard.advance(FRAME_HEAD_BYTES);
        Some(self.heard.split_to(bytes).freeze())
    }
}
