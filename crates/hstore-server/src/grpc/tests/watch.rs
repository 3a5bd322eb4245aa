//! What etcd's Watch service tells.

use std::time::Duration;

use bytes::Bytes;
use hstore_proto::etcdserverpb::request_op::Request as Step;
use hstore_proto::etcdserverpb::watch_client::WatchClient;
use hstore_proto::etcdserverpb::watch_create_request::FilterType;
use hstore_proto::etcdserverpb::watch_request::RequestUnion;
use hstore_proto::etcdserverpb::{
    CompactionRequest, DeleteRangeRequest, PutRequest, RequestOp, TxnRequest, WatchCancelRequest,
    WatchCreateRequest, WatchProgressRequest, WatchRequest, WatchResponse,
};
use hstore_proto::mvccpb::event::EventType;
use tokio::sync::mpsc;
use tokio::time::timeout;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Code, Status, Streaming};

use super::{LONG, World, text, world, world_with};

/// One stream of watches, as a client has it.
pub(super) struct Talk {
    requests: mpsc::Sender<WatchRequest>,
    answers: Streaming<WatchResponse>,
}

impl Talk {
    pub(super) async fn begin(world: &World) -> Talk {
        let (requests, receiver) = mpsc::channel(64);
        let answers = WatchClient::new(world.channel.clone())
            .watch(ReceiverStream::new(receiver))
            .await
            .unwrap()
            .into_inner();
        Talk { requests, answers }
    }

    pub(super) async fn say(&self, request: Option<RequestUnion>) {
        let request = WatchRequest {
            request_union: request,
        };
        self.requests.send(request).await.unwrap();
    }

    pub(super) async fn create(&self, request: WatchCreateRequest) {
        self.say(Some(RequestUnion::CreateRequest(request))).await;
    }

    pub(super) async fn cancel(&self, watch_id: i64) {
        let cancel = WatchCancelRequest { watch_id };
        self.say(Some(RequestUnion::CancelRequest(cancel))).await;
    }

    async fn ask_progress(&self) {
        let ask = WatchProgressRequest {};
        self.say(Some(RequestUnion::ProgressRequest(ask))).await;
    }

    async fn outcome(&mut self) -> Result<Option<WatchResponse>, Status> {
        timeout(LONG, self.answers.message()).await.unwrap()
    }

    pub(super) async fn next(&mut self) -> WatchResponse {
        self.outcome().await.unwrap().unwrap()
    }

    /// A watch that begins: its first answer says so.
    async fn created(&mut self, request: WatchCreateRequest) -> WatchResponse {
        self.create(request).await;
        let answer = self.next().await;
        assert!(
            answer.created && !answer.canceled && answer.events.is_empty(),
            "{answer:?}"
        );
        answer
    }

    /// The events of one watch until it was told everything up to a revision, in short.
    async fn told(&mut self, watch_id: i64, until: i64) -> Vec<String> {
        let mut told = Vec::new();
        loop {
            let answer = self.next().await;
            assert_eq!(answer.watch_id, watch_id, "{answer:?}");
            assert!(!answer.canceled, "{answer:?}");
            told.extend(answer.events.iter().map(short));
            if !answer.fragment && revision(&answer) >= until {
                return told;
            }
        }
    }
}

fn revision(answer: &WatchResponse) -> i64 {
    answer.header.as_ref().unwrap().revision
}

fn short(event: &hstore_proto::mvccpb::Event) -> String {
    let kv = event.kv.as_ref().unwrap();
    let sign = match event.r#type() {
        EventType::Put => "",
        EventType::Delete => "-",
    };
    let plain = |bytes: &Bytes| String::from_utf8_lossy(bytes).into_owned();
    let replaced = event.prev_kv.as_ref();
    let replaced = replaced.map_or(String::new(), |kv| format!("({})", plain(&kv.value)));
    format!(
        "{sign}{}={}{replaced}@{}",
        plain(&kv.key),
        plain(&kv.value),
        kv.mod_revision
    )
}

pub(super) fn watch(key: &str) -> WatchCreateRequest {
    WatchCreateRequest {
        key: text(key),
        ..WatchCreateRequest::default()
    }
}

fn prefix(key: &str, end: &str) -> WatchCreateRequest {
    WatchCreateRequest {
        range_end: text(end),
        ..watch(key)
    }
}

pub(super) async fn put(world: &World, key: &str, value: &str) {
    let request = PutRequest {
        key: text(key),
        value: text(value),
        ..PutRequest::default()
    };
    world.kv().put(request).await.unwrap();
}

async fn delete(world: &World, key: &str, end: &str) {
    let request = DeleteRangeRequest {
        key: text(key),
        range_end: text(end),
        prev_kv: false,
    };
    world.kv().delete_range(request).await.unwrap();
}

#[tokio::test]
async fn what_happens_after_the_answer_created_is_told_in_order() {
    let world = world().await;
    put(&world, "a", "0").await;
    let mut talk = Talk::begin(&world).await;
    let created = talk.created(watch("a")).await;
    assert_eq!((created.watch_id, revision(&created)), (0, 2));
    assert_eq!(created.header.unwrap().cluster_id, super::CLUSTER.0);
    put(&world, "a", "1").await;
    put(&world, "b", "2").await;
    delete(&world, "a", "").await;
    assert_eq!(talk.told(0, 5).await, ["a=1@3", "-a=@5"]);
}

#[tokio::test]
async fn all_of_a_transaction_comes_at_once() {
    let world = world().await;
    let mut talk = Talk::begin(&world).await;
    talk.created(prefix("\0", "\0")).await;
    let steps = ["a", "b", "c"].map(|key| RequestOp {
        request: Some(Step::RequestPut(PutRequest {
            key: text(key),
            value: text("v"),
            ..PutRequest::default()
        })),
    });
    let txn = TxnRequest {
        success: steps.into(),
        ..TxnRequest::default()
    };
    world.kv().txn(txn).await.unwrap();
    let answer = talk.next().await;
    let told: Vec<_> = answer.events.iter().map(short).collect();
    assert_eq!(told, ["a=v@2", "b=v@2", "c=v@2"]);
}

#[tokio::test]
async fn an_empty_key_is_the_first_one_and_a_zero_end_is_everything_from_there() {
    let world = world().await;
    for key in ["\0", "a", "b"] {
        put(&world, key, "v").await;
    }
    let mut talk = Talk::begin(&world).await;
    let from = |request| WatchCreateRequest {
        start_revision: 1,
        ..request
    };
    let table = [
        (from(watch("")), vec!["\0=v@2"]),
        (from(prefix("", "\0")), vec!["\0=v@2", "a=v@3", "b=v@4"]),
        (from(prefix("a", "\0")), vec!["a=v@3", "b=v@4"]),
        (from(prefix("a", "b")), vec!["a=v@3"]),
    ];
    for (id, (request, expected)) in table.into_iter().enumerate() {
        talk.created(request).await;
        assert_eq!(talk.told(id as i64, 0).await, expected);
    }
}

#[tokio::test]
async fn history_comes_first_whatever_became_of_it_and_what_it_replaced_with_it() {
    let world = world().await;
    for n in 0..300 {
        put(&world, &format!("k{}", n % 3), &n.to_string()).await;
    }
    let mut talk = Talk::begin(&world).await;
    let request = WatchCreateRequest {
        start_revision: 100,
        prev_kv: true,
        ..watch("k1")
    };
    talk.created(request).await;
    put(&world, "k1", "live").await;
    let told = talk.told(0, 302).await;
    let mut expected: Vec<String> = (98..300)
        .filter(|n| n % 3 == 1)
        .map(|n| format!("k1={n}({})@{}", n - 3, n + 2))
        .collect();
    expected.push("k1=live(298)@302".to_owned());
    assert_eq!(told, expected);
}

#[tokio::test]
async fn filters_leave_out_a_kind_of_event() {
    let world = world().await;
    let mut talk = Talk::begin(&world).await;
    for filter in [FilterType::Noput, FilterType::Nodelete] {
        let request = WatchCreateRequest {
            filters: vec![filter.into()],
            ..watch("a")
        };
        talk.created(request).await;
    }
    put(&world, "a", "1").await;
    delete(&world, "a", "").await;
    let mut told = Vec::new();
    while told.len() < 2 {
        let answer = talk.next().await;
        let events = answer.events.iter().map(short);
        told.extend(events.map(|event| format!("{}: {event}", answer.watch_id)));
    }
    told.sort();
    assert_eq!(told, ["0: -a=@3", "1: a=1@2"]);
}

#[tokio::test]
async fn a_watch_that_was_canceled_is_silent_and_the_others_go_on() {
    let world = world().await;
    let mut talk = Talk::begin(&world).await;
    talk.created(watch("a")).await;
    talk.created(watch("a")).await;
    talk.cancel(77).await;
    talk.say(None).await;
    talk.cancel(0).await;
    let answer = talk.next().await;
    assert_eq!((answer.watch_id, answer.canceled), (0, true));
    assert_eq!(
        (answer.compact_revision, answer.cancel_reason.as_str()),
        (0, "")
    );
    put(&world, "a", "1").await;
    assert_eq!(talk.told(1, 2).await, ["a=1@2"]);
}

#[tokio::test]
async fn a_client_that_asks_for_nothing_more_hears_on() {
    let world = world().await;
    let mut talk = Talk::begin(&world).await;
    talk.created(watch("a")).await;
    let (closed, _receiver) = mpsc::channel(1);
    talk.requests = closed;
    for n in 0..3 {
        put(&world, "a", &n.to_string()).await;
    }
    assert_eq!(talk.told(0, 4).await, ["a=0@2", "a=1@3", "a=2@4"]);
}

#[tokio::test]
async fn progress_that_was_asked_for_comes_behind_the_events_it_covers() {
    let world = world().await;
    for n in 0..50 {
        put(&world, "a", &n.to_string()).await;
    }
    let mut talk = Talk::begin(&world).await;
    let request = WatchCreateRequest {
        start_revision: 2,
        ..watch("a")
    };
    talk.create(request).await;
    talk.create(watch("b")).await;
    talk.ask_progress().await;
    let mut events = 0;
    loop {
        let answer = talk.next().await;
        events += answer.events.len();
        if answer.watch_id == -1 {
            assert_eq!((revision(&answer), events), (51, 50));
            assert!(answer.events.is_empty() && !answer.created && !answer.canceled);
            return;
        }
    }
}

#[tokio::test]
async fn a_quiet_watch_says_how_far_it_is_when_asked_to() {
    let often = |config: &mut hstore_node::NodeConfig| {
        config.watch_progress_interval = Duration::from_millis(20);
    };
    let world = world_with(often).await;
    let mut talk = Talk::begin(&world).await;
    talk.created(watch("a")).await;
    let request = WatchCreateRequest {
        progress_notify: true,
        ..watch("a")
    };
    talk.created(request).await;
    put(&world, "b", "1").await;
    loop {
        let answer = talk.next().await;
        assert_eq!(answer.watch_id, 1, "the other one did not ask");
        assert!(answer.events.is_empty() && !answer.canceled);
        if revision(&answer) == 2 {
            return;
        }
    }
}

#[tokio::test]
async fn a_large_answer_is_cut_only_where_that_was_asked_for() {
    let world = world().await;
    let value = "v".repeat(3000);
    for n in 0..250 {
        put(&world, &format!("k{n:03}"), &value).await;
    }
    let mut talk = Talk::begin(&world).await;
    for fragment in [false, true] {
        let request = WatchCreateRequest {
            prev_kv: true,
            fragment,
            ..prefix("k", "l")
        };
        talk.created(request).await;
    }
    delete(&world, "k", "l").await;
    let (mut whole, mut pieces) = (Vec::new(), Vec::new());
    let mut done = 0;
    while done < 2 {
        let answer = talk.next().await;
        done += u32::from(!answer.fragment);
        match answer.watch_id {
            0 => whole.push(answer),
            _ => pieces.push(answer),
        }
    }
    assert_eq!(whole.len(), 1);
    assert_eq!(whole[0].events.len(), 250);
    assert!(pieces.len() > 1);
    let (last, others) = pieces.split_last().unwrap();
    assert!(!last.fragment && others.iter().all(|piece| piece.fragment));
    let joined: Vec<_> = pieces
        .iter()
        .flat_map(|piece| piece.events.clone())
        .collect();
    assert_eq!(joined, whole[0].events);
    assert!(joined.iter().all(|event| event.prev_kv.is_some()));
}

#[tokio::test]
async fn a_start_in_the_future_hears_nothing_earlier() {
    let world = world().await;
    let mut talk = Talk::begin(&world).await;
    let request = WatchCreateRequest {
        start_revision: 4,
        ..watch("a")
    };
    talk.created(request).await;
    for n in 0..4 {
        put(&world, "a", &n.to_string()).await;
    }
    assert_eq!(talk.told(0, 5).await, ["a=2@4", "a=3@5"]);
}

#[tokio::test]
async fn a_listener_that_does_not_read_holds_up_nobody_and_misses_nothing() {
    let world = world().await;
    let mut slow = Talk::begin(&world).await;
    let mut fast = Talk::begin(&world).await;
    slow.created(prefix("k", "l")).await;
    fast.created(prefix("k", "l")).await;
    let value = "v".repeat(3500);
    let mut expected = Vec::new();
    for n in 0..1500 {
        put(&world, "k", &value).await;
        expected.push(format!("k={value}@{}", n + 2));
    }
    assert_eq!(fast.told(0, 1501).await, expected);
    assert_eq!(slow.told(0, 1501).await, expected);
}

#[tokio::test]
async fn a_node_that_stops_sends_its_listeners_elsewhere() {
    let world = world().await;
    let mut talk = Talk::begin(&world).await;
    talk.created(watch("a")).await;
    let soon = tokio::time::Instant::now() + LONG;
    world.node.stop(soon).await;
    let status = talk.outcome().await.unwrap_err();
    assert_eq!(status.code(), Code::Unavailable);
    assert_eq!(status.message(), "etcdserver: server stopped");
    let (_requests, receiver) = mpsc::channel::<WatchRequest>(1);
    let refused = WatchClient::new(world.channel.clone())
        .watch(ReceiverStream::new(receiver))
        .await
        .unwrap_err();
    assert_eq!(refused.code(), Code::Unavailable);
}

#[tokio::test]
async fn compaction_ends_no_watch_that_keeps_up() {
    let world = world().await;
    let mut talk = Talk::begin(&world).await;
    talk.created(watch("a")).await;
    for n in 0..5 {
        put(&world, "a", &n.to_string()).await;
    }
    let compaction = CompactionRequest {
        revision: 6,
        physical: false,
    };
    world.kv().compact(compaction).await.unwrap();
    put(&world, "a", "after").await;
    let told = talk.told(0, 7).await;
    assert_eq!(told.len(), 6);
    assert_eq!(told[5], "a=after@7");
}

#[tokio::test]
async fn ten_thousand_watches_of_a_node_are_told_what_is_theirs_and_nothing_else() {
    const STREAMS: i64 = 10;
    const WATCHES: i64 = 1000;
    let world = world().await;
    let mut talks = Vec::new();
    for stream in 0..STREAMS {
        let mut talk = Talk::begin(&world).await;
        for first in (0..WATCHES).step_by(50) {
            for id in first..first + 50 {
                // Every second one shares its key with all the others.
                let own = format!("own/{stream}/{id}");
                talk.create(watch(if id % 2 == 0 { "all" } else { &own }))
                    .await;
            }
            for id in first..first + 50 {
                let answer = talk.next().await;
                assert!(answer.created && answer.watch_id == id, "{answer:?}");
            }
        }
        talks.push(talk);
    }
    put(&world, "all", "1").await;
    for stream in 0..STREAMS {
        put(&world, &format!("own/{stream}/{}", 2 * stream + 1), "2").await;
        put(&world, "nobody's", "3").await;
    }
    for (talk, stream) in talks.iter_mut().zip(0..) {
        let mut told = Vec::new();
        for _ in 0..=WATCHES / 2 {
            let answer = talk.next().await;
            told.push((
                answer.watch_id,
                answer.events.iter().map(short).collect::<Vec<_>>(),
            ));
        }
        told.sort_unstable();
        let own = 2 * stream + 1;
        let of_own = format!("own/{stream}/{own}=2@{}", 3 + 2 * stream);
        let all = (0..WATCHES)
            .step_by(2)
            .map(|id| (id, vec!["all=1@2".to_owned()]));
        let mut expected: Vec<_> = all.chain([(own, vec![of_own])]).collect();
        expected.sort_unstable();
        assert_eq!(told, expected, "stream {stream}");
    }
}
