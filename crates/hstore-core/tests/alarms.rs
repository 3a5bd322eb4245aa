//! Alarms and what they forbid, and ids that are kept for nodes that did not start yet.
#![allow(clippy::unwrap_used, reason = "a test may stop at once")]

use bytes::Bytes;
use hstore_core::alarm::{Alarm, AlarmChange, AlarmKind};
use hstore_core::auth::Author;
use hstore_core::command::{
    Command, Compact, Delete, GrantLease, Operation, Proposal, Put, ReserveNode, Txn,
};
use hstore_core::id::{Incarnation, LogIndex, NodeId, Revision};
use hstore_core::key::KeyRange;
use hstore_core::machine::Machine;
use hstore_core::outcome::{Refusal, Reply};
use hstore_core::range::Range;
use hstore_core::testing::MemoryView;

#[derive(Default)]
struct Store {
    machine: Machine,
    view: MemoryView,
    index: u64,
}

impl Store {
    fn run(&mut self, command: Command) -> Result<Reply, Refusal> {
        self.index += 1;
        let proposal = Proposal {
            request: None,
            author: Author::Node,
            command,
        };
        let index = LogIndex(self.index);
        let Ok(applied) = self.machine.apply(&mut self.view, index, Ok(proposal));
        applied.outcome.result
    }

    fn raise(&mut self, kind: AlarmKind, node: u64, automatic: bool) -> Result<Reply, Refusal> {
        self.run(Command::Alarm(AlarmChange::Raise(Alarm {
            kind,
            node: NodeId(node),
            automatic,
        })))
    }

    fn clear(&mut self, kind: AlarmKind, node: u64) -> Result<Reply, Refusal> {
        let node = NodeId(node);
        self.run(Command::Alarm(AlarmChange::Clear { kind, node }))
    }

    /// What is refused with this refusal, by name.
    fn refused(&mut self, because: &Refusal) -> Vec<&'static str> {
        self.machine = self.machine_after_restart();
        let mut refused = Vec::new();
        for (name, command) in commands() {
            if self.run(command).as_ref() == Err(because) {
                refused.push(name);
            }
        }
        refused
    }

    /// Alarms must survive every restart and every snapshot.
    fn machine_after_restart(&self) -> Machine {
        Machine::decode_state(self.machine.encode_state()).unwrap()
    }

    fn reserve(&mut self, node: Option<u64>, address: &str, learner: bool) -> Result<u64, Refusal> {
        let reserved = self.run(Command::ReserveNode(ReserveNode {
            node: node.map(NodeId),
            peer_address: address.to_owned(),
            learner,
        }));
        reserved.map(node_of)
    }

    fn allocate(&mut self, incarnation: u64, address: &str) -> u64 {
        let allocated = self.run(Command::AllocateNode {
            incarnation: Incarnation(incarnation),
            peer_address: address.to_owned(),
        });
        node_of(allocated.unwrap())
    }

    fn expected(&self) -> Vec<(u64, String, bool)> {
        let expected = self.machine.notices().expected.into_iter();
        expected
            .map(|(node, kept)| (node.0, kept.peer_address, kept.learner))
            .collect()
    }
}

fn node_of(reply: Reply) -> u64 {
    match reply {
        Reply::Node(node) => node.0,
        other => panic!("no node id: {other:?}"),
    }
}

fn put() -> Put {
    Put {
        key: Bytes::from_static(b"a"),
        value: Bytes::from_static(b"1"),
        lease: 0,
        prev_kv: false,
        ignore_value: false,
        ignore_lease: false,
    }
}

fn delete() -> Delete {
    Delete {
        keys: KeyRange::One(Bytes::from_static(b"a")),
        prev_kv: false,
    }
}

fn txn(then: Vec<Operation>) -> Txn {
    Txn {
        then,
        ..Txn::default()
    }
}

/// One command of each kind that a client can ask for.
fn commands() -> Vec<(&'static str, Command)> {
    let nested = Operation::Txn(Txn {
        otherwise: vec![Operation::Put(put())],
        ..Txn::default()
    });
    let read = Operation::Range(Range::of(KeyRange::all()));
    vec![
        ("put", Command::Put(put())),
        (
            "txn with a put",
            Command::Txn(txn(vec![Operation::Put(put())])),
        ),
        (
            "txn with a put below that would not run",
            Command::Txn(txn(vec![nested])),
        ),
        ("txn that reads", Command::Txn(txn(vec![read]))),
        (
            "txn that deletes",
            Command::Txn(txn(vec![Operation::Delete(delete())])),
        ),
        ("delete", Command::Delete(delete())),
        (
            "compact",
            Command::Compact(Compact {
                revision: Revision(1),
            }),
        ),
        (
            "grant",
            Command::GrantLease(GrantLease { lease: 5, ttl: 9 }),
        ),
        ("renew", Command::RenewLease { lease: 5 }),
        ("revoke", Command::RevokeLease { lease: 5 }),
        ("expire", Command::ExpireLeases),
    ]
}

#[test]
fn without_room_only_what_grows_is_refused() {
    let mut store = Store::default();
    assert!(store.refused(&Refusal::NoSpace).is_empty());
    store.raise(AlarmKind::NoSpace, 7, true).unwrap();
    let grows = [
        "put",
        "txn with a put",
        "txn with a put below that would not run",
        "grant",
    ];
    assert_eq!(store.refused(&Refusal::NoSpace), grows);
    // Another node's alarm stands when the first one's is over.
    store.raise(AlarmKind::NoSpace, 8, false).unwrap();
    store.clear(AlarmKind::NoSpace, 7).unwrap();
    assert_eq!(store.refused(&Refusal::NoSpace), grows);
    store.clear(AlarmKind::NoSpace, 8).unwrap();
    assert!(store.refused(&Refusal::NoSpace).is_empty());
}

#[test]
fn damaged_data_is_not_changed_by_clients_but_leases_end() {
    let mut store = Store::default();
    store.raise(AlarmKind::Corrupt, 7, false).unwrap();
    store.raise(AlarmKind::NoSpace, 7, false).unwrap();
    let refused = store.refused(&Refusal::Corrupt);
    let all = commands();
    let changes = all.iter().map(|(name, _)| *name);
    let changes: Vec<_> = changes
        .filter(|name| !["renew", "expire"].contains(name))
        .collect();
    assert_eq!(refused, changes);
}

#[test]
fn alarms_are_answered_as_etcd_does() {
    let mut store = Store::default();
    let alarm = |automatic| Alarm {
        kind: AlarmKind::NoSpace,
        node: NodeId(7),
        automatic,
    };
    let none = Ok(Reply::Alarms(vec![]));
    assert_eq!(store.clear(AlarmKind::NoSpace, 7), none);
    let raised = Ok(Reply::Alarms(vec![alarm(true)]));
    assert_eq!(store.raise(AlarmKind::NoSpace, 7, true), raised);
    // One that is on already stays what it is.
    assert_eq!(store.raise(AlarmKind::NoSpace, 7, false), raised);
    assert_eq!(store.clear(AlarmKind::Corrupt, 7), none);
    assert_eq!(store.machine.notices().alarms, [alarm(true)]);
    assert_eq!(store.clear(AlarmKind::NoSpace, 7), raised);
    assert_eq!(store.machine.notices().alarms, []);
    for node in 0..256 {
        store.raise(AlarmKind::Corrupt, node, false).unwrap();
    }
    let refused = store.raise(AlarmKind::NoSpace, 1, false);
    assert_eq!(refused, Err(Refusal::TooManyAlarms));
    assert!(store.raise(AlarmKind::Corrupt, 1, false).is_ok());
    assert_eq!(store.machine_after_restart().notices().alarms.len(), 256);
}

#[test]
fn a_reserved_id_goes_to_the_folder_at_its_address_and_to_nobody_else() {
    let mut store = Store {
        index: 10,
        ..Store::default()
    };
    let first = store.reserve(None, "a:1", false).unwrap();
    let second = store.reserve(None, "b:1", true).unwrap();
    assert_eq!((first, second), (11, 12));
    let taken = store.reserve(None, "a:1", true);
    assert_eq!(taken, Err(Refusal::AddressReserved));
    let taken = store.reserve(Some(second), "a:1", false);
    assert_eq!(taken, Err(Refusal::AddressReserved));
    assert_eq!(
        store.reserve(Some(99), "c:1", false),
        Err(Refusal::NotReserved)
    );
    // Its address changes; that it is a learner does not.
    assert_eq!(store.reserve(Some(second), "c:1", false), Ok(second));
    store.machine = store.machine_after_restart();
    assert_eq!(
        store.expected(),
        [(11, "a:1".to_owned(), false), (12, "c:1".to_owned(), true)]
    );
    let stranger = store.allocate(50, "d:1");
    assert!(stranger > second);
    assert_eq!(store.allocate(51, "a:1"), first);
    assert_eq!(store.allocate(51, ""), first, "the same folder again");
    assert!(store.allocate(52, "a:1") > stranger, "it was claimed");
    assert!(store.machine.notices().learners.is_empty());
    assert_eq!(store.allocate(53, "c:1"), second);
    store.machine = store.machine_after_restart();
    assert_eq!(store.machine.notices().learners, [NodeId(second)].into());
    assert!(store.expected().is_empty());
}

#[test]
fn a_reserved_id_that_is_given_up_is_never_given_again() {
    let mut store = Store::default();
    let node = store.reserve(None, "a:1", false).unwrap();
    let released = store.run(Command::ReleaseNode { node: NodeId(node) });
    assert_eq!(released, Ok(Reply::Node(NodeId(node))));
    let again = store.run(Command::ReleaseNode { node: NodeId(node) });
    assert_eq!(again, Err(Refusal::NotReserved));
    assert!(store.allocate(50, "a:1") > node);
    for n in 0..64 {
        store.reserve(None, &format!("n{n}:1"), false).unwrap();
    }
    let refused = store.reserve(None, "one:1", false);
    assert_eq!(refused, Err(Refusal::TooManyReserved));
}
