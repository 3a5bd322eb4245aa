//! The lines of a history file, as docs/history-format.md has them.
//!
//! Each type here is one object of the format; everything else knows the core's words only.
//!
//! Invariants: (1) an unknown field, a missing field or one that is there twice is refused; (2) a
//! field that has its usual value is left out, and absent it has that value.

use hstore_core::command::{
    Compact, Compare, CompareTarget, Delete, Operation as Step, Put, Relation, Txn,
};
use hstore_core::error::ErrorCode;
use hstore_core::id::Revision;
use hstore_core::key::KeyRange;
use hstore_core::outcome::Reply;
use hstore_core::range::{Filter, Range, RangeResult, Sort, SortTarget};
use hstore_core::record::{Meta, Record};
use serde::{Deserialize, Serialize};

use super::lock_line::LockLine;
use super::text::Text;
use super::watch_line::WatchLine;
use super::{
    Call, ClientId, Consistency, LogEntry, LogRecord, Moment, Operation, OperationId, Outcome,
};

/// One line.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub(super) enum Line {
    Header(HeaderLine),
    Operation(Box<OperationLine>),
    Watch(Box<WatchLine>),
    Lock(LockLine),
    Log(LogLine),
}

/// The first line.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct HeaderLine {
    pub(super) version: u32,
    #[serde(default = "one", skip_serializing_if = "is_one")]
    pub(super) revision: i64,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct OperationLine {
    id: OperationId,
    client: ClientId,
    invoked: Moment,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    returned: Option<Moment>,
    call: CallLine,
    outcome: OutcomeLine,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct LogLine {
    revision: i64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    operation: Option<OperationId>,
    records: Vec<LogRecordLine>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct LogRecordLine {
    key: Text,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    value: Option<Text>,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
enum CallLine {
    Compact { revision: i64 },
    Delete(DeleteLine),
    Put(PutLine),
    Range(RangeLine),
    Txn(TxnLine),
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
enum StepLine {
    Delete(DeleteLine),
    Put(PutLine),
    Range(RangeLine),
    Txn(TxnLine),
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub(super) enum KeysLine {
    One(Text),
    Span(Text, Text),
    From(Text),
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct DeleteLine {
    keys: KeysLine,
    #[serde(default, skip_serializing_if = "is_false")]
    prev_kv: bool,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct PutLine {
    key: Text,
    value: Text,
    #[serde(default, skip_serializing_if = "is_zero")]
    lease: i64,
    #[serde(default, skip_serializing_if = "is_false")]
    prev_kv: bool,
    #[serde(default, skip_serializing_if = "is_false")]
    ignore_value: bool,
    #[serde(default, skip_serializing_if = "is_false")]
    ignore_lease: bool,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct RangeLine {
    keys: KeysLine,
    #[serde(default, skip_serializing_if = "is_zero")]
    revision: i64,
    #[serde(default, skip_serializing_if = "is_zero_u64")]
    limit: u64,
    #[serde(default, skip_serializing_if = "is_false")]
    keys_only: bool,
    #[serde(default, skip_serializing_if = "is_false")]
    count_only: bool,
    #[serde(default, skip_serializing_if = "is_false")]
    uncounted: bool,
    #[serde(default, skip_serializing_if = "is_false")]
    serializable: bool,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    sort: Option<SortLine>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    filter: Option<FilterLine>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct SortLine {
    by: SortByLine,
    #[serde(default, skip_serializing_if = "is_false")]
    descending: bool,
}

#[derive(Clone, Copy, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum SortByLine {
    Key,
    Version,
    Create,
    Mod,
    Value,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct FilterLine {
    #[serde(default, skip_serializing_if = "is_zero")]
    mod_min: i64,
    #[serde(default, skip_serializing_if = "is_zero")]
    mod_max: i64,
    #[serde(default, skip_serializing_if = "is_zero")]
    create_min: i64,
    #[serde(default, skip_serializing_if = "is_zero")]
    create_max: i64,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct TxnLine {
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    compare: Vec<CompareLine>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    then: Vec<StepLine>,
    #[serde(default, rename = "else", skip_serializing_if = "Vec::is_empty")]
    otherwise: Vec<StepLine>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct CompareLine {
    keys: KeysLine,
    is: RelationLine,
    to: TargetLine,
}

#[derive(Clone, Copy, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum RelationLine {
    Equal,
    Greater,
    Less,
    NotEqual,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum TargetLine {
    Create(i64),
    Lease(i64),
    Mod(i64),
    Value(Text),
    Version(i64),
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
enum OutcomeLine {
    Answered { revision: i64, reply: ReplyLine },
    Refused(String),
    Unknown,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
enum ReplyLine {
    Compact {},
    Delete {
        deleted: u64,
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        previous: Vec<RecordLine>,
    },
    Put {
        #[serde(default, skip_serializing_if = "Option::is_none")]
        previous: Option<RecordLine>,
    },
    Range {
        count: u64,
        #[serde(default, skip_serializing_if = "is_false")]
        more: bool,
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        records: Vec<RecordLine>,
    },
    Txn {
        succeeded: bool,
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        replies: Vec<ReplyLine>,
    },
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RecordLine {
    key: Text,
    value: Text,
    create: i64,
    #[serde(rename = "mod")]
    modified: i64,
    version: i64,
    #[serde(default, skip_serializing_if = "is_zero")]
    lease: i64,
}

impl OperationLine {
    /// The line of an operation; none when it holds what a client cannot meet.
    pub(super) fn of(operation: &Operation) -> Option<OperationLine> {
        let outcome = match &operation.outcome {
            Outcome::Answered { revision, reply } => OutcomeLine::Answered {
                revision: revision.0,
                reply: ReplyLine::of(reply)?,
            },
            Outcome::Refused { code } => OutcomeLine::Refused(code.as_str().to_owned()),
            Outcome::Unknown => OutcomeLine::Unknown,
        };
        Some(OperationLine {
            id: operation.id,
            client: operation.client,
            invoked: operation.invoked,
            returned: operation.returned,
            call: CallLine::of(&operation.call),
            outcome,
        })
    }

    /// The operation; the text is an error code that does not exist.
    pub(super) fn into_operation(self) -> Result<Operation, String> {
        let outcome = match self.outcome {
            OutcomeLine::Answered { revision, reply } => Outcome::Answered {
                revision: Revision(revision),
                reply: reply.into_reply(),
            },
            OutcomeLine::Refused(text) => {
                let code = ErrorCode::ALL.iter().find(|code| code.as_str() == text);
                Outcome::Refused {
                    code: *code.ok_or(text)?,
                }
            }
            OutcomeLine::Unknown => Outcome::Unknown,
        };
        Ok(Operation {
            id: self.id,
            client: self.client,
            invoked: self.invoked,
            returned: self.returned,
            call: self.call.into_call(),
            outcome,
        })
    }
}

impl LogLine {
    pub(super) fn of(entry: &LogEntry) -> LogLine {
        LogLine {
            revision: entry.revision.0,
            operation: entry.operation,
            records: entry
                .records
                .iter()
                .map(|record| LogRecordLine {
                    key: Text(record.key.clone()),
                    value: record.value.clone().map(Text),
                })
                .collect(),
        }
    }

    pub(super) fn into_entry(self) -> LogEntry {
        LogEntry {
            revision: Revision(self.revision),
            operation: self.operation,
            records: self
                .records
                .into_iter()
                .map(|record| LogRecord {
                    key: record.key.0,
                    value: record.value.map(|value| value.0),
                })
                .collect(),
        }
    }
}

impl CallLine {
    fn of(call: &Call) -> CallLine {
        match call {
            Call::Compact(compact) => CallLine::Compact {
                revision: compact.revision.0,
            },
            Call::Delete(delete) => CallLine::Delete(DeleteLine::of(delete)),
            Call::Put(put) => CallLine::Put(PutLine::of(put)),
            Call::Range { range, consistency } => {
                CallLine::Range(RangeLine::of(range, *consistency))
            }
            Call::Txn(txn) => CallLine::Txn(TxnLine::of(txn)),
        }
    }

    fn into_call(self) -> Call {
        match self {
            CallLine::Compact { revision } => Call::Compact(Compact {
                revision: Revision(revision),
            }),
            CallLine::Delete(delete) => Call::Delete(delete.into_delete()),
            CallLine::Put(put) => Call::Put(put.into_put()),
            CallLine::Range(range) => {
                let consistency = if range.serializable {
                    Consistency::Serializable
                } else {
                    Consistency::Linearizable
                };
                Call::Range {
                    range: range.into_range(),
                    consistency,
                }
            }
            CallLine::Txn(txn) => Call::Txn(txn.into_txn()),
        }
    }
}

impl KeysLine {
    pub(super) fn of(keys: &KeyRange) -> KeysLine {
        match keys {
            KeyRange::One(key) => KeysLine::One(Text(key.clone())),
            KeyRange::Span { start, end } => KeysLine::Span(Text(start.clone()), Text(end.clone())),
            KeyRange::From(start) => KeysLine::From(Text(start.clone())),
        }
    }

    pub(super) fn into_keys(self) -> KeyRange {
        match self {
            KeysLine::One(key) => KeyRange::One(key.0),
            KeysLine::Span(start, end) => KeyRange::Span {
                start: start.0,
                end: end.0,
            },
            KeysLine::From(start) => KeyRange::From(start.0),
        }
    }
}

impl DeleteLine {
    fn of(delete: &Delete) -> DeleteLine {
        DeleteLine {
            keys: KeysLine::of(&delete.keys),
            prev_kv: delete.prev_kv,
        }
    }

    fn into_delete(self) -> Delete {
        Delete {
            keys: self.keys.into_keys(),
            prev_kv: self.prev_kv,
        }
    }
}

impl PutLine {
    fn of(put: &Put) -> PutLine {
        PutLine {
            key: Text(put.key.clone()),
            value: Text(put.value.clone()),
            lease: put.lease,
            prev_kv: put.prev_kv,
            ignore_value: put.ignore_value,
            ignore_lease: put.ignore_lease,
        }
    }

    fn into_put(self) -> Put {
        Put {
            key: self.key.0,
            value: self.value.0,
            lease: self.lease,
            prev_kv: self.prev_kv,
            ignore_value: self.ignore_value,
            ignore_lease: self.ignore_lease,
        }
    }
}

impl RangeLine {
    fn of(range: &Range, consistency: Consistency) -> RangeLine {
        let sort = (range.sort != Sort::default()).then_some(SortLine {
            by: match range.sort.target {
                SortTarget::Key => SortByLine::Key,
                SortTarget::Version => SortByLine::Version,
                SortTarget::CreateRevision => SortByLine::Create,
                SortTarget::ModRevision => SortByLine::Mod,
                SortTarget::Value => SortByLine::Value,
            },
            descending: range.sort.descending,
        });
        let filter = (range.filter != Filter::default()).then_some(FilterLine {
            mod_min: range.filter.mod_revision_min.0,
            mod_max: range.filter.mod_revision_max.0,
            create_min: range.filter.create_revision_min.0,
            create_max: range.filter.create_revision_max.0,
        });
        RangeLine {
            keys: KeysLine::of(&range.keys),
            revision: range.revision.0,
            limit: range.limit,
            keys_only: range.keys_only,
            count_only: range.count_only,
            uncounted: range.uncounted,
            serializable: consistency == Consistency::Serializable,
            sort,
            filter,
        }
    }

    fn into_range(self) -> Range {
        let sort = self.sort.map_or(Sort::default(), |sort| Sort {
            target: match sort.by {
                SortByLine::Key => SortTarget::Key,
                SortByLine::Version => SortTarget::Version,
                SortByLine::Create => SortTarget::CreateRevision,
                SortByLine::Mod => SortTarget::ModRevision,
                SortByLine::Value => SortTarget::Value,
            },
            descending: sort.descending,
        });
        let filter = self.filter.map_or(Filter::default(), |filter| Filter {
            mod_revision_min: Revision(filter.mod_min),
            mod_revision_max: Revision(filter.mod_max),
            create_revision_min: Revision(filter.create_min),
            create_revision_max: Revision(filter.create_max),
        });
        Range {
            keys: self.keys.into_keys(),
            revision: Revision(self.revision),
            limit: self.limit,
            sort,
            keys_only: self.keys_only,
            count_only: self.count_only,
            uncounted: self.uncounted,
            filter,
        }
    }
}

impl TxnLine {
    fn of(txn: &Txn) -> TxnLine {
        TxnLine {
            compare: txn.compare.iter().map(CompareLine::of).collect(),
            then: txn.then.iter().map(StepLine::of).collect(),
            otherwise: txn.otherwise.iter().map(StepLine::of).collect(),
        }
    }

    fn into_txn(self) -> Txn {
        let compare = self.compare.into_iter().map(CompareLine::into_compare);
        Txn {
            compare: compare.collect(),
            then: self.then.into_iter().map(StepLine::into_step).collect(),
            otherwise: self
                .otherwise
                .into_iter()
                .map(StepLine::into_step)
                .collect(),
        }
    }
}

impl StepLine {
    fn of(step: &Step) -> StepLine {
        match step {
            Step::Delete(delete) => StepLine::Delete(DeleteLine::of(delete)),
            Step::Put(put) => StepLine::Put(PutLine::of(put)),
            Step::Range(range) => StepLine::Range(RangeLine::of(range, Consistency::Linearizable)),
            Step::Txn(txn) => StepLine::Txn(TxnLine::of(txn)),
        }
    }

    fn into_step(self) -> Step {
        match self {
            StepLine::Delete(delete) => Step::Delete(delete.into_delete()),
            StepLine::Put(put) => Step::Put(put.into_put()),
            StepLine::Range(range) => Step::Range(range.into_range()),
            StepLine::Txn(txn) => Step::Txn(txn.into_txn()),
        }
    }
}

impl CompareLine {
    fn of(compare: &Compare) -> CompareLine {
        CompareLine {
            keys: KeysLine::of(&compare.keys),
            is: match compare.relation {
                Relation::Equal => RelationLine::Equal,
                Relation::Greater => RelationLine::Greater,
                Relation::Less => RelationLine::Less,
                Relation::NotEqual => RelationLine::NotEqual,
            },
            to: match &compare.target {
                CompareTarget::CreateRevision(n) => TargetLine::Create(*n),
                CompareTarget::Lease(n) => TargetLine::Lease(*n),
                CompareTarget::ModRevision(n) => TargetLine::Mod(*n),
                CompareTarget::Value(value) => TargetLine::Value(Text(value.clone())),
                CompareTarget::Version(n) => TargetLine::Version(*n),
            },
        }
    }

    fn into_compare(self) -> Compare {
        Compare {
            keys: self.keys.into_keys(),
            relation: match self.is {
                RelationLine::Equal => Relation::Equal,
                RelationLine::Greater => Relation::Greater,
                RelationLine::Less => Relation::Less,
                RelationLine::NotEqual => Relation::NotEqual,
            },
            target: match self.to {
                TargetLine::Create(n) => CompareTarget::CreateRevision(n),
                TargetLine::Lease(n) => CompareTarget::Lease(n),
                TargetLine::Mod(n) => CompareTarget::ModRevision(n),
                TargetLine::Value(value) => CompareTarget::Value(value.0),
                TargetLine::Version(n) => CompareTarget::Version(n),
            },
        }
    }
}

impl ReplyLine {
    fn of(reply: &Reply) -> Option<ReplyLine> {
        Some(match reply {
            Reply::Compact => ReplyLine::Compact {},
            Reply::Delete { deleted, previous } => ReplyLine::Delete {
                deleted: *deleted,
                previous: previous.iter().map(RecordLine::of).collect(),
            },
            // No call of a history asks for this.
            Reply::Alarms(_)
            | Reply::Auth
            | Reply::Lease(_)
            | Reply::Node(_)
            | Reply::Settings(_)
            // What it was is not known, so nobody can write it down as an answer.
            | Reply::Untold => return None,
            Reply::Put { previous } => ReplyLine::Put {
                previous: previous.as_ref().map(RecordLine::of),
            },
            Reply::Range(result) => ReplyLine::Range {
                count: result.count,
                more: result.more,
                records: result.records.iter().map(RecordLine::of).collect(),
            },
            Reply::Txn { succeeded, replies } => ReplyLine::Txn {
                succeeded: *succeeded,
                replies: replies.iter().map(ReplyLine::of).collect::<Option<_>>()?,
            },
        })
    }

    fn into_reply(self) -> Reply {
        let all = |records: Vec<RecordLine>| records.into_iter().map(RecordLine::into_record);
        match self {
            ReplyLine::Compact {} => Reply::Compact,
            ReplyLine::Delete { deleted, previous } => Reply::Delete {
                deleted,
                previous: all(previous).collect(),
            },
            ReplyLine::Put { previous } => Reply::Put {
                previous: previous.map(RecordLine::into_record),
            },
            ReplyLine::Range {
                count,
                more,
                records,
            } => Reply::Range(RangeResult {
                records: all(records).collect(),
                more,
                count,
            }),
            ReplyLine::Txn { succeeded, replies } => Reply::Txn {
                succeeded,
                replies: replies.into_iter().map(ReplyLine::into_reply).collect(),
            },
        }
    }
}

impl RecordLine {
    pub(super) fn of(record: &Record) -> RecordLine {
        RecordLine {
            key: Text(record.key.clone()),
            value: Text(record.value.clone()),
            create: record.meta.create_revision.0,
            modified: record.meta.mod_revision.0,
            version: record.meta.version,
            lease: record.meta.lease,
        }
    }

    pub(super) fn into_record(self) -> Record {
        Record {
            key: self.key.0,
            value: self.value.0,
            meta: Meta {
                create_revision: Revision(self.create),
                mod_revision: Revision(self.modified),
                sub: 0,
                version: self.version,
                lease: self.lease,
            },
        }
    }
}

fn one() -> i64 {
    Revision::EMPTY.0
}

// Serde hands these what they look at by reference.
#[allow(
    clippy::trivially_copy_pass_by_ref,
    reason = "the signature is serde's"
)]
fn is_one(n: &i64) -> bool {
    *n == one()
}

#[allow(
    clippy::trivially_copy_pass_by_ref,
    reason = "the signature is serde's"
)]
pub(super) fn is_zero(n: &i64) -> bool {
    *n == 0
}

#[allow(
    clippy::trivially_copy_pass_by_ref,
    reason = "the signature is serde's"
)]
fn is_zero_u64(n: &u64) -> bool {
    *n == 0
}

#[allow(
    clippy::trivially_copy_pass_by_ref,
    reason = "the signature is serde's"
)]
pub(super) fn is_false(flag: &bool) -> bool {
    !*flag
}
