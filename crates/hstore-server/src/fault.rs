//! What went wrong, as a person and a script are told: a code that never changes, a sentence, a
//! hint what to do, an exit code with one meaning.
//!
//! Every room of the server has errors of its own; this is where they end.

use std::fmt;
use std::io::IsTerminal as _;

pub(crate) use hstore_cli::Exit;
use hstore_core::error::ErrorCode;

use crate::screen;

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
            exit: Exit::of(code),
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
