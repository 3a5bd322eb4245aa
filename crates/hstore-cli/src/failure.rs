//! Why a command did not do what it was asked, and the exit code that says so.
//!
//! Invariants: (1) an exit code has one meaning; (2) every `ErrorCode` has an exit code, without a
//! wildcard, so that a new one must be decided about.

use std::io;
use std::path::Path;

use hstore_client::{Error, ErrorCode};
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
    /// A comparison did not hold; nothing was changed.
    Conflict = 4,
    /// The cluster cannot serve now: no quorum, no node reachable, or too busy.
    Unavailable = 5,
    /// A file may not be read or written.
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
            ErrorCode::ClusterMismatch
            | ErrorCode::Compacted
            | ErrorCode::DataCorrupt
            | ErrorCode::DataInUse
            | ErrorCode::DiskFailed
            | ErrorCode::DiskFull
            | ErrorCode::FormatTooNew
            | ErrorCode::FutureRevision
            | ErrorCode::Internal
            | ErrorCode::MembershipBusy
            | ErrorCode::NodeRemoved
            | ErrorCode::PortInUse
            | ErrorCode::SessionExpired
            | ErrorCode::Unsupported => Exit::Failure,
            ErrorCode::DuplicateKey
            | ErrorCode::EmptyKey
            | ErrorCode::InvalidArgument
            | ErrorCode::InvalidConfig
            | ErrorCode::KeyTooLarge
            | ErrorCode::RequestTooLarge
            | ErrorCode::SeveralClusters
            | ErrorCode::TooManyOperations => Exit::Usage,
            ErrorCode::KeyNotFound | ErrorCode::LeaseNotFound | ErrorCode::NodeNotFound => {
                Exit::NotFound
            }
            ErrorCode::Conflict => Exit::Conflict,
            ErrorCode::NoQuorum
            | ErrorCode::Overloaded
            | ErrorCode::ShuttingDown
            | ErrorCode::Unreachable => Exit::Unavailable,
            ErrorCode::DataUnusable => Exit::Permission,
            ErrorCode::OutcomeUnknown | ErrorCode::Timeout => Exit::Timeout,
        }
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
    /// The key is not there.
    #[error("there is no key {0}")]
    NoKey(String),
    /// The key was not as a swap expected.
    #[error("{0}")]
    Lost(String),
    /// Nodes of several clusters run here.
    #[error("several clusters run on this machine; name one of their nodes with --host:{0}")]
    SeveralClusters(String),
    /// The cluster or the way to it.
    #[error(transparent)]
    Cluster(#[from] Error),
    /// A file or the standard input.
    #[error("{what}: {error}")]
    File {
        /// Which.
        what: String,
        /// Why.
        error: io::Error,
    },
    /// The standard output.
    #[error("the output cannot be written: {0}")]
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
    #[error("interrupted{0}")]
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

    /// The stable code.
    pub(crate) fn code(&self) -> &'static str {
        match self {
            Failure::Usage(_) => ErrorCode::InvalidArgument.as_str(),
            Failure::NoKey(_) => ErrorCode::KeyNotFound.as_str(),
            Failure::Lost(_) => ErrorCode::Conflict.as_str(),
            Failure::SeveralClusters(_) => ErrorCode::SeveralClusters.as_str(),
            Failure::Cluster(error) => error.code().as_str(),
            Failure::File { .. } | Failure::Output(_) => "file",
            Failure::Partial { .. } => "partial",
            Failure::Interrupted(_) => "interrupted",
        }
    }

    /// The exit code.
    pub(crate) fn exit(&self) -> Exit {
        match self {
            Failure::Usage(_) | Failure::SeveralClusters(_) => Exit::Usage,
            Failure::NoKey(_) => Exit::NotFound,
            Failure::Lost(_) => Exit::Conflict,
            Failure::Cluster(error) => Exit::of(error.code()),
            Failure::File { error, .. } | Failure::Output(error) => match error.kind() {
                io::ErrorKind::PermissionDenied => Exit::Permission,
                _ => Exit::Failure,
            },
            Failure::Partial { .. } => Exit::Partial,
            Failure::Interrupted(_) => Exit::Interrupted,
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
        let exit = self.exit() as u8;
        let mut error = json!({"code": self.code(), "exit": exit, "message": self.to_string()});
        if let Failure::Partial { details, .. } = self {
            error["details"] = details.clone();
        }
        json!({"error": error}).to_string()
    }
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
            (ErrorCode::SeveralClusters, 2),
            (ErrorCode::Compacted, 1),
            (ErrorCode::Internal, 1),
        ] {
            assert_eq!(Exit::of(code) as u8, exit, "{code}");
        }
        for code in ErrorCode::ALL {
            assert_ne!(Exit::of(*code), Exit::Ok, "{code}");
        }
        let denied = io::Error::from(io::ErrorKind::PermissionDenied);
        assert_eq!(Failure::at(Path::new("x"), denied).exit() as u8, 6);
        let partial = Failure::Partial {
            sentence: String::new(),
            details: json!({"stored": 1}),
        };
        assert_eq!(partial.exit() as u8, 8);
        assert!(partial.json().contains(r#""details":{"stored":1}"#));
        assert_eq!(Failure::Interrupted(String::new()).exit() as u8, 130);
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
