//! What etcd's Watch service refuses, and how watches and streams end.

use hstore_core::error::ErrorCode;
use hstore_proto::etcdserverpb::watch_client::WatchClient;
use hstore_proto::etcdserverpb::{
    CompactionRequest, WatchCreateRequest, WatchRequest, WatchResponse,
};
use hstore_proto::status;
use tokio::sync::mpsc;
use tokio::time::timeout;
use tokio_stream::wrappers::ReceiverStream;
use tonic::Code;

use super::watch::{Talk, put, watch};
use super::{LIMITS, LONG, text, world, world_with};

fn check(answer: &WatchResponse, code: ErrorCode, reason: &str) {
    assert!(answer.canceled && answer.events.is_empty(), "{answer:?}");
    assert_eq!(
        (answer.code.as_str(), answer.cancel_reason.as_str()),
        (code.as_str(), reason)
    );
    assert!(!answer.detail.is_empty(), "{answer:?}");
    assert!(answer.header.is_some());
}

#[tokio::test]
async fn a_watch_is_refused_with_the_reason_and_the_stream_goes_on() {
    let world = world().await;
    let mut talk = Talk::begin(&world).await;
    let named = WatchCreateRequest {
        watch_id: 5,
        ..watch("a")
    };
    talk.create(named.clone()).await;
    assert!(talk.next().await.created);
    let long = "k".repeat(LIMITS.key_bytes_max + 1);
    let span = |key: &str, end: &str| WatchCreateRequest {
        range_end: text(end),
        ..watch(key)
    };
    let table = [
        (named, ErrorCode::InvalidArgument, status::DUPLICATE_WATCH),
        (
            span("b", "a"),
            ErrorCode::InvalidArgument,
            status::EMPTY_WATCH_RANGE,
        ),
        (
            span("b", "b"),
            ErrorCode::InvalidArgument,
            status::EMPTY_WATCH_RANGE,
        ),
        (
            watch(&long),
            ErrorCode::KeyTooLarge,
            status::text(ErrorCode::KeyTooLarge),
        ),
        (
            span("a", &long),
            ErrorCode::KeyTooLarge,
            status::text(ErrorCode::KeyTooLarge),
        ),
        (
            WatchCreateRequest {
                start_revision: -1,
                ..watch("a")
            },
            ErrorCode::Compacted,
            "etcdserver: mvcc: required revision has been compacted",
        ),
    ];
    for (request, code, reason) in table {
        talk.create(request).await;
        let answer = talk.next().await;
        assert_eq!((answer.watch_id, answer.created), (-1, true));
        assert_eq!(answer.compact_revision, 0);
        check(&answer, code, reason);
    }
    put(&world, "a", "1").await;
    let answer = talk.next().await;
    assert_eq!((answer.watch_id, answer.events.len()), (5, 1));
}

#[tokio::test]
async fn history_that_is_gone_ends_a_watch_with_the_revision_to_begin_at() {
    let world = world().await;
    for n in 0..5 {
        put(&world, "a", &n.to_string()).await;
    }
    let compaction = CompactionRequest {
        revision: 4,
        physical: false,
    };
    world.kv().compact(compaction).await.unwrap();
    let mut talk = Talk::begin(&world).await;
    let request = WatchCreateRequest {
        start_revision: 3,
        ..watch("a")
    };
    talk.create(request).await;
    let created = talk.next().await;
    assert!(created.created && !created.canceled);
    let answer = talk.next().await;
    assert_eq!((answer.watch_id, answer.compact_revision), (0, 4));
    assert_eq!(answer.header.as_ref().unwrap().revision, 0, "as in etcd");
    check(&answer, ErrorCode::Compacted, "");
}

#[tokio::test]
async fn one_watch_too_many_is_refused() {
    let world = world_with(|config| config.watches_max = 2).await;
    let mut talk = Talk::begin(&world).await;
    for n in 0..3 {
        talk.create(watch("a")).await;
        let answer = talk.next().await;
        assert_eq!(answer.canceled, n == 2);
        if n == 2 {
            check(
                &answer,
                ErrorCode::Overloaded,
                "etcdserver: too many requests",
            );
        }
    }
    talk.cancel(0).await;
    assert!(talk.next().await.canceled);
    talk.create(watch("a")).await;
    assert!(!talk.next().await.canceled, "what left makes room");
}

#[tokio::test]
async fn a_request_that_is_too_large_ends_the_stream() {
    let world = world().await;
    let (requests, receiver) = mpsc::channel(1);
    let mut answers = WatchClient::new(world.channel.clone())
        .watch(ReceiverStream::new(receiver))
        .await
        .unwrap()
        .into_inner();
    let request = WatchRequest {
        request_union: Some(
            hstore_proto::etcdserverpb::watch_request::RequestUnion::CreateRequest(watch(
                &"k".repeat(64 * 1024),
            )),
        ),
    };
    requests.send(request).await.unwrap();
    let ended = timeout(LONG, answers.message()).await.unwrap().unwrap_err();
    let failure = status::read(&ended);
    assert_eq!(
        (ended.code(), failure.code),
        (Code::InvalidArgument, ErrorCode::RequestTooLarge)
    );
}
