//! The state machine: commands in, outcomes and records out, etcd's semantics.
//!
//! It knows the store below as a `View` and nothing of logs, nodes or time.
//!
//! Invariants: (1) the same proposals at the same indexes give the same outcomes, records, state
//! and hash on every node; (2) `apply` cannot fail but for a fault of the store below it, and then
//! the node stops, since the machine and the store may disagree; (3) a refused command changes no
//! record, and no revision; (4) the revision grows by one for each command that wrote a record,
//! and by nothing else; (5) whatever a client does, the machine's own state stays below
//! `STATE_BYTES_MAX`, and what one command tells below `TOLD_BYTES_MAX`.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use bytes::Bytes;

use crate::alarm::Alarm;
use crate::auth::{Auth, Author};
use crate::codec::{self, DecodeError};
use crate::command::{Command, Proposal};
use crate::id::{LeaseTime, LogIndex, NodeId, Revision};
use crate::outcome::{LeaseReply, LeaseState, Outcome, Refusal, Reply};
use crate::planted::{self, Bug};
use crate::settings::Settings;

use ages::Ages;
use alarms::Alarms;
use hash::StateHash;
use lease::{EXPIRED_KEYS_MAX, EXPIRED_LEASES_MAX, Leases};
use nodes::Nodes;
use session::{Admission, Sessions};
use writer::Writer;

pub use nodes::Reservation;
pub use read::read;
pub use state::STATE_BYTES_MAX;
pub use told::{RECORD_BYTES, TOLD_BYTES_MAX};
pub use view::View;

mod ages;
mod alarms;
mod delete;
mod hash;
mod lease;
mod nodes;
mod permit;
mod put;
mod read;
mod refound;
mod session;
mod state;
mod told;
mod txn;
mod view;
mod writer;

/// What applying one proposal came to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Applied {
    /// The answer, the same on every node.
    pub outcome: Outcome,
    /// Set when the store may drop the history below this revision.
    pub compact: Option<Revision>,
}

/// The replicated state beside the records.
///
/// Invariants: (1) 0 <= `compacted` <= `revision`; (2) `revision` is the newest revision that any
/// record of the store has, or 1.
#[derive(Clone, Debug)]
pub struct Machine {
    revision: Revision,
    compacted: Revision,
    ages: Ages,
    alarms: Alarms,
    auth: Arc<Auth>,
    hash: StateHash,
    leases: Leases,
    nodes: Nodes,
    sessions: Sessions,
    settings: Arc<Settings>,
    /// Counts the changes of what [`Notices`] say; no part of the state.
    noticed: u64,
}

/// What a node must know of the state at any time, beside the records.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Notices {
    /// The alarms that are raised, by kind and node.
    pub alarms: Vec<Alarm>,
    /// The newest node id that was given to anybody.
    pub newest: NodeId,
    /// The ids that are kept for nodes that did not start yet.
    pub expected: BTreeMap<NodeId, Reservation>,
    /// Nodes that get no vote before somebody promotes them.
    pub learners: BTreeSet<NodeId>,
}

impl Default for Machine {
    fn default() -> Machine {
        Machine {
            revision: Revision::EMPTY,
            compacted: Revision(0),
            ages: Ages::default(),
            alarms: Alarms::default(),
            auth: Arc::default(),
            hash: StateHash::default(),
            leases: Leases::default(),
            nodes: Nodes::default(),
            sessions: Sessions::default(),
            settings: Arc::default(),
            noticed: 0,
        }
    }
}

impl Machine {
    /// The current revision: 1 in an empty store.
    pub fn revision(&self) -> Revision {
        self.revision
    }

    /// The oldest revision that is readable; 0 when nothing was ever compacted.
    pub fn compacted(&self) -> Revision {
        self.compacted
    }

    /// The running hash over everything that was applied; replicas at one index compare it.
    pub fn state_hash(&self) -> u64 {
        self.hash.value()
    }

    /// Who there is and who may do what; another one after every change.
    pub fn auth(&self) -> &Arc<Auth> {
        &self.auth
    }

    /// What is set for the cluster and its nodes; another one after every change.
    pub fn settings(&self) -> &Arc<Settings> {
        &self.settings
    }

    /// The clock of the leases: the newest time that an entry was stamped with.
    pub fn lease_clock(&self) -> LeaseTime {
        self.leases.now
    }

    /// When the next lease ends, unless it is renewed.
    pub fn next_lease_end(&self) -> Option<LeaseTime> {
        self.leases.next_end()
    }

    /// What is known of a lease.
    pub fn lease(&self, lease: i64) -> Option<LeaseState> {
        self.leases.by_id.get(&lease).copied()
    }

    /// Every lease, in the order of ids.
    pub fn leases(&self) -> impl Iterator<Item = i64> {
        self.leases.by_id.keys().copied()
    }

    /// What a node must know of the state at any time.
    pub fn notices(&self) -> Notices {
        Notices {
            alarms: self.alarms.all().collect(),
            newest: self.nodes.last,
            expected: self.nodes.reserved.clone(),
            learners: self.nodes.learners.clone(),
        }
    }

    /// Another number whenever the notices may be others.
    pub fn noticed(&self) -> u64 {
        self.noticed
    }

    /// The newest revision that is known to have been current at `time` or before it: everything
    /// that was written after it is younger than that.
    pub fn revision_as_of(&self, time: LeaseTime) -> Option<Revision> {
        self.ages.as_of(time)
    }

    /// Takes over the time that an entry was stamped with, before its proposals are applied. A
    /// time that is not later than the clock's changes nothing.
    pub fn advance(&mut self, now: LeaseTime) {
        if self.leases.advance(now) {
            self.ages.note(now, self.revision);
            self.hash.clock(now);
        }
    }

    /// Applies the proposal that stands at `index`; indexes never go down. One index may hold
    /// several proposals, which are applied in their order.
    pub fn apply<V: View>(
        &mut self,
        view: &mut V,
        index: LogIndex,
        proposal: Result<Proposal, DecodeError>,
    ) -> Result<Applied, V::Fault> {
        self.hash.begin(index, proposal.as_ref().ok());
        let applied = match proposal {
            Ok(Proposal {
                request: None,
                author,
                command,
            }) => self.execute(view, index, &author, command)?,
            Ok(Proposal {
                request: Some(request),
                author,
                command,
            }) => match self.sessions.admit(request, index) {
                Admission::New => {
                    let applied = self.execute(view, index, &author, command)?;
                    let outcome = codec::encode_outcome(&applied.outcome);
                    self.hash.end_encoded(&outcome);
                    self.sessions.keep(request, outcome);
                    return Ok(applied);
                }
                Admission::Refused(refusal) => self.answer(Err(refusal)),
                Admission::Repeated(outcome) => Applied {
                    outcome,
                    compact: None,
                },
            },
            Err(_) => self.answer(Err(Refusal::Malformed)),
        };
        self.hash.end(&applied.outcome);
        Ok(applied)
    }

    fn execute<V: View>(
        &mut self,
        view: &mut V,
        index: LogIndex,
        author: &Author,
        command: Command,
    ) -> Result<Applied, V::Fault> {
        if let Err(refusal) = permit::permit(view, &self.auth, author, &command) {
            return Ok(self.answer(Err(refusal.into())));
        }
        if let Err(refusal) = self.alarms.check(&command) {
            return Ok(self.answer(Err(refusal)));
        }
        let result = match command {
            Command::Alarm(change) => {
                self.noticed += 1;
                self.alarms.change(change).map(Reply::Alarms)
            }
            Command::AllocateNode {
                incarnation,
                peer_address,
            } => {
                self.noticed += 1;
                let node = self.nodes.allocate(incarnation, &peer_address, index);
                Ok(Reply::Node(node))
            }
            Command::Auth(command) => {
                let changed = Arc::make_mut(&mut self.auth).apply(command);
                changed.map(|()| Reply::Auth).map_err(Refusal::from)
            }
            Command::ChangeSettings(command) => {
                let changed = self.settings.apply(command, self.nodes.last);
                changed.map(|settings| {
                    let version = settings.version();
                    // Whoever follows the settings looks whether they are another value.
                    if version != self.settings.version() {
                        self.settings = Arc::new(settings);
                    }
                    Reply::Settings(version)
                })
            }
            Command::Compact(compact) => return Ok(self.compact(compact.revision)),
            Command::Delete(delete) => {
                self.write(view, |_, writer| Ok(Ok(delete::delete(writer, &delete)?)))?
            }
            Command::ExpireLeases => self.expire(view)?,
            Command::GrantLease(grant) => {
                let granted = self.leases.grant(grant.lease, grant.ttl);
                granted.map(|ttl| Reply::Lease(LeaseReply::Granted { ttl }))
            }
            Command::ReleaseNode { node } => {
                self.noticed += 1;
                self.nodes.release(node).map(Reply::Node)
            }
            Command::RenewLease { lease } => {
                let renewed = self.leases.renew(lease);
                renewed.map(|ttl| Reply::Lease(LeaseReply::Renewed { ttl }))
            }
            Command::ReserveNode(request) => {
                self.noticed += 1;
                self.nodes.reserve(request, index).map(Reply::Node)
            }
            Command::RevokeLease { lease } if self.leases.contains(lease) => {
                let ended = self.end_lease(view, lease)?;
                ended.map(|_keys| Reply::Lease(LeaseReply::Revoked))
            }
            Command::RevokeLease { .. } => Err(Refusal::LeaseNotFound),
            Command::Put(put) => self.write(view, |_, writer| put::put_alone(writer, put))?,
            Command::Txn(txn) => self.write(view, |machine, writer| {
                txn::txn(writer, machine.revision, machine.compacted, txn)
            })?,
        };
        Ok(self.answer(result))
    }

    /// Runs a command that may write, and takes over its revision when it did.
    fn write<V: View>(
        &mut self,
        view: &mut V,
        run: impl FnOnce(&Machine, &mut Writer<'_, V>) -> Result<Result<Reply, Refusal>, V::Fault>,
    ) -> Result<Result<Reply, Refusal>, V::Fault> {
        let Some(next) = self.revision.0.checked_add(1).map(Revision) else {
            return Ok(Err(Refusal::RevisionsExhausted));
        };
        let mut writer = Writer::new(view, &self.leases, next);
        let mut result = run(self, &mut writer)?;
        if writer.tells_too_much() {
            result = result.map(|_too_much| Reply::Untold);
        }
        if writer.has_written() || planted::is(Bug::EmptyWriteTakesRevision) {
            self.revision = writer.revision();
        }
        Ok(result)
    }

    /// Ends leases whose time is over, as many as one command may.
    fn expire<V: View>(&mut self, view: &mut V) -> Result<Result<Reply, Refusal>, V::Fault> {
        let (mut count, mut keys) = (0, 0);
        while let Some(lease) = self.leases.first_due() {
            let next = view.attached(lease).len();
            let full = count >= EXPIRED_LEASES_MAX || keys + next > EXPIRED_KEYS_MAX;
            if full && count > 0 {
                break;
            }
            match self.end_lease(view, lease)? {
                Ok(ended) => keys += ended,
                Err(refusal) => return Ok(Err(refusal)),
            }
            count += 1;
        }
        Ok(Ok(Reply::Lease(LeaseReply::Expired {
            count: count as u64,
            more: self.leases.first_due().is_some(),
        })))
    }

    /// Ends a lease; how many keys went with it.
    fn end_lease<V: View>(
        &mut self,
        view: &mut V,
        lease: i64,
    ) -> Result<Result<usize, Refusal>, V::Fault> {
        let mut keys = 0;
        let detached = self.write(view, |_, writer| {
            keys = lease::detach(writer, lease);
            Ok(Ok(Reply::Lease(LeaseReply::Revoked)))
        })?;
        if detached.is_ok() {
            self.leases.remove(lease);
        }
        Ok(detached.map(|_reply| keys))
    }

    fn compact(&mut self, revision: Revision) -> Applied {
        if revision <= self.compacted {
            let compacted = self.compacted;
            return self.answer(Err(Refusal::Compacted { compacted }));
        }
        if revision > self.revision {
            let current = self.revision;
            return self.answer(Err(Refusal::FutureRevision { current }));
        }
        self.compacted = revision;
        self.ages.compacted(revision);
        Applied {
            compact: Some(revision),
            ..self.answer(Ok(Reply::Compact))
        }
    }

    fn answer(&self, result: Result<Reply, Refusal>) -> Applied {
        Applied {
            outcome: Outcome {
                revision: self.revision,
                result,
            },
            compact: None,
        }
    }

    /// The whole machine as bytes, equal on every node at an index: goes into every flush and
    /// every snapshot.
    pub fn encode_state(&self) -> Bytes {
        state::encode(self)
    }

    /// The machine that `encode_state` wrote.
    pub fn decode_state(bytes: Bytes) -> Result<Machine, DecodeError> {
        state::decode(bytes)
    }
}
