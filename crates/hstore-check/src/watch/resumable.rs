//! Resumable: a stream tells nothing from before the revision that was asked for, or, when none
//! was, from before the one that the store was at.

use super::case::{Case, Found};
use super::timeline::Lore;
use crate::violation::Kind;

pub(super) fn check(case: &Case<'_>, _lore: &Lore<'_>, found: &mut Found<'_>) {
    let Some(from) = case.from else {
        return;
    };
    for (_, event) in case.events() {
        let at = event.record.meta.mod_revision;
        if at < from {
            found.say(Kind::WatchBeforeStart, at, || {
                format!("was told revision {at}, though it begins at {from}")
            });
        }
    }
}
