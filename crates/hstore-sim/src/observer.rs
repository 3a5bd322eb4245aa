//! Whoever looks: it has the laws look at the cluster again and again, and collects what each
//! revision wrote before compaction drops it.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures::future::select_all;
use hstore_check::history::{LogEntry, LogRecord};
use hstore_core::auth::Author;
use hstore_core::id::Revision;
use hstore_node::{Consistency, Node};
use tokio::time::{Instant, sleep, timeout};

use crate::invariants::{Court, Sight};
use crate::ledger::Tape;
use crate::steward::Steward;
use crate::stranger;
use crate::workload::Clients;
use crate::world::World;

/// How often the nodes are looked at.
const LOOK: Duration = Duration::from_millis(100);

/// Every so many looks the disks are looked at too, and what was written is collected.
const DISKS_EVERY: u64 = 20;

/// How long reading the history of one key may take.
const READ_MAX: Duration = Duration::from_secs(2);

/// The observer. Clones are the same one.
#[derive(Clone)]
pub struct Observer {
    world: World,
    steward: Steward,
    clients: Clients,
    court: Arc<Mutex<Court>>,
    /// The committed log, where it is judged.
    tape: Option<Arc<Mutex<Tape>>>,
}

impl Observer {
    /// An observer that has seen nothing yet.
    pub fn new(world: World, steward: Steward, clients: Clients) -> Observer {
        Observer {
            world,
            steward,
            tape: clients.ledger().map(|_| Arc::default()),
            clients,
            court: Arc::default(),
        }
    }

    /// The committed log as far as it was seen; none where nobody asks for it.
    pub fn tape(&self) -> Option<Tape> {
        let tape = self.tape.as_ref()?;
        Some(tape.lock().unwrap_or_else(PoisonError::into_inner).clone())
    }

    fn court(&self) -> MutexGuard<'_, Court> {
        self.court.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// How the laws were broken so far.
    pub fn broken(&self) -> Vec<String> {
        self.court().broken().to_vec()
    }

    /// How often the laws looked.
    pub fn looks(&self) -> u64 {
        self.court().looks()
    }

    /// Looks once.
    pub fn look(&self, disks: bool) {
        let sight = Sight::of(&self.world, self.steward.loss(), disks);
        if let Some(tape) = &self.tape {
            let mut tape = tape.lock().unwrap_or_else(PoisonError::into_inner);
            tape.take(&sight);
        }
        for broken in self.court().look(&sight) {
            self.world.trace.say(&format!("broken: {broken}"));
        }
    }

    /// Looks for ever: at the disks now and then, and whenever somebody was started.
    pub async fn run(self) {
        let mut looks: u64 = 0;
        let mut starts = 0;
        let mut voted = false;
        loop {
            let now_starts = (0..self.world.seats())
                .map(|at| self.world.starts(at))
                .sum();
            let disks = looks.is_multiple_of(DISKS_EVERY) || starts != now_starts || voted;
            starts = now_starts;
            self.look(disks);
            if looks.is_multiple_of(DISKS_EVERY) {
                let running = self.world.running();
                let turn = looks / DISKS_EVERY;
                if let Some(node) = running.get(turn as usize % running.len().max(1)) {
                    if let Some(broken) = stranger::knock(node) {
                        self.court().hear(broken);
                    }
                    self.collect(node).await;
                }
            }
            looks += 1;
            voted = self.wait().await;
        }
    }

    /// Waits for the next look; whether a node's standing changed, whose vote must be on its disk
    /// in that very moment.
    async fn wait(&self) -> bool {
        let changes = self.world.running().into_iter().map(|node| {
            Box::pin(async move {
                let mut standing = node.standing();
                let term = standing.borrow_and_update().term;
                // A node that ends changes no more.
                if standing.wait_for(|now| now.term != term).await.is_err() {
                    std::future::pending::<()>().await;
                }
            })
        });
        let changes: Vec<_> = changes.collect();
        if changes.is_empty() {
            sleep(LOOK).await;
            return false;
        }
        timeout(LOOK, select_all(changes)).await.is_ok()
    }

    /// Collects what each revision wrote that this node has applied and nobody collected yet.
    pub async fn collect(&self, node: &Node) {
        let after = self.clients.collected();
        let mut upto = node.status().store.revision;
        let mut found: BTreeMap<Revision, Vec<(u32, LogRecord)>> = BTreeMap::new();
        for key in self.clients.keys() {
            let deadline = Instant::now() + READ_MAX;
            let read = node.history(
                &Author::Node,
                key,
                0,
                Revision(0),
                Consistency::Serializable,
                deadline,
            );
            let Ok((header, records)) = read.await else {
                return;
            };
            upto = upto.min(header.revision);
            for record in records {
                let meta = record.meta;
                if meta.mod_revision > after {
                    let value = (!meta.is_tombstone()).then_some(record.value);
                    let written = LogRecord {
                        key: record.key,
                        value,
                    };
                    let revision = found.entry(meta.mod_revision).or_default();
                    revision.push((meta.sub, written));
                }
            }
        }
        // Somebody else may have collected meanwhile.
        let after = after.max(self.clients.collected());
        let entries = found
            .into_iter()
            .filter(|(revision, _)| *revision > after && *revision <= upto)
            .map(|(revision, mut records)| {
                records.sort_by_key(|(sub, _record)| *sub);
                LogEntry {
                    revision,
                    records: records.into_iter().map(|(_sub, record)| record).collect(),
                    operation: None,
                }
            })
            .collect();
        self.clients.collect(entries);
    }
}
