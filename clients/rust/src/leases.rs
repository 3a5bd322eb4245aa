//! Leases.

use std::time::Duration;

use etcd_client::{Error, LeaseGrantOptions, LeaseTimeToLiveOptions, PutOptions};

use crate::World;

pub(crate) async fn life(world: &mut World) -> Result<(), Error> {
    let World {
        client,
        other,
        checks,
        ..
    } = world;
    let lease = client.lease_grant(60, None).await?;
    let id = lease.id();
    checks.equal("granted as asked for", (id != 0, lease.ttl()), (true, 60));
    let leased = PutOptions::new().with_lease(id);
    client.put("rs/leased", "x", Some(leased)).await?;
    let keys = LeaseTimeToLiveOptions::new().with_keys();
    let left = other.lease_time_to_live(id, Some(keys)).await?;
    checks.equal("granted", left.granted_ttl(), 60);
    checks.holds("what is left", (50..=60).contains(&left.ttl()));
    checks.equal(
        "its keys",
        left.keys().to_vec(),
        vec![b"rs/leased".to_vec()],
    );
    let (mut keeper, mut stream) = client.lease_keep_alive(id).await?;
    for _ in 0..3 {
        keeper.keep_alive().await?;
        let renewed = stream.message().await?.map(|told| (told.id(), told.ttl()));
        checks.equal("renewed", renewed, Some((id, 60)));
    }
    let listed = other.leases().await?;
    let is_listed = listed.leases().iter().any(|lease| lease.id() == id);
    checks.holds("listed", is_listed);
    client.lease_revoke(id).await?;
    let found = other.get("rs/leased", None).await?;
    checks.equal("its keys go with it", found.kvs().len(), 0);
    let words = "etcdserver: requested lease not found";
    checks.fails("revoked twice", words, client.lease_revoke(id).await);
    let left = other.lease_time_to_live(id, None).await?;
    checks.equal("nothing is left", left.ttl(), -1);
    let told = client.lease_keep_alive(id).await;
    checks.holds("none to renew", told.is_err());

    let named = LeaseGrantOptions::new().with_id(81_549);
    let lease = client.lease_grant(60, Some(named.clone())).await?;
    checks.equal("an id of one's own", lease.id(), 81_549);
    let told = client.lease_grant(60, Some(named)).await;
    checks.fails(
        "an id that is taken",
        "etcdserver: lease already exists",
        told,
    );
    client.lease_revoke(81_549).await?;
    let told = client.lease_grant(9_000_000_001, None).await;
    checks.fails("too long a life", "etcdserver: too large lease TTL", told);

    let short = client.lease_grant(1, None).await?.id();
    let leased = PutOptions::new().with_lease(short);
    client.put("rs/short", "x", Some(leased)).await?;
    // The part as a whole has a deadline.
    while !other.get("rs/short", None).await?.kvs().is_empty() {
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    checks.equal(
        "it ends by itself",
        other.lease_time_to_live(short, None).await?.ttl(),
        -1,
    );
    Ok(())
}
