//! Memberships to messages and back.

use std::collections::{BTreeMap, BTreeSet};

use super::{DecodeError, wire};
use crate::id::{Incarnation, LogId, NodeId};
use crate::membership::{Member, Membership};

impl From<&Membership> for wire::Membership {
    fn from(membership: &Membership) -> Self {
        wire::Membership {
            log_id: membership.log_id.map(wire::LogId::from),
            voters: membership
                .voters
                .iter()
                .map(|nodes| wire::Voters {
                    nodes: nodes.iter().map(|node| node.0).collect(),
                })
                .collect(),
            members: membership
                .members
                .iter()
                .map(|(node, member)| wire::Member {
                    node: node.0,
                    name: member.name.clone(),
                    peer_address: member.peer_address.clone(),
                    client_address: member.client_address.clone(),
                    incarnation: member.incarnation.0,
                    started_as: member.started_as.clone(),
                })
                .collect(),
        }
    }
}

impl TryFrom<wire::Membership> for Membership {
    type Error = DecodeError;

    fn try_from(membership: wire::Membership) -> Result<Self, DecodeError> {
        let mut members = BTreeMap::new();
        for member in membership.members {
            let node = NodeId(member.node);
            let member = Member {
                name: member.name,
                peer_address: member.peer_address,
                client_address: member.client_address,
                incarnation: Incarnation(member.incarnation),
                started_as: member.started_as,
            };
            if members.insert(node, member).is_some() {
                return Err(DecodeError::Malformed("a member that is named twice"));
            }
        }
        let voters = membership.voters.into_iter().map(|voters| {
            let nodes = voters.nodes.into_iter().map(NodeId);
            nodes.collect::<BTreeSet<_>>()
        });
        Ok(Membership {
            log_id: membership.log_id.map(LogId::from),
            voters: voters.collect(),
            members,
        })
    }
}
