//! A client that locks: it takes a lease, waits its turn at some node, writes with its fencing token
//! while it believes that it holds the lock, and gives it back, or is gone, or sleeps until it lost
//! it and writes then.
//!
//! It writes down what it was told. Whether that was true is judged afterwards by the store's
//! history, in the order of the log.

use std::time::Duration;

use bytes::Bytes;
use hstore_check::lock::Grant;
use hstore_core::auth::Author;
use hstore_core::claim;
use hstore_core::command::{
    Command, Compare, CompareTarget, GrantLease, Operation, Proposal, Put, Relation, Txn,
};
use hstore_core::id::Revision;
use hstore_core::key::KeyRange;
use hstore_core::outcome::Reply;
use hstore_node::{Claim, ClaimKind, ClaimLease, Holding, Node};
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use tokio::sync::watch;
use tokio::time::{Instant, sleep, timeout};

use super::{Clients, Ordering};

/// The name of the lock.
pub(super) const NAME: &[u8] = b"lock";

/// What only the holder may write.
pub(super) const DATA: &[u8] = b"data";

/// How long a locker waits for one answer.
const PATIENCE: Duration = Duration::from_secs(3);

/// One locker.
pub(super) struct Locker {
    clients: Clients,
    rng: StdRng,
}

impl Locker {
    pub(super) fn new(clients: Clients) -> Locker {
        let rng = StdRng::seed_from_u64(clients.shared.world.draw());
        Locker { clients, rng }
    }

    /// Lock after lock, until the storm is over.
    pub(super) async fn run(mut self, mut over: watch::Receiver<bool>) {
        while !*over.borrow() {
            self.round(&mut over).await;
            let pause = self.rng.random_range(10..800);
            sleep(Duration::from_millis(pause)).await;
        }
    }

    async fn round(&mut self, over: &mut watch::Receiver<bool>) {
        let lease = self.rng.random_range(1..=i64::MAX);
        let ttl = self.rng.random_range(2..7);
        let grant = Command::GrantLease(GrantLease { lease, ttl });
        if self.ask(grant).await.is_none() {
            return;
        }
        self.clients.lockbook().keys.insert(claim::key(NAME, lease));
        // Some let their lease end while they wait.
        let renews = self.rng.random_range(0..4) > 0;
        let third = Duration::from_secs(ttl as u64) / 3;
        let Some((at, node)) = self.node() else {
            return;
        };
        let life = self.clients.shared.world.life(at);
        let wanted = Claim {
            author: Author::Nobody,
            name: Bytes::from_static(NAME),
            lease: ClaimLease::Named(lease),
            kind: ClaimKind::Lock,
        };
        let patience = Duration::from_millis(self.rng.random_range(500..15_000));
        let Ok(claiming) = node.claim(wanted, Some(Instant::now() + patience), false) else {
            return;
        };
        let mut answer = std::pin::pin!(claiming.answer());
        let told = loop {
            let wait = async { timeout(third, &mut answer).await };
            tokio::select! {
                told = wait => match told {
                    Ok(told) => break told,
                    Err(_elapsed) if renews => {
                        let _whatever = self.ask(Command::RenewLease { lease }).await;
                    }
                    Err(_elapsed) => {}
                },
                // Who does not listen any more is out of the line.
                _over = over.changed() => return,
            }
        };
        let world = &self.clients.shared.world;
        world.awake(at).await;
        // The last words of a process that is gone were lost.
        if world.life(at) != life {
            return;
        }
        let Ok(holding) = told else { return };
        world.trace.say(&format!(
            "lock {} at {}",
            holding.token, holding.header.revision
        ));
        self.clients.lockbook().grants.push(Grant {
            key: holding.key.clone(),
            token: holding.token,
            at: holding.header.revision,
        });
        self.clients.shared.writes.fetch_add(1, Ordering::Relaxed);
        self.hold(&holding, lease, third).await;
    }

    /// Writes for a while, awake or not, and goes.
    async fn hold(&mut self, holding: &Holding, lease: i64, third: Duration) {
        let sleeps = self.rng.random_range(0..4) == 0;
        if sleeps {
            let long = self.rng.random_range(2..8);
            sleep(third * long).await;
        }
        for _ in 0..self.rng.random_range(1..5) {
            self.write(holding).await;
            let pause = self.rng.random_range(50..700);
            sleep(Duration::from_millis(pause)).await;
            if !sleeps {
                let _whatever = self.ask(Command::RenewLease { lease }).await;
            }
        }
        match self.rng.random_range(0..3) {
            0 => {
                if let Some((_at, node)) = self.node() {
                    let deadline = Instant::now() + PATIENCE;
                    let resigned =
                        node.resign(&Author::Nobody, &holding.key, holding.token, deadline);
                    let _whatever = resigned.await;
                }
            }
            1 => {
                let _whatever = self.ask(Command::RevokeLease { lease }).await;
            }
            _ => {}
        }
    }

    /// Writes the token, fenced with itself.
    async fn write(&mut self, holding: &Holding) {
        let put = Put {
            key: Bytes::from_static(DATA),
            value: holding.token.to_string().into(),
            lease: 0,
            prev_kv: false,
            ignore_value: false,
            ignore_lease: false,
        };
        let txn = Txn {
            compare: vec![fence(&holding.key, holding.token)],
            then: vec![Operation::Put(put)],
            otherwise: Vec::new(),
        };
        if let Some(Reply::Txn { succeeded, .. }) = self.ask(Command::Txn(txn)).await {
            let book = &mut *self.clients.lockbook();
            let counter = if succeeded {
                &mut book.written
            } else {
                &mut book.fenced_off
            };
            *counter += 1;
        }
    }

    fn node(&mut self) -> Option<(usize, Node)> {
        let world = &self.clients.shared.world;
        let running = world.running_at();
        let place = self.rng.random_range(0..running.len().max(1));
        let at = *running.get(place)?;
        Some((at, world.node(at)?))
    }

    /// Asks any node; none when there was no answer, or a no.
    async fn ask(&mut self, command: Command) -> Option<Reply> {
        let Some((at, node)) = self.node() else {
            sleep(PATIENCE / 10).await;
            return None;
        };
        let world = self.clients.shared.world.clone();
        let life = world.life(at);
        let proposal = Proposal {
            request: None,
            author: Author::Nobody,
            command,
        };
        let answer = node.propose(proposal, Instant::now() + PATIENCE).await;
        world.awake(at).await;
        let (_header, outcome) = answer.ok()?;
        outcome.result.ok().filter(|_| world.life(at) == life)
    }
}

/// Holds as long as the lock is held by the key that was created then.
pub(super) fn fence(key: &Bytes, token: Revision) -> Compare {
    Compare {
        keys: KeyRange::One(key.clone()),
        relation: Relation::Equal,
        target: CompareTarget::CreateRevision(token.0),
    }
}
