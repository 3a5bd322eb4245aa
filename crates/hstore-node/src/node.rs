//! The handle of one replica: what a server, a test or a simulator holds.
//!
//! Invariants: (1) a clone is the same node; (2) once the node has failed it gives no answer
//! again; (3) every call returns by its deadline.

use std::fmt;
use std::sync::atomic::Ordering;
use std::sync::{Arc, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use futures::future::join_all;
use hstore_core::auth::{Auth, Author};
use hstore_core::codec::encode_proposal;
use hstore_core::command::{Command, Proposal};
use hstore_core::error::ErrorCode;
use hstore_core::id::{ClusterId, Incarnation, NodeId, Revision};
use hstore_core::membership::Member;
use hstore_core::outcome::{Outcome, Refusal, Reply};
use hstore_core::range::{Range, RangeResult};
use hstore_core::record::Record;
use hstore_storage::store::{Attempt, Room, Store, StoreFault, Unbounded, Untold};
use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::{Instant, sleep, timeout_at};

use crate::answers::Allowance;
use crate::bent;
use crate::config::NodeConfig;
use crate::env::{Duplex, Env, Hello};
use crate::error::{AcceptError, NodeError, StartError, StopReason};
use crate::fate::reason_of;
use crate::follow::{self, Guest};
use crate::inner::{Done, Inner, Step};
use crate::peer::RoundTrips;
use crate::raft::kind;
use crate::serve;
use crate::start;
use crate::status::{
    Allocation, Consistency, Header, JoinProgress, Lease, MemberAnswer, MemberStatus, NodeStatus,
    Role, Standing, StoreStatus, WatchStatus,
};
use crate::watch::WatchStream;
use crate::wire::answer_in;

/// The most incoming connections; one more is refused.
const SESSIONS_MAX: usize = 1024;

/// The most events of a join that nobody has taken; then the join waits.
const JOIN_EVENTS_MAX: usize = 16;

/// After how many election timeouts without a leader those who asked hear of it, as in etcd.
const LEADERLESS_TICKS: u32 = 3;

/// The longest note that is kept and told.
const NOTE_BYTES_MAX: usize = 16 * 1024;

/// The pause between two looks at a node that is catching up.
const JOIN_PAUSE: Duration = Duration::from_millis(50);

/// One replica.
#[derive(Clone)]
pub struct Node {
    pub(crate) inner: Arc<Inner>,
}

impl fmt::Debug for Node {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Node")
            .field("node", &self.inner.identity.node)
            .finish_non_exhaustive()
    }
}

impl Node {
    /// Starts the node of a data folder that has an identity. A folder that is `Founding` founds
    /// its cluster; one that is `Joining` waits to be added by a member.
    pub async fn start(config: NodeConfig, env: Env) -> Result<Node, StartError> {
        // In a box: it is a deep nest of calls, and is held by everything that calls this.
        let inner = Box::pin(start::start(config, env)).await?;
        Ok(Node { inner })
    }

    /// Takes an incoming connection of a peer.
    pub fn accept(&self, hello: &Hello, duplex: Duplex) -> Result<(), AcceptError> {
        let inner = &self.inner;
        if inner.fate.reason().is_some() || inner.tasks.is_stopping() {
            return Err(AcceptError::Unavailable);
        }
        inner.directory.admit(hello)?;
        if inner.sessions.fetch_add(1, Ordering::SeqCst) >= SESSIONS_MAX {
            inner.sessions.fetch_sub(1, Ordering::SeqCst);
            return Err(AcceptError::Unavailable);
        }
        let serving = serve::serve(inner.clone(), *hello, duplex);
        let sessions = inner.sessions.clone();
        inner.tasks.spawn("session", async move {
            serving.await;
            sessions.fetch_sub(1, Ordering::SeqCst);
        });
        Ok(())
    }

    /// Changes the store. The command must have passed the checks of the door.
    pub async fn propose(
        &self,
        proposal: Proposal,
        deadline: Instant,
    ) -> Result<(Header, Outcome), NodeError> {
        self.check_working()?;
        if let Some(outcome) = bent::refused_here(&self.inner, &proposal) {
            return Ok((self.inner.header(outcome.revision), outcome));
        }
        let proposal = bent::vouched(self, proposal);
        let repeatable = proposal.request.is_some();
        let bytes = encode_proposal(&proposal);
        let proposed = self.inner.queue.propose(bytes, repeatable, deadline).await;
        match proposed {
            Ok(outcome) => {
                self.check_alive_after_handing_on()?;
                Ok((self.inner.header(outcome.revision), outcome))
            }
            // Its queue is gone with the node.
            Err(NodeError::ShuttingDown) => Err(self.stopped()),
            Err(error) => Err(error),
        }
    }

    /// The cluster that this node is a part of.
    pub fn cluster_id(&self) -> ClusterId {
        self.inner.identity.cluster
    }

    /// Who may do what, as far as this node has applied.
    pub fn auth(&self) -> Arc<Auth> {
        self.inner.consensus.store().auth()
    }

    /// Waits until this node has applied what was committed before the call.
    pub async fn caught_up(&self, deadline: Instant) -> Result<(), NodeError> {
        self.ready(Consistency::Linearizable, deadline).await?;
        self.check_alive()
    }

    /// Reads the store for somebody whose answer is small: one key, a few, or a number of keys.
    pub async fn range(
        &self,
        author: &Author,
        range: Range,
        consistency: Consistency,
        deadline: Instant,
    ) -> Result<(Header, Result<RangeResult, Refusal>), NodeError> {
        self.range_within(author, range, consistency, deadline, None)
            .await
    }

    /// The room of an answer that is about to be made; held as long as the answer is.
    pub fn allowance(&self) -> Arc<Allowance> {
        self.inner.answers.allowance()
    }

    /// Reads the store for somebody, as far as the answer has room, if that is bounded.
    pub async fn range_within(
        &self,
        author: &Author,
        range: Range,
        consistency: Consistency,
        deadline: Instant,
        allowance: Option<Arc<Allowance>>,
    ) -> Result<(Header, Result<RangeResult, Refusal>), NodeError> {
        self.ready(consistency, deadline).await?;
        let store = self.inner.consensus.store();
        let read = match store.try_range_within(author, &range, room(allowance.as_ref())) {
            Ok(Attempt::Read(read)) => read,
            Ok(Attempt::NoRoom) => return Err(NodeError::Overloaded),
            Ok(Attempt::NeedsDisk) => {
                let author = author.clone();
                let read = move |store: &Store| {
                    store.range_within(&author, &range, room(allowance.as_ref()))
                };
                let read = self.read_on_lane(deadline, read).await?;
                read.ok_or(NodeError::Overloaded)?
            }
            Err(fault) => return Err(self.failed_with(&fault)),
        };
        self.check_alive()?;
        Ok((self.inner.header(read.revision), read.result))
    }

    /// The records of one key, tombstones too, newest first: at most `limit` of them (0 is no
    /// limit), all below the revision `before` (0 is no bound).
    pub async fn history(
        &self,
        author: &Author,
        key: Bytes,
        limit: u64,
        before: Revision,
        consistency: Consistency,
        deadline: Instant,
    ) -> Result<(Header, Vec<Record>), NodeError> {
        self.ready(consistency, deadline).await?;
        let limit = usize::try_from(limit).unwrap_or(usize::MAX);
        let author = author.clone();
        let room = self.allowance();
        let (revision, records) = self
            .read_on_lane(deadline, move |store| {
                let records = store.history_within(&author, &key, limit, before, &*room)?;
                Ok((store.revision(), records))
            })
            .await?;
        self.check_alive()?;
        let records = records.map_err(|untold| match untold {
            Untold::Denied(refusal) => NodeError::Denied(refusal),
            Untold::NoRoom => NodeError::Overloaded,
        })?;
        Ok((self.inner.header(revision), records))
    }

    /// What is known of a lease, with its keys where they are asked for; none when there is no such
    /// lease, or its time is over.
    pub async fn lease(
        &self,
        author: &Author,
        lease: i64,
        with_keys: bool,
        deadline: Instant,
    ) -> Result<(Header, Option<Lease>), NodeError> {
        self.ready(Consistency::Linearizable, deadline).await?;
        let author = author.clone();
        let (revision, found) = self
            .read_on_lane(deadline, move |store| {
                let found = store.lease_for(&author, lease, with_keys);
                Ok((store.revision(), found))
            })
            .await?;
        self.check_alive()?;
        let found = found?;
        let now = self.inner.consensus.lease_clock().now();
        let found = found.map(|(state, keys)| Lease {
            ttl: state.ttl,
            remaining: Duration::from_millis(state.ends.0.saturating_sub(now.0)),
            keys,
        });
        let living = found.filter(|lease| !lease.remaining.is_zero());
        Ok((self.inner.header(revision), living))
    }

    /// Every lease, in the order of ids.
    pub async fn leases(
        &self,
        author: &Author,
        deadline: Instant,
    ) -> Result<(Header, Vec<i64>), NodeError> {
        self.ready(Consistency::Linearizable, deadline).await?;
        let author = author.clone();
        let (revision, leases) = self
            .read_on_lane(deadline, move |store| {
                Ok((store.revision(), store.leases_for(&author)))
            })
            .await?;
        self.check_alive()?;
        Ok((self.inner.header(revision), leases?))
    }

    /// Opens a stream of watches. It tells what this node has applied, which may be behind what
    /// others have, and ends when the node does.
    pub fn watch(&self) -> Result<WatchStream, NodeError> {
        self.check_working()?;
        WatchStream::open(&self.inner.hub, self.inner.archive())
    }

    /// Resolves when no leader with a majority behind it has been known for three election
    /// timeouts in a row. For those who would rather hear that than nothing.
    pub async fn leader_lost(&self) {
        let tick = self.inner.config.election_max;
        let mut without = 0;
        while without < LEADERLESS_TICKS {
            sleep(tick).await;
            let is_led = self.inner.consensus.leader().is_some();
            without = if is_led { 0 } else { without + 1 };
        }
    }

    /// Gives a data folder its node id: the same one whenever the same folder asks, and the one that
    /// is kept for the address where its peers will reach it.
    pub async fn allocate(
        &self,
        author: &Author,
        incarnation: Incarnation,
        peer_address: &str,
        deadline: Instant,
    ) -> Result<Allocation, NodeError> {
        let node = loop {
            let proposal = Proposal {
                request: None,
                author: author.clone(),
                command: Command::AllocateNode {
                    incarnation,
                    peer_address: peer_address.to_owned(),
                },
            };
            match self.propose(proposal, deadline).await {
                Ok((_header, outcome)) => match outcome.result {
                    Ok(Reply::Node(node)) => break node,
                    Err(Refusal::Auth(refusal)) => return Err(NodeError::Denied(refusal)),
                    _ => return Err(NodeError::Invalid("the allocation was refused")),
                },
                // The same folder gets the same id, so asking again is safe.
                Err(NodeError::OutcomeUnknown) if Instant::now() < deadline => {
                    sleep(JOIN_PAUSE).await;
                }
                Err(error) => return Err(error),
            }
        };
        Ok(Allocation {
            cluster: self.inner.identity.cluster,
            cluster_name: self.inner.identity.cluster_name.clone(),
            node,
            membership: self.inner.consensus.standing().membership,
        })
    }

    /// Brings an allocated node into the cluster: learner, caught up, voter. The receiver ends
    /// after `Voter` or after an error. Calling it again resumes.
    pub fn add_member(
        &self,
        node: NodeId,
        member: Member,
        deadline: Instant,
    ) -> mpsc::Receiver<Result<JoinProgress, NodeError>> {
        let (events, receiver) = mpsc::channel(JOIN_EVENTS_MAX);
        let inner = self.inner.clone();
        self.inner.tasks.spawn("add member", async move {
            let step = Step::Advance(node, member);
            let mut said = None;
            loop {
                let result = inner.step(&step, deadline).await;
                let result = result.map(|done| match done {
                    Done::Advanced(progress) => progress,
                    Done::Other => JoinProgress::Learner,
                });
                let over = !matches!(
                    result,
                    Ok(JoinProgress::Learner | JoinProgress::CatchingUp { .. })
                );
                // Whoever asked may be gone; then nobody drives the join any more.
                let news = said.as_ref() != Some(&result);
                if news && events.send(result.clone()).await.is_err() || over {
                    return;
                }
                said = Some(result);
                tokio::select! {
                    biased;
                    () = events.closed() => return,
                    () = sleep(JOIN_PAUSE) => {}
                }
                // A node that never catches up makes every step succeed, and none the last.
                if Instant::now() >= deadline {
                    let _gone = events.send(Err(NodeError::Timeout)).await;
                    return;
                }
            }
        });
        receiver
    }

    /// Removes a member from the cluster.
    pub async fn remove_member(&self, node: NodeId, deadline: Instant) -> Result<(), NodeError> {
        self.check_alive()?;
        if self.notices().expected.contains_key(&node) {
            return self.release(node, deadline).await;
        }
        let step = Step::Remove(node);
        let removed = self
            .inner
            .tasks
            .seeded(self.inner.step(&step, deadline))
            .await;
        match removed {
            Ok(_done) => Ok(()),
            // It may be one that was added a moment ago, through another node.
            Err(error) if error.code() == ErrorCode::NodeNotFound => {
                self.caught_up(deadline).await?;
                if self.notices().expected.contains_key(&node) {
                    return self.release(node, deadline).await;
                }
                Err(error)
            }
            // This very node may be the one.
            Err(error) if node == self.inner.identity.node => match self.inner.fate.reason() {
                Some(StopReason::Removed) => Ok(()),
                _ => Err(error),
            },
            Err(error) => Err(error),
        }
    }

    /// Hands leadership to a voter, or to the best one; answers who leads afterwards.
    pub async fn transfer_leader(
        &self,
        to: Option<NodeId>,
        deadline: Instant,
    ) -> Result<NodeId, NodeError> {
        self.check_alive()?;
        let before = self.inner.consensus.leader();
        loop {
            let step = Step::HandOver(to);
            self.inner
                .tasks
                .seeded(self.inner.step(&step, deadline))
                .await?;
            let soon = Instant::now() + self.inner.config.election_max;
            let arrived = timeout_at(soon.min(deadline), self.led_by(to, before)).await;
            match arrived {
                Ok(leader) => return Ok(leader),
                Err(_elapsed) if Instant::now() >= deadline => return Err(NodeError::Timeout),
                Err(_elapsed) => {}
            }
        }
    }

    /// Waits until `to` leads, or anybody but `before`.
    async fn led_by(&self, to: Option<NodeId>, before: Option<NodeId>) -> NodeId {
        let mut changes = self.inner.consensus.changes();
        loop {
            let leader = self.inner.consensus.leader();
            let arrived = match to {
                Some(to) => leader == Some(to),
                None => leader.is_some() && leader != before,
            };
            if let Some(leader) = leader
                && arrived
            {
                return leader;
            }
            tokio::select! {
                biased;
                () = changes.next() => {}
                () = sleep(JOIN_PAUSE) => {}
            }
        }
    }

    /// Everything the node says of itself, as of now.
    pub fn status(&self) -> NodeStatus {
        let inner = &self.inner;
        let positions = inner.consensus.positions();
        let stats = inner.consensus.store().stats();
        let (streams, watches, waiting_bytes) = inner.hub.figures();
        let mut standing = inner.consensus.standing();
        if inner.fate.reason().is_some() {
            standing.role = Role::Stopped;
            standing.quorum = false;
        }
        let notices = inner.consensus.store().notices();
        let effective = inner.effective();
        NodeStatus {
            cluster: inner.identity.cluster,
            cluster_name: inner.identity.cluster_name.clone(),
            node: inner.identity.node,
            incarnation: inner.identity.incarnation,
            member: inner.member(),
            standing,
            version: inner.config.version.clone(),
            uptime: inner.started.elapsed(),
            last: positions.last,
            committed: positions.committed,
            applied: stats.applied,
            snapshot: positions.snapshot,
            purged: positions.purged,
            store: StoreStatus {
                revision: stats.revision,
                compacted: stats.compacted,
                keys: stats.keys,
                records: stats.records,
                recent_bytes: stats.recent_bytes,
                cache_hits: stats.cache_hits + stats.recent_hits,
                cache_misses: stats.cache_misses,
                cache_bytes: stats.cache_bytes,
                cache_bytes_max: effective.cache_bytes,
                blocks: stats.blocks,
                engine_bytes: stats.engine_bytes,
                room_bytes: stats.room_bytes(),
                live_bytes: stats.live_bytes + stats.recent_bytes,
                state_hash: stats.state_hash,
            },
            log_bytes: inner.consensus.log_stats().bytes,
            proposals_waiting: inner.queue.waiting(),
            reads_waiting: inner.reads.waiting(),
            watches: WatchStatus {
                streams,
                watches,
                waiting_bytes,
            },
            quota_bytes: effective.quota_bytes,
            alarms: notices.alarms.clone(),
            settings: inner.consensus.store().settings().version(),
        }
    }

    /// The requests of other nodes that are followed, as they leave from now on. None the second time,
    /// and where requests are not followed.
    pub fn guests(&self) -> Option<mpsc::Receiver<Guest>> {
        self.inner.guests.take()
    }

    /// Writes down what the program around the node has to say of itself. Whoever asks for the
    /// members is told it with the rest; the node does not read it. One that is too long is not
    /// taken.
    pub fn write_note(&self, note: Bytes) {
        if note.len() <= NOTE_BYTES_MAX {
            let kept = self.inner.note.lock();
            *kept.unwrap_or_else(PoisonError::into_inner) = note;
        }
    }

    /// What was written down last.
    pub fn note(&self) -> Bytes {
        self.inner.note()
    }

    /// How many leases there are, as far as this node has applied.
    pub async fn lease_count(&self, deadline: Instant) -> Result<u64, NodeError> {
        self.read_on_lane(deadline, |store| Ok(store.lease_count()))
            .await
    }

    /// How long each peer took to answer heartbeats, while this node led.
    pub fn round_trips(&self) -> Vec<(NodeId, RoundTrips)> {
        self.inner.caller.round_trips()
    }

    /// The header of an answer as of a revision.
    pub fn header(&self, revision: Revision) -> Header {
        self.inner.header(revision)
    }

    /// Follows role, term, leader and membership.
    pub fn standing(&self) -> watch::Receiver<Standing> {
        self.inner.standing.clone()
    }

    /// The status of every member; those that do not answer by the deadline are rows without an
    /// answer.
    pub async fn cluster(&self, deadline: Instant) -> Vec<MemberStatus> {
        let inner = &self.inner;
        let membership = inner.consensus.standing().membership;
        let rows = membership.members.iter().map(|(node, member)| {
            let voter = membership.is_voter(*node);
            async move {
                let answer = if *node == inner.identity.node {
                    let alive = inner.fate.reason().is_none();
                    alive.then(|| inner.member_answer())
                } else {
                    self.ask_status(*node, deadline).await
                };
                MemberStatus {
                    node: *node,
                    member: member.clone(),
                    voter,
                    answer,
                }
            }
        });
        join_all(rows).await
    }

    async fn ask_status(&self, node: NodeId, deadline: Instant) -> Option<MemberAnswer> {
        let asked = self
            .inner
            .caller
            .call(node, kind::STATUS, Bytes::new(), deadline);
        answer_in(&asked.await.ok()?)
    }

    pub(crate) fn inner(&self) -> &Arc<Inner> {
        &self.inner
    }

    /// Stops: refuses new work, hands leadership over, drains, flushes, closes. What is not done
    /// by the deadline is left to the next start.
    pub async fn stop(&self, deadline: Instant) {
        let inner = &self.inner;
        inner.stopping.store(true, Ordering::SeqCst);
        // Those who watch go to another node while this one hands over and drains.
        inner.hub.close();
        if inner.fate.reason().is_none() {
            let half = Instant::now() + deadline.saturating_duration_since(Instant::now()) / 2;
            if inner.consensus.standing().role == Role::Leader {
                let soon = half.min(Instant::now() + 2 * inner.config.election_max);
                let handing = inner.tasks.seeded(inner.members.hand_over(None));
                if let Ok(Ok(leader)) = timeout_at(soon, handing).await {
                    tracing::info!(%leader, "leadership was handed over");
                } else {
                    tracing::info!("nobody took the leadership over");
                }
            }
            // What is not drained by then hears "unknown" or "shutting down", as is true for it.
            let _drained = timeout_at(half, inner.queue.drained()).await;
            inner.fate.end(StopReason::Requested);
        }
        let mut closed = inner.closed.clone();
        let _closed = timeout_at(deadline, closed.wait_for(|closed| *closed)).await;
    }

    /// Ends the node at once, as a crash of its process would: nothing is handed over, drained,
    /// flushed or closed. For tests and simulators.
    pub fn abort(&self) {
        self.inner
            .fate
            .end(StopReason::Internal("aborted".to_owned()));
        self.inner.tasks.stop();
    }

    /// Resolves when the node has stopped, with the reason.
    pub async fn failed(&self) -> StopReason {
        self.inner.fate.ended().await
    }

    /// Tells why the node ended, if it has. It keeps nothing of the node alive.
    pub fn end_reason(&self) -> impl Fn() -> Option<StopReason> + Send + use<> {
        let fate = self.inner.fate.clone();
        move || fate.reason()
    }

    /// Waits until the store may be read.
    pub(crate) async fn ready(
        &self,
        consistency: Consistency,
        deadline: Instant,
    ) -> Result<(), NodeError> {
        self.check_working()?;
        match consistency {
            Consistency::Serializable => Ok(()),
            Consistency::Linearizable => match self.confirmed(deadline).await {
                Err(NodeError::ShuttingDown) => Err(self.stopped()),
                Err(NodeError::Timeout) if self.inner.consensus.leader().is_none() => {
                    Err(NodeError::NoQuorum)
                }
                result => result,
            },
        }
    }

    /// Waits until the store may be read linearizably, and says when if the read is followed.
    async fn confirmed(&self, deadline: Instant) -> Result<(), NodeError> {
        let Some(journey) = follow::current() else {
            return self.inner.reads.ready(deadline).await;
        };
        journey.note(|moments, now| moments.asked = Some(now));
        let ready = self.inner.reads.ready(deadline).await;
        journey.note(|moments, now| moments.confirmed = Some(now));
        ready
    }

    /// Reads the store where reading may block.
    pub(crate) async fn read_on_lane<T: Send + 'static>(
        &self,
        deadline: Instant,
        read: impl FnOnce(&Store) -> Result<T, StoreFault> + Send + 'static,
    ) -> Result<T, NodeError> {
        let inner = &self.inner;
        let Ok(place) = timeout_at(deadline, inner.lane_reads.acquire()).await else {
            return Err(NodeError::Timeout);
        };
        // The semaphore is never closed.
        let _place = place;
        let store = inner.consensus.store().clone();
        let (answer, wait) = oneshot::channel();
        let job = Box::new(move || {
            // Whoever asked may be gone.
            let _gone = answer.send(read(&store));
        });
        if inner.env.lanes.read(job).is_err() {
            return Err(self.stopped());
        }
        match timeout_at(deadline, wait).await {
            Ok(Ok(Ok(value))) => Ok(value),
            Ok(Ok(Err(fault))) => Err(self.failed_with(&fault)),
            Ok(Err(_closed)) => Err(self.stopped()),
            Err(_elapsed) => Err(NodeError::Timeout),
        }
    }

    /// A fault of the store ends the node.
    pub(crate) fn failed_with(&self, fault: &StoreFault) -> NodeError {
        self.inner.fate.end(reason_of(fault.code(), &fault));
        self.stopped()
    }

    pub(crate) fn stopped(&self) -> NodeError {
        match self.inner.fate.reason() {
            None | Some(StopReason::Requested) => NodeError::ShuttingDown,
            Some(reason) => NodeError::Stopped(reason),
        }
    }

    /// A node that has ended gives no answer again.
    pub(crate) fn check_alive(&self) -> Result<(), NodeError> {
        match self.inner.fate.reason() {
            None => Ok(()),
            Some(_reason) => Err(self.stopped()),
        }
    }

    /// The same for a write: it is in the log, whatever became of the node.
    fn check_alive_after_handing_on(&self) -> Result<(), NodeError> {
        match self.inner.fate.reason() {
            None | Some(StopReason::Requested | StopReason::Removed) => Ok(()),
            Some(_reason) => Err(NodeError::OutcomeUnknown),
        }
    }

    /// A node that stops takes no new work.
    pub(crate) fn check_working(&self) -> Result<(), NodeError> {
        self.check_alive()?;
        if self.inner.stopping.load(Ordering::SeqCst) {
            return Err(NodeError::ShuttingDown);
        }
        Ok(())
    }
}

/// Where a read finds room for its answer.
fn room(allowance: Option<&Arc<Allowance>>) -> &dyn Room {
    match allowance {
        Some(allowance) => &**allowance,
        None => &Unbounded,
    }
}
