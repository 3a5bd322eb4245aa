//! What strikes: drawn from the seed before the run, aimed when the moment comes.
//!
//! Invariants: (1) whatever a strike broke it mends itself, and the end of the storm mends the rest;
//! (2) a strike that finds nothing to break has no effect and is not counted.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use rand::rngs::StdRng;
use rand::seq::IndexedRandom as _;
use rand::{RngExt as _, SeedableRng as _};
use turmoil::Sim;

use crate::clients::{HOSTS, Shared};
use crate::net::{Doom, Link};
use crate::place::{CLIENT_PORT, NODES, PEER_PORT, Place};

/// How long a storm lasts.
pub(crate) const STORM: Duration = Duration::from_secs(6);

/// A kind of strike.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Kind {
    /// The machines of all nodes lose their power at once.
    Blackout,
    /// The connections of a node end in the middle of a write.
    CutWires,
    /// The leader hears nobody and nobody hears it, clients included or not.
    IsolateLeader,
    /// The links of a node deliver nothing until they are released.
    HoldLinks,
    /// The process of the node that a client uses dies.
    KillAsked,
    /// The process of the leader dies.
    KillLeader,
    /// The process of a node dies.
    KillNode,
    /// The connections of a node fall silent in the middle of a write.
    MuteWires,
    /// What a node sends is lost, or what it is sent.
    OneWay,
    /// Two hosts lose each other.
    PartPair,
    /// The machine of a node loses its power.
    PowerLoss,
    /// The links of a node are slower than most deadlines.
    SlowLinks,
}

const KINDS: [Kind; 12] = [
    Kind::Blackout,
    Kind::CutWires,
    Kind::IsolateLeader,
    Kind::HoldLinks,
    Kind::KillAsked,
    Kind::KillLeader,
    Kind::KillNode,
    Kind::MuteWires,
    Kind::OneWay,
    Kind::PartPair,
    Kind::PowerLoss,
    Kind::SlowLinks,
];

/// One strike.
#[derive(Clone, Debug)]
pub(crate) struct Strike {
    pub(crate) kind: Kind,
    /// When, after the storm began, and for how long.
    pub(crate) at: Duration,
    pub(crate) lasts: Duration,
    /// Chooses whom it hits.
    pub(crate) salt: u64,
}

/// The strikes of a seed: of a few kinds, so that each run has a weather of its own.
pub(crate) fn plan(seed: u64) -> Vec<Strike> {
    let mut rng = StdRng::seed_from_u64(seed ^ 0x7765_6174_6865_7200);
    let kinds = rng.random_range(2..=6);
    let kinds: Vec<Kind> = KINDS.sample(&mut rng, kinds).copied().collect();
    let strikes = rng.random_range(4..=9);
    let mut strikes: Vec<Strike> = (0..strikes)
        .filter_map(|_nth| {
            let kind = *kinds.choose(&mut rng)?;
            Some(Strike {
                kind,
                at: Duration::from_millis(rng.random_range(100..5_500)),
                lasts: Duration::from_millis(rng.random_range(100..3_500)),
                salt: rng.random(),
            })
        })
        .collect();
    strikes.sort_by_key(|strike| strike.at);
    strikes
}

/// What is still broken, and when it is mended.
enum Mend {
    Links(Vec<(String, String)>),
    Node(usize),
}

/// Whoever strikes.
pub(crate) struct Nemesis<'p> {
    pub(crate) shared: Shared,
    pub(crate) places: &'p [Place],
    strikes: Vec<Strike>,
    mends: Vec<(Duration, Mend)>,
    down: BTreeSet<usize>,
    /// What struck, in order, in words.
    pub(crate) story: Vec<String>,
    /// How often each kind had an effect.
    pub(crate) struck: BTreeMap<Kind, u64>,
}

impl<'p> Nemesis<'p> {
    pub(crate) fn new(
        shared: Shared,
        places: &'p [Place],
        mut strikes: Vec<Strike>,
    ) -> Nemesis<'p> {
        strikes.reverse();
        Nemesis {
            shared,
            places,
            strikes,
            mends: Vec::new(),
            down: BTreeSet::new(),
            story: Vec::new(),
            struck: BTreeMap::new(),
        }
    }

    /// Does what is due so long after the storm began.
    pub(crate) fn turn(&mut self, sim: &mut Sim<'_>, now: Duration) {
        while let Some(place) = self.mends.iter().position(|(at, _)| *at <= now) {
            let (_, mend) = self.mends.remove(place);
            self.mend(sim, mend);
        }
        while self.strikes.last().is_some_and(|strike| strike.at <= now) {
            if let Some(strike) = self.strikes.pop() {
                self.strike(sim, now, &strike);
            }
        }
    }

    /// The storm is over: everything is mended.
    pub(crate) fn heal(&mut self, sim: &mut Sim<'_>) {
        for (_, mend) in std::mem::take(&mut self.mends) {
            self.mend(sim, mend);
        }
        self.shared.net.mend_all(sim);
    }

    fn mend(&mut self, sim: &mut Sim<'_>, mend: Mend) {
        match mend {
            Mend::Links(links) => {
                for (a, b) in links {
                    self.shared.net.mend_link(sim, &a, &b);
                }
            }
            Mend::Node(at) => {
                self.down.remove(&at);
                let name = self.places[at].name;
                self.shared.net.come_back(sim, name, &others(name));
                sim.bounce(name);
            }
        }
    }

    fn strike(&mut self, sim: &mut Sim<'_>, now: Duration, strike: &Strike) {
        let mut rng = StdRng::seed_from_u64(strike.salt);
        let until = now + strike.lasts;
        let any = rng.random_range(0..NODES.len());
        let leader = self.leader();
        let what = match strike.kind {
            Kind::Blackout => {
                let order: Vec<usize> = (0..NODES.len()).collect();
                let hit = order.into_iter().filter(|at| {
                    let later = Duration::from_millis(rng.random_range(0..400));
                    self.cut_power(sim, *at, until + later)
                });
                let hit: Vec<&str> = hit.map(|at| NODES[at]).collect();
                (!hit.is_empty()).then(|| hit.join(" "))
            }
            Kind::CutWires => self.doom(any, &mut rng, Doom::Cut),
            Kind::MuteWires => self.doom(any, &mut rng, Doom::Mute),
            Kind::IsolateLeader => leader.and_then(|at| {
                let others = self.circle(at, rng.random_bool(0.5));
                self.break_links(sim, at, &others, until, |_| Link::Cut)
            }),
            Kind::HoldLinks => {
                let others = self.circle(any, rng.random_bool(0.5));
                self.break_links(sim, any, &others, until, |_| Link::Held)
            }
            Kind::KillAsked => {
                let asked = self
                    .shared
                    .asked
                    .lock()
                    .map(|asked| asked.values().nth(any % asked.len().max(1)).cloned());
                let asked = asked.ok().flatten();
                let at = asked.and_then(|asked| NODES.iter().position(|node| *node == asked));
                at.and_then(|at| self.kill(sim, at, until))
            }
            Kind::KillLeader => leader.and_then(|at| self.kill(sim, at, until)),
            Kind::KillNode => self.kill(sim, any, until),
            Kind::OneWay => {
                let deaf = rng.random_bool(0.5);
                let others = self.circle(any, rng.random_bool(0.3));
                self.break_links(sim, any, &others, until, |other| {
                    Link::OneWay(if deaf { other } else { NODES[any] }.to_owned())
                })
            }
            Kind::PartPair => {
                let others = others(NODES[any]);
                let other = others.choose(&mut rng).cloned();
                self.break_links(sim, any, other.as_slice(), until, |_| Link::Cut)
            }
            Kind::PowerLoss => self
                .cut_power(sim, any, until)
                .then(|| NODES[any].to_owned()),
            Kind::SlowLinks => {
                let others = self.circle(any, rng.random_bool(0.5));
                let latency = Duration::from_millis(rng.random_range(100..1_500));
                self.break_links(sim, any, &others, until, |_| Link::Slow(latency))
            }
        };
        if let Some(what) = what {
            self.story
                .push(format!("{now:?}: {:?} {what} until {until:?}", strike.kind));
            *self.struck.entry(strike.kind).or_default() += 1;
        }
    }

    /// Where the leader is, as most nodes see it.
    pub(crate) fn leader(&self) -> Option<usize> {
        let mut seen = BTreeMap::new();
        for place in self.places {
            if let Some(node) = place.node()
                && let Some(leader) = node.standing().borrow().leader
            {
                *seen.entry(leader).or_insert(0) += 1;
            }
        }
        let (leader, _) = seen.into_iter().max_by_key(|(_, votes)| *votes)?;
        self.places.iter().position(|place| {
            place
                .node()
                .is_some_and(|node| node.status().node == leader)
        })
    }

    /// The other nodes, with the hosts of clients or without.
    fn circle(&self, at: usize, clients: bool) -> Vec<String> {
        let mut circle = others(self.places[at].name);
        circle.retain(|other| clients || NODES.contains(&other.as_str()));
        circle
    }

    fn break_links(
        &mut self,
        sim: &Sim<'_>,
        at: usize,
        others: &[String],
        until: Duration,
        link: impl Fn(&str) -> Link,
    ) -> Option<String> {
        let name = self.places[at].name;
        let net = &self.shared.net;
        let broken = others
            .iter()
            .filter(|other| net.break_link(sim, name, other, link(other)));
        let broken: Vec<_> = broken
            .map(|other| (name.to_owned(), other.clone()))
            .collect();
        let (_, first) = broken.first()?;
        let words = format!("{name} to {} like {:?}", broken.len(), link(first));
        self.mends.push((until, Mend::Links(broken)));
        Some(words)
    }

    fn doom(&self, at: usize, rng: &mut StdRng, doom: Doom) -> Option<String> {
        let ports = [None, Some(CLIENT_PORT), Some(PEER_PORT)];
        let port = ports.choose(rng).copied().flatten();
        let net = &self.shared.net;
        let doomed = if rng.random_bool(0.3) {
            let host = HOSTS[at % HOSTS.len()].0;
            net.doom(host, None, doom)
        } else {
            net.doom(NODES[at], port, doom)
        };
        (doomed > 0).then(|| format!("{doomed} connections near {} {port:?}", NODES[at]))
    }

    fn kill(&mut self, sim: &mut Sim<'_>, at: usize, until: Duration) -> Option<String> {
        if self.down.contains(&at) {
            return None;
        }
        self.down.insert(at);
        let place = &self.places[at];
        place.killed();
        sim.crash(place.name);
        self.shared.net.die(place.name);
        self.mends.push((until, Mend::Node(at)));
        Some(place.name.to_owned())
    }

    fn cut_power(&mut self, sim: &mut Sim<'_>, at: usize, until: Duration) -> bool {
        let place = &self.places[at];
        if self.down.contains(&at)
            || !self
                .shared
                .net
                .go_dark(sim, place.name, &others(place.name))
        {
            return false;
        }
        self.down.insert(at);
        place.crashed();
        sim.crash(place.name);
        self.mends.push((until, Mend::Node(at)));
        true
    }
}

/// Every host but one.
fn others(name: &str) -> Vec<String> {
    let hosts = HOSTS.iter().map(|(host, ..)| *host);
    let all = NODES.into_iter().chain(hosts);
    all.filter(|other| *other != name)
        .map(str::to_owned)
        .collect()
}
