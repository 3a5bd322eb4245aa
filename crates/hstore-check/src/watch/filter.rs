//! Filter: only what was asked for is told.

use super::case::{Case, Found};
use super::timeline::Lore;
use crate::violation::Kind;
use crate::words;

pub(super) fn check(case: &Case<'_>, _lore: &Lore<'_>, found: &mut Found<'_>) {
    let wish = &case.watch.wish;
    for (_, event) in case.events() {
        let record = &event.record;
        let deleted = record.meta.is_tombstone();
        if !wish.wants(&record.key, deleted) {
            let at = record.meta.mod_revision;
            found.say(Kind::WatchUnwanted, at, || {
                let what = if deleted { "deletion" } else { "writing" };
                let key = words::quoted(&record.key);
                format!("was told the {what} of {key} at revision {at}, which it did not ask for")
            });
        }
    }
}
