//! How a node ends: the first reason wins, and everybody hears of it.
//!
//! Invariant: once a reason is set it never changes, and no answer leaves the node after it.

use std::io;
use std::sync::Arc;

use hstore_core::error::ErrorCode;
use tokio::sync::watch;

use crate::error::StopReason;

/// The one place where a node's end is decided.
#[derive(Clone, Debug)]
pub(crate) struct Fate {
    reason: Arc<watch::Sender<Option<StopReason>>>,
}

impl Fate {
    /// A node that lives.
    pub(crate) fn new() -> Fate {
        Fate {
            reason: Arc::new(watch::Sender::new(None)),
        }
    }

    /// Ends the node, unless it has ended already.
    pub(crate) fn end(&self, reason: StopReason) {
        self.reason.send_if_modified(|present| {
            if present.is_some() {
                return false;
            }
            match &reason {
                StopReason::Requested => tracing::info!("the node stops"),
                other => tracing::error!(code = %other.code(), "the node stops: {other}"),
            }
            *present = Some(reason);
            true
        });
    }

    /// Why the node ended, if it has.
    pub(crate) fn reason(&self) -> Option<StopReason> {
        self.reason.borrow().clone()
    }

    /// Waits for the end.
    pub(crate) async fn ended(&self) -> StopReason {
        let mut reason = self.reason.subscribe();
        let ended = reason
            .wait_for(Option::is_some)
            .await
            .expect("the sender lives as long as this fate");
        ended.clone().expect("just waited for it")
    }
}

/// The reason that a failure with this code ends a node with.
pub(crate) fn reason_of(code: ErrorCode, what: &(impl ToString + ?Sized)) -> StopReason {
    let what = what.to_string();
    match code {
        ErrorCode::DiskFull => StopReason::DiskFull(what),
        ErrorCode::DiskFailed => StopReason::DiskFailed(what),
        ErrorCode::DataCorrupt | ErrorCode::FormatTooNew => StopReason::DataCorrupt(what),
        _ => StopReason::Internal(what),
    }
}

/// A failure as consensus wants it; the kind is kept.
pub(crate) fn io_error(code: ErrorCode, what: &(impl ToString + ?Sized)) -> io::Error {
    let kind = match code {
        ErrorCode::DiskFull => io::ErrorKind::StorageFull,
        ErrorCode::DataCorrupt => io::ErrorKind::InvalidData,
        _ => io::ErrorKind::Other,
    };
    io::Error::new(kind, what.to_string())
}
