//! Claims: keys that stand in line under a name. The oldest one holds the lock, or leads the
//! election; the others wait. The layout is etcd's, so that its clients stand in the same lines:
//! `name/lease in hexadecimal`, attached to the lease, older by create revision.
//!
//! Everything here is made of the node's own commands, reads and watches: the store knows nothing
//! of locks.
//!
//! Invariants: (1) a claim is granted by one linearizable read alone, in which its key is as it was
//! created and no older one is there: a wait that ended proves nothing, least of all that the
//! claim's own lease still lives; (2) a claim that ends without being granted takes the key away
//! that it made, unless the node ends first; then the lease does; (3) a waiting claim holds two
//! watches and a few words, and their number is bounded; (4) it hears of the end of its own key, of
//! the one before it, of its caller and of the node.

mod election;
mod wait;
mod words;

use std::sync::Arc;

use tokio::sync::{Semaphore, oneshot};
use tokio::time::Instant;

pub use election::Observation;
pub use words::{Claim, ClaimError, ClaimKind, ClaimLease, Holding};

use crate::error::NodeError;
use crate::node::Node;
use wait::Waiter;

/// How many claims may wait in a node; one more is refused as overloaded. Half of the streams of
/// watches that a node has, so that the others are left to those who watch.
const CLAIMS_MAX: usize = 8 * 1024;

/// Places for claims that wait.
pub(crate) fn places() -> Arc<Semaphore> {
    Arc::new(Semaphore::new(CLAIMS_MAX))
}

/// A claim on its way. When it is dropped, the claim ends and takes its key away.
#[derive(Debug)]
pub struct Claiming {
    joined: Option<oneshot::Receiver<()>>,
    answer: oneshot::Receiver<Result<Holding, ClaimError>>,
}

impl Claiming {
    /// Waits until the claim stands in line, or has failed: from then on it holds nothing of the
    /// request any more.
    pub async fn joined(&mut self) {
        if let Some(joined) = self.joined.take() {
            // Its end says the same.
            let _joined_or_failed = joined.await;
        }
    }

    /// Waits until it is granted, or failed.
    pub async fn answer(self) -> Result<Holding, ClaimError> {
        // The task ends with the node.
        let ended = self.answer.await;
        ended.unwrap_or(Err(ClaimError::Node(NodeError::ShuttingDown)))
    }
}

impl Node {
    /// Stands in line under a name until all who came before are gone, the deadline passes, or the
    /// answer is dropped. The claim must have passed [`Claim::check`].
    ///
    /// With `needs_leader` it ends as well when no leader has been known for a while.
    pub fn claim(
        &self,
        claim: Claim,
        deadline: Option<Instant>,
        needs_leader: bool,
    ) -> Result<Claiming, NodeError> {
        self.check_working()?;
        let inner = self.inner();
        // The semaphore is never closed.
        let place = inner.claims.clone().try_acquire_owned();
        let place = place.map_err(|_full| NodeError::Overloaded)?;
        let (joined, has_joined) = oneshot::channel();
        let (granted, answer) = oneshot::channel();
        let waiter = Waiter::new(self.clone(), claim, deadline, needs_leader);
        inner.tasks.spawn("claim", async move {
            waiter.run(joined, granted).await;
            drop(place);
        });
        Ok(Claiming {
            joined: Some(has_joined),
            answer,
        })
    }
}
