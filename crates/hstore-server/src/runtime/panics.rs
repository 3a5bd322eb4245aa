//! What happens when an invariant is broken: one line says so, and the process ends at once. A node
//! that goes on after a broken invariant could acknowledge what it does not keep.
//!
//! Two exceptions. On the thread on which the engine opens, a panic is an answer: what it opens may
//! be damaged in any way, and then it is set aside and rebuilt. And when the node has already ended
//! by a failure, that failure is the truth about all that follows: sled panics when it is let go
//! of on a disk that fails. The process ends at once then too, but as the first failure says.

use std::panic;
use std::process;
use std::sync::{Mutex, PoisonError, TryLockError};

use crate::fault::Fault;

/// The thread whose panics are answers.
const ENGINE_OPEN: &str = "engine-open";

type First = Box<dyn Fn() -> Option<Last> + Send>;

/// Tells by what the node has ended, if it has failed.
static FIRST: Mutex<Option<First>> = Mutex::new(None);

/// The last words of a process.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Last {
    /// What they are.
    pub(crate) fault: Fault,
    /// Whether a program reads them.
    pub(crate) json: bool,
    /// Whether they go to the log, which is then all that is read of this process.
    pub(crate) log: bool,
}

/// What a panic means.
#[derive(Debug, PartialEq, Eq)]
enum Meaning {
    /// Whoever waits for the thread takes it as an answer.
    Answer,
    /// A consequence of what ended the node before.
    Aftermath(Last),
    /// A broken invariant.
    Broken,
}

/// From now on a panic ends the process.
pub(crate) fn abort_on_panic() {
    let tell = panic::take_hook();
    panic::set_hook(Box::new(move |info| {
        let thread = std::thread::current();
        match meaning(thread.name(), first) {
            Meaning::Answer => tracing::warn!(%info, "the engine cannot open its folder"),
            Meaning::Aftermath(Last { fault, json, log }) => {
                tracing::warn!(%info, "a thread ended after the node had failed");
                if log {
                    tracing::error!(code = %fault.code, "{fault}");
                } else {
                    fault.tell(json);
                }
                process::exit(i32::from(fault.exit as u8));
            }
            Meaning::Broken => {
                tracing::error!(%info, "an invariant is broken; the process ends here");
                tell(info);
                process::abort();
            }
        }
    }));
}

/// From now on this tells by what the node has ended, if it has failed.
pub(crate) fn panics_follow(first: impl Fn() -> Option<Last> + Send + 'static) {
    *FIRST.lock().unwrap_or_else(PoisonError::into_inner) = Some(Box::new(first));
}

fn first() -> Option<Last> {
    let first = match FIRST.try_lock() {
        Ok(first) => first,
        Err(TryLockError::Poisoned(poisoned)) => poisoned.into_inner(),
        // Another thread panics at this moment, and says it.
        Err(TryLockError::WouldBlock) => return None,
    };
    first.as_ref().and_then(|first| first())
}

fn meaning(thread: Option<&str>, first: impl FnOnce() -> Option<Last>) -> Meaning {
    if thread == Some(ENGINE_OPEN) {
        return Meaning::Answer;
    }
    first().map_or(Meaning::Broken, Meaning::Aftermath)
}

#[cfg(test)]
mod tests {
    use hstore_core::error::ErrorCode;

    use super::*;

    fn last() -> Last {
        Last {
            fault: Fault::new(ErrorCode::DiskFailed, "the disk failed"),
            json: false,
            log: true,
        }
    }

    #[test]
    fn the_first_failure_explains_every_later_panic_and_none_before_it() {
        let cases = [
            (Some("sled-io-3"), None, Meaning::Broken),
            (None, None, Meaning::Broken),
            (Some(ENGINE_OPEN), None, Meaning::Answer),
            (Some("sled-io-3"), Some(last()), Meaning::Aftermath(last())),
            (None, Some(last()), Meaning::Aftermath(last())),
            (Some(ENGINE_OPEN), Some(last()), Meaning::Answer),
        ];
        for (thread, first, expected) in cases {
            assert_eq!(meaning(thread, || first), expected, "{thread:?}");
        }
    }
}
