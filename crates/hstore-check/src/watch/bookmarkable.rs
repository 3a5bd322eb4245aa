//! Bookmarkable: a report of progress is true. Nothing at or below it follows, and it never lies
//! below what was told before.

use hstore_core::id::Revision;

use super::case::{Case, Found};
use super::timeline::Lore;
use crate::history::Word;
use crate::violation::Kind;

pub(super) fn check(case: &Case<'_>, _lore: &Lore<'_>, found: &mut Found<'_>) {
    let mut mark = Revision(0);
    let mut newest = Revision(0);
    for word in &case.stream.told {
        for event in word.events() {
            let at = event.record.meta.mod_revision;
            if at <= mark {
                found.say(Kind::WatchBehindProgress, at, || {
                    format!(
                        "was told revision {at} after it was told that all up to {mark} is told"
                    )
                });
            }
            newest = newest.max(at);
        }
        if let Word::Progress { revision, .. } = word {
            let told = mark.max(newest);
            if *revision < told {
                found.say(Kind::WatchBehindProgress, *revision, || {
                    format!("was told that it is at {revision}, but {told} was told before")
                });
            }
            mark = mark.max(*revision);
        }
    }
}
