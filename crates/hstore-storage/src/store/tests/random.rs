//! Random lives of a store: batches of every command, flushes, compaction, snapshots and every way
//! to end, each compared with the naive store.

use bytes::Bytes;
use proptest::prelude::*;

use hstore_core::command::{
    Command, Compare, CompareTarget, GrantLease, Operation, Put, Relation, RequestId, Txn,
};
use hstore_core::id::{LeaseTime, LogIndex, Revision};
use hstore_core::key::KeyRange;
use hstore_core::range::Range;

use super::super::{ApplyItem, Opened, RebuildReason};
use super::world::{World, batch_at, compact, delete, put};

#[derive(Clone, Debug)]
enum Step {
    Apply(Vec<(Option<u8>, Op)>),
    Blank,
    Garbage(Vec<u8>),
    Flush,
    Maintain(u8),
    Snapshot,
    Reopen,
    Crash,
    PowerLoss,
}

#[derive(Clone, Debug)]
enum Op {
    Put(u8, u16),
    Delete(u8),
    DeleteRange(u8, u8),
    Expire,
    Grant(i64, i64),
    Leased(u8, i64),
    Renew(i64),
    Revoke(i64),
    Txn(Vec<TxnOp>),
    /// How far below the current revision, in percent of all of them.
    Compact(u8),
}

#[derive(Clone, Debug)]
enum TxnOp {
    Put(u8, u16),
    KeepValue(u8),
    DeleteRange(u8, u8),
    /// The keys, and how far back, in percent; 0 is now.
    Range(u8, u8, u8),
    ValueIs(u8, u16),
}

fn name(key: u8) -> Vec<u8> {
    // Some keys fit into the index in place, some do not, and their order is that of the numbers.
    if key.is_multiple_of(3) {
        vec![b'k', key]
    } else {
        [&[b'k', key][..], &[b'x'; 30]].concat()
    }
}

fn value(seed: u16) -> Vec<u8> {
    let len = match seed % 10 {
        0 => 0,
        1..=7 => usize::from(seed % 90),
        8 => 700,
        _ => 3000,
    };
    (0..len)
        .map(|at| (at as u16).wrapping_mul(seed | 1).to_le_bytes()[0])
        .collect()
}

fn span(from: u8, to: u8) -> KeyRange {
    match to {
        0 => KeyRange::From(name(from).into()),
        _ => KeyRange::Span {
            start: name(from).into(),
            end: name(to).into(),
        },
    }
}

fn txn(ops: &[TxnOp], current: i64) -> Command {
    let mut txn = Txn::default();
    for op in ops {
        let operation = match op {
            TxnOp::Put(key, seed) => Operation::Put(Put {
                key: name(*key).into(),
                value: value(*seed).into(),
                lease: 0,
                prev_kv: true,
                ignore_value: false,
                ignore_lease: false,
            }),
            TxnOp::KeepValue(key) => Operation::Put(Put {
                key: name(*key).into(),
                value: Bytes::new(),
                lease: 0,
                prev_kv: false,
                ignore_value: true,
                ignore_lease: true,
            }),
            TxnOp::DeleteRange(from, to) => {
                let Command::Delete(delete) = delete(span(*from, *to)) else {
                    continue;
                };
                Operation::Delete(delete)
            }
            TxnOp::Range(from, to, back) => Operation::Range(Range {
                revision: Revision(current * i64::from(*back) / 100),
                ..Range::of(span(*from, *to))
            }),
            TxnOp::ValueIs(key, seed) => {
                txn.compare.push(Compare {
                    keys: KeyRange::One(name(*key).into()),
                    relation: Relation::Equal,
                    target: CompareTarget::Value(value(*seed).into()),
                });
                continue;
            }
        };
        txn.then.push(operation.clone());
        if txn.otherwise.len() < 2 {
            txn.otherwise.push(operation);
        }
    }
    Command::Txn(txn)
}

fn txn_ops() -> impl Strategy<Value = Vec<TxnOp>> {
    let key = 0u8..12;
    let op = prop_oneof![
        4 => (key.clone(), any::<u16>()).prop_map(|(key, seed)| TxnOp::Put(key, seed)),
        1 => key.clone().prop_map(TxnOp::KeepValue),
        1 => (key.clone(), key.clone()).prop_map(|(from, to)| TxnOp::DeleteRange(from, to)),
        2 => (key.clone(), key.clone(), 0u8..110).prop_map(|(from, to, back)| TxnOp::Range(from, to, back)),
        1 => (key, 0u16..4).prop_map(|(key, seed)| TxnOp::ValueIs(key, seed)),
    ];
    prop::collection::vec(op, 1..6)
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let key = 0u8..12;
    let op = prop_oneof![
        10 => (key.clone(), any::<u16>()).prop_map(|(key, seed)| Op::Put(key, seed)),
        2 => key.clone().prop_map(Op::Delete),
        1 => (key.clone(), key.clone()).prop_map(|(from, to)| Op::DeleteRange(from, to)),
        2 => Just(Op::Expire),
        3 => (1i64..4, 0i64..5).prop_map(|(lease, ttl)| Op::Grant(lease, ttl)),
        5 => (key.clone(), 1i64..4).prop_map(|(key, lease)| Op::Leased(key, lease)),
        2 => (1i64..4).prop_map(Op::Renew),
        1 => (1i64..4).prop_map(Op::Revoke),
        3 => txn_ops().prop_map(Op::Txn),
        1 => (0u8..110).prop_map(Op::Compact),
    ];
    let proposal = (prop::option::weighted(0.3, 0u8..4), op);
    let step = prop_oneof![
        20 => prop::collection::vec(proposal, 0..8).prop_map(Step::Apply),
        1 => Just(Step::Blank),
        1 => prop::collection::vec(any::<u8>(), 0..5).prop_map(Step::Garbage),
        6 => Just(Step::Flush),
        6 => (1u8..30).prop_map(Step::Maintain),
        2 => Just(Step::Snapshot),
        1 => Just(Step::Reopen),
        2 => Just(Step::Crash),
        1 => Just(Step::PowerLoss),
    ];
    prop::collection::vec(step, 1..60)
}

fn command(op: &Op, current: i64) -> Command {
    match op {
        Op::Put(key, seed) => put(&name(*key), &value(*seed)),
        Op::Delete(key) => delete(KeyRange::One(name(*key).into())),
        Op::DeleteRange(from, to) => delete(span(*from, *to)),
        Op::Expire => Command::ExpireLeases,
        Op::Grant(lease, ttl) => Command::GrantLease(GrantLease {
            lease: *lease,
            ttl: *ttl,
        }),
        Op::Leased(key, lease) => Command::Put(Put {
            key: name(*key).into(),
            value: value(9).into(),
            lease: *lease,
            prev_kv: false,
            ignore_value: false,
            ignore_lease: false,
        }),
        Op::Renew(lease) => Command::RenewLease { lease: *lease },
        Op::Revoke(lease) => Command::RevokeLease { lease: *lease },
        Op::Txn(ops) => txn(ops, current),
        Op::Compact(percent) => compact(current * i64::from(*percent) / 100),
    }
}

fn live(steps: &[Step]) {
    let mut world = World::new();
    let mut sequence = 0;
    let mut time = LeaseTime(0);
    for step in steps {
        match step {
            Step::Apply(ops) => {
                let current = world.naive.machine.revision().0;
                let proposals = ops.iter().map(|(client, op)| {
                    // One in four repeats the request before it.
                    let request = client.map(|client| {
                        sequence += u64::from(client != 0);
                        RequestId {
                            client: 7,
                            sequence: sequence.max(1),
                            answered_below: sequence.saturating_sub(3),
                            born: LogIndex(0),
                        }
                    });
                    (request, command(op, current))
                });
                let proposals = proposals.collect::<Vec<_>>();
                time.0 += 300;
                world.apply(batch_at(time, proposals));
            }
            Step::Blank => drop(world.apply(ApplyItem::Blank)),
            Step::Garbage(bytes) => drop(world.apply(ApplyItem::Batch(bytes.clone().into()))),
            Step::Flush => world.store().flush().unwrap(),
            Step::Maintain(times) => {
                for _ in 0..*times {
                    world.store().maintain().unwrap();
                }
            }
            Step::Snapshot if world.log.is_empty() => {}
            Step::Snapshot => drop(world.snapshot_and_purge()),
            Step::Reopen => assert_eq!(world.reopen(), Opened::Reused),
            Step::Crash => {
                // What was applied and not flushed since the log was purged is out of reach.
                let reusable = world.store().stats().flushed >= world.purged;
                let reason = RebuildReason::AppliedOutOfRange;
                let expected = if reusable {
                    Opened::Reused
                } else {
                    Opened::Rebuilt { reason }
                };
                assert_eq!(world.crash(), expected);
            }
            Step::PowerLoss => {
                let reason = RebuildReason::PowerLoss;
                assert_eq!(world.lose_power(), Opened::Rebuilt { reason });
            }
        }
        assert!(world.store().stats().cache_bytes <= world.options.cache_bytes);
    }
    world.check();
    world.maintain_all();
    world.check();
    let hash = world.store().content_hash().unwrap();
    world.crash();
    world.check();
    assert_eq!(world.store().content_hash().unwrap(), hash);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(80))]
    #[test]
    fn whatever_happens_the_store_answers_as_the_naive_one(steps in steps()) {
        live(&steps);
    }
}
