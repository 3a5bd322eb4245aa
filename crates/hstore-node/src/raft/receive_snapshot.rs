//! Receives a snapshot file from a leader and hands it to consensus.
//!
//! Invariants: (1) at most one file is received at a time, and what has come of it outlives its
//! connection, so that the leader goes on where it stopped; (2) consensus sees a file only after
//! every checksum in it held; (3) the sender hears of progress while the file is installed, so
//! that silence always means a broken peer.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use hstore_core::id::NodeId;
use hstore_storage::snapshot::Receiver;

use super::snapshot::{Meta, Shelf, Snapshot, SnapshotData};
use super::types::Vote;
use super::wire::{SnapshotPull, SnapshotPush, snapshot_begin_in, vote_out};
use super::{OpenRaft, wire};
use crate::env::Duplex;
use crate::peer::{encode, read_frame};

/// How often the sender hears that the file is still being installed.
const STILL_HERE: Duration = Duration::from_millis(500);

/// A file that has come in part.
struct Partial {
    meta: Meta,
    len: u64,
    receiver: Receiver,
}

/// The receiving end of one node.
#[derive(Clone)]
pub(super) struct Inbox {
    shelf: Shelf,
    partial: Arc<Mutex<Option<Partial>>>,
}

impl Inbox {
    pub(super) fn new(shelf: Shelf) -> Inbox {
        Inbox {
            shelf,
            partial: Arc::default(),
        }
    }

    /// Serves one connection of a leader.
    pub(super) async fn serve(&self, from: NodeId, raft: OpenRaft, mut duplex: Duplex) {
        let first: Option<SnapshotPush> = read_frame(&mut duplex.rx).await;
        let Some(begin) = first.and_then(|push| push.begin) else {
            return;
        };
        let Some((vote, meta)) = snapshot_begin_in(&begin) else {
            return;
        };
        tracing::info!(%from, last = ?meta.last_log_id, bytes = begin.len, "receiving a snapshot");
        if let Err(failed) = self
            .receive(vote, meta, begin.len, &raft, &mut duplex)
            .await
        {
            tracing::warn!(%from, "a snapshot was not received: {failed}");
            let message = SnapshotPull {
                failed,
                ..SnapshotPull::default()
            };
            // The sender may be gone; it begins again when it is not.
            let _gone = duplex.tx.send(encode(&message)).await;
        }
    }

    async fn receive(
        &self,
        vote: Vote,
        meta: Meta,
        len: u64,
        raft: &OpenRaft,
        duplex: &mut Duplex,
    ) -> Result<(), String> {
        let mut partial = self.resume(meta, len).await?;
        let result = self.take_in(&mut partial, duplex).await;
        if let Err(failed) = result {
            // What has come stays for the next connection.
            self.put_back(partial);
            return Err(failed);
        }
        self.hand_over(vote, partial, raft, duplex).await
    }

    /// What has come of this file before, or a new beginning.
    async fn resume(&self, meta: Meta, len: u64) -> Result<Partial, String> {
        let before = self
            .partial
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take();
        let shelf = self.shelf.clone();
        let resumed = self.shelf.lane().run(move || {
            if let Some(before) = before {
                if before.meta == meta && before.len == len {
                    return Ok(before);
                }
                before.receiver.abandon().map_err(|e| e.to_string())?;
            }
            let receiver = shelf.receive().map_err(|error| error.to_string())?;
            Ok(Partial {
                meta,
                len,
                receiver,
            })
        });
        resumed.await.map_err(|closed| closed.to_string())?
    }

    fn put_back(&self, partial: Partial) {
        *self.partial.lock().unwrap_or_else(PoisonError::into_inner) = Some(partial);
    }

    async fn take_in(&self, partial: &mut Partial, duplex: &mut Duplex) -> Result<(), String> {
        loop {
            let received = partial.receiver.received_bytes();
            say(duplex, received, None).await?;
            if received >= partial.len {
                return Ok(());
            }
            let push: SnapshotPush = read_frame(&mut duplex.rx)
                .await
                .ok_or("the connection broke")?;
            // A piece is a bounded write into the page cache; pieces are few.
            partial
                .receiver
                .write_at(push.offset, &push.bytes)
                .map_err(|error| error.to_string())?;
        }
    }

    async fn hand_over(
        &self,
        vote: Vote,
        partial: Partial,
        raft: &OpenRaft,
        duplex: &mut Duplex,
    ) -> Result<(), String> {
        let received = partial.len;
        let snapshot = Snapshot {
            meta: partial.meta,
            snapshot: SnapshotData::Received(Box::new(partial.receiver)),
        };
        let installing = raft.install_full_snapshot(vote, snapshot);
        tokio::pin!(installing);
        loop {
            tokio::select! {
                biased;
                installed = &mut installing => {
                    let response = installed.map_err(|fatal| fatal.to_string())?;
                    return say(duplex, received, Some(vote_out(&response.vote))).await;
                }
                () = tokio::time::sleep(STILL_HERE) => say(duplex, received, None).await?,
            }
        }
    }
}

async fn say(duplex: &Duplex, received: u64, done: Option<wire::VoteWire>) -> Result<(), String> {
    let message = SnapshotPull {
        received,
        done,
        failed: String::new(),
    };
    let sent = duplex.tx.send(encode(&message)).await;
    sent.map_err(|_closed| "the connection broke".to_owned())
}
