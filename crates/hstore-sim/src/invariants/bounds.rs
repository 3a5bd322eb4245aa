//! What a node says of itself fits together: purged <= snapshot <= applied <= last, and what is
//! committed is in the log.

use hstore_core::id::{LogId, LogIndex};

use super::{Law, Sight};

/// Looks at each node by itself.
pub(super) struct Bounds;

impl Law for Bounds {
    fn name(&self) -> &'static str {
        "purged_snapshot_applied_committed_last"
    }

    fn look(&mut self, sight: &Sight) -> Result<(), String> {
        let index = |id: Option<LogId>| id.map(|id| id.index);
        // A node hears of a commit and applies it before it says so: what it applied is bounded by
        // what anybody knows.
        let known = index(sight.committed());
        for seen in &sight.nodes {
            let status = &seen.status;
            let chain: [(&str, Option<LogIndex>); 4] = [
                ("purged", index(status.purged)),
                ("snapshot", index(status.snapshot)),
                ("applied", index(status.applied)),
                ("last", status.last),
            ];
            for pair in chain.windows(2) {
                if pair[0].1 > pair[1].1 {
                    return Err(format!(
                        "node {}: {} is {:?}, {} is {:?}",
                        status.node, pair[0].0, pair[0].1, pair[1].0, pair[1].1
                    ));
                }
            }
            if index(status.committed) > status.last.max(known) {
                return Err(format!(
                    "node {}: committed is {:?}, last is {:?}",
                    status.node, status.committed, status.last
                ));
            }
        }
        Ok(())
    }
}
