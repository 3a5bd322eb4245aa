//! The leader's end of a forward connection.
//!
//! Invariants: (1) verdicts go back in any order, many in one frame; (2) when the queue is full
//! the connection is not read, so the sender's own bound refuses new work; (3) when the
//! connection ends, what it brought goes on, and nobody is told.

use bytes::Bytes;
use futures::stream::FuturesUnordered;
use futures::{FutureExt, StreamExt};
use hstore_core::codec::encode_outcome;
use std::time::Duration;
use tokio::sync::oneshot;

use super::pending::{Failure, Verdict};
use super::queue::Queue;
use super::wire::{DONE, NOT_PROPOSED, Pull, PullItem, Push, UNKNOWN};
use crate::env::Duplex;
use crate::peer::{encode, read_frame};

/// The most verdicts in one frame.
const VERDICTS_MAX: usize = 512;

/// The most bytes of outcomes in one frame, unless the first alone is larger.
const VERDICT_BYTES_MAX: usize = 1024 * 1024;

/// Serves one forward connection until it ends.
pub(crate) async fn serve_forwards(queue: Queue, mut duplex: Duplex) {
    let mut verdicts = FuturesUnordered::new();
    loop {
        tokio::select! {
            // Verdicts first: they free what waits at the other end.
            biased;
            Some(first) = verdicts.next(), if !verdicts.is_empty() => {
                let mut items = vec![first];
                let mut bytes = 0;
                while items.len() < VERDICTS_MAX && bytes < VERDICT_BYTES_MAX {
                    let Some(Some(next)) = verdicts.next().now_or_never() else { break };
                    let next: PullItem = next;
                    bytes += next.outcome.len();
                    items.push(next);
                }
                if duplex.tx.send(encode(&Pull { items })).await.is_err() {
                    return;
                }
            }
            push = read_frame::<Push>(&mut duplex.rx) => {
                let Some(push) = push else { return };
                for item in push.items {
                    let ttl = Duration::from_millis(item.ttl_ms);
                    let placed = queue
                        .propose_for_peer(item.proposal, item.repeatable, ttl)
                        .await;
                    verdicts.push(verdict(item.id, placed));
                }
            }
        }
    }
}

async fn verdict(id: u64, placed: Option<oneshot::Receiver<Verdict>>) -> PullItem {
    let verdict = match placed {
        // The proposer went away with it: nobody can tell.
        Some(wait) => wait.await.unwrap_or(Err(Failure::Unknown)),
        None => Err(Failure::NotLeader),
    };
    let (failure, outcome) = match verdict {
        Ok(outcome) => (DONE, encode_outcome(&outcome)),
        Err(Failure::NotLeader | Failure::NoQuorum) => (NOT_PROPOSED, Bytes::new()),
        Err(Failure::Unknown) => (UNKNOWN, Bytes::new()),
    };
    PullItem {
        id,
        failure,
        outcome,
    }
}
