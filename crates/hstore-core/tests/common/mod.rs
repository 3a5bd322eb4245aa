//! Random values of the core's types, for the tests of the codec and of the machine.
#![allow(dead_code, reason = "each test takes what it needs")]

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use hstore_core::alarm::{Alarm, AlarmChange, AlarmKind};
use hstore_core::auth::Author;
use hstore_core::command::{
    Command, Compact, Compare, CompareTarget, Delete, GrantLease, Operation, Proposal, Put,
    Relation, RequestId, ReserveNode, Txn,
};
use hstore_core::id::{Incarnation, LogId, LogIndex, NodeId, Revision, Term};
use hstore_core::key::KeyRange;
use hstore_core::membership::{Member, Membership};
use hstore_core::outcome::{LeaseReply, Outcome, Refusal, Reply};
use hstore_core::range::{Filter, Range, RangeResult, Sort, SortTarget};
use hstore_core::record::{Meta, Record};
use hstore_core::settings::SettingsVersion;
use proptest::collection::{btree_map, btree_set, vec};
use proptest::option;
use proptest::prelude::*;

/// How wild the values are: any at all, or few enough that requests meet each other.
#[derive(Clone, Copy)]
pub(crate) enum Wildness {
    Any,
    Tame,
}

use Wildness::{Any, Tame};

pub(crate) fn key(wildness: Wildness) -> BoxedStrategy<Bytes> {
    match wildness {
        Any => any_bytes(),
        Tame => "[a-d]{1,2}"
            .prop_map(|key| Bytes::from(key.into_bytes()))
            .boxed(),
    }
}

pub(crate) fn value(wildness: Wildness) -> BoxedStrategy<Bytes> {
    match wildness {
        Any => any_bytes(),
        Tame => "[x-z]{0,1}"
            .prop_map(|value| Bytes::from(value.into_bytes()))
            .boxed(),
    }
}

fn any_bytes() -> BoxedStrategy<Bytes> {
    vec(any::<u8>(), 0..40).prop_map(Bytes::from).boxed()
}

fn number(wildness: Wildness) -> BoxedStrategy<i64> {
    match wildness {
        Any => any::<i64>().boxed(),
        Tame => (0..12_i64).boxed(),
    }
}

fn revision(wildness: Wildness) -> BoxedStrategy<Revision> {
    match wildness {
        Any => any::<i64>().prop_map(Revision).boxed(),
        // Mostly "now" or "no bound", else something near the beginning of the history.
        Tame => prop_oneof![4 => Just(0_i64), 1 => 1..16_i64]
            .prop_map(Revision)
            .boxed(),
    }
}

pub(crate) fn keys(wildness: Wildness) -> impl Strategy<Value = KeyRange> {
    prop_oneof![
        3 => key(wildness).prop_map(KeyRange::One),
        2 => (key(wildness), key(wildness)).prop_map(|(start, end)| KeyRange::Span { start, end }),
        1 => key(wildness).prop_map(KeyRange::From),
    ]
}

pub(crate) fn put(wildness: Wildness) -> impl Strategy<Value = Put> {
    let lease = match wildness {
        Any => any::<i64>().boxed(),
        Tame => prop_oneof![10 => Just(0_i64), 3 => 1..4_i64].boxed(),
    };
    let rarely = || proptest::bool::weighted(0.1);
    (
        key(wildness),
        value(wildness),
        lease,
        any::<bool>(),
        rarely(),
        rarely(),
    )
        .prop_map(
            move |(key, value, lease, prev_kv, ignore_value, ignore_lease)| Put {
                key,
                value: match wildness {
                    Tame if ignore_value => Bytes::new(),
                    Tame | Any => value,
                },
                lease: match wildness {
                    Tame if ignore_lease => 0,
                    Tame | Any => lease,
                },
                prev_kv,
                ignore_value,
                ignore_lease,
            },
        )
}

pub(crate) fn delete(wildness: Wildness) -> impl Strategy<Value = Delete> {
    (keys(wildness), any::<bool>()).prop_map(|(keys, prev_kv)| Delete { keys, prev_kv })
}

pub(crate) fn range(wildness: Wildness) -> impl Strategy<Value = Range> {
    let target = prop_oneof![
        Just(SortTarget::Key),
        Just(SortTarget::Version),
        Just(SortTarget::CreateRevision),
        Just(SortTarget::ModRevision),
        Just(SortTarget::Value),
    ];
    let sort = (target, any::<bool>()).prop_map(|(target, descending)| Sort { target, descending });
    let limit = match wildness {
        Any => any::<u64>().boxed(),
        Tame => (0..5_u64).boxed(),
    };
    let bound = || revision(wildness);
    let filter = (bound(), bound(), bound(), bound()).prop_map(|(a, b, c, d)| Filter {
        mod_revision_min: a,
        mod_revision_max: b,
        create_revision_min: c,
        create_revision_max: d,
    });
    let flags = (
        proptest::bool::weighted(0.2),
        proptest::bool::weighted(0.1),
        proptest::bool::weighted(0.3),
    );
    (
        keys(wildness),
        revision(wildness),
        limit,
        sort,
        flags,
        filter,
    )
        .prop_map(
            |(keys, revision, limit, sort, (keys_only, count_only, uncounted), filter)| Range {
                keys,
                revision,
                limit,
                sort,
                keys_only,
                count_only,
                uncounted,
                filter,
            },
        )
}

pub(crate) fn compare(wildness: Wildness) -> impl Strategy<Value = Compare> {
    let relation = prop_oneof![
        Just(Relation::Equal),
        Just(Relation::Greater),
        Just(Relation::Less),
        Just(Relation::NotEqual),
    ];
    let target = prop_oneof![
        number(wildness).prop_map(CompareTarget::CreateRevision),
        number(wildness).prop_map(CompareTarget::Lease),
        number(wildness).prop_map(CompareTarget::ModRevision),
        value(wildness).prop_map(CompareTarget::Value),
        number(wildness).prop_map(CompareTarget::Version),
    ];
    (keys(wildness), relation, target).prop_map(|(keys, relation, target)| Compare {
        keys,
        relation,
        target,
    })
}

pub(crate) fn txn(wildness: Wildness) -> impl Strategy<Value = Txn> {
    let of = move |operation: BoxedStrategy<Operation>| {
        (
            vec(compare(wildness), 0..3),
            vec(operation.clone(), 0..4),
            vec(operation, 0..4),
        )
            .prop_map(|(compare, then, otherwise)| Txn {
                compare,
                then,
                otherwise,
            })
    };
    let leaf = prop_oneof![
        delete(wildness).prop_map(Operation::Delete),
        put(wildness).prop_map(Operation::Put),
        range(wildness).prop_map(Operation::Range),
    ];
    let operation = leaf.prop_recursive(3, 12, 4, move |inner| of(inner).prop_map(Operation::Txn));
    of(operation.boxed())
}

pub(crate) fn command(wildness: Wildness) -> impl Strategy<Value = Command> {
    let compacted = match wildness {
        Any => any::<i64>().boxed(),
        Tame => (0..30_i64).boxed(),
    };
    let lease = move || match wildness {
        Any => any::<i64>()
            .prop_filter("0 is no lease", |lease| *lease != 0)
            .boxed(),
        Tame => (1..4_i64).boxed(),
    };
    let ttl = match wildness {
        Any => any::<i64>().boxed(),
        Tame => (-1..6_i64).boxed(),
    };
    prop_oneof![
        1 => Just(Command::ExpireLeases),
        2 => (lease(), ttl)
            .prop_map(|(lease, ttl)| Command::GrantLease(GrantLease { lease, ttl })),
        1 => lease().prop_map(|lease| Command::RenewLease { lease }),
        1 => lease().prop_map(|lease| Command::RevokeLease { lease }),
        1 => (any::<u64>(), address()).prop_map(|(n, peer_address)| Command::AllocateNode {
            incarnation: Incarnation(n),
            peer_address,
        }),
        1 => membership_command(wildness),
        1 => compacted.prop_map(|n| Command::Compact(Compact { revision: Revision(n) })),
        3 => delete(wildness).prop_map(Command::Delete),
        8 => put(wildness).prop_map(Command::Put),
        6 => txn(wildness).prop_map(Command::Txn),
    ]
}

fn address() -> impl Strategy<Value = String> {
    prop_oneof![3 => Just(String::new()), 1 => "[ab]:1"]
}

fn alarm() -> impl Strategy<Value = Alarm> {
    let kind = prop_oneof![Just(AlarmKind::Corrupt), Just(AlarmKind::NoSpace)];
    (kind, 1..3_u64, any::<bool>()).prop_map(|(kind, node, automatic)| Alarm {
        kind,
        node: NodeId(node),
        automatic,
    })
}

/// Commands about nodes. The model of the tame ones knows none of them.
fn membership_command(wildness: Wildness) -> BoxedStrategy<Command> {
    if matches!(wildness, Tame) {
        return Just(Command::ExpireLeases).boxed();
    }
    let node = option::of(1..u64::MAX).prop_map(|node| node.map(NodeId));
    prop_oneof![
        (node, ".{1,9}", any::<bool>()).prop_map(|(node, peer_address, learner)| {
            Command::ReserveNode(ReserveNode {
                node,
                peer_address,
                learner,
            })
        }),
        any::<u64>().prop_map(|node| Command::ReleaseNode { node: NodeId(node) }),
        alarm().prop_map(|alarm| Command::Alarm(AlarmChange::Raise(alarm))),
        alarm().prop_map(|Alarm { kind, node, .. }| {
            Command::Alarm(AlarmChange::Clear { kind, node })
        }),
    ]
    .boxed()
}

pub(crate) fn request_id() -> impl Strategy<Value = RequestId> {
    any::<(u64, u64, u64, u64)>().prop_map(|(client, sequence, answered_below, born)| RequestId {
        client,
        sequence,
        answered_below,
        born: LogIndex(born),
    })
}

pub(crate) fn proposal() -> impl Strategy<Value = Proposal> {
    (option::of(request_id()), command(Any)).prop_map(|(request, command)| Proposal {
        request,
        author: Author::Nobody,
        command,
    })
}

pub(crate) fn record() -> impl Strategy<Value = Record> {
    let numbers = any::<(i64, i64, u32, i64, i64)>();
    (any_bytes(), any_bytes(), numbers).prop_map(
        |(key, value, (create, modified, sub, version, lease))| Record {
            key,
            value,
            meta: Meta {
                create_revision: Revision(create),
                mod_revision: Revision(modified),
                sub,
                version,
                lease,
            },
        },
    )
}

pub(crate) fn range_result() -> impl Strategy<Value = RangeResult> {
    (vec(record(), 0..4), any::<bool>(), any::<u64>()).prop_map(|(records, more, count)| {
        RangeResult {
            records,
            more,
            count,
        }
    })
}

fn reply() -> impl Strategy<Value = Reply> {
    let leaf = prop_oneof![
        vec(alarm(), 0..3).prop_map(Reply::Alarms),
        Just(Reply::Compact),
        (any::<u64>(), vec(record(), 0..3))
            .prop_map(|(deleted, previous)| Reply::Delete { deleted, previous }),
        any::<i64>().prop_map(|ttl| Reply::Lease(LeaseReply::Granted { ttl })),
        any::<i64>().prop_map(|ttl| Reply::Lease(LeaseReply::Renewed { ttl })),
        Just(Reply::Lease(LeaseReply::Revoked)),
        any::<(u64, bool)>()
            .prop_map(|(count, more)| Reply::Lease(LeaseReply::Expired { count, more })),
        any::<u64>().prop_map(|node| Reply::Node(NodeId(node))),
        option::of(record()).prop_map(|previous| Reply::Put { previous }),
        range_result().prop_map(Reply::Range),
        Just(Reply::Untold),
    ];
    leaf.prop_recursive(4, 16, 4, |inner| {
        (any::<bool>(), vec(inner, 0..4))
            .prop_map(|(succeeded, replies)| Reply::Txn { succeeded, replies })
    })
}

pub(crate) fn refusals() -> Vec<Refusal> {
    vec![
        Refusal::AddressReserved,
        Refusal::Compacted {
            compacted: Revision(7),
        },
        Refusal::Corrupt,
        Refusal::FutureRevision {
            current: Revision(7),
        },
        Refusal::Malformed,
        Refusal::KeyNotFound,
        Refusal::LeaseExists,
        Refusal::LeaseNotFound,
        Refusal::NameTaken,
        Refusal::NoSuchNode,
        Refusal::NotReserved,
        Refusal::NoSpace,
        Refusal::OutcomeForgotten,
        Refusal::RevisionsExhausted,
        Refusal::SessionExpired,
        Refusal::SessionFull,
        Refusal::TooManyAlarms,
        Refusal::TooManyLeases,
        Refusal::SettingsChanged {
            version: SettingsVersion(7),
        },
        Refusal::TooManyReserved,
        Refusal::TooManySettings,
    ]
}

pub(crate) fn outcome() -> impl Strategy<Value = Outcome> {
    let result = prop_oneof![
        4 => reply().prop_map(Ok),
        1 => proptest::sample::select(refusals()).prop_map(Err),
    ];
    (any::<i64>(), result).prop_map(|(revision, result)| Outcome {
        revision: Revision(revision),
        result,
    })
}

pub(crate) fn log_id() -> impl Strategy<Value = LogId> {
    any::<(u64, u64, u64)>().prop_map(|(term, leader, index)| LogId {
        term: Term(term),
        leader: NodeId(leader),
        index: LogIndex(index),
    })
}

pub(crate) fn membership() -> impl Strategy<Value = Membership> {
    let voters = vec(btree_set(any::<u64>(), 0..5), 0..3);
    let started_as = option::of(".{0,12}");
    let member = (".{0,12}", started_as, ".{0,12}", ".{0,12}", any::<u64>()).prop_map(
        |(name, started_as, peer_address, client_address, incarnation)| Member {
            name,
            started_as,
            peer_address,
            client_address,
            incarnation: Incarnation(incarnation),
        },
    );
    let members = btree_map(any::<u64>(), member, 0..4);
    (option::of(log_id()), voters, members).prop_map(|(log_id, voters, members)| {
        let named = |nodes: BTreeSet<u64>| nodes.into_iter().map(NodeId).collect();
        let members: BTreeMap<_, _> = members
            .into_iter()
            .map(|(node, member)| (NodeId(node), member))
            .collect();
        Membership {
            log_id,
            voters: voters.into_iter().map(named).collect(),
            members,
        }
    })
}
