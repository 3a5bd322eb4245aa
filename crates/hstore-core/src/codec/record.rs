//! Records and log ids to messages and back.

use super::wire;
use crate::id::{LogId, LogIndex, NodeId, Revision, Term};
use crate::record::{Meta, Record};

impl From<&Record> for wire::Record {
    fn from(record: &Record) -> Self {
        wire::Record {
            key: record.key.clone(),
            value: record.value.clone(),
            create_revision: record.meta.create_revision.0,
            mod_revision: record.meta.mod_revision.0,
            sub: record.meta.sub,
            version: record.meta.version,
            lease: record.meta.lease,
        }
    }
}

impl From<wire::Record> for Record {
    fn from(record: wire::Record) -> Self {
        Record {
            key: record.key,
            value: record.value,
            meta: Meta {
                create_revision: Revision(record.create_revision),
                mod_revision: Revision(record.mod_revision),
                sub: record.sub,
                version: record.version,
                lease: record.lease,
            },
        }
    }
}

impl From<LogId> for wire::LogId {
    fn from(log_id: LogId) -> Self {
        wire::LogId {
            term: log_id.term.0,
            leader: log_id.leader.0,
            index: log_id.index.0,
        }
    }
}

impl From<wire::LogId> for LogId {
    fn from(log_id: wire::LogId) -> Self {
        LogId {
            term: Term(log_id.term),
            leader: NodeId(log_id.leader),
            index: LogIndex(log_id.index),
        }
    }
}
