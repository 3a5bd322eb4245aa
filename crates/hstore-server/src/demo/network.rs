//! The links between the nodes of a demo: how each direction is, and how to change it.
//!
//! Invariant: what is said of a link is what holds on it.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use hstore_links::{Harm, Links, NodeNumber, RuleId};
use serde::{Deserialize, Serialize};

/// How much later bytes arrive on a slow link.
const SLOW: Duration = Duration::from_millis(200);

/// How a link is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum LinkMode {
    /// As it is.
    #[default]
    Open,
    /// Everything arrives [`SLOW`] later.
    Slow,
    /// Nothing passes.
    Cut,
}

/// One direction between two nodes that is not open.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub(super) struct Harmed {
    from: NodeNumber,
    to: NodeNumber,
    mode: LinkMode,
}

/// All links.
pub(super) struct Network {
    links: Arc<Links>,
    rules: Mutex<BTreeMap<(NodeNumber, NodeNumber), (LinkMode, RuleId)>>,
}

impl Network {
    /// The links of a proxy, all of them open.
    pub(super) fn new(links: Arc<Links>) -> Network {
        Network {
            links,
            rules: Mutex::new(BTreeMap::new()),
        }
    }

    /// From now on these directions are like this.
    pub(super) fn set(&self, pairs: &[(NodeNumber, NodeNumber)], mode: LinkMode) {
        let mut rules = self.rules();
        for pair in pairs {
            let former = rules.remove(pair);
            let harm = match mode {
                LinkMode::Open => None,
                LinkMode::Slow => Some(Harm::Delay(SLOW)),
                LinkMode::Cut => Some(Harm::Cut),
            };
            if let Some(harm) = harm {
                let rule = self.links.harm(vec![*pair], harm);
                rules.insert(*pair, (mode, rule));
            }
            if let Some((_, rule)) = former {
                self.links.mend(rule);
            }
        }
    }

    /// Opens all of them.
    pub(super) fn mend_all(&self) {
        self.rules().clear();
        self.links.mend_all();
    }

    /// Those that are not open.
    pub(super) fn harmed(&self) -> Vec<Harmed> {
        let rules = self.rules();
        let harmed = rules.iter().map(|((from, to), (mode, _))| Harmed {
            from: *from,
            to: *to,
            mode: *mode,
        });
        harmed.collect()
    }

    fn rules(&self) -> MutexGuard<'_, BTreeMap<(NodeNumber, NodeNumber), (LinkMode, RuleId)>> {
        self.rules.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use hstore_links::Proxy;

    use super::*;

    #[test]
    fn a_link_is_as_it_was_said_last_and_all_are_open_after_mending() {
        let network = Network::new(Arc::clone(Proxy::new().links()));
        network.set(&[(1, 2), (2, 1)], LinkMode::Cut);
        network.set(&[(2, 1)], LinkMode::Slow);
        network.set(&[(1, 2)], LinkMode::Open);
        let harmed = Harmed {
            from: 2,
            to: 1,
            mode: LinkMode::Slow,
        };
        assert_eq!(network.harmed(), [harmed]);
        network.mend_all();
        assert_eq!(network.harmed(), []);
    }
}
