//! A finding: what is wrong, why, and what helps.
//!
//! Invariant: a code is never given another meaning, and each has its words in
//! `docs/guide/doctor.md`; a test looks.

use crate::failure::Exit;

/// How bad it is. The order is that of reports: the worst comes last.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Severity {
    /// Worth knowing; nothing has to be done.
    Note,
    /// Something is wrong, or will be; the cluster serves.
    Problem,
    /// The cluster cannot serve, or refuses writes.
    Outage,
}

impl Severity {
    /// The word for it.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Severity::Note => "note",
            Severity::Problem => "problem",
            Severity::Outage => "outage",
        }
    }

    /// The exit code that the worst finding decides.
    pub(crate) fn exit(self) -> Exit {
        match self {
            Severity::Note => Exit::Ok,
            Severity::Problem => Exit::Failure,
            Severity::Outage => Exit::Unavailable,
        }
    }
}

macro_rules! codes {
    ($($name:ident = $text:literal, $what:literal;)*) => {
        /// What is wrong.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
        pub(crate) enum Code { $(#[doc = $what] $name,)* }

        impl Code {
            /// Every code.
            #[cfg(test)]
            pub(crate) const ALL: &'static [Code] = &[$(Code::$name,)*];

            /// The stable name.
            pub(crate) fn as_str(self) -> &'static str {
                match self { $(Code::$name => $text,)* }
            }
        }
    };
}

codes! {
    Alarm = "alarm", "An alarm is raised.";
    ClockOffset = "clock_offset", "A clock is not where the others are.";
    DiskFull = "disk_full", "A disk has hardly any room.";
    FileLimit = "file_limit", "A process may not open enough files.";
    Lag = "lag", "A node is behind.";
    MembershipChanges = "membership_changes", "A change of voters is under way.";
    NoLeader = "no_leader", "A node knows no leader.";
    NoQuorum = "no_quorum", "No majority, no leader: nothing can be written.";
    NodeDown = "node_down", "A node does not run.";
    NodeSilent = "node_silent", "A node takes connections and does not answer.";
    NodeUnreachable = "node_unreachable", "Nothing comes back from where a node is.";
    NotExamined = "not_examined", "A node could not be looked at from here.";
    OneMachine = "one_machine", "All voters are on one machine.";
    PeersApart = "peers_apart", "Nodes do not reach each other.";
    Quota = "quota", "A store has nearly used up its quota.";
    QuorumRisk = "quorum_risk", "One more failure stops writes.";
    RoundTrip = "round_trip", "A node is far away.";
    SlowWatchers = "slow_watchers", "Watchers do not read.";
    StateDiffers = "state_differs", "Members that applied the same hold different data.";
    SyncFailed = "sync_failed", "A disk cannot be written to.";
    SyncSlow = "sync_slow", "A disk takes long to sync.";
    VersionsMixed = "versions_mixed", "Nodes run different versions.";
}

/// What is wrong, why, and what helps.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Finding {
    /// What.
    pub(crate) code: Code,
    /// How bad it is.
    pub(crate) severity: Severity,
    /// With which nodes.
    pub(crate) nodes: Vec<String>,
    /// In a sentence, with the cause.
    pub(crate) message: String,
    /// The command that helps, or what to do where no command does.
    pub(crate) help: String,
}

impl Finding {
    pub(crate) fn new(
        code: Code,
        severity: Severity,
        nodes: &[&str],
        message: impl Into<String>,
        help: impl Into<String>,
    ) -> Finding {
        Finding {
            code,
            severity,
            nodes: nodes.iter().map(ToString::to_string).collect(),
            message: message.into(),
            help: help.into(),
        }
    }
}
