//! One who changes settings while everything else happens: of the cluster and of single nodes, several at
//! once, with and without the version that they have seen, through the node's own way and as bare
//! commands under a name of a request, some of them twice; takes them back, asks for what must be
//! refused, makes a voter a learner and a voter again, and reads at other nodes what is set.

use std::sync::Arc;
use std::time::Duration;

use hstore_core::auth::Author;
use hstore_core::command::{Command, Proposal, RequestId};
use hstore_core::error::ErrorCode;
use hstore_core::id::{LogIndex, NodeId};
use hstore_core::outcome::{Refusal, Reply};
use hstore_core::settings::{
    ChangeSettings, NodeType, SettingChange, SettingKey, SettingValue, SettingsVersion,
};
use hstore_node::Node;
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use tokio::sync::watch;
use tokio::time::{Instant, sleep, timeout_at};

use super::badge::Badge;
use super::{Clients, Ordering, warden};
use crate::ledger::{Answer, Read};
use crate::steward::Steward;

/// How long one change, or one read, may take.
const PATIENCE: Duration = Duration::from_secs(3);

/// How much longer than the node its caller waits.
const MARGIN: Duration = Duration::from_millis(100);

/// The longest pause between two things that are done.
const PAUSE_MAX: Duration = Duration::from_millis(700);

/// How long a wish whose outcome is unknown may still be on its way into the log.
const LATE_MAX: Duration = Duration::from_secs(10);

/// No node has this id.
const NOBODY: NodeId = NodeId(1 << 40);

/// A change that is to be asked for.
struct Wanted {
    command: ChangeSettings,
    /// Nobody else asks for the very same.
    is_single: bool,
    /// A node would refuse it before it reaches the log.
    only_bare: bool,
}

impl Wanted {
    /// Adds a change of what is not changed in there yet.
    fn add(&mut self, change: SettingChange) {
        let place = (change.node, change.key);
        let changes = &mut self.command.changes;
        if changes.iter().all(|known| (known.node, known.key) != place) {
            changes.push(change);
        }
    }

    fn set(&mut self, of: Option<NodeId>, value: SettingValue) {
        self.add(SettingChange::set(of, value));
    }
}

/// One tuner.
pub(super) struct Tuner {
    clients: Clients,
    steward: Steward,
    rng: StdRng,
    /// Whose vote it took, and since when that may not be on its way any more.
    demoted: Option<(usize, Instant)>,
}

impl Tuner {
    pub(super) fn new(clients: Clients, steward: Steward) -> Tuner {
        Tuner {
            rng: StdRng::seed_from_u64(clients.shared.world.draw()),
            clients,
            steward,
            demoted: None,
        }
    }

    /// One thing after the other, until the storm is over.
    pub(super) async fn run(mut self, over: watch::Receiver<bool>) {
        while !*over.borrow() {
            sleep(self.rng.random_range(Duration::ZERO..PAUSE_MAX)).await;
            match self.rng.random_range(0..100) {
                0..35 => self.read().await,
                35..47 => self.turn().await,
                _ => {
                    if let Some(node) = self.node() {
                        let wanted = self.draw(&node);
                        self.ask(&node, wanted).await;
                    }
                }
            }
        }
    }

    fn node(&mut self) -> Option<Node> {
        let running = self.clients.shared.world.running();
        let place = self.rng.random_range(0..running.len().max(1));
        running.get(place).cloned()
    }

    async fn read(&mut self) {
        let (Some(node), Some(ledger)) = (self.node(), self.clients.ledger().cloned()) else {
            return;
        };
        let least = SettingsVersion(self.clients.shared.settings.load(Ordering::Relaxed));
        let deadline = Instant::now() + PATIENCE;
        let read = timeout_at(deadline + MARGIN, node.read_settings(deadline)).await;
        if let Ok(Ok(settings)) = read {
            let node = node.status().node;
            let trace = &self.clients.shared.world.trace;
            trace.say(&format!("settings of {node}: {}", settings.version()));
            ledger.notes().read.push(Read {
                node,
                least,
                settings,
            });
        }
    }

    /// Makes a voter a learner, or the one whose vote was taken a voter again.
    async fn turn(&mut self) {
        let members = self.steward.members();
        let (at, kind) = if let Some((at, _)) = self.demoted {
            (at, NodeType::Voter)
        } else {
            let place = self.rng.random_range(0..members.len().max(1));
            match members.get(place) {
                Some(at) if self.steward.may_demote(*at) => (*at, NodeType::Learner),
                _ => return,
            }
        };
        if kind == NodeType::Learner {
            self.demoted = Some((at, Instant::now() + PATIENCE + LATE_MAX));
        }
        let id = self.clients.shared.world.id(at);
        let Some(node) = self.node() else { return };
        let wanted = Wanted {
            command: ChangeSettings {
                expected: None,
                changes: vec![SettingChange::set(Some(id), SettingValue::Type(kind))],
            },
            is_single: false,
            only_bare: false,
        };
        self.ask(&node, wanted).await;
        if let (NodeType::Voter, Some((_, late))) = (kind, self.demoted)
            && Instant::now() >= late
            && self.votes_for_good(id)
        {
            self.demoted = None;
            self.steward.promoted();
        }
    }

    /// Whether a node votes and is to, as whoever leads knows it.
    fn votes_for_good(&self, id: NodeId) -> bool {
        let world = &self.clients.shared.world;
        let Some(leader) = world.leads().and_then(|at| world.node(at)) else {
            return false;
        };
        let membership = leader.status().standing.membership;
        let wish = leader.settings().node_type(id);
        !membership.is_joint() && membership.is_voter(id) && wish == Some(NodeType::Voter)
    }

    /// Asks in one of two ways, and notes what was said.
    async fn ask(&mut self, node: &Node, wanted: Wanted) {
        let Some(ledger) = self.clients.ledger().cloned() else {
            return;
        };
        let Wanted {
            command,
            is_single,
            only_bare,
        } = wanted;
        if only_bare || self.rng.random_bool(0.5) {
            return self.ask_barely(node, &command, is_single).await;
        }
        let note = ledger.tune(command.clone(), None, is_single);
        let deadline = Instant::now() + PATIENCE;
        let changing = node.change_settings(&Author::Node, command.clone(), deadline);
        let told = match timeout_at(deadline + MARGIN, changing).await {
            Ok(changed) => changed.map_err(|error| error.code()),
            Err(_silence) => Err(ErrorCode::OutcomeUnknown),
        };
        ledger.tuned(note, told);
        self.heard(&command, told);
    }

    /// Asks the log itself, under the name of a request; some ask twice.
    async fn ask_barely(&mut self, node: &Node, command: &ChangeSettings, is_single: bool) {
        let Some(ledger) = self.clients.ledger().cloned() else {
            return;
        };
        let request = RequestId {
            client: self.rng.random(),
            sequence: 1,
            answered_below: 1,
            born: node.status().applied.map_or(LogIndex(0), |id| id.index),
        };
        let is_user = self.clients.shared.mix.wardens > 0 && self.rng.random_bool(0.2);
        let author = if is_user {
            Badge::new(warden::user(&mut self.rng)).show(node)
        } else {
            Author::Node
        };
        let mut through = node.clone();
        for _attempt in 0..self.rng.random_range(1..3) {
            let asked = ledger.ask(request, author.clone());
            let note = ledger.tune(command.clone(), Some(request), is_single);
            let proposal = Proposal {
                request: Some(request),
                author: author.clone(),
                command: Command::ChangeSettings(command.clone()),
            };
            let deadline = Instant::now() + PATIENCE;
            let proposed = timeout_at(deadline + MARGIN, through.propose(proposal, deadline)).await;
            let told = match proposed {
                Ok(Ok((_header, outcome))) => {
                    let told = outcome.result.as_ref().map(drop);
                    ledger.told(asked, told.map_err(Refusal::code));
                    let told = match outcome.result {
                        Ok(Reply::Settings(version)) => Ok(version),
                        Ok(_other) => Err(ErrorCode::Internal),
                        Err(refusal) => Err(refusal.code()),
                    };
                    ledger.tuned(note, told);
                    told
                }
                // What a node says that did not come so far says nothing of the request's name.
                Ok(Err(error)) => Err(error.code()),
                Err(_silence) => Err(ErrorCode::OutcomeUnknown),
            };
            self.heard(command, told);
            match self.node() {
                Some(other) => through = other,
                None => return,
            }
        }
    }

    fn heard(&self, command: &ChangeSettings, told: Answer) {
        let shared = &self.clients.shared;
        if let Ok(version) = told {
            shared.settings.fetch_max(version.0, Ordering::Relaxed);
        }
        shared.world.trace.say(&format!("{command:?}: {told:?}"));
    }

    fn draw(&mut self, node: &Node) -> Wanted {
        let seen = node.settings().version();
        let expected = match self.rng.random_range(0..10) {
            0..5 => None,
            5..8 => Some(seen),
            _ => Some(SettingsVersion(seen.0.saturating_sub(1))),
        };
        let mut wanted = Wanted {
            command: ChangeSettings {
                expected,
                changes: Vec::new(),
            },
            is_single: false,
            only_bare: false,
        };
        let count = [1, 1, 1, 2, 3][self.rng.random_range(0..5)];
        for _ in 0..count {
            self.add(node, &mut wanted);
        }
        if wanted.command.changes.is_empty() {
            // Nobody draws as much, so that it is nobody's single one.
            wanted.set(None, SettingValue::CacheBytes(2 << 20));
        }
        wanted
    }

    /// Adds a change that is not in there yet.
    fn add(&mut self, node: &Node, wanted: &mut Wanted) {
        let unique = self.clients.shared.tunings.fetch_add(1, Ordering::Relaxed);
        let id = self.member();
        let one_or_all = if self.rng.random_bool(0.5) { id } else { None };
        let age_ms = Some(600_000 + unique);
        let before = wanted.command.changes.len();
        let mut is_single = true;
        match self.rng.random_range(0..100) {
            0..20 => {
                let bytes = (1 << 20) + unique;
                wanted.set(one_or_all, SettingValue::CacheBytes(bytes));
            }
            20..32 => {
                let level: Arc<str> = format!("info,tuned={unique}").into();
                wanted.set(one_or_all, SettingValue::LogLevel(level));
            }
            32..44 => {
                let quota = Some((16 << 20) + unique);
                wanted.set(one_or_all, SettingValue::QuotaBytes(quota));
            }
            44..54 => {
                is_single = false;
                let every = self.rng.random_range(20..80);
                wanted.set(None, SettingValue::HeartbeatMs(every));
            }
            54..62 => {
                let revisions = self.rng.random_bool(0.5).then_some(1_000_000);
                let kept = SettingValue::AutoCompaction { age_ms, revisions };
                wanted.set(None, kept);
            }
            62..76 => {
                let name: Arc<str> = format!("m{unique}").into();
                if let Some(id) = id {
                    wanted.set(Some(id), SettingValue::Name(name));
                }
            }
            76..82 => {
                // The name of somebody else.
                is_single = false;
                let settings = node.settings();
                let others = settings.iter().filter_map(|(of, _)| of);
                let name = others
                    .filter(|of| Some(*of) != id)
                    .find_map(|of| settings.name(of));
                if let (Some(id), Some(name)) = (id, name) {
                    wanted.only_bare = true;
                    wanted.set(Some(id), SettingValue::Name(name.clone()));
                }
            }
            82..86 => {
                wanted.only_bare = true;
                let bytes = (1 << 20) + unique;
                wanted.set(Some(NOBODY), SettingValue::CacheBytes(bytes));
            }
            _ => {
                is_single = false;
                let keys = [
                    SettingKey::AutoCompaction,
                    SettingKey::CacheBytes,
                    SettingKey::Heartbeat,
                    SettingKey::LogLevel,
                    SettingKey::QuotaBytes,
                ];
                let key = keys[self.rng.random_range(0..keys.len())];
                wanted.add(SettingChange::unset(None, key));
            }
        }
        wanted.is_single |= is_single && wanted.command.changes.len() > before;
    }

    /// The id of some member.
    fn member(&mut self) -> Option<NodeId> {
        let members = self.steward.members();
        let place = self.rng.random_range(0..members.len().max(1));
        let at = members.get(place)?;
        Some(self.clients.shared.world.id(*at))
    }
}

/// What is set and not done, or not true of the membership: nothing, when all is calm for a while. What
/// goes before what is said anew here.
pub(super) fn undone(node: &Node) -> Option<String> {
    let settings = node.settings();
    let status = node.status();
    let membership = &status.standing.membership;
    for (of, setting) in settings.iter() {
        let Some(of) = of else { continue };
        let Some(member) = membership.members.get(&of) else {
            return Some(format!("{setting:?} of {of}, which is no member"));
        };
        let is_true = match &setting.value {
            SettingValue::Name(name) => member.name == **name,
            SettingValue::Type(kind) => {
                let votes = membership.is_voter(of);
                votes == (*kind == NodeType::Voter)
            }
            _ => true,
        };
        if !is_true {
            return Some(format!("{of} is not as set by {setting:?}: {member:?}"));
        }
    }
    let effective = node.effective();
    for key in SettingKey::ALL {
        let own = settings.get(Some(status.node), key);
        let Some(setting) = own.or(settings.get(None, key)) else {
            continue;
        };
        let is_done = match &setting.value {
            SettingValue::AutoCompaction { age_ms, revisions } => {
                let kept = effective.keep_history;
                kept.age == age_ms.map(Duration::from_millis) && kept.revisions == *revisions
            }
            SettingValue::CacheBytes(bytes) => effective.cache_bytes == *bytes,
            SettingValue::HeartbeatMs(ms) => effective.heartbeat == Duration::from_millis(*ms),
            SettingValue::LogLevel(level) => effective.log_level.as_ref() == Some(level),
            SettingValue::Name(name) => effective.name == *name,
            SettingValue::QuotaBytes(quota) => effective.quota_bytes == *quota,
            SettingValue::Type(_) => true,
        };
        if !is_done {
            return Some(format!(
                "{} does not {setting:?}: {effective:?}",
                status.node
            ));
        }
    }
    None
}
