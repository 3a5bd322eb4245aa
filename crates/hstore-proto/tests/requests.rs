//! What becomes of a request at the door: the command it means, or why it is none.

use bytes::Bytes;
use hstore_core::check::Violation;
use hstore_core::command::{self, CompareTarget, Operation, Relation};
use hstore_core::id::Revision;
use hstore_core::key::KeyRange;
use hstore_core::limits::Limits;
use hstore_core::range::{Filter, Range, Sort, SortTarget};
use hstore_proto::convert::request::{self, RequestError};
use hstore_proto::etcdserverpb::compare::TargetUnion;
use hstore_proto::etcdserverpb::request_op::Request;
use hstore_proto::etcdserverpb::{
    CompactionRequest, Compare, DeleteRangeRequest, PutRequest, RangeRequest, RequestOp, TxnRequest,
};
use prost::Message;

const LIMITS: Limits = Limits {
    request_bytes_max: 64,
    key_bytes_max: 8,
    txn_operations_max: 3,
    txn_depth_max: 2,
};

fn text(text: &'static str) -> Bytes {
    Bytes::from_static(text.as_bytes())
}

fn range() -> RangeRequest {
    RangeRequest {
        key: text("k"),
        ..RangeRequest::default()
    }
}

fn put() -> PutRequest {
    PutRequest {
        key: text("k"),
        ..PutRequest::default()
    }
}

fn delete() -> DeleteRangeRequest {
    DeleteRangeRequest {
        key: text("k"),
        ..DeleteRangeRequest::default()
    }
}

fn compare() -> Compare {
    Compare {
        key: text("k"),
        ..Compare::default()
    }
}

fn step(request: impl Into<Option<Request>>) -> RequestOp {
    RequestOp {
        request: request.into(),
    }
}

fn when(compare: Compare) -> TxnRequest {
    TxnRequest {
        compare: vec![compare],
        ..TxnRequest::default()
    }
}

fn then(steps: impl IntoIterator<Item = Request>) -> TxnRequest {
    TxnRequest {
        success: steps.into_iter().map(step).collect(),
        ..TxnRequest::default()
    }
}

#[test]
fn every_field_of_a_range_has_its_meaning() {
    let plain = || Range::of(KeyRange::One(text("k")));
    let sort = |target, descending| Range {
        sort: Sort { target, descending },
        ..plain()
    };
    let sorted = |order, target| RangeRequest {
        sort_order: order,
        sort_target: target,
        ..range()
    };
    let table = [
        (range(), plain()),
        (
            RangeRequest {
                range_end: text("m"),
                ..range()
            },
            Range::of(KeyRange::Span {
                start: text("k"),
                end: text("m"),
            }),
        ),
        (
            RangeRequest {
                range_end: text("\0"),
                ..range()
            },
            Range::of(KeyRange::From(text("k"))),
        ),
        (
            RangeRequest {
                limit: 7,
                revision: 5,
                keys_only: true,
                count_only: true,
                uncounted: true,
                ..range()
            },
            Range {
                limit: 7,
                revision: Revision(5),
                keys_only: true,
                count_only: true,
                uncounted: true,
                ..plain()
            },
        ),
        // Below zero is no limit and the current revision.
        (
            RangeRequest {
                limit: -7,
                revision: -5,
                ..range()
            },
            plain(),
        ),
        (
            RangeRequest {
                min_mod_revision: 1,
                max_mod_revision: 2,
                min_create_revision: 3,
                max_create_revision: 4,
                ..range()
            },
            Range {
                filter: Filter {
                    mod_revision_min: Revision(1),
                    mod_revision_max: Revision(2),
                    create_revision_min: Revision(3),
                    create_revision_max: Revision(4),
                },
                ..plain()
            },
        ),
        (sorted(0, 0), sort(SortTarget::Key, false)),
        (sorted(1, 0), sort(SortTarget::Key, false)),
        (sorted(2, 0), sort(SortTarget::Key, true)),
        // Without an order every target is ascending.
        (sorted(0, 1), sort(SortTarget::Version, false)),
        (sorted(2, 1), sort(SortTarget::Version, true)),
        (sorted(0, 2), sort(SortTarget::CreateRevision, false)),
        (sorted(0, 3), sort(SortTarget::ModRevision, false)),
        (sorted(0, 4), sort(SortTarget::Value, false)),
        (sorted(2, 4), sort(SortTarget::Value, true)),
    ];
    for (wire, meaning) in table {
        assert_eq!(
            request::range(wire.clone(), &LIMITS),
            Ok(meaning),
            "{wire:?}"
        );
    }
}

#[test]
fn a_range_that_makes_no_sense_is_refused() {
    let table = [
        (
            RangeRequest {
                key: text(""),
                range_end: text("z"),
                ..range()
            },
            Violation::EmptyKey.into(),
        ),
        (
            RangeRequest {
                key: text("123456789"),
                ..range()
            },
            Violation::KeyTooLarge { bytes: 9, limit: 8 }.into(),
        ),
        (
            RangeRequest {
                sort_order: 3,
                ..range()
            },
            RequestError::InvalidSort,
        ),
        (
            RangeRequest {
                sort_order: -1,
                ..range()
            },
            RequestError::InvalidSort,
        ),
        (
            RangeRequest {
                sort_target: 5,
                ..range()
            },
            RequestError::InvalidSort,
        ),
    ];
    for (wire, error) in table {
        assert_eq!(
            request::range(wire.clone(), &LIMITS),
            Err(error),
            "{wire:?}"
        );
    }
}

#[test]
fn a_put_is_what_it_says() {
    let wire = PutRequest {
        key: text("k"),
        value: text("v"),
        lease: 5,
        prev_kv: true,
        ignore_value: false,
        ignore_lease: false,
    };
    let meaning = command::Put {
        key: text("k"),
        value: text("v"),
        lease: 5,
        prev_kv: true,
        ignore_value: false,
        ignore_lease: false,
    };
    assert_eq!(request::put(wire, &LIMITS), Ok(meaning));
    let keeps = PutRequest {
        ignore_value: true,
        ignore_lease: true,
        ..put()
    };
    let meaning = request::put(keeps, &LIMITS).expect("nothing is wrong with it");
    assert!(meaning.ignore_value && meaning.ignore_lease && !meaning.prev_kv);
}

#[test]
fn a_put_that_makes_no_sense_is_refused() {
    let large = PutRequest {
        value: Bytes::from(vec![7; 60]),
        ..put()
    };
    let bytes = large.encoded_len();
    // Key and value alone would fit: the framing counts too.
    let table = [
        (
            PutRequest {
                key: text(""),
                ..put()
            },
            Violation::EmptyKey,
        ),
        (
            PutRequest {
                key: text("123456789"),
                ..put()
            },
            Violation::KeyTooLarge { bytes: 9, limit: 8 },
        ),
        (
            PutRequest {
                value: text("v"),
                ignore_value: true,
                ..put()
            },
            Violation::ValueProvided,
        ),
        (
            PutRequest {
                lease: 1,
                ignore_lease: true,
                ..put()
            },
            Violation::LeaseProvided,
        ),
        (large, Violation::RequestTooLarge { bytes, limit: 64 }),
    ];
    for (wire, violation) in table {
        let error = RequestError::Check(violation);
        assert_eq!(request::put(wire.clone(), &LIMITS), Err(error), "{wire:?}");
    }
}

#[test]
fn a_deletion_is_what_it_says_or_is_refused() {
    let wire = DeleteRangeRequest {
        range_end: text("\0"),
        prev_kv: true,
        ..delete()
    };
    let meaning = command::Delete {
        keys: KeyRange::From(text("k")),
        prev_kv: true,
    };
    assert_eq!(request::delete(wire, &LIMITS), Ok(meaning));
    let empty = DeleteRangeRequest {
        key: text(""),
        ..delete()
    };
    assert_eq!(
        request::delete(empty, &LIMITS),
        Err(Violation::EmptyKey.into())
    );
}

#[test]
fn a_compaction_names_its_revision() {
    let wire = CompactionRequest {
        revision: 9,
        physical: true,
    };
    let compact = request::compact(wire, &LIMITS).expect("the door refuses no compaction");
    assert_eq!(compact.revision, Revision(9));
}

#[test]
fn a_comparison_means_its_target_whatever_the_union_holds() {
    let with = |target: i32, union: Option<TargetUnion>| Compare {
        target,
        target_union: union,
        ..compare()
    };
    let table = [
        (
            with(0, Some(TargetUnion::Version(3))),
            CompareTarget::Version(3),
        ),
        (
            with(1, Some(TargetUnion::CreateRevision(3))),
            CompareTarget::CreateRevision(3),
        ),
        (
            with(2, Some(TargetUnion::ModRevision(3))),
            CompareTarget::ModRevision(3),
        ),
        (
            with(3, Some(TargetUnion::Value(text("v")))),
            CompareTarget::Value(text("v")),
        ),
        (
            with(4, Some(TargetUnion::Lease(3))),
            CompareTarget::Lease(3),
        ),
        (with(0, None), CompareTarget::Version(0)),
        (with(1, None), CompareTarget::CreateRevision(0)),
        (with(2, None), CompareTarget::ModRevision(0)),
        (with(3, None), CompareTarget::Value(text(""))),
        (with(4, None), CompareTarget::Lease(0)),
        (
            with(2, Some(TargetUnion::Version(3))),
            CompareTarget::ModRevision(0),
        ),
    ];
    for (wire, target) in table {
        let txn = request::txn(when(wire.clone()), &LIMITS).expect("it is valid");
        assert_eq!(txn.compare[0].target, target, "{wire:?}");
    }
    let relations = [
        Relation::Equal,
        Relation::Greater,
        Relation::Less,
        Relation::NotEqual,
    ];
    for (result, relation) in (0..).zip(relations) {
        let wire = Compare {
            result,
            range_end: text("z"),
            ..compare()
        };
        let txn = request::txn(when(wire), &LIMITS).expect("it is valid");
        assert_eq!(txn.compare[0].relation, relation);
        assert!(matches!(txn.compare[0].keys, KeyRange::Span { .. }));
    }
}

#[test]
fn a_transaction_keeps_its_branches_and_its_steps_in_order() {
    let wire = TxnRequest {
        compare: vec![compare()],
        success: vec![
            step(Request::RequestRange(range())),
            step(Request::RequestTxn(then([Request::RequestPut(put())]))),
        ],
        failure: vec![step(Request::RequestDeleteRange(delete()))],
    };
    let txn = request::txn(wire, &LIMITS).expect("it is valid");
    assert!(matches!(txn.then[0], Operation::Range(_)));
    let Operation::Txn(inner) = &txn.then[1] else {
        panic!("{:?}", txn.then[1]);
    };
    assert!(matches!(inner.then[..], [Operation::Put(_)]));
    assert!(matches!(txn.otherwise[..], [Operation::Delete(_)]));
}

#[test]
fn a_transaction_that_makes_no_sense_is_refused() {
    let read = || Request::RequestRange(range());
    let deep = then([Request::RequestTxn(then([Request::RequestTxn(
        TxnRequest::default(),
    )]))]);
    let table: [(TxnRequest, RequestError); 11] = [
        (
            when(Compare {
                key: text(""),
                ..compare()
            }),
            Violation::EmptyKey.into(),
        ),
        (
            when(Compare {
                result: 4,
                ..compare()
            }),
            RequestError::UnknownComparison,
        ),
        (
            when(Compare {
                target: 5,
                ..compare()
            }),
            RequestError::UnknownComparison,
        ),
        (
            TxnRequest {
                failure: vec![step(None)],
                ..TxnRequest::default()
            },
            RequestError::MissingOperation,
        ),
        (
            then([Request::RequestRange(RangeRequest {
                sort_target: 9,
                ..range()
            })]),
            RequestError::InvalidSort,
        ),
        (
            then([Request::RequestPut(PutRequest {
                key: text(""),
                ..put()
            })]),
            Violation::EmptyKey.into(),
        ),
        (
            then([Request::RequestPut(put()), Request::RequestPut(put())]),
            Violation::DuplicateKey.into(),
        ),
        (
            then([
                Request::RequestPut(put()),
                Request::RequestDeleteRange(delete()),
            ]),
            Violation::DuplicateKey.into(),
        ),
        (
            then([read(), read(), read(), read()]),
            Violation::TooManyOperations { limit: 3 }.into(),
        ),
        // The inner level has what the outer one left of the limit.
        (
            then([read(), Request::RequestTxn(then([read(), read()]))]),
            Violation::TooManyOperations { limit: 3 }.into(),
        ),
        (deep, Violation::TxnTooDeep { limit: 2 }.into()),
    ];
    for (wire, error) in table {
        assert_eq!(request::txn(wire.clone(), &LIMITS), Err(error), "{wire:?}");
    }
}

#[test]
fn a_transaction_is_too_large_as_a_whole() {
    let put = |key: &'static str| {
        Request::RequestPut(PutRequest {
            key: text(key),
            value: Bytes::from(vec![7; 30]),
            ..put()
        })
    };
    let wire = then([put("a"), put("b")]);
    let bytes = wire.encoded_len();
    let error = Violation::RequestTooLarge { bytes, limit: 64 };
    // The core counts keys and values alone and lets this one pass: the framing decides.
    assert_eq!(request::txn(wire, &LIMITS), Err(error.into()));
    assert!(request::txn(then([put("a")]), &LIMITS).is_ok());
}
