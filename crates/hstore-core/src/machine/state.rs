//! The machine as bytes: what every flush and every snapshot carries beside the records.

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;

use super::Machine;
use super::ages::{Ages, MARKS_MAX, Mark};
use super::alarms::Alarms;
use super::hash::StateHash;
use super::lease::{LEASES_MAX, Leases};
use super::nodes::{LEARNERS_MAX, NODES_MAX, Nodes, RESERVED_MAX, Reservation};
use super::session::{Session, Sessions};
use crate::alarm::Alarm;
use crate::auth::Auth;
use crate::codec::{DecodeError, frame, wire};
use crate::id::{Incarnation, LeaseTime, LogIndex, NodeId, Revision};
use crate::outcome::LeaseState;
use crate::planted::{self, Bug};

/// No machine is larger than this when it is encoded: the kept outcomes, all sessions, all leases,
/// all allocated ids, all users and roles, all settings together.
pub const STATE_BYTES_MAX: usize = 16 * 1024 * 1024;

pub(super) fn encode(machine: &Machine) -> Bytes {
    let nodes = machine.nodes.by_incarnation.iter();
    let sessions = machine.sessions.by_client.iter();
    let leases = machine.leases.by_id.iter();
    frame::encode(&wire::State {
        revision: machine.revision.0,
        compacted: machine.compacted.0,
        hash: machine.hash.value(),
        last_node: machine.nodes.last.0,
        nodes: nodes
            .map(|(incarnation, node)| wire::AllocatedNode {
                node: node.0,
                incarnation: incarnation.0,
            })
            .collect(),
        evicted_up_to: machine.sessions.evicted_up_to.map(|index| index.0),
        sessions: sessions
            .filter(|_| !planted::is(Bug::SessionsLostInSnapshot))
            .map(|(client, session)| session_to_wire(*client, session))
            .collect(),
        lease_clock: machine.leases.now.0,
        leases: leases
            .filter(|_| !planted::is(Bug::LeasesLostInSnapshot))
            .map(|(lease, state)| wire::Lease {
                id: *lease,
                ttl: state.ttl,
                ends: state.ends.0,
            })
            .collect(),
        alarms: machine
            .alarms
            .all()
            .filter(|_| !planted::is(Bug::AlarmsLostInSnapshot))
            .map(wire::Alarm::from)
            .collect(),
        marks: machine.ages.marks.iter().map(mark_to_wire).collect(),
        reserved: machine.nodes.reserved.iter().map(kept_to_wire).collect(),
        learners: machine.nodes.learners.iter().map(|node| node.0).collect(),
        auth: if planted::is(Bug::UsersLostInSnapshot) {
            wire::Auth::of(&Auth::default())
        } else {
            wire::Auth::of(&machine.auth)
        },
        settings: if planted::is(Bug::SettingsLostInSnapshot) {
            None
        } else {
            wire::Settings::of(&machine.settings)
        },
    })
}

fn mark_to_wire(mark: &Mark) -> wire::Mark {
    wire::Mark {
        time: mark.time.0,
        revision: mark.revision.0,
    }
}

fn kept_to_wire((node, kept): (&NodeId, &Reservation)) -> wire::ReservedNode {
    wire::ReservedNode {
        node: node.0,
        peer_address: kept.peer_address.clone(),
        learner: kept.learner,
    }
}

fn session_to_wire(client: u64, session: &Session) -> wire::Session {
    wire::Session {
        client,
        last_used: session.last_used.0,
        answered_below: session.answered_below,
        outcomes: session
            .outcomes
            .iter()
            .map(|(sequence, outcome)| wire::KeptOutcome {
                sequence: *sequence,
                outcome: outcome.clone(),
            })
            .collect(),
    }
}

pub(super) fn decode(bytes: Bytes) -> Result<Machine, DecodeError> {
    let state = frame::decode::<wire::State>(bytes)?;
    let (revision, compacted) = (Revision(state.revision), Revision(state.compacted));
    if revision < Revision::EMPTY || compacted < Revision(0) || compacted > revision {
        return Err(DecodeError::Malformed("impossible revisions"));
    }
    let mut sessions = Sessions::default();
    sessions.evicted_up_to = state.evicted_up_to.map(LogIndex);
    for session in state.sessions {
        let client = session.client;
        let session = session_from_wire(session)?;
        sessions
            .restore(client, session)
            .map_err(DecodeError::Malformed)?;
    }
    let nodes = nodes_from_wire(NodeId(state.last_node), state.nodes)?;
    Ok(Machine {
        revision,
        compacted,
        auth: Arc::new(wire::Auth::read(state.auth)?),
        hash: StateHash::resume(if planted::is(Bug::StateHashLostAtStart) {
            0
        } else {
            state.hash
        }),
        ages: ages_from_wire(state.marks)?,
        alarms: alarms_from_wire(state.alarms)?,
        leases: leases_from_wire(state.lease_clock, state.leases)?,
        nodes: with_expected(nodes, state.reserved, state.learners)?,
        sessions,
        settings: Arc::new(wire::Settings::read(state.settings)?),
        noticed: 0,
    })
}

fn ages_from_wire(marks: Vec<wire::Mark>) -> Result<Ages, DecodeError> {
    let marks = marks.into_iter().map(|mark| Mark {
        time: LeaseTime(mark.time),
        revision: Revision(mark.revision),
    });
    let marks: Vec<Mark> = marks.collect();
    let grow = |a: &Mark, b: &Mark| a.time < b.time && a.revision < b.revision;
    if marks.len() > MARKS_MAX || !marks.is_sorted_by(grow) {
        return Err(DecodeError::Malformed("impossible ages"));
    }
    Ok(Ages { marks })
}

fn alarms_from_wire(alarms: Vec<wire::Alarm>) -> Result<Alarms, DecodeError> {
    let mut all = Alarms::default();
    for alarm in alarms {
        let alarm = Alarm::try_from(alarm)?;
        all.restore(alarm).map_err(DecodeError::Malformed)?;
    }
    Ok(all)
}

fn leases_from_wire(now: u64, leases: Vec<wire::Lease>) -> Result<Leases, DecodeError> {
    if leases.len() > LEASES_MAX {
        return Err(DecodeError::Malformed("more leases than there may be"));
    }
    let mut all = Leases::default();
    all.advance(LeaseTime(now));
    for lease in leases {
        let known = all.contains(lease.id);
        if known || lease.id == 0 || lease.ttl <= 0 {
            return Err(DecodeError::Malformed("an impossible lease"));
        }
        let ends = LeaseTime(lease.ends);
        let ttl = lease.ttl;
        all.insert(lease.id, LeaseState { ttl, ends });
    }
    Ok(all)
}

fn nodes_from_wire(
    last: NodeId,
    allocated: Vec<wire::AllocatedNode>,
) -> Result<Nodes, DecodeError> {
    if allocated.len() > NODES_MAX {
        return Err(DecodeError::Malformed("more nodes than there may be"));
    }
    let mut nodes = Nodes {
        last,
        ..Nodes::default()
    };
    for entry in allocated {
        let (incarnation, node) = (Incarnation(entry.incarnation), NodeId(entry.node));
        let known = nodes.by_incarnation.insert(incarnation, node).is_some();
        if known || node > last {
            return Err(DecodeError::Malformed("an impossible node id"));
        }
    }
    Ok(nodes)
}

fn with_expected(
    mut nodes: Nodes,
    reserved: Vec<wire::ReservedNode>,
    learners: Vec<u64>,
) -> Result<Nodes, DecodeError> {
    if reserved.len() > RESERVED_MAX || learners.len() > LEARNERS_MAX {
        return Err(DecodeError::Malformed("more nodes than may be expected"));
    }
    for entry in reserved {
        let node = NodeId(entry.node);
        let kept = Reservation {
            peer_address: entry.peer_address,
            learner: entry.learner,
        };
        if nodes.reserved.insert(node, kept).is_some() || node > nodes.last {
            return Err(DecodeError::Malformed("an impossible reservation"));
        }
    }
    nodes.learners = learners.into_iter().map(NodeId).collect();
    Ok(nodes)
}

fn session_from_wire(session: wire::Session) -> Result<Session, DecodeError> {
    let mut outcomes = BTreeMap::new();
    for kept in session.outcomes {
        // A copy, since a slice would keep the bytes of the whole state in memory.
        let outcome = Bytes::copy_from_slice(&kept.outcome);
        if outcomes.insert(kept.sequence, outcome).is_some() {
            return Err(DecodeError::Malformed("a request that is named twice"));
        }
    }
    Ok(Session {
        last_used: LogIndex(session.last_used),
        answered_below: session.answered_below,
        outcomes,
    })
}
