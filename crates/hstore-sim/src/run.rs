//! One run: a cluster, a storm, a calm, a judgement.
//!
//! Invariants: (1) when the storm is over everything is healed and the cluster must be well again
//! within bounds; (2) what clients saw is judged whole, by all judges; (3) a run in which too little happened is
//! invalid, not good.

use std::time::Duration;

use hstore_check::history::{History, Operation};
use hstore_check::judge::judge_within;
use hstore_check::search::Limits;
use hstore_core::id::Revision;
use hstore_node::Node;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, timeout};

use crate::content::difference;
use crate::ledger;
use crate::nemesis::{Nemesis, Tally};
use crate::observer::Observer;
use crate::plan::Plan;
use crate::report::{Report, Verdict};
use crate::steward::Steward;
use crate::workload::Clients;
use crate::world::{World, run_with, within};

/// How long after the storm every place must be what it should be.
const SETTLE_MAX: Duration = Duration::from_mins(1);

/// How long then somebody must lead.
const LEAD_MAX: Duration = Duration::from_secs(5);

/// How long then the cluster is left alone before it is asked.
const GRACE: Duration = Duration::from_secs(6);

/// How long then all must be equal.
const CONVERGE_MAX: Duration = Duration::from_secs(30);

/// How long then everything that is set must be done.
const DONE_MAX: Duration = Duration::from_mins(1);

/// How long it may take, when all keys are deleted and history is dropped, until no node lacks room,
/// and after how long that is done again.
const ROOM_MAX: Duration = Duration::from_mins(1);
const ROOM_AGAIN: Duration = Duration::from_secs(8);

/// How long strikes and clients may take to end when the storm is over.
const CALM_MAX: Duration = Duration::from_secs(30);

/// How much the search may cost: a run has few keys, and what is open for long makes many states.
const SEARCH: Limits = Limits {
    window_operations: 500,
    steps_max: 20_000,
    states_max: 5_000,
};

/// Runs one plan; the report, and the trace if it was to be kept.
pub fn run_plan(seed: u64, plan: &Plan, keep_trace: bool) -> (Report, String) {
    run_with(seed, keep_trace, async |world| {
        let run = Run::new(world, plan);
        let report = run.go(seed).await;
        (report, run.world.trace.text())
    })
}

struct Run<'p> {
    plan: &'p Plan,
    world: World,
    steward: Steward,
    clients: Clients,
    observer: Observer,
    tally: Tally,
}

impl Run<'_> {
    fn new(world: World, plan: &Plan) -> Run<'_> {
        let steward = Steward::new(world.clone());
        let clients = Clients::new(world.clone(), plan.mix.clone(), plan.judges_the_log());
        let observer = Observer::new(world.clone(), steward.clone(), clients.clone());
        Run {
            plan,
            world,
            steward,
            clients,
            observer,
            tally: Tally::default(),
        }
    }

    async fn go(&self, seed: u64) -> Report {
        let knobs = self.plan.knobs;
        self.world.set(move |config| knobs.apply(config));
        self.world.cluster(self.plan.nodes).await;
        for at in 0..self.plan.nodes {
            self.steward.adopt(at);
        }
        let mut looking = JoinSet::new();
        looking.spawn(self.steward.clone().run());
        looking.spawn(self.observer.clone().run());
        if self.plan.mix.wardens > 0 {
            self.clients.found_users().await;
        }
        let (finish, heard_out) = watch::channel(None);
        let mut watching = JoinSet::new();
        for nth in 0..self.plan.mix.watching.watchers {
            let clients = self.clients.clone();
            watching.spawn(clients.listen(nth, heard_out.clone()));
        }
        let mut wrong = Vec::new();
        if !self.storm().await {
            wrong.push("calm: strikes or clients did not end".to_owned());
        }
        wrong.extend(self.calm().await);
        // Of a cluster that is not well nobody can expect to hear everything.
        if wrong.is_empty() {
            wrong.extend(self.hear_out(&finish, &mut watching).await);
        }
        watching.abort_all();
        looking.abort_all();
        self.observer.look(true);
        wrong.extend(self.observer.broken());
        wrong.extend(self.steward.troubles());
        let by_the_log = self.judge_by_the_log();
        wrong.extend(by_the_log.broken.iter().cloned());
        self.judge(seed, wrong, &by_the_log)
    }

    /// Everything at once; whether all of it ended when it should.
    async fn storm(&self) -> bool {
        let (over_tx, over) = watch::channel(false);
        let nemesis = Nemesis {
            world: self.world.clone(),
            steward: self.steward.clone(),
            clients: self.clients.clone(),
            tally: self.tally.clone(),
            over: over.clone(),
        };
        let mut under_way = JoinSet::new();
        for _ in 0..self.plan.clients {
            under_way.spawn(self.clients.clone().run(over.clone()));
        }
        for nth in 0..self.plan.mix.tenants {
            under_way.spawn(self.clients.clone().live_on_leases(nth, over.clone()));
        }
        for _ in 0..self.plan.mix.lockers {
            under_way.spawn(self.clients.clone().lock(over.clone()));
        }
        for _ in 0..self.plan.mix.wardens {
            under_way.spawn(self.clients.clone().guard(over.clone()));
        }
        for _ in 0..self.plan.mix.tuners {
            let tuning = self
                .clients
                .clone()
                .tune(self.steward.clone(), over.clone());
            under_way.spawn(tuning);
        }
        under_way.spawn(nemesis.run(self.plan.strikes.clone()));
        sleep(self.plan.storm).await;
        self.world.trace.say("the storm is over");
        over_tx.send_replace(true);
        let ended = timeout(CALM_MAX, async {
            while let Some(ended) = under_way.join_next().await {
                if let Err(error) = ended {
                    std::panic::resume_unwind(error.into_panic());
                }
            }
        });
        let ended = ended.await.is_ok();
        self.world.net.heal();
        for at in 0..self.world.seats() {
            self.world.disk(at).set_capacity(None);
        }
        self.steward.heal();
        ended
    }

    /// The cluster must be well again; what is not.
    async fn calm(&self) -> Vec<String> {
        let mut wrong = Vec::new();
        let world = &self.world;
        let settled = || self.steward.is_settled().then_some(());
        if within(SETTLE_MAX, settled).await.is_none() {
            wrong.push(format!(
                "settle: after {} s: {:?}",
                SETTLE_MAX.as_secs(),
                self.steward.unsettled()
            ));
            return wrong;
        }
        if within(LEAD_MAX, || world.leads()).await.is_none() {
            wrong.push(format!("lead: nobody leads after {} s", LEAD_MAX.as_secs()));
        }
        // Connections that died without a word are found out by then.
        sleep(GRACE).await;
        let done = || self.clients.undone().is_none().then_some(());
        if self.plan.mix.tuners > 0 && within(DONE_MAX, done).await.is_none() {
            wrong.push(format!("settings_are_done: {:?}", self.clients.undone()));
        }
        let has_quota = |node: &Node| node.effective().quota_bytes.is_some();
        if self.plan.knobs.quota_bytes.is_some() || world.running().iter().any(has_quota) {
            wrong.extend(self.make_room().await);
        }
        let answered = self.clients.probe(&self.steward.members()).await;
        if answered < 20 {
            wrong.push(format!("serve: {answered} of 20 calls were answered"));
        }
        let asked = world.running();
        wrong.extend(self.clients.broken_promises(asked.first()).await);
        let converged = within(CONVERGE_MAX, || self.is_equal().then_some(())).await;
        if converged.is_none() {
            wrong.push(format!(
                "converge: after {} s: {:?}",
                CONVERGE_MAX.as_secs(),
                self.states()
            ));
        }
        for node in world.running() {
            self.observer.collect(&node).await;
        }
        if converged.is_some() {
            wrong.extend(difference(&world.running(), &self.clients.keys()).await);
        }
        world.trace.say(&format!("states {:?}", self.states()));
        wrong
    }

    /// Makes room where a quota was met, and waits until no alarm is raised any more; what is wrong
    /// with that.
    async fn make_room(&self) -> Option<String> {
        let until = Instant::now() + ROOM_MAX;
        let mut turn = 0;
        while Instant::now() < until {
            let members = self.steward.members();
            let at = *members.get(turn % members.len().max(1))?;
            turn += 1;
            if self.clients.make_room(at).await
                && let Some(node) = self.world.node(at)
            {
                self.observer.collect(&node).await;
                self.clients.compact(at, 100).await;
            }
            let has_room = || {
                let nodes = self.world.running();
                let is_free = |node: &Node| {
                    let status = node.status();
                    let quota = status.quota_bytes.unwrap_or(u64::MAX);
                    status.alarms.is_empty() && status.store.room_bytes < quota / 10 * 9
                };
                nodes.iter().all(is_free).then_some(())
            };
            if within(ROOM_AGAIN, has_room).await.is_some() {
                return None;
            }
        }
        let nodes = self.world.running();
        let sizes = nodes.iter().map(|node| {
            let status = node.status();
            (status.node, status.store.room_bytes, status.alarms)
        });
        Some(format!(
            "room_comes_back: {} s after all keys were deleted: {:?}",
            ROOM_MAX.as_secs(),
            sizes.collect::<Vec<_>>()
        ))
    }

    /// All who watch must hear everything; what they did not.
    async fn hear_out(
        &self,
        finish: &watch::Sender<Option<Revision>>,
        watching: &mut JoinSet<Option<String>>,
    ) -> Vec<String> {
        let revisions = self.states().into_iter().map(|state| state.3);
        finish.send_replace(revisions.max().map(Revision));
        let mut wrong = Vec::new();
        let ended = timeout(CALM_MAX, async {
            while let Some(ended) = watching.join_next().await {
                match ended {
                    Ok(late) => wrong.extend(late),
                    Err(error) => std::panic::resume_unwind(error.into_panic()),
                }
            }
        });
        if ended.await.is_err() {
            wrong.push("watches_hear_all: those who watch did not end".to_owned());
        }
        wrong
    }

    /// Index, last index, hash and revision of every node.
    fn states(&self) -> Vec<(u64, u64, u64, i64)> {
        let nodes = self.world.running();
        let states = nodes.iter().map(|node| {
            let status = node.status();
            (
                status.applied.map_or(0, |id| id.index.0),
                status.last.map_or(0, |last| last.0),
                status.store.state_hash,
                status.store.revision.0,
            )
        });
        states.collect()
    }

    fn is_equal(&self) -> bool {
        let states = self.states();
        let first = states.first().copied().unwrap_or_default();
        states
            .iter()
            .all(|state| *state == first && state.0 == state.1)
    }

    /// Holds what clients noted against the committed log.
    fn judge_by_the_log(&self) -> ledger::Verdict {
        let (Some(ledger), Some(tape)) = (self.clients.ledger(), self.observer.tape()) else {
            return ledger::Verdict::default();
        };
        let history = self.clients.history();
        let records = history.log.iter().flat_map(|entry| &entry.records);
        let written = records.filter_map(|record| record.value.clone()).collect();
        let verdict = ledger::judge(&ledger.notes(), &tape, &written, &self.world.running());
        self.world.trace.say(&format!(
            "the log up to {}: {} judged, {} denied, {} without room",
            verdict.upto, verdict.judged, verdict.denied, verdict.full
        ));
        if self.plan.mix.tuners > 0 {
            let settings = verdict.settings;
            let trace = &self.world.trace;
            trace.say(&format!("{settings} changes of settings are in the log"));
        }
        verdict
    }

    fn judge(&self, seed: u64, mut wrong: Vec<String>, by_the_log: &ledger::Verdict) -> Report {
        // What lockers do is in no history of calls: their own laws judge it.
        let history = match self.plan.mix.lockers {
            0 => self.clients.history(),
            _ => History::default(),
        };
        let judged = judge_within(&history, &SEARCH);
        for violation in judged.violations.kept().iter().take(10) {
            wrong.push(format!("judge: {violation}"));
        }
        let unknown = history
            .operations
            .iter()
            .filter(|o| Operation::is_unknown(o));
        let unknown = unknown.count() as u64;
        let struck = self.tally.counts();
        let (writes, reads) = self.clients.counts();
        let mut missing = Vec::new();
        if writes < self.plan.writes_min {
            missing.push(format!(
                "{writes} writes were acknowledged, {} are needed",
                self.plan.writes_min
            ));
        }
        for (what, found, needed) in [
            ("of rights", by_the_log.denied, self.plan.denied_min),
            ("of room", by_the_log.full, self.plan.full_min),
        ] {
            if found < needed {
                missing.push(format!("{found} met a lack {what}, {needed} are needed"));
            }
        }
        if by_the_log.settings < self.plan.settings_min {
            missing.push(format!(
                "{} changes of settings are in the log, {} are needed",
                by_the_log.settings, self.plan.settings_min
            ));
        }
        for kind in self.plan.kinds() {
            if !struck.contains_key(&kind) {
                missing.push(format!("{kind} never had an effect"));
            }
        }
        let (verdict, reasons) = if self.plan.must_fail {
            must_be_caught(wrong)
        } else if !wrong.is_empty() {
            (Verdict::Violation, wrong)
        } else if !missing.is_empty() {
            (Verdict::Invalid, missing)
        } else {
            (Verdict::Ok, Vec::new())
        };
        let trace = &self.world.trace;
        trace.say(&format!("verdict {verdict:?}"));
        Report {
            seed,
            scenario: self.plan.scenario.clone(),
            verdict,
            reasons,
            nodes: self.plan.nodes,
            sim_seconds: trace.elapsed().as_secs_f64(),
            ops: history.operations.len() as u64,
            writes,
            reads,
            unknown,
            struck: struck
                .into_iter()
                .map(|(kind, count)| (kind.as_str().to_owned(), count))
                .collect(),
            windows: judged.windows,
            undecided: judged.undecided,
            watch_streams: judged.watch_streams,
            watch_events: judged.watch_events,
            log_judged: by_the_log.judged,
            denied: by_the_log.denied,
            full: by_the_log.full,
            settings: by_the_log.settings,
            looks: self.observer.looks(),
            trace_lines: trace.count(),
            trace_hash: format!("{:016x}", trace.hash()),
        }
    }
}

/// A set-up that is wrong on purpose is good when the judge, and nobody else, says so.
fn must_be_caught(mut wrong: Vec<String>) -> (Verdict, Vec<String>) {
    let before = wrong.len();
    wrong.retain(|what| !what.starts_with("judge: "));
    if wrong.len() == before {
        wrong.push("a set-up that is wrong on purpose was not caught".to_owned());
    }
    if wrong.is_empty() {
        (Verdict::Ok, wrong)
    } else {
        (Verdict::Violation, wrong)
    }
}
