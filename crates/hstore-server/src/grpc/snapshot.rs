//! etcd's Snapshot: the whole state of this node, as a stream of bytes that makes a file.
//!
//! Invariants: (1) the last message is the SHA-256 of all that was sent before it; (2) a listener
//! that does not read has a few pieces wait for it, and loses its place after a while; (3) the stream
//! ends with an error that says why, or with its trailer.

use std::pin::Pin;
use std::time::Duration;

use bytes::Bytes;
use futures::{Stream, StreamExt as _};
use hstore_node::{Backup, Node, NodeError};
use hstore_proto::etcdserverpb::{SnapshotRequest, SnapshotResponse};
use tokio::sync::mpsc;
use tokio::time::{Instant, timeout_at};
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Request, Response, Status};

use super::call::{Call, node_error};
use super::maintenance::ETCD_VERSION;
use super::render;

/// How large the pieces are that etcd's clients expect.
const BLOB_BYTES: usize = 32 * 1024;

/// How much is read at a time.
const READ_BYTES: usize = 1024 * 1024;

/// How many pieces wait for a listener that does not read.
const WAITING_MAX: usize = 16;

/// How long a listener may not read; then its place is given to others.
const STALL_MAX: Duration = Duration::from_mins(1);

/// How long a snapshot may take when the caller names no time: as long as any call may.
const TIMEOUT: Duration = Duration::from_hours(1);

/// The answers of the call.
pub(super) type Answers = Pin<Box<dyn Stream<Item = Result<SnapshotResponse, Status>> + Send>>;

/// Begins a snapshot of what this node has applied.
pub(super) async fn begin(
    node: &Node,
    request: Request<SnapshotRequest>,
) -> Result<Response<Answers>, Status> {
    let call = Call::read(request.metadata(), node, TIMEOUT)?;
    let backup = node
        .backup(call.deadline)
        .await
        .map_err(|error| node_error(&error))?;
    let (answers, waiting) = mpsc::channel(WAITING_MAX);
    let sender = Sender {
        node: node.clone(),
        answers,
        deadline: call.deadline,
    };
    tokio::spawn(sender.run(backup));
    Ok(Response::new(ReceiverStream::new(waiting).boxed()))
}

/// Sends a snapshot to one listener.
struct Sender {
    node: Node,
    answers: mpsc::Sender<Result<SnapshotResponse, Status>>,
    deadline: Instant,
}

impl Sender {
    async fn run(self, backup: Backup) {
        if let Err(Some(error)) = self.send_all(backup).await {
            // The listener may be gone, or its line full: then silence has to do.
            let _unheard = self.answers.try_send(Err(node_error(&error)));
        }
    }

    /// Sends everything. No error means that nobody listens any more.
    async fn send_all(&self, mut backup: Backup) -> Result<(), Option<NodeError>> {
        let header = render::header(backup.header());
        let applied_index = backup.applied().index.0;
        let mut first = Some((header, applied_index));
        let mut remaining = backup.remaining_bytes();
        while let Some(mut piece) = backup.next(READ_BYTES, self.deadline).await? {
            while !piece.is_empty() {
                let blob = piece.split_to(piece.len().min(BLOB_BYTES));
                remaining -= blob.len() as u64;
                let (header, applied_index) = first.take().unzip();
                self.send(SnapshotResponse {
                    header,
                    applied_index: applied_index.unwrap_or(0),
                    ..message(remaining, blob)
                })
                .await?;
            }
        }
        let trailer = backup.trailer().ok_or(NodeError::Timeout)?;
        self.send(message(0, Bytes::copy_from_slice(&trailer)))
            .await
    }

    async fn send(&self, answer: SnapshotResponse) -> Result<(), Option<NodeError>> {
        let patience = self.deadline.min(Instant::now() + STALL_MAX);
        tokio::select! {
            biased; // The end comes first: nothing is told of a node that stopped.
            _reason = self.node.failed() => Err(Some(NodeError::ShuttingDown)),
            sent = timeout_at(patience, self.answers.send(Ok(answer))) => match sent {
                Ok(Ok(())) => Ok(()),
                Ok(Err(_gone)) => Err(None),
                Err(_elapsed) => Err(Some(NodeError::Timeout)),
            }
        }
    }
}

fn message(remaining_bytes: u64, blob: Bytes) -> SnapshotResponse {
    SnapshotResponse {
        header: None,
        remaining_bytes,
        blob,
        version: ETCD_VERSION.to_owned(),
        applied_index: 0,
    }
}
