//! Atomic: all of one revision is in one answer. Pieces are for those who asked for them, and what
//! is in pieces comes without anything between.

use super::case::{Case, Found};
use super::timeline::Lore;
use crate::history::Word;
use crate::violation::Kind;

pub(super) fn check(case: &Case<'_>, _lore: &Lore<'_>, found: &mut Found<'_>) {
    let mut open = None;
    let mut newest = None;
    for word in &case.stream.told {
        if let Some(revision) = open
            && !matches!(word, Word::Events { .. })
        {
            found.say(Kind::WatchSplit, revision, || {
                format!("was told something else between the pieces of revision {revision}")
            });
            open = None;
        }
        let Word::Events {
            revision,
            events,
            more,
            ..
        } = word
        else {
            continue;
        };
        if *more && !case.watch.wish.fragment {
            found.say(Kind::WatchSplit, *revision, || {
                format!("was told revision {revision} in pieces, which it did not ask for")
            });
        }
        let revisions = || events.iter().map(|event| event.record.meta.mod_revision);
        if open.is_none()
            && let Some(newest) = newest
            && revisions().next() == Some(newest)
        {
            found.say(Kind::WatchSplit, newest, || {
                format!("was told revision {newest} in two answers")
            });
        }
        newest = revisions().next_back().or(newest);
        open = more.then_some(*revision);
    }
}
