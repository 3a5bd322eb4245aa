//! What one attempt that failed says about the next one.
//!
//! Invariant: `may_be_applied` is false only where the request certainly never was, and never will
//! be, proposed: no connection could be made, or a node said so by its code.

use std::error::Error as _;

use hstore_core::error::ErrorCode;
use hstore_proto::status::{self, Origin};
use tonic::{Code, ConnectError, Status};

/// Why one attempt at one node failed.
#[derive(Clone, Debug)]
pub(crate) struct Fault {
    /// The code of the failure.
    pub(crate) code: ErrorCode,
    /// In words.
    pub(crate) message: String,
    /// Whether a write that ended so may be applied, now or later.
    pub(crate) may_be_applied: bool,
    /// Whether a node said so; otherwise it is what the way to the node made of it.
    pub(crate) answered: bool,
}

impl Fault {
    /// Reads the failure of a call.
    pub(crate) fn of(status: &Status) -> Fault {
        if let Some(reason) = no_connection(status) {
            return Fault {
                code: ErrorCode::Unreachable,
                message: reason,
                may_be_applied: false,
                answered: false,
            };
        }
        let failure = status::read(status);
        match failure.origin {
            Origin::Node => Fault {
                code: failure.code,
                message: failure.detail,
                may_be_applied: !failure.code.definitely_not_applied(),
                answered: true,
            },
            Origin::Way => Fault {
                code: failure.code,
                message: match failure.text.as_str() {
                    "" => in_a_sentence(status.code().description()),
                    text => in_a_sentence(text),
                },
                // A node that does not know the method has not done it.
                may_be_applied: status.code() != Code::Unimplemented,
                answered: false,
            },
        }
    }

    /// The attempt's own share of the deadline passed without a word.
    pub(crate) fn silence() -> Fault {
        Fault {
            code: ErrorCode::Timeout,
            message: "no answer in time".to_owned(),
            may_be_applied: true,
            answered: false,
        }
    }

    /// Whether another node, or the same one later, may do better with the same request.
    pub(crate) fn may_pass(&self) -> bool {
        self.code.is_retryable()
            || matches!(
                self.code,
                ErrorCode::ClusterMismatch | ErrorCode::NodeRemoved | ErrorCode::OutcomeUnknown
            )
            // The connection was reset in the middle of an answer.
            || (!self.answered && self.code == ErrorCode::Internal)
    }

    /// Whether a token that is newer may help: there was none, or it is worth nothing any more.
    pub(crate) fn asks_for_proof(&self) -> bool {
        let codes = [
            ErrorCode::AuthRevisionOld,
            ErrorCode::InvalidAuthToken,
            ErrorCode::UserEmpty,
        ];
        self.answered && codes.contains(&self.code)
    }

    /// Whether it is the cluster as a whole that asks for patience, so that going to another node
    /// would only add to its load.
    pub(crate) fn asks_for_patience(&self) -> bool {
        self.answered && self.code == ErrorCode::Overloaded
    }

    /// Whether every attempt at this request gets this answer, so that it holds for earlier
    /// attempts without an answer, too.
    pub(crate) fn is_about_the_request(&self) -> bool {
        self.answered
            && matches!(
                self.code,
                ErrorCode::AnswerUntold
                    | ErrorCode::Compacted
                    | ErrorCode::Conflict
                    | ErrorCode::DuplicateKey
                    | ErrorCode::EmptyKey
                    | ErrorCode::FutureRevision
                    | ErrorCode::InvalidArgument
                    | ErrorCode::KeyNotFound
                    | ErrorCode::KeyTooLarge
                    | ErrorCode::LeaseNotFound
                    | ErrorCode::RequestTooLarge
                    | ErrorCode::TooManyOperations
            )
    }
}

/// Why no connection could be made, when that is what happened.
fn no_connection(status: &Status) -> Option<String> {
    let mut source = status.source();
    let mut refused = false;
    let mut innermost = String::new();
    while let Some(error) = source {
        refused |= error.is::<ConnectError>();
        innermost = error.to_string();
        source = error.source();
    }
    refused.then(|| in_a_sentence(&innermost))
}

/// Begins small, and without the number that the operating system's texts end in.
fn in_a_sentence(text: &str) -> String {
    let text = text.split(" (os error").next().unwrap_or(text);
    let mut chars = text.chars();
    match chars.next() {
        Some(first) => first.to_ascii_lowercase().to_string() + chars.as_str(),
        None => String::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_node_says_decides_whether_a_write_may_be_applied() {
        for code in ErrorCode::ALL {
            let fault = Fault::of(&status::failure(*code, "words"));
            assert_eq!(fault.code, *code);
            assert!(
                fault.answered && fault.message.starts_with("words. "),
                "{code}"
            );
            assert_eq!(
                fault.may_be_applied,
                !code.definitely_not_applied(),
                "{code}"
            );
        }
    }

    #[test]
    fn a_broken_way_leaves_the_outcome_open() {
        for code in [
            Code::Unavailable,
            Code::Unknown,
            Code::Cancelled,
            Code::Internal,
        ] {
            let fault = Fault::of(&Status::new(code, "Broken"));
            assert!(
                fault.may_be_applied && fault.may_pass() && !fault.answered,
                "{code}"
            );
            assert_eq!(fault.message, "broken");
        }
        assert!(!Fault::of(&Status::unimplemented("")).may_be_applied);
    }
}
