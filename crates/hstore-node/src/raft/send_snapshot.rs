//! Sends a snapshot file to a peer: a begin, the bytes in pieces, and the vote of the peer when
//! it has installed it.
//!
//! Invariants: (1) at most a few pieces are on their way without having been received; (2) the
//! peer says where to begin, so a broken connection costs what was on its way and no more; (3)
//! silence for `ttl` ends it.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use hstore_core::id::NodeId;
use hstore_storage::snapshot::SnapshotReader;
use openraft::errors::StreamingError;
use openraft::raft::SnapshotResponse;
use tokio::time::timeout;

use super::network::{broken, unreachable};
use super::snapshot::{Shelf, Snapshot, SnapshotData};
use super::types::{TypeConfig, Vote};
use super::wire::{SnapshotPull, SnapshotPush, snapshot_begin_out, vote_in};
use crate::env::{Class, Duplex};
use crate::peer::{Directory, decode, encode};

/// The size of a piece.
const PIECE_BYTES: usize = 256 * 1024;

/// The most bytes on their way; then the sender waits for the peer.
const BYTES_IN_FLIGHT_MAX: u64 = 4 * 1024 * 1024;

type SendError = StreamingError<TypeConfig>;

/// Sends a snapshot and waits until the peer has installed it or refuses it.
pub(super) async fn send(
    directory: &Directory,
    shelf: &Shelf,
    to: NodeId,
    vote: Vote,
    snapshot: Snapshot,
    ttl: Duration,
) -> Result<SnapshotResponse<TypeConfig>, SendError> {
    let SnapshotData::File(path) = snapshot.snapshot else {
        return Err(broken("a snapshot that is not a file cannot be sent").into());
    };
    let disk = shelf.disk().clone();
    let opened = shelf
        .lane()
        .run(move || SnapshotReader::open(&*disk, &path))
        .await;
    // The file may just have been replaced by a newer one: openraft asks again for the newest.
    let reader = match opened {
        Ok(Ok(reader)) => Arc::new(reader),
        Ok(Err(error)) => return Err(broken(&error.to_string()).into()),
        Err(closed) => return Err(broken(&closed.to_string()).into()),
    };
    let connecting = timeout(ttl, directory.connect(to, Class::Snapshot)).await;
    let mut duplex = match connecting {
        Ok(connected) => connected.map_err(|error| unreachable(&error))?,
        Err(_elapsed) => return Err(broken("no connection in time").into()),
    };
    let len = reader.len_bytes();
    push(
        &duplex,
        ttl,
        SnapshotPush {
            begin: Some(snapshot_begin_out(&vote, &snapshot.meta, len)),
            ..SnapshotPush::default()
        },
    )
    .await?;
    let mut received = match pull(&mut duplex, ttl).await? {
        Pulled::Received(received) => received,
        Pulled::Done(response) => return Ok(response),
    };
    let mut sent = received;
    loop {
        while sent < len && sent.saturating_sub(received) < BYTES_IN_FLIGHT_MAX {
            let bytes = piece(shelf, &reader, sent).await?;
            let end = sent + bytes.len() as u64;
            let message = SnapshotPush {
                begin: None,
                offset: sent,
                bytes,
            };
            push(&duplex, ttl, message).await?;
            sent = end;
        }
        match pull(&mut duplex, ttl).await? {
            Pulled::Received(now) => received = now,
            Pulled::Done(response) => return Ok(response),
        }
    }
}

async fn piece(
    shelf: &Shelf,
    reader: &Arc<SnapshotReader>,
    offset: u64,
) -> Result<Bytes, SendError> {
    let reader = reader.clone();
    let read = shelf
        .lane()
        .run(move || reader.read_raw(offset, PIECE_BYTES))
        .await;
    match read {
        Ok(Ok(bytes)) if !bytes.is_empty() => Ok(bytes),
        Ok(Ok(_empty)) => Err(broken("the snapshot file is shorter than it was").into()),
        Ok(Err(error)) => Err(broken(&error.to_string()).into()),
        Err(closed) => Err(broken(&closed.to_string()).into()),
    }
}

async fn push(duplex: &Duplex, ttl: Duration, message: SnapshotPush) -> Result<(), SendError> {
    match timeout(ttl, duplex.tx.send(encode(&message))).await {
        Ok(Ok(())) => Ok(()),
        Ok(Err(_closed)) => Err(broken("the connection broke").into()),
        Err(_elapsed) => Err(broken("the peer does not read").into()),
    }
}

enum Pulled {
    Received(u64),
    Done(SnapshotResponse<TypeConfig>),
}

async fn pull(duplex: &mut Duplex, ttl: Duration) -> Result<Pulled, SendError> {
    let frame = match timeout(ttl, duplex.rx.recv()).await {
        Ok(Some(frame)) => frame,
        Ok(None) => return Err(broken("the connection broke").into()),
        Err(_elapsed) => return Err(broken("the peer is silent").into()),
    };
    let message: Option<SnapshotPull> = decode(&frame);
    let Some(message) = message else {
        return Err(broken("a frame was not understood").into());
    };
    if !message.failed.is_empty() {
        return Err(broken(&message.failed).into());
    }
    Ok(match message.done {
        Some(vote) => Pulled::Done(SnapshotResponse::new(vote_in(vote))),
        None => Pulled::Received(message.received),
    })
}
