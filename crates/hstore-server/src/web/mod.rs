//! The client port over HTTP: calls of gRPC go to their services, everything else to a page by the
//! table of pages ([ADR 0024]).
//!
//! A page parses, calls the node, renders; it holds no rule of the store. Invariants: (1) who asks by
//! a host name that the node does not go by is refused, whatever is asked for; (2) what has effects is
//! refused to pages of other sites; (3) no answer lets a page of another site read it; (4) every
//! refusal is a problem with a stable code; (5) what has no line in the table is not there, and a
//! page is asked only by who has what its line needs.
//!
//! [ADR 0024]: ../../../../docs/adr/0024-a-table-of-pages.md

mod accept;
mod ask;
mod call;
mod cluster;
mod dashboard;
mod etag;
mod gateway;
mod given;
mod guard;
mod health;
mod line;
mod metrics;
mod node_pages;
mod openapi;
mod percent;
mod problem;
mod query;
mod rest;
mod routes;
mod service;
mod settings;
mod sse;
#[cfg(test)]
mod tests;
mod version;
mod who;

use std::convert::Infallible;
use std::future::Future;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use futures::FutureExt as _;
use futures::future::BoxFuture;
use hstore_core::error::ErrorCode;
use hstore_node::Node;
use hyper::header::{self, HeaderName, HeaderValue};
use hyper::{Method, Request, Response, StatusCode, Version};
use tonic::body::Body;

use self::ask::Ask;
use self::cluster::Hub;
use self::gateway::Gateway;
use self::given::Given;
pub(crate) use self::guard::{Guard, check_origin};
use self::line::{Handler, Line, Page, Verb};
pub(crate) use self::problem::Problem;
use self::routes::{InPath, Routes};
use self::service::Service as Way;
use crate::doors::Arriving;
use crate::grpc::{self, Door, Doors, Need, Source};
use crate::meter::Told;
use crate::vitals::Past;

/// The tables of pages, beside etcd's gateway. Who adds pages adds their table here.
const TABLES: &[&[Line]] = &[
    cluster::TABLE,
    dashboard::TABLE,
    node_pages::TABLE,
    rest::TABLE,
    settings::TABLE,
];

/// What goes with every page that does not say otherwise: nobody keeps it, guesses what it is, frames it, or lets it load
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
    /// Where the connection comes from.
    from: Option<SocketAddr>,
}

/// The pages.
#[derive(Debug)]
struct Web {
    node: Node,
    door: Door,
    guard: Guard,
    gateway: Gateway,
    routes: Routes,
    hub: Arc<Hub>,
}

impl ClientPort {
    /// The client port of a node, which tells what it was like.
    pub(crate) fn new(doors: Doors, past: Arc<Past>) -> ClientPort {
        let node = doors.node.clone();
        let own = node.status().member.client_address;
        let hub = Hub::new(node.clone(), Arc::clone(&doors.lifecycle));
        let guard = Guard::new(&own, &doors.allowed_hosts);
        let door = Door::new(doors, past);
        let (gateway, paths) = Gateway::new(door.clone());
        ClientPort {
            door: door.clone(),
            from: None,
            web: Arc::new(Web {
                node,
                door,
                guard,
                gateway,
                routes: Routes::new(&paths),
                hub,
            }),
        }
    }

    /// Looks at the cluster for those who watch it; does not end.
    pub(crate) fn observe(&self) -> impl Future<Output = ()> + Send + use<> {
        let hub = Arc::clone(&self.web.hub);
        async move { hub.run().await }
    }

    /// The same for a connection that comes from there: who guesses passwords is slowed down by
    /// where they are.
    pub(crate) fn for_caller(&self, from: SocketAddr) -> ClientPort {
        ClientPort {
            from: Some(from),
            ..self.clone()
        }
    }
}

impl ClientPort {
    /// Whether a request is for a call that does not take long to work at.
    pub(crate) fn is_light<B>(request: &Request<B>) -> bool {
        grpc::is_light(request.uri().path())
    }

    /// Answers a request.
    pub(crate) fn answer(&self, mut request: Request<Arriving>) -> Answer {
        // What a request carries with it is allocated; those that are made all the time go without.
        if let Some(from) = self.from
            && !Self::is_light(&request)
        {
            request.extensions_mut().insert(from);
        }
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
    async fn answer(self: Arc<Web>, request: Request<Arriving>) -> Response<Body> {
        let mut response = match self.find(&request) {
            Ok(found) => match found {
                Found::Allowed(methods) => allowed(&methods),
                Found::Page(line, params) => self.show(&line, params, request).await,
            },
            Err(problem) => problem.response(),
        };
        for (name, value) in HEADERS {
            response.headers_mut().entry(name).or_insert(value);
        }
        response
    }

    /// The page that is asked for, if whoever asks may have it by what their browser says.
    fn find(&self, request: &Request<Arriving>) -> Result<Found, Problem> {
        self.guard.check_host(request)?;
        check_codings(request)?;
        if grpc::is_grpc(request) {
            let what = "gRPC goes over HTTP/2";
            return Err(Problem::new(ErrorCode::Unsupported, what));
        }
        let path = request.uri().path();
        let Some(found) = self.routes.at(path) else {
            let what = format!("there is no {path}");
            return Err(Problem::new(ErrorCode::NoSuchPath, what));
        };
        let verb = Verb::of(request.method());
        // A `HEAD` is safe whatever it asks about; a `GET` that has effects is not.
        let is_head = *request.method() == Method::HEAD;
        let suits = |line: &&Line| Some(line.verb) == verb && !(is_head && line.has_effects);
        let line = found.lines.iter().find(suits);
        let Some(line) = line else {
            let methods = methods_of(found.lines);
            if *request.method() == Method::OPTIONS {
                return Ok(Found::Allowed(methods));
            }
            let what = format!("{path} does not take {}", request.method());
            return Err(Problem::new(ErrorCode::MethodNotAllowed, what).allow(&methods));
        };
        if line.has_effects {
            check_origin(request)?;
        }
        Ok(Found::Page(*line, found.params))
    }

    async fn show(
        self: Arc<Web>,
        line: &Line,
        params: Option<InPath>,
        request: Request<Arriving>,
    ) -> Response<Body> {
        match line.page {
            Page::Gateway(place) => self.gateway.answer(place, request).await,
            Page::Health => health::health(&self.node, request.uri().query()).await,
            Page::Checks(checks) => health::checks(&self.node, checks, request.uri().query()).await,
            Page::Metrics => metrics::metrics(&self.node),
            Page::Version => version::version(&self.node),
            Page::Asked(handler) => {
                let told = self.ask(line, handler, params, request).await;
                told.unwrap_or_else(Problem::response)
            }
        }
    }

    /// Asks a page, for who may.
    async fn ask(
        self: Arc<Web>,
        line: &Line,
        handler: Handler,
        params: Option<InPath>,
        request: Request<Arriving>,
    ) -> Result<Response<Body>, Problem> {
        let (head, body) = request.into_parts();
        let from = head.extensions.get().copied();
        let mut headers = head.headers.clone();
        if line.need != Need::Anyone {
            headers = who::proved(&self.door, &self.node, &headers, from).await?;
            self.door.admit(line.need, &headers).await?;
        }
        let given = Given::read(line, params, head.uri.query())?;
        let way = Way {
            door: self.door.clone(),
            calls: line.calls,
            headers,
            from,
        };
        handler(Ask::new(self, given, head.headers, way, body)).await
    }
}

/// Refuses a body that is packed in another way than in chunks, or in two: what is between the
/// sender and here may take another end for its end, and nobody here would unpack it.
fn check_codings<B>(request: &Request<B>) -> Result<(), Problem> {
    let codings = request.headers().get_all(header::TRANSFER_ENCODING);
    let mut codings = codings.iter().enumerate();
    let is_chunks = |value: &HeaderValue| value.as_bytes().eq_ignore_ascii_case(b"chunked");
    if codings.any(|(place, value)| place > 0 || !is_chunks(value)) {
        let what = "a body comes with its length or in chunks, and packed in no other way";
        return Err(Problem::new(ErrorCode::InvalidArgument, what));
    }
    Ok(())
}

/// What a request leads to.
enum Found {
    /// The methods that a path takes, for who asks what they are.
    Allowed(String),
    Page(Line, Option<InPath>),
}

/// The methods of a path, as the header `Allow` has them.
fn methods_of(lines: &[Line]) -> String {
    let mut methods = Vec::new();
    for line in lines {
        methods.push(line.verb.as_str());
        if line.verb == Verb::Get && !line.has_effects {
            methods.push("HEAD");
        }
    }
    methods.push("OPTIONS");
    methods.join(", ")
}

/// The answer to `OPTIONS`. It lets no page of another site do anything: that would need headers
/// that are not here.
fn allowed(methods: &str) -> Response<Body> {
    let mut response = Response::new(Body::empty());
    *response.status_mut() = StatusCode::NO_CONTENT;
    if let Ok(methods) = HeaderValue::from_str(methods) {
        response.headers_mut().insert(header::ALLOW, methods);
    }
    response
}

/// A page that went well.
fn page(kind: &'static str, text: impl Into<hyper::body::Bytes>) -> Response<Body> {
    let body = http_body_util::Full::new(text.into());
    let mut response = Response::new(Body::new(body));
    let kind = HeaderValue::from_static(kind);
    response.headers_mut().insert(header::CONTENT_TYPE, kind);
    response
}
