//! Commands to their messages and back.

use super::{DecodeError, wire};
use crate::alarm::{Alarm, AlarmChange, AlarmKind};
use crate::command::{
    Command, Compact, Compare, CompareTarget, Delete, GrantLease, Operation, Proposal, Put,
    Relation, RequestId, ReserveNode, Txn,
};
use crate::id::{Incarnation, LogIndex, NodeId, Revision};
use crate::limits::TXN_DEPTH_CEILING;

impl From<&Proposal> for wire::Proposal {
    fn from(proposal: &Proposal) -> Self {
        wire::Proposal {
            request: proposal.request.map(wire::RequestId::from),
            author: wire::Author::of(&proposal.author),
            command: Some((&proposal.command).into()),
        }
    }
}

impl TryFrom<wire::Proposal> for Proposal {
    type Error = DecodeError;

    fn try_from(proposal: wire::Proposal) -> Result<Self, DecodeError> {
        let command = proposal
            .command
            .ok_or(DecodeError::Malformed("no command"))?;
        Ok(Proposal {
            request: proposal.request.map(RequestId::from),
            author: wire::Author::read(proposal.author)?,
            command: command.try_into()?,
        })
    }
}

impl From<RequestId> for wire::RequestId {
    fn from(request: RequestId) -> Self {
        wire::RequestId {
            client: request.client,
            sequence: request.sequence,
            answered_below: request.answered_below,
            born: request.born.0,
        }
    }
}

impl From<wire::RequestId> for RequestId {
    fn from(request: wire::RequestId) -> Self {
        RequestId {
            client: request.client,
            sequence: request.sequence,
            answered_below: request.answered_below,
            born: LogIndex(request.born),
        }
    }
}

impl From<&Command> for wire::Command {
    fn from(command: &Command) -> Self {
        match command {
            Command::Alarm(change) => wire::Command::Alarm((*change).into()),
            Command::AllocateNode {
                incarnation,
                peer_address,
            } => wire::Command::AllocateNode(wire::AllocateNode {
                incarnation: incarnation.0,
                peer_address: peer_address.clone(),
            }),
            Command::Auth(command) => wire::Command::Auth(command.into()),
            Command::ChangeSettings(command) => wire::Command::ChangeSettings(command.into()),
            Command::Compact(compact) => wire::Command::Compact(wire::Compact {
                revision: compact.revision.0,
            }),
            Command::Delete(delete) => wire::Command::Delete(delete.into()),
            Command::ExpireLeases => wire::Command::ExpireLeases(wire::ExpireLeases {}),
            Command::GrantLease(grant) => wire::Command::GrantLease(wire::GrantLease {
                lease: grant.lease,
                ttl: grant.ttl,
            }),
            Command::ReleaseNode { node } => {
                wire::Command::ReleaseNode(wire::ReleaseNode { node: node.0 })
            }
            Command::RenewLease { lease } => {
                wire::Command::RenewLease(wire::LeaseId { lease: *lease })
            }
            Command::ReserveNode(request) => wire::Command::ReserveNode(wire::ReserveNode {
                node: request.node.map_or(0, |node| node.0),
                peer_address: request.peer_address.clone(),
                learner: request.learner,
            }),
            Command::RevokeLease { lease } => {
                wire::Command::RevokeLease(wire::LeaseId { lease: *lease })
            }
            Command::Put(put) => wire::Command::Put(put.into()),
            Command::Txn(txn) => wire::Command::Txn(txn.into()),
        }
    }
}

impl TryFrom<wire::Command> for Command {
    type Error = DecodeError;

    fn try_from(command: wire::Command) -> Result<Self, DecodeError> {
        Ok(match command {
            wire::Command::Alarm(change) => Command::Alarm(change.try_into()?),
            wire::Command::AllocateNode(allocate) => Command::AllocateNode {
                incarnation: Incarnation(allocate.incarnation),
                peer_address: allocate.peer_address,
            },
            wire::Command::Auth(command) => Command::Auth(command.try_into()?),
            wire::Command::ChangeSettings(command) => Command::ChangeSettings(command.try_into()?),
            wire::Command::Compact(compact) => Command::Compact(Compact {
                revision: Revision(compact.revision),
            }),
            wire::Command::Delete(delete) => Command::Delete(delete.try_into()?),
            wire::Command::ExpireLeases(wire::ExpireLeases {}) => Command::ExpireLeases,
            wire::Command::GrantLease(wire::GrantLease { lease: 0, .. }) => {
                return Err(DecodeError::Malformed("a lease without an id"));
            }
            wire::Command::GrantLease(grant) => Command::GrantLease(GrantLease {
                lease: grant.lease,
                ttl: grant.ttl,
            }),
            wire::Command::ReleaseNode(released) => Command::ReleaseNode {
                node: NodeId(released.node),
            },
            wire::Command::ReserveNode(request) => Command::ReserveNode(ReserveNode {
                node: (request.node != 0).then_some(NodeId(request.node)),
                peer_address: request.peer_address,
                learner: request.learner,
            }),
            wire::Command::RenewLease(id) => Command::RenewLease { lease: id.lease },
            wire::Command::RevokeLease(id) => Command::RevokeLease { lease: id.lease },
            wire::Command::Put(put) => Command::Put(put.into()),
            wire::Command::Txn(txn) => Command::Txn(txn_within(txn, TXN_DEPTH_CEILING)?),
        })
    }
}

impl From<AlarmChange> for wire::AlarmChange {
    fn from(change: AlarmChange) -> Self {
        let (alarm, clear) = match change {
            AlarmChange::Clear { kind, node } => {
                let automatic = false;
                let alarm = Alarm {
                    kind,
                    node,
                    automatic,
                };
                (alarm, true)
            }
            AlarmChange::Raise(alarm) => (alarm, false),
        };
        wire::AlarmChange {
            alarm: Some(alarm.into()),
            clear,
        }
    }
}

impl TryFrom<wire::AlarmChange> for AlarmChange {
    type Error = DecodeError;

    fn try_from(change: wire::AlarmChange) -> Result<Self, DecodeError> {
        let alarm = change.alarm.ok_or(DecodeError::Malformed("no alarm"))?;
        let alarm = Alarm::try_from(alarm)?;
        Ok(if change.clear {
            let Alarm { kind, node, .. } = alarm;
            AlarmChange::Clear { kind, node }
        } else {
            AlarmChange::Raise(alarm)
        })
    }
}

impl From<Alarm> for wire::Alarm {
    fn from(alarm: Alarm) -> Self {
        wire::Alarm {
            kind: match alarm.kind {
                AlarmKind::NoSpace => 1,
                AlarmKind::Corrupt => 2,
            },
            node: alarm.node.0,
            automatic: alarm.automatic,
        }
    }
}

impl TryFrom<wire::Alarm> for Alarm {
    type Error = DecodeError;

    fn try_from(alarm: wire::Alarm) -> Result<Self, DecodeError> {
        Ok(Alarm {
            kind: match alarm.kind {
                1 => AlarmKind::NoSpace,
                2 => AlarmKind::Corrupt,
                _ => return Err(DecodeError::Malformed("an unknown alarm")),
            },
            node: NodeId(alarm.node),
            automatic: alarm.automatic,
        })
    }
}

impl From<&Put> for wire::Put {
    fn from(put: &Put) -> Self {
        wire::Put {
            key: put.key.clone(),
            value: put.value.clone(),
            lease: put.lease,
            prev_kv: put.prev_kv,
            ignore_value: put.ignore_value,
            ignore_lease: put.ignore_lease,
        }
    }
}

impl From<wire::Put> for Put {
    fn from(put: wire::Put) -> Self {
        Put {
            key: put.key,
            value: put.value,
            lease: put.lease,
            prev_kv: put.prev_kv,
            ignore_value: put.ignore_value,
            ignore_lease: put.ignore_lease,
        }
    }
}

impl From<&Delete> for wire::Delete {
    fn from(delete: &Delete) -> Self {
        wire::Delete {
            keys: Some((&delete.keys).into()),
            prev_kv: delete.prev_kv,
        }
    }
}

impl TryFrom<wire::Delete> for Delete {
    type Error = DecodeError;

    fn try_from(delete: wire::Delete) -> Result<Self, DecodeError> {
        Ok(Delete {
            keys: wire::KeyRange::required(delete.keys)?,
            prev_kv: delete.prev_kv,
        })
    }
}

impl From<&Txn> for wire::Txn {
    fn from(txn: &Txn) -> Self {
        wire::Txn {
            compare: txn.compare.iter().map(wire::Compare::from).collect(),
            then: txn.then.iter().map(wire::Operation::from).collect(),
            otherwise: txn.otherwise.iter().map(wire::Operation::from).collect(),
        }
    }
}

fn txn_within(txn: wire::Txn, depth: usize) -> Result<Txn, DecodeError> {
    let Some(depth) = depth.checked_sub(1) else {
        return Err(DecodeError::Malformed("transactions nested too deep"));
    };
    let operations = |operations: Vec<wire::Operation>| {
        operations
            .into_iter()
            .map(|operation| operation_within(operation, depth))
            .collect::<Result<Vec<_>, _>>()
    };
    Ok(Txn {
        compare: txn
            .compare
            .into_iter()
            .map(Compare::try_from)
            .collect::<Result<_, _>>()?,
        then: operations(txn.then)?,
        otherwise: operations(txn.otherwise)?,
    })
}

impl From<&Operation> for wire::Operation {
    fn from(operation: &Operation) -> Self {
        let kind = match operation {
            Operation::Delete(delete) => wire::OperationKind::Delete(delete.into()),
            Operation::Put(put) => wire::OperationKind::Put(put.into()),
            Operation::Range(range) => wire::OperationKind::Range(range.into()),
            Operation::Txn(txn) => wire::OperationKind::Txn(txn.into()),
        };
        wire::Operation { kind: Some(kind) }
    }
}

fn operation_within(operation: wire::Operation, depth: usize) -> Result<Operation, DecodeError> {
    let kind = operation
        .kind
        .ok_or(DecodeError::Malformed("no operation"))?;
    Ok(match kind {
        wire::OperationKind::Delete(delete) => Operation::Delete(delete.try_into()?),
        wire::OperationKind::Put(put) => Operation::Put(put.into()),
        wire::OperationKind::Range(range) => Operation::Range(range.try_into()?),
        wire::OperationKind::Txn(txn) => Operation::Txn(txn_within(txn, depth)?),
    })
}

impl From<&Compare> for wire::Compare {
    fn from(compare: &Compare) -> Self {
        wire::Compare {
            keys: Some((&compare.keys).into()),
            relation: match compare.relation {
                Relation::Equal => 1,
                Relation::NotEqual => 2,
                Relation::Greater => 3,
                Relation::Less => 4,
            },
            target: Some(match &compare.target {
                CompareTarget::CreateRevision(n) => wire::CompareTarget::CreateRevision(*n),
                CompareTarget::Lease(n) => wire::CompareTarget::Lease(*n),
                CompareTarget::ModRevision(n) => wire::CompareTarget::ModRevision(*n),
                CompareTarget::Value(value) => wire::CompareTarget::Value(value.clone()),
                CompareTarget::Version(n) => wire::CompareTarget::Version(*n),
            }),
        }
    }
}

impl TryFrom<wire::Compare> for Compare {
    type Error = DecodeError;

    fn try_from(compare: wire::Compare) -> Result<Self, DecodeError> {
        let target = compare
            .target
            .ok_or(DecodeError::Malformed("a comparison with nothing"))?;
        Ok(Compare {
            keys: wire::KeyRange::required(compare.keys)?,
            relation: match compare.relation {
                1 => Relation::Equal,
                2 => Relation::NotEqual,
                3 => Relation::Greater,
                4 => Relation::Less,
                _ => return Err(DecodeError::Malformed("an unknown relation")),
            },
            target: match target {
                wire::CompareTarget::CreateRevision(n) => CompareTarget::CreateRevision(n),
                wire::CompareTarget::Lease(n) => CompareTarget::Lease(n),
                wire::CompareTarget::ModRevision(n) => CompareTarget::ModRevision(n),
                wire::CompareTarget::Value(value) => CompareTarget::Value(value),
                wire::CompareTarget::Version(n) => CompareTarget::Version(n),
            },
        })
    }
}
