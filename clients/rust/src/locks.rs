//! Locks and elections.

use std::time::Duration;

use etcd_client::{Error, LockOptions, ProclaimOptions, ResignOptions};

use crate::World;

/// For how long nothing happens to what must wait.
const A_WHILE: Duration = Duration::from_millis(300);

pub(crate) async fn locks(world: &mut World) -> Result<(), Error> {
    let World {
        client,
        other,
        checks,
        ..
    } = world;
    let first = client.lock("rs-lock", None).await?;
    let key = first.key().to_vec();
    checks.holds("the key is below the name", key.starts_with(b"rs-lock/"));
    let mut waiter = other.clone();
    let mut second = tokio::spawn(async move { waiter.lock("rs-lock", None).await });
    let early = tokio::time::timeout(A_WHILE, &mut second).await;
    checks.holds("the second waits", early.is_err());
    client.unlock(key).await?;
    let second = second.await.expect("a wait does not panic")?;
    checks.holds("and has it then", second.key().starts_with(b"rs-lock/"));
    other.unlock(second.key()).await?;

    let lease = client.lease_grant(60, None).await?.id();
    let leased = LockOptions::new().with_lease(lease);
    let lock = client.lock("rs-leased", Some(leased)).await?;
    let wanted = format!("rs-leased/{lease:x}");
    checks.equal(
        "its name is that of the lease",
        lock.key(),
        wanted.as_bytes(),
    );
    client.lease_revoke(lease).await?;
    let next = other.lock("rs-leased", None).await?;
    checks.holds("free when the lease ends", next.key() != lock.key());
    other.unlock(next.key()).await?;
    let gone = LockOptions::new().with_lease(lease);
    let told = client.lock("rs-leased", Some(gone)).await;
    checks.fails(
        "a lease that is gone",
        "etcdserver: requested lease not found",
        told,
    );
    Ok(())
}

pub(crate) async fn elections(world: &mut World) -> Result<(), Error> {
    let World {
        client,
        other,
        checks,
        ..
    } = world;
    let told = other.leader("rs-election").await;
    checks.fails("nobody leads", "election: no leader", told);
    let lease = client.lease_grant(60, None).await?.id();
    let elected = client.campaign("rs-election", "123", lease).await?;
    let leader = elected.leader().cloned().unwrap_or_default();
    checks.equal(
        "who is elected",
        (leader.name(), leader.lease()),
        (&b"rs-election"[..], lease),
    );
    let mut observed = other.observe(leader.name()).await?;
    let told = observed.message().await?;
    let value = told
        .as_ref()
        .and_then(|told| told.kv())
        .map(|kv| kv.value());
    checks.equal("observed", value, Some(&b"123"[..]));
    let by = ProclaimOptions::new().with_leader(leader.clone());
    client.proclaim("124", Some(by)).await?;
    let told = observed.message().await?;
    let value = told
        .as_ref()
        .and_then(|told| told.kv())
        .map(|kv| kv.value());
    checks.equal("what it says anew", value, Some(&b"124"[..]));
    let found = other.leader("rs-election").await?;
    checks.equal(
        "asked for",
        found.kv().map(|kv| kv.value()),
        Some(&b"124"[..]),
    );

    let second_lease = other.lease_grant(60, None).await?.id();
    let mut waiter = other.clone();
    let mut second =
        tokio::spawn(async move { waiter.campaign("rs-election", "2", second_lease).await });
    let early = tokio::time::timeout(A_WHILE, &mut second).await;
    checks.holds("the second waits", early.is_err());
    let gone = ResignOptions::new().with_leader(leader.clone());
    client.resign(Some(gone)).await?;
    let elected = second.await.expect("a wait does not panic")?;
    checks.equal(
        "and leads then",
        elected.leader().map(|key| key.lease()),
        Some(second_lease),
    );
    let by = ProclaimOptions::new().with_leader(leader);
    let told = client.proclaim("late", Some(by)).await;
    checks.fails("who resigned says no more", "election: not leader", told);
    client.lease_revoke(lease).await?;
    other.lease_revoke(second_lease).await.map(drop)
}
