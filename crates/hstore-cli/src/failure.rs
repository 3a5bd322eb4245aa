//! Why a command did not do what it was asked, and the exit code that says so.
//!
//! Invariants: (1) an exit code has one meaning; (2) every `ErrorCode` has an exit code, without a
//! wildcard, so that a new one must be decided about.

use std::io;
use std::path::Path;

use hstore_client::{Error, ErrorCode};
use hstore_storage::snapshot::SnapshotError;
use hstore_storage::store::{StoreError, StoreFault};
use serde_json::json;

/// What a process says when it ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub enum Exit {
    /// Done.
    Ok = 0,
    /// Not done, for a reason that has no number of its own.
    Failure = 1,
    /// What was typed makes no sense.
    Usage = 2,
    /// The key or the node is not there.
    NotFound = 3,
    /// Something else is in the way: a comparison did not hold, or there are several clusters.
    Conflict = 4,
    /// The cluster cannot serve now: no quorum, no node reachable, or too busy.
    Unavailable = 5,
    /// It is not allowed: a file, a key, or what only root may do.
    Permission = 6,
    /// No answer in time; a write may be applied, now or later.
    Timeout = 7,
    /// Some of it was done.
    Partial = 8,
    /// The person said stop.
    Interrupted = 130,
}

impl Exit {
    /// The exit code of a failure.
    pub fn of(code: ErrorCode) -> Exit {
        match code {
            ErrorCode::AnswerUntold
            | ErrorCode::Compacted
            | ErrorCode::CrossOrigin
            | ErrorCode::DataCorrupt
            | ErrorCode::DataUnusable
            | ErrorCode::DiskFailed
            | ErrorCode::DiskFull
            | ErrorCode::FileUnusable
            | ErrorCode::FormatTooNew
            | ErrorCode::FutureRevision
            | ErrorCode::Internal
            | ErrorCode::MethodNotAllowed
            | ErrorCode::NoSuchPath
            | ErrorCode::NoSpace
            | ErrorCode::SessionExpired
            | ErrorCode::TlsFailed
            | ErrorCode::UnknownHost
            | ErrorCode::Unsupported => Exit::Failure,
            ErrorCode::DuplicateKey
            | ErrorCode::EmptyKey
            | ErrorCode::InvalidArgument
            | ErrorCode::InvalidAuthManagement
            | ErrorCode::InvalidConfig
            | ErrorCode::KeyTooLarge
            | ErrorCode::LeaseTtlTooLarge
            | ErrorCode::PermissionNotGiven
            | ErrorCode::RequestTooLarge
            | ErrorCode::RoleEmpty
            | ErrorCode::TooManyOperations => Exit::Usage,
            ErrorCode::KeyNotFound
            | ErrorCode::LeaseNotFound
            | ErrorCode::NobodyElected
            | ErrorCode::NodeNotFound
            | ErrorCode::PermissionNotGranted
            | ErrorCode::RoleNotFound
            | ErrorCode::RoleNotGranted
            | ErrorCode::UserNotFound => Exit::NotFound,
            ErrorCode::AuthFailed
            | ErrorCode::AuthRevisionOld
            | ErrorCode::InvalidAuthToken
            | ErrorCode::PermissionDenied
            | ErrorCode::UserEmpty => Exit::Permission,
            ErrorCode::AuthNotEnabled
            | ErrorCode::CannotLead
            | ErrorCode::ClusterMismatch
            | ErrorCode::Conflict
            | ErrorCode::DataInUse
            | ErrorCode::ElectionLost
            | ErrorCode::LearnerNotReady
            | ErrorCode::LeaseExists
            | ErrorCode::LockLost
            | ErrorCode::MembershipBusy
            | ErrorCode::NodeRemoved
            | ErrorCode::NotALearner
            | ErrorCode::NotLeader
            | ErrorCode::PeerAddressTaken
            | ErrorCode::PortInUse
            | ErrorCode::RoleExists
            | ErrorCode::RootRoleMissing
            | ErrorCode::RootUserMissing
            | ErrorCode::SeveralClusters
            | ErrorCode::TooFewStarted
            | ErrorCode::UserExists => Exit::Conflict,
            ErrorCode::AuthFull
            | ErrorCode::ClusterUnhealthy
            | ErrorCode::NoQuorum
            | ErrorCode::NotForLearners
            | ErrorCode::Overloaded
            | ErrorCode::ShuttingDown
            | ErrorCode::TooManyLeases
            | ErrorCode::Unreachable => Exit::Unavailable,
            ErrorCode::Partial => Exit::Partial,
            ErrorCode::Interrupted => Exit::Interrupted,
            ErrorCode::OutcomeUnknown | ErrorCode::Timeout => Exit::Timeout,
        }
    }

    /// The exit with that number; a number without a meaning is a failure.
    pub fn of_number(number: u8) -> Exit {
        let all = [
            Exit::Ok,
            Exit::Usage,
            Exit::NotFound,
            Exit::Conflict,
            Exit::Unavailable,
            Exit::Permission,
            Exit::Timeout,
            Exit::Partial,
            Exit::Interrupted,
        ];
        let known = all.into_iter().find(|exit| *exit as u8 == number);
        known.unwrap_or(Exit::Failure)
    }
}

impl From<Exit> for std::process::ExitCode {
    fn from(exit: Exit) -> std::process::ExitCode {
        std::process::ExitCode::from(exit as u8)
    }
}

/// Why a command did not do what it was asked.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Failure {
    /// What was typed makes no sense.
    #[error("{0}")]
    Usage(String),
    /// A key of no bytes.
    #[error("a key has at least one byte")]
    EmptyKey,
    /// The key is not there.
    #[error("there is no key {0}")]
    NoKey(String),
    /// The lease is not there.
    #[error("there is no lease {0:x}, or its time is over")]
    NoLease(i64),
    /// The key was not as a swap expected.
    #[error("{0}")]
    Lost(String),
    /// What was waited for did not come in time.
    #[error("{0}")]
    NotInTime(String),
    /// A command cannot be started.
    #[error("{what}: {}", reason(error))]
    Start {
        /// Which.
        what: String,
        /// Why.
        error: io::Error,
    },
    /// A command that was run ended, and not well.
    #[error("the command ended with exit code {exit}")]
    Ended {
        /// Its exit code.
        exit: u8,
    },
    /// The doctor found what the report says; this is its exit code.
    #[error("the doctor found something")]
    Diagnosed(Exit),
    /// Nodes of several clusters run here.
    #[error("several clusters run on this machine; name one of their nodes with --host:{0}")]
    SeveralClusters(String),
    /// The cluster or the way to it.
    #[error(transparent)]
    Cluster(#[from] Error),
    /// A saved file is not what was saved, or not ours.
    #[error(transparent)]
    Backup(StoreError),
    /// A file or the standard input.
    #[error("{what}: {}", reason(error))]
    File {
        /// Which.
        what: String,
        /// Why.
        error: io::Error,
    },
    /// The standard output.
    #[error("the output cannot be written: {}", reason(.0))]
    Output(#[from] io::Error),
    /// Some of the pairs were stored.
    #[error("{sentence}")]
    Partial {
        /// What was and what was not.
        sentence: String,
        /// The same for programs.
        details: serde_json::Value,
    },
    /// The person said stop.
    #[error("{0}")]
    Interrupted(String),
}

impl Failure {
    /// A failure at a file.
    pub(crate) fn at(path: &Path, error: io::Error) -> Failure {
        Failure::File {
            what: path.display().to_string(),
            error,
        }
    }

    /// A failure at a saved file.
    pub(crate) fn of_backup(error: impl Into<StoreError>) -> Failure {
        match error.into() {
            StoreError::Fault(StoreFault::Snapshot(SnapshotError::Io { path, source, .. })) => {
                Failure::at(&path, source)
            }
            error => Failure::Backup(error),
        }
    }

    /// The stable code.
    pub(crate) fn code(&self) -> ErrorCode {
        match self {
            Failure::Usage(_) => ErrorCode::InvalidArgument,
            Failure::EmptyKey => ErrorCode::EmptyKey,
            Failure::NoKey(_) => ErrorCode::KeyNotFound,
            Failure::NoLease(_) => ErrorCode::LeaseNotFound,
            Failure::Lost(_) => ErrorCode::Conflict,
            Failure::NotInTime(_) => ErrorCode::Timeout,
            Failure::SeveralClusters(_) => ErrorCode::SeveralClusters,
            Failure::Diagnosed(_) => ErrorCode::ClusterUnhealthy,
            Failure::Cluster(error) => error.code(),
            Failure::Backup(error) => error.code(),
            Failure::File { .. } | Failure::Start { .. } | Failure::Output(_) => {
                ErrorCode::FileUnusable
            }
            Failure::Ended { .. } | Failure::Partial { .. } => ErrorCode::Partial,
            Failure::Interrupted(_) => ErrorCode::Interrupted,
        }
    }

    /// The exit code.
    pub(crate) fn exit(&self) -> Exit {
        match self {
            Failure::File { error, .. } | Failure::Output(error)
                if error.kind() == io::ErrorKind::PermissionDenied =>
            {
                Exit::Permission
            }
            Failure::Diagnosed(exit) => *exit,
            _ => Exit::of(self.code()),
        }
    }

    /// The exit code where it is none of ours: as a shell tells of a command that it runs.
    pub(crate) fn number(&self) -> Option<u8> {
        match self {
            Failure::Ended { exit } => Some(*exit),
            Failure::Start { error, .. } if error.kind() == io::ErrorKind::NotFound => Some(127),
            Failure::Start { .. } => Some(126),
            _ => None,
        }
    }

    /// Whether the reader of the output has gone away, which is no failure of ours.
    pub(crate) fn is_broken_pipe(&self) -> bool {
        matches!(self, Failure::Output(error) if error.kind() == io::ErrorKind::BrokenPipe)
    }

    /// One line for people.
    pub(crate) fn line(&self, color: bool) -> String {
        let (on, off) = if color {
            ("\x1b[1;31m", "\x1b[0m")
        } else {
            ("", "")
        };
        format!("{on}error[{}]{off}: {self}", self.code())
    }

    /// One line for programs.
    pub(crate) fn json(&self) -> String {
        let exit = self.number().unwrap_or(self.exit() as u8);
        let mut error =
            json!({"code": self.code().as_str(), "exit": exit, "message": self.to_string()});
        if let Failure::Partial { details, .. } = self {
            error["details"] = details.clone();
        }
        json!({"error": error}).to_string()
    }
}

/// The operating system's words, without its number and its capital letter.
fn reason(error: &io::Error) -> String {
    let text = error.to_string();
    let text = text.split(" (os error").next().unwrap_or_default();
    let mut letters = text.chars();
    letters.next().map_or_else(String::new, |first| {
        first.to_lowercase().chain(letters).collect()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_exit_codes_that_scripts_rely_on() {
        for (code, exit) in [
            (ErrorCode::KeyNotFound, 3),
            (ErrorCode::Conflict, 4),
            (ErrorCode::NoQuorum, 5),
            (ErrorCode::Unreachable, 5),
            (ErrorCode::Timeout, 7),
            (ErrorCode::OutcomeUnknown, 7),
            (ErrorCode::EmptyKey, 2),
            (ErrorCode::SeveralClusters, 4),
            (ErrorCode::Partial, 8),
            (ErrorCode::Interrupted, 130),
            (ErrorCode::Compacted, 1),
            (ErrorCode::Internal, 1),
        ] {
            assert_eq!(Exit::of(code) as u8, exit, "{code}");
        }
        for code in ErrorCode::ALL {
            assert_ne!(Exit::of(*code), Exit::Ok, "{code}");
            assert_eq!(Exit::of_number(Exit::of(*code) as u8), Exit::of(*code));
        }
        let missing = io::Error::from_raw_os_error(2);
        let failure = Failure::at(Path::new("x"), missing);
        assert_eq!(
            failure.line(false),
            "error[file_unusable]: x: no such file or directory"
        );
        let denied = io::Error::from(io::ErrorKind::PermissionDenied);
        assert_eq!(Failure::at(Path::new("x"), denied).exit() as u8, 6);
        let partial = Failure::Partial {
            sentence: String::new(),
            details: json!({"stored": 1}),
        };
        assert_eq!(partial.exit() as u8, 8);
        assert!(partial.json().contains(r#""details":{"stored":1}"#));
        assert_eq!(Failure::Interrupted(String::new()).exit() as u8, 130);
        for (number, expected) in [(2, 127), (13, 126)] {
            let failure = Failure::Start {
                what: "x".to_owned(),
                error: io::Error::from_raw_os_error(number),
            };
            assert_eq!(
                (failure.number(), failure.exit() as u8),
                (Some(expected), 1)
            );
        }
        assert_eq!(Failure::Ended { exit: 9 }.number(), Some(9));
        assert_eq!(Failure::EmptyKey.number(), None);
    }

    #[test]
    fn a_failure_reads_well_for_people_and_for_programs() {
        let failure = Failure::NoKey("foo".to_owned());
        assert_eq!(
            failure.line(false),
            "error[key_not_found]: there is no key foo"
        );
        assert_eq!(
            failure.json(),
            r#"{"error":{"code":"key_not_found","exit":3,"message":"there is no key foo"}}"#
        );
    }
}
