//! The machine with which a new cluster begins.
#![allow(clippy::unwrap_used, reason = "a test may stop at once")]

use hstore_core::auth::Author;
use hstore_core::codec::encode_proposal;
use hstore_core::command::{Command, GrantLease, Proposal, Put, RequestId};
use hstore_core::id::{Incarnation, LeaseTime, LogIndex, NodeId, Revision};
use hstore_core::machine::Machine;
use hstore_core::outcome::{Outcome, Reply};
use hstore_core::testing::MemoryView;

fn put(key: &'static str) -> Command {
    Command::Put(Put {
        key: key.into(),
        value: "v".into(),
        lease: 0,
        prev_kv: false,
        ignore_value: false,
        ignore_lease: false,
    })
}

fn run(machine: &mut Machine, index: u64, request: Option<RequestId>, command: Command) -> Outcome {
    let proposal = Proposal {
        request,
        author: Author::Nobody,
        command,
    };
    // What cannot be encoded cannot be logged.
    assert!(!encode_proposal(&proposal).is_empty());
    let mut view = MemoryView::new();
    let Ok(applied) = machine.apply(&mut view, LogIndex(index), Ok(proposal));
    applied.outcome
}

#[test]
fn a_new_cluster_keeps_what_clients_have_and_forgets_the_nodes() {
    let mut machine = Machine::default();
    let old = Incarnation(5);
    let request = RequestId {
        client: 1,
        sequence: 1,
        answered_below: 0,
        born: LogIndex(0),
    };
    machine.advance(LeaseTime(1000));
    run(&mut machine, 1, Some(request), put("a"));
    let allocate = Command::AllocateNode {
        incarnation: old,
        peer_address: String::new(),
    };
    let first = run(&mut machine, 7, None, allocate.clone());
    assert_eq!(first.result, Ok(Reply::Node(NodeId(7))));
    let grant = GrantLease { lease: 3, ttl: 10 };
    run(&mut machine, 8, None, Command::GrantLease(grant));
    let lease = machine.lease(3);

    let mut machine = machine.refounded(0, false).unwrap();
    assert_eq!(machine.revision(), Revision(2));
    assert_eq!(machine.compacted(), Revision(0));
    assert_eq!(machine.lease(3), lease);
    assert_eq!(machine.lease_clock(), LeaseTime(1000));
    let again = run(&mut machine, 9, Some(request), put("a"));
    assert_eq!(again.revision, Revision(2), "it is not applied again");
    let second = run(&mut machine, 12, None, allocate);
    assert_eq!(second.result, Ok(Reply::Node(NodeId(12))), "a new id");
    let decoded = Machine::decode_state(machine.encode_state()).unwrap();
    assert_eq!(decoded.encode_state(), machine.encode_state());
}

#[test]
fn revisions_are_skipped_but_never_run_out() {
    let machine = Machine::default().refounded(99, true).unwrap();
    assert_eq!(machine.revision(), Revision(100));
    assert_eq!(machine.compacted(), Revision(100));
    let most = i64::MAX as u64;
    assert!(Machine::default().refounded(most, true).is_none());
    assert!(Machine::default().refounded(u64::MAX, true).is_none());
    assert!(Machine::default().refounded(most - 1, true).is_some());
}
