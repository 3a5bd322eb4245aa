//! Which states of users there may have been when.
//!
//! A state is a world of its own: the users in it, and those changes of unknown outcome which have
//! not happened in it and may still do so. Changes come one after the other, so each one's request and
//! answer begin an era.
//!
//! A change of unknown outcome may happen for as long as anything of it may be on its way to the log.
//! When a later change is in the log that was asked for after that, the older one is in front of it or
//! nowhere: an entry of an older term never comes behind one of a newer term.
//!
//! Invariants: (1) the state that there truly was at a time is among those of its era; (2) there are
//! at most `WORLDS_MAX` of them, and where there would be more nothing is known from then on.

use std::collections::BTreeMap;
use std::sync::Arc;

use hstore_core::auth::AuthCommand;
use hstore_core::error::ErrorCode;

use super::{Change, Told, Users};
use crate::history::Moment;
use crate::violation::{Kind, Violations};

/// Changes whose outcome is unknown double what there may be.
const WORLDS_MAX: usize = 256;

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct World {
    pub(super) users: Users,
    /// Which change gave each user the password that they have, and from which one on everybody is
    /// asked. How often users changed before would not do: that hangs on what may still happen.
    proofs: BTreeMap<Arc<str>, usize>,
    guarded: Option<usize>,
    /// The places of changes that may still happen.
    open: Vec<usize>,
}

impl World {
    /// What a token of a user is made of: as long as it is the same, so is what the token is worth.
    pub(super) fn proof(&self, user: &str) -> Option<(usize, Option<usize>)> {
        Some((*self.proofs.get(user)?, self.guarded))
    }

    fn change(&mut self, place: usize, command: &AuthCommand) -> Told {
        let was_guarded = self.users.standing().0;
        self.users.change(command)?;
        match command {
            AuthCommand::UserAdd { name, .. } | AuthCommand::UserPassword { name, .. } => {
                self.proofs.insert(Arc::clone(name), place);
            }
            AuthCommand::UserDelete { name } => {
                self.proofs.remove(name);
            }
            AuthCommand::Enable { .. } if !was_guarded => self.guarded = Some(place),
            _ => {}
        }
        Ok(())
    }
}

#[derive(Debug)]
struct Era {
    begins: Moment,
    /// None when there may be too many.
    worlds: Option<Vec<World>>,
}

/// All eras, the first from the beginning of time.
#[derive(Debug)]
pub(super) struct Eras(Vec<Era>);

impl Eras {
    /// Of these changes, in their order. Answers that no state explains are violations.
    pub(super) fn of(
        changes: &[Change],
        lingers: Option<u64>,
        violations: &mut Violations,
    ) -> Eras {
        let mut worlds = Some(vec![World {
            users: Users::default(),
            proofs: BTreeMap::new(),
            guarded: None,
            open: Vec::new(),
        }]);
        let mut eras = vec![Era {
            begins: Moment(0),
            worlds: worlds.clone(),
        }];
        for (place, change) in changes.iter().enumerate() {
            let Some(mut before) = worlds else { break };
            if change.learned.is_some_and(is_in_the_log) {
                settle(&mut before, changes, change.asked, lingers);
            }
            let after = match &change.learned {
                None => {
                    let mut open = before.clone();
                    for world in &mut open {
                        world.open.push(place);
                    }
                    closure(open, changes)
                }
                Some(Ok(())) => {
                    let done = before.iter().filter_map(|world| {
                        let mut world = world.clone();
                        world
                            .change(place, &change.command)
                            .is_ok()
                            .then_some(world)
                    });
                    closure(done.collect(), changes)
                }
                // Nothing of users and roles was decided.
                Some(Err(code)) if !decides(*code) => Some(before.clone()),
                Some(Err(code)) => {
                    let refused = before
                        .iter()
                        .filter(|world| world.users.clone().change(&change.command) == Err(*code));
                    Some(refused.cloned().collect())
                }
            };
            let after = after.map(|after| {
                if after.is_empty() {
                    accuse(change, violations);
                    return before.clone();
                }
                after
            });
            let during = after.clone().map(|after| join(before, after));
            eras.push(Era {
                begins: change.asked,
                worlds: during.filter(|worlds| worlds.len() <= WORLDS_MAX),
            });
            eras.push(Era {
                begins: change.told,
                worlds: after.clone(),
            });
            worlds = after;
        }
        Eras(eras)
    }

    /// Every state that there may have been at some time between two; none when that is not known.
    pub(super) fn between(
        &self,
        from: Moment,
        upto: Moment,
    ) -> Option<impl Iterator<Item = &World>> {
        let first = self.0.partition_point(|era| era.begins < from);
        // The era in which it begins began before.
        let first = first.saturating_sub(1);
        let end = self.0.partition_point(|era| era.begins <= upto);
        let eras = &self.0[first..end.max(first + 1)];
        if eras.iter().any(|era| era.worlds.is_none()) {
            return None;
        }
        let worlds = eras.iter().filter_map(|era| era.worlds.as_ref());
        Some(worlds.flatten())
    }
}

/// Whether this came of a change that is an entry of the log.
fn is_in_the_log(told: Told) -> bool {
    told.map_or_else(decides, |()| true)
}

/// At a change that is in the log, and that was asked for when nothing of an older one was on its way
/// any more, the older one is before it in the log or never will be.
fn settle(worlds: &mut Vec<World>, changes: &[Change], asked: Moment, lingers: Option<u64>) {
    let Some(lingers) = lingers else { return };
    let may_come = |place: &usize| changes[*place].told.0.saturating_add(lingers) > asked.0;
    for world in worlds.iter_mut() {
        world.open.retain(may_come);
    }
    *worlds = join(Vec::new(), std::mem::take(worlds));
}

fn accuse(change: &Change, violations: &mut Violations) {
    let Change {
        asked,
        told,
        command,
        learned,
    } = change;
    violations.push(Kind::WrongChange, &[], None, || {
        format!(
            "{command:?} was answered {learned:?} between {asked} and {told}, whatever was before"
        )
    });
}

/// With every way in which what may still happen may have happened; none when there are too many.
fn closure(worlds: Vec<World>, changes: &[Change]) -> Option<Vec<World>> {
    let mut all = join(Vec::new(), worlds);
    let mut next = 0;
    while next < all.len() {
        let world = all[next].clone();
        for (nth, place) in world.open.iter().enumerate() {
            let mut more = world.clone();
            more.open.remove(nth);
            // Refused, it has happened, too, and changed nothing.
            let _told = more.change(*place, &changes[*place].command);
            if !all.contains(&more) {
                all.push(more);
            }
        }
        if all.len() > WORLDS_MAX {
            return None;
        }
        next += 1;
    }
    Some(all)
}

fn join(mut all: Vec<World>, more: Vec<World>) -> Vec<World> {
    for world in more {
        if !all.contains(&world) {
            all.push(world);
        }
    }
    all
}

/// Whether a refusal is one that users and roles make: only that tells of them.
fn decides(code: ErrorCode) -> bool {
    matches!(
        code,
        ErrorCode::InvalidAuthManagement
            | ErrorCode::PermissionNotGranted
            | ErrorCode::RoleExists
            | ErrorCode::RoleNotFound
            | ErrorCode::RoleNotGranted
            | ErrorCode::RootRoleMissing
            | ErrorCode::RootUserMissing
            | ErrorCode::UserExists
            | ErrorCode::UserNotFound
    )
}
