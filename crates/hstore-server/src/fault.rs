//! What went wrong, as a person and a script are told: a code that never changes, a sentence, a
//! hint what to do, an exit code with one meaning.
//!
//! Every room of the server has errors of its own; this is where they end.

use std::fmt;
use std::io::IsTerminal as _;

use hstore_core::error::ErrorCode;

use crate::screen;

/// How the process ends. One meaning each.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Exit {
    /// Done.
    Ok = 0,
    /// It failed, and nothing below says why.
    Failure = 1,
    /// The command line or the settings make no sense.
    Usage = 2,
    /// What was asked for is not there.
    NotFound = 3,
    /// Something else is in the way.
    Conflict = 4,
    /// No majority, or nobody answers.
    Unavailable = 5,
    /// Not allowed.
    Permission = 6,
    /// It took too long: it may have happened.
    Timeout = 7,
    /// Done for some, not for others.
    Partial = 8,
    /// Interrupted by the user.
    Interrupted = 130,
}

impl Exit {
    /// The exit with that number; a number without a meaning is a failure.
    pub(crate) fn of(number: u8) -> Exit {
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

/// A failure.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Fault {
    /// The stable code.
    pub(crate) code: ErrorCode,
    /// How the process ends.
    pub(crate) exit: Exit,
    sentence: String,
    hint: Option<String>,
}

impl Fault {
    /// A failure with the exit code that its code stands for.
    pub(crate) fn new(code: ErrorCode, sentence: impl Into<String>) -> Fault {
        Fault {
            code,
            exit: exit_of(code),
            sentence: sentence.into(),
            hint: None,
        }
    }

    /// Says what to do about it.
    #[must_use]
    pub(crate) fn hint(mut self, hint: impl Into<String>) -> Fault {
        self.hint = Some(hint.into());
        self
    }

    /// Ends the process in another way than its code stands for.
    #[must_use]
    pub(crate) fn exit(mut self, exit: Exit) -> Fault {
        self.exit = exit;
        self
    }

    /// A failure of a file or folder.
    pub(crate) fn of_file(what: impl fmt::Display, error: &std::io::Error) -> Fault {
        let (code, exit) = match error.kind() {
            std::io::ErrorKind::PermissionDenied | std::io::ErrorKind::ReadOnlyFilesystem => {
                (ErrorCode::DataUnusable, Exit::Permission)
            }
            std::io::ErrorKind::StorageFull | std::io::ErrorKind::QuotaExceeded => {
                (ErrorCode::DiskFull, Exit::Failure)
            }
            _ => (ErrorCode::DataUnusable, Exit::Failure),
        };
        Fault::new(code, format!("{what}: {error}")).exit(exit)
    }

    /// The sentence.
    pub(crate) fn sentence(&self) -> &str {
        &self.sentence
    }

    /// What to do about it.
    pub(crate) fn advice(&self) -> Option<&str> {
        self.hint.as_deref()
    }

    /// Tells it on stderr.
    pub(crate) fn tell(&self, json: bool) {
        if json {
            let object = serde_json::json!({
                "error": {
                    "code": self.code.as_str(),
                    "message": self.sentence,
                    "hint": self.hint,
                    "exit": self.exit as u8,
                }
            });
            screen::talk(format_args!("{object}"));
            return;
        }
        let red = screen::colours(std::io::stderr().is_terminal());
        let (on, off) = if red {
            ("\x1b[31m", "\x1b[0m")
        } else {
            ("", "")
        };
        screen::talk(format_args!(
            "{on}error[{}]{off}: {}",
            self.code, self.sentence
        ));
        if let Some(hint) = &self.hint {
            for (index, line) in hint.lines().enumerate() {
                let head = if index == 0 { "hint:" } else { "     " };
                screen::talk(format_args!("  {head} {line}"));
            }
        }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.sentence)
    }
}

/// The exit code that an error code stands for.
pub(crate) fn exit_of(code: ErrorCode) -> Exit {
    match code {
        ErrorCode::InvalidArgument
        | ErrorCode::InvalidConfig
        | ErrorCode::EmptyKey
        | ErrorCode::KeyTooLarge
        | ErrorCode::RequestTooLarge
        | ErrorCode::TooManyOperations
        | ErrorCode::DuplicateKey => Exit::Usage,
        ErrorCode::KeyNotFound | ErrorCode::LeaseNotFound | ErrorCode::NodeNotFound => {
            Exit::NotFound
        }
        ErrorCode::ClusterMismatch
        | ErrorCode::Conflict
        | ErrorCode::DataInUse
        | ErrorCode::MembershipBusy
        | ErrorCode::NodeRemoved
        | ErrorCode::PortInUse
        | ErrorCode::SeveralClusters => Exit::Conflict,
        ErrorCode::NoQuorum
        | ErrorCode::Overloaded
        | ErrorCode::ShuttingDown
        | ErrorCode::Unreachable => Exit::Unavailable,
        ErrorCode::OutcomeUnknown | ErrorCode::Timeout => Exit::Timeout,
        ErrorCode::Partial => Exit::Partial,
        ErrorCode::Interrupted => Exit::Interrupted,
        ErrorCode::Compacted
        | ErrorCode::DataCorrupt
        | ErrorCode::DataUnusable
        | ErrorCode::DiskFailed
        | ErrorCode::DiskFull
        | ErrorCode::FileUnusable
        | ErrorCode::FormatTooNew
        | ErrorCode::FutureRevision
        | ErrorCode::Internal
        | ErrorCode::SessionExpired
        | ErrorCode::Unsupported => Exit::Failure,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_programs_end_with_the_same_number_for_the_same_code() {
        for code in ErrorCode::ALL {
            assert_eq!(
                exit_of(*code) as u8,
                hstore_cli::Exit::of(*code) as u8,
                "{code}"
            );
        }
    }
}
