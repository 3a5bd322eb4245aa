//! The bytes of failures: what etcd's clients match on, as it stands in the trailers of an answer.
//!
//! A client compares the number of the code and the text that it finds behind the percent signs
//! (api/v3rpc/rpctypes/error.go); a letter more, and it takes a compacted revision for a broken node.

use std::collections::BTreeSet;

use hstore_core::check::Violation;
use hstore_core::error::ErrorCode;
use hstore_proto::convert::request::RequestError;
use hstore_proto::status;
use tonic::{Code, Status};

/// A code, with the `grpc-status` and the `grpc-message` that it travels with.
const TABLE: &[(ErrorCode, &str, &str)] = &[
    (
        ErrorCode::AuthFailed,
        "3",
        "etcdserver:%20authentication%20failed,%20invalid%20user%20ID%20or%20password",
    ),
    (
        ErrorCode::AuthNotEnabled,
        "9",
        "etcdserver:%20authentication%20is%20not%20enabled",
    ),
    (
        ErrorCode::AuthRevisionOld,
        "3",
        "etcdserver:%20revision%20of%20auth%20store%20is%20old",
    ),
    (
        ErrorCode::CannotLead,
        "9",
        "etcdserver:%20bad%20leader%20transferee",
    ),
    (
        ErrorCode::ClusterUnhealthy,
        "14",
        "etcdserver:%20unhealthy%20cluster",
    ),
    (
        ErrorCode::Compacted,
        "11",
        "etcdserver:%20mvcc:%20required%20revision%20has%20been%20compacted",
    ),
    (
        ErrorCode::DataCorrupt,
        "15",
        "etcdserver:%20corrupt%20cluster",
    ),
    (
        ErrorCode::DiskFull,
        "8",
        "etcdserver:%20mvcc:%20database%20space%20exceeded",
    ),
    (
        ErrorCode::DuplicateKey,
        "3",
        "etcdserver:%20duplicate%20key%20given%20in%20txn%20request",
    ),
    (ErrorCode::ElectionLost, "2", "election:%20not%20leader"),
    (
        ErrorCode::EmptyKey,
        "3",
        "etcdserver:%20key%20is%20not%20provided",
    ),
    (
        ErrorCode::FutureRevision,
        "11",
        "etcdserver:%20mvcc:%20required%20revision%20is%20a%20future%20revision",
    ),
    (
        ErrorCode::InvalidAuthManagement,
        "3",
        "etcdserver:%20invalid%20auth%20management",
    ),
    (
        ErrorCode::InvalidAuthToken,
        "16",
        "etcdserver:%20invalid%20auth%20token",
    ),
    (
        ErrorCode::KeyNotFound,
        "3",
        "etcdserver:%20key%20not%20found",
    ),
    (
        ErrorCode::LearnerNotReady,
        "9",
        "etcdserver:%20can%20only%20promote%20a%20learner%20member%20which%20is%20in%20sync%20with%20leader",
    ),
    (
        ErrorCode::LeaseExists,
        "9",
        "etcdserver:%20lease%20already%20exists",
    ),
    (
        ErrorCode::LeaseNotFound,
        "5",
        "etcdserver:%20requested%20lease%20not%20found",
    ),
    (
        ErrorCode::LeaseTtlTooLarge,
        "11",
        "etcdserver:%20too%20large%20lease%20TTL",
    ),
    (ErrorCode::LockLost, "2", "mutex:%20session%20is%20expired"),
    (ErrorCode::NoQuorum, "14", "etcdserver:%20no%20leader"),
    (
        ErrorCode::NoSpace,
        "8",
        "etcdserver:%20mvcc:%20database%20space%20exceeded",
    ),
    (ErrorCode::NobodyElected, "2", "election:%20no%20leader"),
    (
        ErrorCode::NodeNotFound,
        "5",
        "etcdserver:%20member%20not%20found",
    ),
    (
        ErrorCode::NotALearner,
        "9",
        "etcdserver:%20can%20only%20promote%20a%20learner%20member",
    ),
    (
        ErrorCode::NotForLearners,
        "14",
        "etcdserver:%20rpc%20not%20supported%20for%20learner",
    ),
    (ErrorCode::NotLeader, "9", "etcdserver:%20not%20leader"),
    (
        ErrorCode::OutcomeUnknown,
        "14",
        "etcdserver:%20request%20timed%20out",
    ),
    (
        ErrorCode::Overloaded,
        "8",
        "etcdserver:%20too%20many%20requests",
    ),
    (
        ErrorCode::PeerAddressTaken,
        "9",
        "etcdserver:%20Peer%20URLs%20already%20exists",
    ),
    (
        ErrorCode::PermissionDenied,
        "7",
        "etcdserver:%20permission%20denied",
    ),
    (
        ErrorCode::PermissionNotGiven,
        "3",
        "etcdserver:%20permission%20not%20given",
    ),
    (
        ErrorCode::PermissionNotGranted,
        "9",
        "etcdserver:%20permission%20is%20not%20granted%20to%20the%20role",
    ),
    (
        ErrorCode::RequestTooLarge,
        "3",
        "etcdserver:%20request%20is%20too%20large",
    ),
    (
        ErrorCode::RoleEmpty,
        "3",
        "etcdserver:%20role%20name%20is%20empty",
    ),
    (
        ErrorCode::RoleExists,
        "9",
        "etcdserver:%20role%20name%20already%20exists",
    ),
    (
        ErrorCode::RoleNotFound,
        "9",
        "etcdserver:%20role%20name%20not%20found",
    ),
    (
        ErrorCode::RoleNotGranted,
        "9",
        "etcdserver:%20role%20is%20not%20granted%20to%20the%20user",
    ),
    (
        ErrorCode::RootRoleMissing,
        "9",
        "etcdserver:%20root%20user%20does%20not%20have%20root%20role",
    ),
    (
        ErrorCode::RootUserMissing,
        "9",
        "etcdserver:%20root%20user%20does%20not%20exist",
    ),
    (
        ErrorCode::ShuttingDown,
        "14",
        "etcdserver:%20server%20stopped",
    ),
    (
        ErrorCode::Timeout,
        "14",
        "etcdserver:%20request%20timed%20out",
    ),
    (
        ErrorCode::TooFewStarted,
        "9",
        "etcdserver:%20re-configuration%20failed%20due%20to%20not%20enough%20started%20members",
    ),
    (
        ErrorCode::TooManyOperations,
        "3",
        "etcdserver:%20too%20many%20operations%20in%20txn%20request",
    ),
    (
        ErrorCode::UserEmpty,
        "3",
        "etcdserver:%20user%20name%20is%20empty",
    ),
    (
        ErrorCode::UserExists,
        "9",
        "etcdserver:%20user%20name%20already%20exists",
    ),
    (
        ErrorCode::UserNotFound,
        "9",
        "etcdserver:%20user%20name%20not%20found",
    ),
];

/// The trailers of a failure, in the order of their names.
fn trailers(status: Status) -> Vec<(String, String)> {
    let answer = status.into_http::<()>();
    let mut trailers: Vec<(String, String)> = answer
        .headers()
        .iter()
        .filter(|(name, _value)| name.as_str() != "content-type")
        .map(|(name, value)| {
            let value = value.to_str().expect("trailers are plain ASCII");
            (name.as_str().to_owned(), value.to_owned())
        })
        .collect();
    trailers.sort();
    trailers
}

fn keep(status: Status, expected: &[(&str, &str)]) {
    let trailers = trailers(status);
    let found: Vec<(&str, &str)> = trailers
        .iter()
        .map(|(name, value)| (name.as_str(), value.as_str()))
        .collect();
    assert_eq!(found, expected);
}

#[test]
fn every_failure_that_etcd_has_a_word_for_keeps_its_bytes() {
    for (code, number, message) in TABLE {
        let told = trailers(status::failure(*code, "it happened"));
        let of = |name: &str| {
            let found = told.iter().find(|(own, _value)| own == name);
            found.map_or("", |(_name, value)| value.as_str())
        };
        assert_eq!(of("grpc-status"), *number, "{code}");
        assert_eq!(of("grpc-message"), *message, "{code}");
        assert_eq!(of("hstore-code"), code.as_str());
        let detail = format!("it happened. {}", status::advice(*code));
        assert_eq!(of("hstore-detail"), detail, "{code}");
        assert_eq!(told.len(), 4, "{code}: {told:?}");
    }
}

#[test]
fn no_failure_with_a_word_of_etcds_is_missing_here() {
    let here: BTreeSet<&str> = TABLE.iter().map(|(code, ..)| code.as_str()).collect();
    assert_eq!(here.len(), TABLE.len());
    for code in ErrorCode::ALL {
        let is_ours = status::text(*code).starts_with("hstore: ");
        assert_ne!(is_ours, here.contains(code.as_str()), "{code}");
    }
}

#[test]
fn the_trailers_of_a_failure_are_these_and_no_others() {
    keep(
        status::failure(ErrorCode::Compacted, "revision 3 is compacted"),
        &[
            (
                "grpc-message",
                "etcdserver:%20mvcc:%20required%20revision%20has%20been%20compacted",
            ),
            ("grpc-status", "11"),
            ("hstore-code", "compacted"),
            (
                "hstore-detail",
                "revision 3 is compacted. Read at a newer revision, or at the current one.",
            ),
        ],
    );
    // What a request holds is no trailer of somebody's choice: no line ends, no byte beyond ASCII.
    keep(
        status::failure(ErrorCode::InvalidConfig, "`a\u{e9}\r\nx-evil: 1%`"),
        &[
            ("grpc-message", "hstore:%20a%20setting%20makes%20no%20sense"),
            ("grpc-status", "3"),
            ("hstore-code", "invalid_config"),
            (
                "hstore-detail",
                "`a\\u{e9}\\r\\nx-evil: 1%`. Correct the setting.",
            ),
        ],
    );
}

#[test]
fn failures_that_share_a_code_keep_the_words_that_etcd_has_for_them() {
    let request = |error: RequestError| status::refused_request(&error);
    let table = [
        (
            request(Violation::LeaseProvided.into()),
            "3",
            "etcdserver:%20lease%20is%20provided",
            "invalid_argument",
        ),
        (
            request(Violation::ValueProvided.into()),
            "3",
            "etcdserver:%20value%20is%20provided",
            "invalid_argument",
        ),
        (
            request(RequestError::InvalidSort),
            "3",
            "etcdserver:%20invalid%20sort%20option",
            "invalid_argument",
        ),
        (
            request(RequestError::MissingOperation),
            "3",
            "etcdserver:%20key%20not%20found",
            "invalid_argument",
        ),
        (
            status::leader_missing(),
            "2",
            "%22leader%22%20field%20must%20be%20provided",
            "invalid_argument",
        ),
        (
            status::not_won_in_time(),
            "4",
            "context%20deadline%20exceeded",
            "timeout",
        ),
        (
            status::with_text(ErrorCode::Unsupported, status::CUSTOM_SORT),
            "12",
            "RangeStream%20does%20not%20support%20custom%20sort%20orders",
            "unsupported",
        ),
        (
            status::failure_as(
                ErrorCode::InvalidArgument,
                Code::FailedPrecondition,
                "100% \u{e9} {?} <#>",
                "words",
            ),
            "9",
            "100%25%20%C3%A9%20%7B%3F%7D%20%3C%23%3E",
            "invalid_argument",
        ),
    ];
    for (status, number, message, code) in table {
        let told = trailers(status);
        let found: Vec<&str> = told.iter().map(|(_name, value)| value.as_str()).collect();
        assert_eq!(found[..3], [message, number, code], "{told:?}");
    }
}
