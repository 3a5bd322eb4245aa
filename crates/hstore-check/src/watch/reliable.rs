//! Reliable: from where a watch begins to where it is for certain nothing is missing, however many
//! streams it took. A stream that goes on further on than the one before it came leaves a gap;
//! that is none if nothing happened there.

use bytes::Bytes;
use hstore_core::id::Revision;

use super::case::{Case, Found};
use super::timeline::Lore;
use crate::violation::Kind;
use crate::words;

pub(super) fn check(cases: &[Case<'_>], lore: &Lore<'_>, found: &mut Found<'_>) {
    let mut cursor: Option<Revision> = None;
    for case in cases {
        let Some(from) = case.from else {
            continue;
        };
        if let Some(cursor) = cursor {
            let gap = missing(case, lore, cursor.next(), Revision(from.0 - 1), &[]);
            for (at, key) in gap {
                found.say(Kind::WatchMissed, at, || {
                    let key = words::quoted(key);
                    format!(
                        "was told all up to {cursor} and went on at {from}, without revision {at} \
                         of {key}"
                    )
                });
            }
        }
        if let Some(upto) = case.upto {
            let mut told: Vec<(Revision, &Bytes)> = case
                .events()
                .map(|(_, event)| (event.record.meta.mod_revision, &event.record.key))
                .collect();
            told.sort_unstable();
            for (at, key) in missing(case, lore, from, upto, &told) {
                found.say(Kind::WatchMissed, at, || {
                    let key = words::quoted(key);
                    format!(
                        "was told nothing of {key} at revision {at}, though it is from {from} and \
                         was at {upto}"
                    )
                });
            }
        }
        let here = case.upto.unwrap_or(Revision(0)).max(Revision(from.0 - 1));
        cursor = cursor.max(Some(here));
    }
}

/// What is wanted from one revision to another, both included, and not among what was told, which
/// is sorted.
fn missing<'h>(
    case: &Case<'_>,
    lore: &'h Lore<'_>,
    from: Revision,
    to: Revision,
    told: &[(Revision, &Bytes)],
) -> Vec<(Revision, &'h Bytes)> {
    lore.between(from, to)
        .iter()
        .filter(|change| case.watch.wish.wants(change.key, change.value.is_none()))
        .map(|change| (change.at, change.key))
        .filter(|change| told.binary_search(change).is_err())
        .collect()
}
