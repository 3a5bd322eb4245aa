//! A watch that goes from node to node, against nodes that follow a script.
#![allow(
    clippy::unwrap_used,
    clippy::disallowed_methods,
    missing_docs,
    reason = "tests"
)]

use std::collections::VecDeque;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures::{Stream, StreamExt as _, stream};
use hstore_client::{Batch, Client, Error, ErrorCode, KeyRange, Watch};
use hstore_core::id::Revision;
use hstore_proto::convert::watch as wire;
use hstore_proto::etcdserverpb::watch_request::RequestUnion;
use hstore_proto::etcdserverpb::watch_server::{Watch as WatchService, WatchServer};
use hstore_proto::etcdserverpb::{ResponseHeader, WatchCreateRequest, WatchRequest, WatchResponse};
use hstore_proto::mvccpb::{Event, KeyValue};
use hstore_proto::status::failure;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio::time::timeout;
use tokio_stream::wrappers::TcpListenerStream;
use tonic::{Request, Response, Status, Streaming};

const LONG: Duration = Duration::from_secs(20);

/// What a stream does after its watch was made at a revision.
#[derive(Clone, Debug)]
enum Step {
    /// Changes of these revisions, told at once.
    Tell(Vec<i64>),
    /// The same, but more of the last revision follows.
    Piece(Vec<i64>),
    /// Nothing happened up to this revision.
    Progress(i64),
    Compacted(i64),
    Break,
    Refuse(ErrorCode),
    /// The node ends the stream without a word.
    End,
}

#[derive(Default)]
struct Inner {
    scripts: Mutex<VecDeque<Vec<Step>>>,
    asked: Mutex<Vec<WatchCreateRequest>>,
}

struct Fake {
    inner: Arc<Inner>,
    address: String,
    server: JoinHandle<()>,
}

impl Drop for Fake {
    fn drop(&mut self) {
        self.server.abort();
    }
}

/// A node whose streams follow these scripts, one each; a stream too many is refused as if the
/// node were stopping.
async fn node(scripts: &[&[Step]]) -> Fake {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let inner = Arc::new(Inner {
        scripts: Mutex::new(scripts.iter().map(|script| script.to_vec()).collect()),
        ..Inner::default()
    });
    let door = WatchServer::new(Door(inner.clone()));
    let server = tokio::spawn(async move {
        tonic::transport::Server::builder()
            .add_service(door)
            .serve_with_incoming(TcpListenerStream::new(listener))
            .await
            .unwrap();
    });
    Fake {
        inner,
        address,
        server,
    }
}

impl Fake {
    fn starts(&self) -> Vec<i64> {
        let asked = self.inner.asked.lock().unwrap();
        asked.iter().map(|request| request.start_revision).collect()
    }
}

struct Door(Arc<Inner>);

fn answer(revision: i64) -> WatchResponse {
    WatchResponse {
        header: Some(ResponseHeader {
            revision,
            ..ResponseHeader::default()
        }),
        ..WatchResponse::default()
    }
}

fn told(revisions: &[i64], fragment: bool) -> WatchResponse {
    let event = |revision: &i64| Event {
        kv: Some(KeyValue {
            key: "k".into(),
            mod_revision: *revision,
            ..KeyValue::default()
        }),
        ..Event::default()
    };
    WatchResponse {
        events: revisions.iter().map(event).collect(),
        fragment,
        ..answer(*revisions.last().unwrap())
    }
}

#[tonic::async_trait]
impl WatchService for Door {
    type WatchStream = Pin<Box<dyn Stream<Item = Result<WatchResponse, Status>> + Send>>;

    async fn watch(
        &self,
        request: Request<Streaming<WatchRequest>>,
    ) -> Result<Response<Self::WatchStream>, Status> {
        assert_eq!(request.metadata().get("hasleader").unwrap(), "true");
        let mut requests = request.into_inner();
        let Some(script) = self.0.scripts.lock().unwrap().pop_front() else {
            return Err(failure(ErrorCode::ShuttingDown, "as the script says"));
        };
        let Some(RequestUnion::CreateRequest(create)) =
            requests.message().await?.unwrap().request_union
        else {
            return Err(Status::internal("no watch was asked for"));
        };
        self.0.asked.lock().unwrap().push(create);
        let created = WatchResponse {
            created: true,
            ..answer(10)
        };
        let steps = script.into_iter().map(|step| match step {
            Step::Tell(revisions) => Ok(told(&revisions, false)),
            Step::Piece(revisions) => Ok(told(&revisions, true)),
            Step::Progress(revision) => Ok(answer(revision)),
            Step::Compacted(compacted) => Ok(WatchResponse {
                compact_revision: compacted,
                ..wire::ended(ErrorCode::Compacted, "", "it is gone")
            }),
            Step::Break => Err(Status::unavailable("connection reset")),
            Step::Refuse(code) => Err(failure(code, "as the script says")),
            Step::End => Err(Status::ok("")),
        });
        let mut answers: Vec<Result<WatchResponse, Status>> = vec![Ok(created)];
        answers.extend(steps);
        let ends = matches!(answers.last(), Some(Err(_)));
        let held = stream::pending::<Result<WatchResponse, Status>>().take(usize::from(!ends));
        // The requests are held, so that the client's half stays open.
        let answers = stream::iter(answers).chain(held).map(move |answer| {
            let _open = &requests;
            answer
        });
        Ok(Response::new(answers.boxed()))
    }
}

fn watch(nodes: &[&Fake], from: i64) -> Watch {
    let hosts: Vec<&str> = nodes.iter().map(|node| node.address.as_str()).collect();
    let client = Client::connect(&hosts).unwrap().with_timeout(LONG);
    client.watch(KeyRange::all()).from(Revision(from)).begin()
}

async fn next(watch: &mut Watch) -> Result<Batch, Error> {
    timeout(LONG, watch.next()).await.unwrap()
}

async fn revisions(watch: &mut Watch, count: usize) -> Vec<i64> {
    let mut all = Vec::new();
    while all.len() < count {
        let batch = next(watch).await.unwrap();
        assert_eq!(
            batch.changes.last().unwrap().pair.mod_revision,
            batch.revision
        );
        all.extend(
            batch
                .changes
                .iter()
                .map(|change| change.pair.mod_revision.0),
        );
    }
    all
}

#[tokio::test]
async fn a_lost_node_is_left_and_the_watch_goes_on_behind_what_it_told() {
    let losses = [
        Step::Break,
        Step::End,
        Step::Refuse(ErrorCode::ShuttingDown),
        Step::Refuse(ErrorCode::NoQuorum),
    ];
    for loss in losses {
        let one = node(&[&[Step::Tell(vec![11, 12]), Step::Tell(vec![15]), loss.clone()]]).await;
        let two = node(&[&[Step::Tell(vec![16, 18])]]).await;
        let mut watch = watch(&[&one, &two], 0);
        assert_eq!(
            timeout(LONG, watch.ready()).await.unwrap(),
            Ok(Revision(11))
        );
        assert_eq!(
            revisions(&mut watch, 5).await,
            [11, 12, 15, 16, 18],
            "{loss:?}"
        );
        assert_eq!(
            (one.starts(), two.starts()),
            (vec![0], vec![16]),
            "{loss:?}"
        );
    }
}

#[tokio::test]
async fn a_watch_that_heard_nothing_goes_on_where_it_began() {
    let one = node(&[&[Step::Break], &[Step::Tell(vec![14])]]).await;
    let mut watch = watch(&[&one], 0);
    assert_eq!(revisions(&mut watch, 1).await, [14]);
    assert_eq!(one.starts(), [0, 11]);
}

#[tokio::test]
async fn progress_moves_the_place_where_it_goes_on() {
    let one = node(&[&[Step::Progress(40), Step::Break], &[Step::Tell(vec![44])]]).await;
    let mut watch = watch(&[&one], 12);
    assert_eq!(revisions(&mut watch, 1).await, [44]);
    assert_eq!(one.starts(), [12, 41]);
}

#[tokio::test]
async fn a_revision_that_did_not_come_whole_comes_again_and_once() {
    let one = node(&[
        &[Step::Tell(vec![11]), Step::Piece(vec![12, 12]), Step::Break],
        &[
            Step::Piece(vec![12, 12]),
            Step::Piece(vec![12]),
            Step::Tell(vec![12, 13]),
        ],
    ])
    .await;
    let mut watch = watch(&[&one], 0);
    assert_eq!(revisions(&mut watch, 1).await, [11]);
    let batch = next(&mut watch).await.unwrap();
    let told: Vec<i64> = batch
        .changes
        .iter()
        .map(|change| change.pair.mod_revision.0)
        .collect();
    assert_eq!(told, [12, 12, 12, 12, 13]);
    assert_eq!(one.starts(), [0, 12]);
}

#[tokio::test]
async fn compaction_ends_it_and_says_where_it_can_begin() {
    let one = node(&[&[Step::Compacted(30)]]).await;
    let mut watch = watch(&[&one], 5);
    let error = next(&mut watch).await.unwrap_err();
    let compacted = Revision(30);
    assert_eq!(error, Error::Compacted { compacted });
    assert_eq!(error.code(), ErrorCode::Compacted);
}

#[tokio::test]
async fn what_will_not_pass_ends_it() {
    let one = node(&[&[Step::Tell(vec![11]), Step::Refuse(ErrorCode::KeyTooLarge)]]).await;
    let mut watch = watch(&[&one], 0);
    assert_eq!(revisions(&mut watch, 1).await, [11]);
    assert_eq!(
        next(&mut watch).await.unwrap_err().code(),
        ErrorCode::KeyTooLarge
    );
}

#[tokio::test]
async fn without_any_node_it_gives_up_when_its_patience_ends() {
    let one = node(&[&[Step::Break]]).await;
    let mut watch = watch(&[&one], 0).patient_for(Duration::from_millis(300));
    let error = next(&mut watch).await.unwrap_err();
    assert_eq!(error.code(), ErrorCode::ShuttingDown);
}

#[tokio::test]
async fn a_call_of_next_that_is_dropped_loses_nothing() {
    let one = node(&[&[
        Step::Tell(vec![11]),
        Step::Tell(vec![12]),
        Step::Tell(vec![13]),
    ]])
    .await;
    let mut watch = watch(&[&one], 0);
    timeout(LONG, watch.ready()).await.unwrap().unwrap();
    let mut all = Vec::new();
    while all.len() < 3 {
        tokio::select! {
            biased;
            batch = watch.next() => {
                let batch = batch.unwrap();
                all.extend(batch.changes.iter().map(|change| change.pair.mod_revision.0));
            }
            () = tokio::task::yield_now() => {}
        }
    }
    assert_eq!(all, [11, 12, 13]);
}
