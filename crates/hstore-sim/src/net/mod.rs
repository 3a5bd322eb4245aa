//! A network in memory: seeded delays, connections that break, links that can be cut.
//!
//! A frame takes a while and never overtakes the one before it on its connection; connections
//! overtake each other. A cut link carries nothing; when it is healed within the patience of a
//! connection, what waited goes on, as TCP would have it.
//!
//! Invariants: (1) every frame of a connection arrives once and in order, or the connection ends;
//! (2) nothing goes to or from a machine without power; (3) every rule has its effect counted.

mod carry;
mod rule;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use futures::FutureExt;
use futures::future::BoxFuture;
use hstore_node::{Class, Duplex, Hello, Node, PeerAddress, Transport, TransportError};
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use tokio::sync::watch;
use tokio::time::sleep;

pub use self::rule::Rule;

/// How long a connection over a cut link stays open.
const PATIENCE: Duration = Duration::from_secs(2);

/// The shortest and the longest way of a frame when all is well.
const DELAY_MIN: Duration = Duration::from_micros(50);
const DELAY_MAX: Duration = Duration::from_millis(4);

/// One connection, as the network knows it.
struct Link {
    from: String,
    to: String,
    /// Nothing goes through any more, and neither end hears of it.
    dead: watch::Sender<bool>,
}

struct State {
    rng: StdRng,
    /// Who listens where.
    nodes: BTreeMap<String, Node>,
    /// The life of the machine at each address that has power.
    powered: BTreeMap<String, u64>,
    paused: BTreeSet<String>,
    /// Machines without power: they do not even refuse.
    dark: BTreeSet<String>,
    rules: BTreeMap<u64, Rule>,
    next_rule: u64,
    /// How often each rule had an effect.
    effects: BTreeMap<u64, u64>,
    links: Vec<Weak<Link>>,
    /// How often each address was dialled.
    dials: BTreeMap<String, u64>,
}

/// The network. Clones are the same network.
#[derive(Clone)]
pub struct Net {
    state: Arc<Mutex<State>>,
    /// Changes whenever somebody who waits should look again.
    changed: Arc<watch::Sender<u64>>,
}

impl Net {
    /// A network in which all is well.
    pub fn new(seed: u64) -> Net {
        Net {
            state: Arc::new(Mutex::new(State {
                rng: StdRng::seed_from_u64(seed),
                nodes: BTreeMap::new(),
                powered: BTreeMap::new(),
                paused: BTreeSet::new(),
                dark: BTreeSet::new(),
                rules: BTreeMap::new(),
                next_rule: 0,
                effects: BTreeMap::new(),
                links: Vec::new(),
                dials: BTreeMap::new(),
            })),
            changed: Arc::new(watch::Sender::new(0)),
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn notify(&self) {
        self.changed.send_modify(|count| *count += 1);
    }

    /// The way out of the machine at `address`, in this life of it.
    pub fn transport(&self, address: &str, life: u64) -> Arc<dyn Transport> {
        Arc::new(Port {
            net: self.clone(),
            address: address.to_owned(),
            life,
        })
    }

    /// The machine at an address has power.
    pub fn power_on(&self, address: &str, life: u64) {
        let mut state = self.state();
        state.powered.insert(address.to_owned(), life);
        state.dark.remove(address);
    }

    /// The machine at an address has no power: its connections die without a word, and nobody
    /// answers there.
    pub fn go_dark(&self, address: &str) {
        self.deaden(address);
        self.state().dark.insert(address.to_owned());
        self.power_off(address);
    }

    /// The machine at an address has no process: its connections end.
    pub fn power_off(&self, address: &str) {
        let mut state = self.state();
        state.nodes.remove(address);
        state.powered.remove(address);
        state.paused.remove(address);
        drop(state);
        self.notify();
    }

    /// A node takes connections at an address.
    pub fn listen(&self, address: &str, node: Node) {
        self.state().nodes.insert(address.to_owned(), node);
    }

    /// The process at an address stands still.
    pub fn pause(&self, address: &str) {
        self.state().paused.insert(address.to_owned());
    }

    /// The process at an address moves again.
    pub fn resume(&self, address: &str) {
        self.state().paused.remove(address);
        self.notify();
    }

    /// Something is wrong from now on; the number to heal it by.
    pub fn impose(&self, rule: Rule) -> u64 {
        let mut state = self.state();
        state.next_rule += 1;
        let number = state.next_rule;
        state.rules.insert(number, rule);
        drop(state);
        self.notify();
        number
    }

    /// Mends what was given this number; how often it had an effect.
    pub fn lift(&self, number: u64) -> u64 {
        let mut state = self.state();
        state.rules.remove(&number);
        let effects = state.effects.get(&number).copied().unwrap_or(0);
        drop(state);
        self.notify();
        effects
    }

    /// Some of a million frames break their connection from now on, and nothing else is wrong
    /// with frames.
    pub fn break_connections(&self, ppm: u32) {
        let mut state = self.state();
        state
            .rules
            .retain(|_number, rule| !matches!(rule, Rule::Break { .. }));
        drop(state);
        if ppm > 0 {
            self.impose(Rule::Break { ppm });
        }
    }

    /// Cuts a node off from these others, both ways.
    pub fn cut(&self, one: &str, others: &[&str]) -> Vec<u64> {
        let mut rules = Vec::new();
        for other in others {
            for (from, to) in [(one, *other), (*other, one)] {
                rules.push(self.impose(Rule::Cut {
                    from: from.to_owned(),
                    to: to.to_owned(),
                }));
            }
        }
        rules
    }

    /// Refuses every frame and every dial between two nodes.
    pub fn refuse(&self, one: &str, other: &str) -> Vec<u64> {
        let pairs = [(one, other), (other, one)];
        let reset = |(from, to): (&str, &str)| Rule::Reset {
            from: from.to_owned(),
            to: to.to_owned(),
        };
        pairs.map(|pair| self.impose(reset(pair))).to_vec()
    }

    /// Everything is well again.
    pub fn heal(&self) {
        let mut state = self.state();
        state.rules.clear();
        drop(state);
        self.notify();
    }

    /// The connections of one address die without a word: neither end hears of it. How many.
    pub fn deaden(&self, address: &str) -> u64 {
        let mut state = self.state();
        state.links.retain(|link| link.strong_count() > 0);
        let mut dead = 0;
        for link in state.links.iter().filter_map(Weak::upgrade) {
            if link.from == address || link.to == address {
                link.dead.send_replace(true);
                dead += 1;
            }
        }
        dead
    }

    /// How often an address was dialled, with success or without.
    pub fn dials(&self, address: &str) -> u64 {
        self.state().dials.get(address).copied().unwrap_or(0)
    }

    /// Whether a frame may leave `from` and arrive at `to` now, as far as cuts are concerned.
    fn is_cut(&self, from: &str, to: &str) -> bool {
        self.state().find(|rule| rule.cuts(from, to))
    }

    fn is_reset(&self, from: &str, to: &str) -> bool {
        self.state().find(|rule| rule.resets(from, to))
    }

    /// Whether a frame has to wait: for a clogged link, or for a process that stands still.
    fn must_wait(&self, from: &str, to: &str) -> bool {
        let mut state = self.state();
        if state.paused.contains(from) || state.paused.contains(to) {
            return true;
        }
        state.find(|rule| rule.clogs(from, to))
    }

    fn delay(&self) -> Duration {
        let mut state = self.state();
        let mut delay = state.rng.random_range(DELAY_MIN..DELAY_MAX);
        let State {
            rules,
            rng,
            effects,
            ..
        } = &mut *state;
        for (number, rule) in rules {
            match rule {
                Rule::Delay { min, max } => {
                    delay += rng.random_range(*min..*max);
                    *effects.entry(*number).or_default() += 1;
                }
                Rule::Lose { ppm, max } if rng.random_range(0..1_000_000) < *ppm => {
                    delay += rng.random_range(Duration::from_millis(200)..*max);
                    *effects.entry(*number).or_default() += 1;
                }
                _ => {}
            }
        }
        delay
    }

    fn breaks(&self) -> bool {
        let mut state = self.state();
        let State {
            rules,
            rng,
            effects,
            ..
        } = &mut *state;
        for (number, rule) in rules {
            if let Rule::Break { ppm } = rule
                && rng.random_range(0..1_000_000) < *ppm
            {
                *effects.entry(*number).or_default() += 1;
                return true;
            }
        }
        false
    }

    /// How late a new connection is heard a second time, if it is.
    fn echo(&self, class: Class) -> Option<Duration> {
        // What a client sends again it names; what peers forward for it arrives once, as the
        // transport promises.
        if !matches!(class, Class::Append | Class::Control) {
            return None;
        }
        let mut state = self.state();
        let State {
            rules,
            rng,
            effects,
            ..
        } = &mut *state;
        for (number, rule) in rules {
            if let Rule::Echo { percent, late } = rule
                && rng.random_range(0..100) < *percent
            {
                *effects.entry(*number).or_default() += 1;
                return Some(rng.random_range(Duration::ZERO..*late));
            }
        }
        None
    }

    async fn connect(
        self,
        from: String,
        life: u64,
        to: PeerAddress,
        hello: Hello,
    ) -> Result<Duplex, TransportError> {
        *self.state().dials.entry(to.address.clone()).or_default() += 1;
        sleep(self.delay()).await;
        self.wait_while_waiting(&from, &to.address).await;
        let silent = self.state().dark.contains(&to.address);
        if silent || self.is_cut(&from, &to.address) || self.is_cut(&to.address, &from) {
            // Nobody answers; the caller gives up.
            sleep(PATIENCE).await;
            return Err(unreachable("no answer"));
        }
        let node = {
            let mut state = self.state();
            let refused =
                state.find(|rule| matches!(rule, Rule::Refuse { at } if *at == to.address));
            let alive = state.powered.get(&from) == Some(&life);
            let node = state.nodes.get(&to.address).cloned();
            node.filter(|_node| alive && !refused)
        };
        let Some(node) = node else {
            return Err(TransportError::NobodyListens {
                reason: "connection refused".to_owned(),
            });
        };
        let (ours, carried_out) = Duplex::pair();
        let (theirs, carried_in) = Duplex::pair();
        if let Err(refused) = node.accept(&hello, theirs) {
            return Err(TransportError::Refused {
                code: refused.code(),
                reason: refused.to_string(),
            });
        }
        let link = Arc::new(Link {
            from,
            to: to.address,
            dead: watch::Sender::new(false),
        });
        self.state().links.push(Arc::downgrade(&link));
        let echo = self.echo(hello.class).map(|late| (late, hello, node));
        carry::carry(&self, &link, carried_out, carried_in, echo);
        Ok(ours)
    }

    /// Waits until a frame may go on its way, whatever cuts there are.
    async fn wait_while_waiting(&self, from: &str, to: &str) {
        let mut changes = self.changed.subscribe();
        while self.must_wait(from, to) {
            if changes.changed().await.is_err() {
                return;
            }
        }
    }
}

impl State {
    /// Whether a rule holds that has this quality; it has had its effect then.
    fn find(&mut self, quality: impl Fn(&Rule) -> bool) -> bool {
        let found = self.rules.iter().find(|(_number, rule)| quality(rule));
        match found.map(|(number, _rule)| *number) {
            Some(number) => {
                *self.effects.entry(number).or_default() += 1;
                true
            }
            None => false,
        }
    }
}

fn unreachable(reason: &str) -> TransportError {
    TransportError::Unreachable {
        reason: reason.to_owned(),
    }
}

struct Port {
    net: Net,
    address: String,
    life: u64,
}

impl Transport for Port {
    fn connect(
        &self,
        to: PeerAddress,
        hello: Hello,
    ) -> BoxFuture<'static, Result<Duplex, TransportError>> {
        self.net
            .clone()
            .connect(self.address.clone(), self.life, to, hello)
            .boxed()
    }
}
