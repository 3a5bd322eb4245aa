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
use crate::follow::Guests;
use crate::peer::{encode, read_frame};

/// The most verdicts in one frame.
const VERDICTS_MAX: usize = 512;

/// The most bytes of outcomes in one frame, unless the first alone is larger.
const VERDICT_BYTES_MAX: usize = 1024 * 1024;

/// Serves one forward connection until it ends.
pub(crate) async fn serve_forwards(queue: Queue, guests: Guests, mut duplex: Duplex) {
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
                    let journey = guests.welcome(&item.word);
                    let placed = queue
                        .propose_for_peer(item.proposal, item.repeatable, ttl, journey.clone())
                        .await;
                    let guests = guests.clone();
                    verdicts.push(async move {
                        let verdict = verdict(item.id, placed).await;
                        if let Some(journey) = journey {
                            guests.leaves(&journey, verdict.failure == DONE);
                        }
                        verdict
                    });
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

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use hstore_core::id::{NodeId, Revision};
    use hstore_core::outcome::{Outcome, Reply};
    use tokio::sync::mpsc;
    use tokio::time::{Instant, sleep};

    use super::super::forward::{Event, Stream};
    use super::super::queue::Bounds;
    use super::*;
    use crate::follow::{Guest, Journey, follow};

    fn outcome() -> Outcome {
        Outcome {
            revision: Revision(1),
            result: Ok(Reply::Auth),
        }
    }

    /// A proposal of one node on its way to another one and back, which is followed or not.
    async fn travels(word: &'static [u8]) -> mpsc::Receiver<Guest> {
        let bounds = Bounds {
            proposals_max: 2,
            bytes_max: 100,
        };
        let (tx, there) = mpsc::channel(8);
        let (back, rx) = mpsc::channel(8);
        let (ours, theirs) = (
            Duplex { tx, rx },
            Duplex {
                tx: back,
                rx: there,
            },
        );
        let (from, mut leaving) = Queue::new(bounds);
        let (leader, mut arriving) = Queue::new(bounds);
        let guests = Guests::new(true);
        let left = guests.take().expect("nobody took it");
        let serving = serve_forwards(leader, guests, theirs);
        let deadline = Instant::now() + Duration::from_secs(5);
        let proposing = from.propose(Bytes::from_static(b"x"), false, deadline);
        let journey = Arc::new(Journey::named(Bytes::from_static(word)));
        let travelling = async {
            let pending = leaving.recv().await.expect("it was proposed");
            assert!(pending.hand_on());
            let mut stream = Stream::new(NodeId(1), ours);
            assert!(stream.send(vec![pending]).is_ok());
            let arrived = arriving.recv().await.expect("it arrives");
            arrived.settle(Ok(outcome()));
            assert!(matches!(stream.next().await, Event::Settled));
            // While it lives the other side keeps serving.
            stream
        };
        let both = async { tokio::join!(follow(journey, proposing), travelling) };
        tokio::select! {
            () = serving => panic!("the connection ended"),
            (proposed, _stream) = both => assert!(proposed.is_ok()),
            () = sleep(Duration::from_secs(5)) => panic!("it does not come back"),
        }
        left
    }

    #[tokio::test(start_paused = true)]
    async fn a_word_goes_along_to_the_leader_and_comes_out_with_what_was_there() {
        let mut left = travels(b"word").await;
        let guest = left.recv().await.expect("it has left");
        assert_eq!((&guest.word[..], guest.is_done), (&b"word"[..], true));
        assert!(
            guest
                .moments
                .queued
                .is_some_and(|queued| queued <= guest.left)
        );
        let mut left = travels(b"").await;
        assert!(left.recv().await.is_none(), "nobody follows it");
    }
}
