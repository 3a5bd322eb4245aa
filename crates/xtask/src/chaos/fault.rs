//! The faults: what each is called, what it does, what it needs of the machine.
//!
//! Invariant: a name is never given another meaning, since CI and seeds say it.

use std::collections::BTreeMap;

use anyhow::{Result, bail};

use crate::fleet;
use crate::shell;

/// What a fault needs of the machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Need {
    /// Nothing but processes and sockets.
    Nothing,
    /// File systems on images, and their shutdown.
    Images,
    /// `strace` on running processes.
    Tracing,
    /// A C compiler for the library that shifts a process's clock.
    Compiler,
}

macro_rules! faults {
    ($($name:ident = $text:literal, $need:ident, $what:literal;)*) => {
        /// A kind of fault.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
        pub(super) enum Fault { $(#[doc = $what] $name,)* }

        impl Fault {
            /// Every kind.
            pub(super) const ALL: &'static [Fault] = &[$(Fault::$name,)*];

            /// What it is called.
            pub(super) fn name(self) -> &'static str {
                match self { $(Fault::$name => $text,)* }
            }

            /// What it does.
            pub(super) fn what(self) -> &'static str {
                match self { $(Fault::$name => $what,)* }
            }

            /// What it needs.
            pub(super) fn need(self) -> Need {
                match self { $(Fault::$name => Need::$need,)* }
            }
        }
    };
}

faults! {
    KillLeader = "kill-leader", Nothing, "SIGKILL to the leader, then a start";
    KillFollower = "kill-follower", Nothing, "SIGKILL to a follower, then a start";
    KillAll = "kill-all", Nothing, "SIGKILL to all nodes at once, then their starts";
    PauseLeader = "pause-leader", Nothing, "SIGSTOP to the leader, later SIGCONT";
    PauseFollower = "pause-follower", Nothing, "SIGSTOP to a follower, later SIGCONT";
    RestartRolling = "restart-rolling", Nothing, "a graceful restart of each node in turn";
    MoveLeader = "move-leader", Nothing, "leadership handed to a follower";
    PowerOne = "power-one", Images, "power loss of one node: what it had not synced is gone";
    PowerAll = "power-all", Images, "power loss of all nodes at once";
    DiskFull = "disk-full", Images, "a disk without room, also for a start";
    SyncSlow = "sync-slow", Tracing, "every sync of a node takes up to half a second longer";
    SyncFails = "sync-fails", Tracing, "a sync of a node fails with EIO";
    NetCut = "net-cut", Nothing, "nothing passes between two nodes";
    NetOneWay = "net-one-way", Nothing, "nothing passes from one node to another, the way back is open";
    NetDelay = "net-delay", Nothing, "a delay of up to 300 ms each way between two nodes";
    NetReset = "net-reset", Nothing, "the connections between two nodes are reset";
    NetHalfOpen = "net-half-open", Nothing, "one end of the connections between two nodes is gone, the other does not hear";
    NetIsolate = "net-isolate", Nothing, "nothing passes between the leader and all others";
    Replace = "replace", Nothing, "a node is removed and wiped, and joins as a new one";
    Clock = "clock", Compiler, "the wall clock of one process jumps by up to an hour";
}

impl Fault {
    /// The kinds that a comma separated list names: names, or their first words, such as `kill`.
    pub(super) fn parse_list(text: &str) -> Result<Vec<Fault>> {
        let mut found = Vec::new();
        for word in text
            .split(',')
            .map(str::trim)
            .filter(|word| !word.is_empty())
        {
            found.extend(Fault::parse(word)?);
        }
        found.sort_unstable();
        found.dedup();
        Ok(found)
    }

    /// The kinds that a word names.
    pub(super) fn parse(word: &str) -> Result<Vec<Fault>> {
        let means = |fault: &&Fault| {
            let rest = fault.name().strip_prefix(word);
            rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('-'))
        };
        let found: Vec<_> = Fault::ALL.iter().filter(means).copied().collect();
        if found.is_empty() {
            bail!("there is no fault `{word}`; `cargo xtask chaos list` names them all");
        }
        Ok(found)
    }
}

/// What this machine can do: for each need, the reason why not.
#[derive(Clone, Debug, Default)]
pub(super) struct Abilities {
    missing: BTreeMap<Need, String>,
}

impl Abilities {
    /// Finds out.
    pub(super) fn probe() -> Abilities {
        let mut missing = BTreeMap::new();
        if let Err(why) = fleet::probe_images().and_then(|()| fleet::probe_power()) {
            missing.insert(Need::Images, why);
        }
        if !shell::works("strace", &["-f", "-q", "-o", "/dev/null", "true"]) {
            let why = "strace does not trace here (package strace)";
            missing.insert(Need::Tracing, why.to_owned());
        }
        if !shell::works("cc", &["--version"]) {
            missing.insert(Need::Compiler, "there is no C compiler".to_owned());
        }
        Abilities { missing }
    }

    /// Why a fault cannot be struck here.
    pub(super) fn lacks(&self, fault: Fault) -> Option<&str> {
        self.missing.get(&fault.need()).map(String::as_str)
    }

    /// Whether a need is met.
    pub(super) fn meets(&self, need: Need) -> bool {
        !self.missing.contains_key(&need)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_first_word_names_all_of_its_kinds_and_half_a_word_none() {
        let kill = [Fault::KillLeader, Fault::KillFollower, Fault::KillAll];
        assert_eq!(Fault::parse("kill").unwrap(), kill);
        let some = Fault::parse_list("net-cut, kill ,kill-all").unwrap();
        assert_eq!(some.len(), 4);
        assert!(Fault::parse("ki").is_err());
        assert!(Fault::parse("").is_err());
    }
}
