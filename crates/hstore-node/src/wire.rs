//! Status and progress in bytes, for the questions between nodes.

use std::time::Duration;

use bytes::Bytes;
use hstore_core::id::{LogIndex, NodeId, Revision, Term};
use hstore_core::settings::SettingsVersion;

use crate::peer::{decode, encode};
use crate::status::{JoinProgress, MemberAnswer, Role};

#[derive(Clone, PartialEq, prost::Message)]
struct AnswerWire {
    #[prost(uint32, tag = "1")]
    role: u32,
    #[prost(uint64, tag = "2")]
    term: u64,
    #[prost(uint64, optional, tag = "3")]
    leader: Option<u64>,
    #[prost(uint64, tag = "4")]
    applied: u64,
    #[prost(uint64, tag = "5")]
    committed: u64,
    #[prost(uint64, tag = "6")]
    last: u64,
    #[prost(int64, tag = "7")]
    revision: i64,
    #[prost(fixed64, tag = "8")]
    state_hash: u64,
    #[prost(string, tag = "9")]
    version: String,
    #[prost(uint64, tag = "10")]
    uptime_ms: u64,
    #[prost(bytes = "bytes", tag = "11")]
    note: Bytes,
    #[prost(uint64, tag = "12")]
    settings: u64,
}

const ROLES: [Role; 5] = [
    Role::Candidate,
    Role::Follower,
    Role::Leader,
    Role::Learner,
    Role::Stopped,
];

pub(crate) fn answer_out(answer: &MemberAnswer) -> Bytes {
    let role = ROLES.iter().position(|role| *role == answer.role);
    encode(&AnswerWire {
        role: role.map_or(0, |at| at as u32 + 1),
        term: answer.term.0,
        leader: answer.leader.map(|leader| leader.0),
        applied: answer.applied.0,
        committed: answer.committed.0,
        last: answer.last.0,
        revision: answer.revision.0,
        state_hash: answer.state_hash,
        version: answer.version.clone(),
        uptime_ms: answer.uptime.as_millis() as u64,
        note: answer.note.clone(),
        settings: answer.settings.0,
    })
}

pub(crate) fn answer_in(bytes: &Bytes) -> Option<MemberAnswer> {
    let wire: AnswerWire = decode(bytes)?;
    let role = (wire.role as usize).checked_sub(1)?;
    Some(MemberAnswer {
        role: *ROLES.get(role)?,
        term: Term(wire.term),
        leader: wire.leader.map(NodeId),
        applied: LogIndex(wire.applied),
        committed: LogIndex(wire.committed),
        last: LogIndex(wire.last),
        revision: Revision(wire.revision),
        state_hash: wire.state_hash,
        version: wire.version,
        uptime: Duration::from_millis(wire.uptime_ms),
        note: wire.note,
        settings: SettingsVersion(wire.settings),
    })
}

#[derive(Clone, Copy, PartialEq, prost::Message)]
struct ProgressWire {
    #[prost(uint32, tag = "1")]
    step: u32,
    #[prost(uint64, tag = "2")]
    behind: u64,
}

pub(crate) fn progress_out(progress: JoinProgress) -> Bytes {
    let (step, behind) = match progress {
        JoinProgress::Learner => (1, 0),
        JoinProgress::CatchingUp { behind } => (2, behind),
        JoinProgress::Voter => (3, 0),
        JoinProgress::Waits => (4, 0),
    };
    encode(&ProgressWire { step, behind })
}

pub(crate) fn progress_in(bytes: &Bytes) -> Option<JoinProgress> {
    let wire: ProgressWire = decode(bytes)?;
    match wire.step {
        1 => Some(JoinProgress::Learner),
        2 => Some(JoinProgress::CatchingUp {
            behind: wire.behind,
        }),
        3 => Some(JoinProgress::Voter),
        4 => Some(JoinProgress::Waits),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_member_says_of_itself_comes_back() {
        for role in ROLES {
            let answer = MemberAnswer {
                role,
                term: Term(3),
                leader: Some(NodeId(2)),
                applied: LogIndex(7),
                committed: LogIndex(8),
                last: LogIndex(9),
                revision: Revision(5),
                state_hash: 77,
                version: "1".to_owned(),
                uptime: Duration::from_millis(1500),
                note: Bytes::from_static(b"note"),
                settings: SettingsVersion(6),
            };
            assert_eq!(answer_in(&answer_out(&answer)), Some(answer));
        }
        assert_eq!(answer_in(&Bytes::from_static(&[1, 8, 9])), None);
        assert_eq!(answer_in(&Bytes::new()), None);
    }

    #[test]
    fn every_step_of_a_join_comes_back() {
        for progress in [
            JoinProgress::Learner,
            JoinProgress::CatchingUp { behind: 4 },
            JoinProgress::Voter,
            JoinProgress::Waits,
        ] {
            assert_eq!(progress_in(&progress_out(progress)), Some(progress));
        }
        assert_eq!(progress_in(&Bytes::from_static(&[1, 8, 9])), None);
    }
}
