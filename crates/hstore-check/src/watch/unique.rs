//! Unique: nothing is told twice in a stream.

use bytes::Bytes;
use hstore_core::id::Revision;

use super::case::{Case, Found};
use super::timeline::Lore;
use crate::violation::Kind;
use crate::words;

pub(super) fn check(case: &Case<'_>, _lore: &Lore<'_>, found: &mut Found<'_>) {
    let mut told: Vec<(Revision, &Bytes)> = case
        .events()
        .map(|(_, event)| (event.record.meta.mod_revision, &event.record.key))
        .collect();
    told.sort_unstable();
    for pair in told.windows(2) {
        if pair[0] == pair[1] {
            let (at, key) = pair[0];
            found.say(Kind::WatchToldTwice, at, || {
                let key = words::quoted(key);
                format!("was told revision {at} of {key} twice")
            });
        }
    }
}
