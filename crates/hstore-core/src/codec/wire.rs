//! The messages as they are written. A field number is never given to another meaning.
//!
//! These types stay within the codec: the rest of the core speaks its own words, in which an
//! impossible value cannot be said.

use bytes::Bytes;
use prost::{Message, Oneof};

#[derive(Clone, PartialEq, Message)]
pub(crate) struct Proposal {
    #[prost(message, optional, tag = "1")]
    pub(crate) request: Option<RequestId>,
    #[prost(
        oneof = "Command",
        tags = "2, 3, 4, 5, 6, 7, 8, 9, 10, 20, 21, 22, 33, 40"
    )]
    pub(crate) command: Option<Command>,
    /// None for nobody.
    #[prost(message, optional, tag = "32")]
    pub(crate) author: Option<Author>,
}

#[derive(Clone, PartialEq, Message)]
pub(crate) struct RequestId {
    #[prost(fixed64, tag = "1")]
    pub(crate) client: u64,
    #[prost(uint64, tag = "2")]
    pub(crate) sequence: u64,
    #[prost(uint64, tag = "3")]
    pub(crate) answered_below: u64,
    #[prost(uint64, tag = "4")]
    pub(crate) born: u64,
}

#[derive(Clone, PartialEq, Oneof)]
pub(crate) enum Command {
    #[prost(message, tag = "2")]
    Put(Put),
    #[prost(message, tag = "3")]
    Delete(Delete),
    #[prost(message, tag = "4")]
    Txn(Txn),
    #[prost(message, tag = "5")]
    Compact(Compact),
    #[prost(message, tag = "6")]
    AllocateNode(AllocateNode),
    #[prost(message, tag = "7")]
    GrantLease(GrantLease),
    #[prost(message, tag = "8")]
    RenewLease(LeaseId),
    #[prost(message, tag = "9")]
    RevokeLease(LeaseId),
    #[prost(message, tag = "10")]
    ExpireLeases(ExpireLeases),
    #[prost(message, tag = "20")]
    Alarm(AlarmChange),
    #[prost(message, tag = "21")]
    ReserveNode(ReserveNode),
    #[prost(message, tag = "22")]
    ReleaseNode(ReleaseNode),
    #[prost(message, tag = "33")]
    Auth(AuthCommand),
    #[prost(message, tag = "40")]
    ChangeSettings(ChangeSettings),
}

#[derive(Clone, PartialEq, Message)]
pub(crate) struct Author {
    #[prost(bool, tag = "1")]
    pub(crate) node: bool,
    #[prost(string, tag = "2")]
    pub(crate) user: String,
    #[prost(uint64, tag = "3")]
    pub(crate) revision: u64,
}

#[derive(Clone, PartialEq, Message)]
pub(crate) struct AuthCommand {
    #[prost(oneof = "AuthKind", tags = "1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11")]
    pub(crate) kind: Option<AuthKind>,
}

#[derive(Clone, PartialEq, Oneof)]
pub(crate) enum AuthKind {
    #[prost(message, tag = "1")]
    Enable(AuthEnable),
    #[prost(message, tag = "2")]
    Disable(AuthDisable),
    #[prost(message, tag = "3")]
    UserAdd(UserPassword),
    #[prost(message, tag = "4")]
    UserDelete(AuthName),
    #[prost(message, tag = "5")]
    UserPassword(UserPassword),
    #[prost(message, tag = "6")]
    GrantRole(UserRole),
    #[prost(message, tag = "7")]
    RevokeRole(UserRole),
    #[prost(message, tag = "8")]
    RoleAdd(AuthName),
    #[prost(message, tag = "9")]
    RoleDelete(AuthName),
    #[prost(message, tag = "10")]
    GrantPermission(RolePermission),
    #[prost(message, tag = "11")]
    RevokePermission(RoleKeys),
}

#[derive(Clone, PartialEq, Message)]
pub(crate) struct AuthEnable {
    #[prost(bytes = "vec", tag = "1")]
    pub(crate) key: Vec<u8>,
}

#[derive(Clone, PartialEq, Message)]
pub(crate) struct AuthDisable {}

#[derive(Clone, PartialEq, Message)]
pub(crate) struct AuthName {
    #[prost(string, tag = "1")]
    pub(crate) name: String,
}

#[derive(Clone, PartialEq, Message)]
pub(crate) struct UserPassword {
    #[prost(string, tag = "1")]
    pub(crate) name: String,
    /// The hash; absent for a user without a password.
    #[prost(string, optional, tag = "2")]
    pub(crate) password: Option<String>,
}

#[derive(Clone, PartialEq, Message)]
pub(crate) struct UserRole {
    #[prost(string, tag = "1")]
    pub(crate) user: String,
    #[prost(string, tag = "2")]
    pub(crate) role: String,
}

#[derive(Clone, PartialEq, Message)]
pub(crate) struct RolePermission {
    #[prost(string, tag = "1")]
    pub(crate) role: String,
    #[prost(message, optional, tag = "2")]
    pub(crate) permission: Option<Permission>,
}

#[derive(Clone, PartialEq, Message)]
pub(crate) struct RoleKeys {
    #[prost(string, tag = "1")]
    pub(crate) role: String,
    #[prost(message, optional, tag = "2")]
    pub(crate) keys: Option<KeyRange>,
}

#[derive(Clone, PartialEq, Message)]
pub(crate) struct Permission {
    #[prost(message, optional, tag = "1")]
    pub(crate) keys: Option<KeyRange>,
    /// 1 read, 2 write, 3 both.
    #[prost(uint32, tag = "2")]
    pub(crate) access: u32,
}

#[derive(Clone, Copy, PartialEq, Message)]
pub(crate) struct AlarmChange {
    #[prost(message, optional, tag = "1")]
    pub(crate) alarm: Option<Alarm>,
    /// The alarm is over.
    #[prost(bool, tag = "2")]
    pub(crate) clear: bool,
}

#[derive(Clone, Copy, PartialEq, Message)]
pub(crate) struct Alarm {
    #[prost(uint32, tag = "1")]
    pub(crate) kind: u32,
    #[prost(uint64, tag = "2")]
    pub(crate) node: u64,
    #[prost(bool, tag = "3")]
    pub(crate) automatic: bool,
}

#[derive(Clone, PartialEq, Message)]
pub(crate) struct ReserveNode {
    /// 0 for a new id.
    #[prost(uint64, tag = "1")]
    pub(crate) node: u64,
    #[prost(string, tag = "2")]
    pub(crate) peer_address: String,
    #[prost(bool, tag = "3")]
    pub(crate) learner: bool,
}

#[derive(Clone, Copy, PartialEq, Message)]
pub(crate) struct ReleaseNode {
    #[prost(uint64, tag = "1")]
    pub(crate) node: u64,
}

#[derive(Clone, PartialEq, Message)]
pub(crate) struct GrantLease {
    #[prost(int64, tag = "1")]
    pub(crate) lease: i64,
    #[prost(int64, tag = "2")]
    pub(crate) ttl: i64,
}

#[derive(Clone, PartialEq, Message)]
pub(crate) struct LeaseId {
    #[prost(int64, tag = "1")]
    pub(crate) lease: i64,
}

#[derive(Clone, PartialEq, Message)]
pub(crate) struct ExpireLeases {}

#[derive(Clone, PartialEq, Message)]
pub(crate) struct Put {
    #[prost(bytes = "bytes", tag = "1")]
    pub(crate) key: Bytes,
    #[prost(bytes = "bytes", tag = "2")]
    pub(crate) value: Bytes,
    #[prost(int64, tag = "3")]
    pub(crate) lease: i64,
    #[prost(bool, tag = "4")]
    pub(crate) prev_kv: bool,
    #[prost(bool, tag = "5")]
    pub(crate) ignore_value: bool,
    #[prost(bool, tag = "6")]
    pub(crate) ignore_lease: bool,
}

#[derive(Clone, PartialEq, Message)]
pub(crate) struct Delete {
    #[prost(message, optional, tag = "1")]
    pub(crate) keys: Option<KeyRange>,
    #[prost(bool, tag = "2")]
    pub(crate) prev_kv: bool,
}

#[derive(Clone, PartialEq, Message)]
pub(crate) struct Compact {
    #[prost(int64, tag = "1")]
    pub(crate) revision: i64,
}

#[derive(Clone, PartialEq, Message)]
pub(crate) struct AllocateNode {
    #[prost(fixed64, tag = "1")]
    pub(crate) incarnation: u64,
    #[prost(string, tag = "2")]
    pub(crate) peer_address: String,
}

#[derive(Clone, PartialEq, Message)]
pub(crate) struct Txn {
    #[prost(message, repeated, tag = "1")]
    pub(crate) compare: Vec<Compare>,
    #[prost(message, repeated, tag = "2")]
    pub(crate) then: Vec<Operation>,
    #[prost(message, repeated, tag = "3")]
    pub(crate) otherwise: Vec<Operation>,
}

#[derive(Clone, PartialEq, Message)]
pub(crate) struct Operation {
    #[prost(oneof = "OperationKind", tags = "1, 2, 3, 4")]
    pub(crate) kind: Option<OperationKind>,
}

#[derive(Clone, PartialEq, Oneof)]
pub(crate) enum OperationKind {
    #[prost(message, tag = "1")]
    Put(Put),
    #[prost(message, tag = "2")]
    Delete(Delete),
    #[prost(message, tag = "3")]
    Range(Range),
    #[prost(message, tag = "4")]
    Txn(Txn),
}

#[derive(Clone, PartialEq, Message)]
pub(crate) struct Compare {
    #[prost(message, optional, tag = "1")]
    pub(crate) keys: Option<KeyRange>,
    #[prost(uint32, tag = "2")]
    pub(crate) relation: u32,
    #[prost(oneof = "CompareTarget", tags = "3, 4, 5, 6, 7")]
    pub(crate) target: Option<CompareTarget>,
}

#[derive(Clone, PartialEq, Oneof)]
pub(crate) enum CompareTarget {
    #[prost(int64, tag = "3")]
    Version(i64),
    #[prost(int64, tag = "4")]
    CreateRevision(i64),
    #[prost(int64, tag = "5")]
    ModRevision(i64),
    #[prost(bytes = "bytes", tag = "6")]
    Value(Bytes),
    #[prost(int64, tag = "7")]
    Lease(i64),
}

#[derive(Clone, PartialEq, Message)]
pub(crate) struct KeyRange {
    #[prost(bytes = "bytes", tag = "1")]
    pub(crate) start: Bytes,
    /// Present in a span only.
    #[prost(bytes = "bytes", optional, tag = "2")]
    pub(crate) end: Option<Bytes>,
    /// Set in "from this key on" only.
    #[prost(bool, tag = "3")]
    pub(crate) endless: bool,
}

#[derive(Clone, PartialEq, Message)]
pub(crate) struct Range {
    #[prost(message, optional, tag = "1")]
    pub(crate) keys: Option<KeyRange>,
    #[prost(int64, tag = "2")]
    pub(crate) revision: i64,
    #[prost(uint64, tag = "3")]
    pub(crate) limit: u64,
    #[prost(uint32, tag = "4")]
    pub(crate) sort_target: u32,
    #[prost(bool, tag = "5")]
    pub(crate) descending: bool,
    #[prost(bool, tag = "6")]
    pub(crate) keys_only: bool,
    #[prost(bool, tag = "7")]
    pub(crate) count_only: bool,
    #[prost(int64, tag = "8")]
    pub(crate) mod_revision_min: i64,
    #[prost(int64, tag = "9")]
    pub(crate) mod_revision_max: i64,
    #[prost(int64, tag = "10")]
    pub(crate) create_revision_min: i64,
    #[prost(int64, tag = "11")]
    pub(crate) create_revision_max: i64,
    #[prost(bool, tag = "12")]
    pub(crate) uncounted: bool,
}

#[derive(Clone, PartialEq, Message)]
pub(crate) struct RangeResult {
    #[prost(message, repeated, tag = "1")]
    pub(crate) records: Vec<Record>,
    #[prost(bool, tag = "2")]
    pub(crate) more: bool,
    #[prost(uint64, tag = "3")]
    pub(crate) count: u64,
}

#[derive(Clone, PartialEq, Message)]
pub(crate) struct Record {
    #[prost(bytes = "bytes", tag = "1")]
    pub(crate) key: Bytes,
    #[prost(bytes = "bytes", tag = "2")]
    pub(crate) value: Bytes,
    #[prost(int64, tag = "3")]
    pub(crate) create_revision: i64,
    #[prost(int64, tag = "4")]
    pub(crate) mod_revision: i64,
    #[prost(uint32, tag = "5")]
    pub(crate) sub: u32,
    #[prost(int64, tag = "6")]
    pub(crate) version: i64,
    #[prost(int64, tag = "7")]
    pub(crate) lease: i64,
}

#[derive(Clone, PartialEq, Message)]
pub(crate) struct Outcome {
    #[prost(int64, tag = "1")]
    pub(crate) revision: i64,
    #[prost(oneof = "OutcomeResult", tags = "2, 3")]
    pub(crate) result: Option<OutcomeResult>,
}

#[derive(Clone, PartialEq, Oneof)]
pub(crate) enum OutcomeResult {
    #[prost(message, tag = "2")]
    Reply(Reply),
    #[prost(message, tag = "3")]
    Refusal(Refusal),
}

#[derive(Clone, PartialEq, Message)]
pub(crate) struct Reply {
    #[prost(
        oneof = "ReplyKind",
        tags = "1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 20, 32, 40, 50"
    )]
    pub(crate) kind: Option<ReplyKind>,
}

#[derive(Clone, PartialEq, Oneof)]
pub(crate) enum ReplyKind {
    #[prost(message, tag = "1")]
    Put(PutReply),
    #[prost(message, tag = "2")]
    Delete(DeleteReply),
    #[prost(message, tag = "3")]
    Range(RangeResult),
    #[prost(message, tag = "4")]
    Txn(TxnReply),
    #[prost(message, tag = "5")]
    Compact(CompactReply),
    #[prost(uint64, tag = "6")]
    Node(u64),
    #[prost(message, tag = "7")]
    LeaseGranted(LeaseTtl),
    #[prost(message, tag = "8")]
    LeaseRenewed(LeaseTtl),
    #[prost(message, tag = "9")]
    LeaseRevoked(LeaseRevoked),
    #[prost(message, tag = "10")]
    LeasesExpired(LeasesExpired),
    #[prost(message, tag = "20")]
    Alarms(Alarms),
    #[prost(message, tag = "32")]
    Auth(AuthReply),
    #[prost(uint64, tag = "40")]
    Settings(u64),
    #[prost(message, tag = "50")]
    Untold(UntoldReply),
}

#[derive(Clone, PartialEq, Message)]
pub(crate) struct UntoldReply {}

#[derive(Clone, PartialEq, Message)]
pub(crate) struct Alarms {
    #[prost(message, repeated, tag = "1")]
    pub(crate) alarms: Vec<Alarm>,
}

#[derive(Clone, PartialEq, Message)]
pub(crate) struct AuthReply {}

#[derive(Clone, PartialEq, Message)]
pub(crate) struct LeaseTtl {
    #[prost(int64, tag = "1")]
    pub(crate) ttl: i64,
}

#[derive(Clone, PartialEq, Message)]
pub(crate) struct LeaseRevoked {}

#[derive(Clone, PartialEq, Message)]
pub(crate) struct LeasesExpired {
    #[prost(uint64, tag = "1")]
    pub(crate) count: u64,
    #[prost(bool, tag = "2")]
    pub(crate) more: bool,
}

#[derive(Clone, PartialEq, Message)]
pub(crate) struct PutReply {
    #[prost(message, optional, tag = "1")]
    pub(crate) previous: Option<Record>,
}

#[derive(Clone, PartialEq, Message)]
pub(crate) struct DeleteReply {
    #[prost(uint64, tag = "1")]
    pub(crate) deleted: u64,
    #[prost(message, repeated, tag = "2")]
    pub(crate) previous: Vec<Record>,
}

#[derive(Clone, PartialEq, Message)]
pub(crate) struct TxnReply {
    #[prost(bool, tag = "1")]
    pub(crate) succeeded: bool,
    #[prost(message, repeated, tag = "2")]
    pub(crate) replies: Vec<Reply>,
}

#[derive(Clone, PartialEq, Message)]
pub(crate) struct CompactReply {}

#[derive(Clone, PartialEq, Message)]
pub(crate) struct Refusal {
    #[prost(uint32, tag = "1")]
    pub(crate) kind: u32,
    /// The compaction point or the current revision, where the kind has one.
    #[prost(int64, tag = "2")]
    pub(crate) revision: i64,
}

#[derive(Clone, PartialEq, Message)]
pub(crate) struct LogId {
    #[prost(uint64, tag = "1")]
    pub(crate) term: u64,
    #[prost(uint64, tag = "2")]
    pub(crate) leader: u64,
    #[prost(uint64, tag = "3")]
    pub(crate) index: u64,
}

#[derive(Clone, PartialEq, Message)]
pub(crate) struct Membership {
    #[prost(message, optional, tag = "1")]
    pub(crate) log_id: Option<LogId>,
    #[prost(message, repeated, tag = "2")]
    pub(crate) voters: Vec<Voters>,
    #[prost(message, repeated, tag = "3")]
    pub(crate) members: Vec<Member>,
}

#[derive(Clone, PartialEq, Message)]
pub(crate) struct Voters {
    #[prost(uint64, repeated, tag = "1")]
    pub(crate) nodes: Vec<u64>,
}

#[derive(Clone, PartialEq, Message)]
pub(crate) struct Member {
    #[prost(uint64, tag = "1")]
    pub(crate) node: u64,
    #[prost(string, tag = "2")]
    pub(crate) name: String,
    #[prost(string, tag = "3")]
    pub(crate) peer_address: String,
    #[prost(string, tag = "4")]
    pub(crate) client_address: String,
    #[prost(fixed64, tag = "5")]
    pub(crate) incarnation: u64,
    #[prost(string, optional, tag = "6")]
    pub(crate) started_as: Option<String>,
}

#[derive(Clone, PartialEq, Message)]
pub(crate) struct State {
    #[prost(int64, tag = "1")]
    pub(crate) revision: i64,
    #[prost(int64, tag = "2")]
    pub(crate) compacted: i64,
    #[prost(fixed64, tag = "3")]
    pub(crate) hash: u64,
    #[prost(uint64, tag = "4")]
    pub(crate) last_node: u64,
    #[prost(message, repeated, tag = "5")]
    pub(crate) nodes: Vec<AllocatedNode>,
    #[prost(uint64, optional, tag = "6")]
    pub(crate) evicted_up_to: Option<u64>,
    #[prost(message, repeated, tag = "7")]
    pub(crate) sessions: Vec<Session>,
    #[prost(uint64, tag = "8")]
    pub(crate) lease_clock: u64,
    #[prost(message, repeated, tag = "9")]
    pub(crate) leases: Vec<Lease>,
    #[prost(message, repeated, tag = "20")]
    pub(crate) alarms: Vec<Alarm>,
    #[prost(message, repeated, tag = "21")]
    pub(crate) marks: Vec<Mark>,
    #[prost(message, repeated, tag = "22")]
    pub(crate) reserved: Vec<ReservedNode>,
    #[prost(uint64, repeated, tag = "23")]
    pub(crate) learners: Vec<u64>,
    /// None when nobody ever made a user or a role.
    #[prost(message, optional, tag = "32")]
    pub(crate) auth: Option<Auth>,
    /// None when nothing was ever set.
    #[prost(message, optional, tag = "40")]
    pub(crate) settings: Option<Settings>,
}

#[derive(Clone, PartialEq, Message)]
pub(crate) struct Auth {
    #[prost(bool, tag = "1")]
    pub(crate) enabled: bool,
    #[prost(uint64, tag = "2")]
    pub(crate) enabled_since: u64,
    #[prost(uint64, tag = "3")]
    pub(crate) revision: u64,
    #[prost(bytes = "vec", tag = "4")]
    pub(crate) key: Vec<u8>,
    #[prost(message, repeated, tag = "5")]
    pub(crate) users: Vec<AuthUser>,
    #[prost(message, repeated, tag = "6")]
    pub(crate) roles: Vec<AuthRole>,
}

#[derive(Clone, PartialEq, Message)]
pub(crate) struct AuthUser {
    #[prost(string, tag = "1")]
    pub(crate) name: String,
    #[prost(string, optional, tag = "2")]
    pub(crate) password: Option<String>,
    #[prost(string, repeated, tag = "3")]
    pub(crate) roles: Vec<String>,
    #[prost(uint64, tag = "4")]
    pub(crate) since: u64,
}

#[derive(Clone, PartialEq, Message)]
pub(crate) struct AuthRole {
    #[prost(string, tag = "1")]
    pub(crate) name: String,
    #[prost(message, repeated, tag = "2")]
    pub(crate) permissions: Vec<Permission>,
}

#[derive(Clone, PartialEq, Message)]
pub(crate) struct ChangeSettings {
    #[prost(uint64, optional, tag = "1")]
    pub(crate) expected: Option<u64>,
    #[prost(message, repeated, tag = "2")]
    pub(crate) changes: Vec<SettingChange>,
}

#[derive(Clone, PartialEq, Message)]
pub(crate) struct SettingChange {
    /// 0 for the cluster.
    #[prost(uint64, tag = "1")]
    pub(crate) node: u64,
    #[prost(uint32, tag = "2")]
    pub(crate) key: u32,
    /// None takes the setting back.
    #[prost(message, optional, tag = "3")]
    pub(crate) value: Option<SettingValue>,
}

/// Which of the fields there are depends on the key.
#[derive(Clone, PartialEq, Message)]
pub(crate) struct SettingValue {
    #[prost(uint64, optional, tag = "1")]
    pub(crate) number: Option<u64>,
    #[prost(uint64, optional, tag = "2")]
    pub(crate) other: Option<u64>,
    #[prost(string, optional, tag = "3")]
    pub(crate) text: Option<String>,
}

#[derive(Clone, PartialEq, Message)]
pub(crate) struct Settings {
    #[prost(uint64, tag = "1")]
    pub(crate) version: u64,
    #[prost(message, repeated, tag = "2")]
    pub(crate) settings: Vec<Setting>,
}

#[derive(Clone, PartialEq, Message)]
pub(crate) struct Setting {
    /// 0 for the cluster.
    #[prost(uint64, tag = "1")]
    pub(crate) node: u64,
    #[prost(uint32, tag = "2")]
    pub(crate) key: u32,
    #[prost(message, optional, tag = "3")]
    pub(crate) value: Option<SettingValue>,
    #[prost(uint64, tag = "4")]
    pub(crate) version: u64,
}

#[derive(Clone, Copy, PartialEq, Message)]
pub(crate) struct Mark {
    #[prost(uint64, tag = "1")]
    pub(crate) time: u64,
    #[prost(int64, tag = "2")]
    pub(crate) revision: i64,
}

#[derive(Clone, PartialEq, Message)]
pub(crate) struct ReservedNode {
    #[prost(uint64, tag = "1")]
    pub(crate) node: u64,
    #[prost(string, tag = "2")]
    pub(crate) peer_address: String,
    #[prost(bool, tag = "3")]
    pub(crate) learner: bool,
}

#[derive(Clone, PartialEq, Message)]
pub(crate) struct Lease {
    #[prost(int64, tag = "1")]
    pub(crate) id: i64,
    #[prost(int64, tag = "2")]
    pub(crate) ttl: i64,
    #[prost(uint64, tag = "3")]
    pub(crate) ends: u64,
}

#[derive(Clone, PartialEq, Message)]
pub(crate) struct AllocatedNode {
    #[prost(uint64, tag = "1")]
    pub(crate) node: u64,
    #[prost(fixed64, tag = "2")]
    pub(crate) incarnation: u64,
}

#[derive(Clone, PartialEq, Message)]
pub(crate) struct Session {
    #[prost(fixed64, tag = "1")]
    pub(crate) client: u64,
    #[prost(uint64, tag = "2")]
    pub(crate) last_used: u64,
    #[prost(uint64, tag = "3")]
    pub(crate) answered_below: u64,
    #[prost(message, repeated, tag = "4")]
    pub(crate) outcomes: Vec<KeptOutcome>,
}

#[derive(Clone, PartialEq, Message)]
pub(crate) struct KeptOutcome {
    #[prost(uint64, tag = "1")]
    pub(crate) sequence: u64,
    /// An encoded outcome; empty when it was too large to be kept.
    #[prost(bytes = "bytes", tag = "2")]
    pub(crate) outcome: Bytes,
}
