//! Origin: what is told is what the log has, and its create revision and version say truly whether
//! the key was made or changed.

use super::case::{Case, Found};
use super::timeline::{Lore, same};
use crate::violation::Kind;
use crate::words;

pub(super) fn check(case: &Case<'_>, lore: &Lore<'_>, found: &mut Found<'_>) {
    for (_, event) in case.events() {
        let record = &event.record;
        let at = record.meta.mod_revision;
        if !lore.covers(at) {
            continue;
        }
        let key = || words::quoted(&record.key);
        let Some(change) = lore.at(at, &record.key) else {
            found.say(Kind::WatchPhantom, at, || {
                format!(
                    "was told of {} at revision {at}, where the log lacks it",
                    key()
                )
            });
            continue;
        };
        let deleted = record.meta.is_tombstone();
        let value = (!deleted).then_some(&record.value);
        if change.value != value {
            found.say(Kind::WatchPhantom, at, || {
                format!(
                    "was told of {} at revision {at} what the log has not",
                    key()
                )
            });
            continue;
        }
        if let Some(expected) = change.record()
            && change.is_known
            && !same(&expected, record)
        {
            found.say(Kind::WatchWrongOrigin, at, || {
                let (expected, told) = (words::record(&expected), words::record(record));
                format!("was told {told}, expected {expected}")
            });
        }
    }
}
