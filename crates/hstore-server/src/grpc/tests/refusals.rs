//! What the KV services refuse, with the code, the text and the stable code that travel.

use bytes::Bytes;
use hstore_core::machine::TOLD_BYTES_MAX;
use hstore_proto::etcdserverpb::request_op::Request as Step;
use hstore_proto::etcdserverpb::{
    CompactionRequest, Compare, DeleteRangeRequest, PutRequest, RangeRequest, RequestOp, TxnRequest,
};
use hstore_proto::hstore::v1::HistoryRequest;
use hstore_proto::hstore::v1::kv_client::KvClient as HistoryClient;
use hstore_proto::hstore::v1::peer_client::PeerClient;
use hstore_proto::metadata;
use hstore_proto::status::{self, Origin};
use tonic::{Code, Request, Status};

use super::{LIMITS, text, world};

const EMPTY_KEY: (Code, &str, &str) = (
    Code::InvalidArgument,
    "etcdserver: key is not provided",
    "empty_key",
);
const KEY_TOO_LARGE: (Code, &str, &str) = (
    Code::InvalidArgument,
    "hstore: the key is too large",
    "key_too_large",
);
const TOO_LARGE: (Code, &str, &str) = (
    Code::InvalidArgument,
    "etcdserver: request is too large",
    "request_too_large",
);
const TOO_MANY: (Code, &str, &str) = (
    Code::InvalidArgument,
    "etcdserver: too many operations in txn request",
    "too_many_operations",
);
const DUPLICATE: (Code, &str, &str) = (
    Code::InvalidArgument,
    "etcdserver: duplicate key given in txn request",
    "duplicate_key",
);
const INVALID_SORT: (Code, &str, &str) = (
    Code::InvalidArgument,
    "etcdserver: invalid sort option",
    "invalid_argument",
);
const COMPACTED: (Code, &str, &str) = (
    Code::OutOfRange,
    "etcdserver: mvcc: required revision has been compacted",
    "compacted",
);
const FUTURE: (Code, &str, &str) = (
    Code::OutOfRange,
    "etcdserver: mvcc: required revision is a future revision",
    "future_revision",
);

fn put() -> PutRequest {
    PutRequest {
        key: text("k"),
        value: text("v"),
        ..PutRequest::default()
    }
}

fn range() -> RangeRequest {
    RangeRequest {
        key: text("k"),
        ..RangeRequest::default()
    }
}

fn steps(steps: impl IntoIterator<Item = Step>) -> TxnRequest {
    TxnRequest {
        success: steps
            .into_iter()
            .map(|step| RequestOp {
                request: Some(step),
            })
            .collect(),
        ..TxnRequest::default()
    }
}

fn long_key() -> Bytes {
    Bytes::from(vec![b'k'; LIMITS.key_bytes_max + 1])
}

fn check(status: &Status, expected: (Code, &str, &str)) {
    let failure = status::read(status);
    let told = (status.code(), status.message(), failure.code.as_str());
    assert_eq!(told, expected, "{status:?}");
    assert_eq!(failure.origin, Origin::Node, "{status:?}");
    assert!(!failure.detail.is_empty(), "{status:?}");
}

#[tokio::test]
async fn a_put_is_refused_with_the_reason() {
    let world = world().await;
    let value = |bytes: usize| Bytes::from(vec![b'v'; bytes]);
    let table = [
        (
            PutRequest {
                key: text(""),
                ..put()
            },
            EMPTY_KEY,
        ),
        (
            PutRequest {
                key: long_key(),
                ..put()
            },
            KEY_TOO_LARGE,
        ),
        (
            PutRequest {
                value: value(LIMITS.request_bytes_max),
                ..put()
            },
            TOO_LARGE,
        ),
        // So large that its message is refused before it is read.
        (
            PutRequest {
                value: value(2 * 1024 * 1024),
                ..put()
            },
            TOO_LARGE,
        ),
        (
            PutRequest {
                ignore_value: true,
                ..put()
            },
            (
                Code::InvalidArgument,
                "etcdserver: value is provided",
                "invalid_argument",
            ),
        ),
        (
            PutRequest {
                lease: 1,
                ignore_lease: true,
                ..put()
            },
            (
                Code::InvalidArgument,
                "etcdserver: lease is provided",
                "invalid_argument",
            ),
        ),
        (
            PutRequest {
                value: text(""),
                ignore_value: true,
                ..put()
            },
            (
                Code::InvalidArgument,
                "etcdserver: key not found",
                "key_not_found",
            ),
        ),
        (
            PutRequest { lease: 1, ..put() },
            (
                Code::NotFound,
                "etcdserver: requested lease not found",
                "lease_not_found",
            ),
        ),
    ];
    for (request, expected) in table {
        check(&world.kv().put(request).await.unwrap_err(), expected);
    }
    // Nothing of all that was written.
    let response = world.kv().range(range()).await.unwrap().into_inner();
    assert_eq!((response.count, response.header.unwrap().revision), (0, 1));
}

#[tokio::test]
async fn a_read_is_refused_with_the_reason() {
    let world = world().await;
    for _write in 0..4 {
        world.kv().put(put()).await.unwrap();
    }
    let compaction = CompactionRequest {
        revision: 3,
        physical: false,
    };
    world.kv().compact(compaction).await.unwrap();
    let table = [
        (
            RangeRequest {
                key: text(""),
                ..range()
            },
            EMPTY_KEY,
        ),
        (
            RangeRequest {
                key: long_key(),
                ..range()
            },
            KEY_TOO_LARGE,
        ),
        (
            RangeRequest {
                sort_order: 3,
                ..range()
            },
            INVALID_SORT,
        ),
        (
            RangeRequest {
                sort_target: 5,
                ..range()
            },
            INVALID_SORT,
        ),
        (
            RangeRequest {
                revision: 2,
                ..range()
            },
            COMPACTED,
        ),
        (
            RangeRequest {
                revision: 6,
                ..range()
            },
            FUTURE,
        ),
    ];
    for (request, expected) in table {
        for serializable in [false, true] {
            let request = RangeRequest {
                serializable,
                ..request.clone()
            };
            check(&world.kv().range(request).await.unwrap_err(), expected);
        }
    }
    let compact = |revision| CompactionRequest {
        revision,
        physical: false,
    };
    for (revision, expected) in [(2, COMPACTED), (3, COMPACTED), (6, FUTURE)] {
        let refused = world.kv().compact(compact(revision)).await.unwrap_err();
        check(&refused, expected);
    }
    let mut history = HistoryClient::new(world.channel.clone());
    let refused = history.history(HistoryRequest::default()).await;
    check(&refused.unwrap_err(), EMPTY_KEY);
}

#[tokio::test]
async fn a_deletion_is_refused_with_the_reason() {
    let world = world().await;
    for (key, expected) in [(text(""), EMPTY_KEY), (long_key(), KEY_TOO_LARGE)] {
        let request = DeleteRangeRequest {
            key,
            ..DeleteRangeRequest::default()
        };
        check(
            &world.kv().delete_range(request).await.unwrap_err(),
            expected,
        );
    }
}

#[tokio::test]
async fn a_transaction_is_refused_as_a_whole_with_the_reason() {
    let world = world().await;
    let read = || Step::RequestRange(range());
    let write = || Step::RequestPut(put());
    let many = steps((0..=LIMITS.txn_operations_max).map(|_| read()));
    let deep = steps([Step::RequestTxn(steps([Step::RequestTxn(steps([]))]))]);
    let large = steps((0..3).map(|number| {
        Step::RequestPut(PutRequest {
            key: text(&format!("k{number}")),
            value: Bytes::from(vec![b'v'; LIMITS.request_bytes_max / 2]),
            ..put()
        })
    }));
    let compare = |compare: Compare| TxnRequest {
        compare: vec![compare],
        ..TxnRequest::default()
    };
    let table: [(TxnRequest, (Code, &str, &str)); 11] = [
        (compare(Compare::default()), EMPTY_KEY),
        (
            compare(Compare {
                key: text("k"),
                result: 9,
                ..Compare::default()
            }),
            (
                Code::InvalidArgument,
                "hstore: the request makes no sense",
                "invalid_argument",
            ),
        ),
        (
            TxnRequest {
                failure: vec![RequestOp { request: None }],
                ..TxnRequest::default()
            },
            (
                Code::InvalidArgument,
                "etcdserver: key not found",
                "invalid_argument",
            ),
        ),
        (many, TOO_MANY),
        (deep, TOO_MANY),
        (large, TOO_LARGE),
        (steps([write(), write()]), DUPLICATE),
        (
            steps([Step::RequestRange(RangeRequest {
                sort_target: 9,
                ..range()
            })]),
            INVALID_SORT,
        ),
        (
            steps([
                write(),
                Step::RequestRange(RangeRequest {
                    revision: 9,
                    ..range()
                }),
            ]),
            FUTURE,
        ),
        (
            steps([
                Step::RequestPut(PutRequest {
                    key: text("a"),
                    ..put()
                }),
                Step::RequestPut(PutRequest {
                    value: text(""),
                    ignore_value: true,
                    ..put()
                }),
            ]),
            (
                Code::InvalidArgument,
                "etcdserver: key not found",
                "key_not_found",
            ),
        ),
        (
            steps([Step::RequestPut(PutRequest { lease: 1, ..put() })]),
            (
                Code::NotFound,
                "etcdserver: requested lease not found",
                "lease_not_found",
            ),
        ),
    ];
    for (request, expected) in table {
        check(&world.kv().txn(request).await.unwrap_err(), expected);
    }
    let everything = RangeRequest {
        key: text("\0"),
        range_end: text("\0"),
        ..RangeRequest::default()
    };
    let response = world.kv().range(everything).await.unwrap().into_inner();
    assert_eq!((response.count, response.header.unwrap().revision), (0, 1));
}

#[tokio::test]
async fn a_request_id_that_makes_no_sense_is_refused() {
    let world = world().await;
    let mut request = Request::new(put());
    request
        .metadata_mut()
        .insert(metadata::REQUEST, "not-an-id".parse().unwrap());
    let expected = (
        Code::InvalidArgument,
        "hstore: the request makes no sense",
        "invalid_argument",
    );
    check(&world.kv().put(request).await.unwrap_err(), expected);
}

#[tokio::test]
async fn what_is_not_served_here_is_unsupported() {
    let world = world().await;
    let mut peer = PeerClient::new(world.channel.clone());
    let refused = peer.open(futures::stream::empty()).await.unwrap_err();
    let expected = (
        Code::Unimplemented,
        "hstore: this version does not do that",
        "unsupported",
    );
    check(&refused, expected);
    let detail = status::read(&refused).detail;
    assert!(detail.contains("/hstore.v1.Peer/Open"), "{detail}");
}

const UNTOLD: (Code, &str, &str) = (
    Code::ResourceExhausted,
    "hstore: it was done, and the answer is too large to be told",
    "answer_untold",
);

/// A request of a few hundred bytes could otherwise ask for as much as one likes.
#[tokio::test]
async fn what_shows_too_much_is_done_and_the_answer_says_so() {
    let world = world().await;
    let value = Bytes::from(vec![b'v'; LIMITS.request_bytes_max / 2]);
    let steps_max = LIMITS.txn_operations_max;
    let enough = TOLD_BYTES_MAX / (value.len() * (steps_max - 1)) + 1;
    for n in 0..enough {
        let put = PutRequest {
            key: text(&format!("large/{n}")),
            value: value.clone(),
            ..PutRequest::default()
        };
        world.kv().put(put).await.unwrap();
    }
    let large = RangeRequest {
        key: text("large/"),
        range_end: text("large0"),
        ..RangeRequest::default()
    };
    let ranges = std::iter::repeat_n(Step::RequestRange(large), steps_max - 1);
    let txn = steps([Step::RequestPut(put())].into_iter().chain(ranges));
    let status = world.kv().txn(txn).await.unwrap_err();
    check(&status, UNTOLD);
    let written = world.kv().range(range()).await.unwrap().into_inner();
    assert_eq!(written.kvs[0].value, "v");
    let revision = written.header.unwrap().revision;
    assert_eq!(written.kvs[0].mod_revision, revision);
    let detail = status::read(&status).detail;
    assert!(
        detail.contains(&format!("at revision {revision};")),
        "{detail}"
    );
}
