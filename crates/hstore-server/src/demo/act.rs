//! What a person can do to the cluster of the demo, from the page.
//!
//! Invariant: what is asked for is checked once, here: nodes that are not there, links of a node with
//! itself and words that mean nothing are refused.

use hstore_core::error::ErrorCode;
use hstore_links::NodeNumber;
use serde::Deserialize;

use super::brake::DiskMode;
use super::network::LinkMode;
use super::stage::Stage;
use crate::fault::Fault;

/// One thing to do.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(
    tag = "action",
    rename_all = "kebab-case",
    rename_all_fields = "kebab-case",
    deny_unknown_fields
)]
pub(super) enum Act {
    /// SIGKILL to a node.
    Kill { node: u8 },
    /// SIGSTOP to a node.
    Pause { node: u8 },
    /// SIGCONT to a node.
    Resume { node: u8 },
    /// A start, or a graceful stop and a start.
    Restart { node: u8 },
    /// A slow or stuck disk, or as it is.
    Disk { node: u8, mode: DiskMode },
    /// One direction between two nodes, or both.
    Link {
        from: u8,
        to: u8,
        both_ways: bool,
        mode: LinkMode,
    },
    /// Whoever leads is cut off from all others.
    IsolateLeader,
    /// Every fault is taken away.
    Heal,
}

impl Act {
    /// Does it.
    pub(super) async fn perform(self, stage: &Stage) -> Result<(), Fault> {
        match self {
            Act::Kill { node } => stage.kill(node).await,
            Act::Pause { node } => stage.pause(node).await,
            Act::Resume { node } => stage.resume(node).await,
            Act::Restart { node } => stage.restart(node).await,
            Act::Disk { node, mode } => stage.set_disk(node, mode).await,
            Act::Link {
                from,
                to,
                both_ways,
                mode,
            } => {
                let pairs = pairs(from, to, both_ways, stage.nodes())?;
                stage.network().set(&pairs, mode);
                Ok(())
            }
            Act::IsolateLeader => {
                let leader = stage.view().borrow().leader();
                let Some(leader) = leader else {
                    let what = "nobody leads at this moment";
                    return Err(Fault::new(ErrorCode::Conflict, what));
                };
                stage.split(&[leader]);
                Ok(())
            }
            Act::Heal => stage.heal().await,
        }
    }
}

fn pairs(
    from: u8,
    to: u8,
    both_ways: bool,
    nodes: u8,
) -> Result<Vec<(NodeNumber, NodeNumber)>, Fault> {
    let is_there = |number: u8| (1..=nodes).contains(&number);
    if from == to || !is_there(from) || !is_there(to) {
        let what = format!("there is no link from {from} to {to}: nodes are 1 to {nodes}");
        return Err(Fault::new(ErrorCode::InvalidArgument, what));
    }
    let (from, to) = (NodeNumber::from(from), NodeNumber::from(to));
    let mut pairs = vec![(from, to)];
    if both_ways {
        pairs.push((to, from));
    }
    Ok(pairs)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_can_be_asked_for_is_understood_and_nothing_else() {
        for (text, act) in [
            (r#"{"action":"kill","node":1}"#, Act::Kill { node: 1 }),
            (r#"{"action":"heal"}"#, Act::Heal),
            (r#"{"action":"isolate-leader"}"#, Act::IsolateLeader),
            (
                r#"{"action":"disk","node":2,"mode":"stuck"}"#,
                Act::Disk {
                    node: 2,
                    mode: DiskMode::Stuck,
                },
            ),
            (
                r#"{"action":"link","from":1,"to":2,"both-ways":false,"mode":"cut"}"#,
                Act::Link {
                    from: 1,
                    to: 2,
                    both_ways: false,
                    mode: LinkMode::Cut,
                },
            ),
        ] {
            assert_eq!(serde_json::from_str::<Act>(text).unwrap(), act, "{text}");
        }
        for text in [
            "",
            "{}",
            r#"{"action":"explode"}"#,
            r#"{"action":"kill"}"#,
            r#"{"action":"kill","node":256}"#,
            r#"{"action":"kill","node":-1}"#,
            r#"{"action":"kill","node":1,"also":2}"#,
            r#"{"action":"disk","node":1,"mode":"broken"}"#,
        ] {
            assert!(serde_json::from_str::<Act>(text).is_err(), "{text}");
        }
    }

    #[test]
    fn a_link_is_between_two_nodes_that_are_there() {
        assert_eq!(pairs(1, 3, false, 3).unwrap(), [(1, 3)]);
        assert_eq!(pairs(1, 3, true, 3).unwrap(), [(1, 3), (3, 1)]);
        for (from, to) in [(1, 1), (0, 1), (1, 4), (4, 1)] {
            let refused = pairs(from, to, true, 3).unwrap_err();
            assert_eq!(refused.code, ErrorCode::InvalidArgument, "{from} {to}");
        }
    }
}
