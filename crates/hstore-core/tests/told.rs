//! What one command tells is bounded; what it does is not changed by that.
#![allow(clippy::unwrap_used, reason = "a test may stop at once")]

use bytes::Bytes;
use hstore_core::auth::Author;
use hstore_core::codec;
use hstore_core::command::{Command, Delete, Operation, Proposal, Put, RequestId, Txn};
use hstore_core::id::{LogIndex, Revision};
use hstore_core::key::KeyRange;
use hstore_core::machine::{Machine, RECORD_BYTES, TOLD_BYTES_MAX};
use hstore_core::outcome::{Outcome, Reply};
use hstore_core::range::{Range, Sort, SortTarget};
use hstore_core::testing::MemoryView;

/// So many large values, and their keys, are exactly what may be told.
const LARGE: usize = 63;
const KEY_BYTES: usize = 4;
const VALUE_BYTES: usize = TOLD_BYTES_MAX / LARGE - RECORD_BYTES - KEY_BYTES;

struct Store {
    machine: Machine,
    view: MemoryView,
    index: u64,
}

impl Store {
    /// With so many large values, all of them the same bytes.
    fn with(values: usize) -> Store {
        let mut store = Store {
            machine: Machine::default(),
            view: MemoryView::new(),
            index: 0,
        };
        let value = Bytes::from(vec![b'v'; VALUE_BYTES]);
        for n in 0..values {
            store.run(Command::Put(put(&key(n), value.clone())));
        }
        store
    }

    fn run(&mut self, command: Command) -> Outcome {
        self.run_as(None, command)
    }

    fn run_as(&mut self, request: Option<RequestId>, command: Command) -> Outcome {
        self.index += 1;
        let proposal = Proposal {
            request,
            author: Author::Nobody,
            command,
        };
        let index = LogIndex(self.index);
        let applied = self.machine.apply(&mut self.view, index, Ok(proposal));
        applied.unwrap().outcome
    }

    fn txn(&mut self, then: Vec<Operation>) -> Outcome {
        self.run(Command::Txn(txn(then)))
    }
}

fn key(n: usize) -> String {
    format!("k{n:03}")
}

fn put(key: &str, value: Bytes) -> Put {
    Put {
        key: Bytes::copy_from_slice(key.as_bytes()),
        value,
        lease: 0,
        prev_kv: false,
        ignore_value: false,
        ignore_lease: false,
    }
}

fn txn(then: Vec<Operation>) -> Txn {
    Txn {
        compare: Vec::new(),
        then,
        otherwise: Vec::new(),
    }
}

fn all() -> Operation {
    Operation::Range(Range::of(KeyRange::all()))
}

fn told(outcome: &Outcome) -> usize {
    match outcome.result.as_ref().unwrap() {
        Reply::Txn { replies, .. } => replies
            .iter()
            .map(|reply| match reply {
                Reply::Range(result) => result.records.len(),
                other => panic!("{other:?}"),
            })
            .sum(),
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_transaction_tells_as_much_as_may_be_told_and_not_one_record_more() {
    let mut store = Store::with(LARGE);
    assert_eq!(told(&store.txn(vec![all()])), LARGE);
    let one = Operation::Range(Range::of(KeyRange::One(Bytes::from_static(b"k000"))));
    let more = store.txn(vec![all(), one.clone()]);
    assert_eq!(more.result, Ok(Reply::Untold));
    // Whichever of them is too much, and however deep it is.
    let nested = vec![Operation::Txn(txn(vec![one.clone()])), all()];
    assert_eq!(store.txn(nested).result, Ok(Reply::Untold));
    // Ones, too, and what a limit leaves out is not counted.
    assert_eq!(told(&store.txn(vec![one.clone(); LARGE])), LARGE);
    assert_eq!(store.txn(vec![one; LARGE + 1]).result, Ok(Reply::Untold));
    let few = Operation::Range(Range {
        limit: 1,
        ..Range::of(KeyRange::all())
    });
    assert_eq!(told(&store.txn(vec![few; LARGE])), LARGE);
}

#[test]
fn what_is_not_told_is_done_all_the_same_by_one_revision() {
    let mut store = Store::with(LARGE + 1);
    let before = store.machine.revision();
    let small = Bytes::from_static(b"small");
    let done = store.txn(vec![
        Operation::Put(put("before", small.clone())),
        all(),
        Operation::Put(put("behind", small)),
    ]);
    assert_eq!(done.result, Ok(Reply::Untold));
    assert_eq!(done.revision, Revision(before.0 + 1));
    for key in ["before", "behind"] {
        let written = store.view.history(key.as_bytes());
        assert_eq!(written.len(), 1, "{key}");
        assert_eq!(written[0].meta.mod_revision, done.revision);
    }
}

#[test]
fn a_deletion_that_shows_too_much_deletes_and_one_that_shows_nothing_says_how_many() {
    for (prev_kv, told) in [(true, Reply::Untold), (false, deleted(LARGE + 1))] {
        let mut store = Store::with(LARGE + 1);
        let keys = KeyRange::all();
        let done = store.run(Command::Delete(Delete { keys, prev_kv }));
        assert_eq!(done.result, Ok(told), "{prev_kv}");
        let left = store.view.history(key(LARGE).as_bytes()).last().cloned();
        assert!(left.unwrap().meta.is_tombstone());
    }
}

#[test]
fn what_puts_replace_counts_whether_its_value_is_kept_or_not() {
    for ignore_value in [false, true] {
        let mut store = Store::with(LARGE + 1);
        let puts = |count: usize| {
            let puts = (0..count).map(|n| {
                Operation::Put(Put {
                    prev_kv: true,
                    ignore_value,
                    ..put(&key(n), Bytes::new())
                })
            });
            puts.collect::<Vec<_>>()
        };
        let beyond = store.txn(puts(LARGE + 1));
        assert_eq!(beyond.result, Ok(Reply::Untold), "{ignore_value}");
        let written = store.view.history(key(LARGE).as_bytes()).last().cloned();
        let written = written.unwrap();
        assert_eq!(written.meta.mod_revision, beyond.revision);
        assert_eq!(written.value.is_empty(), !ignore_value);
        let within = store.txn(puts(LARGE));
        assert!(matches!(within.result, Ok(Reply::Txn { .. })));
    }
}

fn deleted(count: usize) -> Reply {
    Reply::Delete {
        deleted: count as u64,
        previous: Vec::new(),
    }
}

/// An order by value holds all of them before it knows which are told, and keys cost something, too.
#[test]
fn what_is_held_to_find_what_is_told_counts() {
    let mut store = Store::with(LARGE + 1);
    let by_value = Range {
        limit: 1,
        sort: Sort {
            target: SortTarget::Value,
            ..Sort::default()
        },
        ..Range::of(KeyRange::all())
    };
    let held = store.txn(vec![Operation::Range(by_value)]);
    assert_eq!(held.result, Ok(Reply::Untold));

    let keys = Range {
        keys_only: true,
        ..Range::of(KeyRange::all())
    };
    let steps = TOLD_BYTES_MAX / ((LARGE + 1) * (RECORD_BYTES + KEY_BYTES));
    let within = store.txn(vec![Operation::Range(keys.clone()); steps]);
    assert_eq!(told(&within), steps * (LARGE + 1));
    let beyond = store.txn(vec![Operation::Range(keys); steps + 1]);
    assert_eq!(beyond.result, Ok(Reply::Untold));
    let counted = Range {
        count_only: true,
        ..Range::of(KeyRange::all())
    };
    let counts = store.txn(vec![Operation::Range(counted); steps + 1]);
    assert_eq!(told(&counts), 0);
}

#[test]
fn a_repetition_of_what_was_not_told_is_told_the_same() {
    let mut store = Store::with(LARGE + 1);
    let request = Some(RequestId {
        client: 7,
        sequence: 1,
        answered_below: 1,
        born: LogIndex(1),
    });
    let command = Command::Txn(txn(vec![Operation::Put(put("a", Bytes::new())), all()]));
    let first = store.run_as(request, command.clone());
    assert_eq!(first.result, Ok(Reply::Untold));
    assert_eq!(store.run_as(request, command), first);
    let encoded = codec::encode_outcome(&first);
    assert_eq!(codec::decode_outcome(encoded).unwrap(), first);
}
