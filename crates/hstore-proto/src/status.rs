//! How a failure travels: the one table between our codes and what etcd's clients recognise, and
//! the way back.
//!
//! etcd's clients compare the text and the gRPC code of an error (api/v3rpc/rpctypes/error.go), so
//! where etcd has a word for a failure we use exactly that; where it has none the text begins with
//! `hstore:`. Our own clients read the stable code from the metadata.
//!
//! Invariants: (1) every status that a door of ours makes carries `hstore-code` and
//! `hstore-detail`; (2) what was read from a status says whether a node made it or the way to it
//! broke: only a node's word tells that a write was not applied.

use std::fmt::{Display, Write as _};

use hstore_core::check::Violation;
use hstore_core::error::ErrorCode;
use hstore_core::outcome::Refusal;
use tonic::metadata::{Ascii, MetadataValue};
use tonic::{Code, Status};

use crate::convert::request::RequestError;
use crate::metadata;

/// The longest detail that travels; more is cut off, since headers are bounded on the way.
const DETAIL_BYTES_MAX: usize = 1024;

/// How tonic's decoder begins when a message is larger than it may be.
const MESSAGE_TOO_LARGE: &str = "Error, decoded message length too large";

/// etcd's words for a watch whose name the stream has already.
pub const DUPLICATE_WATCH: &str = "mvcc: duplicate watch ID provided on the WatchStream";

/// etcd's words for a watch of a range that holds nothing.
pub const EMPTY_WATCH_RANGE: &str = "mvcc: watcher range is empty";

/// etcd's words for a stream of a range in an order that is not that of the keys.
pub const CUSTOM_SORT: &str = "RangeStream does not support custom sort orders";

/// etcd's words for a stream of a range of which revisions are left out.
pub const REVISION_FILTER: &str = "RangeStream does not support revision filters";
/// etcd's words for a request about an election without a leader in it.
const LEADER_MISSING: &str = "\"leader\" field must be provided";

/// gRPC's words in Go for a deadline that passed.
const DEADLINE_PASSED: &str = "context deadline exceeded";

/// The text that travels with a code: etcd's exact one where etcd has one.
pub fn text(code: ErrorCode) -> &'static str {
    match code {
        ErrorCode::AuthFailed => "etcdserver: authentication failed, invalid user ID or password",
        ErrorCode::AuthFull => "hstore: users and roles take as much room as they may",
        ErrorCode::AuthNotEnabled => "etcdserver: authentication is not enabled",
        ErrorCode::AuthRevisionOld => "etcdserver: revision of auth store is old",
        ErrorCode::InvalidAuthManagement => "etcdserver: invalid auth management",
        ErrorCode::InvalidAuthToken => "etcdserver: invalid auth token",
        ErrorCode::PermissionDenied => "etcdserver: permission denied",
        ErrorCode::PermissionNotGiven => "etcdserver: permission not given",
        ErrorCode::PermissionNotGranted => "etcdserver: permission is not granted to the role",
        ErrorCode::RoleEmpty => "etcdserver: role name is empty",
        ErrorCode::RoleExists => "etcdserver: role name already exists",
        ErrorCode::RoleNotFound => "etcdserver: role name not found",
        ErrorCode::RoleNotGranted => "etcdserver: role is not granted to the user",
        ErrorCode::RootRoleMissing => "etcdserver: root user does not have root role",
        ErrorCode::RootUserMissing => "etcdserver: root user does not exist",
        ErrorCode::UserEmpty => "etcdserver: user name is empty",
        ErrorCode::UserExists => "etcdserver: user name already exists",
        ErrorCode::UserNotFound => "etcdserver: user name not found",
        ErrorCode::CannotLead => "etcdserver: bad leader transferee",
        ErrorCode::ClusterMismatch => "hstore: the peer belongs to another cluster or data folder",
        ErrorCode::ClusterUnhealthy => "etcdserver: unhealthy cluster",
        ErrorCode::Compacted => "etcdserver: mvcc: required revision has been compacted",
        ErrorCode::Conflict => "hstore: a comparison did not hold",
        ErrorCode::CrossOrigin => "hstore: a page of another site may not ask for this",
        ErrorCode::DataCorrupt => "etcdserver: corrupt cluster",
        ErrorCode::DataInUse => "hstore: the data folder is in use",
        ErrorCode::DataUnusable => "hstore: the data folder cannot be used",
        ErrorCode::DiskFailed => "hstore: the disk failed",
        ErrorCode::DiskFull | ErrorCode::NoSpace => "etcdserver: mvcc: database space exceeded",
        ErrorCode::DuplicateKey => "etcdserver: duplicate key given in txn request",
        ErrorCode::ElectionLost => "election: not leader",
        ErrorCode::EmptyKey => "etcdserver: key is not provided",
        ErrorCode::FileUnusable => "hstore: the file cannot be used",
        ErrorCode::FormatTooNew => "hstore: the other side is of a newer version",
        ErrorCode::FutureRevision => "etcdserver: mvcc: required revision is a future revision",
        ErrorCode::Internal => "hstore: something that should be impossible happened",
        ErrorCode::Interrupted => "hstore: interrupted",
        ErrorCode::InvalidArgument => "hstore: the request makes no sense",
        ErrorCode::InvalidConfig => "hstore: a setting makes no sense",
        ErrorCode::KeyNotFound => "etcdserver: key not found",
        ErrorCode::KeyTooLarge => "hstore: the key is too large",
        ErrorCode::LearnerNotReady => {
            "etcdserver: can only promote a learner member which is in sync with leader"
        }
        ErrorCode::LeaseExists => "etcdserver: lease already exists",
        ErrorCode::LeaseNotFound => "etcdserver: requested lease not found",
        ErrorCode::LeaseTtlTooLarge => "etcdserver: too large lease TTL",
        ErrorCode::LockLost => "mutex: session is expired",
        ErrorCode::MembershipBusy => "hstore: the membership cannot be changed now",
        ErrorCode::NoSuchPath => "hstore: nothing is served at this path",
        ErrorCode::NobodyElected => "election: no leader",
        ErrorCode::NodeNotFound => "etcdserver: member not found",
        ErrorCode::NodeRemoved => "hstore: the node was removed from the cluster",
        ErrorCode::MethodNotAllowed => "hstore: the path does not take this method",
        ErrorCode::NoQuorum => "etcdserver: no leader",
        ErrorCode::NotALearner => "etcdserver: can only promote a learner member",
        ErrorCode::NotForLearners => "etcdserver: rpc not supported for learner",
        ErrorCode::NotLeader => "etcdserver: not leader",
        ErrorCode::OutcomeUnknown | ErrorCode::Timeout => "etcdserver: request timed out",
        ErrorCode::Overloaded => "etcdserver: too many requests",
        ErrorCode::Partial => "hstore: some of it was done",
        ErrorCode::PeerAddressTaken => "etcdserver: Peer URLs already exists",
        ErrorCode::PortInUse => "hstore: the address is in use",
        ErrorCode::AnswerUntold => "hstore: it was done, and the answer is too large to be told",
        ErrorCode::RequestTooLarge => "etcdserver: request is too large",
        ErrorCode::SessionExpired => "hstore: the session of the client is forgotten",
        ErrorCode::SeveralClusters => "hstore: more than one cluster was found",
        ErrorCode::ShuttingDown => "etcdserver: server stopped",
        ErrorCode::TlsFailed => "hstore: the connection cannot be encrypted",
        ErrorCode::TooFewStarted => {
            "etcdserver: re-configuration failed due to not enough started members"
        }
        ErrorCode::TooManyLeases => "hstore: there are as many leases as there may be",
        ErrorCode::TooManyOperations => "etcdserver: too many operations in txn request",
        ErrorCode::UnknownHost => "hstore: the node does not go by this host name",
        ErrorCode::Unreachable => "hstore: no node answered",
        ErrorCode::Unsupported => "hstore: this version does not do that",
    }
}

/// What to do about a failure, in one sentence.
pub fn advice(code: ErrorCode) -> &'static str {
    match code {
        ErrorCode::AuthFailed => "Check the name and the password.",
        ErrorCode::AuthFull => "Delete users, roles or permissions that nobody needs.",
        ErrorCode::AuthNotEnabled => {
            "Leave the user and the password out, or enable authentication."
        }
        ErrorCode::AuthRevisionOld | ErrorCode::InvalidAuthToken => "Authenticate again.",
        ErrorCode::InvalidAuthManagement => {
            "Disable authentication first, or name a range that holds a key."
        }
        ErrorCode::PermissionDenied => {
            "Ask somebody with the role root to grant it to one of your roles."
        }
        ErrorCode::PermissionNotGiven => "Say what the role may do, and with which keys.",
        ErrorCode::PermissionNotGranted => {
            "Look at the role, and name the range as it was granted."
        }
        ErrorCode::RoleEmpty => "Name the role.",
        ErrorCode::RoleExists => "Use the role, or choose another name.",
        ErrorCode::RoleNotFound => "List the roles and choose one of them.",
        ErrorCode::RoleNotGranted => "Look at the user's roles.",
        ErrorCode::RootRoleMissing => "Grant the role root to the user root first.",
        ErrorCode::RootUserMissing => "Add the user root first.",
        ErrorCode::UserEmpty => "Name a user, with a password.",
        ErrorCode::UserExists => "Use the user, or choose another name.",
        ErrorCode::UserNotFound => "List the users and choose one of them.",
        ErrorCode::CannotLead => "List the members and choose one that votes.",
        ErrorCode::ClusterMismatch => {
            "Check the address; a data folder that was wiped or copied joins again as a new node."
        }
        ErrorCode::ClusterUnhealthy => "Start the nodes that are down, then try again.",
        ErrorCode::Compacted => "Read at a newer revision, or at the current one.",
        ErrorCode::Conflict => "Read again what is there and decide anew.",
        ErrorCode::CrossOrigin => "Use a page that the node serves itself, or a program.",
        ErrorCode::DataCorrupt => "Remove the node and join it again with an empty data folder.",
        ErrorCode::DataInUse => "Stop the process that uses the data folder, or choose another.",
        ErrorCode::DataUnusable => "Check the data folder's path, owner and permissions.",
        ErrorCode::DiskFailed => "Check the disk, then start the node again.",
        ErrorCode::DiskFull => "Make room on the disk, then start the node again.",
        ErrorCode::DuplicateKey => "Write each key at most once in each branch.",
        ErrorCode::ElectionLost => "Stop acting as the leader, and campaign again.",
        ErrorCode::EmptyKey => "Give a key of at least one byte.",
        ErrorCode::FileUnusable => "Check the path and the permissions of the file.",
        ErrorCode::FormatTooNew => "Run the version that wrote it, or a newer one.",
        ErrorCode::FutureRevision => "Ask for a revision that exists already.",
        ErrorCode::Internal => "Look at the log of the node and report what it says.",
        ErrorCode::Interrupted => "Run the command again; a write may have been applied.",
        ErrorCode::InvalidArgument => "Correct the request.",
        ErrorCode::InvalidConfig => "Correct the setting.",
        ErrorCode::KeyNotFound => "Write the key first.",
        ErrorCode::KeyTooLarge => "Use a shorter key.",
        ErrorCode::LearnerNotReady => "Wait until the learner has caught up, then try again.",
        ErrorCode::LeaseExists => "Leave the id out, or choose another.",
        ErrorCode::LeaseNotFound => "Make a new lease; the keys of the old one are gone.",
        ErrorCode::LeaseTtlTooLarge => "Ask for at most 9000000000 seconds.",
        ErrorCode::LockLost => "Stop what the lock protects, and lock again with a new lease.",
        ErrorCode::MembershipBusy => "Wait until the change is done, then try again.",
        ErrorCode::NoSuchPath => "Check the path and the version of the node.",
        ErrorCode::NobodyElected => "Wait until somebody is elected, or campaign.",
        ErrorCode::NodeNotFound => "List the members and choose one of them.",
        ErrorCode::NodeRemoved => "Ask another node; this one joins again with an empty folder.",
        ErrorCode::MethodNotAllowed => "Use a method that the header allow names.",
        ErrorCode::NoSpace => "Delete and compact, or raise the quota of the node.",
        ErrorCode::NotALearner => "Nothing is to be done: the member votes.",
        ErrorCode::NotForLearners => "Ask a node that votes.",
        ErrorCode::NotLeader => "Ask the leader.",
        ErrorCode::NoQuorum => "Start enough nodes for a majority, then try again.",
        ErrorCode::OutcomeUnknown => "Read the key to see whether the write was applied.",
        ErrorCode::Overloaded => "Wait a moment, then try again.",
        ErrorCode::Partial => "Go on where the command says that it stopped.",
        ErrorCode::PeerAddressTaken => "List the members, and use another address.",
        ErrorCode::PortInUse => "Choose another port, or let the node choose.",
        ErrorCode::AnswerUntold => {
            "Do not ask again: it was done. Read what there is in pieces, outside of a transaction."
        }
        ErrorCode::RequestTooLarge => "Split the request, or raise the limit on every node.",
        ErrorCode::SessionExpired => "Begin a new session and decide again.",
        ErrorCode::SeveralClusters => "Name the cluster.",
        ErrorCode::ShuttingDown => "Ask another node.",
        ErrorCode::Timeout => "Try again, with more time.",
        ErrorCode::TlsFailed => "Check the certificates, the names in them, and who signed them.",
        ErrorCode::TooFewStarted => "Start the members that were added, then try again.",
        ErrorCode::TooManyLeases => "Attach more keys to one lease, and revoke what is not needed.",
        ErrorCode::TooManyOperations => "Split the transaction, or raise the limit on every node.",
        ErrorCode::UnknownHost => {
            "Use an IP address, or the host name that the node is started with (--advertise)."
        }
        ErrorCode::Unreachable => "Check that the node runs and that the address is right.",
        ErrorCode::Unsupported => "Use a version that does.",
    }
}

/// A code in one text, as etcd's clients find it where there is no room for a status.
pub fn in_words(code: ErrorCode) -> String {
    let (grpc, text) = (grpc_code(code), text(code));
    format!("rpc error: code = {grpc:?} desc = {text}")
}

/// A failure with its code's own text. `what` says what happened, for the detail.
pub fn failure(code: ErrorCode, what: impl Display) -> Status {
    build(code, text(code), what)
}

/// A failure with etcd's words where they are not those of its code.
pub fn with_text(code: ErrorCode, text: &'static str) -> Status {
    build(code, text, text)
}

/// A failure in etcd's words where they are others than those of the code.
pub fn failure_as(code: ErrorCode, grpc: Code, text: &'static str, what: impl Display) -> Status {
    build_as(grpc, code, text, what)
}

/// A request that the door refused.
pub fn refused_request(error: &RequestError) -> Status {
    let text = match error {
        RequestError::Check(Violation::LeaseProvided) => "etcdserver: lease is provided",
        RequestError::Check(Violation::ValueProvided) => "etcdserver: value is provided",
        RequestError::InvalidSort => "etcdserver: invalid sort option",
        // This is what etcd says of an empty step.
        RequestError::MissingOperation => text(ErrorCode::KeyNotFound),
        RequestError::Check(_) | RequestError::UnknownComparison => text(error.code()),
    };
    build(error.code(), text, error)
}

/// A request about an election that does not say whose leadership it means.
pub fn leader_missing() -> Status {
    let what = "the request names no leader";
    build_as(
        Code::Unknown,
        ErrorCode::InvalidArgument,
        LEADER_MISSING,
        what,
    )
}

/// A lock or an election was not won by the caller's deadline: what etcd's server says of a call
/// that ends so.
pub fn not_won_in_time() -> Status {
    let what = "the deadline passed while others were before the caller";
    build_as(
        Code::DeadlineExceeded,
        ErrorCode::Timeout,
        DEADLINE_PASSED,
        what,
    )
}

/// A command that the state machine refused.
pub fn refused_command(refusal: &Refusal) -> Status {
    failure(refusal.code(), refusal)
}

/// The gRPC code that a code travels with.
pub fn grpc_code(code: ErrorCode) -> Code {
    Code::from_i32(code.grpc_code())
}

/// Whether a status is tonic's own refusal of a message that is larger than it may be.
pub fn is_message_too_large(code: Code, message: &str) -> bool {
    code == Code::OutOfRange && message.starts_with(MESSAGE_TOO_LARGE)
}

/// Who made a status.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Origin {
    /// A node of hstore: what its code promises holds.
    Node,
    /// The way to the node, or something in between: nobody knows whether the node saw the
    /// request, so a write may be applied whatever the code says.
    Way,
}

/// A failure as a client got it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    /// The stable code; where no node gave one, what comes closest.
    pub code: ErrorCode,
    /// The text of the status.
    pub text: String,
    /// What happened and what to do.
    pub detail: String,
    /// Who says so.
    pub origin: Origin,
}

/// Reads a status that a client got.
pub fn read(status: &Status) -> Failure {
    let named = status
        .metadata()
        .get(metadata::CODE)
        .and_then(|value| value.to_str().ok())
        .and_then(code_of);
    let (code, origin) = match named {
        Some(code) => (code, Origin::Node),
        None => (closest(status), Origin::Way),
    };
    let detail = status
        .metadata()
        .get(metadata::DETAIL)
        .and_then(|value| value.to_str().ok())
        .map_or_else(|| advice(code).to_owned(), str::to_owned);
    Failure {
        code,
        text: status.message().to_owned(),
        detail,
        origin,
    }
}

/// The code of this text.
pub fn code_of(text: &str) -> Option<ErrorCode> {
    ErrorCode::ALL
        .iter()
        .copied()
        .find(|code| code.as_str() == text)
}

/// The code for a status that does not name one.
fn closest(status: &Status) -> ErrorCode {
    match status.code() {
        Code::OutOfRange if is_message_too_large(status.code(), status.message()) => {
            ErrorCode::RequestTooLarge
        }
        Code::InvalidArgument | Code::OutOfRange => ErrorCode::InvalidArgument,
        Code::Cancelled | Code::DeadlineExceeded => ErrorCode::Timeout,
        Code::NotFound => ErrorCode::KeyNotFound,
        Code::ResourceExhausted => ErrorCode::Overloaded,
        Code::Unimplemented => ErrorCode::Unsupported,
        Code::Unavailable | Code::Unknown => ErrorCode::Unreachable,
        Code::Aborted | Code::AlreadyExists | Code::FailedPrecondition => ErrorCode::Conflict,
        Code::Ok
        | Code::DataLoss
        | Code::Internal
        | Code::PermissionDenied
        | Code::Unauthenticated => ErrorCode::Internal,
    }
}

fn build(code: ErrorCode, text: &'static str, what: impl Display) -> Status {
    build_as(grpc_code(code), code, text, what)
}

fn build_as(grpc: Code, code: ErrorCode, text: &'static str, what: impl Display) -> Status {
    let mut status = Status::new(grpc, text);
    let headers = status.metadata_mut();
    headers.insert(
        metadata::CODE,
        MetadataValue::<Ascii>::from_static(code.as_str()),
    );
    let detail = plain(&format!("{what}. {}", advice(code)));
    if let Ok(value) = MetadataValue::<Ascii>::try_from(detail) {
        headers.insert(metadata::DETAIL, value);
    }
    status
}

/// The text with everything but plain ASCII escaped, cut to what a header holds.
fn plain(text: &str) -> String {
    let mut plain = String::with_capacity(text.len());
    for letter in text.chars() {
        if plain.len() >= DETAIL_BYTES_MAX {
            plain.push_str("...");
            break;
        }
        if letter == ' ' || letter.is_ascii_graphic() {
            plain.push(letter);
        } else {
            write!(plain, "{}", letter.escape_default()).expect("a string takes every write");
        }
    }
    plain
}

#[cfg(test)]
#[path = "status/tests.rs"]
mod tests;
