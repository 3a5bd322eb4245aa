//! Log matching: two logs that hold the same entry agree in it and in all before it.
//!
//! It is checked by its induction step: an entry names what it says and the entry before it, on
//! whichever disk and whenever it is read.

use std::collections::BTreeMap;

use hstore_core::id::LogId;

use super::{Law, Sight};

/// What each entry says, and which entry comes before it.
#[derive(Default)]
pub(super) struct Matching {
    known: BTreeMap<LogId, (Option<LogId>, u32)>,
}

impl Law for Matching {
    fn name(&self) -> &'static str {
        "log_matching"
    }

    fn look(&mut self, sight: &Sight) -> Result<(), String> {
        for kept in sight.logs.iter().flatten() {
            if kept.lost {
                continue;
            }
            let log = match &kept.log {
                Some(Ok(log)) => log,
                Some(Err(why)) => {
                    return Err(format!(
                        "the synced log of place {} does not open: {why}",
                        kept.at
                    ));
                }
                None => continue,
            };
            let mut before = log.purged;
            for (id, checksum) in &log.entries {
                if let Some(before) = before
                    && before.index.0 + 1 != id.index.0
                {
                    return Err(format!("place {}: {id:?} follows {before:?}", kept.at));
                }
                let says = (before, *checksum);
                let first = *self.known.entry(*id).or_insert(says);
                // What was purged is known as a position only where a log begins.
                if first.1 != says.1 || (first.0.is_some() && says.0.is_some() && first.0 != says.0)
                {
                    return Err(format!(
                        "place {}: entry {id:?} says {says:?}, elsewhere {first:?}",
                        kept.at
                    ));
                }
                before = Some(*id);
            }
        }
        Ok(())
    }
}
