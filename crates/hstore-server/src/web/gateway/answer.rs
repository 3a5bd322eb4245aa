//! What the gateway answers: one message, many, or why not, each as etcd's gateway writes it.

use bytes::Bytes;
use futures::stream;
use hstore_core::error::ErrorCode;
use hstore_proto::{metadata, status};
use hstore_storage::store::Room as _;
use http_body_util::StreamBody;
use hyper::body::Frame;
use hyper::header::{self, HeaderValue};
use hyper::{Response, StatusCode};
use prost_reflect::MessageDescriptor;
use serde_json::json;
use tonic::body::Body;
use tonic::{Code, Status};

use super::json;
use crate::meter::Told;
use crate::web::call::Messages;
use crate::web::page;

/// From how many bytes on an answer is written on a thread of its own, so that nobody else waits
/// for it.
const LARGE_BYTES: usize = 256 * 1024;

/// How many times as large as a message its parts and its JSON are together.
const JSON_FACTOR: usize = 3;

const JSON: &str = "application/json";

/// The answer of a call that answers once.
pub(super) async fn unary(
    kind: MessageDescriptor,
    response: Response<Told>,
) -> Result<Response<Body>, Status> {
    let body = response.into_body();
    let allowance = body.allowance();
    let message = Messages::of(body).only().await?;
    if let Some(room) = &allowance
        && !room.take(JSON_FACTOR * message.len())
    {
        let what = "there is no room to write the answer as JSON";
        return Err(status::failure(ErrorCode::Overloaded, what));
    }
    let text = write(kind, message, "", "").await?;
    let mut page = page(JSON, text);
    if let Some(allowance) = allowance {
        page.extensions_mut().insert(allowance);
    }
    Ok(page)
}

/// The answer of a call that answers for a while: a line for each message.
pub(super) fn stream(kind: MessageDescriptor, response: Response<Told>) -> Response<Body> {
    let messages = Messages::of(response.into_body());
    let lines = stream::unfold(Some((kind, messages)), |state| async {
        let (kind, mut messages) = state?;
        let line = match messages.next().await {
            Ok(None) => return None,
            Ok(Some(message)) => write(kind.clone(), message, r#"{"result":"#, "}\n").await,
            Err(status) => Err(status),
        };
        Some(match line {
            Ok(line) => (Ok::<_, Status>(Frame::data(line)), Some((kind, messages))),
            Err(status) => (Ok(Frame::data(last_line(&status))), None),
        })
    });
    let mut response = Response::new(Body::new(StreamBody::new(lines)));
    let kind = HeaderValue::from_static(JSON);
    response.headers_mut().insert(header::CONTENT_TYPE, kind);
    response
}

/// The answer to a call that was refused or failed.
pub(super) fn failed(status: &Status) -> Response<Body> {
    let told = json!({
        "error": status.message(),
        "code": status.code() as i32,
        "message": status.message(),
    });
    let mut response = page(JSON, told.to_string());
    *response.status_mut() = http_status(status.code());
    for name in [metadata::CODE, metadata::DETAIL] {
        let value = status
            .metadata()
            .get(name)
            .and_then(|value| value.to_str().ok());
        if let Some(Ok(value)) = value.map(HeaderValue::from_str) {
            response.headers_mut().insert(name, value);
        }
    }
    response
}

/// The end of a stream that went wrong, in the words of both gateways that etcd had.
pub(super) fn last_line(status: &Status) -> Bytes {
    let http = http_status(status.code());
    let told = json!({"error": {
        "grpc_code": status.code() as i32,
        "http_code": http.as_u16(),
        "message": status.message(),
        "http_status": http.canonical_reason().unwrap_or_default(),
        "code": status.code() as i32,
    }});
    Bytes::from(format!("{told}\n"))
}

async fn write(
    kind: MessageDescriptor,
    message: Bytes,
    before: &'static str,
    behind: &'static str,
) -> Result<Bytes, Status> {
    let is_large = message.len() > LARGE_BYTES;
    let write = move || {
        let mut text = before.as_bytes().to_vec();
        json::write(&kind, message, &mut text)?;
        text.extend_from_slice(behind.as_bytes());
        Ok(Bytes::from(text))
    };
    if !is_large {
        return write();
    }
    match tokio::task::spawn_blocking(write).await {
        Ok(written) => written,
        Err(_ended) => Err(Status::cancelled("the node ends")),
    }
}

/// The status of HTTP that goes with a code of gRPC in every gateway of this kind.
fn http_status(code: Code) -> StatusCode {
    match code {
        Code::Ok => StatusCode::OK,
        Code::Cancelled => StatusCode::from_u16(499).unwrap_or(StatusCode::REQUEST_TIMEOUT),
        Code::InvalidArgument | Code::FailedPrecondition | Code::OutOfRange => {
            StatusCode::BAD_REQUEST
        }
        Code::DeadlineExceeded => StatusCode::GATEWAY_TIMEOUT,
        Code::NotFound => StatusCode::NOT_FOUND,
        Code::AlreadyExists | Code::Aborted => StatusCode::CONFLICT,
        Code::PermissionDenied => StatusCode::FORBIDDEN,
        Code::Unauthenticated => StatusCode::UNAUTHORIZED,
        Code::ResourceExhausted => StatusCode::TOO_MANY_REQUESTS,
        Code::Unimplemented => StatusCode::NOT_IMPLEMENTED,
        Code::Unavailable => StatusCode::SERVICE_UNAVAILABLE,
        Code::Unknown | Code::Internal | Code::DataLoss => StatusCode::INTERNAL_SERVER_ERROR,
    }
}
