//! Somebody who knocks under the name of a member and is none: whoever lets it in does not check
//! who speaks.
//!
//! Invariant: what is asked changes nothing in a correct cluster, since all of it is refused.

use hstore_core::id::{ClusterId, Incarnation};
use hstore_node::{Class, Duplex, Hello, Node};

/// Knocks at a node as one of its peers, with another data folder and then from another cluster;
/// how it was let in, if it was.
pub fn knock(node: &Node) -> Option<String> {
    let status = node.status();
    let members = &status.standing.membership.members;
    let (from, member) = members.iter().find(|(id, _)| **id != status.node)?;
    let peer = Hello {
        cluster: status.cluster,
        from: *from,
        incarnation: member.incarnation,
        to: status.node,
        class: Class::Control,
        membership: status.standing.membership.log_id.map(|id| id.index),
    };
    let impostors = [
        Hello {
            incarnation: Incarnation(peer.incarnation.0 ^ 1),
            ..peer
        },
        Hello {
            cluster: ClusterId(peer.cluster.0 ^ 1),
            ..peer
        },
    ];
    impostors.iter().find_map(|hello| {
        let (_here, there) = Duplex::pair();
        let let_in = node.accept(hello, there).is_ok();
        let_in.then(|| {
            format!(
                "only_members_are_admitted: node {} let in {hello:?}; the member is {member:?}",
                status.node
            )
        })
    })
}
