//! A collector on loopback hears of calls, with the right parents, and nothing waits for one that
//! does not.

use std::convert::Infallible;
use std::task::{Context as Polling, Poll};

use hstore_node::Moments;
use hstore_proto::etcdserverpb::lease_client::LeaseClient;
use hstore_proto::etcdserverpb::watch_client::WatchClient;
use hstore_proto::etcdserverpb::watch_request::RequestUnion;
use hstore_proto::etcdserverpb::{
    LeaseKeepAliveRequest, PutRequest, RangeRequest, WatchCreateRequest, WatchRequest,
};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio::time::timeout;
use tokio_stream::wrappers::TcpListenerStream;
use tonic::body::Body;
use tonic::codegen::{BoxFuture, Service, StdError, http};
use tonic::server::{NamedService, UnaryService};
use tonic::{Request, Response, Status};
use tonic_prost::ProstCodec;

use super::wire::{ExportRequest, ExportResponse, Span};
use super::*;
use crate::grpc::tests::{LONG, World, text, world_with};

/// Hears what is exported.
#[derive(Clone)]
struct Collector(mpsc::Sender<ExportRequest>);

impl UnaryService<ExportRequest> for Collector {
    type Response = ExportResponse;
    type Future = BoxFuture<Response<ExportResponse>, Status>;

    fn call(&mut self, request: Request<ExportRequest>) -> Self::Future {
        let heard = self.0.clone();
        Box::pin(async move {
            heard.send(request.into_inner()).await.unwrap();
            Ok(Response::new(ExportResponse::default()))
        })
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

    fn poll_ready(&mut self, _context: &mut Polling<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: http::Request<B>) -> Self::Future {
        let this = self.clone();
        Box::pin(async move {
            let codec: ProstCodec<ExportResponse, ExportRequest> = ProstCodec::default();
            Ok(tonic::server::Grpc::new(codec).unary(this, request).await)
        })
    }
}

impl NamedService for Collector {
    const NAME: &'static str = "opentelemetry.proto.collector.trace.v1.TraceService";
}

/// A collector, and where it is.
async fn collector() -> (mpsc::Receiver<ExportRequest>, String) {
    let (heard, requests) = mpsc::channel(64);
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let serving = tonic::transport::Server::builder()
        .add_service(Collector(heard))
        .serve_with_incoming(TcpListenerStream::new(listener));
    tokio::spawn(serving);
    (requests, format!("http://{address}"))
}

fn exporter(to: &str) -> Exporter {
    Exporter::new(&endpoint(to).unwrap(), "one", "test", 1)
}

const TRACE: [u8; 16] = [
    0x4b, 0xf9, 0x2f, 0x35, 0x77, 0xb3, 0x4d, 0xa6, 0xa3, 0xce, 0x92, 0x9d, 0x0e, 0x0e, 0x47, 0x36,
];
const SAMPLED: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
const NOT_SAMPLED: &str = "00-5bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-00";

/// Reads until `count` calls were heard of.
async fn calls(requests: &mut mpsc::Receiver<ExportRequest>, count: usize) -> Vec<Span> {
    let mut spans = Vec::new();
    while spans.iter().filter(|span: &&Span| span.kind == 2).count() < count {
        let request = timeout(LONG, requests.recv()).await.unwrap().unwrap();
        for of_resource in request.resource_spans {
            let resource = of_resource.resource.unwrap();
            assert!(
                resource
                    .attributes
                    .iter()
                    .any(|named| named.key == "service.name")
            );
            let scopes = of_resource.scope_spans.into_iter();
            spans.extend(scopes.flat_map(|scope| scope.spans));
        }
    }
    spans
}

/// The names of the stages of a call, each within it and with it as parent.
fn stages<'a>(spans: &'a [Span], call: &Span) -> Vec<&'a str> {
    let of_call = spans.iter().filter(|span| span.parent_span_id == call.id);
    of_call
        .map(|span| {
            assert_eq!(span.trace_id, call.trace_id);
            assert!(
                span.start_time_unix_nano >= call.start_time_unix_nano,
                "{span:?}"
            );
            assert!(
                span.end_time_unix_nano <= call.end_time_unix_nano,
                "{span:?}"
            );
            assert!(
                span.start_time_unix_nano <= span.end_time_unix_nano,
                "{span:?}"
            );
            span.name.as_str()
        })
        .collect()
}

#[tokio::test]
async fn a_collector_hears_of_a_write_and_of_a_read_room_by_room() {
    let world = world_with(|config| config.follows_requests = true).await;
    let (mut requests, address) = collector().await;
    let (tracer, spans) = Tracer::new(RATIO_ONE);
    tokio::spawn(exporter(&address).run(spans));
    tracer.install();
    let put = |traceparent: Option<&'static str>| {
        let mut request = Request::new(PutRequest {
            key: text("k"),
            value: text("v"),
            ..PutRequest::default()
        });
        if let Some(said) = traceparent {
            request
                .metadata_mut()
                .insert(TRACEPARENT, said.parse().unwrap());
        }
        request
    };
    world.kv().put(put(Some(NOT_SAMPLED))).await.unwrap();
    world.kv().put(put(Some(SAMPLED))).await.unwrap();
    let range = RangeRequest {
        key: text("k"),
        ..RangeRequest::default()
    };
    world.kv().range(range).await.unwrap();
    let page =
        format!("PUT /write/k HTTP/1.0\r\ntraceparent: {SAMPLED}\r\ncontent-length: 1\r\n\r\nv");
    let mut stream = TcpStream::connect(world.address).await.unwrap();
    stream.write_all(page.as_bytes()).await.unwrap();
    let mut told = Vec::new();
    timeout(LONG, stream.read_to_end(&mut told))
        .await
        .unwrap()
        .unwrap();
    assert!(told.starts_with(b"HTTP/1.0 200"), "{told:?}");
    world.kv().put(PutRequest::default()).await.unwrap_err();

    let spans = calls(&mut requests, 4).await;
    let of = |name: &str| -> Vec<&Span> {
        let mut found: Vec<&Span> = spans.iter().filter(|span| span.name == name).collect();
        found.sort_by_key(|span| span.start_time_unix_nano);
        found
    };
    let puts = of("etcdserverpb.KV/Put");
    // The one that its caller does not keep is not told.
    assert_eq!(puts.len(), 3, "{puts:?}");
    let write = ["queue", "batch", "log sync", "replicate", "apply", "answer"];
    for put in &puts[..2] {
        assert_eq!(put.trace_id, TRACE);
        assert_eq!(
            put.parent_span_id,
            [0, 0xf0, 0x67, 0xaa, 0x0b, 0xa9, 0x02, 0xb7]
        );
        assert_eq!(stages(&spans, put), write);
        assert_eq!(put.status, None);
    }
    let refused = puts[2];
    assert_eq!(refused.status.as_ref().unwrap().code, 2);
    assert!(refused.parent_span_id.is_empty() && refused.trace_id != TRACE);
    assert_eq!(stages(&spans, refused), [""; 0]);
    let read = of("etcdserverpb.KV/Range")[0];
    assert_eq!(stages(&spans, read), ["read index", "read"]);
    let spans = [spans, streams(&world, &mut requests).await].concat();
    // They count when the collector has answered.
    let counted = async {
        while EXPORTED.get() < spans.len() as u64 {
            tokio::task::yield_now().await;
        }
    };
    timeout(LONG, counted).await.unwrap();
}

/// Begins and ends a stream of each kind; its spans.
async fn streams(world: &World, requests: &mut mpsc::Receiver<ExportRequest>) -> Vec<Span> {
    let range = RangeRequest {
        key: text("k"),
        range_end: text("l"),
        ..RangeRequest::default()
    };
    let mut chunks = world.kv().range_stream(range).await.unwrap().into_inner();
    while chunks.message().await.unwrap().is_some() {}
    let create = WatchRequest {
        request_union: Some(RequestUnion::CreateRequest(WatchCreateRequest {
            key: text("k"),
            ..WatchCreateRequest::default()
        })),
    };
    let asks = tokio_stream::iter([create]);
    let mut watch = WatchClient::new(world.channel.clone());
    let mut told = watch.watch(asks).await.unwrap().into_inner();
    assert!(told.message().await.unwrap().unwrap().created);
    // It is over when its client is gone.
    drop(told);
    let none = tokio_stream::iter([LeaseKeepAliveRequest { id: 77 }]);
    let mut leases = LeaseClient::new(world.channel.clone());
    let mut told = leases.lease_keep_alive(none).await.unwrap().into_inner();
    assert_eq!(told.message().await.unwrap().unwrap().ttl, 0);
    assert_eq!(told.message().await.unwrap(), None);

    let spans = calls(requests, 3).await;
    let mut names: Vec<&str> = spans
        .iter()
        .filter(|span| span.kind == 2)
        .map(|span| span.name.as_str())
        .collect();
    names.sort_unstable();
    let expected = [
        "etcdserverpb.KV/RangeStream",
        "etcdserverpb.Lease/LeaseKeepAlive",
        "etcdserverpb.Watch/Watch",
    ];
    assert_eq!(names, expected);
    let range = spans.iter().find(|span| span.name == names[0]).unwrap();
    assert_eq!(stages(&spans, range), ["read index", "read"]);
    spans
}

#[tokio::test]
async fn what_a_leader_did_hangs_on_the_way_of_the_call_that_entered_elsewhere() {
    let (tracer, _spans) = Tracer::new(RATIO_ONE);
    let mut headers = HeaderMap::new();
    headers.insert(TRACEPARENT, SAMPLED.parse().unwrap());
    let followed = tracer.begin("/etcdserverpb.KV/Put", &headers).unwrap();
    let now = tokio::time::Instant::now();
    let mut guest = Guest {
        word: followed.word(),
        moments: Moments {
            queued: Some(now),
            handed_on: Some(now),
            ..Moments::default()
        },
        left: now,
        is_done: true,
    };
    let spans = call::spans_of(&guest);
    let names: Vec<&str> = spans.iter().map(|span| span.name.as_str()).collect();
    assert_eq!(names, ["lead", "queue"]);
    assert_eq!((&spans[0].trace_id[..], spans[0].kind), (&TRACE[..], 2));
    assert_eq!(spans[0].parent_span_id, followed.word()[16..]);
    assert_eq!(spans[1].parent_span_id, spans[0].id);
    guest.is_done = false;
    assert_eq!(call::spans_of(&guest)[0].status.as_ref().unwrap().code, 2);
    for word in [&b""[..], b"short", &[1; 23], &[1; 25]] {
        guest.word = word.to_vec().into();
        assert_eq!(call::spans_of(&guest), [], "{word:?} is no word of ours");
    }
}

#[tokio::test]
async fn spans_that_nobody_takes_are_dropped_and_counted_and_nobody_waits() {
    let before = DROPPED.get();
    let (tracer, spans) = Tracer::new(RATIO_ONE);
    let headers = HeaderMap::new();
    for _ in 0..QUEUE_MAX + 10 {
        let followed = tracer.begin("/etcdserverpb.KV/Put", &headers).unwrap();
        tracer.end(&followed, Code::Ok);
    }
    assert_eq!(DROPPED.get() - before, 10);
    // Nobody listens there any more.
    let gone = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = format!("http://{}", gone.local_addr().unwrap());
    drop(gone);
    drop(tracer);
    timeout(LONG, exporter(&address).run(spans)).await.unwrap();
    assert_eq!(DROPPED.get() - before, QUEUE_MAX as u64 + 10);
}

#[test]
fn as_many_calls_are_followed_as_the_ratio_says() {
    let headers = HeaderMap::new();
    for (ratio, bounds) in [
        (0, 0..=0),
        (RATIO_ONE / 2, 300..=700),
        (RATIO_ONE, 1000..=1000),
    ] {
        let (tracer, _spans) = Tracer::new(ratio);
        let followed = (0..1000).filter(|_| tracer.begin("/a/b", &headers).is_some());
        let count = followed.count();
        assert!(bounds.contains(&count), "{ratio}: {count}");
    }
}

#[test]
fn an_endpoint_is_a_plain_address() {
    for text in ["http://127.0.0.1:4317", "http://collector:4317/"] {
        assert!(endpoint(text).is_some(), "{text}");
    }
    for text in [
        "",
        "127.0.0.1:4317",
        "https://a:1",
        "http://",
        "http://a:1/v1/traces",
        "ftp://a",
    ] {
        assert!(endpoint(text).is_none(), "{text}");
    }
}
