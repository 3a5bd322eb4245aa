//! The alarms that are raised, and what they forbid.
//!
//! Invariants: (1) there is at most one alarm of a kind for a node; (2) there are at most
//! `ALARMS_MAX`.

use std::collections::BTreeMap;

use crate::alarm::{Alarm, AlarmChange, AlarmKind};
use crate::command::{Command, Operation, Txn};
use crate::id::NodeId;
use crate::outcome::Refusal;
use crate::planted::{self, Bug};

/// So many alarms are remembered; one more is refused. A cluster has far fewer members.
pub(super) const ALARMS_MAX: usize = 256;

#[derive(Clone, Debug, Default)]
pub(super) struct Alarms {
    /// Whether the node raised it itself, by kind and node.
    raised: BTreeMap<(AlarmKind, NodeId), bool>,
}

impl Alarms {
    /// Every alarm, by kind and node.
    pub(super) fn all(&self) -> impl Iterator<Item = Alarm> {
        let raised = self.raised.iter();
        raised.map(|((kind, node), automatic)| Alarm {
            kind: *kind,
            node: *node,
            automatic: *automatic,
        })
    }

    /// Changes an alarm; those that the change was about, as etcd answers them: one that is
    /// raised already is told, one that was not there is not.
    pub(super) fn change(&mut self, change: AlarmChange) -> Result<Vec<Alarm>, Refusal> {
        match change {
            AlarmChange::Clear { kind, node } => {
                let cleared = self.raised.remove(&(kind, node));
                let alarm = cleared.map(|automatic| Alarm {
                    kind,
                    node,
                    automatic,
                });
                Ok(alarm.into_iter().collect())
            }
            AlarmChange::Raise(alarm) => {
                let place = (alarm.kind, alarm.node);
                let is_new = !self.raised.contains_key(&place);
                if is_new && self.raised.len() >= ALARMS_MAX {
                    return Err(Refusal::TooManyAlarms);
                }
                let automatic = *self.raised.entry(place).or_insert(alarm.automatic);
                Ok(vec![Alarm { automatic, ..alarm }])
            }
        }
    }

    /// Takes in an alarm that was written down. Says no to what `change` never makes.
    pub(super) fn restore(&mut self, alarm: Alarm) -> Result<(), &'static str> {
        let known = self
            .raised
            .insert((alarm.kind, alarm.node), alarm.automatic);
        if known.is_some() || self.raised.len() > ALARMS_MAX {
            return Err("an impossible alarm");
        }
        Ok(())
    }

    /// Whether an alarm forbids a command. Deleting, compacting and the ends of leases go on
    /// without room, since they make some; of damaged data nothing is changed by a client, but
    /// leases end, so that no promise is broken.
    pub(super) fn check(&self, command: &Command) -> Result<(), Refusal> {
        if self.is_raised(AlarmKind::Corrupt) && changes_data(command) {
            return Err(Refusal::Corrupt);
        }
        if self.is_raised(AlarmKind::NoSpace) && takes_room(command) {
            return Err(Refusal::NoSpace);
        }
        Ok(())
    }

    fn is_raised(&self, kind: AlarmKind) -> bool {
        let of_kind = (kind, NodeId(0))..=(kind, NodeId(u64::MAX));
        self.raised.range(of_kind).next().is_some()
    }
}

fn changes_data(command: &Command) -> bool {
    match command {
        Command::Compact(_)
        | Command::Delete(_)
        | Command::GrantLease(_)
        | Command::Put(_)
        | Command::RevokeLease { .. }
        | Command::Txn(_) => true,
        Command::Alarm(_)
        | Command::AllocateNode { .. }
        | Command::Auth(_)
        | Command::ChangeSettings(_)
        | Command::ExpireLeases
        | Command::ReleaseNode { .. }
        | Command::RenewLease { .. }
        | Command::ReserveNode(_) => false,
    }
}

fn takes_room(command: &Command) -> bool {
    match command {
        Command::GrantLease(_) | Command::Put(_) => true,
        Command::Txn(txn) => puts(txn),
        Command::Delete(_) => planted::is(Bug::DeletionsNeedRoom),
        Command::Alarm(_)
        | Command::AllocateNode { .. }
        | Command::Auth(_)
        | Command::ChangeSettings(_)
        | Command::Compact(_)
        | Command::ExpireLeases
        | Command::ReleaseNode { .. }
        | Command::RenewLease { .. }
        | Command::ReserveNode(_)
        | Command::RevokeLease { .. } => false,
    }
}

/// Whether any branch of a transaction puts a key. The codec bounds how deep it nests.
fn puts(txn: &Txn) -> bool {
    let mut steps = txn.then.iter().chain(&txn.otherwise);
    steps.any(|step| match step {
        Operation::Put(_) => true,
        Operation::Txn(txn) => puts(txn),
        Operation::Delete(_) | Operation::Range(_) => false,
    })
}
