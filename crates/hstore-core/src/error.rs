//! The stable codes of every failure that a person or a program can meet.
//!
//! Invariants: (1) a code is never renamed; (2) each has a page `docs/errors/<code>.md`;
//! (3) `definitely_not_applied` is true only where no later event can apply the request.

use std::fmt;

macro_rules! codes {
    ($($(#[$doc:meta])* $variant:ident = $text:literal, $http:literal, $grpc:literal, $retry:literal, $safe:literal;)*) => {
        /// A stable error code.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum ErrorCode {
            $($(#[$doc])* $variant,)*
        }

        impl ErrorCode {
            /// Every code, in the order of their texts.
            pub const ALL: &'static [ErrorCode] = &[$(ErrorCode::$variant,)*];

            /// The code as it is written, for ever.
            pub fn as_str(self) -> &'static str {
                match self { $(ErrorCode::$variant => $text,)* }
            }

            /// The HTTP status it travels with.
            pub fn http_status(self) -> u16 {
                match self { $(ErrorCode::$variant => $http,)* }
            }

            /// The gRPC status code it travels with, as its number: etcd's where etcd has the error,
            /// since its clients compare it.
            pub fn grpc_code(self) -> i32 {
                match self { $(ErrorCode::$variant => $grpc,)* }
            }

            /// Whether the same request may succeed later without a change.
            pub fn is_retryable(self) -> bool {
                match self { $(ErrorCode::$variant => $retry,)* }
            }

            /// Whether a write that got this answer was certainly not applied and never will be.
            pub fn definitely_not_applied(self) -> bool {
                match self { $(ErrorCode::$variant => $safe,)* }
            }
        }
    };
}

// code, HTTP status, gRPC code, may be retried, a write was certainly not applied
codes! {
    /// The request was done, and what came of it is too large to be told.
    AnswerUntold = "answer_untold", 413, 8, false, false;
    /// A name and a password do not go together.
    AuthFailed = "auth_failed", 401, 3, false, true;
    /// Users and roles take as much room as they may.
    AuthFull = "auth_full", 429, 8, false, true;
    /// Nobody is asked who they are, so there is nothing to prove.
    AuthNotEnabled = "auth_not_enabled", 412, 9, false, true;
    /// The user proved their name before their password, or all tokens, were renewed.
    AuthRevisionOld = "auth_revision_old", 401, 3, false, true;
    /// The member cannot take the leadership: it is no voter, or no member.
    CannotLead = "cannot_lead", 409, 9, false, true;
    /// The data folder belongs to another cluster, or a peer does.
    ClusterMismatch = "cluster_mismatch", 412, 9, false, true;
    /// Not enough voters answer for the change that was asked for.
    ClusterUnhealthy = "cluster_unhealthy", 503, 14, true, true;
    /// The revision asked for was dropped by compaction.
    Compacted = "compacted", 410, 11, false, true;
    /// A comparison did not hold.
    Conflict = "conflict", 409, 10, false, true;
    /// A page of another site asked for something with effects.
    CrossOrigin = "cross_origin", 403, 7, false, true;
    /// Bytes on the disk are not what was written.
    DataCorrupt = "data_corrupt", 500, 15, false, false;
    /// Another process uses the data folder.
    DataInUse = "data_in_use", 409, 9, true, true;
    /// The data folder cannot be made, read or written.
    DataUnusable = "data_unusable", 500, 9, false, true;
    /// The disk refused to read, write or sync; the node stops.
    DiskFailed = "disk_failed", 500, 13, false, false;
    /// The disk has no room; the node stops.
    DiskFull = "disk_full", 507, 8, true, false;
    /// A transaction writes one key twice.
    DuplicateKey = "duplicate_key", 400, 3, false, true;
    /// The caller does not lead the election, or not any more.
    ElectionLost = "election_lost", 409, 2, false, true;
    /// A key is empty.
    EmptyKey = "empty_key", 400, 3, false, true;
    /// A file, a terminal or a pipe that a command was given cannot be read or written.
    FileUnusable = "file_unusable", 400, 3, false, true;
    /// The data folder or a peer is of a newer format than this version knows.
    FormatTooNew = "format_too_new", 412, 9, false, true;
    /// The revision asked for does not exist yet.
    FutureRevision = "future_revision", 400, 11, false, true;
    /// Something that should be impossible happened.
    Internal = "internal", 500, 13, false, false;
    /// The person said stop before the answer came.
    Interrupted = "interrupted", 499, 1, false, false;
    /// A request, a flag or a file says something that makes no sense.
    InvalidArgument = "invalid_argument", 400, 3, false, true;
    /// It would leave nobody who may manage users, or a permission is for no key.
    InvalidAuthManagement = "invalid_auth_management", 400, 3, false, true;
    /// A token is forged, expired or revoked.
    InvalidAuthToken = "invalid_auth_token", 401, 16, false, true;
    /// A setting is unknown or has a value that makes no sense.
    InvalidConfig = "invalid_config", 400, 3, false, true;
    /// The key is not there.
    KeyNotFound = "key_not_found", 404, 3, false, true;
    /// A key is longer than the limit.
    KeyTooLarge = "key_too_large", 400, 3, false, true;
    /// The learner has not caught up yet, or does not run.
    LearnerNotReady = "learner_not_ready", 409, 9, true, true;
    /// A lease with this id exists.
    LeaseExists = "lease_exists", 409, 9, false, true;
    /// The lease does not exist, or its time is over.
    LeaseNotFound = "lease_not_found", 404, 5, false, true;
    /// A time to live is longer than a lease may have.
    LeaseTtlTooLarge = "lease_ttl_too_large", 400, 11, false, true;
    /// The key by which a lock was held or waited for is gone.
    LockLost = "lock_lost", 409, 2, false, true;
    /// A change of the membership is under way, or the cluster cannot make this one safely.
    MembershipBusy = "membership_busy", 409, 9, true, true;
    /// The path is known and the method is not one that it takes.
    MethodNotAllowed = "method_not_allowed", 405, 12, false, true;
    /// No majority of the voters can be reached; nothing was proposed.
    NoQuorum = "no_quorum", 503, 14, true, true;
    /// An alarm says that a node has no room left; what makes room still works.
    NoSpace = "no_space", 507, 8, false, true;
    /// Nothing is served at the path.
    NoSuchPath = "no_such_path", 404, 5, false, true;
    /// Nobody leads the election.
    NobodyElected = "nobody_elected", 404, 2, false, true;
    /// No such member, or no node is running where one was looked for.
    NodeNotFound = "node_not_found", 404, 5, false, true;
    /// The node is no longer a member of the cluster.
    NodeRemoved = "node_removed", 410, 9, false, true;
    /// The member votes already.
    NotALearner = "not_a_learner", 409, 9, false, true;
    /// A learner does not serve this; a voter does.
    NotForLearners = "not_for_learners", 503, 14, true, true;
    /// The call is for the leader, and this node does not lead.
    NotLeader = "not_leader", 409, 9, false, true;
    /// The deadline passed after the write was handed on: it may be applied, now or later.
    OutcomeUnknown = "outcome_unknown", 504, 14, false, false;
    /// A bounded queue is full; nothing was proposed.
    Overloaded = "overloaded", 429, 8, true, true;
    /// A command that does many things did some of them.
    Partial = "partial", 500, 10, false, false;
    /// Another member has this peer address, or is expected there.
    PeerAddressTaken = "peer_address_taken", 409, 9, false, true;
    /// The user may not do this.
    PermissionDenied = "permission_denied", 403, 7, false, true;
    /// A permission that is to be granted is missing.
    PermissionNotGiven = "permission_not_given", 400, 3, false, true;
    /// The role has no permission for exactly this range.
    PermissionNotGranted = "permission_not_granted", 404, 9, false, true;
    /// The address is in use.
    PortInUse = "port_in_use", 409, 9, true, true;
    /// A request is larger than the limit.
    RequestTooLarge = "request_too_large", 413, 3, false, true;
    /// The name of a role is empty.
    RoleEmpty = "role_empty", 400, 3, false, true;
    /// A role with this name exists.
    RoleExists = "role_exists", 409, 9, false, true;
    /// There is no such role.
    RoleNotFound = "role_not_found", 404, 9, false, true;
    /// The user does not have the role.
    RoleNotGranted = "role_not_granted", 409, 9, false, true;
    /// The user root does not have the role root.
    RootRoleMissing = "root_role_missing", 412, 9, false, true;
    /// There is no user root.
    RootUserMissing = "root_user_missing", 412, 9, false, true;
    /// The client's session is forgotten: a retry could not be told from a first attempt.
    SessionExpired = "session_expired", 409, 10, false, true;
    /// More than one cluster was found where one was expected.
    SeveralClusters = "several_clusters", 409, 9, false, true;
    /// The node is stopping; another one answers.
    ShuttingDown = "shutting_down", 503, 14, true, true;
    /// The deadline of a read passed.
    Timeout = "timeout", 504, 14, true, true;
    /// A connection that is to be encrypted cannot be, or one side does not believe the other.
    TlsFailed = "tls_failed", 502, 9, false, true;
    /// The change would leave fewer running voters than a majority.
    TooFewStarted = "too_few_started", 409, 9, false, true;
    /// There are as many leases as there may be.
    TooManyLeases = "too_many_leases", 429, 8, true, true;
    /// A transaction has more operations or comparisons than the limit, or is nested too deep.
    TooManyOperations = "too_many_operations", 400, 3, false, true;
    /// A request over HTTP names a host that the node does not go by.
    UnknownHost = "unknown_host", 421, 7, false, true;
    /// No node of the cluster answered.
    Unreachable = "unreachable", 503, 14, true, true;
    /// This version does not do that.
    Unsupported = "unsupported", 501, 12, false, true;
    /// Nobody said who they are, or the name of a user is empty.
    UserEmpty = "user_empty", 401, 3, false, true;
    /// A user with this name exists.
    UserExists = "user_exists", 409, 9, false, true;
    /// There is no such user.
    UserNotFound = "user_not_found", 404, 9, false, true;
}

impl fmt::Display for ErrorCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::path::Path;

    use super::ErrorCode;

    #[test]
    fn codes_stand_in_the_order_of_their_texts_and_are_written_alike() {
        let texts: Vec<_> = ErrorCode::ALL.iter().map(|code| code.as_str()).collect();
        assert!(texts.is_sorted_by(|a, b| a < b), "{texts:?}");
        for text in texts {
            let plain = |byte: u8| byte.is_ascii_lowercase() || byte == b'_';
            assert!(text.bytes().all(plain), "{text}");
        }
    }

    #[test]
    fn every_code_travels_as_a_failure() {
        for code in ErrorCode::ALL {
            assert!((400..600).contains(&code.http_status()), "{code}");
            assert!((1..=16).contains(&code.grpc_code()), "{code}");
        }
    }

    #[test]
    fn no_code_of_a_lost_answer_promises_that_nothing_was_applied() {
        let unsure = [
            ErrorCode::AnswerUntold,
            ErrorCode::DataCorrupt,
            ErrorCode::DiskFailed,
            ErrorCode::DiskFull,
            ErrorCode::Internal,
            ErrorCode::Interrupted,
            ErrorCode::OutcomeUnknown,
            ErrorCode::Partial,
        ];
        for code in ErrorCode::ALL {
            let promises = code.definitely_not_applied();
            assert_eq!(promises, !unsure.contains(code), "{code}");
        }
    }

    #[test]
    fn every_code_has_its_page_and_every_page_its_code() {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/errors");
        let entries = std::fs::read_dir(folder).expect("docs/errors is in the tree");
        let pages: BTreeSet<_> = entries
            .map(|entry| entry.expect("the folder can be read").file_name())
            .map(|name| name.into_string().expect("pages have plain names"))
            .collect();
        let expected = ErrorCode::ALL.iter().map(|code| format!("{code}.md"));
        assert_eq!(pages, expected.collect::<BTreeSet<_>>());
    }
}
