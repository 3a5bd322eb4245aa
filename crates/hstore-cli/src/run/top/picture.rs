//! What `top` shows: the newest description, what was before it, and what the person chose. It knows
//! no terminal and no clock; whoever hears says when.
//!
//! Invariant: what is kept of the past is bounded by `SAMPLES_MAX` and `EVENTS_MAX`.

use std::cmp::Ordering;
use std::collections::{BTreeSet, VecDeque};
use std::time::Duration;

use hstore_client::v1::{ClusterDescription, MemberStatus, Timing, Vitals};

use crate::render::nodes;
use crate::text;

/// How many samples are kept: one a second, for five minutes.
const SAMPLES_MAX: usize = 300;

/// How many events are kept.
const EVENTS_MAX: usize = 100;

/// Descriptions that come sooner than this after a sample are the same sample.
const SAMPLE_SPAN: Duration = Duration::from_millis(700);

/// What the nodes are sorted by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Sort {
    Name,
    Lag,
    Sync,
    Requests,
    Latency,
    Memory,
    Store,
}

impl Sort {
    /// All of them, as the keys go through them.
    const ALL: [Sort; 7] = [
        Sort::Name,
        Sort::Lag,
        Sort::Sync,
        Sort::Requests,
        Sort::Latency,
        Sort::Memory,
        Sort::Store,
    ];

    /// The word for it.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Sort::Name => "name",
            Sort::Lag => "lag",
            Sort::Sync => "sync p99",
            Sort::Requests => "requests",
            Sort::Latency => "request p99",
            Sort::Memory => "memory",
            Sort::Store => "store",
        }
    }

    fn next(self, steps: usize) -> Sort {
        let place = Sort::ALL.iter().position(|sort| *sort == self);
        Sort::ALL[(place.unwrap_or(0) + steps) % Sort::ALL.len()]
    }
}

/// What a key means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Wish {
    Up,
    Down,
    SortNext,
    SortPrevious,
    Reverse,
    Help,
}

/// The whole cluster at one moment.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct Sample {
    /// Calls about keys in a second, of all nodes.
    pub(crate) requests_per_second: f64,
    /// The slowest node's 99th percentile of them, in microseconds.
    pub(crate) request_p99_us: u64,
}

/// Something that happened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Event {
    /// When, since `top` began.
    pub(crate) at: Duration,
    /// What.
    pub(crate) text: String,
}

/// What is shown.
#[derive(Clone, Debug)]
pub(crate) struct Picture {
    /// The cluster as it was told last.
    pub(crate) cluster: Option<ClusterDescription>,
    /// When that was, since `top` began.
    pub(crate) heard: Duration,
    /// Why nothing is heard; empty while something is.
    pub(crate) trouble: String,
    /// The past, the oldest first.
    pub(crate) samples: VecDeque<Sample>,
    sampled: Duration,
    /// What happened, the newest first.
    pub(crate) events: VecDeque<Event>,
    /// How often the leader changed before our eyes.
    pub(crate) elections: u64,
    /// What the nodes are sorted by.
    pub(crate) sort: Sort,
    /// The other way round.
    pub(crate) reversed: bool,
    /// The place of the chosen node in what is sorted.
    pub(crate) selected: usize,
    /// Whether the keys are explained.
    pub(crate) help: bool,
}

impl Picture {
    /// Nothing yet.
    pub(crate) fn new() -> Picture {
        Picture {
            cluster: None,
            heard: Duration::ZERO,
            trouble: String::new(),
            samples: VecDeque::new(),
            sampled: Duration::ZERO,
            events: VecDeque::new(),
            elections: 0,
            sort: Sort::Name,
            reversed: false,
            selected: 0,
            help: false,
        }
    }

    /// A description came.
    pub(crate) fn hear(&mut self, now: Duration, cluster: ClusterDescription) {
        let chosen = self.chosen();
        if let Some(before) = self.cluster.take() {
            for text in changes(&before, &cluster) {
                self.note(now, text);
            }
            if cluster.leader != 0 && cluster.term > before.term {
                self.elections += 1;
            }
        }
        let sample = sample(&cluster);
        match self.samples.back_mut() {
            Some(last) if now < self.sampled + SAMPLE_SPAN => *last = sample,
            _ => {
                if self.samples.len() == SAMPLES_MAX {
                    self.samples.pop_front();
                }
                self.samples.push_back(sample);
                self.sampled = now;
            }
        }
        self.cluster = Some(cluster);
        self.follow(chosen);
        self.heard = now;
        self.trouble.clear();
    }

    /// Nothing comes any more.
    pub(crate) fn lose(&mut self, now: Duration, why: String) {
        if self.trouble.is_empty() {
            let by = self.cluster.as_ref().map(|it| name_of(it, it.node_id));
            let by = by.unwrap_or_else(|| "the cluster".to_owned());
            self.note(now, format!("{by} is not heard any more: {why}"));
        }
        self.trouble = why;
    }

    /// A key was pressed.
    pub(crate) fn wish(&mut self, wish: Wish) {
        let chosen = self.chosen();
        match wish {
            Wish::Up => self.selected = self.selected.saturating_sub(1),
            Wish::Down => self.selected = (self.selected + 1).min(self.last()),
            Wish::SortNext => self.sort = self.sort.next(1),
            Wish::SortPrevious => self.sort = self.sort.next(Sort::ALL.len() - 1),
            Wish::Reverse => self.reversed = !self.reversed,
            Wish::Help => self.help = !self.help,
        }
        if !matches!(wish, Wish::Up | Wish::Down) {
            self.follow(chosen);
        }
    }

    fn last(&self) -> usize {
        let members = self.cluster.as_ref().map_or(0, |it| it.members.len());
        members.saturating_sub(1)
    }

    fn chosen(&self) -> Option<u64> {
        self.rows().get(self.selected).map(|row| id(row))
    }

    /// A node stays chosen when others overtake it. If it is gone, the one in its place is.
    fn follow(&mut self, chosen: Option<u64>) {
        let place = self.rows().iter().position(|row| Some(id(row)) == chosen);
        self.selected = place.unwrap_or(self.selected).min(self.last());
    }

    /// The members in the order that was chosen: names from the first, numbers from the largest.
    pub(crate) fn rows(&self) -> Vec<&MemberStatus> {
        let members = self.cluster.iter().flat_map(|it| &it.members);
        let mut rows: Vec<&MemberStatus> = members.collect();
        rows.sort_by(|a, b| {
            let order = by(self.sort, a, b);
            if self.reversed {
                order.reverse()
            } else {
                order
            }
        });
        rows
    }

    fn note(&mut self, at: Duration, text: String) {
        self.events.truncate(EVENTS_MAX - 1);
        self.events.push_front(Event { at, text });
    }
}

fn by(sort: Sort, a: &MemberStatus, b: &MemberStatus) -> Ordering {
    let vitals = |row: &MemberStatus| row.vitals.clone().unwrap_or_default();
    let p99 = |timing: Option<Timing>| timing.unwrap_or_default().p99_us;
    let key = |row: &MemberStatus| match sort {
        Sort::Name => 0,
        Sort::Lag => row.lag,
        Sort::Sync => p99(vitals(row).log_sync),
        Sort::Requests => (vitals(row).requests_per_second * 1e3) as u64,
        Sort::Latency => p99(vitals(row).requests),
        Sort::Memory => vitals(row).resident_bytes,
        Sort::Store => vitals(row).engine_bytes,
    };
    let name = |row: &MemberStatus| (natural(&nodes::name(row)), id(row));
    key(b).cmp(&key(a)).then_with(|| name(a).cmp(&name(b)))
}

/// A name with its trailing number apart, so that n10 comes after n9.
fn natural(name: &str) -> (String, u64) {
    let head = name.trim_end_matches(|letter: char| letter.is_ascii_digit());
    let number = name[head.len()..].parse().unwrap_or(0);
    (head.to_owned(), number)
}

fn id(row: &MemberStatus) -> u64 {
    row.member.as_ref().map_or(0, |member| member.node_id)
}

fn sample(cluster: &ClusterDescription) -> Sample {
    let vitals = cluster.members.iter().filter_map(|row| row.vitals.as_ref());
    Sample {
        requests_per_second: vitals.clone().map(|it| it.requests_per_second).sum(),
        request_p99_us: vitals
            .filter_map(|it: &Vitals| it.requests)
            .map(|timing| timing.p99_us)
            .max()
            .unwrap_or(0),
    }
}

/// The name of a node in a description.
pub(crate) fn name_of(cluster: &ClusterDescription, node: u64) -> String {
    let row = cluster.members.iter().find(|row| id(row) == node);
    row.map_or_else(|| format!("#{node}"), nodes::name)
}

/// What happened between two descriptions, in words.
fn changes(before: &ClusterDescription, after: &ClusterDescription) -> Vec<String> {
    let mut told = Vec::new();
    if before.node_id != after.node_id {
        told.push(format!(
            "{} is heard from now on",
            name_of(after, after.node_id)
        ));
    }
    for row in &after.members {
        let name = nodes::name(row);
        let Some(former) = before.members.iter().find(|former| id(former) == id(row)) else {
            told.push(format!("{name} has joined"));
            continue;
        };
        match (former.reachable, row.reachable) {
            (true, false) => told.push(format!("{name} does not answer any more")),
            (false, true) => told.push(format!("{name} answers again")),
            (true, true) if row.uptime_ms < former.uptime_ms => {
                told.push(format!("{name} has restarted"));
            }
            (true, true) | (false, false) => {}
        }
        match (former.voter, row.voter) {
            (false, true) => told.push(format!("{name} has a vote now")),
            (true, false) => told.push(format!("{name} has no vote any more")),
            (true, true) | (false, false) => {}
        }
    }
    for row in &before.members {
        if !after.members.iter().any(|still| id(still) == id(row)) {
            told.push(format!("{} was removed", nodes::name(row)));
        }
    }
    if (before.leader, before.term) != (after.leader, after.term) {
        told.push(match after.leader {
            0 => format!("there is no leader in term {}", after.term),
            leader => format!("{} leads in term {}", name_of(after, leader), after.term),
        });
    }
    let alarms = |cluster: &ClusterDescription| -> BTreeSet<String> {
        let alarms = cluster.alarms.iter();
        let named = alarms.map(|it| format!("{} of {}", it.kind, name_of(cluster, it.node_id)));
        named.collect()
    };
    let (were, are) = (alarms(before), alarms(after));
    told.extend(are.difference(&were).map(|alarm| format!("alarm {alarm}")));
    told.extend(
        were.difference(&are)
            .map(|alarm| format!("alarm {alarm} has ended")),
    );
    told
}

impl Event {
    /// How long ago it was.
    pub(crate) fn age(&self, now: Duration) -> String {
        text::span(now.saturating_sub(self.at).as_millis() as u64)
    }
}
