//! `GET|POST /cluster/snapshot`: the state of this node as a file, the very bytes that
//! `hstore-cli snapshot save` keeps.

use futures::stream;
use hstore_proto::etcdserverpb::SnapshotRequest;
use http_body_util::StreamBody;
use hyper::Response;
use hyper::body::Frame;
use hyper::header::{self, HeaderValue};
use tonic::Status;
use tonic::body::Body;

use crate::web::ask::Ask;
use crate::web::problem::Problem;
use crate::web::service::SNAPSHOT;

/// The type of the file.
pub(super) const BYTES: &str = "application/octet-stream";

/// Sends the file, a piece at a time as the connection takes it. One that breaks off before its end
/// is no snapshot: its last 32 bytes are the SHA-256 of all before them.
pub(super) async fn snapshot(ask: Ask) -> Result<Response<Body>, Problem> {
    let answers = ask.service.stream(&SNAPSHOT, &SnapshotRequest {}).await?;
    let pieces = stream::unfold(Some(answers), |answers| async {
        let mut answers = answers?;
        match answers.next().await {
            Ok(Some(answer)) => Some((Ok(Frame::data(answer.blob)), Some(answers))),
            Ok(None) => None,
            // An end that the client can tell from a whole file: the connection breaks.
            Err(refused) => Some((Err(Status::aborted(refused.detail)), None)),
        }
    });
    let mut response = Response::new(Body::new(StreamBody::new(pieces)));
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(BYTES));
    let name = HeaderValue::from_static("attachment; filename=\"hstore.snapshot\"");
    headers.insert(header::CONTENT_DISPOSITION, name);
    Ok(response)
}
