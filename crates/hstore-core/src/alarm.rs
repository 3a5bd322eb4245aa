//! Alarms: what is wrong with a node that the whole cluster has to mind.

use crate::id::NodeId;

/// What is wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum AlarmKind {
    /// The node's data is not what it should be: nothing may be written.
    Corrupt,
    /// The node has less room than it was given: nothing may grow.
    NoSpace,
}

impl AlarmKind {
    /// The word for screens, as etcd writes it.
    pub fn as_str(self) -> &'static str {
        match self {
            AlarmKind::Corrupt => "CORRUPT",
            AlarmKind::NoSpace => "NOSPACE",
        }
    }
}

/// An alarm that is raised.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Alarm {
    /// What is wrong.
    pub kind: AlarmKind,
    /// With which node.
    pub node: NodeId,
    /// The node raised it itself, and takes it back when the reason is gone. What a person raised
    /// stays until a person clears it.
    pub automatic: bool,
}

/// A change of the alarms.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AlarmChange {
    /// The alarm is over.
    Clear {
        /// Which.
        kind: AlarmKind,
        /// Of which node.
        node: NodeId,
    },
    /// The alarm is on. One that is on already stays as it is.
    Raise(Alarm),
}
