//! What becomes of an outcome on its way to the client.

use bytes::Bytes;
use hstore_core::id::{NodeId, Revision};
use hstore_core::outcome::Reply;
use hstore_core::range::RangeResult;
use hstore_core::record::{Meta, Record};
use hstore_proto::convert::answer::{self, WrongReply};
use hstore_proto::etcdserverpb::ResponseHeader;
use hstore_proto::etcdserverpb::response_op::Response;
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

#[test]
fn a_transaction_answers_each_step_with_the_revision_alone() {
    let inner = Reply::Txn {
        succeeded: false,
        replies: vec![Reply::Put { previous: None }],
    };
    let delete = Reply::Delete {
        deleted: 0,
        previous: vec![],
    };
    let txn = Reply::Txn {
        succeeded: true,
        replies: vec![Reply::Range(found()), delete, inner],
    };
    let txn = answer::txn(header(), txn).expect("the kind fits");
    assert!(txn.succeeded);
    assert_eq!(txn.header, Some(header()));
    let revision = Some(ResponseHeader {
        revision: 9,
        ..ResponseHeader::default()
    });
    let responses: Vec<_> = txn.responses.into_iter().map(|op| op.response).collect();
    let [
        Some(Response::ResponseRange(range)),
        Some(Response::ResponseDeleteRange(delete)),
        Some(Response::ResponseTxn(inner)),
    ] = &responses[..]
    else {
        panic!("{responses:?}");
    };
    assert_eq!(range.header, revision);
    assert_eq!(delete.header, revision);
    assert_eq!(inner.header, revision);
    assert!(!inner.succeeded);
    assert_eq!(inner.responses.len(), 1);
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
