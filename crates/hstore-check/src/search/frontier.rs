//! Every state that a key may be in, as events go by.
//!
//! Invariants: (1) a state stands for all orders that lead to it; none that could lead on is
//! dropped, unless another one allows all that it allows; (2) a read under way is put in as soon as
//! it fits, which never hurts: it changes nothing; (3) an unknown write is put in only where
//! something under way then fits that needs a state: elsewhere it would be as if it had not been.

use std::collections::BTreeSet;

use super::Limits;
use super::project::{ABSENT, ANY, Event, KeyHistory, Move, OTHER, State};

/// So many operations may be under way on a key, unknown ones included.
const SLOTS: usize = 64;

/// What an event comes to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    Fine,
    /// It was too much; from here on the key may be in any state.
    GaveUp,
    /// No state is left.
    Impossible,
}

/// One state that the key may be in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Config {
    state: State,
    /// The operations under way that are in it.
    done: u64,
    /// How many of the alike unknown writes are in it: of values nobody asks about, and deletes.
    others: u32,
    absents: u32,
}

/// All states that a key may be in.
pub(super) struct Frontier<'h> {
    history: &'h KeyHistory,
    limits: Limits,
    configs: Vec<Config>,
    /// The operations under way.
    slots: [Option<u32>; SLOTS],
    /// Which slots hold an operation, one that needs a state, a read, an unknown operation, one
    /// whose answer proves nothing any more.
    used: u64,
    needy: u64,
    reads: u64,
    unknown: u64,
    excused: u64,
    /// How many alike unknown writes were invoked.
    others: u32,
    absents: u32,
    /// States that may be written at any time, as often as one likes: unknown writes for which
    /// there was no room.
    free: BTreeSet<State>,
    steps: u64,
}

impl<'h> Frontier<'h> {
    pub(super) fn new(history: &'h KeyHistory, limits: &Limits) -> Frontier<'h> {
        Frontier {
            history,
            limits: *limits,
            configs: vec![Config {
                state: history.starts,
                done: 0,
                others: 0,
                absents: 0,
            }],
            slots: [None; SLOTS],
            used: 0,
            needy: 0,
            reads: 0,
            unknown: 0,
            excused: 0,
            others: 0,
            absents: 0,
            free: BTreeSet::new(),
            steps: 0,
        }
    }

    /// Begins to count anew.
    pub(super) fn next_window(&mut self) {
        self.steps = 0;
    }

    pub(super) fn take(&mut self, event: Event) -> Verdict {
        let had_room = if event.is_return {
            match self.leave(event.step) {
                Ok(()) => true,
                Err(verdict) => return verdict,
            }
        } else {
            self.enter(event.step)
        };
        if had_room && self.free.is_empty() {
            Verdict::Fine
        } else {
            Verdict::GaveUp
        }
    }

    /// An operation begins. False when there was no room, and something had to be given up.
    fn enter(&mut self, step: u32) -> bool {
        let history = self.history;
        let moves = &history.steps[step as usize].moves;
        let is_unknown = history.steps[step as usize].is_unknown();
        if let (true, [only]) = (is_unknown, &moves[..])
            && only.needs.is_empty()
        {
            match only.sets {
                Some(ABSENT) => {
                    self.absents += 1;
                    return true;
                }
                Some(OTHER) => {
                    self.others += 1;
                    return true;
                }
                _ => {}
            }
        }
        let slot = self.slots.iter().position(Option::is_none);
        let had_room = slot.is_some();
        let slot = slot.or_else(|| self.make_room());
        let Some(slot) = slot else {
            // All of them wait for answers. Whatever this one does is allowed from here on.
            self.free.extend(moves.iter().filter_map(|only| only.sets));
            self.give_up();
            return false;
        };
        let bit = 1 << slot;
        self.slots[slot] = Some(step);
        self.used |= bit;
        if moves.iter().any(|only| !only.needs.is_empty()) {
            self.needy |= bit;
        }
        if is_unknown {
            self.unknown |= bit;
        } else if moves.iter().all(|only| only.sets.is_none()) {
            self.reads |= bit;
            for config in &mut self.configs {
                if moves.iter().any(|only| only.may_follow(config.state)) {
                    config.done |= bit;
                }
            }
        }
        had_room
    }

    /// Frees the slot of the oldest unknown operation, which may happen at any time from here on.
    fn make_room(&mut self) -> Option<usize> {
        let slot = bits(self.unknown).min_by_key(|slot| self.slots[*slot])?;
        if let Some(step) = self.slots[slot] {
            let moves = &self.history.steps[step as usize].moves;
            self.free.extend(moves.iter().filter_map(|only| only.sets));
        }
        self.clear(slot);
        Some(slot)
    }

    fn clear(&mut self, slot: usize) {
        self.slots[slot] = None;
        let bit = 1 << slot;
        self.used &= !bit;
        self.needy &= !bit;
        self.reads &= !bit;
        self.unknown &= !bit;
        self.excused &= !bit;
        for config in &mut self.configs {
            config.done &= !bit;
        }
    }

    /// An answer arrives: only states with the operation in them are left.
    fn leave(&mut self, step: u32) -> Result<(), Verdict> {
        let Some(slot) = self.slots.iter().position(|slot| *slot == Some(step)) else {
            // There was no room for it.
            return Ok(());
        };
        let bit = 1 << slot;
        // One that was under way when all was given up may have been in the state that nobody knows;
        // or it came later, like any other.
        let without = if self.excused & bit != 0 {
            self.configs.clone()
        } else {
            Vec::new()
        };
        let Some(mut reached) = self.reach(slot) else {
            self.give_up();
            self.clear(slot);
            self.tidy();
            return Err(Verdict::GaveUp);
        };
        reached.extend(without);
        if reached.is_empty() {
            return Err(Verdict::Impossible);
        }
        self.configs = reached;
        self.clear(slot);
        self.tidy();
        if self.configs.len() > self.limits.states_max {
            self.give_up();
            return Err(Verdict::GaveUp);
        }
        Ok(())
    }

    /// Every state in which the operation of a slot just went in, or was in already. None when that
    /// is too much.
    fn reach(&mut self, slot: usize) -> Option<Vec<Config>> {
        let bit = 1u64 << slot;
        // A key that is undecided anyhow is not worth as much.
        let steps_max = if self.free.is_empty() {
            self.limits.steps_max
        } else {
            self.limits.steps_max / 16
        };
        let mut reached: BTreeSet<Config> = BTreeSet::new();
        let mut known: BTreeSet<Config> = BTreeSet::new();
        let mut open: Vec<Config> = Vec::new();
        for config in std::mem::take(&mut self.configs) {
            if config.done & bit != 0 {
                reached.insert(config);
            } else {
                open.push(config);
            }
        }
        while let Some(config) = open.pop() {
            self.steps += 1;
            if self.steps > steps_max || known.len() > self.limits.states_max {
                return None;
            }
            self.successors(config, &mut |next| {
                if next.done & bit != 0 {
                    reached.insert(next);
                } else if known.insert(next) {
                    open.push(next);
                }
            });
        }
        Some(reached.into_iter().collect())
    }

    /// The states that one more operation makes of a state.
    fn successors(&self, config: Config, visit: &mut impl FnMut(Config)) {
        for slot in bits(self.used & !self.reads & !config.done) {
            let bit = 1u64 << slot;
            for only in self.moves(slot) {
                if !only.may_follow(config.state) {
                    continue;
                }
                let mut next = config;
                next.done |= bit;
                next.state = only.sets.unwrap_or(config.state);
                if self.unknown & bit == 0 || self.is_of_use(next) {
                    visit(self.with_reads(next));
                }
            }
        }
        let mut optional = |next: Config| {
            if next.state != config.state && self.is_of_use(next) {
                visit(self.with_reads(next));
            }
        };
        if config.others < self.others {
            optional(Config {
                state: OTHER,
                others: config.others + 1,
                ..config
            });
        }
        if config.absents < self.absents {
            optional(Config {
                state: ABSENT,
                absents: config.absents + 1,
                ..config
            });
        }
        for state in &self.free {
            optional(Config {
                state: *state,
                ..config
            });
        }
    }

    /// Whether something under way that is not in yet needs a state, and may follow this one.
    fn is_of_use(&self, config: Config) -> bool {
        let fits = |only: &Move| !only.needs.is_empty() && only.may_follow(config.state);
        bits(self.needy & !config.done).any(|slot| self.moves(slot).iter().any(fits))
    }

    /// Puts in all reads under way that fit.
    fn with_reads(&self, mut config: Config) -> Config {
        for slot in bits(self.reads & !config.done) {
            let mut moves = self.moves(slot).iter();
            if moves.any(|only| only.may_follow(config.state)) {
                config.done |= 1 << slot;
            }
        }
        config
    }

    fn moves(&self, slot: usize) -> &'h [Move] {
        let step = self.slots[slot].map(|step| &self.history.steps[step as usize]);
        step.map_or(&[], |step| &step.moves)
    }

    /// From here on the key may be in any state, and what is under way may be in it or not.
    fn give_up(&mut self) {
        self.configs = vec![Config {
            state: ANY,
            done: 0,
            others: 0,
            absents: 0,
        }];
        self.excused |= self.used & !self.unknown;
    }

    /// Drops states that allow nothing that another one does not allow, and unknown operations that
    /// are in every state.
    fn tidy(&mut self) {
        let everywhere = self
            .configs
            .iter()
            .fold(self.unknown, |all, config| all & config.done);
        for slot in bits(everywhere) {
            self.clear(slot);
        }
        self.configs.sort_unstable();
        self.configs.dedup();
        if self.configs.len() < 2 {
            return;
        }
        let optional = self.unknown;
        let key = |config: &Config| (config.state, config.done & !optional);
        self.configs
            .sort_unstable_by_key(|config| (key(config), config.done.count_ones()));
        let mut kept: Vec<Config> = Vec::with_capacity(self.configs.len());
        let mut group = 0;
        for config in &self.configs {
            if kept
                .get(group)
                .is_none_or(|first| key(first) != key(config))
            {
                group = kept.len();
            }
            let is_covered = kept[group..].iter().any(|other| {
                other.done & !config.done == 0
                    && other.others <= config.others
                    && other.absents <= config.absents
            });
            if !is_covered {
                kept.push(*config);
            }
        }
        self.configs = kept;
    }
}

/// The slots of a mask.
fn bits(mut mask: u64) -> impl Iterator<Item = usize> {
    std::iter::from_fn(move || {
        let slot = (mask != 0).then(|| mask.trailing_zeros() as usize)?;
        mask &= mask - 1;
        Some(slot)
    })
}
