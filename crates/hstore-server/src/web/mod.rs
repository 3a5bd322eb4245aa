//! The client port over HTTP: calls of gRPC go to their services, everything else to a page by its
//! exact path.
//!
//! A page parses, calls one method of the node, renders; it holds no rule of the store. Invariants:
//! (1) who asks by a host name that the node does not go by is refused, whatever is asked for; (2)
//! what has effects is refused to pages of other sites; (3) no answer lets a page of another site
//! read it; (4) every refusal is a problem with a stable code.

mod gateway;
mod guard;
mod health;
mod metrics;
mod problem;
mod query;
mod routes;
#[cfg(test)]
mod tests;
mod version;

use std::convert::Infallible;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use futures::FutureExt as _;
use futures::future::BoxFuture;
use hstore_core::error::ErrorCode;
use hstore_node::Node;
use hyper::body::Incoming;
use hyper::header::{self, HeaderName, HeaderValue};
use hyper::service::Service;
use hyper::{Method, Request, Response, Version};
use tonic::body::Body;

use self::gateway::Gateway;
use self::guard::Guard;
use self::problem::Problem;
use self::routes::{Page, Routes};
use crate::grpc::{self, Door, Doors, Source};
use crate::meter::Told;

/// What goes with every page: nobody keeps it, guesses what it is, frames it, or lets it load
/// anything.
const HEADERS: [(HeaderName, HeaderValue); 4] = [
    (header::CACHE_CONTROL, HeaderValue::from_static("no-store")),
    (
        header::X_CONTENT_TYPE_OPTIONS,
        HeaderValue::from_static("nosniff"),
    ),
    (
        header::CONTENT_SECURITY_POLICY,
        HeaderValue::from_static("default-src 'none'; frame-ancestors 'none'"),
    ),
    (
        HeaderName::from_static("cross-origin-resource-policy"),
        HeaderValue::from_static("same-origin"),
    ),
];

/// The service of the client port. Clones are the same one.
#[derive(Clone, Debug)]
pub(crate) struct ClientPort {
    door: Door,
    web: Arc<Web>,
}

/// The pages.
#[derive(Debug)]
struct Web {
    node: Node,
    guard: Guard,
    gateway: Gateway,
    routes: Routes,
}

impl ClientPort {
    /// The client port of a node.
    pub(crate) fn new(doors: Doors) -> ClientPort {
        let node = doors.node.clone();
        let own = node.status().member.client_address;
        let door = Door::new(doors);
        let (gateway, paths) = Gateway::new(door.clone());
        ClientPort {
            door,
            web: Arc::new(Web {
                node,
                guard: Guard::new(&own),
                gateway,
                routes: Routes::new(&paths),
            }),
        }
    }
}

impl Service<Request<Incoming>> for ClientPort {
    type Response = Response<Told>;
    type Error = Infallible;
    type Future = Answer;

    fn call(&self, request: Request<Incoming>) -> Answer {
        // Browsers speak HTTP/2 only over TLS, whose certificates stop who comes by a wrong name;
        // so a call of gRPC may name any host, as the clients of etcd do.
        if request.version() == Version::HTTP_2 && grpc::is_grpc(&request) {
            return Answer::Grpc(self.door.answer(request.map(Source::Wire)));
        }
        let web = Arc::clone(&self.web);
        Answer::Page(async move { web.answer(request).await }.boxed())
    }
}

/// An answer on its way.
pub(crate) enum Answer {
    /// Of gRPC.
    Grpc(grpc::Answer),
    /// Of a page.
    Page(BoxFuture<'static, Response<Body>>),
}

impl Future for Answer {
    type Output = Result<Response<Told>, Infallible>;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        match self.get_mut() {
            Answer::Grpc(answer) => Pin::new(answer).poll(context),
            Answer::Page(answer) => answer.as_mut().poll(context).map(Told::plain).map(Ok),
        }
    }
}

impl Web {
    async fn answer(&self, request: Request<Incoming>) -> Response<Body> {
        let mut response = match self.find(&request) {
            Ok(page) => self.show(page, request).await,
            Err(problem) => problem.response(),
        };
        for (name, value) in HEADERS {
            response.headers_mut().insert(name, value);
        }
        response
    }

    /// The page that is asked for, if whoever asks may have it.
    fn find(&self, request: &Request<Incoming>) -> Result<Page, Problem> {
        self.guard.check_host(request)?;
        if grpc::is_grpc(request) {
            let what = "gRPC goes over HTTP/2";
            return Err(Problem::new(ErrorCode::Unsupported, what));
        }
        let path = request.uri().path();
        let Some(route) = self.routes.at(path) else {
            let what = format!("there is no {path}");
            return Err(Problem::new(ErrorCode::NoSuchPath, what));
        };
        let head = *request.method() == Method::HEAD && route.method == Method::GET;
        if *request.method() != route.method && !head {
            let what = format!("{path} does not take {}", request.method());
            return Err(Problem::new(ErrorCode::MethodNotAllowed, what).allow(&route.method));
        }
        if route.has_effects {
            guard::check_origin(request)?;
        }
        Ok(route.page)
    }

    async fn show(&self, page: Page, request: Request<Incoming>) -> Response<Body> {
        match page {
            Page::Gateway(place) => self.gateway.answer(place, request).await,
            Page::Health => health::health(&self.node, request.uri().query()).await,
            Page::Checks(checks) => health::checks(&self.node, checks, request.uri().query()).await,
            Page::Metrics => metrics::metrics(&self.node),
            Page::Version => version::version(&self.node),
        }
    }
}

/// A page that went well.
fn page(kind: &'static str, text: impl Into<hyper::body::Bytes>) -> Response<Body> {
    let body = http_body_util::Full::new(text.into());
    let mut response = Response::new(Body::new(body));
    let kind = HeaderValue::from_static(kind);
    response.headers_mut().insert(header::CONTENT_TYPE, kind);
    response
}
