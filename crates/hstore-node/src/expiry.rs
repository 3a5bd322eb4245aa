//! Ends the leases whose time is over: the leader proposes it, the machine decides.
//!
//! Invariants: (1) what is proposed ends nothing whose time is not over by the stamp of its own
//! log entry, so a proposal that is late, repeated or from a leader of former days does no harm;
//! (2) while there are leases the log is stamped every few seconds, so that after a restart of
//! all nodes a lease has about the time left that it had.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use hstore_core::auth::Author;
use hstore_core::codec::encode_proposal;
use hstore_core::command::{Command, Proposal};
use hstore_core::id::LeaseTime;
use hstore_core::outcome::{LeaseReply, Reply};
use tokio::time::{Instant, sleep};

use crate::inner::Inner;
use crate::raft::LeaseClock;

/// The log is stamped at least so often while there are leases and nothing else is written.
const STAMP_EVERY: Duration = Duration::from_secs(5);

/// How long one proposal may wait for its outcome.
const PROPOSE_MAX: Duration = Duration::from_secs(2);

/// How often a node that does not lead looks whether it does.
const LOOK: Duration = Duration::from_millis(200);

/// The pause after a proposal that nobody answered.
const PAUSE: Duration = Duration::from_millis(100);

/// Runs until the node ends.
pub(crate) async fn expire(inner: Arc<Inner>) {
    let clock = inner.consensus.lease_clock().clone();
    let mut next_end = clock.next_end();
    let mut changes = inner.consensus.changes();
    let bytes = encode_proposal(&Proposal {
        request: None,
        author: Author::Node,
        command: Command::ExpireLeases,
    });
    loop {
        let end = *next_end.borrow_and_update();
        let wait = match end {
            Some(end) if leads(&inner) => {
                wait_for(&clock, end, inner.consensus.store().lease_clock().0)
            }
            // It is the business of another, who may be gone in a moment.
            Some(_) => LOOK,
            None => Duration::MAX,
        };
        tokio::select! {
            biased;
            changed = next_end.changed() => {
                if changed.is_err() {
                    return;
                }
                continue;
            }
            () = changes.next() => continue,
            () = sleep(wait) => {}
        }
        if !leads(&inner) {
            continue;
        }
        if !propose(&inner, bytes.clone()).await {
            sleep(PAUSE).await;
        }
    }
}

fn leads(inner: &Inner) -> bool {
    inner.consensus.leader() == Some(inner.identity.node)
}

/// Until the next lease ends, or until the log wants a stamp.
fn wait_for(clock: &LeaseClock, end: LeaseTime, stamped: LeaseTime) -> Duration {
    let now = clock.now();
    let to_end = Duration::from_millis(end.0.saturating_sub(now.0));
    let since_stamp = Duration::from_millis(now.0.saturating_sub(stamped.0));
    to_end.min(STAMP_EVERY.saturating_sub(since_stamp))
}

/// Whether it was answered.
async fn propose(inner: &Inner, bytes: Bytes) -> bool {
    let deadline = Instant::now() + PROPOSE_MAX;
    match inner.queue.propose(bytes, false, deadline).await {
        Ok(outcome) => {
            if let Ok(Reply::Lease(LeaseReply::Expired { count, .. })) = outcome.result
                && count > 0
            {
                tracing::debug!(count, "leases ended");
            }
            true
        }
        Err(error) => {
            tracing::debug!("leases could not be ended: {error}");
            false
        }
    }
}
