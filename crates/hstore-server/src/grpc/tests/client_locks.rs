//! The client library's sessions, locks and elections, against a node.

use std::time::Duration;

use hstore_client::{Client, Error, Fence, Session, txn};
use hstore_core::id::Revision;
use tokio::time::{Instant, timeout};

use super::{LONG, World, world};

const TTL: Duration = Duration::from_mins(1);

impl World {
    fn client(&self) -> Client {
        Client::connect(&[self.address.to_string()]).unwrap()
    }

    async fn session(&self) -> Session {
        self.client().session(TTL).await.unwrap()
    }
}

async fn soon<T>(future: impl Future<Output = T>) -> T {
    timeout(LONG, future).await.unwrap()
}

#[tokio::test]
async fn a_lock_is_held_by_one_session_at_a_time_and_its_token_grows() {
    let world = world().await;
    let (one, two) = (world.session().await, world.session().await);
    let first = one.lock("l").await.unwrap();
    assert_eq!(first.key(), format!("l/{:x}", one.lease()).as_bytes());
    let again = one.lock("l").await.unwrap();
    assert_eq!(again.token(), first.token(), "a session locks once");
    let waiting = tokio::spawn({
        let two = two.clone();
        async move { two.lock("l").await }
    });
    let line = [
        format!("l/{:x}", one.lease()),
        format!("l/{:x}", two.lease()),
    ];
    world.until_line("l/", &[&line[0], &line[1]]).await;
    assert!(!waiting.is_finished());
    assert!(first.clone().unlock().await.unwrap());
    let second = soon(waiting).await.unwrap().unwrap();
    assert!(second.token() > first.token());
    assert!(!first.unlock().await.unwrap(), "it is given back once");
}

#[tokio::test]
async fn a_fenced_write_of_a_former_holder_is_refused() {
    let world = world().await;
    let client = world.client();
    let (one, two) = (world.session().await, world.session().await);
    let first = one.lock("l").await.unwrap();
    let write = || vec![txn::put("data", "first")];
    client.fenced(first.fence(), write()).await.unwrap();

    // The lease ends while its owner believes in it.
    world.revoke(one.lease()).await;
    let late = client.fenced(first.fence(), write()).await;
    assert_eq!(late, Err(Error::LockLost));
    let second = soon(two.lock("l")).await.unwrap();
    let late = client.fenced(first.fence(), write()).await;
    assert_eq!(late, Err(Error::LockLost));
    let write = vec![txn::put("data", "second")];
    client.fenced(second.fence(), write).await.unwrap();
    // A fence can be made of what another process was told.
    let told = Fence::new(second.key().clone(), second.token());
    assert_eq!(&told, second.fence());
    let wrong = Fence::new(second.key().clone(), Revision(second.token().0 - 1));
    let refused = client.fenced(&wrong, Vec::new()).await;
    assert_eq!(refused, Err(Error::LockLost));
}

#[tokio::test]
async fn who_waits_for_so_long_only_leaves_the_line() {
    let world = world().await;
    let (one, two) = (world.session().await, world.session().await);
    let first = one.lock("l").await.unwrap();
    let key = format!("l/{:x}", one.lease());
    for time in [Duration::ZERO, Duration::from_millis(200)] {
        let late = soon(two.lock_within("l", time)).await.unwrap();
        assert!(late.is_none());
        assert_eq!(world.line("l/").await, std::slice::from_ref(&key));
    }
    first.unlock().await.unwrap();
    let free = two.lock_within("l", Duration::ZERO).await.unwrap();
    assert!(free.is_some());
}

#[tokio::test]
async fn a_lost_lease_is_heard_of_by_those_who_hold_and_those_who_wait() {
    let world = world().await;
    let one = world
        .client()
        .session(Duration::from_secs(3))
        .await
        .unwrap();
    let two = world.session().await;
    let held = one.lock("l").await.unwrap();
    let waiting = tokio::spawn({
        let two = two.clone();
        async move { two.lock("l").await }
    });
    let line = [
        format!("l/{:x}", one.lease()),
        format!("l/{:x}", two.lease()),
    ];
    world.until_line("l/", &[&line[0], &line[1]]).await;
    world.revoke(two.lease()).await;
    let lost = soon(waiting).await.unwrap();
    assert_eq!(lost.err(), Some(Error::LockLost));
    world.revoke(one.lease()).await;
    soon(held.lost()).await;
    // The next renewal finds no lease.
    soon(one.lost()).await;
    assert!(one.is_lost());
    assert_eq!(one.lock("l").await.err(), Some(Error::LockLost));
    one.close().await.unwrap();
}

#[tokio::test]
async fn a_session_that_reaches_nobody_is_lost_when_its_time_is_over() {
    let world = world().await;
    let begun = Instant::now();
    let session = world
        .client()
        .session(Duration::from_secs(2))
        .await
        .unwrap();
    world.node.abort();
    soon(session.lost()).await;
    let lived = begun.elapsed();
    let bounds = Duration::from_millis(1900)..Duration::from_millis(4500);
    assert!(bounds.contains(&lived), "{lived:?}");
}

#[tokio::test]
async fn an_election_has_a_leader_that_everybody_can_follow() {
    let world = world().await;
    let client = world.client();
    let (one, two) = (world.session().await, world.session().await);
    assert_eq!(client.leader("e").await.unwrap(), None);
    let mut observation = client.observe("e");
    let first = soon(one.campaign("e", "a")).await.unwrap();
    let heard = soon(observation.next()).await.unwrap();
    assert_eq!((&heard.key, &heard.value[..]), (first.key(), &b"a"[..]));
    first.proclaim("b").await.unwrap();
    assert_eq!(soon(observation.next()).await.unwrap().value, "b");
    let waiting = tokio::spawn({
        let two = two.clone();
        async move { two.campaign("e", "c").await }
    });
    let line = [
        format!("e/{:x}", one.lease()),
        format!("e/{:x}", two.lease()),
    ];
    world.until_line("e/", &[&line[0], &line[1]]).await;
    first.clone().resign().await.unwrap();
    let second = soon(waiting).await.unwrap().unwrap();
    assert!(second.token() > first.token());
    assert_eq!(soon(observation.next()).await.unwrap().value, "c");
    assert_eq!(first.proclaim("d").await, Err(Error::ElectionLost));
    let leader = client.leader("e").await.unwrap().unwrap();
    assert_eq!((leader.value, leader.lease), ("c".into(), two.lease()));
}
