//! Endings: a watch ends because its client asked for that, or because compaction took what it
//! needs; then the answer says from where one could go on.

use hstore_core::id::Revision;

use super::case::{Case, Found};
use super::timeline::Lore;
use crate::history::Word;
use crate::violation::Kind;

pub(super) fn check(case: &Case<'_>, lore: &Lore<'_>, found: &mut Found<'_>) {
    for word in &case.stream.told {
        let Word::Canceled {
            at,
            revision,
            compacted,
        } = word
        else {
            continue;
        };
        if *compacted == Revision(0) {
            if case.stream.ended.is_none_or(|ended| ended > *at) {
                found.say(Kind::WatchWrongEnd, *revision, || {
                    "was ended, and neither had its client asked for that nor was it said up to \
                     where history is compacted"
                        .to_owned()
                });
            }
            continue;
        }
        let below = Revision(compacted.0 - 1);
        if !lore.compactions.may_have_passed(below, *at) {
            found.say(Kind::WatchWrongEnd, *compacted, || {
                format!("was ended since history is compacted up to {compacted}, which nobody did")
            });
        }
        let next = case.from.max(case.upto.map(Revision::next));
        if let Some(next) = next
            && next >= *compacted
        {
            found.say(Kind::WatchWrongEnd, *compacted, || {
                format!(
                    "was ended for a compaction up to {compacted}, though {next} was next for it"
                )
            });
        }
    }
}
