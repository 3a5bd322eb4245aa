//! Leases, command by command, on a clock that the test moves.
#![allow(clippy::unwrap_used, reason = "a test may stop at once")]

use bytes::Bytes;
use hstore_core::auth::Author;
use hstore_core::check::{self, Violation};
use hstore_core::command::{Command, Delete, GrantLease, Operation, Proposal, Put, Txn};
use hstore_core::id::{LeaseTime, LogIndex, Revision};
use hstore_core::key::KeyRange;
use hstore_core::limits::{LEASE_TTL_MAX_S, LEASE_TTL_MIN_S, Limits};
use hstore_core::machine::{Machine, STATE_BYTES_MAX};
use hstore_core::outcome::{LeaseReply, Outcome, Refusal, Reply};
use hstore_core::testing::MemoryView;

#[derive(Default)]
struct Store {
    machine: Machine,
    view: MemoryView,
    index: u64,
}

impl Store {
    fn outcome(&mut self, command: Command) -> Outcome {
        self.index += 1;
        let proposal = Proposal {
            request: None,
            author: Author::Nobody,
            command,
        };
        let index = LogIndex(self.index);
        let Ok(applied) = self.machine.apply(&mut self.view, index, Ok(proposal));
        applied.outcome
    }

    fn run(&mut self, command: Command) -> Result<Reply, Refusal> {
        self.outcome(command).result
    }

    fn grant(&mut self, lease: i64, ttl: i64) -> Result<Reply, Refusal> {
        self.run(Command::GrantLease(GrantLease { lease, ttl }))
    }

    fn put(&mut self, key: &'static str, lease: i64) -> Result<Reply, Refusal> {
        self.run(Command::Put(put(key, lease)))
    }

    fn at_seconds(&mut self, seconds: u64) {
        self.machine.advance(LeaseTime(seconds * 1000));
    }

    fn expire(&mut self) -> (u64, bool) {
        match self.run(Command::ExpireLeases).unwrap() {
            Reply::Lease(LeaseReply::Expired { count, more }) => (count, more),
            other => panic!("{other:?}"),
        }
    }

    fn keys(&self) -> Vec<Bytes> {
        use hstore_core::machine::View;
        let mut keys = Vec::new();
        let at = self.machine.revision();
        self.view.scan(&KeyRange::all(), at, &mut |key, _| {
            keys.push(key.clone());
            std::ops::ControlFlow::Continue(())
        });
        keys
    }
}

fn put(key: &'static str, lease: i64) -> Put {
    Put {
        key: key.into(),
        value: Bytes::new(),
        lease,
        prev_kv: false,
        ignore_value: false,
        ignore_lease: false,
    }
}

fn granted(ttl: i64) -> Reply {
    Reply::Lease(LeaseReply::Granted { ttl })
}

#[test]
fn a_lease_is_made_once_and_a_short_time_is_raised() {
    let mut store = Store::default();
    assert_eq!(store.grant(7, 60), Ok(granted(60)));
    assert_eq!(store.grant(7, 60), Err(Refusal::LeaseExists));
    assert_eq!(store.grant(8, 0), Ok(granted(LEASE_TTL_MIN_S)));
    assert_eq!(store.grant(-9, i64::MIN), Ok(granted(LEASE_TTL_MIN_S)));
    assert_eq!(store.machine.leases().collect::<Vec<_>>(), [-9, 7, 8]);
    assert_eq!(store.machine.revision(), Revision(1), "no key was written");
}

#[test]
fn the_door_refuses_what_no_lease_can_be() {
    let grant = |lease, ttl| {
        check::command(
            &Command::GrantLease(GrantLease { lease, ttl }),
            &Limits::default(),
        )
    };
    assert_eq!(grant(1, LEASE_TTL_MAX_S), Ok(()));
    assert_eq!(grant(0, 5), Err(Violation::LeaseWithoutId));
    let ttl = LEASE_TTL_MAX_S + 1;
    assert_eq!(grant(1, ttl), Err(Violation::LeaseTtlTooLarge { ttl }));
}

#[test]
fn keys_need_a_lease_that_is_there() {
    let mut store = Store::default();
    assert_eq!(store.put("k", 7), Err(Refusal::LeaseNotFound));
    store.grant(7, 60).unwrap();
    store.put("k", 7).unwrap();
    let within = Command::Txn(Txn {
        then: vec![Operation::Put(put("l", 8))],
        ..Txn::default()
    });
    assert_eq!(store.run(within), Err(Refusal::LeaseNotFound));
    assert_eq!(store.keys(), ["k"]);
}

#[test]
fn a_revoked_lease_takes_its_keys_in_one_revision() {
    let mut store = Store::default();
    store.grant(7, 60).unwrap();
    store.grant(8, 60).unwrap();
    for key in ["c", "a", "b", "moved", "freed", "gone"] {
        store.put(key, 7).unwrap();
    }
    store.put("moved", 8).unwrap();
    store.put("freed", 0).unwrap();
    let gone = Delete {
        keys: KeyRange::One("gone".into()),
        prev_kv: false,
    };
    store.run(Command::Delete(gone)).unwrap();
    let before = store.machine.revision();
    let revoked = store.outcome(Command::RevokeLease { lease: 7 });
    assert_eq!(revoked.result, Ok(Reply::Lease(LeaseReply::Revoked)));
    assert_eq!(revoked.revision, before.next());
    assert_eq!(store.keys(), ["freed", "moved"]);
    let written = store.view.records();
    let ends = written
        .iter()
        .filter(|record| record.meta.mod_revision == before.next());
    let ends: Vec<_> = ends
        .map(|record| (&record.key[..], record.meta.sub))
        .collect();
    assert_eq!(ends, [(&b"a"[..], 0), (b"b", 1), (b"c", 2)]);
    let again = store.run(Command::RevokeLease { lease: 7 });
    assert_eq!(again, Err(Refusal::LeaseNotFound));
    let empty = store.outcome(Command::RevokeLease { lease: 8 });
    assert_eq!(empty.revision, before.next().next());
}

#[test]
fn a_lease_without_keys_ends_without_a_revision() {
    let mut store = Store::default();
    store.grant(7, 60).unwrap();
    store.run(Command::RevokeLease { lease: 7 }).unwrap();
    assert_eq!(store.machine.revision(), Revision(1));
    assert_eq!(store.machine.lease(7), None);
}

#[test]
fn a_lease_ends_at_its_time_and_not_before() {
    let mut store = Store::default();
    store.at_seconds(100);
    store.grant(7, 10).unwrap();
    store.put("k", 7).unwrap();
    assert_eq!(store.machine.next_lease_end(), Some(LeaseTime(110_000)));
    store.machine.advance(LeaseTime(109_999));
    assert_eq!(store.expire(), (0, false));
    assert_eq!(store.keys(), ["k"]);
    store.at_seconds(110);
    assert_eq!(store.expire(), (1, false));
    assert_eq!(store.keys(), Vec::<Bytes>::new());
    assert_eq!(store.machine.next_lease_end(), None);
}

#[test]
fn a_renewal_gives_the_full_time_until_the_time_is_over() {
    let mut store = Store::default();
    store.grant(7, 10).unwrap();
    store.at_seconds(9);
    let renew = Command::RenewLease { lease: 7 };
    assert_eq!(
        store.run(renew.clone()),
        Ok(Reply::Lease(LeaseReply::Renewed { ttl: 10 }))
    );
    store.at_seconds(18);
    assert_eq!(store.expire(), (0, false));
    store.at_seconds(19);
    assert_eq!(store.run(renew.clone()), Err(Refusal::LeaseNotFound));
    assert_eq!(store.expire(), (1, false));
    assert_eq!(store.run(renew), Err(Refusal::LeaseNotFound));
}

#[test]
fn the_clock_never_goes_back() {
    let mut store = Store::default();
    store.at_seconds(10);
    let hash = store.machine.state_hash();
    store.at_seconds(9);
    store.at_seconds(10);
    assert_eq!(store.machine.lease_clock(), LeaseTime(10_000));
    assert_eq!(store.machine.state_hash(), hash);
    store.at_seconds(11);
    assert_ne!(store.machine.state_hash(), hash, "the clock is state");
}

#[test]
fn thousands_of_leases_end_in_portions() {
    let mut store = Store::default();
    for lease in 1..=3000 {
        store.grant(lease, 5).unwrap();
    }
    store.at_seconds(5);
    assert_eq!(store.expire(), (1024, true));
    assert_eq!(store.expire(), (1024, true));
    assert_eq!(store.expire(), (952, false));
}

#[test]
fn many_keys_make_portions_smaller_and_one_lease_is_never_split() {
    let mut store = Store::default();
    let names: Vec<&'static str> = (0..2000)
        .map(|name| &*Box::leak(format!("{name:04}").into_boxed_str()))
        .collect();
    for lease in 1..=3 {
        store.grant(lease, 5).unwrap();
    }
    for (place, name) in names.iter().enumerate() {
        let lease = if place < 1500 { 1 } else { 2 };
        store.put(name, lease).unwrap();
    }
    store.at_seconds(5);
    let before = store.machine.revision();
    assert_eq!(store.expire(), (1, true));
    assert_eq!(store.keys().len(), 500);
    assert_eq!(store.machine.revision(), before.next());
    assert_eq!(store.expire(), (2, false));
    assert_eq!(store.machine.revision(), before.next().next());
}

#[test]
fn the_state_carries_leases_and_their_clock_and_is_bounded() {
    let mut store = Store::default();
    store.at_seconds(1_000_000);
    let mut lease = 0;
    let refused = loop {
        lease -= 1;
        if let Err(refused) = store.grant(lease, LEASE_TTL_MAX_S) {
            break refused;
        }
    };
    assert_eq!(refused, Refusal::TooManyLeases);
    let encoded = store.machine.encode_state();
    assert!(encoded.len() < STATE_BYTES_MAX / 2, "{}", encoded.len());
    let decoded = Machine::decode_state(encoded.clone()).unwrap();
    assert_eq!(decoded.encode_state(), encoded);
    assert_eq!(decoded.lease(-1), store.machine.lease(-1));
    assert_eq!(decoded.lease_clock(), store.machine.lease_clock());
    assert_eq!(decoded.next_lease_end(), store.machine.next_lease_end());
}
