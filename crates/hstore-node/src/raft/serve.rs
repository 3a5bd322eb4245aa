//! Answers the peers' messages of consensus.
//!
//! Invariants: (1) a message that is not understood ends the connection, never the node; (2) an
//! append connection ends with the first error in it, so that what was sent behind it is void.

use bytes::Bytes;
use futures::StreamExt;
use hstore_core::error::ErrorCode;
use hstore_core::id::NodeId;
use openraft::raft::{AppendEntriesRequest, AppendEntriesResponse, StreamAppendError};
use tokio::sync::mpsc;

use super::types::TypeConfig;
use super::wire::{self, AppendWire};
use super::{Consensus, kind};
use crate::env::Duplex;
use crate::peer::{Refused, decode, read_frame};

impl Consensus {
    /// Answers a question of consensus; none when it is of another kind.
    pub(crate) async fn answer(&self, kind: u32, body: &Bytes) -> Option<Result<Bytes, Refused>> {
        let answer = match kind {
            kind::VOTE => match wire::vote_request_in(body) {
                Some(request) => self.raft.vote(request).await.map_err(stopped),
                None => return Some(Err(malformed())),
            }
            .map(|response| wire::vote_response_out(&response)),
            kind::PRE_VOTE => match wire::vote_request_in(body) {
                Some(request) => self.raft.pre_vote(request).await.map_err(stopped),
                None => return Some(Err(malformed())),
            }
            .map(|response| wire::vote_response_out(&response)),
            kind::TRANSFER => match wire::transfer_in(body) {
                Some(request) => self.raft.handle_transfer_leader(request).await,
                None => return Some(Err(malformed())),
            }
            .map_err(stopped)
            .map(|_accepted| Bytes::new()),
            kind::HEARTBEAT => {
                let head: Option<AppendWire> = decode(body);
                match head.and_then(|head| wire::append_in(head, Vec::new())) {
                    Some(request) => self.heartbeat(request).await,
                    None => Err(malformed()),
                }
            }
            _ => return None,
        };
        Some(answer)
    }

    async fn heartbeat(&self, request: AppendEntriesRequest<TypeConfig>) -> Result<Bytes, Refused> {
        self.hear(&request.vote);
        let prev = request.prev_log_id;
        let response = self.raft.append_entries(request).await.map_err(stopped)?;
        let result = match response {
            AppendEntriesResponse::Success => Ok(prev),
            AppendEntriesResponse::PartialSuccess(matching) => Ok(matching),
            AppendEntriesResponse::Conflict => match prev {
                Some(prev) => Err(StreamAppendError::Conflict(prev)),
                None => Ok(None),
            },
            AppendEntriesResponse::HigherVote(vote) => Err(StreamAppendError::HigherVote(vote)),
        };
        Ok(wire::append_answer_out(&result))
    }

    /// Serves one append connection of a leader.
    pub(crate) async fn serve_appends(&self, from: NodeId, duplex: Duplex) {
        let Duplex { tx, rx } = duplex;
        let listener = self.clone();
        let requests = futures::stream::unfold((rx, listener), |(mut rx, listener)| async move {
            let request = read_append(&mut rx).await?;
            listener.hear(&request.vote);
            Some((request, (rx, listener)))
        });
        let results = self.raft.stream_append(requests);
        let mut results = std::pin::pin!(results);
        while let Some(result) = results.next().await {
            let Ok(result) = result else { return };
            let failed = result.is_err();
            if tx.send(wire::append_answer_out(&result)).await.is_err() || failed {
                tracing::debug!(%from, failed, "an append connection ends");
                return;
            }
        }
    }

    /// Serves one snapshot connection of a leader.
    pub(crate) async fn serve_snapshot(&self, from: NodeId, duplex: Duplex) {
        self.inbox.serve(from, self.raft.clone(), duplex).await;
    }
}

async fn read_append(rx: &mut mpsc::Receiver<Bytes>) -> Option<AppendEntriesRequest<TypeConfig>> {
    let head: AppendWire = read_frame(rx).await?;
    let mut apart = Vec::new();
    for _ in 0..head.frames_to_follow() {
        apart.push(rx.recv().await?);
    }
    let request = wire::append_in(head, apart);
    if request.is_none() {
        tracing::warn!("a peer sent an append that is not understood; the connection ends");
    }
    request
}

fn malformed() -> Refused {
    Refused {
        code: ErrorCode::InvalidArgument,
        reason: "the question is not understood".to_owned(),
    }
}

fn stopped(error: impl std::fmt::Display) -> Refused {
    Refused {
        code: ErrorCode::ShuttingDown,
        reason: error.to_string(),
    }
}
