//! What becomes of an outcome on its way to the client.

use bytes::Bytes;
use hstore_core::id::{NodeId, Revision};
use hstore_core::outcome::Reply;
use hstore_core::range::RangeResult;
use hstore_core::record::{Meta, Record};
use hstore_proto::convert::answer::{self, WrongReply};
use hstore_proto::etcdserverpb::response_op::Response;
use hstore_proto::etcdserverpb::{ResponseHeader, TxnResponse};
use hstore_proto::mvccpb::KeyValue;

fn record() -> Record {
    Record {
        key: Bytes::from_static(b"k"),
        value: Bytes::from_static(b"v"),
        meta: Meta {
            create_revision: Revision(2),
            mod_revision: Revision(3),
            sub: 9,
            version: 4,
            lease: 5,
        },
    }
}

fn key_value() -> KeyValue {
    KeyValue {
        key: Bytes::from_static(b"k"),
        create_revision: 2,
        mod_revision: 3,
        version: 4,
        value: Bytes::from_static(b"v"),
        lease: 5,
    }
}

fn header() -> ResponseHeader {
    ResponseHeader {
        cluster_id: 7,
        member_id: 8,
        revision: 9,
        raft_term: 10,
    }
}

fn found() -> RangeResult {
    RangeResult {
        records: vec![record()],
        more: true,
        count: 6,
    }
}

#[test]
fn a_read_answers_its_records_in_order() {
    let response = answer::range(header(), found());
    assert_eq!(response.header, Some(header()));
    assert_eq!(response.kvs, [key_value()]);
    assert!(response.more);
    assert_eq!(response.count, 6);
}

#[test]
fn each_command_answers_what_it_did() {
    let put = answer::put(
        header(),
        Reply::Put {
            previous: Some(record()),
        },
    );
    assert_eq!(put.expect("the kind fits").prev_kv, Some(key_value()));
    let delete = Reply::Delete {
        deleted: 1,
        previous: vec![record()],
    };
    let delete = answer::delete(header(), delete).expect("the kind fits");
    assert_eq!((delete.deleted, delete.prev_kvs), (1, vec![key_value()]));
    let compact = answer::compact(header(), &Reply::Compact).expect("the kind fits");
    assert_eq!(compact.header, Some(header()));
}

/// The revisions in the headers of the steps, inner steps in brackets, as an etcd of version 3.4
/// answered them.
#[test]
fn each_step_of_a_transaction_has_the_revision_that_it_saw() {
    let get = || Reply::Range(found());
    let put = || Reply::Put { previous: None };
    let delete = |deleted| Reply::Delete {
        deleted,
        previous: vec![],
    };
    let txn = |replies| Reply::Txn {
        succeeded: true,
        replies,
    };
    let table = [
        (vec![get(), put(), get(), delete(0)], "8 9 9 9"),
        (vec![delete(0), get(), delete(1), get()], "8 8 9 9"),
        (vec![get(), delete(0)], "9 9"),
        (vec![get(), txn(vec![get(), put()]), get()], "8 0[8 9] 9"),
        (vec![txn(vec![get()])], "0[9]"),
        (vec![], ""),
    ];
    for (replies, revisions) in table {
        let response = answer::txn(header(), txn(replies)).expect("the kind fits");
        assert!(response.succeeded);
        assert_eq!(response.header, Some(header()));
        assert_eq!(describe(&response), revisions);
    }
}

fn describe(txn: &TxnResponse) -> String {
    let steps: Vec<String> = txn
        .responses
        .iter()
        .map(|op| match op.response.as_ref().expect("each has one") {
            Response::ResponseRange(step) => revision(step.header),
            Response::ResponsePut(step) => revision(step.header),
            Response::ResponseDeleteRange(step) => revision(step.header),
            Response::ResponseTxn(inner) => {
                format!("{}[{}]", revision(inner.header), describe(inner))
            }
        })
        .collect();
    steps.join(" ")
}

fn revision(header: Option<ResponseHeader>) -> String {
    let header = header.expect("each has one");
    let alone = ResponseHeader {
        revision: header.revision,
        ..ResponseHeader::default()
    };
    assert_eq!(
        header, alone,
        "a step's header has a revision and nothing else"
    );
    header.revision.to_string()
}

#[test]
fn a_reply_of_another_kind_is_no_answer() {
    assert_eq!(answer::put(header(), Reply::Compact), Err(WrongReply));
    assert_eq!(answer::delete(header(), Reply::Compact), Err(WrongReply));
    assert_eq!(answer::txn(header(), Reply::Compact), Err(WrongReply));
    assert_eq!(
        answer::compact(header(), &Reply::Node(NodeId(1))),
        Err(WrongReply)
    );
    let txn = Reply::Txn {
        succeeded: true,
        replies: vec![Reply::Compact],
    };
    assert_eq!(answer::txn(header(), txn), Err(WrongReply));
}

#[test]
fn a_deletion_is_seen_in_a_history() {
    let line = answer::history_record(record());
    assert!(!line.deleted);
    assert_eq!((line.mod_revision, line.version), (3, 4));
    let tombstone = Record {
        value: Bytes::new(),
        meta: Meta {
            mod_revision: Revision(4),
            ..Meta::default()
        },
        ..record()
    };
    let line = answer::history_record(tombstone);
    assert!(line.deleted);
    assert_eq!((line.mod_revision, line.version), (4, 0));
}
