//! Incoming connections: each is one task that ends with its peer, with its membership, or with
//! the node.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures::StreamExt;
use futures::stream::FuturesUnordered;
use hstore_core::error::ErrorCode;
use hstore_core::id::NodeId;
use tokio::time::Instant;

use crate::env::{Class, Duplex, Hello};
use crate::inner::Inner;
use crate::members::StepError;
use crate::peer::{Answer, Question, Refused, decode, encode, read_frame};
use crate::propose::serve_forwards;
use crate::raft::kind;
use crate::raft::wire::{ExpectWire, IndexWire, MemberWire, TypeWire, member_in};
use crate::read::index_answer;
use crate::wire::{answer_out, progress_out};

/// The most questions of one peer that are being answered; then its connection is not read.
const QUESTIONS_IN_FLIGHT_MAX: usize = 64;

/// How long a peer's question for the read index may wait for its round.
const READ_INDEX_MAX: Duration = Duration::from_secs(1);

/// Serves one connection until it ends.
pub(crate) async fn serve(inner: Arc<Inner>, hello: Hello, duplex: Duplex) {
    let from = hello.from;
    let serving = async {
        match hello.class {
            Class::Append => inner.consensus.serve_appends(from, duplex).await,
            Class::Control => serve_control(&inner, duplex).await,
            Class::Forward => {
                serve_forwards(inner.queue.clone(), inner.guests.clone(), duplex).await;
            }
            Class::Snapshot => inner.consensus.serve_snapshot(from, duplex).await,
        }
    };
    tokio::select! {
        biased;
        () = inner.directory.expelled(&hello) => {
            tracing::info!(%from, "a connection of a former member ends");
        }
        () = serving => inner.succession.connection_ended(from),
    }
}

async fn serve_control(inner: &Arc<Inner>, mut duplex: Duplex) {
    let mut answers = FuturesUnordered::new();
    loop {
        tokio::select! {
            // Answers first: they free what waits at the other end.
            biased;
            Some(answer) = answers.next(), if !answers.is_empty() => {
                let answer: Answer = answer;
                if duplex.tx.send(encode(&answer)).await.is_err() {
                    return;
                }
            }
            question = read_frame::<Question>(&mut duplex.rx),
                if answers.len() < QUESTIONS_IN_FLIGHT_MAX =>
            {
                let Some(Question { id, kind, body }) = question else { return };
                let inner = inner.clone();
                answers.push(async move { Answer::new(id, inner.answer(kind, body).await) });
            }
        }
    }
}

impl Inner {
    async fn answer(self: &Arc<Inner>, kind: u32, body: Bytes) -> Result<Bytes, Refused> {
        if let Some(answer) = self.consensus.answer(kind, &body).await {
            return answer;
        }
        match kind {
            kind::READ_INDEX => {
                let deadline = Instant::now() + READ_INDEX_MAX;
                match self.reads.index(deadline).await {
                    Ok(index) => Ok(index_answer(index)),
                    Err(error) => Err(Refused {
                        code: error.code(),
                        reason: error.to_string(),
                    }),
                }
            }
            kind::GONE => {
                let answer = self.succession.answer(&body).await;
                answer.ok_or_else(not_understood)
            }
            kind::STATUS => Ok(answer_out(&self.member_answer())),
            kind::ADVANCE => {
                let wire: MemberWire = understood(&body)?;
                let (node, member) = member_in(wire);
                let progress = self.members.advance(node, member).await;
                progress.map(progress_out).map_err(StepError::into_refusal)
            }
            kind::REMOVE => {
                let node: IndexWire = understood(&body)?;
                let removed = self.members.remove(NodeId(node.index)).await;
                removed
                    .map(|()| Bytes::new())
                    .map_err(StepError::into_refusal)
            }
            kind::HAND_OVER => {
                let to: IndexWire = understood(&body)?;
                let to = (to.index != 0).then_some(NodeId(to.index));
                let handed = self.members.hand_over(to).await;
                handed
                    .map(|leader| encode(&IndexWire { index: leader.0 }))
                    .map_err(StepError::into_refusal)
            }
            kind::MAY_EXPECT => {
                let wire: ExpectWire = understood(&body)?;
                let may = self.members.may_expect(&wire.peer_address, wire.learner);
                may.map(|()| Bytes::new()).map_err(StepError::into_refusal)
            }
            kind::MAY_BE => {
                let wire: TypeWire = understood(&body)?;
                let may = self.members.may_be(NodeId(wire.node), wire.kind());
                may.map(|()| Bytes::new()).map_err(StepError::into_refusal)
            }
            kind::BECOME => {
                let wire: TypeWire = understood(&body)?;
                let became = self.members.become_type(NodeId(wire.node), wire.kind());
                let became = became.await;
                became
                    .map(|()| Bytes::new())
                    .map_err(StepError::into_refusal)
            }
            kind::PROMOTE => {
                let node: IndexWire = understood(&body)?;
                let promoted = self.members.promote(NodeId(node.index)).await;
                promoted
                    .map(|()| Bytes::new())
                    .map_err(StepError::into_refusal)
            }
            kind::MOVED => {
                let wire: MemberWire = understood(&body)?;
                let (node, member) = member_in(wire);
                let moved = self.members.moved(node, member).await;
                moved
                    .map(|()| Bytes::new())
                    .map_err(StepError::into_refusal)
            }
            _ => Err(Refused {
                code: ErrorCode::Unsupported,
                reason: "this version does not know the question".to_owned(),
            }),
        }
    }
}

fn understood<M: prost::Message + Default>(body: &Bytes) -> Result<M, Refused> {
    decode(body).ok_or_else(not_understood)
}

fn not_understood() -> Refused {
    Refused {
        code: ErrorCode::InvalidArgument,
        reason: "the question is not understood".to_owned(),
    }
}
