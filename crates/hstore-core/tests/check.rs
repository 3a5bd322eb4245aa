//! What the door refuses, case by case, with etcd's answers.

use bytes::Bytes;
use hstore_core::check::{self, Violation};
use hstore_core::command::{
    Command, Compact, Compare, CompareTarget, Delete, Operation, Put, Relation, ReserveNode, Txn,
};
use hstore_core::error::ErrorCode;
use hstore_core::id::{Incarnation, NodeId, Revision};
use hstore_core::key::KeyRange;
use hstore_core::limits::Limits;
use hstore_core::range::Range;

fn bytes(text: &str) -> Bytes {
    Bytes::copy_from_slice(text.as_bytes())
}

fn long(len: usize) -> Bytes {
    Bytes::from(vec![b'k'; len])
}

fn put_of(key: Bytes) -> Put {
    Put {
        key,
        value: bytes("value"),
        lease: 0,
        prev_kv: false,
        ignore_value: false,
        ignore_lease: false,
    }
}

fn put(key: &str) -> Operation {
    Operation::Put(put_of(bytes(key)))
}

fn delete(keys: KeyRange) -> Operation {
    Operation::Delete(Delete {
        keys,
        prev_kv: false,
    })
}

fn one(key: &str) -> KeyRange {
    KeyRange::One(bytes(key))
}

fn span(start: &str, end: &str) -> KeyRange {
    KeyRange::Span {
        start: bytes(start),
        end: bytes(end),
    }
}

fn from(key: &str) -> KeyRange {
    KeyRange::From(bytes(key))
}

fn then(steps: Vec<Operation>) -> Txn {
    Txn {
        then: steps,
        ..Txn::default()
    }
}

fn nested(steps: Vec<Operation>) -> Operation {
    Operation::Txn(then(steps))
}

/// A nested transaction with two branches.
fn either(then: Vec<Operation>, otherwise: Vec<Operation>) -> Operation {
    Operation::Txn(Txn {
        compare: vec![],
        then,
        otherwise,
    })
}

fn range(keys: KeyRange) -> Operation {
    Operation::Range(Range::of(keys))
}

fn comparison(keys: KeyRange) -> Compare {
    Compare {
        keys,
        relation: Relation::Equal,
        target: CompareTarget::Version(0),
    }
}

#[test]
fn a_put_needs_a_key_of_a_bounded_size() {
    let limits = Limits::default();
    let limit = limits.key_bytes_max;
    let check = |key| check::put(&put_of(key), &limits);
    assert_eq!(check(bytes("a")), Ok(()));
    assert_eq!(check(long(limit)), Ok(()));
    assert_eq!(check(Bytes::new()), Err(Violation::EmptyKey));
    let too_large = Violation::KeyTooLarge {
        bytes: limit + 1,
        limit,
    };
    assert_eq!(check(long(limit + 1)), Err(too_large));
}

#[test]
fn a_put_gives_nothing_that_it_wants_kept() {
    let limits = Limits::default();
    let value = Put {
        ignore_value: true,
        ..put_of(bytes("a"))
    };
    assert_eq!(check::put(&value, &limits), Err(Violation::ValueProvided));
    let lease = Put {
        ignore_lease: true,
        lease: 1,
        ..put_of(bytes("a"))
    };
    assert_eq!(check::put(&lease, &limits), Err(Violation::LeaseProvided));
    let neither = Put {
        ignore_value: true,
        ignore_lease: true,
        value: Bytes::new(),
        ..put_of(bytes("a"))
    };
    assert_eq!(check::put(&neither, &limits), Ok(()));
}

#[test]
fn a_request_has_a_bounded_size() {
    let limits = Limits {
        request_bytes_max: 100,
        ..Limits::default()
    };
    let with_value = |len| Put {
        value: long(len),
        ..put_of(bytes("key"))
    };
    assert_eq!(check::put(&with_value(97), &limits), Ok(()));
    let too_large = Err(Violation::RequestTooLarge {
        bytes: 101,
        limit: 100,
    });
    assert_eq!(check::put(&with_value(98), &limits), too_large);
    let half = |key: &str, len| {
        Operation::Put(Put {
            value: long(len),
            ..put_of(bytes(key))
        })
    };
    let halves = |len| then(vec![half("a", 49), nested(vec![half("b", len)])]);
    assert_eq!(check::txn(&halves(49), &limits), Ok(()));
    assert_eq!(check::txn(&halves(50), &limits), too_large);
    let comparing = |len| Txn {
        compare: vec![Compare {
            target: CompareTarget::Value(long(len)),
            ..comparison(span("a", "b"))
        }],
        ..Txn::default()
    };
    assert_eq!(check::txn(&comparing(98), &limits), Ok(()));
    assert_eq!(check::txn(&comparing(99), &limits), too_large);
    assert_eq!(check::encoded(100, &limits), Ok(()));
    assert_eq!(check::encoded(101, &limits), too_large);
}

#[test]
fn every_key_of_a_request_is_checked() {
    let limits = Limits::default();
    let limit = limits.key_bytes_max;
    let too_large = Violation::KeyTooLarge {
        bytes: limit + 1,
        limit,
    };
    let long_end = KeyRange::Span {
        start: bytes("a"),
        end: long(limit + 1),
    };
    let keys = [
        (one("a"), Ok(())),
        (from("a"), Ok(())),
        (span("b", "a"), Ok(())),
        (KeyRange::all(), Ok(())),
        (one(""), Err(Violation::EmptyKey)),
        (from(""), Err(Violation::EmptyKey)),
        (span("", "a"), Err(Violation::EmptyKey)),
        (KeyRange::One(long(limit + 1)), Err(too_large)),
        (long_end, Err(too_large)),
    ];
    for (keys, expected) in keys {
        let delete_alone = Delete {
            keys: keys.clone(),
            prev_kv: false,
        };
        assert_eq!(check::delete(&delete_alone, &limits), expected, "{keys:?}");
        assert_eq!(check::range(&Range::of(keys.clone()), &limits), expected);
        let compared = Txn {
            compare: vec![comparison(keys.clone())],
            ..Txn::default()
        };
        assert_eq!(check::txn(&compared, &limits), expected);
        for operation in [delete(keys.clone()), range(keys.clone())] {
            let steps = vec![operation];
            assert_eq!(check::txn(&then(steps.clone()), &limits), expected);
            let otherwise = Txn {
                otherwise: vec![nested(steps)],
                ..Txn::default()
            };
            assert_eq!(check::txn(&otherwise, &limits), expected);
        }
    }
    let put_within = then(vec![put("")]);
    let refused = check::txn(&put_within, &limits);
    assert_eq!(refused, Err(Violation::EmptyKey));
}

#[test]
fn each_level_has_what_the_levels_around_it_left_of_the_operations() {
    let limits = Limits::default();
    let ranges = |n: usize| vec![range(one("a")); n];
    let comparisons = |n: usize| vec![comparison(one("a")); n];
    let with_nested = |outer: usize, inner: Txn| {
        let mut steps = ranges(outer - 1);
        steps.push(Operation::Txn(inner));
        then(steps)
    };
    let too_many = Err(Violation::TooManyOperations { limit: 128 });
    let cases = [
        ("nothing", Txn::default(), Ok(())),
        ("then at the limit", then(ranges(128)), Ok(())),
        ("then above it", then(ranges(129)), too_many),
        (
            "otherwise above it",
            Txn {
                otherwise: ranges(129),
                ..Txn::default()
            },
            too_many,
        ),
        (
            "comparisons above it",
            Txn {
                compare: comparisons(129),
                ..Txn::default()
            },
            too_many,
        ),
        (
            "each list at the limit",
            Txn {
                compare: comparisons(128),
                then: ranges(128),
                otherwise: ranges(128),
            },
            Ok(()),
        ),
        (
            "nested has the rest",
            with_nested(100, then(ranges(28))),
            Ok(()),
        ),
        (
            "nested beyond the rest",
            with_nested(100, then(ranges(29))),
            too_many,
        ),
        (
            "nested comparisons beyond the rest",
            with_nested(
                100,
                Txn {
                    compare: comparisons(29),
                    ..Txn::default()
                },
            ),
            too_many,
        ),
        (
            "siblings have the rest each",
            then(vec![nested(ranges(126)); 2]),
            Ok(()),
        ),
    ];
    for (case, txn, expected) in cases {
        assert_eq!(check::txn(&txn, &limits), expected, "{case}");
    }
}

#[test]
fn transactions_nest_to_a_bounded_depth() {
    let deep =
        |depth| (1..depth).fold(Txn::default(), |inner, _| then(vec![Operation::Txn(inner)]));
    let with_limit = |txn_depth_max| Limits {
        txn_depth_max,
        ..Limits::default()
    };
    let too_deep = |limit| Err(Violation::TxnTooDeep { limit });
    let cases = [
        (8, 8, Ok(())),
        (9, 8, too_deep(8)),
        (2, 1, too_deep(1)),
        // No setting goes beyond what the codec can carry.
        (32, 1000, Ok(())),
        (33, 1000, too_deep(32)),
    ];
    for (depth, limit, expected) in cases {
        let checked = check::txn(&deep(depth), &with_limit(limit));
        assert_eq!(checked, expected, "{depth} of {limit}");
    }
}

#[test]
fn a_branch_writes_no_key_twice() {
    let limits = Limits::default();
    let duplicate = Err(Violation::DuplicateKey);
    let cases = [
        ("different keys", vec![put("a"), put("b")], Ok(())),
        ("put twice", vec![put("a"), put("b"), put("a")], duplicate),
        (
            "put and deleted",
            vec![put("a"), delete(one("a"))],
            duplicate,
        ),
        (
            "deleted and put",
            vec![delete(one("a")), put("a")],
            duplicate,
        ),
        (
            "deleted twice",
            vec![delete(one("a")), delete(span("a", "c"))],
            Ok(()),
        ),
        (
            "within a deleted span",
            vec![put("b"), delete(span("a", "c"))],
            duplicate,
        ),
        (
            "at the start of a span",
            vec![delete(span("a", "c")), put("a")],
            duplicate,
        ),
        (
            "at the end of a span",
            vec![delete(span("a", "c")), put("c")],
            Ok(()),
        ),
        (
            "before a span",
            vec![delete(span("b", "c")), put("a")],
            Ok(()),
        ),
        (
            "within from a key on",
            vec![put("z"), delete(from("y"))],
            duplicate,
        ),
        (
            "before from a key on",
            vec![put("x"), delete(from("y"))],
            Ok(()),
        ),
        (
            "in an empty span",
            vec![put("b"), delete(span("c", "a"))],
            Ok(()),
        ),
        (
            "behind spans that run into each other",
            vec![delete(span("a", "c")), delete(span("b", "d")), put("c")],
            duplicate,
        ),
        (
            "between two spans",
            vec![delete(span("a", "c")), delete(span("d", "e")), put("c")],
            Ok(()),
        ),
        (
            "in a wide span that came after a narrow one",
            vec![delete(span("b", "c")), delete(span("a", "z")), put("q")],
            duplicate,
        ),
        (
            "in a wide span that came before a narrow one",
            vec![delete(span("a", "z")), delete(span("b", "c")), put("q")],
            duplicate,
        ),
        (
            "next to a deleted key",
            vec![delete(one("a")), put("a\0")],
            Ok(()),
        ),
        ("read and put", vec![range(one("a")), put("a")], Ok(())),
        (
            "nested put of the same key",
            vec![nested(vec![put("a")]), put("a")],
            duplicate,
        ),
        (
            "the other way round",
            vec![put("a"), nested(vec![put("a")])],
            duplicate,
        ),
        (
            "deep within",
            vec![put("a"), nested(vec![nested(vec![put("a")])])],
            duplicate,
        ),
        (
            "siblings",
            vec![nested(vec![put("a")]), nested(vec![put("a")])],
            duplicate,
        ),
        (
            "nested delete",
            vec![put("a"), nested(vec![delete(from("a"))])],
            duplicate,
        ),
        (
            "put in a nested branch",
            vec![delete(one("a")), nested(vec![put("a")])],
            duplicate,
        ),
        (
            "a put, then a delete by a sibling",
            vec![nested(vec![put("a")]), nested(vec![delete(one("a"))])],
            duplicate,
        ),
        (
            "a delete, then a put by a sibling",
            vec![nested(vec![delete(one("a"))]), nested(vec![put("a")])],
            duplicate,
        ),
        (
            "both branches put",
            vec![either(vec![put("a")], vec![put("a")])],
            Ok(()),
        ),
        (
            "one branch puts, one deletes",
            vec![either(vec![put("a")], vec![delete(one("a"))])],
            Ok(()),
        ),
        (
            "both branches put and so does a sibling",
            vec![either(vec![put("a")], vec![put("a")]), put("a")],
            duplicate,
        ),
        (
            "twice within one of two branches",
            vec![either(vec![], vec![put("a"), put("a")])],
            duplicate,
        ),
    ];
    for (case, steps, expected) in cases {
        assert_eq!(
            check::txn(&then(steps.clone()), &limits),
            expected,
            "{case}"
        );
        let otherwise = Txn {
            otherwise: steps,
            ..Txn::default()
        };
        assert_eq!(
            check::txn(&otherwise, &limits),
            expected,
            "{case}, otherwise"
        );
    }
    let both = Txn {
        compare: vec![],
        then: vec![put("a")],
        otherwise: vec![put("a"), delete(one("b"))],
    };
    assert_eq!(check::txn(&both, &limits), Ok(()), "then and else may");
}

#[test]
fn every_command_has_its_check() {
    let limits = Limits::default();
    let empty = Err(Violation::EmptyKey);
    let deleting = Delete {
        keys: one(""),
        prev_kv: false,
    };
    let compact = Compact {
        revision: Revision(-1),
    };
    let cases = [
        (Command::Put(put_of(Bytes::new())), empty),
        (Command::Delete(deleting), empty),
        (Command::Txn(then(vec![put("")])), empty),
        // What cannot be compacted is the machine's to refuse.
        (Command::Compact(compact), Ok(())),
        (
            Command::AllocateNode {
                incarnation: Incarnation(1),
                peer_address: String::new(),
            },
            Ok(()),
        ),
        (
            Command::AllocateNode {
                incarnation: Incarnation(1),
                peer_address: "a".repeat(301),
            },
            Err(Violation::AddressTooLong { limit: 300 }),
        ),
        (
            Command::ReserveNode(ReserveNode {
                node: None,
                peer_address: String::new(),
                learner: false,
            }),
            Err(Violation::NoAddress),
        ),
        (Command::ReleaseNode { node: NodeId(1) }, Ok(())),
    ];
    for (command, expected) in cases {
        assert_eq!(check::command(&command, &limits), expected, "{command:?}");
    }
}

#[test]
fn every_violation_has_a_code_under_which_nothing_was_applied() {
    let cases = [
        (
            Violation::AddressTooLong { limit: 1 },
            ErrorCode::InvalidArgument,
        ),
        (Violation::NoAddress, ErrorCode::InvalidArgument),
        (Violation::DuplicateKey, ErrorCode::DuplicateKey),
        (Violation::EmptyKey, ErrorCode::EmptyKey),
        (
            Violation::KeyTooLarge { bytes: 2, limit: 1 },
            ErrorCode::KeyTooLarge,
        ),
        (Violation::LeaseProvided, ErrorCode::InvalidArgument),
        (
            Violation::RequestTooLarge { bytes: 2, limit: 1 },
            ErrorCode::RequestTooLarge,
        ),
        (
            Violation::TooManyOperations { limit: 1 },
            ErrorCode::TooManyOperations,
        ),
        (
            Violation::TxnTooDeep { limit: 1 },
            ErrorCode::TooManyOperations,
        ),
        (Violation::ValueProvided, ErrorCode::InvalidArgument),
    ];
    for (violation, code) in cases {
        assert_eq!(violation.code(), code);
        assert!(code.definitely_not_applied() && !code.is_retryable());
    }
}

#[test]
fn a_hostile_transaction_is_checked_quickly() {
    // As many writes as fit a request: a check that compared each with each would take minutes.
    let limits = Limits {
        txn_operations_max: 100_000,
        ..Limits::default()
    };
    let puts = (0..50_000).map(|n| put(&format!("p{n}")));
    let deletes = (0..50_000).map(|n| delete(one(&format!("d{n}"))));
    let hostile = then(puts.chain(deletes).collect());
    assert_eq!(check::txn(&hostile, &limits), Ok(()));
}
