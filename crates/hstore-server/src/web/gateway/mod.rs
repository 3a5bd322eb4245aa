//! etcd's gateway: its services of gRPC as JSON over HTTP, under `/v3/`.
//!
//! A request of JSON becomes the bytes of the message that the method takes, goes through the very
//! door that a call of gRPC goes through, and the answer comes back the same way (ADR 0019). So
//! what holds for a call holds for a page of the gateway: rights, bounds, deadlines, words.
//!
//! Invariants: (1) nothing here knows a message: the description of `proto/` does; (2) a page has a
//! method that is described there.

mod answer;
#[cfg(test)]
mod failures;
mod json;
mod table;
#[cfg(test)]
mod tests;

use hyper::http::uri::PathAndQuery;
use hyper::{Request, Response};
use prost_reflect::MethodDescriptor;
use tonic::Status;
use tonic::body::Body;

use self::table::TABLE;
use super::call::{self, Outgoing};
use crate::doors::Arriving;
use crate::grpc::{DESCRIBED, Door, Source};

/// The gateway to a door.
#[derive(Debug)]
pub(super) struct Gateway {
    door: Door,
    methods: Vec<Method>,
}

/// A method, as it is called.
#[derive(Clone, Debug)]
struct Method {
    path: PathAndQuery,
    described: MethodDescriptor,
    /// Whether it goes on when its requests have ended, until whoever asked goes.
    outlives_requests: bool,
}

impl Gateway {
    /// The gateway to a door, and the paths in the order of their places in it.
    pub(super) fn new(door: Door) -> (Gateway, Vec<&'static str>) {
        let found = TABLE
            .iter()
            .filter_map(|(path, method)| Some((*path, Method::find(method)?)));
        let (paths, methods) = found.unzip();
        (Gateway { door, methods }, paths)
    }

    /// Answers a request for the method at a place.
    pub(super) async fn answer(&self, place: usize, request: Request<Arriving>) -> Response<Body> {
        let method = &self.methods[place];
        match self.call(method, request).await {
            Ok(response) => response,
            Err(status) => answer::failed(&status),
        }
    }

    async fn call(
        &self,
        method: &Method,
        request: Request<Arriving>,
    ) -> Result<Response<Body>, Status> {
        let (head, body) = request.into_parts();
        let whole = self.door.read_whole(Source::Wire(body)).await?;
        let messages = json::read(&method.described, whole.bytes())?;
        drop(whole);
        let call = call::request(Outgoing {
            path: method.path.clone(),
            headers: &head.headers,
            from: head.extensions.get().copied(),
            messages,
            outlives_requests: method.outlives_requests,
        });
        let response = call::answer(&self.door, call).await?;
        let kind = method.described.output();
        if method.described.is_server_streaming() {
            Ok(answer::stream(kind, response))
        } else {
            answer::unary(kind, response).await
        }
    }
}

impl Method {
    /// The method of a path of gRPC, if `proto/` describes it.
    fn find(path: &'static str) -> Option<Method> {
        let (service, name) = path.strip_prefix('/')?.split_once('/')?;
        let service = DESCRIBED.get_service_by_name(service)?;
        let described = service.methods().find(|method| method.name() == name)?;
        Some(Method {
            path: PathAndQuery::from_static(path),
            described,
            outlives_requests: path == "/etcdserverpb.Watch/Watch",
        })
    }
}
