//! Following etcd: each of its revisions becomes one change here, of exactly that revision.
//!
//! Invariants: (1) revisions are handed to the node in their order, one by one, without a gap; (2) what
//! waits for the node is bounded in number and bytes; (3) a change that came to another revision than
//! etcd's ends the import for good: nothing after it can be right.

use std::collections::{BTreeSet, VecDeque};
use std::pin::Pin;

use futures::FutureExt as _;
use hstore_core::command::{Command, Delete, GrantLease, Operation, Put, Txn};
use hstore_core::error::ErrorCode;
use hstore_core::key::KeyRange;
use hstore_core::outcome::{LeaseReply, Outcome, Refusal, Reply};
use hstore_node::NodeError;
use hstore_proto::etcdserverpb::WatchResponse;
use hstore_proto::mvccpb::Event;
use hstore_proto::mvccpb::event::EventType;
use tokio::task::unconstrained;
use tonic::{Status, Streaming};

use super::source::{Etcd, compacted};
use super::target::{Target, changed, propose};
use crate::fault::Fault;

/// How many changes wait for the node.
const WAITING_MAX: usize = 256;
/// How many bytes of changes wait for the node.
const WAITING_BYTES_MAX: usize = 16 * 1024 * 1024;
/// What a lease is given that etcd has forgotten already: its keys go with a later revision.
const FORGOTTEN_TTL_S: i64 = 60;

type Change = Pin<Box<dyn Future<Output = Result<Outcome, NodeError>> + Send>>;

/// What is on its way to the node.
struct Waiting {
    revision: i64,
    bytes: usize,
    change: Change,
}

/// All events of one revision, or those that came so far.
struct Group {
    revision: i64,
    events: Vec<Event>,
}

/// Follows etcd from where the store is.
pub(super) struct Follower<'a> {
    etcd: &'a Etcd,
    target: &'a Target,
    watch: Option<Streaming<WatchResponse>>,
    leases: BTreeSet<i64>,
    /// The revision that etcd has not told whole yet.
    open: Option<Group>,
    /// Whole revisions that the node has no room for yet: those of one answer of etcd's.
    ready: VecDeque<Group>,
    waiting: VecDeque<Waiting>,
    waiting_bytes: usize,
    /// The last revision that etcd told whole.
    received: i64,
    /// The last revision that was handed to the node.
    handed: i64,
    /// The last revision that the node has.
    pub(super) applied: i64,
    /// The newest revision that etcd spoke of.
    pub(super) seen: i64,
    /// How many revisions were taken over.
    pub(super) taken: u64,
}

/// What happened next.
enum Next {
    Told(Result<Option<WatchResponse>, Status>),
    Changed(Result<Outcome, NodeError>),
}

impl<'a> Follower<'a> {
    /// A follower that begins behind the revision of the store.
    pub(super) fn new(etcd: &'a Etcd, target: &'a Target, leases: BTreeSet<i64>) -> Follower<'a> {
        let revision = target.revision().0;
        Follower {
            etcd,
            target,
            watch: None,
            leases,
            open: None,
            ready: VecDeque::new(),
            waiting: VecDeque::new(),
            waiting_bytes: 0,
            received: revision,
            handed: revision,
            applied: revision,
            seen: revision,
            taken: 0,
        }
    }

    /// Whether the node has everything that was handed to it.
    pub(super) fn is_settled(&self) -> bool {
        self.waiting.is_empty() && self.ready.is_empty()
    }

    /// Follows until the node has this revision.
    pub(super) async fn reach(&mut self, revision: i64) -> Result<(), Fault> {
        while self.applied < revision {
            self.step().await?;
        }
        Ok(())
    }

    /// Waits for what happens next, and takes it over. Cancel safe: whatever was taken from a stream
    /// is put away before anything else is waited for.
    pub(super) async fn step(&mut self) -> Result<(), Fault> {
        let full = self.waiting.len() >= WAITING_MAX || self.waiting_bytes >= WAITING_BYTES_MAX;
        if !full && let Some(group) = self.ready.front() {
            // A lease is made before the first key that is attached to it.
            let unknown = group.leases().find(|lease| !self.leases.contains(lease));
            return match unknown {
                Some(lease) => self.know(lease).await,
                None => self.hand(),
            };
        }
        if self.watch.is_none() {
            self.open = None;
            self.watch = Some(self.etcd.watch(self.received + 1).await?);
        }
        let Some(watch) = &mut self.watch else {
            return Ok(());
        };
        let next = match self.waiting.front_mut() {
            Some(front) if full => Next::Changed((&mut front.change).await),
            Some(front) => tokio::select! {
                biased; // Answers make room; etcd's news can wait in its stream.
                outcome = &mut front.change => Next::Changed(outcome),
                response = watch.message() => Next::Told(response),
            },
            None => Next::Told(watch.message().await),
        };
        match next {
            Next::Changed(outcome) => self.settle(outcome),
            Next::Told(Ok(Some(response))) => self.take(response),
            // The member is gone, or does not want to go on: another one does.
            Next::Told(Ok(None) | Err(_)) => {
                self.watch = None;
                Ok(())
            }
        }
    }

    fn settle(&mut self, outcome: Result<Outcome, NodeError>) -> Result<(), Fault> {
        let Some(done) = self.waiting.pop_front() else {
            return Ok(());
        };
        self.waiting_bytes -= done.bytes;
        let outcome = changed(outcome)?;
        let is_right =
            outcome.revision.0 == done.revision && matches!(outcome.result, Ok(Reply::Txn { .. }));
        if !is_right {
            return Err(diverged(done.revision, &outcome));
        }
        self.applied = done.revision;
        self.taken += 1;
        Ok(())
    }

    /// Puts away what etcd told, in whole revisions.
    fn take(&mut self, response: WatchResponse) -> Result<(), Fault> {
        if response.compact_revision > 0 {
            return Err(compacted(format!(
                "{} has no changes before revision {} any more, and {} is needed",
                self.etcd.name,
                response.compact_revision,
                self.received + 1
            )));
        }
        if response.canceled {
            self.watch = None;
            return Ok(());
        }
        let told = response.header.map_or(0, |header| header.revision);
        self.seen = self.seen.max(told);
        for event in response.events {
            let revision = event.kv.as_ref().map_or(0, |pair| pair.mod_revision);
            if revision <= self.received {
                continue;
            }
            match &mut self.open {
                Some(open) if open.revision == revision => open.events.push(event),
                _ => {
                    self.close();
                    let events = vec![event];
                    self.open = Some(Group { revision, events });
                }
            }
        }
        if !response.fragment {
            self.close();
        }
        Ok(())
    }

    /// The open revision is whole.
    fn close(&mut self) {
        if let Some(open) = self.open.take() {
            self.received = open.revision;
            self.seen = self.seen.max(open.revision);
            self.ready.push_back(open);
        }
    }

    /// Hands the next whole revision to the node.
    fn hand(&mut self) -> Result<(), Fault> {
        let Some(Group { revision, events }) = self.ready.pop_front() else {
            return Ok(());
        };
        if revision != self.handed + 1 {
            return Err(Fault::new(
                ErrorCode::Unsupported,
                format!(
                    "revision {} of {} shows no change, so it cannot be made here",
                    self.handed + 1,
                    self.etcd.name
                ),
            )
            .hint("remove the folder and begin anew: the import then begins behind it"));
        }
        let mut bytes = 0;
        let mut steps = Vec::with_capacity(events.len());
        for event in events {
            let kind = event.r#type();
            let pair = event.kv.unwrap_or_default();
            bytes += pair.key.len() + pair.value.len() + 64;
            steps.push(match kind {
                EventType::Put => Operation::Put(Put {
                    key: pair.key,
                    value: pair.value,
                    lease: pair.lease,
                    prev_kv: false,
                    ignore_value: false,
                    ignore_lease: false,
                }),
                EventType::Delete => Operation::Delete(Delete {
                    keys: KeyRange::One(pair.key),
                    prev_kv: false,
                }),
            });
        }
        let txn = Command::Txn(Txn {
            then: steps,
            ..Txn::default()
        });
        // The first poll puts it into the node's queue, in this order and no other: it must not be
        // put off for the sake of other tasks.
        let mut change: Change = Box::pin(unconstrained(propose(self.target.node.clone(), txn)));
        let early = (&mut change).now_or_never();
        if let Some(outcome) = early {
            change = Box::pin(std::future::ready(outcome));
        }
        self.waiting.push_back(Waiting {
            revision,
            bytes,
            change,
        });
        self.waiting_bytes += bytes;
        self.handed = revision;
        Ok(())
    }

    /// Makes a lease that was not known. It may be made twice: the second time it is there.
    async fn know(&mut self, lease: i64) -> Result<(), Fault> {
        let found = self.etcd.lease(lease).await?;
        let ttl = found.map_or(FORGOTTEN_TTL_S, |found| found.granted);
        grant(self.target, lease, ttl).await?;
        self.leases.insert(lease);
        Ok(())
    }
}

impl Group {
    /// The leases that keys of it are attached to.
    fn leases(&self) -> impl Iterator<Item = i64> {
        let pairs = self.events.iter().filter_map(|event| event.kv.as_ref());
        pairs.map(|pair| pair.lease).filter(|lease| *lease != 0)
    }
}

/// Makes a lease, unless it is there.
pub(super) async fn grant(target: &Target, lease: i64, ttl: i64) -> Result<(), Fault> {
    let grant = Command::GrantLease(GrantLease { lease, ttl });
    let outcome = target.change(grant).await?;
    match outcome.result {
        Ok(Reply::Lease(LeaseReply::Granted { .. })) | Err(Refusal::LeaseExists) => Ok(()),
        Err(refusal) => Err(Fault::new(
            refusal.code(),
            format!("lease {lease:x} cannot be made: {refusal}"),
        )),
        Ok(_) => Err(diverged(0, &outcome)),
    }
}

/// The store is not what etcd is: for ever.
fn diverged(revision: i64, outcome: &Outcome) -> Fault {
    let what = match &outcome.result {
        Ok(_) => format!("revision {}", outcome.revision),
        Err(refusal) => refusal.to_string(),
    };
    Fault::new(
        ErrorCode::Internal,
        format!("etcd's revision {revision} came to something else here: {what}"),
    )
    .hint("remove the folder and begin anew; etcd was not changed")
}
