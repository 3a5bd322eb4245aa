//! The Lock service: who holds a lock, who waits, and how waiting ends.

use std::time::Duration;

use bytes::Bytes;
use hstore_proto::etcdserverpb::{
    CompactionRequest, LeaseGrantRequest, LeaseRevokeRequest, LeaseTimeToLiveRequest, RangeRequest,
    lease_client::LeaseClient,
};
use hstore_proto::status;
use hstore_proto::v3lockpb::lock_client::LockClient;
use hstore_proto::v3lockpb::{LockRequest, UnlockRequest};
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep, timeout};
use tonic::{Code, Request, Status};

use super::{LONG, World, text, world};

/// What a call that waited came to: the key and the revision of the answer.
type Locked = Result<(Bytes, i64), Status>;

impl World {
    pub(super) async fn lease(&self, id: i64) {
        let request = LeaseGrantRequest { ttl: 600, id };
        let mut leases = LeaseClient::new(self.channel.clone());
        leases.lease_grant(request).await.unwrap();
    }

    pub(super) async fn revoke(&self, id: i64) {
        let mut leases = LeaseClient::new(self.channel.clone());
        let revoked = leases.lease_revoke(LeaseRevokeRequest { id }).await;
        revoked.unwrap();
    }

    fn lock(&self, name: &str, lease: i64, within: Option<Duration>) -> JoinHandle<Locked> {
        let mut request = Request::new(LockRequest {
            name: text(name),
            lease,
        });
        if let Some(within) = within {
            request.set_timeout(within);
        }
        let mut locks = LockClient::new(self.channel.clone());
        tokio::spawn(async move {
            let answer = locks.lock(request).await?.into_inner();
            Ok((answer.key, answer.header.unwrap().revision))
        })
    }

    /// A lock that is had at once, or refused.
    async fn lock_now(&self, name: &str, lease: i64) -> Locked {
        timeout(LONG, self.lock(name, lease, None))
            .await
            .unwrap()
            .unwrap()
    }

    async fn unlock(&self, key: &str) -> Result<i64, Status> {
        let request = UnlockRequest { key: text(key) };
        let unlocked = LockClient::new(self.channel.clone())
            .unlock(request)
            .await?;
        Ok(unlocked.into_inner().header.unwrap().revision)
    }

    /// The keys that begin so, oldest first.
    pub(super) async fn line(&self, prefix: &str) -> Vec<String> {
        let mut end = prefix.as_bytes().to_vec();
        *end.last_mut().unwrap() += 1;
        let request = RangeRequest {
            key: text(prefix),
            range_end: end.into(),
            sort_target: 2,
            ..RangeRequest::default()
        };
        let found = self.kv().range(request).await.unwrap().into_inner();
        let keys = found.kvs.iter();
        keys.map(|pair| String::from_utf8_lossy(&pair.key).into_owned())
            .collect()
    }

    pub(super) async fn until_line(&self, prefix: &str, expected: &[&str]) {
        let until = Instant::now() + LONG;
        while self.line(prefix).await != expected {
            let line = self.line(prefix).await;
            assert!(Instant::now() < until, "{line:?} is not {expected:?}");
            sleep(Duration::from_millis(10)).await;
        }
    }
}

async fn ended(waiting: JoinHandle<Locked>) -> Locked {
    timeout(LONG, waiting).await.unwrap().unwrap()
}

fn said(status: &Status) -> (Code, &str, &'static str) {
    let code = status::read(status).code;
    (status.code(), status.message(), code.as_str())
}

const LOST: (Code, &str, &str) = (Code::Unknown, "mutex: session is expired", "lock_lost");

#[tokio::test]
async fn a_free_lock_is_had_at_once_and_given_back() {
    let world = world().await;
    world.lease(0x7a).await;
    let (key, revision) = world.lock_now("l", 0x7a).await.unwrap();
    assert_eq!((&key[..], revision), (&b"l/7a"[..], 2));
    let again = world.lock_now("l", 0x7a).await.unwrap();
    assert_eq!(again, (key, 2), "a second time with one lease is the same");
    assert_eq!(world.unlock("l/7a").await.unwrap(), 3);
    assert_eq!(world.unlock("l/7a").await.unwrap(), 3, "it is no error");
    assert!(world.line("l/").await.is_empty());
}

#[tokio::test]
async fn a_lock_goes_to_those_who_wait_in_the_order_in_which_they_came() {
    let world = world().await;
    for lease in 1..=4 {
        world.lease(lease).await;
    }
    world.lock_now("l", 1).await.unwrap();
    let second = world.lock("l", 2, None);
    world.until_line("l/", &["l/1", "l/2"]).await;
    let third = world.lock("l", 3, None);
    world.until_line("l/", &["l/1", "l/2", "l/3"]).await;
    let fourth = world.lock("l", 4, None);
    world.until_line("l/", &["l/1", "l/2", "l/3", "l/4"]).await;

    // One who goes from the middle of the line wakes nobody for nothing.
    world.unlock("l/3").await.unwrap();
    assert_eq!(said(&ended(third).await.unwrap_err()), LOST);
    assert!(!second.is_finished() && !fourth.is_finished());
    world.unlock("l/1").await.unwrap();
    assert_eq!(ended(second).await.unwrap().0, "l/2");
    assert!(!fourth.is_finished());
    world.revoke(2).await;
    assert_eq!(ended(fourth).await.unwrap().0, "l/4");
}

#[tokio::test]
async fn a_waiter_whose_lease_ended_never_gets_the_lock() {
    let world = world().await;
    world.lease(1).await;
    world.lease(2).await;
    world.lock_now("l", 1).await.unwrap();
    let waiting = world.lock("l", 2, None);
    world.until_line("l/", &["l/1", "l/2"]).await;
    world.revoke(2).await;
    // It hears of it at once, and not only when the lock is free.
    assert_eq!(said(&ended(waiting).await.unwrap_err()), LOST);
    assert_eq!(world.line("l/").await, ["l/1"]);
}

#[tokio::test]
async fn a_key_that_was_made_anew_is_another_place_in_the_line() {
    let world = world().await;
    world.lease(1).await;
    world.lease(2).await;
    world.lock_now("l", 1).await.unwrap();
    let first = world.lock("l", 2, None);
    world.until_line("l/", &["l/1", "l/2"]).await;
    world.unlock("l/2").await.unwrap();
    let second = world.lock("l", 2, None);
    assert_eq!(said(&ended(first).await.unwrap_err()), LOST);
    world.until_line("l/", &["l/1", "l/2"]).await;
    world.unlock("l/1").await.unwrap();
    assert_eq!(ended(second).await.unwrap().0, "l/2");
}

#[tokio::test]
async fn a_waiter_that_runs_out_of_time_takes_its_key_away() {
    let world = world().await;
    world.lease(1).await;
    world.lease(2).await;
    world.lock_now("l", 1).await.unwrap();
    let late = world.lock("l", 2, Some(Duration::from_secs(1)));
    let late = ended(late).await.unwrap_err();
    let expected = (
        Code::DeadlineExceeded,
        "context deadline exceeded",
        "timeout",
    );
    assert_eq!(said(&late), expected);
    world.until_line("l/", &["l/1"]).await;
}

#[tokio::test]
async fn a_second_wait_with_one_lease_leaves_the_key_of_the_first() {
    let world = world().await;
    world.lease(1).await;
    world.lease(2).await;
    world.lock_now("l", 1).await.unwrap();
    let first = world.lock("l", 2, None);
    world.until_line("l/", &["l/1", "l/2"]).await;
    let second = world.lock("l", 2, Some(Duration::from_millis(500)));
    ended(second).await.unwrap_err();
    world.unlock("l/1").await.unwrap();
    assert_eq!(ended(first).await.unwrap().0, "l/2");
}

#[tokio::test]
async fn a_waiter_whose_caller_is_gone_takes_its_key_away() {
    let world = world().await;
    world.lease(1).await;
    world.lease(2).await;
    world.lock_now("l", 1).await.unwrap();
    let waiting = world.lock("l", 2, None);
    world.until_line("l/", &["l/1", "l/2"]).await;
    waiting.abort();
    world.until_line("l/", &["l/1"]).await;
}

#[tokio::test]
async fn compaction_takes_nothing_from_those_who_wait() {
    let world = world().await;
    world.lease(1).await;
    world.lease(2).await;
    world.lock_now("l", 1).await.unwrap();
    let waiting = world.lock("l", 2, None);
    world.until_line("l/", &["l/1", "l/2"]).await;
    let revision = world.unlock("no/such/key").await.unwrap();
    let request = CompactionRequest {
        revision,
        physical: true,
    };
    world.kv().compact(request).await.unwrap();
    world.unlock("l/1").await.unwrap();
    assert_eq!(ended(waiting).await.unwrap().0, "l/2");
}

#[tokio::test]
async fn without_a_lease_the_lock_hangs_on_one_of_a_minute() {
    let world = world().await;
    let (key, _revision) = world.lock_now("l", 0).await.unwrap();
    let lease = std::str::from_utf8(&key[2..]).unwrap();
    let lease = i64::from_str_radix(lease, 16).unwrap();
    let mut leases = LeaseClient::new(world.channel.clone());
    let request = LeaseTimeToLiveRequest {
        id: lease,
        keys: true,
    };
    let found = leases.lease_time_to_live(request).await.unwrap();
    let found = found.into_inner();
    assert_eq!((found.granted_ttl, found.keys), (60, vec![key]));

    // One that gives up leaves no lease behind.
    let late = world.lock("l", 0, Some(Duration::from_millis(500)));
    ended(late).await.unwrap_err();
    let until = Instant::now() + LONG;
    loop {
        let listed = leases
            .lease_leases(hstore_proto::etcdserverpb::LeaseLeasesRequest {})
            .await
            .unwrap();
        if listed.into_inner().leases.len() == 1 {
            break;
        }
        assert!(Instant::now() < until);
        sleep(Duration::from_millis(10)).await;
    }
}

#[tokio::test]
async fn those_who_wait_hear_that_the_node_stops() {
    let world = world().await;
    world.lease(1).await;
    world.lease(2).await;
    world.lock_now("l", 1).await.unwrap();
    let waiting = world.lock("l", 2, None);
    world.until_line("l/", &["l/1", "l/2"]).await;
    world
        .node
        .stop(Instant::now() + Duration::from_secs(5))
        .await;
    let expected = (
        Code::Unavailable,
        "etcdserver: server stopped",
        "shutting_down",
    );
    assert_eq!(said(&ended(waiting).await.unwrap_err()), expected);
}

#[tokio::test]
async fn refusals_are_those_of_etcd() {
    let world = world().await;
    let unknown = world.lock_now("l", 7).await.unwrap_err();
    let expected = (
        Code::NotFound,
        "etcdserver: requested lease not found",
        "lease_not_found",
    );
    assert_eq!(said(&unknown), expected);
    let empty = world.unlock("").await.unwrap_err();
    let expected = (
        Code::InvalidArgument,
        "etcdserver: key is not provided",
        "empty_key",
    );
    assert_eq!(said(&empty), expected);
    let long = world.lock_now(&"x".repeat(70), 7).await.unwrap_err();
    assert_eq!(status::read(&long).code.as_str(), "key_too_large");
}
