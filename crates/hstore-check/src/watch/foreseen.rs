//! Nothing is foreseen: what is told was asked for by somebody before.

use super::case::{Case, Found};
use super::timeline::Lore;
use crate::violation::Kind;

pub(super) fn check(case: &Case<'_>, lore: &Lore<'_>, found: &mut Found<'_>) {
    for (word, event) in case.events() {
        let at = event.record.meta.mod_revision;
        if let Some((invoked, by)) = lore.writer(at)
            && invoked > word.at()
        {
            found.say(Kind::WatchForeseen, at, || {
                format!("was told revision {at} before operation {by} was invoked, which wrote it")
            });
        }
    }
}
