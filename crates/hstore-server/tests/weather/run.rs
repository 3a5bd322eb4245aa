//! One run: a cluster comes together, a storm, a calm, a judgement.
//!
//! Invariants: (1) everything random descends from the seed; (2) when the storm is over everything
//! is mended, and the cluster must be well again within bounds; (3) a run in which too little
//! happened is invalid, not good.

use std::collections::BTreeMap;
use std::hash::{DefaultHasher, Hasher as _};
use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use hstore_check::history::{History, Outcome};
use hstore_check::judge;
use hstore_core::id::Revision;
use serde::{Deserialize, Serialize};
use turmoil::Sim;

use crate::book::Book;
use crate::clients::{self, BEGINNING, CALM, HOSTS, LAST_LOOK, Lie, Shared};
use crate::nemesis::{self, Nemesis};
use crate::net::{LATENCY_MAX, LATENCY_MIN, Net};
use crate::place::{CLIENT_PORT, NODES, PEER_PORT, Place};

/// How long the cluster may take to come together in good weather.
const TOGETHER_MAX: Duration = Duration::from_secs(30);

/// How long after the storm the clients may take to end.
const CALM_MAX: Duration = Duration::from_secs(6);

/// How long after the storm somebody must lead all nodes.
const LEAD_MAX: Duration = Duration::from_secs(10);

/// How long then the cluster is left alone: connections that died without a word are found out.
const GRACE: Duration = Duration::from_secs(6);

/// How long the last look may take.
const LOOK_MAX: Duration = Duration::from_secs(30);

/// How long then all nodes may take to be equal.
const CONVERGE_MAX: Duration = Duration::from_secs(10);

/// How long then the node may keep connections of clients that are gone without a word: its
/// keep-alive, and the time that the answer to it has.
const CLOSE_MAX: Duration = Duration::from_secs(45);

/// Every so many seeds wait for that: it is the longest part of a run, and nothing else happens.
const PATIENT_EVERY: u64 = 4;

/// The most connections that a node holds open to its peers' doors, each of four classes, while one
/// of each may be on its way out.
const PEER_WIRES_MAX: usize = 2 * 4 * (NODES.len() - 1);

/// The most tasks of a node that nobody asks anything.
const TASKS_MAX: usize = 90;

/// The fewest acknowledged writes that make a run mean something.
const WRITES_MIN: u64 = 50;

/// What came of a run.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Report {
    pub(crate) seed: u64,
    /// `ok`, `invalid` or `violation`.
    pub(crate) verdict: String,
    pub(crate) reasons: Vec<String>,
    pub(crate) sim_seconds: f64,
    pub(crate) operations: u64,
    pub(crate) writes: u64,
    pub(crate) reads: u64,
    pub(crate) unknown: u64,
    /// How often each kind of strike had an effect.
    pub(crate) struck: BTreeMap<String, u64>,
    /// Connections that broke in the middle of a write.
    pub(crate) broken: u64,
    /// The most tasks of a node at the end.
    pub(crate) tasks: usize,
    /// Of the history and the story of the strikes.
    pub(crate) hash: String,
}

/// A run, and what it left.
pub(crate) struct Ran {
    pub(crate) report: Report,
    pub(crate) history: History,
    pub(crate) story: Vec<String>,
}

/// Runs one seed.
pub(crate) fn run(seed: u64, lie: Lie) -> Ran {
    let net = Net::default();
    let places: Vec<Place> = NODES
        .iter()
        .zip(1..)
        .map(|(name, nth)| Place::new(name, &net, seed.wrapping_mul(31).wrapping_add(nth)))
        .collect();
    let shared = Shared {
        net,
        book: Book::default(),
        stage: Arc::new(AtomicU8::new(BEGINNING)),
        lie,
        asked: Arc::default(),
        found: Arc::new(Mutex::default()),
    };
    let mut sim = turmoil::Builder::new()
        .rng_seed(seed)
        .epoch(SystemTime::UNIX_EPOCH + Duration::from_secs(1_700_000_000))
        .simulation_duration(Duration::from_mins(10))
        .tick_duration(Duration::from_millis(1))
        .min_message_latency(LATENCY_MIN)
        .max_message_latency(LATENCY_MAX)
        .tcp_capacity(1024)
        .enable_random_order()
        .build();
    for place in &places {
        let place = place.clone();
        sim.host(place.name, move || place.clone().live());
    }
    let mut next = 1;
    for (host, count, knows) in HOSTS {
        sim.client(
            host,
            shared.clone().live(host, next..next + count, knows, seed),
        );
        next += count;
    }
    let mut run = Run {
        nemesis: Nemesis::new(shared.clone(), &places, nemesis::plan(seed)),
        places: &places,
        shared,
        wrong: Vec::new(),
        over: false,
        is_patient: seed.is_multiple_of(PATIENT_EVERY),
    };
    run.go(&mut sim);
    run.judge(seed, sim.elapsed())
}

struct Run<'p> {
    nemesis: Nemesis<'p>,
    places: &'p [Place],
    shared: Shared,
    wrong: Vec<String>,
    /// Whether every client has ended.
    over: bool,
    /// Whether to wait until the last connection of a client is gone.
    is_patient: bool,
}

impl Run<'_> {
    fn go(&mut self, sim: &mut Sim<'_>) {
        let together = self.until(sim, TOGETHER_MAX, |run| {
            run.places.iter().all(Place::is_member) && run.is_led()
        });
        if !together {
            self.wrong
                .push("the cluster did not come together".to_owned());
            return;
        }
        self.enter(clients::STORM);
        let began = sim.elapsed();
        while since(sim, began) < nemesis::STORM && !self.over {
            self.nemesis.turn(sim, since(sim, began));
            self.step(sim);
        }
        self.nemesis.heal(sim);
        self.enter(CALM);
        let healed = sim.elapsed();
        if !self.until(sim, LEAD_MAX, Run::is_led) {
            let after = LEAD_MAX.as_secs();
            self.wrong
                .push(format!("lead: nobody leads all nodes after {after} s"));
        }
        while since(sim, healed) < CALM_MAX.max(GRACE) {
            self.step(sim);
        }
        self.enter(LAST_LOOK);
        if !self.until(sim, LOOK_MAX, |run| run.over) {
            self.wrong.push("calm: the clients did not end".to_owned());
        }
        if !self.until(sim, CONVERGE_MAX, Run::is_equal) {
            self.wrong.push(format!("converge: {:?}", self.states()));
        }
        if self.is_patient && !self.until(sim, CLOSE_MAX, Run::is_closed) {
            let open: Vec<usize> = NODES
                .iter()
                .map(|node| self.shared.net.open(node, CLIENT_PORT))
                .collect();
            self.wrong.push(format!(
                "leak: connections of clients that are gone: {open:?}"
            ));
        }
        for (place, node) in self.places.iter().zip(NODES) {
            let (peers, tasks) = (self.shared.net.open(node, PEER_PORT), place.tasks());
            if peers > PEER_WIRES_MAX || tasks > TASKS_MAX {
                self.wrong.push(format!(
                    "leak: {node} has {peers} connections of peers, {tasks} tasks"
                ));
            }
        }
    }

    fn enter(&self, stage: u8) {
        self.shared.stage.store(stage, Ordering::Relaxed);
    }

    fn step(&mut self, sim: &mut Sim<'_>) {
        match sim.step() {
            Ok(over) => self.over = over,
            Err(error) => {
                self.wrong.push(format!("a client ended: {error}"));
                self.over = true;
            }
        }
    }

    /// Goes on until a condition holds, at most so long; whether it does.
    fn until(
        &mut self,
        sim: &mut Sim<'_>,
        at_most: Duration,
        condition: impl Fn(&Self) -> bool,
    ) -> bool {
        let began = sim.elapsed();
        let mut steps = 0_u32;
        while since(sim, began) < at_most {
            if steps.is_multiple_of(20) && condition(self) {
                return true;
            }
            steps += 1;
            self.step(sim);
        }
        condition(self)
    }

    /// Whether all nodes know one and the same leader that has its quorum.
    fn is_led(&self) -> bool {
        let mut leaders = self.places.iter().map(|place| {
            let node = place.node()?;
            let standing = node.standing();
            let standing = standing.borrow();
            standing.leader.filter(|_leader| standing.quorum)
        });
        let first = leaders.next().flatten();
        first.is_some() && leaders.all(|leader| leader == first)
    }

    /// Index, last index, hash and revision of every node.
    fn states(&self) -> Vec<Option<(u64, u64, u64, i64)>> {
        let states = self.places.iter().map(|place| {
            let status = place.node()?.status();
            Some((
                status.applied.map_or(0, |id| id.index.0),
                status.last.map_or(0, |last| last.0),
                status.store.state_hash,
                status.store.revision.0,
            ))
        });
        states.collect()
    }

    fn is_equal(&self) -> bool {
        let states = self.states();
        let same = |state: &Option<(u64, u64, u64, i64)>| {
            *state == states[0] && state.is_some_and(|state| state.0 == state.1)
        };
        states.iter().all(same)
    }

    fn is_closed(&self) -> bool {
        NODES
            .iter()
            .all(|node| self.shared.net.open(node, CLIENT_PORT) == 0)
    }

    fn judge(self, seed: u64, elapsed: Duration) -> Ran {
        let mut wrong = self.wrong;
        let found = self
            .shared
            .found
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone();
        wrong.extend(found.wrong);
        wrong.extend(self.places.iter().flat_map(Place::troubles));
        wrong.extend(
            self.shared
                .book
                .late()
                .into_iter()
                .take(5)
                .map(|late| format!("late: {late}")),
        );
        let history = self.shared.book.close(found.log);
        let report = judge::judge(&history);
        for violation in report.violations.kept().iter().take(10) {
            wrong.push(format!("judge: {violation}"));
        }
        if found.is_complete {
            wrong.extend(twice(&history).into_iter().take(5));
            wrong.extend(lost(&history).into_iter().take(5));
        } else {
            wrong.push("the last look did not end".to_owned());
        }
        let (writes, reads) = self.shared.book.counts();
        let mut missing = Vec::new();
        if writes < WRITES_MIN {
            missing.push(format!(
                "{writes} writes were acknowledged, {WRITES_MIN} are needed"
            ));
        }
        if self.nemesis.struck.is_empty() {
            missing.push("nothing struck".to_owned());
        }
        if report.undecided > 0 {
            missing.push(format!(
                "the search gave up in {} windows",
                report.undecided
            ));
        }
        let (verdict, reasons) = if !wrong.is_empty() {
            ("violation", wrong)
        } else if !missing.is_empty() {
            ("invalid", missing)
        } else {
            ("ok", Vec::new())
        };
        let struck = self.nemesis.struck.iter();
        let report = Report {
            seed,
            verdict: verdict.to_owned(),
            reasons,
            sim_seconds: elapsed.as_secs_f64(),
            operations: report.operations,
            writes,
            reads,
            unknown: report.unknown,
            struck: struck
                .map(|(kind, count)| (format!("{kind:?}"), *count))
                .collect(),
            broken: self.shared.net.broken(),
            tasks: self.places.iter().map(Place::tasks).max().unwrap_or(0),
            hash: hash(&history, &self.nemesis.story),
        };
        Ran {
            report,
            history,
            story: self.nemesis.story,
        }
    }
}

fn since(sim: &Sim<'_>, then: Duration) -> Duration {
    sim.elapsed().saturating_sub(then)
}

/// Values that more than one revision wrote. Each is written by one call, and a call with a request
/// id is applied once, however often it is sent.
fn twice(history: &History) -> Vec<String> {
    let mut written: BTreeMap<&[u8], Revision> = BTreeMap::new();
    let mut wrong = Vec::new();
    for entry in &history.log {
        for record in &entry.records {
            let Some(value) = &record.value else { continue };
            match written.insert(value, entry.revision) {
                Some(before) if before != entry.revision => wrong.push(format!(
                    "twice: {} was written at {before} and at {}",
                    value[..value.len().min(20)].escape_ascii(),
                    entry.revision
                )),
                _ => {}
            }
        }
    }
    wrong
}

/// Acknowledged writes of one key that no node has. The witness says so too; this is in few words
/// and shares nothing with it.
fn lost(history: &History) -> Vec<String> {
    let log: BTreeMap<Revision, _> = history
        .log
        .iter()
        .map(|entry| (entry.revision, &entry.records))
        .collect();
    let mut wrong = Vec::new();
    for operation in &history.operations {
        if let hstore_check::history::Call::Put(put) = &operation.call
            && let Outcome::Answered { revision, .. } = &operation.outcome
        {
            let there = log.get(revision).is_some_and(|records| {
                let mut records = records.iter();
                records.any(|r| r.key == put.key && r.value.as_ref() == Some(&put.value))
            });
            if !there {
                wrong.push(format!(
                    "lost: {} was acknowledged at {revision}",
                    operation.id
                ));
            }
        }
    }
    wrong
}

fn hash(history: &History, story: &[String]) -> String {
    let mut lines = Vec::new();
    history.write(&mut lines).expect("memory takes every write");
    let mut hasher = DefaultHasher::new();
    hasher.write(&lines);
    for line in story {
        hasher.write(line.as_bytes());
    }
    format!("{:016x}", hasher.finish())
}
