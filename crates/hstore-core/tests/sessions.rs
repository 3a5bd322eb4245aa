//! A request with an id is applied once, however often it is proposed, and what the machine
//! remembers of clients stays within its bounds.
#![allow(clippy::unwrap_used, reason = "a test may stop at once")]

use bytes::Bytes;
use hstore_core::auth::Author;
use hstore_core::command::{Command, GrantLease, Operation, Proposal, Put, RequestId, Txn};
use hstore_core::id::{LeaseTime, LogIndex};
use hstore_core::key::KeyRange;
use hstore_core::machine::{Machine, STATE_BYTES_MAX};
use hstore_core::outcome::{Outcome, Refusal};
use hstore_core::range::Range;
use hstore_core::testing::MemoryView;

const SESSIONS_MAX: u64 = 4096;
const OUTCOMES_MAX: u64 = 1024;
const LEASES_MAX: i64 = 200_000;

#[derive(Default)]
struct Store {
    machine: Machine,
    view: MemoryView,
}

impl Store {
    fn run(&mut self, index: u64, request: RequestId, command: Command) -> Outcome {
        let proposal = Proposal {
            request: Some(request),
            author: Author::Nobody,
            command,
        };
        self.machine
            .apply(&mut self.view, LogIndex(index), Ok(proposal))
            .unwrap()
            .outcome
    }

    fn put(&mut self, index: u64, request: RequestId) -> Outcome {
        self.run(index, request, put(&b"value"[..]))
    }

    fn records(&self) -> usize {
        self.view.records().len()
    }
}

fn put(value: impl Into<Bytes>) -> Command {
    Command::Put(Put {
        key: Bytes::from_static(b"key"),
        value: value.into(),
        lease: 0,
        prev_kv: true,
        ignore_value: false,
        ignore_lease: false,
    })
}

fn request(client: u64, sequence: u64) -> RequestId {
    RequestId {
        client,
        sequence,
        answered_below: 0,
        born: LogIndex(0),
    }
}

#[test]
fn a_repeated_request_gets_its_outcome_again_and_changes_nothing() {
    let mut store = Store::default();
    let first = store.put(1, request(7, 1));
    let other = store.put(2, request(8, 1));
    let again = store.put(3, request(7, 1));
    assert_eq!(again, first);
    assert_ne!(again, other);
    assert_eq!(store.records(), 2);
    assert_eq!(store.machine.revision().0, 3);
}

#[test]
fn a_repetition_within_one_log_entry_is_found_too() {
    let mut store = Store::default();
    let first = store.put(1, request(7, 1));
    assert_eq!(store.put(1, request(7, 1)), first);
    assert_eq!(store.records(), 1);
}

#[test]
fn a_refusal_is_remembered_like_any_outcome() {
    let mut store = Store::default();
    let leased = Command::Put(Put {
        lease: 9,
        ..match put("") {
            Command::Put(put) => put,
            _ => unreachable!(),
        }
    });
    let refused = store.run(1, request(7, 1), leased);
    assert_eq!(refused.result, Err(Refusal::LeaseNotFound));
    store.put(2, request(7, 2));
    assert_eq!(store.put(3, request(7, 1)), refused);
}

#[test]
fn requests_of_one_client_may_arrive_in_any_order() {
    let mut store = Store::default();
    for sequence in [3, 1, 2] {
        assert!(store.put(1, request(7, sequence)).result.is_ok());
    }
    assert_eq!(store.records(), 3);
}

#[test]
fn an_answered_request_that_comes_again_is_refused() {
    let mut store = Store::default();
    store.put(1, request(7, 1));
    store.put(2, request(7, 2));
    let answered = RequestId {
        answered_below: 3,
        ..request(7, 3)
    };
    store.put(3, answered);
    for sequence in [1, 2] {
        let late = store.put(4, request(7, sequence));
        assert_eq!(late.result, Err(Refusal::OutcomeForgotten));
    }
    assert_eq!(store.records(), 3);
    let kept = store.put(5, answered);
    assert_eq!(kept.revision.0, 4);
}

#[test]
fn a_request_never_counts_itself_as_answered() {
    let mut store = Store::default();
    let confused = RequestId {
        answered_below: u64::MAX,
        ..request(7, 5)
    };
    let first = store.put(1, confused);
    assert!(first.result.is_ok());
    assert_eq!(store.put(2, confused), first);
}

#[test]
fn a_session_that_is_full_refuses_until_answers_arrived() {
    let mut store = Store::default();
    for sequence in 1..=OUTCOMES_MAX {
        assert!(store.put(sequence, request(7, sequence)).result.is_ok());
    }
    let next = request(7, OUTCOMES_MAX + 1);
    assert_eq!(store.put(5000, next).result, Err(Refusal::SessionFull));
    // A repetition is still answered, and another client is not held up.
    assert!(store.put(5001, request(7, 1)).result.is_ok());
    assert!(store.put(5002, request(8, 1)).result.is_ok());
    let answered = RequestId {
        answered_below: 2,
        ..next
    };
    assert!(store.put(5003, answered).result.is_ok());
}

#[test]
fn the_least_recently_used_session_goes_for_a_new_one() {
    let mut store = Store::default();
    for client in 0..SESSIONS_MAX {
        store.put(client + 1, request(client, 1));
    }
    // Client 0 is used again, so client 1 (last used at index 2) is the one to go.
    store.put(5000, request(0, 2));
    let newest = RequestId {
        born: LogIndex(4999),
        ..request(SESSIONS_MAX, 1)
    };
    assert!(store.put(5001, newest).result.is_ok());
    let records = store.records();
    let repeated = store.put(5002, request(0, 1));
    assert_eq!(repeated.revision.0, 2, "still remembered");
    let forgotten = store.put(5003, request(1, 1));
    assert_eq!(forgotten.result, Err(Refusal::SessionExpired));
    assert_eq!(store.records(), records);
    // Whoever was born after the last use of what was forgotten is certainly new.
    let born = |born| RequestId {
        born: LogIndex(born),
        ..request(9999, 1)
    };
    let refused = store.put(5004, born(2));
    assert_eq!(refused.result, Err(Refusal::SessionExpired));
    assert!(store.put(5005, born(3)).result.is_ok());
}

#[test]
fn kept_outcomes_stay_within_their_bound() {
    let mut store = Store::default();
    let mut index = 0;
    // Every outcome holds the replaced value, 192 KiB.
    for client in 0..80 {
        index += 1;
        let newcomer = RequestId {
            born: LogIndex(index),
            ..request(client, 1)
        };
        let outcome = store.run(index, newcomer, put(vec![1; 192 * 1024]));
        assert!(outcome.result.is_ok());
        assert!(store.machine.encode_state().len() <= STATE_BYTES_MAX);
    }
    let records = store.records();
    let last = store.put(100, request(79, 1));
    assert_eq!(last.revision.0, 81, "the newest is remembered");
    let first = store.put(101, request(0, 1));
    assert_eq!(first.result, Err(Refusal::SessionExpired));
    assert_eq!(store.records(), records);
}

#[test]
fn one_client_that_fills_the_whole_room_keeps_its_session() {
    let mut store = Store::default();
    for sequence in 1..=80 {
        store.run(sequence, request(7, sequence), put(vec![1; 192 * 1024]));
        assert!(store.machine.encode_state().len() <= STATE_BYTES_MAX);
    }
    let records = store.records();
    let repeated = store.put(100, request(7, 1));
    assert_eq!(repeated.result, Err(Refusal::OutcomeForgotten));
    assert_eq!(store.records(), records);
    assert!(store.put(101, request(7, 81)).result.is_ok());
}

#[test]
fn an_outcome_that_is_too_large_is_not_kept_but_never_applied_again() {
    let mut store = Store::default();
    store.run(1, request(7, 1), put(vec![1; 150 * 1024]));
    let reading = Txn {
        then: vec![
            Operation::Range(Range::of(KeyRange::all())),
            Operation::Range(Range::of(KeyRange::all())),
        ],
        ..Txn::default()
    };
    let large = store.run(2, request(7, 2), Command::Txn(reading.clone()));
    assert!(large.result.is_ok());
    let repeated = store.run(3, request(7, 2), Command::Txn(reading));
    assert_eq!(repeated.result, Err(Refusal::OutcomeForgotten));
    assert!(store.put(4, request(7, 3)).result.is_ok());
}

#[test]
fn sessions_survive_being_written_down() {
    let mut store = Store::default();
    for client in 0..SESSIONS_MAX + 10 {
        let born = LogIndex(client);
        store.put(
            client + 1,
            RequestId {
                born,
                ..request(client, 1)
            },
        );
    }
    let mut copy = Store {
        machine: Machine::decode_state(store.machine.encode_state()).unwrap(),
        view: store.view.clone(),
    };
    let cases = [
        (request(0, 1), "forgotten"),
        (request(100, 1), "repeated"),
        (request(100, 2), "next"),
        (
            RequestId {
                born: LogIndex(9000),
                ..request(9000, 1)
            },
            "new",
        ),
        (request(11, 1), "the one that went for the new one"),
    ];
    for (request, case) in cases {
        assert_eq!(store.put(9001, request), copy.put(9001, request), "{case}");
        assert_eq!(store.machine.encode_state(), copy.machine.encode_state());
    }
    assert_eq!(store.view, copy.view);
}

#[test]
fn the_fullest_machine_stays_within_the_bound_of_its_state() {
    let mut store = Store::default();
    let mut index = 0;
    for client in 0..SESSIONS_MAX {
        for sequence in 1..=40 {
            index += 1;
            let id = RequestId {
                born: LogIndex(u64::MAX),
                ..request(client << 50 | client, u64::MAX - sequence)
            };
            store.run(index, id, put(Bytes::new()));
        }
    }
    store.machine.advance(LeaseTime(1 << 60));
    for lease in i64::MIN..i64::MIN + LEASES_MAX {
        index += 1;
        let grant = Command::GrantLease(GrantLease {
            lease,
            ttl: 1 << 50,
        });
        let proposal = Ok(Proposal {
            request: None,
            author: Author::Nobody,
            command: grant,
        });
        let Store { machine, view } = &mut store;
        machine.apply(view, LogIndex(index), proposal).unwrap();
    }
    let len = store.machine.encode_state().len();
    assert!(len > STATE_BYTES_MAX / 2, "the test fills something: {len}");
    assert!(len <= STATE_BYTES_MAX, "{len}");
}
