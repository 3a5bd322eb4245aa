//! A client that lives on leases: it takes one, hangs a key on it, renews it for a while, and lets it
//! end or revokes it. Whatever the storm does, a lease must be there for as long as was promised.
//!
//! The promise counts from the moment in which the client asked, so no delay on the way can be
//! an excuse. That leases end at all, and take their keys along, is looked at when all is calm.

use std::time::Duration;

use hstore_check::history::Call;
use hstore_core::auth::Author;
use hstore_core::command::{Command, GrantLease, Proposal};
use hstore_core::key::KeyRange;
use hstore_core::outcome::{LeaseReply, Refusal, Reply};
use hstore_core::range::Range;
use hstore_node::{Consistency, Node};
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use tokio::sync::watch;
use tokio::time::{Instant, sleep};

use super::client::{Client, Course};
use super::mix::{key, put};
use super::{Clients, Ordering};

/// How long a tenant waits for one answer.
const PATIENCE: Duration = Duration::from_secs(3);

/// How many leases end within one command in a calm cluster, and then some.
const GONE_MAX: Duration = Duration::from_secs(20);

/// What came of a question about a lease.
enum Told {
    Yes(LeaseReply),
    No(Refusal),
    Nothing,
}

/// One tenant.
pub(super) struct Tenant {
    clients: Clients,
    client: Client,
    rng: StdRng,
    key: bytes::Bytes,
}

impl Tenant {
    pub(super) fn new(clients: Clients, nth: u32) -> Tenant {
        let key = key(clients.shared.mix.keys.max(1) + nth);
        Tenant {
            client: clients.client(false),
            rng: StdRng::seed_from_u64(clients.shared.world.draw()),
            clients,
            key,
        }
    }

    /// Lease after lease, until the storm is over.
    pub(super) async fn run(mut self, over: watch::Receiver<bool>) {
        while !*over.borrow() {
            self.lease(&over).await;
            let pause = Duration::from_millis(self.rng.random_range(50..1500));
            sleep(pause).await;
        }
    }

    async fn lease(&mut self, over: &watch::Receiver<bool>) {
        let lease = self.rng.random_range(1..=i64::MAX);
        let ttl = self.rng.random_range(2..9);
        let time = Duration::from_secs(ttl as u64);
        let mut promised = Instant::now() + time;
        let granted = self
            .ask(Command::GrantLease(GrantLease { lease, ttl }))
            .await;
        let Told::Yes(LeaseReply::Granted { .. }) = granted else {
            return;
        };
        let mut request = put(self.key.clone(), &self.clients.unique(), 0, false);
        request.lease = lease;
        let course = Course::within(self.rng.random_range(0..64), PATIENCE);
        self.client.call(Call::Put(request), course).await;
        for _ in 0..self.rng.random_range(0..8) {
            let pause = self.rng.random_range(Duration::ZERO..time * 2 / 3);
            sleep(pause).await;
            let asked = Instant::now();
            match self.ask(Command::RenewLease { lease }).await {
                Told::Yes(_) => {
                    promised = promised.max(asked + time);
                    self.clients.shared.renewals.fetch_add(1, Ordering::Relaxed);
                }
                Told::No(refusal) => {
                    self.gone(lease, promised, &refusal.to_string());
                    return;
                }
                Told::Nothing => {}
            }
            if *over.borrow() {
                return;
            }
        }
        match self.rng.random_range(0..3) {
            0 => match self.ask(Command::RevokeLease { lease }).await {
                Told::Yes(_) => self.look_after_the_end(lease).await,
                Told::No(refusal) => self.gone(lease, promised, &refusal.to_string()),
                Told::Nothing => {}
            },
            1 => self.look(lease, promised).await,
            _ => {}
        }
    }

    /// The lease is not there, or not any more, as somebody said until now.
    fn gone(&self, lease: i64, promised: Instant, who: &str) {
        let now = Instant::now();
        if now < promised {
            self.clients.accuse(format!(
                "leases_last: lease {lease} was gone {:?} before its time: {who}",
                promised - now
            ));
        }
    }

    async fn look(&mut self, lease: i64, promised: Instant) {
        let Some(node) = self.node() else { return };
        let deadline = Instant::now() + PATIENCE;
        if let Ok((_header, None)) = node.lease(&Author::Node, lease, false, deadline).await {
            self.gone(lease, promised, "it has no time");
        }
    }

    async fn look_after_the_end(&mut self, lease: i64) {
        let Some(node) = self.node() else { return };
        let deadline = Instant::now() + PATIENCE;
        if let Ok((_header, Some(found))) = node.lease(&Author::Node, lease, true, deadline).await {
            self.clients.accuse(format!(
                "leases_end: lease {lease} was revoked, and is there: {found:?}"
            ));
        }
    }

    fn node(&mut self) -> Option<Node> {
        let running = self.clients.shared.world.running();
        let place = self.rng.random_range(0..running.len().max(1));
        running.get(place).cloned()
    }

    async fn ask(&mut self, command: Command) -> Told {
        let world = self.clients.shared.world.clone();
        let at = self.rng.random_range(0..world.seats());
        let Some(node) = world.node(at) else {
            sleep(PATIENCE / 10).await;
            return Told::Nothing;
        };
        let life = world.life(at);
        let proposal = Proposal {
            request: None,
            author: self.clients.insider(),
            command,
        };
        let answer = node.propose(proposal, Instant::now() + PATIENCE).await;
        world.awake(at).await;
        match answer {
            // Its last words were lost with it.
            Ok(_) | Err(_) if world.life(at) != life => Told::Nothing,
            Ok((_header, outcome)) => match outcome.result {
                Ok(Reply::Lease(reply)) => Told::Yes(reply),
                Ok(_other) => Told::Nothing,
                Err(refusal) => Told::No(refusal),
            },
            Err(_error) => Told::Nothing,
        }
    }
}

/// Waits until no tenant's key is left; says which outlives its lease, or that nobody answers.
pub(super) async fn outlived(clients: &Clients, node: &Node) -> Option<String> {
    let until = Instant::now() + GONE_MAX;
    loop {
        let left = left(clients, node).await;
        if matches!(&left, Ok(left) if left.is_empty()) {
            return None;
        }
        if Instant::now() > until {
            let seconds = GONE_MAX.as_secs();
            return Some(match left {
                Ok(left) => format!(
                    "leases_end: after {seconds} s there are {}",
                    left.join(", ")
                ),
                Err(why) => format!("leases_end: not answered within {seconds} s: {why}"),
            });
        }
        sleep(PATIENCE / 10).await;
    }
}

/// The leases and the keys of leases that are there, in words; or why nobody can say.
async fn left(clients: &Clients, node: &Node) -> Result<Vec<String>, String> {
    let deadline = Instant::now() + PATIENCE;
    let (_header, leases) = node
        .leases(&Author::Node, deadline)
        .await
        .map_err(|error| error.to_string())?;
    let mut left: Vec<String> = leases.iter().map(|id| format!("lease {id}")).collect();
    for key in clients.keys() {
        let range = Range::of(KeyRange::One(key));
        let read = node.range(&Author::Node, range, Consistency::Linearizable, deadline);
        let (_header, result) = read.await.map_err(|error| error.to_string())?;
        let result = result.map_err(|refusal| refusal.to_string())?;
        let leased = result.records.iter().filter(|r| r.meta.lease != 0);
        left.extend(leased.map(|record| format!("key {:?}", record.key)));
    }
    Ok(left)
}
