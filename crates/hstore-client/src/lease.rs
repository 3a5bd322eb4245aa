//! Leases: how a program says for how long keys are needed.

use std::time::Duration;

use bytes::Bytes;
use hstore_core::id::Revision;
use hstore_proto::etcdserverpb::lease_client::LeaseClient;
use hstore_proto::etcdserverpb::{
    LeaseGrantRequest, LeaseKeepAliveRequest, LeaseKeepAliveResponse, LeaseLeasesRequest,
    LeaseRevokeRequest, LeaseTimeToLiveRequest,
};
use tonic::transport::Channel;
use tonic::{Request, Response, Status};

use crate::call::Kind;
use crate::client::{ANSWER_BYTES_MAX, Client, revision};
use crate::error::Error;

/// A lease as of the answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lease {
    /// Its id.
    pub id: i64,
    /// How long it lives without a renewal.
    pub ttl: Duration,
    /// How much of that is left, in whole seconds.
    pub remaining: Duration,
    /// The keys that go with it, where they were asked for.
    pub keys: Vec<Bytes>,
}

impl Client {
    /// Makes a lease that lives for `ttl` without a renewal, counted in whole seconds and raised when it
    /// is too short; the time in the answer counts. The node draws the id when none is given.
    pub async fn grant_lease(&self, ttl: Duration, id: Option<i64>) -> Result<Lease, Error> {
        let request = LeaseGrantRequest {
            ttl: whole_seconds(ttl),
            id: id.unwrap_or(0),
        };
        let send = |channel, request| async move { leases(channel).lease_grant(request).await };
        let granted = self
            .shared
            .call(Kind::Write, self.patience(), request, send);
        let (granted, _) = granted.await?;
        let ttl = seconds(granted.ttl);
        Ok(Lease {
            id: granted.id,
            ttl,
            remaining: ttl,
            keys: Vec::new(),
        })
    }

    /// Ends a lease and deletes its keys; the revision that did.
    pub async fn revoke_lease(&self, id: i64) -> Result<Revision, Error> {
        let request = LeaseRevokeRequest { id };
        let send = |channel, request| async move { leases(channel).lease_revoke(request).await };
        let revoked = self
            .shared
            .call(Kind::Write, self.patience(), request, send);
        revision(revoked.await?.0.header.as_ref())
    }

    /// Gives a lease its full time again; that time, or none when there is no such lease.
    pub async fn renew_lease(&self, id: i64) -> Result<Option<Duration>, Error> {
        let request = LeaseKeepAliveRequest { id };
        // To renew it twice is to renew it later.
        let renewed = self
            .shared
            .call(Kind::Read, self.patience(), request, renew);
        let (renewed, _) = renewed.await?;
        Ok((renewed.ttl > 0).then(|| seconds(renewed.ttl)))
    }

    /// What is known of a lease; none when there is no such lease.
    pub async fn lease(&self, id: i64, with_keys: bool) -> Result<Option<Lease>, Error> {
        let request = LeaseTimeToLiveRequest {
            id,
            keys: with_keys,
        };
        let send =
            |channel, request| async move { leases(channel).lease_time_to_live(request).await };
        let found = self.shared.call(Kind::Read, self.patience(), request, send);
        let (found, _) = found.await?;
        Ok((found.ttl >= 0).then(|| Lease {
            id: found.id,
            ttl: seconds(found.granted_ttl),
            remaining: seconds(found.ttl),
            keys: found.keys,
        }))
    }

    /// The ids of all leases.
    pub async fn leases(&self) -> Result<Vec<i64>, Error> {
        let send = |channel, request| async move { leases(channel).lease_leases(request).await };
        let request = LeaseLeasesRequest {};
        let found = self.shared.call(Kind::Read, self.patience(), request, send);
        let (found, _) = found.await?;
        Ok(found.leases.iter().map(|lease| lease.id).collect())
    }
}

/// One renewal over a stream of its own.
async fn renew(
    channel: Channel,
    request: Request<LeaseKeepAliveRequest>,
) -> Result<Response<LeaseKeepAliveResponse>, Status> {
    let (metadata, extensions, message) = request.into_parts();
    let one = futures::stream::iter([message]);
    let request = Request::from_parts(metadata, extensions, one);
    let answers = leases(channel).lease_keep_alive(request).await?;
    let (metadata, mut answers, extensions) = answers.into_parts();
    let first = answers.message().await?;
    let first = first.ok_or_else(|| Status::unavailable("the stream ended without an answer"))?;
    Ok(Response::from_parts(metadata, first, extensions))
}

/// What a lease may live for, rounded up.
fn whole_seconds(time: Duration) -> i64 {
    let partial = u64::from(time.subsec_nanos() > 0);
    let seconds = time.as_secs().saturating_add(partial);
    i64::try_from(seconds).unwrap_or(i64::MAX)
}

fn seconds(count: i64) -> Duration {
    Duration::from_secs(u64::try_from(count).unwrap_or(0))
}

fn leases(channel: Channel) -> LeaseClient<Channel> {
    LeaseClient::new(channel).max_decoding_message_size(ANSWER_BYTES_MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_rounded_up_to_whole_seconds() {
        for (millis, expected) in [(0, 0), (1, 1), (1000, 1), (1001, 2), (30_000, 30)] {
            assert_eq!(whole_seconds(Duration::from_millis(millis)), expected);
        }
        assert_eq!(whole_seconds(Duration::MAX), i64::MAX);
    }
}
