//! What the doctor saw, before anybody says what it means.

use std::path::PathBuf;
use std::time::Duration;

use hstore_client::v1::{
    ClusterDescription, DiskExamination, ExamineResponse, MemberStatus, NodeStatusResponse, Role,
    Vitals,
};

use crate::render::nodes;

/// Everything that was seen.
#[derive(Clone, Debug, Default)]
pub(crate) struct Facts {
    /// The cluster as the first node that answered sees it.
    pub(crate) cluster: Option<ClusterDescription>,
    /// The same at the end, a few moments later.
    pub(crate) later: Option<ClusterDescription>,
    /// Every node that was looked for.
    pub(crate) nodes: Vec<NodeFacts>,
    /// A folder of this machine, where one was named.
    pub(crate) folder: Option<FolderFacts>,
}

/// A folder of this machine.
#[derive(Clone, Debug)]
pub(crate) struct FolderFacts {
    /// Which.
    pub(crate) path: PathBuf,
    /// What its disk did.
    pub(crate) disk: DiskExamination,
}

/// What was seen of one node.
#[derive(Clone, Debug)]
pub(crate) struct NodeFacts {
    /// Its name, or its address where no name is known.
    pub(crate) name: String,
    /// Its id; 0 where it is not known.
    pub(crate) id: u64,
    /// Where clients reach it, `host:port`.
    pub(crate) address: String,
    /// What became of knocking there.
    pub(crate) door: Door,
    /// What it says of itself.
    pub(crate) status: Option<NodeStatusResponse>,
    /// The cluster as it sees it.
    pub(crate) view: Option<ClusterDescription>,
    /// How long it took to answer small questions.
    pub(crate) trips: Vec<Duration>,
    /// How far its clock is from that of this machine.
    pub(crate) clock: Option<Clock>,
    /// What it found at its machine.
    pub(crate) examined: Examined,
    /// Its process, where it is one of this machine.
    pub(crate) process: Process,
}

/// What became of knocking at a node's client port.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Door {
    /// It answers.
    Answers,
    /// The machine is there, and nobody listens.
    Refused,
    /// It takes connections and says nothing.
    Silent,
    /// Nothing comes back at all, for this reason.
    NoRoute(String),
    /// Its name means no address, for this reason.
    NoName(String),
    /// Something answers that is no node of this cluster.
    Stranger(String),
}

/// What a node found at its machine.
#[derive(Clone, Debug, Default)]
pub(crate) enum Examined {
    /// This.
    Found(Box<ExamineResponse>),
    /// Only root may ask it.
    Denied,
    /// Its version cannot.
    Unsupported,
    /// It did not say, for this reason.
    Failed(String),
    /// It was not asked.
    #[default]
    NotAsked,
}

/// A process of this machine.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Process {
    /// It ended.
    Gone(u32),
    /// A signal stopped it, or somebody traces it.
    Stopped(u32),
    /// It runs.
    Runs(u32),
    /// It is none of this machine and this user.
    #[default]
    NotHere,
}

/// How far a clock is from that of this machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Clock {
    /// Microseconds that it is ahead; below 0 it is behind.
    pub(crate) ahead_us: i64,
    /// How far that may be wrong, in microseconds.
    pub(crate) error_us: i64,
}

impl NodeFacts {
    /// A node of which only the address is known.
    pub(crate) fn at(address: String) -> NodeFacts {
        NodeFacts {
            name: address.clone(),
            id: 0,
            address,
            door: Door::Answers,
            status: None,
            view: None,
            trips: Vec::new(),
            clock: None,
            examined: Examined::NotAsked,
            process: Process::NotHere,
        }
    }

    /// A node as the cluster knows it.
    pub(crate) fn of(row: &MemberStatus) -> NodeFacts {
        let member = row.member.clone().unwrap_or_default();
        NodeFacts {
            name: nodes::name(row),
            id: member.node_id,
            ..NodeFacts::at(member.client_address)
        }
    }

    /// What it found at its machine, if it said that.
    pub(crate) fn found(&self) -> Option<&ExamineResponse> {
        match &self.examined {
            Examined::Found(found) => Some(found),
            _ => None,
        }
    }

    /// How it works, if it said that.
    pub(crate) fn vitals(&self) -> Option<&Vitals> {
        self.status.as_ref()?.vitals.as_ref()
    }

    /// Its state in a word or two.
    pub(crate) fn state(&self) -> &'static str {
        match (&self.door, &self.status) {
            (Door::Answers, Some(status)) => nodes::role_word(status.role()),
            (Door::Answers, None) => nodes::role_word(Role::Unspecified),
            (Door::Refused, _) => "not running",
            (Door::Silent, _) => "silent",
            (Door::NoRoute(_), _) => "not reached",
            (Door::NoName(_), _) => "no such name",
            (Door::Stranger(_), _) => "a stranger",
        }
    }

    /// The middle of its round trips, in microseconds.
    pub(crate) fn trip_us(&self) -> Option<u64> {
        middle(self.trips.iter().map(|trip| trip.as_micros() as u64))
    }
}

impl Facts {
    /// Whether the cluster reaches a node, as far as any other node that answers can tell.
    pub(crate) fn reached_by_others(&self, id: u64) -> bool {
        self.views()
            .filter(|(from, _)| *from != id)
            .any(|(_, view)| reaches(view, id))
    }

    /// The names of the nodes that answer here and do not reach a node.
    pub(crate) fn not_reached_by(&self, id: u64) -> Vec<String> {
        let asked = self.nodes.iter().filter(|node| node.id != id);
        let apart = asked.filter(|node| {
            let view = node.view.as_ref();
            view.is_some_and(|view| knows(view, id) && !reaches(view, id))
        });
        apart.map(|node| node.name.clone()).collect()
    }

    /// Every view of the cluster, by the id of who has it.
    fn views(&self) -> impl Iterator<Item = (u64, &ClusterDescription)> {
        let own = self.nodes.iter().filter_map(|node| node.view.as_ref());
        own.chain(&self.cluster).map(|view| (view.node_id, view))
    }

    /// The name of a node.
    pub(crate) fn name_of(&self, id: u64) -> String {
        let named = self.nodes.iter().find(|node| node.id == id);
        named.map_or_else(|| format!("#{id}"), |node| node.name.clone())
    }
}

fn row(view: &ClusterDescription, id: u64) -> Option<&MemberStatus> {
    let is_it = |row: &&MemberStatus| row.member.as_ref().is_some_and(|m| m.node_id == id);
    view.members.iter().find(is_it)
}

fn knows(view: &ClusterDescription, id: u64) -> bool {
    row(view, id).is_some()
}

fn reaches(view: &ClusterDescription, id: u64) -> bool {
    row(view, id).is_some_and(|row| row.reachable)
}

/// The one in the middle; of an even number the larger of the two.
pub(crate) fn middle<T: Ord>(values: impl Iterator<Item = T>) -> Option<T> {
    let mut values: Vec<T> = values.collect();
    values.sort_unstable();
    let middle = values.len() / 2;
    values.into_iter().nth(middle)
}
