//! Clients that live on leases: a lease must be there for as long as was promised, whatever strikes,
//! and when all is calm it must end and take its keys along.
//!
//! Invariant: a promise counts from the moment before the request left, on this machine's monotonic
//! clock, so no delay on the way is an excuse.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Result, bail};
use bytes::Bytes;
use hstore_check::history::ClientId;
use hstore_client::{Client, Error, ErrorCode, Read};
use hstore_core::key::KeyRange;
use hstore_proto::etcdserverpb::PutRequest;
use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};
use tokio::sync::watch;
use tokio::time::{Instant, sleep};

use super::ask::Ask;
use super::book::Book;
use super::load::{LEASED, put};
use super::people::Gate;
use crate::fleet::LOOK;

/// How long leases live without a renewal.
const TTL_SECONDS: std::ops::Range<u64> = 2..8;
/// How long a tenant waits for one answer.
const PATIENCE: Duration = Duration::from_secs(3);
/// The pause before the next lease.
const PAUSE_MS: std::ops::Range<u64> = 50..1_000;
/// How long it may take in a calm cluster until every lease has ended: the longest, an election, and
/// what a busy machine adds.
const ENDED: Duration = Duration::from_secs(30);

/// One tenant.
struct Tenant {
    number: u64,
    client: Client,
    book: Arc<Book>,
    rng: StdRng,
    next: u64,
}

/// Lease after lease until it is told to stop; a broken promise ends it.
pub(super) async fn run(
    number: u64,
    seed: u64,
    gate: Gate,
    book: Arc<Book>,
    stop: watch::Receiver<bool>,
) -> Result<()> {
    let client = gate.crew()?.patient().with_timeout(PATIENCE);
    client.start_at(number as usize);
    let mut tenant = Tenant {
        number,
        client,
        book,
        rng: StdRng::seed_from_u64(seed ^ number.wrapping_mul(0xa076_1d64_78bd_642f)),
        next: 0,
    };
    while !*stop.borrow() {
        tenant.lease(&stop).await?;
        let pause = Duration::from_millis(tenant.rng.random_range(PAUSE_MS));
        sleep(pause).await;
    }
    Ok(())
}

impl Tenant {
    async fn lease(&mut self, stop: &watch::Receiver<bool>) -> Result<()> {
        let ttl = Duration::from_secs(self.rng.random_range(TTL_SECONDS));
        let asked = Instant::now();
        let Ok(granted) = self.client.grant_lease(ttl, None).await else {
            return Ok(());
        };
        let (lease, ttl) = (granted.id, granted.ttl);
        let mut promised = asked + ttl;
        self.next += 1;
        let value = format!("t{}.{}", self.number, self.next);
        let key = LEASED[self.number as usize % LEASED.len()];
        let request = PutRequest {
            lease,
            ..put(Bytes::from_static(key.as_bytes()), value.into())
        };
        let client = self.client.clone();
        let told = self
            .book
            .ask(ClientId(self.number), Ask::Put(request), |ask| async move {
                ask.send(&client).await
            })
            .await?;
        if told == Err(ErrorCode::LeaseNotFound) {
            gone(lease, promised, "a write")?;
            return Ok(());
        }
        for _ in 0..self.rng.random_range(0..6) {
            sleep(self.rng.random_range(Duration::ZERO..ttl * 2 / 3)).await;
            let asked = Instant::now();
            match self.client.renew_lease(lease).await {
                Ok(Some(ttl)) => promised = promised.max(asked + ttl),
                Ok(None) => return gone(lease, promised, "its renewal"),
                Err(_nobody_knows) => {}
            }
            if *stop.borrow() {
                return Ok(());
            }
        }
        match self.rng.random_range(0..3) {
            0 => {
                let refused = self.client.revoke_lease(lease).await.err();
                if refused.is_some_and(|error| error.code() == ErrorCode::LeaseNotFound) {
                    gone(lease, promised, "its end")?;
                }
            }
            1 => {
                if let Ok(None) = self.client.lease(lease, false).await {
                    gone(lease, promised, "a question")?;
                }
            }
            _ => {}
        }
        Ok(())
    }
}

/// The lease is not there: it must have been its time.
fn gone(lease: i64, promised: Instant, what: &str) -> Result<()> {
    let left = promised.saturating_duration_since(Instant::now());
    if left > Duration::ZERO {
        bail!("leases_last: lease {lease} was gone {left:?} before its time, said {what}");
    }
    Ok(())
}

/// Waits until all leases have ended and no key of theirs is left. Call it when nobody has a lease
/// renewed any more.
pub(super) async fn all_end(gate: &Gate) -> Result<()> {
    let client = gate.crew()?.with_timeout(PATIENCE);
    let until = Instant::now() + ENDED;
    loop {
        let left = left(&client).await;
        match left {
            Ok(left) if left.is_empty() => return Ok(()),
            Ok(left) if Instant::now() > until => {
                bail!(
                    "leases_end: after {ENDED:?} there are still {}",
                    left.join(", ")
                );
            }
            Err(error) if Instant::now() > until => {
                bail!("leases_end: whether leases ended was not answered in {ENDED:?}: {error}");
            }
            Ok(_) | Err(_) => sleep(LOOK).await,
        }
    }
}

async fn left(client: &Client) -> Result<Vec<String>, Error> {
    let leases = client.leases().await?;
    let mut left: Vec<String> = leases.iter().map(|id| format!("lease {id}")).collect();
    for key in LEASED {
        let keys = KeyRange::One(Bytes::from_static(key.as_bytes()));
        if client.count(keys, Read::default()).await?.value > 0 {
            left.push(format!("key {key}"));
        }
    }
    Ok(left)
}
