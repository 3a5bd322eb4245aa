//! The table of failures, row by row.

use hstore_core::id::Revision;

use super::*;

#[test]
fn every_failure_of_a_request_has_the_code_and_the_text_that_etcd_has() {
    let table: [(RequestError, Code, &str, &str); 11] = [
        (
            Violation::EmptyKey.into(),
            Code::InvalidArgument,
            "etcdserver: key is not provided",
            "empty_key",
        ),
        (
            Violation::DuplicateKey.into(),
            Code::InvalidArgument,
            "etcdserver: duplicate key given in txn request",
            "duplicate_key",
        ),
        (
            Violation::KeyTooLarge { bytes: 9, limit: 8 }.into(),
            Code::InvalidArgument,
            "hstore: the key is too large",
            "key_too_large",
        ),
        (
            Violation::LeaseProvided.into(),
            Code::InvalidArgument,
            "etcdserver: lease is provided",
            "invalid_argument",
        ),
        (
            Violation::RequestTooLarge { bytes: 9, limit: 8 }.into(),
            Code::InvalidArgument,
            "etcdserver: request is too large",
            "request_too_large",
        ),
        (
            Violation::TooManyOperations { limit: 8 }.into(),
            Code::InvalidArgument,
            "etcdserver: too many operations in txn request",
            "too_many_operations",
        ),
        (
            Violation::TxnTooDeep { limit: 8 }.into(),
            Code::InvalidArgument,
            "etcdserver: too many operations in txn request",
            "too_many_operations",
        ),
        (
            Violation::ValueProvided.into(),
            Code::InvalidArgument,
            "etcdserver: value is provided",
            "invalid_argument",
        ),
        (
            RequestError::InvalidSort,
            Code::InvalidArgument,
            "etcdserver: invalid sort option",
            "invalid_argument",
        ),
        (
            RequestError::MissingOperation,
            Code::InvalidArgument,
            "etcdserver: key not found",
            "invalid_argument",
        ),
        (
            RequestError::UnknownComparison,
            Code::InvalidArgument,
            "hstore: the request makes no sense",
            "invalid_argument",
        ),
    ];
    for (error, code, text, name) in table {
        check(&refused_request(&error), code, text, name);
    }
}

#[test]
fn every_refusal_of_the_machine_has_the_code_and_the_text_that_etcd_has() {
    let compacted = Revision(3);
    let current = Revision(9);
    let table = [
        (
            Refusal::Compacted { compacted },
            Code::OutOfRange,
            "etcdserver: mvcc: required revision has been compacted",
            "compacted",
        ),
        (
            Refusal::FutureRevision { current },
            Code::OutOfRange,
            "etcdserver: mvcc: required revision is a future revision",
            "future_revision",
        ),
        (
            Refusal::KeyNotFound,
            Code::InvalidArgument,
            "etcdserver: key not found",
            "key_not_found",
        ),
        (
            Refusal::LeaseNotFound,
            Code::NotFound,
            "etcdserver: requested lease not found",
            "lease_not_found",
        ),
        (
            Refusal::SessionExpired,
            Code::Aborted,
            "hstore: the session of the client is forgotten",
            "session_expired",
        ),
        (
            Refusal::SessionFull,
            Code::ResourceExhausted,
            "etcdserver: too many requests",
            "overloaded",
        ),
    ];
    for (refusal, code, text, name) in table {
        check(&refused_command(&refusal), code, text, name);
    }
}

#[test]
fn failures_of_the_cluster_have_the_code_and_the_text_that_etcd_has() {
    let table = [
        (
            ErrorCode::NoQuorum,
            Code::Unavailable,
            "etcdserver: no leader",
        ),
        (
            ErrorCode::Timeout,
            Code::Unavailable,
            "etcdserver: request timed out",
        ),
        (
            ErrorCode::OutcomeUnknown,
            Code::Unavailable,
            "etcdserver: request timed out",
        ),
        (
            ErrorCode::Overloaded,
            Code::ResourceExhausted,
            "etcdserver: too many requests",
        ),
        (
            ErrorCode::ShuttingDown,
            Code::Unavailable,
            "etcdserver: server stopped",
        ),
        (
            ErrorCode::NodeNotFound,
            Code::NotFound,
            "etcdserver: member not found",
        ),
        (
            ErrorCode::DataCorrupt,
            Code::DataLoss,
            "etcdserver: corrupt cluster",
        ),
        (
            ErrorCode::DiskFull,
            Code::ResourceExhausted,
            "etcdserver: mvcc: database space exceeded",
        ),
    ];
    for (failed, code, text) in table {
        check(&failure(failed, "it happened"), code, text, failed.as_str());
    }
}

#[test]
fn a_client_reads_the_very_code_that_the_server_wrote() {
    for code in ErrorCode::ALL.iter().copied() {
        let status = failure(code, "it happened");
        assert_ne!(status.code(), Code::Ok);
        // etcd has no code for these: its Lock and Election services are clients of it.
        let is_of_a_line = matches!(
            code,
            ErrorCode::ElectionLost | ErrorCode::LockLost | ErrorCode::NobodyElected
        );
        assert_eq!(status.code() == Code::Unknown, is_of_a_line, "{code}");
        let read = read(&status);
        assert_eq!(read.code, code);
        assert_eq!(read.origin, Origin::Node);
        assert_eq!(read.text, text(code));
        assert_eq!(read.detail, format!("it happened. {}", advice(code)));
    }
}

#[test]
fn a_status_that_no_node_made_promises_nothing() {
    let too_large = "Error, decoded message length too large: found 9 bytes, the limit is: 8 bytes";
    let table = [
        (Status::unavailable("refused"), ErrorCode::Unreachable),
        (Status::unknown("reset"), ErrorCode::Unreachable),
        (Status::cancelled("timeout"), ErrorCode::Timeout),
        (Status::deadline_exceeded(""), ErrorCode::Timeout),
        (Status::unimplemented(""), ErrorCode::Unsupported),
        (Status::out_of_range(too_large), ErrorCode::RequestTooLarge),
        (Status::out_of_range("other"), ErrorCode::InvalidArgument),
        (Status::resource_exhausted(""), ErrorCode::Overloaded),
        (Status::internal(""), ErrorCode::Internal),
    ];
    for (status, code) in table {
        let read = read(&status);
        assert_eq!(read.code, code, "{status:?}");
        assert_eq!(read.origin, Origin::Way);
        assert_eq!(read.detail, advice(code));
    }
}

#[test]
fn a_code_of_a_newer_version_is_read_as_what_comes_closest() {
    let mut status = Status::unavailable("etcdserver: something new");
    status
        .metadata_mut()
        .insert(metadata::CODE, MetadataValue::from_static("brand_new"));
    assert_eq!(read(&status).code, ErrorCode::Unreachable);
    assert_eq!(read(&status).origin, Origin::Way);
}

#[test]
fn a_detail_of_any_text_travels_as_bounded_ascii() {
    let detail = read(&failure(ErrorCode::Internal, "na\u{ef}ve\nline")).detail;
    assert!(detail.starts_with("na\\u{ef}ve\\nline. "), "{detail}");
    let long = "x".repeat(100_000);
    let detail = read(&failure(ErrorCode::Internal, long)).detail;
    assert_eq!(detail.len(), DETAIL_BYTES_MAX + "...".len());
}

fn check(status: &Status, code: Code, text: &str, name: &str) {
    assert_eq!(status.code(), code, "{text}");
    assert_eq!(status.message(), text);
    assert_eq!(read(status).code.as_str(), name);
    assert!(!read(status).detail.is_empty());
}

#[test]
fn what_is_refused_for_reasons_of_users_and_roles_has_the_code_and_the_text_that_etcd_has() {
    use hstore_core::auth::AuthRefusal;
    let table = [
        (
            AuthRefusal::InvalidManagement,
            Code::InvalidArgument,
            "invalid auth management",
        ),
        (
            AuthRefusal::OldRevision,
            Code::InvalidArgument,
            "revision of auth store is old",
        ),
        (
            AuthRefusal::PermissionDenied,
            Code::PermissionDenied,
            "permission denied",
        ),
        (
            AuthRefusal::PermissionNotGranted,
            Code::FailedPrecondition,
            "permission is not granted to the role",
        ),
        (
            AuthRefusal::RoleEmpty,
            Code::InvalidArgument,
            "role name is empty",
        ),
        (
            AuthRefusal::RoleExists,
            Code::FailedPrecondition,
            "role name already exists",
        ),
        (
            AuthRefusal::RoleNotFound,
            Code::FailedPrecondition,
            "role name not found",
        ),
        (
            AuthRefusal::RoleNotGranted,
            Code::FailedPrecondition,
            "role is not granted to the user",
        ),
        (
            AuthRefusal::RootRoleMissing,
            Code::FailedPrecondition,
            "root user does not have root role",
        ),
        (
            AuthRefusal::RootUserMissing,
            Code::FailedPrecondition,
            "root user does not exist",
        ),
        (
            AuthRefusal::UserEmpty,
            Code::InvalidArgument,
            "user name is empty",
        ),
        (
            AuthRefusal::UserExists,
            Code::FailedPrecondition,
            "user name already exists",
        ),
        (
            AuthRefusal::UserNotFound,
            Code::FailedPrecondition,
            "user name not found",
        ),
    ];
    // All but the one that etcd does not know.
    assert_eq!(table.len() + 1, AuthRefusal::ALL.len());
    for (refusal, code, text) in table {
        let name = refusal.code().as_str();
        let text = format!("etcdserver: {text}");
        check(&refused_command(&refusal.into()), code, &text, name);
    }
    let doors = [
        (
            ErrorCode::AuthFailed,
            Code::InvalidArgument,
            "authentication failed, invalid user ID or password",
        ),
        (
            ErrorCode::AuthNotEnabled,
            Code::FailedPrecondition,
            "authentication is not enabled",
        ),
        (
            ErrorCode::InvalidAuthToken,
            Code::Unauthenticated,
            "invalid auth token",
        ),
        (
            ErrorCode::PermissionNotGiven,
            Code::InvalidArgument,
            "permission not given",
        ),
    ];
    for (name, code, text) in doors {
        let text = format!("etcdserver: {text}");
        check(&failure(name, "words"), code, &text, name.as_str());
    }
    assert_eq!(
        in_words(ErrorCode::PermissionDenied),
        "rpc error: code = PermissionDenied desc = etcdserver: permission denied"
    );
}

#[test]
fn what_etcd_says_of_locks_and_elections_without_a_code_of_its_own() {
    check(
        &leader_missing(),
        Code::Unknown,
        "\"leader\" field must be provided",
        "invalid_argument",
    );
    check(
        &not_won_in_time(),
        Code::DeadlineExceeded,
        "context deadline exceeded",
        "timeout",
    );
    for (code, text) in [
        (ErrorCode::LockLost, "mutex: session is expired"),
        (ErrorCode::ElectionLost, "election: not leader"),
        (ErrorCode::NobodyElected, "election: no leader"),
    ] {
        let status = failure(code, "words");
        check(&status, Code::Unknown, text, code.as_str());
    }
}
