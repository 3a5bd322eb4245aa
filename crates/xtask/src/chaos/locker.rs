//! A client that locks: it takes a lease, stands in line, and when its key is the oldest it writes
//! with its fencing token; it gives the lock back, or is gone, or sleeps until it lost it and writes
//! then.
//!
//! It makes the lock of the store's own words, as libraries do, so that every step is an operation of
//! the history. Its lease always has the same id, and so has its key the same name: the log of all keys
//! that stand in line can be read back whole.

use std::sync::Arc;
use std::time::Duration;

use anyhow::Result;
use bytes::Bytes;
use hstore_check::history::{ClientId, Grant};
use hstore_client::{Client, Fence, txn};
use hstore_core::id::Revision;
use hstore_core::outcome::Reply;
use hstore_core::record::Record;
use hstore_proto::convert::keys;
use hstore_proto::etcdserverpb::request_op::Request;
use hstore_proto::etcdserverpb::{
    DeleteRangeRequest, PutRequest, RangeRequest, RequestOp, TxnRequest,
};
use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};
use tokio::sync::watch;
use tokio::time::{Instant, sleep};

use super::ask::Ask;
use super::book::Book;
use super::load::{self, LOCK, LOCKED, get, put};
use super::people::Gate;

/// How long a locker waits for one answer.
const PATIENCE: Duration = Duration::from_secs(3);
/// How long it stands in line.
const STANDS_MS: std::ops::Range<u64> = 500..12_000;
/// How long leases live without a renewal.
const TTL_SECONDS: std::ops::Range<u64> = 2..6;
/// The pause between two looks at the line, and before the next lock.
const LOOK_MS: std::ops::Range<u64> = 30..150;
const PAUSE_MS: std::ops::Range<u64> = 10..600;

struct Locker {
    number: u64,
    lease: i64,
    key: Bytes,
    client: Client,
    book: Arc<Book>,
    rng: StdRng,
    next: u64,
}

/// Lock after lock until it is told to stop.
pub(super) async fn run(
    (nth, number): (u64, u64),
    seed: u64,
    gate: Gate,
    book: Arc<Book>,
    stop: watch::Receiver<bool>,
) -> Result<()> {
    let client = gate.crew()?.patient().with_timeout(PATIENCE);
    client.start_at(nth as usize);
    let lease = load::lock_lease(nth);
    let mut locker = Locker {
        number,
        lease,
        key: load::lock_key(nth),
        client,
        book,
        rng: StdRng::seed_from_u64(seed ^ number.wrapping_mul(0xc2b2_ae3d_27d4_eb4f)),
        next: 0,
    };
    while !*stop.borrow() {
        locker.round(&stop).await?;
        locker.pause(PAUSE_MS).await;
    }
    Ok(())
}

/// What an operation came to, if that is known.
type Answer = Option<(Revision, Reply)>;

impl Locker {
    async fn pause(&mut self, millis: std::ops::Range<u64>) {
        let millis = self.rng.random_range(millis);
        sleep(Duration::from_millis(millis)).await;
    }

    async fn ask(&self, ask: Ask) -> Result<Answer> {
        let number = ClientId(self.number);
        let told = self.book.ask(number, ask, |ask| ask.send(&self.client));
        Ok(told.await?.ok())
    }

    fn value(&mut self) -> String {
        self.next += 1;
        format!("{}.{}", self.number, self.next)
    }

    async fn round(&mut self, stop: &watch::Receiver<bool>) -> Result<()> {
        let ttl = Duration::from_secs(self.rng.random_range(TTL_SECONDS));
        // The lease of the last round may be there still, and then has to end by itself.
        let granted = self.client.grant_lease(ttl, Some(self.lease)).await;
        if granted.is_err() {
            return Ok(());
        }
        let Some(token) = self.stand().await? else {
            return self.give_back().await;
        };
        let renews = self.rng.random_range(0..4) > 0;
        let until = Instant::now() + Duration::from_millis(self.rng.random_range(STANDS_MS));
        let mut renewed = Instant::now();
        loop {
            if renews && renewed.elapsed() > ttl / 3 {
                renewed = Instant::now();
                let _whatever = self.client.renew_lease(self.lease).await;
            }
            match self.look(token).await? {
                Some(true) => break,
                Some(false) => return Ok(()),
                None => {}
            }
            if Instant::now() > until || *stop.borrow() {
                return self.give_back().await;
            }
            self.pause(LOOK_MS).await;
        }
        self.hold(token, ttl).await
    }

    /// Stands in line; the token of the place.
    async fn stand(&mut self) -> Result<Option<Revision>> {
        let value = self.value();
        let key = self.key.clone();
        let asked = PutRequest {
            lease: self.lease,
            ..put(key.clone(), value.into())
        };
        let absent = txn::compare(
            key.clone(),
            txn::Relation::Equal,
            txn::Target::CreateRevision(0),
        );
        let request = TxnRequest {
            compare: vec![absent],
            success: vec![txn::write(asked)],
            failure: vec![RequestOp {
                request: Some(Request::RequestRange(get(key))),
            }],
        };
        let Some((revision, Reply::Txn { succeeded, replies })) =
            self.ask(Ask::Txn(request)).await?
        else {
            return Ok(None);
        };
        if succeeded {
            return Ok(Some(revision));
        }
        // It stands there from before, by the lease of that time, which has ended or is this one.
        let there = replies.into_iter().find_map(|reply| match reply {
            Reply::Range(result) => result.records.into_iter().next(),
            _ => None,
        });
        let own = there.filter(|record| record.meta.lease == self.lease);
        Ok(own.map(|record| record.meta.create_revision))
    }

    /// Whether it is its turn; false when it is not in the line any more, none when it has to wait.
    async fn look(&self, token: Revision) -> Result<Option<bool>> {
        let (key, range_end) = keys::to_wire(hstore_core::claim::line(LOCK.as_bytes()));
        let request = RangeRequest {
            key,
            range_end,
            ..RangeRequest::default()
        };
        let Some((revision, Reply::Range(line))) = self.ask(Ask::Range(request)).await? else {
            return Ok(None);
        };
        let created = |record: &Record| record.meta.create_revision;
        let own = line.records.iter().find(|record| record.key == self.key);
        if own.map(created) != Some(token) {
            return Ok(Some(false));
        }
        let first = line.records.iter().map(created).min();
        if first != Some(token) {
            return Ok(None);
        }
        self.book.granted(Grant {
            key: self.key.clone(),
            token,
            at: revision,
        });
        Ok(Some(true))
    }

    /// Writes for a while, awake or not, and goes.
    async fn hold(&mut self, token: Revision, ttl: Duration) -> Result<()> {
        let sleeps = self.rng.random_range(0..4) == 0;
        if sleeps {
            sleep(ttl.mul_f64(self.rng.random_range(0.5..1.8))).await;
        }
        for _ in 0..self.rng.random_range(1..5) {
            self.write(token).await?;
            self.pause(LOOK_MS).await;
            if !sleeps {
                let _whatever = self.client.renew_lease(self.lease).await;
            }
        }
        match self.rng.random_range(0..3) {
            0 => {
                let gone = DeleteRangeRequest {
                    key: self.key.clone(),
                    ..DeleteRangeRequest::default()
                };
                let gone = RequestOp {
                    request: Some(Request::RequestDeleteRange(gone)),
                };
                self.ask(Ask::Txn(self.fenced(token, gone))).await?;
                self.give_back().await
            }
            1 => self.give_back().await,
            // Whoever waits gets it when the lease ends.
            _ => Ok(()),
        }
    }

    async fn write(&mut self, token: Revision) -> Result<()> {
        let value = format!("{token}.{}", self.value());
        let asked = put(Bytes::from_static(LOCKED.as_bytes()), value.into());
        let request = self.fenced(token, txn::write(asked));
        if let Some((_at, Reply::Txn { succeeded, .. })) = self.ask(Ask::Txn(request)).await? {
            self.book.fenced(succeeded);
        }
        Ok(())
    }

    /// What is done while the lock is held by this token, and else not.
    fn fenced(&self, token: Revision, step: RequestOp) -> TxnRequest {
        let mut request = TxnRequest {
            success: vec![step],
            ..TxnRequest::default()
        };
        Fence::new(self.key.clone(), token).guard(&mut request);
        request
    }

    /// Ends the lease, and the key with it.
    async fn give_back(&self) -> Result<()> {
        let _whatever = self.client.revoke_lease(self.lease).await;
        Ok(())
    }
}
