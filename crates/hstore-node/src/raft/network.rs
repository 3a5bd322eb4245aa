//! The way of consensus to its peers.
//!
//! Appends go over a connection of their own, many in flight; votes, heartbeats and transfers are
//! questions on the control connection, so that a large append never delays them; snapshots have
//! connections of their own again.
//!
//! Invariants: (1) every question ends by `soft_ttl`; (2) an append stream that gets no answer
//! for `silence` ends with an error; (3) answers of a stream come in the order of its requests,
//! and a connection that saw anything else is never used again.

use std::collections::VecDeque;
use std::future::Future;
use std::time::Duration;

use bytes::Bytes;
use futures::future::BoxFuture;
use futures::stream::BoxStream;
use futures::{Stream, StreamExt};
use hstore_core::id::NodeId;
use hstore_core::membership::Member;
use openraft::OptionalSend;
use openraft::errors::{
    NetworkError, RPCError, ReplicationClosed, StreamingError, Timeout, Unreachable,
};
use openraft::network::{RPCOption, RPCTypes, RaftNetworkFactory, RaftNetworkV2};
use openraft::raft::{
    AppendEntriesRequest, AppendEntriesResponse, SnapshotResponse, StreamAppendResult,
    TransferLeaderRequest, TransferLeaderResponse, VoteRequest, VoteResponse,
};
use tokio::time::{Instant, timeout_at};

use super::kind;
use super::send_snapshot;
use super::snapshot::{Shelf, Snapshot, SnapshotData};
use super::types::{TypeConfig, Vote};
use super::wire;
use crate::env::{Class, Duplex, TransportError};
use crate::peer::{CallError, Caller};

/// The most appends without an answer; must be below the bound of a connection, so that an
/// answer always finds room and the two ends cannot wait for each other.
const APPENDS_IN_FLIGHT_MAX: usize = 32;

type RpcError = RPCError<TypeConfig>;
type StreamItem = Result<StreamAppendResult<TypeConfig>, RpcError>;

/// Makes the clients that openraft asks for.
#[derive(Clone)]
pub(crate) struct Network {
    caller: Caller,
    shelf: Shelf,
    silence: Duration,
}

impl Network {
    /// `silence` is how long an append may stay without an answer.
    pub(crate) fn new(caller: Caller, shelf: Shelf, silence: Duration) -> Network {
        Network {
            caller,
            shelf,
            silence,
        }
    }
}

impl RaftNetworkFactory<TypeConfig> for Network {
    type Network = Client;

    async fn new_client(&mut self, target: u64, node: &Member) -> Client {
        let target = NodeId(target);
        self.caller.directory().learn_member(target, node);
        Client {
            network: self.clone(),
            target,
            heartbeats: false,
            line: None,
        }
    }

    async fn new_heartbeat_client(&mut self, target: u64, node: &Member) -> Client {
        Client {
            heartbeats: true,
            ..self.new_client(target, node).await
        }
    }
}

/// A connection for appends that is between two streams.
struct Line {
    duplex: Duplex,
}

/// The way to one peer.
pub(crate) struct Client {
    network: Network,
    target: NodeId,
    /// Whether what is appended are heartbeats, which are questions and wait behind nothing.
    heartbeats: bool,
    line: Option<Line>,
}

impl Client {
    async fn ask(&self, kind: u32, body: Bytes, option: &RPCOption) -> Result<Bytes, RpcError> {
        let ttl = option.soft_ttl();
        let deadline = Instant::now() + ttl;
        let answer = self
            .network
            .caller
            .call(self.target, kind, body, deadline)
            .await;
        answer.map_err(|error| match error {
            CallError::Unreachable(_) | CallError::Refused(_) => {
                RPCError::Unreachable(Unreachable::new(&error))
            }
            CallError::Broken => RPCError::Network(NetworkError::new(&error)),
            CallError::Timeout => self.timeout(ttl),
        })
    }

    /// Heartbeats, one question each.
    fn beat<S>(&mut self, input: S, option: RPCOption) -> BoxStream<'_, StreamItem>
    where
        S: Stream<Item = AppendEntriesRequest<TypeConfig>> + Send + Unpin + 'static,
    {
        let beats = futures::stream::unfold(Some((self, input, option)), |state| async move {
            let (client, mut input, option) = state?;
            let request = input.next().await?;
            let mut frames = wire::append_out(&request);
            let body = frames.swap_remove(0);
            let answer = match client.ask(kind::HEARTBEAT, body, &option).await {
                Ok(answer) => wire::append_answer_in(&answer)
                    .ok_or_else(|| broken("not an answer to a heartbeat")),
                Err(error) => Err(error),
            };
            let next = matches!(answer, Ok(Ok(_))).then_some((client, input, option));
            Some((answer, next))
        });
        beats.boxed()
    }

    fn timeout(&self, after: Duration) -> RpcError {
        RPCError::Timeout(Timeout {
            action: RPCTypes::AppendEntries,
            id: self.network.caller.directory().myself().node.0,
            target: self.target.0,
            timeout: after,
        })
    }

    /// A connection for appends: the one of the last stream if that ended well, or a new one.
    async fn line(&mut self) -> Result<Line, RpcError> {
        let ttl = self.network.silence;
        if let Some(line) = self.line.take()
            && !line.duplex.tx.is_closed()
        {
            return Ok(line);
        }
        let directory = self.network.caller.directory();
        let connecting = directory.connect(self.target, Class::Append);
        match timeout_at(Instant::now() + ttl, connecting).await {
            Ok(Ok(duplex)) => Ok(Line { duplex }),
            Ok(Err(error)) => Err(unreachable(&error)),
            Err(_elapsed) => Err(self.timeout(ttl)),
        }
    }
}

pub(super) fn unreachable(error: &TransportError) -> RpcError {
    RPCError::Unreachable(Unreachable::new(error))
}

pub(super) fn broken(what: &str) -> RpcError {
    RPCError::Network(NetworkError::from_string(what))
}

/// A stream of appends on its way.
struct Appends<'s, S> {
    client: &'s mut Client,
    line: Line,
    /// The requests that are still to come; none after the last one.
    input: Option<S>,
    /// The requests without an answer, oldest first: when each was sent.
    in_flight: VecDeque<Instant>,
}

enum Step {
    Send(Vec<Bytes>),
    InputEnded,
    Answer(Option<Bytes>),
    Silent,
}

impl<S> Appends<'_, S>
where
    S: Stream<Item = AppendEntriesRequest<TypeConfig>> + Send + Unpin + 'static,
{
    /// The next answer; none when all are in. Cancel safe: what is taken out of the input is
    /// either sent or was never taken.
    async fn next(&mut self) -> Option<Result<wire::AppendResult, RpcError>> {
        loop {
            if self.input.is_none() && self.in_flight.is_empty() {
                return None;
            }
            let silence = self.client.network.silence;
            match self.step().await {
                Step::Send(frames) => {
                    self.in_flight.push_back(Instant::now());
                    for frame in frames {
                        let sending = self.line.duplex.tx.send(frame);
                        match timeout_at(Instant::now() + silence, sending).await {
                            Ok(Ok(())) => {}
                            Ok(Err(_closed)) => return Some(Err(broken("the connection broke"))),
                            Err(_elapsed) => return Some(Err(self.client.timeout(silence))),
                        }
                    }
                }
                Step::InputEnded => self.input = None,
                Step::Answer(frame) => {
                    let answer = frame.as_ref().and_then(wire::append_answer_in);
                    let Some(answer) = answer else {
                        return Some(Err(broken("the connection broke")));
                    };
                    if self.in_flight.pop_front().is_none() {
                        return Some(Err(broken("an answer came to nothing")));
                    }
                    return Some(Ok(answer));
                }
                Step::Silent => return Some(Err(self.client.timeout(silence))),
            }
        }
    }

    async fn step(&mut self) -> Step {
        let oldest = self.in_flight.front().copied();
        let silent_at = oldest.map(|sent| sent + self.client.network.silence);
        let may_send = self.in_flight.len() < APPENDS_IN_FLIGHT_MAX;
        let input = self.input.as_mut().filter(|_input| may_send);
        tokio::select! {
            // Answers first: they move the commit index.
            biased;
            frame = self.line.duplex.rx.recv() => Step::Answer(frame),
            request = async {
                match input {
                    Some(input) => input.next().await,
                    None => std::future::pending().await,
                }
            } => match request {
                Some(request) => Step::Send(wire::append_out(&request)),
                None => Step::InputEnded,
            },
            () = async {
                match silent_at {
                    Some(at) => tokio::time::sleep_until(at).await,
                    None => std::future::pending().await,
                }
            } => Step::Silent,
        }
    }
}

impl RaftNetworkV2<TypeConfig> for Client {
    type SnapshotData = SnapshotData;

    /// Only heartbeats come here: see `stream_append`.
    async fn append_entries(
        &mut self,
        request: AppendEntriesRequest<TypeConfig>,
        option: RPCOption,
    ) -> Result<AppendEntriesResponse<TypeConfig>, RpcError> {
        let mut results = self
            .stream_append(futures::stream::iter([request]), option)
            .await?;
        match results.next().await {
            Some(result) => Ok(AppendEntriesResponse::from(result?)),
            None => Err(broken("no answer")),
        }
    }

    fn stream_append<S>(
        &mut self,
        mut input: S,
        option: RPCOption,
    ) -> BoxFuture<'_, Result<BoxStream<'_, StreamItem>, RpcError>>
    where
        S: Stream<Item = AppendEntriesRequest<TypeConfig>> + OptionalSend + Unpin + 'static,
    {
        Box::pin(async move {
            if self.heartbeats {
                return Ok(self.beat(input, option));
            }
            // The first request comes late after a failure: without it a peer that is down would
            // be dialled in a tight circle.
            let Some(first) = input.next().await else {
                return Ok(futures::stream::empty().boxed());
            };
            let line = self.line().await?;
            let appends = Appends {
                client: self,
                line,
                input: Some(futures::stream::iter([first]).chain(input)),
                in_flight: VecDeque::new(),
            };
            let results = futures::stream::unfold(Some(appends), |appends| async move {
                let mut appends = appends?;
                match appends.next().await {
                    Some(Ok(Ok(matching))) => Some((Ok(Ok(matching)), Some(appends))),
                    // The follower ends its stream with an error, and so do we.
                    Some(result) => Some((result, None)),
                    None => {
                        appends.client.line = Some(appends.line);
                        None
                    }
                }
            });
            Ok(results.boxed())
        })
    }

    async fn vote(
        &mut self,
        request: VoteRequest<TypeConfig>,
        option: RPCOption,
    ) -> Result<VoteResponse<TypeConfig>, RpcError> {
        let body = wire::vote_request_out(&request);
        let answer = self.ask(kind::VOTE, body, &option).await?;
        wire::vote_response_in(&answer).ok_or_else(|| broken("not an answer to a vote"))
    }

    async fn pre_vote(
        &mut self,
        request: VoteRequest<TypeConfig>,
        option: RPCOption,
    ) -> Result<VoteResponse<TypeConfig>, RpcError> {
        let body = wire::vote_request_out(&request);
        let answer = self.ask(kind::PRE_VOTE, body, &option).await?;
        wire::vote_response_in(&answer).ok_or_else(|| broken("not an answer to a vote"))
    }

    async fn full_snapshot(
        &mut self,
        vote: Vote,
        snapshot: Snapshot,
        cancel: impl Future<Output = ReplicationClosed> + OptionalSend + 'static,
        option: RPCOption,
    ) -> Result<SnapshotResponse<TypeConfig>, StreamingError<TypeConfig>> {
        let directory = self.network.caller.directory();
        let sending = send_snapshot::send(
            directory,
            &self.network.shelf,
            self.target,
            vote,
            snapshot,
            option.soft_ttl(),
        );
        tokio::select! {
            biased;
            closed = cancel => Err(StreamingError::Closed(closed)),
            sent = sending => sent,
        }
    }

    async fn transfer_leader(
        &mut self,
        request: TransferLeaderRequest<TypeConfig>,
        option: RPCOption,
    ) -> Result<TransferLeaderResponse<TypeConfig>, RpcError> {
        let body = wire::transfer_out(&request);
        self.ask(kind::TRANSFER, body, &option).await?;
        Ok(Ok(()))
    }
}
