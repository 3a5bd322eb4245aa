//! Future: a watch that begins later than the store is tells nothing of its progress before that.
//! One that begins in the past does not say that it is further back than it began.

use hstore_core::id::Revision;

use super::case::{Case, Found};
use super::timeline::Lore;
use crate::violation::Kind;

pub(super) fn check(case: &Case<'_>, _lore: &Lore<'_>, found: &mut Found<'_>) {
    let Some(from) = case.from else {
        return;
    };
    for mark in case.marks() {
        if mark < Revision(from.0 - 1) {
            found.say(Kind::WatchEarlyNotice, mark, || {
                format!("was told of its progress at {mark}, though it begins at {from}")
            });
        }
    }
}
