//! Clients: they ask, they write down what they saw, and they never take silence for a no.
//!
//! Invariants: (1) a call is written down before it leaves and its answer after it arrived, on the
//! clock that all share; (2) a write that may have reached the log and has no answer is unknown,
//! never failed; (3) a write that is repeated carries its request id.

mod badge;
mod client;
mod lock_law;
mod locker;
mod mix;
mod tenant;
mod tuner;
mod warden;
mod watcher;

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures::future::join_all;
use hstore_check::history::{Call, ClientId, Consistency, History, LogEntry, Moment};
use hstore_check::recorder::Recorder;
use hstore_core::auth::Author;
use hstore_core::command::{Compact, Delete};
use hstore_core::id::{LogIndex, Revision};
use hstore_core::key::KeyRange;
use hstore_core::outcome::Reply;
use hstore_core::range::Range;
use hstore_node::Node;
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use tokio::sync::watch;
use tokio::time::sleep;

use self::badge::Badge;
use self::client::{Client, Course};
use self::lock_law::Lockbook;
use self::locker::Locker;
pub use self::mix::Mix;
use self::mix::{key, put, roughen};
use self::tenant::Tenant;
use self::tuner::Tuner;
use self::warden::Warden;
use self::watcher::Watcher;
pub use self::watcher::Watching;
use crate::ledger::{Ledger, applied};
use crate::steward::Steward;
use crate::world::World;

/// The calls of the last check: so many writes, and so many reads.
const PROBES: u32 = 10;

/// How long one of them may take in a cluster that is well.
const PROBE_MAX: Duration = Duration::from_secs(3);

struct Shared {
    world: World,
    mix: Mix,
    recorder: Mutex<Recorder>,
    /// Notes for the judgement of the committed log, where that is wanted.
    ledger: Option<Ledger>,
    clients: AtomicU64,
    values: AtomicU64,
    /// Writes that were acknowledged, reads that were answered.
    writes: AtomicU64,
    reads: AtomicU64,
    /// Renewals of leases that were acknowledged.
    renewals: AtomicU64,
    /// What those who lock saw.
    lockbook: Mutex<Lockbook>,
    /// How promises were broken that no history shows.
    accused: Mutex<Vec<String>>,
    /// The newest revision that is in the collected log: nobody drops history above it.
    collected: AtomicU64,
    /// The newest revision that a client was answered.
    newest: AtomicU64,
    /// The newest revision up to which history was dropped, as far as clients were answered.
    compacted: AtomicU64,
    /// The newest version of the settings that was acknowledged.
    settings: AtomicU64,
    /// Counts values of settings, so that each is asked for once.
    tunings: AtomicU64,
}

/// All clients. Clones are the same clients.
#[derive(Clone)]
pub struct Clients {
    shared: Arc<Shared>,
}

impl Clients {
    /// Nobody yet. What they ask is noted for the judgement of the log if that is wanted.
    pub fn new(world: World, mix: Mix, judges_the_log: bool) -> Clients {
        Clients {
            shared: Arc::new(Shared {
                world,
                mix,
                recorder: Mutex::new(Recorder::new()),
                ledger: judges_the_log.then(Ledger::default),
                clients: AtomicU64::new(0),
                values: AtomicU64::new(0),
                writes: AtomicU64::new(0),
                reads: AtomicU64::new(0),
                renewals: AtomicU64::new(0),
                lockbook: Mutex::default(),
                accused: Mutex::default(),
                collected: AtomicU64::new(0),
                newest: AtomicU64::new(0),
                compacted: AtomicU64::new(0),
                settings: AtomicU64::new(0),
                tunings: AtomicU64::new(0),
            }),
        }
    }

    fn recorder(&self) -> MutexGuard<'_, Recorder> {
        let recorder = &self.shared.recorder;
        recorder.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The notes for the judgement of the log, where that is wanted.
    pub fn ledger(&self) -> Option<&Ledger> {
        self.shared.ledger.as_ref()
    }

    /// As whom somebody asks to whom no rights apply. Without users nobody says who they are.
    fn insider(&self) -> Author {
        if self.shared.mix.wardens > 0 {
            Author::Node
        } else {
            Author::Nobody
        }
    }

    /// The first place of the log by which a read may be decided that begins now: a linearizable one
    /// sees what any node has applied. None where nobody wants to know.
    fn decided_from(&self, node: &Node, consistency: hstore_node::Consistency) -> Option<LogIndex> {
        self.ledger()?;
        let here = applied(node);
        if consistency == hstore_node::Consistency::Serializable {
            return Some(here);
        }
        let nodes = self.shared.world.running();
        Some(nodes.iter().map(applied).fold(here, LogIndex::max))
    }

    fn now(&self) -> Moment {
        Moment(self.shared.world.trace.elapsed().as_nanos() as u64)
    }

    /// A value that nobody else writes.
    fn unique(&self) -> String {
        let number = self.shared.values.fetch_add(1, Ordering::Relaxed);
        format!("v{number}")
    }

    fn number(&self) -> ClientId {
        ClientId(self.shared.clients.fetch_add(1, Ordering::Relaxed) + 1)
    }

    fn client(&self, named: bool) -> Client {
        let number = self.number();
        let seed = self.shared.world.draw();
        Client::new(self.clone(), number, named, seed)
    }

    /// One client, until the storm is over.
    pub async fn run(self, over: watch::Receiver<bool>) {
        let mut client = self.client(true);
        let mut rng = StdRng::seed_from_u64(self.shared.world.draw());
        client.name(rng.random_range(0..3) < 2);
        let is_user = self.shared.mix.wardens > 0 && rng.random_range(0..10) < 8;
        if is_user {
            client.is_user(Badge::new(warden::user(&mut rng)));
        }
        while !*over.borrow() {
            let pause = self.shared.mix.pause;
            sleep(rng.random_range(Duration::ZERO..2 * pause)).await;
            let unique = self.unique();
            let mut call = self.shared.mix.draw(&mut rng, client.memory(), &unique);
            if is_user {
                call = self.shared.mix.nested(&mut rng, call, &unique);
            }
            if self.shared.mix.rough {
                roughen(&mut call);
            }
            if let Call::Compact(compact) = &mut call {
                // What was not looked at yet must stay readable.
                let collected = self.shared.collected.load(Ordering::Relaxed) as i64;
                compact.revision = Revision(compact.revision.0.min(collected));
                if compact.revision.0 < 2 {
                    continue;
                }
            }
            let first = rng.random_range(0..64);
            let patience = Duration::from_millis(rng.random_range(1_500..8_000));
            client.call(call, Course::within(first, patience)).await;
        }
    }

    /// One client that lives on leases, until the storm is over.
    pub async fn live_on_leases(self, nth: u32, over: watch::Receiver<bool>) {
        Tenant::new(self, nth).run(over).await;
    }

    /// Makes users and roles before anything else happens, and has them asked who they are.
    pub async fn found_users(&self) {
        Warden::new(self.clone()).found().await;
    }

    /// One who changes users and roles, until the storm is over.
    pub async fn guard(self, over: watch::Receiver<bool>) {
        Warden::new(self).run(over).await;
    }

    /// One who changes settings, until the storm is over.
    pub async fn tune(self, steward: Steward, over: watch::Receiver<bool>) {
        Tuner::new(self, steward).run(over).await;
    }

    /// What is set and not done yet, at nodes or by the membership.
    pub fn undone(&self) -> Option<String> {
        self.shared.world.running().iter().find_map(tuner::undone)
    }

    /// Deletes all keys and drops history, through some node, so that there is room again; whoever
    /// looks has to have collected what was written. Whether it was done.
    pub async fn make_room(&self, at: usize) -> bool {
        let mut client = self.client(true);
        let delete = Call::Delete(Delete {
            keys: KeyRange::all(),
            prev_kv: false,
        });
        client.call(delete, Course::through(at, PROBE_MAX)).await
    }

    /// One client that locks, until the storm is over.
    pub async fn lock(self, over: watch::Receiver<bool>) {
        Locker::new(self).run(over).await;
    }

    fn lockbook(&self) -> MutexGuard<'_, Lockbook> {
        let lockbook = &self.shared.lockbook;
        lockbook.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// One client that watches, until it is told what the newest revision is and has heard all up to
    /// there; what it did not hear in time.
    pub async fn listen(
        self,
        nth: u32,
        finish: watch::Receiver<Option<Revision>>,
    ) -> Option<String> {
        let id = self.number();
        Watcher::new(self, id, nth, finish).run().await
    }

    /// An answer arrived.
    fn saw(&self, revision: Revision, reply: &Reply, call: &Call) {
        let shared = &self.shared;
        let newest = revision.0.max(0) as u64;
        shared.newest.fetch_max(newest, Ordering::Relaxed);
        if let (Call::Compact(compact), Reply::Compact) = (call, reply) {
            let compacted = compact.revision.0.max(0) as u64;
            shared.compacted.fetch_max(compacted, Ordering::Relaxed);
        }
    }

    /// The newest revision that a client was answered.
    fn newest(&self) -> Revision {
        Revision(self.shared.newest.load(Ordering::Relaxed) as i64)
    }

    /// The revision up to which history was dropped last, as far as anybody knows; at least 1.
    fn compacted(&self) -> Revision {
        let compacted = self.shared.compacted.load(Ordering::Relaxed) as i64;
        Revision(compacted.max(1))
    }

    fn accuse(&self, what: String) {
        let mut accused = self
            .shared
            .accused
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        accused.push(what);
    }

    /// How promises were broken that no history shows: those that clients met, and leases and
    /// their keys that do not end although all is calm.
    pub async fn broken_promises(&self, node: Option<&Node>) -> Vec<String> {
        if let Some(node) = node
            && let Some(what) = tenant::outlived(self, node).await
        {
            self.accuse(what);
        }
        if let Some(node) = node
            && self.shared.mix.lockers > 0
        {
            for what in lock_law::broken(self, node).await {
                self.accuse(what);
            }
        }
        let accused = self
            .shared
            .accused
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        accused.clone()
    }

    /// Many writes at once through one place; how many were answered, with yes or with no.
    pub async fn burst(&self, at: usize, count: usize, bytes: usize, salt: u64) -> usize {
        let mut rng = StdRng::seed_from_u64(salt);
        let keys = self.shared.mix.keys.max(1);
        let writes = (0..count).map(|_nth| {
            let unique = self.unique();
            let key = key(rng.random_range(0..keys));
            let mut client = self.client(false);
            async move {
                let call = Call::Put(put(key, &unique, bytes, false));
                let course = Course::through(at, Duration::from_secs(4));
                client.call(call, course).await
            }
        });
        let answered = join_all(writes).await;
        answered.into_iter().filter(|answered| *answered).count()
    }

    /// Drops as much history as may be dropped.
    pub async fn compact(&self, at: usize, strength: u32) -> bool {
        let collected = self.shared.collected.load(Ordering::Relaxed) as i64;
        let revision = Revision(collected * i64::from(strength.max(50)) / 100);
        if revision.0 < 2 {
            return false;
        }
        let call = Call::Compact(Compact { revision });
        let course = Course::through(at, Duration::from_secs(4));
        self.client(false).call(call, course).await
    }

    /// Ten writes and ten reads through all members; how many were answered in time.
    pub async fn probe(&self, members: &[usize]) -> u32 {
        let mut answered = 0;
        let mut client = self.client(true);
        for nth in 0..PROBES {
            let at = members[nth as usize % members.len()];
            let unique = self.unique();
            let write = Call::Put(put(
                key(nth % self.shared.mix.keys.max(1)),
                &unique,
                0,
                true,
            ));
            let read = Call::Range {
                range: Range::of(KeyRange::all()),
                consistency: Consistency::Linearizable,
            };
            for call in [write, read] {
                let course = Course::through(at, PROBE_MAX);
                answered += u32::from(client.call(call, course).await);
            }
        }
        answered.saturating_sub(client.refused_for_room())
    }

    /// Takes over what a node has applied since the last look, so that the judge knows what each
    /// revision wrote.
    pub fn collect(&self, entries: Vec<LogEntry>) {
        let mut collected = self.shared.collected.load(Ordering::Relaxed);
        for entry in &entries {
            collected = collected.max(entry.revision.0 as u64);
        }
        self.shared.collected.store(collected, Ordering::Relaxed);
        self.recorder().log(entries);
    }

    /// The newest revision that was collected.
    pub fn collected(&self) -> Revision {
        let collected = self.shared.collected.load(Ordering::Relaxed);
        Revision((collected as i64).max(Revision::EMPTY.0))
    }

    /// Every key that may have been written.
    pub fn keys(&self) -> Vec<bytes::Bytes> {
        let own = self.shared.mix.tenants;
        (0..self.shared.mix.keys.max(1) + own).map(key).collect()
    }

    /// Writes that were acknowledged, and reads that were answered.
    pub fn counts(&self) -> (u64, u64) {
        let shared = &self.shared;
        (
            shared.writes.load(Ordering::Relaxed),
            shared.reads.load(Ordering::Relaxed),
        )
    }

    /// What was written down.
    pub fn history(&self) -> History {
        self.recorder().history().clone()
    }
}
