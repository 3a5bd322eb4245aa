//! The Lease service: answers and refusals as etcd's clients expect them.

use std::time::Duration;

use hstore_proto::etcdserverpb::lease_client::LeaseClient;
use hstore_proto::etcdserverpb::{
    LeaseGrantRequest, LeaseGrantResponse, LeaseKeepAliveRequest, LeaseLeasesRequest,
    LeaseRevokeRequest, LeaseTimeToLiveRequest, LeaseTimeToLiveResponse, PutRequest, RangeRequest,
};
use hstore_proto::{metadata, status};
use tokio::sync::mpsc;
use tokio::time::{Instant, timeout};
use tokio_stream::wrappers::ReceiverStream;
use tonic::transport::Channel;
use tonic::{Code, Request, Status};

use super::{LONG, World, text, world};

impl World {
    fn leases(&self) -> LeaseClient<Channel> {
        LeaseClient::new(self.channel.clone())
    }

    async fn grant(&self, id: i64, ttl: i64) -> Result<LeaseGrantResponse, Status> {
        let request = LeaseGrantRequest { ttl, id };
        let granted = self.leases().lease_grant(request).await?;
        Ok(granted.into_inner())
    }

    async fn time_to_live(&self, id: i64) -> LeaseTimeToLiveResponse {
        let request = LeaseTimeToLiveRequest { id, keys: true };
        let answer = self.leases().lease_time_to_live(request).await;
        answer.unwrap().into_inner()
    }

    async fn put_with(&self, key: &str, lease: i64) -> Result<(), Status> {
        let request = PutRequest {
            key: text(key),
            lease,
            ..PutRequest::default()
        };
        self.kv().put(request).await.map(drop)
    }

    async fn count(&self) -> i64 {
        let request = RangeRequest {
            key: text("\0"),
            range_end: text("\0"),
            count_only: true,
            ..RangeRequest::default()
        };
        self.kv().range(request).await.unwrap().into_inner().count
    }
}

/// Another node has drawn nothing of what the first one did, so this is its answer, too.
#[tokio::test]
async fn a_grant_that_is_repeated_answers_the_lease_that_the_first_attempt_made() {
    let world = world().await;
    let asked = |id: i64, name: &str| {
        let mut request = Request::new(LeaseGrantRequest { ttl: 60, id });
        let name = name.parse().unwrap();
        request.metadata_mut().insert(metadata::REQUEST, name);
        request
    };
    let mut made = Vec::new();
    for name in ["abc-1-1-0", "abc-1-1-0", "abc-2-1-0", "abd-1-1-0"] {
        let granted = world.leases().lease_grant(asked(0, name)).await.unwrap();
        made.push(granted.into_inner().id);
    }
    assert_eq!(made[0], made[1]);
    assert!(made[1] > 0 && made[1] != made[2] && made[2] != made[3] && made[1] != made[3]);
    world.put_with("a", made[1]).await.unwrap();
    // Who names a lease gets that one, and who gives no name another one each time.
    let named = world.leases().lease_grant(asked(7, "abc-3-1-0")).await;
    assert_eq!(named.unwrap().into_inner().id, 7);
    let [one, two] = [world.grant(0, 60).await, world.grant(0, 60).await];
    assert_ne!(one.unwrap().id, two.unwrap().id);
}

fn said(status: &Status) -> (Code, &str, &'static str) {
    let code = status::read(status).code;
    (status.code(), status.message(), code.as_str())
}

#[tokio::test]
async fn a_lease_is_granted_asked_about_listed_and_revoked_with_its_keys() {
    let world = world().await;
    let drawn = world.grant(0, 60).await.unwrap();
    assert!(drawn.id > 0);
    assert_eq!((drawn.ttl, drawn.error.as_str()), (60, ""));
    assert_eq!(drawn.header.unwrap().revision, 1);
    let named = world.grant(77, 1).await.unwrap();
    assert_eq!(
        (named.id, named.ttl),
        (77, 2),
        "what is too short is raised"
    );

    world.put_with("a", drawn.id).await.unwrap();
    world.put_with("b", drawn.id).await.unwrap();
    let asked = world.time_to_live(drawn.id).await;
    assert_eq!(asked.granted_ttl, 60);
    assert!((50..=60).contains(&asked.ttl), "{}", asked.ttl);
    assert_eq!(asked.keys, [text("a"), text("b")]);

    let revoke = LeaseRevokeRequest { id: drawn.id };
    let revoked = world.leases().lease_revoke(revoke).await.unwrap();
    assert_eq!(revoked.into_inner().header.unwrap().revision, 4);
    assert_eq!(world.count().await, 0);
    let gone = world.time_to_live(drawn.id).await;
    assert_eq!((gone.id, gone.ttl, gone.granted_ttl), (drawn.id, -1, 0));

    let request = LeaseLeasesRequest {};
    let listed = world.leases().lease_leases(request).await.unwrap();
    let listed: Vec<_> = listed.into_inner().leases.iter().map(|l| l.id).collect();
    assert!(listed.is_empty() || listed == [77]);
}

#[tokio::test]
async fn renewals_are_answered_in_order_and_one_without_a_lease_has_no_time() {
    let world = world().await;
    world.grant(7, 60).await.unwrap();
    let (ask, asked) = mpsc::channel(8);
    let mut leases = world.leases();
    let opened = leases.lease_keep_alive(ReceiverStream::new(asked)).await;
    let mut answers = opened.unwrap().into_inner();
    for id in [7, 8, 7] {
        ask.send(LeaseKeepAliveRequest { id }).await.unwrap();
    }
    for expected in [(7, 60), (8, 0), (7, 60)] {
        let answer = timeout(LONG, answers.message()).await.unwrap();
        let answer = answer.unwrap().unwrap();
        assert_eq!((answer.id, answer.ttl), expected);
        assert!(answer.header.unwrap().raft_term > 0);
    }
    drop(ask);
    let end = timeout(LONG, answers.message()).await.unwrap();
    assert_eq!(end.unwrap(), None);
}

#[tokio::test]
async fn a_renewal_stream_ends_when_the_node_stops() {
    let world = world().await;
    let (_ask, asked) = mpsc::channel::<LeaseKeepAliveRequest>(8);
    let mut leases = world.leases();
    let opened = leases.lease_keep_alive(ReceiverStream::new(asked)).await;
    let mut answers = opened.unwrap().into_inner();
    world
        .node
        .stop(Instant::now() + Duration::from_secs(5))
        .await;
    let end = timeout(LONG, answers.message()).await.unwrap().unwrap_err();
    let expected = (
        Code::Unavailable,
        "etcdserver: server stopped",
        "shutting_down",
    );
    assert_eq!(said(&end), expected);
}

#[tokio::test]
async fn refusals_are_those_of_etcd() {
    let world = world().await;
    world.grant(7, 60).await.unwrap();
    let twice = world.grant(7, 60).await.unwrap_err();
    let expected = (
        Code::FailedPrecondition,
        "etcdserver: lease already exists",
        "lease_exists",
    );
    assert_eq!(said(&twice), expected);

    let long = world.grant(0, 9_000_000_001).await.unwrap_err();
    let expected = (
        Code::OutOfRange,
        "etcdserver: too large lease TTL",
        "lease_ttl_too_large",
    );
    assert_eq!(said(&long), expected);

    let not_found = (
        Code::NotFound,
        "etcdserver: requested lease not found",
        "lease_not_found",
    );
    let revoke = LeaseRevokeRequest { id: 8 };
    let unknown = world.leases().lease_revoke(revoke).await.unwrap_err();
    assert_eq!(said(&unknown), not_found);
    let detached = world.put_with("k", 8).await.unwrap_err();
    assert_eq!(said(&detached), not_found);
    assert_eq!(world.count().await, 0);
}
