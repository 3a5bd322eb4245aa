//! Previous: who asked for it is told with each event what it replaced, as the log has it. Only when
//! the event made the key, or when compaction took what was there, there is nothing to tell.

use hstore_core::id::Revision;

use super::case::{Case, Found};
use super::timeline::{Lore, same};
use crate::violation::Kind;
use crate::words;

pub(super) fn check(case: &Case<'_>, lore: &Lore<'_>, found: &mut Found<'_>) {
    for (word, event) in case.events() {
        let at = event.record.meta.mod_revision;
        let told = event.previous.as_ref();
        let mut wrong = |expected: &str| {
            found.say(Kind::WatchWrongPrevious, at, || {
                let told = words::maybe(told);
                let key = words::quoted(&event.record.key);
                format!("was told that revision {at} of {key} replaced {told}, expected {expected}")
            });
        };
        if !case.watch.wish.prev_kv {
            if told.is_some() {
                wrong("nothing, since nobody asked");
            }
            continue;
        }
        let change = lore.at(at, &event.record.key);
        let Some(change) = change.filter(|change| change.is_known) else {
            continue;
        };
        let expected = lore.replaced(change);
        let is_right = match (&expected, told) {
            (None, None) => true,
            (Some(expected), Some(told)) => same(expected, told),
            // Compaction leaves what is the newest of a key by then.
            (Some(_), None) => {
                let below = Revision(at.0 - 1);
                lore.compactions.may_have_passed(below, word.at())
            }
            (None, Some(_)) => false,
        };
        if !is_right {
            wrong(&words::maybe(expected.as_ref()));
        }
    }
}
