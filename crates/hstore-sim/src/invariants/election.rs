//! Election safety. A leader is named by term and node, and of two leaders of one term the one
//! with the larger id takes the place of the other (consensus counts them as two terms would be).
//! So the order of leaders takes the place of the order of terms: nobody goes back in it, and what
//! is committed later was proposed by the same leader or by a later one.

use std::collections::BTreeMap;

use hstore_core::id::{LogId, LogIndex, NodeId, Term};

use super::{Law, Sight};

/// Whom every node followed last, and who proposed what is committed.
#[derive(Default)]
pub(super) struct Election {
    /// By node and life.
    followed: BTreeMap<(NodeId, u64), (Term, NodeId)>,
    committed: BTreeMap<LogIndex, LogId>,
}

impl Law for Election {
    fn name(&self) -> &'static str {
        "election_safety"
    }

    fn look(&mut self, sight: &Sight) -> Result<(), String> {
        for seen in &sight.nodes {
            let standing = &seen.status.standing;
            let node = seen.status.node;
            if let Some(leader) = standing.leader {
                let now = (standing.term, leader);
                let before = self.followed.insert((node, seen.life), now);
                if before.is_some_and(|before| before > now) {
                    return Err(format!(
                        "node {node} went from leader {before:?} to {now:?}"
                    ));
                }
            }
            for id in [seen.status.committed, seen.status.applied]
                .into_iter()
                .flatten()
            {
                self.committed.insert(id.index, id);
                let before = self.committed.range(..id.index).next_back();
                let after = self.committed.range(id.index..).nth(1);
                let by = |id: &LogId| (id.term, id.leader);
                if before.is_some_and(|(_, before)| by(before) > by(&id))
                    || after.is_some_and(|(_, after)| by(after) < by(&id))
                {
                    return Err(format!(
                        "node {node} knows {id:?} to be committed between {before:?} and {after:?}"
                    ));
                }
            }
        }
        Ok(())
    }
}
