//! Endings: a watch ends because its client asked for that, because compaction took what it needs,
//! or because the client may not read the keys any more. After a compaction the answer says from
//! where one could go on. Who may read what is in no history: that a watch was denied is believed
//! here, and judged by whoever knows the rights.

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
            denied,
        } = word
        else {
            continue;
        };
        if *denied {
            if *compacted != Revision(0) {
                found.say(Kind::WatchWrongEnd, *revision, || {
                    format!("was ended for want of rights and for a compaction up to {compacted}")
                });
            }
            continue;
        }
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
