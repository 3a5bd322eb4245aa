//! The whole state of a node, piece by piece.

use std::time::Duration;

use bytes::Bytes;
use hstore_core::id::{LogIndex, Revision};
use hstore_proto::etcdserverpb::maintenance_client::MaintenanceClient;
use hstore_proto::etcdserverpb::{SnapshotRequest, SnapshotResponse, StatusRequest};
use hstore_proto::metadata;
use tonic::{Request, Streaming};

use crate::address::Address;
use crate::call::Kind;
use crate::client::{Client, revision};
use crate::error::Error;
use crate::fault::Fault;

/// How long a snapshot may take, whatever one request may.
const TIMEOUT: Duration = Duration::from_hours(1);

/// A snapshot on its way. It comes from one node and cannot be resumed.
pub struct Snapshot {
    answers: Streaming<SnapshotResponse>,
    first: Option<SnapshotResponse>,
    /// The node that it comes from.
    pub address: Address,
    /// The revision of the state.
    pub revision: Revision,
    /// The last log entry whose effect is in the state.
    pub applied: LogIndex,
    /// How much is to come, the trailer not counted.
    pub remaining_bytes: u64,
}

impl Client {
    /// The state of the node that answers, as it is now. Its bytes are those of a backup file; the
    /// last 32 are the SHA-256 of those before them, which whoever keeps them has to check.
    pub async fn snapshot(&self) -> Result<Snapshot, Error> {
        let ask =
            |channel, request| async move { MaintenanceClient::new(channel).status(request).await };
        // A node that answers is found with the patience of any call. What it then sends comes once:
        // to try again for as long as a snapshot may take would be to wait for nothing.
        let found = self
            .shared
            .call(Kind::Read, self.patience(), StatusRequest {}, ask);
        let (_status, address) = found.await?;
        let channel = self.shared.pool().channel(&address)?;
        let mut request = Request::new(SnapshotRequest {});
        request.set_timeout(TIMEOUT);
        // The call before this one has proved who asks, where that is asked.
        if let Some(Some(token)) = self.shared.proved() {
            request.metadata_mut().insert(metadata::TOKEN, token);
        }
        self.shared.mean(request.metadata_mut());
        let begun = MaintenanceClient::new(channel).snapshot(request).await;
        let mut answers = begun.map_err(|status| broken(&status))?.into_inner();
        let first = answers.message().await.map_err(|status| broken(&status))?;
        let first = first.ok_or(Error::Nonsense {
            what: "a snapshot without a piece",
        })?;
        Ok(Snapshot {
            answers,
            address,
            revision: revision(first.header.as_ref())?,
            applied: LogIndex(first.applied_index),
            remaining_bytes: first.remaining_bytes + first.blob.len() as u64,
            first: Some(first),
        })
    }
}

impl Snapshot {
    /// The next bytes; none after the last ones.
    pub async fn next(&mut self) -> Result<Option<Bytes>, Error> {
        let answer = match self.first.take() {
            Some(first) => Some(first),
            None => self
                .answers
                .message()
                .await
                .map_err(|status| broken(&status))?,
        };
        Ok(answer.map(|answer| {
            self.remaining_bytes = answer.remaining_bytes;
            answer.blob
        }))
    }
}

/// The end of a stream that is not its end.
fn broken(status: &tonic::Status) -> Error {
    let fault = Fault::of(status);
    Error::Refused {
        code: fault.code,
        message: fault.message,
    }
}
