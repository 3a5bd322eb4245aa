//! What a person in the shell should hear without asking: the connection went, came back or moved,
//! and the cluster got worse or better.

use hstore_client::v1::ClusterDescription;

use crate::render::nodes::{self, Health};

/// What is worth comparing of two moments.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Seen {
    connected: bool,
    node: Option<Node>,
    health: Option<Health>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Node {
    id: u64,
    name: String,
    address: String,
}

impl Seen {
    pub(super) fn new(connected: bool, cluster: Option<&ClusterDescription>) -> Seen {
        let node = cluster.and_then(|cluster| {
            let own = |id: u64| {
                cluster.members.iter().find_map(|status| {
                    let member = status
                        .member
                        .as_ref()
                        .filter(|member| member.node_id == id)?;
                    Some(Node {
                        id,
                        name: nodes::name(status),
                        address: member.client_address.clone(),
                    })
                })
            };
            own(cluster.node_id)
        });
        // A node that has just begun does not know its members yet.
        let health = cluster
            .filter(|cluster| !cluster.members.is_empty())
            .map(nodes::health);
        Seen {
            connected,
            node,
            health,
        }
    }

    /// What to say when `self` has become `next`.
    pub(super) fn note(&self, next: &Seen) -> Option<String> {
        let to = || match &next.node {
            Some(node) => format!("{} at {}", node.name, node.address),
            None => "the cluster".to_owned(),
        };
        let health = || match next.health {
            Some(health) if self.health != next.health => format!("; {}", sentence(health)),
            _ => String::new(),
        };
        match (self.connected, next.connected) {
            (true, false) => {
                let name = self
                    .node
                    .as_ref()
                    .map_or("the cluster", |node| node.name.as_str());
                Some(format!("the connection to {name} is lost; trying again"))
            }
            (false, true) if self.node.is_some() => {
                Some(format!("connected again, to {}{}", to(), health()))
            }
            (true, true) => match (&self.node, &next.node) {
                (Some(before), Some(after)) if before.id != after.id => Some(format!(
                    "{} does not answer; connected to {}{}",
                    before.name,
                    to(),
                    health()
                )),
                _ if self.health != next.health => next.health.map(sentence),
                _ => None,
            },
            _ => None,
        }
    }
}

fn sentence(health: Health) -> String {
    match health {
        Health::Healthy { .. } | Health::Degraded { .. } => format!("the cluster is {health}"),
        Health::NoQuorum { .. } => format!("the cluster has {health}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seen(connected: bool, id: u64, health: Health) -> Seen {
        let node = Node {
            id,
            name: format!("n{id}"),
            address: format!("127.0.0.1:{id}"),
        };
        Seen {
            connected,
            node: Some(node),
            health: Some(health),
        }
    }

    #[test]
    fn changes_are_told_and_sameness_is_not() {
        let (well, ill) = (
            Health::Healthy { spare: 1 },
            Health::Degraded { up: 2, of: 3 },
        );
        let nothing = Seen {
            connected: false,
            node: None,
            health: None,
        };
        for (before, after, expected) in [
            (seen(true, 1, well), seen(true, 1, well), None),
            (nothing, seen(true, 1, well), None),
            (
                seen(true, 1, well),
                seen(false, 1, well),
                Some("the connection to n1 is lost; trying again"),
            ),
            (seen(false, 1, well), seen(false, 1, well), None),
            (
                seen(false, 1, well),
                seen(true, 1, well),
                Some("connected again, to n1 at 127.0.0.1:1"),
            ),
            (
                seen(true, 1, well),
                seen(true, 2, ill),
                Some(
                    "n1 does not answer; connected to n2 at 127.0.0.1:2; \
                     the cluster is degraded; 2 of 3 voters answer",
                ),
            ),
            (
                seen(true, 1, ill),
                seen(true, 1, well),
                Some("the cluster is healthy; tolerates 1 failure"),
            ),
        ] {
            assert_eq!(before.note(&after).as_deref(), expected);
        }
    }
}
