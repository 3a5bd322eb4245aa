//! Ordered: revisions never go back, and the head of an answer is not behind what is in it.

use super::case::{Case, Found};
use super::timeline::Lore;
use crate::violation::Kind;

pub(super) fn check(case: &Case<'_>, _lore: &Lore<'_>, found: &mut Found<'_>) {
    let mut newest = None;
    for (word, event) in case.events() {
        let at = event.record.meta.mod_revision;
        if let Some(newest) = newest
            && at < newest
        {
            found.say(Kind::WatchOutOfOrder, at, || {
                format!("was told revision {at} behind revision {newest}")
            });
        }
        let head = word.revision();
        if head < at {
            found.say(Kind::WatchOutOfOrder, at, || {
                format!("was told revision {at} in an answer of revision {head}")
            });
        }
        newest = newest.max(Some(at));
    }
}
