//! A write that enters at a node that does not lead is one trace, with what the leader did in it.

use std::convert::Infallible;
use std::task::{Context, Poll};

use bytes::Bytes;
use hstore_proto::etcdserverpb::PutRequest;
use hstore_proto::etcdserverpb::kv_client::KvClient;
use prost::Message;
use tokio::net::TcpListener;
use tokio::sync::mpsc;
use tokio::time::timeout;
use tonic::body::Body;
use tonic::codegen::{BoxFuture, Service, StdError, http};
use tonic::server::{Grpc, NamedService, UnaryService};
use tonic::transport::Server;
use tonic::transport::server::TcpIncoming;
use tonic::{Request, Response, Status};
use tonic_prost::ProstCodec;

use crate::harness::{SOON, World, endpoint, runtime, until};

const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";

#[derive(Clone, PartialEq, Message)]
struct Export {
    #[prost(message, repeated, tag = "1")]
    of_resources: Vec<OfResource>,
}

#[derive(Clone, PartialEq, Message)]
struct OfResource {
    #[prost(message, optional, tag = "1")]
    resource: Option<Resource>,
    #[prost(message, repeated, tag = "2")]
    scopes: Vec<Scope>,
}

#[derive(Clone, PartialEq, Message)]
struct Resource {
    #[prost(message, repeated, tag = "1")]
    attributes: Vec<Attribute>,
}

#[derive(Clone, PartialEq, Message)]
struct Attribute {
    #[prost(string, tag = "1")]
    key: String,
    #[prost(message, optional, tag = "2")]
    value: Option<Value>,
}

#[derive(Clone, PartialEq, Message)]
struct Value {
    #[prost(string, tag = "1")]
    text: String,
}

#[derive(Clone, PartialEq, Message)]
struct Scope {
    #[prost(message, repeated, tag = "2")]
    spans: Vec<Span>,
}

#[derive(Clone, PartialEq, Message)]
struct Span {
    #[prost(bytes = "bytes", tag = "1")]
    trace: Bytes,
    #[prost(bytes = "bytes", tag = "2")]
    id: Bytes,
    #[prost(bytes = "bytes", tag = "4")]
    parent: Bytes,
    #[prost(string, tag = "5")]
    name: String,
}

#[derive(Clone, PartialEq, Message)]
struct Exported {}

/// Hears what nodes export.
#[derive(Clone)]
struct Collector(mpsc::UnboundedSender<Export>);

impl UnaryService<Export> for Collector {
    type Response = Exported;
    type Future = BoxFuture<Response<Exported>, Status>;

    fn call(&mut self, request: Request<Export>) -> Self::Future {
        // The test may have heard enough.
        let _enough = self.0.send(request.into_inner());
        Box::pin(async { Ok(Response::new(Exported {})) })
    }
}

impl<B> Service<http::Request<B>> for Collector
where
    B: http_body::Body + Send + 'static,
    B::Error: Into<StdError> + Send + 'static,
{
    type Response = http::Response<Body>;
    type Error = Infallible;
    type Future = BoxFuture<Self::Response, Self::Error>;

    fn poll_ready(&mut self, _context: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: http::Request<B>) -> Self::Future {
        let this = self.clone();
        Box::pin(async move {
            let codec: ProstCodec<Exported, Export> = ProstCodec::default();
            Ok(Grpc::new(codec).unary(this, request).await)
        })
    }
}

impl NamedService for Collector {
    const NAME: &'static str = "opentelemetry.proto.collector.trace.v1.TraceService";
}

/// A span, and the node that it is of.
type Heard = (String, Span);

fn spans(export: Export) -> impl Iterator<Item = Heard> {
    export.of_resources.into_iter().flat_map(|of| {
        let attributes = of.resource.unwrap_or_default().attributes.into_iter();
        let mut name = attributes.filter(|attribute| attribute.key == "hstore.node");
        let name = name.next().and_then(|attribute| attribute.value);
        let name = name.unwrap_or_default().text;
        let spans = of.scopes.into_iter().flat_map(|scope| scope.spans);
        spans.map(move |span| (name.clone(), span))
    })
}

/// The one span of a name that has this parent.
fn child<'a>(heard: &'a [Heard], name: &str, parent: &Bytes) -> Option<&'a Heard> {
    heard
        .iter()
        .find(|(_, span)| span.name == name && span.parent == *parent)
}

#[test]
fn a_write_that_enters_at_a_follower_is_one_trace_with_what_the_leader_did() {
    let world = World::new();
    let runtime = runtime();
    let (collector, mut exports) = mpsc::unbounded_channel();
    let listener = runtime.block_on(TcpListener::bind("127.0.0.1:0")).unwrap();
    let collects = format!("http://{}", listener.local_addr().unwrap());
    runtime.spawn(
        Server::builder()
            .add_service(Collector(collector))
            .serve_with_incoming(TcpIncoming::from(listener)),
    );
    let nodes = world.cluster(3, &["--otlp-endpoint", &collects, "--trace-ratio", "0"]);
    let leader = until("a node leads", SOON, || {
        nodes.iter().find(|node| node.leads())
    });
    let follower = nodes.iter().find(|node| node.name != leader.name).unwrap();
    let told = async {
        let channel = endpoint(&follower.address()).connect().await.unwrap();
        let mut put = Request::new(PutRequest {
            key: "k".into(),
            value: "v".into(),
            ..PutRequest::default()
        });
        let parent = format!("00-{TRACE}-00f067aa0ba902b7-01");
        put.metadata_mut()
            .insert("traceparent", parent.parse().unwrap());
        KvClient::new(channel).put(put).await.unwrap();
        let mut heard: Vec<Heard> = Vec::new();
        loop {
            let entered = heard
                .iter()
                .find(|(_, span)| span.name == "etcdserverpb.KV/Put");
            if let Some((at, put)) = entered
                && let Some((_, forward)) = child(&heard, "forward", &put.id)
                && let Some((by, lead)) = child(&heard, "lead", &forward.id)
                && child(&heard, "apply", &lead.id).is_some()
            {
                return (at.clone(), by.clone(), lead.clone(), heard.clone());
            }
            heard.extend(spans(exports.recv().await.unwrap()));
        }
    };
    let (at, by, lead, heard) = runtime
        .block_on(async { timeout(SOON, told).await })
        .expect("the leader tells its part");
    assert_eq!((&at, &by), (&follower.name, &leader.name));
    for (_, span) in &heard {
        let trace: [u8; 16] = span.trace[..].try_into().unwrap();
        let trace = format!("{:032x}", u128::from_be_bytes(trace));
        assert_eq!(trace, TRACE, "{span:?}");
    }
    let rooms = heard.iter().filter(|(_, span)| span.parent == lead.id);
    let rooms: Vec<&str> = rooms.map(|(_, span)| span.name.as_str()).collect();
    assert_eq!(
        rooms,
        ["queue", "batch", "log sync", "replicate", "apply", "answer"]
    );
}
