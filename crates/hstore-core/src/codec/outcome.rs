//! Outcomes to their messages and back.

use super::{DecodeError, wire};
use crate::alarm::Alarm;
use crate::id::{NodeId, Revision};
use crate::outcome::{LeaseReply, Outcome, Refusal, Reply};
use crate::record::Record;
use crate::settings::SettingsVersion;

impl From<&Outcome> for wire::Outcome {
    fn from(outcome: &Outcome) -> Self {
        wire::Outcome {
            revision: outcome.revision.0,
            result: Some(match &outcome.result {
                Ok(reply) => wire::OutcomeResult::Reply(reply.into()),
                Err(refusal) => wire::OutcomeResult::Refusal(refusal.into()),
            }),
        }
    }
}

impl TryFrom<wire::Outcome> for Outcome {
    type Error = DecodeError;

    fn try_from(outcome: wire::Outcome) -> Result<Self, DecodeError> {
        let result = outcome.result.ok_or(DecodeError::Malformed("no result"))?;
        Ok(Outcome {
            revision: Revision(outcome.revision),
            result: match result {
                wire::OutcomeResult::Reply(reply) => Ok(reply.try_into()?),
                wire::OutcomeResult::Refusal(refusal) => Err(refusal.try_into()?),
            },
        })
    }
}

impl From<&Reply> for wire::Reply {
    fn from(reply: &Reply) -> Self {
        let kind = match reply {
            Reply::Alarms(alarms) => wire::ReplyKind::Alarms(wire::Alarms {
                alarms: alarms.iter().copied().map(wire::Alarm::from).collect(),
            }),
            Reply::Auth => wire::ReplyKind::Auth(wire::AuthReply {}),
            Reply::Compact => wire::ReplyKind::Compact(wire::CompactReply {}),
            Reply::Delete { deleted, previous } => wire::ReplyKind::Delete(wire::DeleteReply {
                deleted: *deleted,
                previous: previous.iter().map(wire::Record::from).collect(),
            }),
            Reply::Lease(reply) => (*reply).into(),
            Reply::Node(node) => wire::ReplyKind::Node(node.0),
            Reply::Put { previous } => wire::ReplyKind::Put(wire::PutReply {
                previous: previous.as_ref().map(wire::Record::from),
            }),
            Reply::Range(result) => wire::ReplyKind::Range(result.into()),
            Reply::Settings(version) => wire::ReplyKind::Settings(version.0),
            Reply::Txn { succeeded, replies } => wire::ReplyKind::Txn(wire::TxnReply {
                succeeded: *succeeded,
                replies: replies.iter().map(wire::Reply::from).collect(),
            }),
            Reply::Untold => wire::ReplyKind::Untold(wire::UntoldReply {}),
        };
        wire::Reply { kind: Some(kind) }
    }
}

impl From<LeaseReply> for wire::ReplyKind {
    fn from(reply: LeaseReply) -> Self {
        match reply {
            LeaseReply::Expired { count, more } => {
                wire::ReplyKind::LeasesExpired(wire::LeasesExpired { count, more })
            }
            LeaseReply::Granted { ttl } => wire::ReplyKind::LeaseGranted(wire::LeaseTtl { ttl }),
            LeaseReply::Renewed { ttl } => wire::ReplyKind::LeaseRenewed(wire::LeaseTtl { ttl }),
            LeaseReply::Revoked => wire::ReplyKind::LeaseRevoked(wire::LeaseRevoked {}),
        }
    }
}

impl TryFrom<wire::Reply> for Reply {
    type Error = DecodeError;

    /// Recursive, but no deeper than the protobuf decoder lets messages nest.
    fn try_from(reply: wire::Reply) -> Result<Self, DecodeError> {
        Ok(
            match reply.kind.ok_or(DecodeError::Malformed("no reply"))? {
                wire::ReplyKind::Alarms(alarms) => Reply::Alarms(
                    alarms
                        .alarms
                        .into_iter()
                        .map(Alarm::try_from)
                        .collect::<Result<_, _>>()?,
                ),
                wire::ReplyKind::Auth(wire::AuthReply {}) => Reply::Auth,
                wire::ReplyKind::Compact(wire::CompactReply {}) => Reply::Compact,
                wire::ReplyKind::Delete(delete) => Reply::Delete {
                    deleted: delete.deleted,
                    previous: delete.previous.into_iter().map(Record::from).collect(),
                },
                wire::ReplyKind::LeaseGranted(lease) => {
                    Reply::Lease(LeaseReply::Granted { ttl: lease.ttl })
                }
                wire::ReplyKind::LeaseRenewed(lease) => {
                    Reply::Lease(LeaseReply::Renewed { ttl: lease.ttl })
                }
                wire::ReplyKind::LeaseRevoked(wire::LeaseRevoked {}) => {
                    Reply::Lease(LeaseReply::Revoked)
                }
                wire::ReplyKind::LeasesExpired(expired) => Reply::Lease(LeaseReply::Expired {
                    count: expired.count,
                    more: expired.more,
                }),
                wire::ReplyKind::Node(node) => Reply::Node(NodeId(node)),
                wire::ReplyKind::Put(put) => Reply::Put {
                    previous: put.previous.map(Record::from),
                },
                wire::ReplyKind::Range(result) => Reply::Range(result.into()),
                wire::ReplyKind::Settings(version) => Reply::Settings(SettingsVersion(version)),
                wire::ReplyKind::Txn(txn) => Reply::Txn {
                    succeeded: txn.succeeded,
                    replies: txn
                        .replies
                        .into_iter()
                        .map(Reply::try_from)
                        .collect::<Result<_, _>>()?,
                },
                wire::ReplyKind::Untold(wire::UntoldReply {}) => Reply::Untold,
            },
        )
    }
}

impl From<&Refusal> for wire::Refusal {
    fn from(refusal: &Refusal) -> Self {
        let (kind, revision) = match refusal {
            Refusal::Auth(refusal) => (u32::from(*refusal), 0),
            Refusal::Compacted { compacted } => (1, compacted.0),
            Refusal::FutureRevision { current } => (2, current.0),
            Refusal::Malformed => (3, 0),
            Refusal::KeyNotFound => (4, 0),
            Refusal::LeaseNotFound => (5, 0),
            Refusal::SessionExpired => (6, 0),
            Refusal::SessionFull => (7, 0),
            Refusal::RevisionsExhausted => (8, 0),
            Refusal::OutcomeForgotten => (9, 0),
            Refusal::LeaseExists => (10, 0),
            Refusal::TooManyLeases => (11, 0),
            Refusal::NoSpace => (30, 0),
            Refusal::Corrupt => (31, 0),
            Refusal::TooManyAlarms => (32, 0),
            Refusal::AddressReserved => (33, 0),
            Refusal::NotReserved => (34, 0),
            Refusal::TooManyReserved => (35, 0),
            // The bits of the number; nobody changes settings so often that one is negative.
            Refusal::SettingsChanged { version } => (40, version.0.cast_signed()),
            Refusal::TooManySettings => (41, 0),
            Refusal::NoSuchNode => (42, 0),
            Refusal::NameTaken => (43, 0),
        };
        wire::Refusal { kind, revision }
    }
}

impl TryFrom<wire::Refusal> for Refusal {
    type Error = DecodeError;

    fn try_from(refusal: wire::Refusal) -> Result<Self, DecodeError> {
        Ok(match refusal.kind {
            1 => Refusal::Compacted {
                compacted: Revision(refusal.revision),
            },
            2 => Refusal::FutureRevision {
                current: Revision(refusal.revision),
            },
            3 => Refusal::Malformed,
            4 => Refusal::KeyNotFound,
            5 => Refusal::LeaseNotFound,
            6 => Refusal::SessionExpired,
            7 => Refusal::SessionFull,
            8 => Refusal::RevisionsExhausted,
            9 => Refusal::OutcomeForgotten,
            10 => Refusal::LeaseExists,
            11 => Refusal::TooManyLeases,
            30 => Refusal::NoSpace,
            31 => Refusal::Corrupt,
            32 => Refusal::TooManyAlarms,
            33 => Refusal::AddressReserved,
            34 => Refusal::NotReserved,
            35 => Refusal::TooManyReserved,
            40 => Refusal::SettingsChanged {
                version: SettingsVersion(refusal.revision.cast_unsigned()),
            },
            41 => Refusal::TooManySettings,
            42 => Refusal::NoSuchNode,
            43 => Refusal::NameTaken,
            number => Refusal::Auth(
                super::auth::refusal_of(number)
                    .ok_or(DecodeError::Malformed("an unknown refusal"))?,
            ),
        })
    }
}
