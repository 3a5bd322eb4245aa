//! Whoever puts machines back on their feet: starts what is down, brings joins and removals to
//! their end, replaces a member whose disk is damaged, as a patient operator would.
//!
//! Invariants: (1) at most one member's disk is lost or damaged at a time, and only of three
//! voters or more: a correct cluster survives that and is not asked for more; (2) no two data
//! folders ever have one id; (3) an end or a refused start that no fault explains is a trouble,
//! and a trouble fails the run.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use hstore_core::error::ErrorCode;
use hstore_core::id::{Incarnation, NodeId};
use hstore_node::{Node, NodeError, StartError, StopReason};
use tokio::time::{Instant, sleep};

use crate::world::World;

/// How often the steward looks.
const LOOK: Duration = Duration::from_millis(25);

/// How long a process stays down that ended because of its disk.
const AFTER_FAULT: Duration = Duration::from_millis(700);

/// How long one step of a join or a removal may take.
const STEP_MAX: Duration = Duration::from_secs(4);

/// The pause before a step is tried again.
const STEP_PAUSE: Duration = Duration::from_millis(300);

/// What should become of a place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Intent {
    /// It is a member and runs.
    Member,
    /// It is on its way into the cluster.
    Joining,
    /// It is on its way out.
    Leaving,
    /// It is no member and does not run.
    Gone,
}

struct Place {
    intent: Intent,
    down_until: Instant,
    /// Somebody starts it right now.
    starting: bool,
    /// Its disk was damaged, so it may refuse to start.
    damaged: bool,
}

#[derive(Default)]
struct State {
    places: BTreeMap<usize, Place>,
    /// Whose disk is lost or damaged.
    loss: Option<usize>,
    /// Who has no vote, or is about to lose it.
    demoted: Option<usize>,
    ids: BTreeMap<NodeId, Incarnation>,
    troubles: Vec<String>,
    healing: bool,
}

/// The steward. Clones are the same one.
#[derive(Clone)]
pub struct Steward {
    world: World,
    state: Arc<Mutex<State>>,
}

impl Steward {
    /// A steward of a world in which nobody is a member yet.
    pub fn new(world: World) -> Steward {
        Steward {
            world,
            state: Arc::default(),
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A place is a member already.
    pub fn adopt(&self, at: usize) {
        self.learn_id(at);
        self.place(at, Intent::Member);
    }

    fn place(&self, at: usize, intent: Intent) {
        let place = Place {
            intent,
            down_until: Instant::now(),
            starting: false,
            damaged: false,
        };
        self.state().places.insert(at, place);
    }

    /// The places of members.
    pub fn members(&self) -> Vec<usize> {
        self.with_intent(Intent::Member)
    }

    fn with_intent(&self, intent: Intent) -> Vec<usize> {
        let state = self.state();
        let places = state.places.iter();
        places
            .filter(|(_at, place)| place.intent == intent)
            .map(|(at, _place)| *at)
            .collect()
    }

    fn intent(&self, at: usize) -> Option<Intent> {
        self.state().places.get(&at).map(|place| place.intent)
    }

    fn set_intent(&self, at: usize, intent: Intent) {
        if let Some(place) = self.state().places.get_mut(&at) {
            place.intent = intent;
        }
    }

    /// A place stays down for so long.
    pub fn hold_down(&self, at: usize, time: Duration) {
        if let Some(place) = self.state().places.get_mut(&at) {
            place.down_until = Instant::now() + time;
        }
    }

    /// Whether the disk of a place may be lost now; if so, no other may until it is replaced.
    pub fn may_lose(&self, at: usize) -> bool {
        let members = self.members();
        if members.len() < 3 || !members.contains(&at) || !self.leaving().is_empty() {
            return false;
        }
        let mut state = self.state();
        if state.loss.is_some() || state.demoted.is_some() || state.healing {
            return false;
        }
        state.loss = Some(at);
        true
    }

    /// Whether the vote of a place may be taken now; if so, no disk is lost, nobody leaves and no other
    /// vote is taken until it has it again: two of three voters survive none of that.
    pub fn may_demote(&self, at: usize) -> bool {
        let members = self.members();
        if members.len() < 3 || !members.contains(&at) || !self.leaving().is_empty() {
            return false;
        }
        let mut state = self.state();
        if state.loss.is_some() || state.demoted.is_some() || state.healing {
            return false;
        }
        state.demoted = Some(at);
        true
    }

    /// Whoever had no vote has it again.
    pub fn promoted(&self) {
        self.state().demoted = None;
    }

    /// The disk of a place that may be lost is damaged now.
    pub fn damaged(&self, at: usize) {
        if let Some(place) = self.state().places.get_mut(&at) {
            place.damaged = true;
        }
    }

    /// The disk of a place was not damaged after all.
    pub fn spared(&self, at: usize) {
        let mut state = self.state();
        if state.loss == Some(at) {
            state.loss = None;
        }
    }

    fn leaving(&self) -> Vec<usize> {
        self.with_intent(Intent::Leaving)
    }

    /// Whether a member's disk is lost or damaged right now.
    pub fn loss(&self) -> Option<usize> {
        self.state().loss
    }

    /// A place is to become a member.
    pub fn join(&self, at: usize) {
        if self.intent(at).is_none() {
            self.place(at, Intent::Joining);
        }
        self.set_intent(at, Intent::Joining);
        tokio::spawn(self.clone().drive_join(at));
    }

    /// A member is to leave; false when it may not now.
    pub fn leave(&self, at: usize) -> bool {
        let members = self.members();
        let alone = members.len() < 3 || !members.contains(&at);
        let is_thin = self.loss().is_some() || self.state().demoted.is_some();
        if alone || is_thin || !self.leaving().is_empty() || self.state().healing {
            return false;
        }
        self.set_intent(at, Intent::Leaving);
        tokio::spawn(self.clone().drive_leave(at));
        true
    }

    /// Everybody gets up now, and nobody is lost any more.
    pub fn heal(&self) {
        let now = Instant::now();
        let mut state = self.state();
        state.healing = true;
        for place in state.places.values_mut() {
            place.down_until = now;
        }
    }

    /// Whether every place is what it should be.
    pub fn is_settled(&self) -> bool {
        let state = self.state();
        state.places.iter().all(|(at, place)| match place.intent {
            Intent::Member => self.world.node(*at).is_some(),
            Intent::Gone => self.world.node(*at).is_none(),
            Intent::Joining | Intent::Leaving => false,
        })
    }

    /// What is not what it should be, for whoever asks why a cluster does not settle.
    pub fn unsettled(&self) -> Vec<String> {
        let state = self.state();
        let places = state.places.iter();
        places
            .map(|(at, place)| {
                let runs = self.world.node(*at).is_some();
                format!("{at}: {:?}, runs {runs}", place.intent)
            })
            .collect()
    }

    /// What no fault explains.
    pub fn troubles(&self) -> Vec<String> {
        self.state().troubles.clone()
    }

    fn trouble(&self, what: String) {
        self.world.trace.say(&format!("trouble: {what}"));
        self.state().troubles.push(what);
    }

    /// Looks after the places, for ever.
    pub async fn run(self) {
        loop {
            let places: Vec<usize> = self.state().places.keys().copied().collect();
            for at in places {
                if let Some(reason) = self.world.ended(at) {
                    self.bury(at, &reason);
                }
                if self.is_to_start(at) {
                    tokio::spawn(self.clone().start(at));
                }
            }
            sleep(LOOK).await;
        }
    }

    /// A process ended by itself.
    fn bury(&self, at: usize, reason: &StopReason) {
        self.world.trace.say(&format!("ended {at}: {reason}"));
        self.world.kill_now(at);
        let intent = self.intent(at);
        match reason {
            // Whoever asked for it says when it is started again.
            StopReason::Requested => {}
            StopReason::DiskFailed(_) | StopReason::DiskFull(_) => {
                self.hold_down(at, AFTER_FAULT);
            }
            StopReason::Removed if matches!(intent, Some(Intent::Leaving | Intent::Gone)) => {
                self.set_intent(at, Intent::Gone);
            }
            StopReason::DataCorrupt(_) if self.is_damaged(at) => self.replace(at),
            StopReason::Removed | StopReason::DataCorrupt(_) | StopReason::Internal(_) => {
                self.trouble(format!("node {} ended: {reason}", self.world.id(at)));
                self.hold_down(at, AFTER_FAULT);
            }
        }
    }

    fn is_damaged(&self, at: usize) -> bool {
        self.state()
            .places
            .get(&at)
            .is_some_and(|place| place.damaged)
    }

    /// The disk of a member is damaged: a new one, and in again under another id.
    fn replace(&self, at: usize) {
        self.world.trace.say(&format!("replace {at}"));
        self.world.wipe(at);
        self.join(at);
    }

    fn is_to_start(&self, at: usize) -> bool {
        let down = self.world.node(at).is_none();
        let mut state = self.state();
        let Some(place) = state.places.get_mut(&at) else {
            return false;
        };
        let wanted = matches!(place.intent, Intent::Member | Intent::Leaving);
        let start = wanted && down && !place.starting && Instant::now() >= place.down_until;
        place.starting |= start;
        start
    }

    /// Starts a process that is down.
    async fn start(self, at: usize) {
        let started = self.world.try_start(at).await;
        if let Some(place) = self.state().places.get_mut(&at) {
            place.starting = false;
        }
        let shown = started.as_ref().map(|_node| ());
        self.world.trace.say(&format!("start {at}: {shown:?}"));
        match started {
            Ok(_node) => self.recovered(at),
            Err(StartError::Disk(_) | StartError::DiskFull(_)) => {
                self.hold_down(at, AFTER_FAULT);
            }
            Err(StartError::Corrupt(_)) if self.is_damaged(at) => self.replace(at),
            Err(_) if self.world.disk(at).is_dark() => {}
            Err(StartError::Internal(why)) if why.contains("power") => {}
            Err(error) => {
                self.trouble(format!(
                    "node {} does not start: {error}",
                    self.world.id(at)
                ));
                self.hold_down(at, Duration::from_secs(5));
            }
        }
    }

    /// A damaged disk that a node started from was not damaged where it matters.
    fn recovered(&self, at: usize) {
        if self.is_damaged(at) && self.intent(at) == Some(Intent::Member) {
            if let Some(place) = self.state().places.get_mut(&at) {
                place.damaged = false;
            }
            self.spared(at);
        }
    }

    /// Somebody who may be asked for a change of the membership.
    fn through(&self, not: usize, turn: usize) -> Option<Node> {
        let members = self.members();
        let nodes: Vec<Node> = members
            .into_iter()
            .filter(|at| *at != not)
            .filter_map(|at| self.world.node(at))
            .collect();
        nodes.get(turn % nodes.len().max(1)).cloned()
    }

    fn learn_id(&self, at: usize) {
        let (id, incarnation) = (self.world.id(at), self.world.member(at).incarnation);
        let known = self.state().ids.insert(id, incarnation);
        if known.is_some_and(|known| known != incarnation) {
            self.trouble(format!("id {id} was given to two data folders"));
        }
    }

    async fn drive_join(self, at: usize) {
        let mut turn = 0;
        while self.intent(at) == Some(Intent::Joining) {
            sleep(STEP_PAUSE).await;
            turn += 1;
            let down = {
                let state = self.state();
                let place = state.places.get(&at);
                place.is_some_and(|place| Instant::now() < place.down_until)
            };
            if down {
                continue;
            }
            if let Err(why) = self.join_once(at, turn).await {
                self.world.trace.say(&format!("join {at}: {why}"));
            }
        }
    }

    async fn join_once(&self, at: usize, turn: usize) -> Result<(), NodeError> {
        let deadline = || Instant::now() + STEP_MAX;
        let through = self.through(at, turn).ok_or(NodeError::NoQuorum)?;
        // A folder that has its id needs nobody to start: its vote may be the one that is missing.
        if !self.world.has_id(at) {
            self.world.allocate(at, &through, deadline()).await?;
            self.learn_id(at);
        }
        if self.world.node(at).is_none() {
            match self.world.try_start(at).await {
                Ok(_node) => {}
                Err(StartError::Disk(_) | StartError::DiskFull(_)) => {
                    self.hold_down(at, AFTER_FAULT);
                    return Err(NodeError::ShuttingDown);
                }
                Err(_) if self.world.disk(at).is_dark() => return Err(NodeError::ShuttingDown),
                Err(StartError::Internal(why)) if why.contains("power") => {
                    return Err(NodeError::ShuttingDown);
                }
                Err(error) => {
                    self.trouble(format!(
                        "the joining node {} does not start: {error}",
                        self.world.id(at)
                    ));
                    return Err(NodeError::ShuttingDown);
                }
            }
        }
        self.world.add_member(at, &through, deadline()).await?;
        let mut state = self.state();
        if let Some(place) = state.places.get_mut(&at) {
            place.intent = Intent::Member;
            place.damaged = false;
        }
        if state.loss == Some(at) {
            state.loss = None;
        }
        Ok(())
    }

    async fn drive_leave(self, at: usize) {
        let id = self.world.id(at);
        let mut turn = 0;
        while self.intent(at) == Some(Intent::Leaving) {
            turn += 1;
            if let Some(through) = self.through(at, turn) {
                let deadline = Instant::now() + STEP_MAX;
                let removed = through.remove_member(id, deadline).await;
                self.world.trace.say(&format!("remove {at}: {removed:?}"));
                let gone = match removed {
                    Ok(()) => true,
                    Err(error) => error.code() == ErrorCode::NodeNotFound,
                };
                if gone {
                    self.set_intent(at, Intent::Gone);
                    break;
                }
            }
            sleep(STEP_PAUSE).await;
        }
        // It hears of it, or it is switched off.
        sleep(Duration::from_secs(2)).await;
        if self.intent(at) == Some(Intent::Gone) {
            self.world.kill_now(at);
        }
    }
}
