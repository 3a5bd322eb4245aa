//! What commands do to a store, case by case, with etcd's answers.
#![allow(clippy::unwrap_used, reason = "a test may stop at once")]

use bytes::Bytes;
use hstore_core::auth::Author;
use hstore_core::command::{
    Command, Compact, Compare, CompareTarget, Delete, Operation, Proposal, Put, Relation, Txn,
};
use hstore_core::id::{Incarnation, LogIndex, NodeId, Revision};
use hstore_core::key::KeyRange;
use hstore_core::machine::{Machine, View};
use hstore_core::outcome::{Outcome, Refusal, Reply};
use hstore_core::range::{Range, RangeResult};
use hstore_core::record::{Meta, Record};
use hstore_core::testing::MemoryView;

#[derive(Default)]
struct Store {
    machine: Machine,
    view: MemoryView,
    index: u64,
}

impl Store {
    fn run(&mut self, command: Command) -> Outcome {
        self.index += 1;
        let proposal = Proposal {
            request: None,
            author: Author::Nobody,
            command,
        };
        let applied = self
            .machine
            .apply(&mut self.view, LogIndex(self.index), Ok(proposal))
            .unwrap();
        assert_eq!(applied.outcome.revision, self.machine.revision());
        applied.outcome
    }

    fn put(&mut self, key: &str, value: &str) -> Outcome {
        self.run(Command::Put(put(key, value)))
    }

    fn delete(&mut self, keys: KeyRange) -> Outcome {
        self.run(Command::Delete(Delete {
            keys,
            prev_kv: false,
        }))
    }

    fn txn(
        &mut self,
        compare: Vec<Compare>,
        then: Vec<Operation>,
        otherwise: Vec<Operation>,
    ) -> Outcome {
        self.run(Command::Txn(Txn {
            compare,
            then,
            otherwise,
        }))
    }

    fn meta(&self, key: &str) -> Option<Meta> {
        self.view.get(key.as_bytes(), self.machine.revision())
    }

    fn value(&self, key: &str) -> Option<Bytes> {
        let meta = self.meta(key)?;
        Some(self.view.value(key.as_bytes(), &meta).unwrap())
    }

    fn revision(&self) -> i64 {
        self.machine.revision().0
    }
}

fn bytes(text: &str) -> Bytes {
    Bytes::copy_from_slice(text.as_bytes())
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

fn put(key: &str, value: &str) -> Put {
    Put {
        key: bytes(key),
        value: bytes(value),
        lease: 0,
        prev_kv: false,
        ignore_value: false,
        ignore_lease: false,
    }
}

fn compare(keys: KeyRange, relation: Relation, target: CompareTarget) -> Compare {
    Compare {
        keys,
        relation,
        target,
    }
}

fn succeeded(outcome: &Outcome) -> bool {
    match &outcome.result {
        Ok(Reply::Txn { succeeded, .. }) => *succeeded,
        other => panic!("no reply of a transaction: {other:?}"),
    }
}

fn replies(outcome: Outcome) -> Vec<Reply> {
    match outcome.result {
        Ok(Reply::Txn { replies, .. }) => replies,
        other => panic!("no reply of a transaction: {other:?}"),
    }
}

fn range_of(keys: KeyRange) -> Operation {
    Operation::Range(Range::of(keys))
}

fn delete_of(keys: KeyRange) -> Operation {
    Operation::Delete(Delete {
        keys,
        prev_kv: false,
    })
}

#[test]
fn an_empty_store_is_at_revision_one() {
    let store = Store::default();
    assert_eq!(store.revision(), 1);
    assert_eq!(store.machine.compacted(), Revision(0));
}

#[test]
fn each_put_takes_one_revision_and_counts_the_version() {
    let mut store = Store::default();
    store.put("a", "1");
    store.put("b", "1");
    store.put("a", "2");
    let expected = Meta {
        create_revision: Revision(2),
        mod_revision: Revision(4),
        sub: 0,
        version: 2,
        lease: 0,
    };
    assert_eq!(store.meta("a"), Some(expected));
    assert_eq!(store.value("a"), Some(bytes("2")));
}

#[test]
fn a_key_that_was_deleted_begins_again_at_version_one() {
    let mut store = Store::default();
    store.put("a", "1");
    store.put("a", "2");
    store.delete(one("a"));
    assert_eq!(store.meta("a"), None);
    store.put("a", "3");
    let meta = store.meta("a").unwrap();
    assert_eq!(
        (meta.create_revision.0, meta.mod_revision.0, meta.version),
        (5, 5, 1)
    );
    let tombstone = &store.view.history(b"a")[2];
    assert!(tombstone.meta.is_tombstone() && tombstone.value.is_empty());
}

#[test]
fn a_delete_that_deletes_nothing_takes_no_revision() {
    let mut store = Store::default();
    store.put("a", "1");
    let outcome = store.delete(span("b", "z"));
    let nothing = Reply::Delete {
        deleted: 0,
        previous: vec![],
    };
    assert_eq!(outcome.result, Ok(nothing));
    assert_eq!(store.revision(), 2);
}

#[test]
fn a_delete_of_a_range_numbers_its_tombstones_in_one_revision() {
    let mut store = Store::default();
    for key in ["a", "b", "c", "d"] {
        store.put(key, key);
    }
    let outcome = store.run(Command::Delete(Delete {
        keys: span("b", "d"),
        prev_kv: true,
    }));
    let Ok(Reply::Delete { deleted, previous }) = outcome.result else {
        panic!("no reply of a delete");
    };
    assert_eq!(deleted, 2);
    let values: Vec<_> = previous.iter().map(|record| record.value.clone()).collect();
    assert_eq!(values, [bytes("b"), bytes("c")]);
    assert_eq!(outcome.revision.0, 6);
    let subs: Vec<_> = ["b", "c"]
        .map(|key| store.view.history(key.as_bytes())[1].meta.sub)
        .to_vec();
    assert_eq!(subs, [0, 1]);
}

#[test]
fn a_put_answers_the_replaced_record_when_asked() {
    let mut store = Store::default();
    let asking = |value| Put {
        prev_kv: true,
        ..put("a", value)
    };
    let first = store.run(Command::Put(asking("1")));
    assert_eq!(first.result, Ok(Reply::Put { previous: None }));
    let Ok(Reply::Put { previous }) = store.run(Command::Put(asking("2"))).result else {
        panic!("no reply of a put");
    };
    assert_eq!(previous.unwrap().value, bytes("1"));
    assert_eq!(
        store.put("a", "3").result,
        Ok(Reply::Put { previous: None })
    );
}

#[test]
fn ignore_value_keeps_the_value_and_needs_the_key() {
    let mut store = Store::default();
    let keeping = Put {
        ignore_value: true,
        prev_kv: true,
        ..put("a", "")
    };
    let refused = store.run(Command::Put(keeping.clone()));
    assert_eq!(refused.result, Err(Refusal::KeyNotFound));
    assert_eq!(store.revision(), 1);
    store.put("a", "kept");
    store.run(Command::Put(keeping));
    assert_eq!(store.value("a"), Some(bytes("kept")));
    assert_eq!(store.meta("a").unwrap().version, 2);
}

#[test]
fn ignore_lease_needs_the_key() {
    let mut store = Store::default();
    let keeping = Put {
        ignore_lease: true,
        ..put("a", "1")
    };
    let refused = store.run(Command::Put(keeping.clone()));
    assert_eq!(refused.result, Err(Refusal::KeyNotFound));
    store.put("a", "0");
    assert!(store.run(Command::Put(keeping)).result.is_ok());
}

#[test]
fn a_lease_is_not_found_since_there_are_none() {
    let mut store = Store::default();
    let leased = Put {
        lease: 7,
        ignore_value: true,
        ..put("a", "")
    };
    // Alone the lease is named, in a transaction the key, as etcd does.
    let alone = store.run(Command::Put(leased.clone()));
    assert_eq!(alone.result, Err(Refusal::LeaseNotFound));
    let within = store.txn(vec![], vec![Operation::Put(leased.clone())], vec![]);
    assert_eq!(within.result, Err(Refusal::KeyNotFound));
    store.put("a", "1");
    let within = store.txn(vec![], vec![Operation::Put(leased)], vec![]);
    assert_eq!(within.result, Err(Refusal::LeaseNotFound));
    assert_eq!(store.revision(), 2);
}

#[test]
fn comparisons_hold_as_in_etcd() {
    use CompareTarget::{CreateRevision, Lease, ModRevision, Value, Version};
    use Relation::{Equal, Greater, Less, NotEqual};
    let mut store = Store::default();
    store.put("a", "m"); // revision 2
    store.put("b", "m"); // revision 3
    store.put("b", "m"); // revision 4
    let cases = [
        (one("a"), Equal, Value(bytes("m")), true),
        (one("a"), NotEqual, Value(bytes("m")), false),
        (one("a"), Greater, Value(bytes("l")), true),
        (one("a"), Less, Value(bytes("l")), false),
        (one("a"), Equal, Version(1), true),
        (one("b"), Greater, Version(1), true),
        (one("b"), Equal, CreateRevision(3), true),
        (one("b"), Equal, ModRevision(4), true),
        (one("b"), Less, ModRevision(4), false),
        (one("b"), Equal, Lease(0), true),
        // A missing key is all zero, but has no value, not even an empty one.
        (one("x"), Equal, Version(0), true),
        (one("x"), Equal, CreateRevision(0), true),
        (one("x"), Equal, ModRevision(0), true),
        (one("x"), Equal, Lease(0), true),
        (one("x"), Less, Version(1), true),
        (one("x"), Greater, Version(0), false),
        (one("x"), Equal, Value(bytes("")), false),
        (one("x"), NotEqual, Value(bytes("m")), false),
        // A range holds when all of its keys do, and without a key compares as one missing key.
        (span("a", "c"), Equal, Value(bytes("m")), true),
        (span("a", "c"), Greater, Version(0), true),
        (span("a", "c"), Equal, Version(1), false),
        (KeyRange::From(bytes("b")), Equal, Version(2), true),
        (span("x", "z"), Equal, Version(0), true),
        (span("x", "z"), NotEqual, Version(0), false),
        (span("x", "z"), NotEqual, Value(bytes("m")), false),
        (span("c", "a"), Equal, Version(0), true),
    ];
    for (keys, relation, target, expected) in cases {
        let case = compare(keys, relation, target);
        let outcome = store.txn(vec![case.clone()], vec![], vec![]);
        assert_eq!(succeeded(&outcome), expected, "{case:?}");
    }
    assert_eq!(store.revision(), 4, "comparing takes no revision");
}

#[test]
fn one_comparison_that_fails_chooses_the_other_branch() {
    let mut store = Store::default();
    let holds = compare(one("a"), Relation::Equal, CompareTarget::Version(0));
    let fails = compare(one("a"), Relation::Equal, CompareTarget::Version(1));
    let branch = |value| vec![Operation::Put(put("a", value))];
    let outcome = store.txn(vec![holds.clone(), fails], branch("then"), branch("else"));
    assert!(!succeeded(&outcome));
    assert_eq!(store.value("a"), Some(bytes("else")));
}

#[test]
fn a_transaction_writes_one_revision_and_each_step_sees_the_former() {
    let mut store = Store::default();
    store.put("a", "old");
    let old = Range {
        revision: Revision(2),
        ..Range::of(one("a"))
    };
    let outcome = store.txn(
        vec![],
        vec![
            Operation::Put(put("a", "new")),
            Operation::Txn(Txn {
                then: vec![Operation::Put(put("b", "nested"))],
                ..Txn::default()
            }),
            range_of(span("a", "z")),
            Operation::Range(old),
            delete_of(one("nothing")),
        ],
        vec![],
    );
    assert_eq!(outcome.revision.0, 3);
    let replies = replies(outcome);
    let Reply::Range(seen) = &replies[2] else {
        panic!("no reply of a range");
    };
    let seen: Vec<_> = seen
        .records
        .iter()
        .map(|record| {
            (
                record.value.clone(),
                record.meta.mod_revision.0,
                record.meta.sub,
            )
        })
        .collect();
    assert_eq!(seen, [(bytes("new"), 3, 0), (bytes("nested"), 3, 1)]);
    let Reply::Range(RangeResult { records, .. }) = &replies[3] else {
        panic!("no reply of a range");
    };
    assert_eq!(records[0].value, bytes("old"));
}

#[test]
fn nested_comparisons_see_the_state_before_the_transaction() {
    let mut store = Store::default();
    let nested = Txn {
        compare: vec![compare(
            one("a"),
            Relation::Equal,
            CompareTarget::Version(0),
        )],
        then: vec![Operation::Put(put("b", "not there before"))],
        otherwise: vec![Operation::Put(put("b", "there"))],
    };
    store.txn(
        vec![],
        vec![Operation::Put(put("a", "1")), Operation::Txn(nested)],
        vec![],
    );
    assert_eq!(store.value("b"), Some(bytes("not there before")));
}

#[test]
fn a_refused_transaction_changes_nothing() {
    let mut store = Store::default();
    store.put("a", "1");
    store.put("a", "2");
    store.run(Command::Compact(Compact {
        revision: Revision(3),
    }));
    let at = |revision| {
        Operation::Range(Range {
            revision: Revision(revision),
            ..Range::of(one("a"))
        })
    };
    let nested = |operation| {
        Operation::Txn(Txn {
            then: vec![operation],
            ..Txn::default()
        })
    };
    let compacted = Refusal::Compacted {
        compacted: Revision(3),
    };
    let future = Refusal::FutureRevision {
        current: Revision(3),
    };
    let keeping = Operation::Put(Put {
        ignore_value: true,
        ..put("x", "")
    });
    let cases = [
        (at(2), compacted.clone()),
        (nested(at(2)), compacted),
        // The revision that the transaction itself would make is not there yet.
        (at(4), future),
        (keeping.clone(), Refusal::KeyNotFound),
        (nested(nested(keeping)), Refusal::KeyNotFound),
    ];
    for (operation, refusal) in cases {
        let before = store.view.clone();
        let steps = vec![Operation::Put(put("b", "1")), operation];
        let outcome = store.txn(vec![], steps, vec![]);
        assert_eq!(outcome.result, Err(refusal));
        assert_eq!(store.view, before);
        assert_eq!(store.revision(), 3);
    }
    assert!(store.txn(vec![], vec![at(3)], vec![]).result.is_ok());
}

#[test]
fn the_branch_that_does_not_run_is_not_checked() {
    let mut store = Store::default();
    let leased = Operation::Put(Put {
        lease: 1,
        ..put("a", "")
    });
    let outcome = store.txn(vec![], vec![], vec![leased]);
    assert!(succeeded(&outcome));
}

#[test]
fn compaction_is_refused_below_and_above_the_history() {
    let mut store = Store::default();
    store.put("a", "1");
    store.put("a", "2");
    let compact = |store: &mut Store, revision| {
        store
            .run(Command::Compact(Compact {
                revision: Revision(revision),
            }))
            .result
    };
    let compacted = |revision| {
        Err(Refusal::Compacted {
            compacted: Revision(revision),
        })
    };
    assert_eq!(compact(&mut store, 0), compacted(0));
    assert_eq!(
        compact(&mut store, 4),
        Err(Refusal::FutureRevision {
            current: Revision(3)
        })
    );
    assert_eq!(compact(&mut store, 2), Ok(Reply::Compact));
    assert_eq!(compact(&mut store, 2), compacted(2));
    assert_eq!(compact(&mut store, 1), compacted(2));
    assert_eq!(compact(&mut store, 3), Ok(Reply::Compact));
    assert_eq!(store.machine.compacted(), Revision(3));
    assert_eq!(store.revision(), 3);
}

#[test]
fn a_compaction_tells_the_store_what_to_drop() {
    let mut store = Store::default();
    store.put("a", "1");
    let proposal = Proposal {
        request: None,
        author: Author::Nobody,
        command: Command::Compact(Compact {
            revision: Revision(2),
        }),
    };
    let applied = store
        .machine
        .apply(&mut store.view, LogIndex(9), Ok(proposal.clone()))
        .unwrap();
    assert_eq!(applied.compact, Some(Revision(2)));
    let refused = store
        .machine
        .apply(&mut store.view, LogIndex(10), Ok(proposal))
        .unwrap();
    assert_eq!(refused.compact, None);
}

#[test]
fn a_malformed_proposal_is_refused_and_changes_nothing() {
    let mut store = Store::default();
    let damaged = hstore_core::codec::decode_proposal(Bytes::from_static(b"\x01\x02no"));
    assert!(damaged.is_err());
    let applied = store
        .machine
        .apply(&mut store.view, LogIndex(1), damaged)
        .unwrap();
    assert_eq!(applied.outcome.result, Err(Refusal::Malformed));
    assert_eq!(store.view, MemoryView::new());
}

#[test]
fn a_transaction_nested_beyond_the_ceiling_is_malformed() {
    let nested = |depth: usize| {
        let innermost = Txn {
            then: vec![Operation::Put(put("a", "1"))],
            ..Txn::default()
        };
        (1..depth).fold(innermost, |inner, _| Txn {
            then: vec![Operation::Txn(inner)],
            ..Txn::default()
        })
    };
    let mut store = Store::default();
    let refused = store.run(Command::Txn(nested(33)));
    assert_eq!(refused.result, Err(Refusal::Malformed));
    assert_eq!(store.revision(), 1);
    let outcome = store.run(Command::Txn(nested(32)));
    assert!(outcome.result.is_ok());
    let encoded = hstore_core::codec::encode_outcome(&outcome);
    assert_eq!(hstore_core::codec::decode_outcome(encoded), Ok(outcome));
}

#[test]
fn a_data_folder_gets_the_index_as_its_id_and_keeps_it() {
    let mut store = Store::default();
    let mut allocate = |index, incarnation| {
        let command = Command::AllocateNode {
            incarnation: Incarnation(incarnation),
            peer_address: String::new(),
        };
        let proposal = Proposal {
            request: None,
            author: Author::Nobody,
            command,
        };
        let applied = store
            .machine
            .apply(&mut store.view, LogIndex(index), Ok(proposal))
            .unwrap();
        match applied.outcome.result {
            Ok(Reply::Node(NodeId(node))) => node,
            other => panic!("no node id: {other:?}"),
        }
    };
    assert_eq!(allocate(1, 50), 2, "1 is the founder's");
    assert_eq!(allocate(7, 51), 7);
    assert_eq!(allocate(9, 51), 7);
    // Two proposals of one log entry, and the entry right behind it.
    assert_eq!(allocate(9, 52), 9);
    assert_eq!(allocate(9, 53), 10);
    assert_eq!(allocate(10, 54), 11);
    assert_eq!(allocate(20, 55), 20);
}

#[test]
fn forgotten_data_folders_never_share_an_id() {
    let mut store = Store::default();
    let mut seen = std::collections::BTreeSet::new();
    for n in 0..10_100_u64 {
        let outcome = store.run(Command::AllocateNode {
            incarnation: Incarnation(n),
            peer_address: String::new(),
        });
        let Ok(Reply::Node(node)) = outcome.result else {
            panic!("no node id");
        };
        assert!(seen.insert(node));
    }
    let again = store.run(Command::AllocateNode {
        incarnation: Incarnation(0),
        peer_address: String::new(),
    });
    let Ok(Reply::Node(node)) = again.result else {
        panic!("no node id");
    };
    assert!(seen.insert(node), "the first one was forgotten");
}

#[test]
fn revisions_and_versions_do_not_overflow() {
    let mut store = Store {
        machine: machine_at(i64::MAX - 1),
        ..Store::default()
    };
    assert!(store.put("a", "last").result.is_ok());
    assert_eq!(store.revision(), i64::MAX);
    let refused = store.put("a", "none").result;
    assert_eq!(refused, Err(Refusal::RevisionsExhausted));
    let refused = store.delete(one("a")).result;
    assert_eq!(refused, Err(Refusal::RevisionsExhausted));

    let mut store = Store::default();
    store.view.append(Record {
        key: bytes("a"),
        value: bytes("1"),
        meta: Meta {
            create_revision: Revision(1),
            mod_revision: Revision(1),
            version: i64::MAX,
            ..Meta::default()
        },
    });
    store.put("a", "2");
    assert_eq!(store.meta("a").unwrap().version, i64::MAX);
}

/// A machine at a revision that no test can reach by writing: the bytes of an empty one with the
/// revision in them exchanged.
fn machine_at(revision: i64) -> Machine {
    use prost::encoding::{encode_varint, encoded_len_varint};
    // Field 1 is the revision, field 4 the last node id.
    let len = 1 + encoded_len_varint(revision as u64) + 2;
    let mut state = vec![1];
    encode_varint(len as u64, &mut state);
    state.push(1 << 3);
    encode_varint(revision as u64, &mut state);
    state.extend([4 << 3, 1]);
    Machine::decode_state(state.into()).unwrap()
}
