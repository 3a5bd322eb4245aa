//! What the KV services answer when nothing is wrong.

use hstore_proto::etcdserverpb::compare::{CompareResult, CompareTarget, TargetUnion};
use hstore_proto::etcdserverpb::range_request::{SortOrder, SortTarget};
use hstore_proto::etcdserverpb::request_op::Request as Step;
use hstore_proto::etcdserverpb::response_op::Response as Done;
use hstore_proto::etcdserverpb::{
    CompactionRequest, Compare, DeleteRangeRequest, PutRequest, RangeRequest, RequestOp, TxnRequest,
};
use hstore_proto::hstore::v1;
use hstore_proto::hstore::v1::HistoryRequest;
use hstore_proto::metadata;
use hstore_proto::mvccpb::KeyValue;
use tonic::{Code, Request};

use super::{CLUSTER, World, text, world};

fn put(key: &str, value: &str) -> PutRequest {
    PutRequest {
        key: text(key),
        value: text(value),
        ..PutRequest::default()
    }
}

fn all() -> RangeRequest {
    RangeRequest {
        key: text("\0"),
        range_end: text("\0"),
        ..RangeRequest::default()
    }
}

fn keys(kvs: &[KeyValue]) -> Vec<&str> {
    kvs.iter()
        .map(|kv| std::str::from_utf8(&kv.key).unwrap())
        .collect()
}

/// a=1, b=2, c=3, then b=4: revisions 2 to 5.
async fn filled() -> World {
    let world = world().await;
    for (key, value) in [("a", "1"), ("b", "2"), ("c", "3"), ("b", "4")] {
        world.kv().put(put(key, value)).await.unwrap();
    }
    world
}

#[tokio::test]
async fn a_put_is_read_back_with_its_revisions() {
    let world = world().await;
    let response = world.kv().put(put("k", "v")).await.unwrap().into_inner();
    let header = response.header.unwrap();
    assert_eq!(header.cluster_id, CLUSTER.0);
    assert_eq!((header.member_id, header.revision), (1, 2));
    assert!(header.raft_term > 0);
    assert_eq!(response.prev_kv, None);

    let mut again = put("k", "w");
    again.prev_kv = true;
    let response = world.kv().put(again).await.unwrap().into_inner();
    assert_eq!(response.prev_kv.unwrap().value, "v");

    for serializable in [false, true] {
        let request = RangeRequest {
            key: text("k"),
            serializable,
            ..RangeRequest::default()
        };
        let response = world.kv().range(request).await.unwrap().into_inner();
        assert_eq!(response.header.unwrap().revision, 3);
        assert_eq!((response.count, response.more), (1, false));
        let expected = KeyValue {
            key: text("k"),
            create_revision: 2,
            mod_revision: 3,
            version: 2,
            value: text("w"),
            lease: 0,
        };
        assert_eq!(response.kvs, [expected]);
    }
}

#[tokio::test]
async fn a_range_is_ordered_limited_and_filtered_as_asked() {
    let world = filled().await;
    let by_mod = |order: SortOrder| RangeRequest {
        sort_order: order.into(),
        sort_target: SortTarget::Mod.into(),
        ..all()
    };
    let table: [(RangeRequest, &[&str], bool); 8] = [
        (all(), &["a", "b", "c"], false),
        (RangeRequest { limit: 2, ..all() }, &["a", "b"], true),
        (RangeRequest { limit: -2, ..all() }, &["a", "b", "c"], false),
        (by_mod(SortOrder::None), &["a", "c", "b"], false),
        (by_mod(SortOrder::Descend), &["b", "c", "a"], false),
        (
            RangeRequest {
                limit: 1,
                ..by_mod(SortOrder::Descend)
            },
            &["b"],
            true,
        ),
        (
            RangeRequest {
                min_mod_revision: 4,
                ..all()
            },
            &["b", "c"],
            false,
        ),
        (
            RangeRequest {
                count_only: true,
                ..all()
            },
            &[],
            false,
        ),
    ];
    for (request, expected, more) in table {
        let response = world
            .kv()
            .range(request.clone())
            .await
            .unwrap()
            .into_inner();
        assert_eq!(keys(&response.kvs), expected, "{request:?}");
        assert_eq!((response.count, response.more), (3, more), "{request:?}");
    }
    let past = RangeRequest {
        revision: 3,
        keys_only: true,
        ..all()
    };
    let response = world.kv().range(past).await.unwrap().into_inner();
    assert_eq!(keys(&response.kvs), ["a", "b"]);
    assert!(response.kvs.iter().all(|kv| kv.value.is_empty()));
    assert_eq!(response.header.unwrap().revision, 5);
}

#[tokio::test]
async fn a_deletion_answers_what_it_deleted() {
    let world = filled().await;
    let request = DeleteRangeRequest {
        key: text("b"),
        range_end: text("z"),
        prev_kv: true,
    };
    let response = world
        .kv()
        .delete_range(request.clone())
        .await
        .unwrap()
        .into_inner();
    assert_eq!(response.deleted, 2);
    assert_eq!(keys(&response.prev_kvs), ["b", "c"]);
    assert_eq!(response.header.unwrap().revision, 6);
    // Nothing is left, so nothing changes.
    let response = world.kv().delete_range(request).await.unwrap().into_inner();
    assert_eq!(
        (response.deleted, response.header.unwrap().revision),
        (0, 6)
    );
}

#[tokio::test]
async fn a_transaction_runs_the_branch_that_its_comparisons_choose() {
    let world = filled().await;
    let step = |request: Step| RequestOp {
        request: Some(request),
    };
    let read = |key: &str| {
        step(Step::RequestRange(RangeRequest {
            key: text(key),
            ..RangeRequest::default()
        }))
    };
    let request = |version: i64| TxnRequest {
        compare: vec![Compare {
            result: CompareResult::Equal.into(),
            target: CompareTarget::Version.into(),
            key: text("b"),
            target_union: Some(TargetUnion::Version(version)),
            ..Compare::default()
        }],
        success: vec![
            step(Step::RequestPut(put("d", "5"))),
            read("d"),
            step(Step::RequestTxn(TxnRequest {
                success: vec![step(Step::RequestDeleteRange(DeleteRangeRequest {
                    key: text("a"),
                    ..DeleteRangeRequest::default()
                }))],
                ..TxnRequest::default()
            })),
        ],
        failure: vec![read("b")],
    };
    let held = world.kv().txn(request(2)).await.unwrap().into_inner();
    assert!(held.succeeded);
    assert_eq!(held.header.unwrap().revision, 6);
    let responses: Vec<_> = held.responses.into_iter().map(|op| op.response).collect();
    let [
        Some(Done::ResponsePut(_)),
        Some(Done::ResponseRange(seen)),
        Some(Done::ResponseTxn(inner)),
    ] = &responses[..]
    else {
        panic!("{responses:?}");
    };
    assert_eq!(
        (seen.kvs[0].value.clone(), seen.kvs[0].mod_revision),
        (text("5"), 6)
    );
    assert!(inner.succeeded);

    let not_held = world.kv().txn(request(9)).await.unwrap().into_inner();
    assert!(!not_held.succeeded);
    // It read only, so the revision stays.
    assert_eq!(not_held.header.unwrap().revision, 6);
    assert_eq!(not_held.responses.len(), 1);
    let response = world.kv().range(all()).await.unwrap().into_inner();
    assert_eq!(keys(&response.kvs), ["b", "c", "d"]);
}

#[tokio::test]
async fn a_compaction_drops_the_past_and_keeps_the_present() {
    let world = filled().await;
    let request = CompactionRequest {
        revision: 4,
        physical: true,
    };
    let response = world.kv().compact(request).await.unwrap().into_inner();
    assert_eq!(response.header.unwrap().revision, 5);
    let at = |revision| RangeRequest { revision, ..all() };
    assert_eq!(
        world.kv().range(at(3)).await.unwrap_err().code(),
        Code::OutOfRange
    );
    let response = world.kv().range(at(4)).await.unwrap().into_inner();
    assert_eq!(keys(&response.kvs), ["a", "b", "c"]);
}

#[tokio::test]
async fn a_retry_under_the_same_request_id_is_applied_once() {
    let world = world().await;
    let request = |sequence: u64, value: &str| {
        let mut request = Request::new(put("k", value));
        let id = format!("abc-{sequence:x}-1-0");
        request
            .metadata_mut()
            .insert(metadata::REQUEST, id.parse().unwrap());
        request
    };
    for _attempt in 0..3 {
        let response = world.kv().put(request(1, "v")).await.unwrap().into_inner();
        assert_eq!(response.header.unwrap().revision, 2);
    }
    let response = world.kv().put(request(2, "w")).await.unwrap().into_inner();
    assert_eq!(response.header.unwrap().revision, 3);
    // The first one's late twin still answers what it did, and does nothing.
    let response = world.kv().put(request(1, "v")).await.unwrap().into_inner();
    assert_eq!(response.header.unwrap().revision, 2);
    let response = world.kv().range(all()).await.unwrap().into_inner();
    assert_eq!(
        (response.kvs[0].version, response.kvs[0].value.clone()),
        (2, text("w"))
    );
}

#[tokio::test]
async fn a_history_goes_back_page_by_page_deletions_included() {
    let world = filled().await;
    let delete = DeleteRangeRequest {
        key: text("b"),
        ..DeleteRangeRequest::default()
    };
    world.kv().delete_range(delete).await.unwrap();
    let mut client = v1::kv_client::KvClient::new(world.channel.clone());
    let mut seen = Vec::new();
    let mut before_revision = 0;
    loop {
        let request = HistoryRequest {
            key: text("b"),
            limit: 2,
            before_revision,
        };
        let page = client.history(request).await.unwrap().into_inner();
        assert_eq!(page.revision, 6);
        for record in &page.records {
            seen.push((record.mod_revision, record.deleted, record.value.clone()));
        }
        before_revision = page.records.last().unwrap().mod_revision;
        if !page.more {
            break;
        }
    }
    let expected = [
        (6, true, text("")),
        (5, false, text("4")),
        (3, false, text("2")),
    ];
    assert_eq!(seen, expected);
}
