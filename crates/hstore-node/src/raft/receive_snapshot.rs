//! Receives a snapshot file from a leader and hands it to consensus.
//!
//! Invariants: (1) at most one file is received at a time, and what has come of it outlives its
//! connection, so that the leader goes on where it stopped; (2) consensus sees a file only after
//! every checksum in it held; (3) the sender hears of progress while the file is checked and
//! installed, so
//! that silence always means a broken peer.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use hstore_core::id::{ClusterId, NodeId};
use hstore_storage::snapshot::Receiver;

use super::snapshot::{Meta, Received, Shelf, Snapshot, SnapshotData, meta};
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
    cluster: ClusterId,
    shelf: Shelf,
    partial: Arc<Mutex<Option<Partial>>>,
}

impl Inbox {
    pub(super) fn new(cluster: ClusterId, shelf: Shelf) -> Inbox {
        Inbox {
            cluster,
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
        loop {
            let received = partial.receiver.received_bytes();
            let pushed = match say(duplex, received, None).await {
                Ok(()) if received >= partial.len => break,
                Ok(()) => read_frame(&mut duplex.rx).await,
                Err(_broken) => None,
            };
            let Some(push) = pushed else {
                // What has come stays for the next connection.
                self.put_back(partial);
                return Err("the connection broke".to_owned());
            };
            partial = self.write(partial, push).await?;
        }
        self.hand_over(vote, partial, raft, duplex).await
    }

    /// Writes a piece, on the lane; a file that cannot be written is given up.
    async fn write(&self, mut partial: Partial, push: SnapshotPush) -> Result<Partial, String> {
        let writing = self.shelf.lane().run(move || {
            match partial.receiver.write_at(push.offset, &push.bytes) {
                Ok(()) => Ok(partial),
                Err(error) => Err(given_up(partial, &error)),
            }
        });
        writing.await.map_err(|closed| closed.to_string())?
    }

    /// Checks the whole file, on the lane; a file that is not what was announced is given up.
    async fn check(&self, mut partial: Partial) -> Result<Partial, String> {
        let cluster = self.cluster;
        let checking = self.shelf.lane().run(move || {
            let header = match partial.receiver.check() {
                Ok(header) => header.clone(),
                Err(error) => return Err(given_up(partial, &error)),
            };
            let announced = meta(header.last, &header.membership)
                .is_ok_and(|meta| meta == partial.meta && header.cluster_id == cluster);
            if !announced {
                return Err(given_up(
                    partial,
                    &"it is not the snapshot that was announced",
                ));
            }
            Ok(partial)
        });
        checking.await.map_err(|closed| closed.to_string())?
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

    async fn hand_over(
        &self,
        vote: Vote,
        partial: Partial,
        raft: &OpenRaft,
        duplex: &mut Duplex,
    ) -> Result<(), String> {
        let received = partial.len;
        let installing = async {
            let partial = self.check(partial).await?;
            let snapshot = Snapshot {
                meta: partial.meta,
                snapshot: SnapshotData::Received(Received::new(partial.receiver)),
            };
            let installed = raft.install_full_snapshot(vote, snapshot).await;
            installed.map_err(|fatal| fatal.to_string())
        };
        tokio::pin!(installing);
        loop {
            tokio::select! {
                biased;
                installed = &mut installing => {
                    return say(duplex, received, Some(vote_out(&installed?.vote))).await;
                }
                () = tokio::time::sleep(STILL_HERE) => say(duplex, received, None).await?,
            }
        }
    }
}

fn given_up(partial: Partial, why: &impl ToString) -> String {
    let why = why.to_string();
    match partial.receiver.abandon() {
        Ok(()) => why,
        Err(error) => format!("{why}; {error}"),
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
