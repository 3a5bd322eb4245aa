//! Waiting until this node has applied a revision: for who wrote at another node and reads here
//! without asking the leader.

use hstore_core::error::ErrorCode;
use hstore_core::id::Revision;
use hstore_core::key::KeyRange;
use hstore_node::{Delivery, Node, WatchRequest};
use tokio::time::{Instant, timeout_at};

use crate::web::problem::Problem;

/// Waits until this node has applied a revision, which may not be there yet.
pub(super) async fn applied(node: &Node, revision: i64, deadline: Instant) -> Result<(), Problem> {
    if node.status().store.revision.0 >= revision {
        return Ok(());
    }
    match timeout_at(deadline, told(node, revision)).await {
        Ok(told) => told,
        Err(_elapsed) => {
            let what = format!("this node did not get to revision {revision} in time");
            Err(Problem::new(ErrorCode::Timeout, what))
        }
    }
}

/// A watch from that revision on tells of nothing before it. What it tells is not looked at.
async fn told(node: &Node, revision: i64) -> Result<(), Problem> {
    let failed = |error: hstore_node::NodeError| Problem::new(error.code(), error);
    let mut watches = node.watch().map_err(failed)?;
    watches.create(WatchRequest {
        start: Revision(revision),
        ..WatchRequest::of(KeyRange::all())
    });
    loop {
        match watches.next().await.map_err(failed)? {
            Delivery::Created { .. } | Delivery::Progress { .. } => {}
            Delivery::Refused { refusal, .. } => {
                return Err(Problem::new(ErrorCode::Overloaded, refusal));
            }
            // Also when what it would have told is compacted: then it was there.
            Delivery::Events { .. } | Delivery::Canceled { .. } => return Ok(()),
        }
    }
}
