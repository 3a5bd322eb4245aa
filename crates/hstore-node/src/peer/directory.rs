//! Who the peers are, where they are, and who may connect to this node.
//!
//! Invariants: (1) a connection is refused before a single frame of it is read; (2) a member that
//! this node does not know yet may send it the log (Raft thesis, section 4.1: a server obeys
//! leaders outside of its own configuration); a removed one may not; (3) a member's id with
//! another data folder is refused, always.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use hstore_core::id::{ClusterId, Incarnation, LogIndex, NodeId};
use hstore_core::membership::{Member, Membership};
use hstore_core::planted::{self, Bug};
use tokio::sync::watch;
use tokio::time::{sleep, timeout};

use crate::env::{Class, Duplex, Hello, PeerAddress, Transport, TransportError};
use crate::error::{AcceptError, StopReason};
use crate::fate::Fate;

/// How long a connection may take to open.
const CONNECT_MAX: Duration = Duration::from_secs(3);

/// How often a dying process is dialled: it closes its connections and its door in any order.
const DIALS: u32 = 5;

/// The pause between two dials.
const DIAL_PAUSE: Duration = Duration::from_millis(5);

/// How long a dial may take; one that takes longer was not refused.
const DIAL_MAX: Duration = Duration::from_millis(100);

/// Who this node is, for its peers.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Myself {
    pub(crate) cluster: ClusterId,
    pub(crate) node: NodeId,
    pub(crate) incarnation: Incarnation,
    /// A membership that this node was part of when it last ran.
    pub(crate) member_since: Option<LogIndex>,
}

#[derive(Default)]
struct Known {
    /// Every member that was heard of, by its newest addresses. Removed ones go.
    members: BTreeMap<NodeId, Member>,
    /// The applied membership.
    applied: Arc<Membership>,
}

/// The directory of one node. Clones share it.
#[derive(Clone)]
pub(crate) struct Directory {
    myself: Myself,
    transport: Arc<dyn Transport>,
    known: Arc<Mutex<Known>>,
    /// Counts the memberships that were learned.
    learned: Arc<watch::Sender<u64>>,
    fate: Fate,
}

impl Directory {
    pub(crate) fn new(myself: Myself, transport: Arc<dyn Transport>, fate: Fate) -> Directory {
        Directory {
            myself,
            transport,
            known: Arc::default(),
            learned: Arc::new(watch::Sender::new(0)),
            fate,
        }
    }

    /// Who this node is.
    pub(crate) fn myself(&self) -> Myself {
        self.myself
    }

    fn known(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Learns the membership that this node's log names last, applied or not.
    pub(crate) fn learn(&self, newest: &Membership) {
        let mut known = self.known();
        if known.members != newest.members {
            known.members = newest.members.clone();
            self.learned.send_modify(|count| *count += 1);
        }
    }

    /// Learns where one member is.
    pub(crate) fn learn_member(&self, node: NodeId, member: &Member) {
        self.known().members.insert(node, member.clone());
    }

    /// Learns the membership that was applied.
    pub(crate) fn learn_applied(&self, applied: Arc<Membership>) {
        self.known().applied = applied;
        self.learned.send_modify(|count| *count += 1);
    }

    /// Waits until a peer that was admitted would be refused.
    pub(crate) async fn expelled(&self, hello: &Hello) {
        let mut learned = self.learned.subscribe();
        while self.admit(hello).is_ok() {
            if learned.changed().await.is_err() {
                return std::future::pending().await;
            }
        }
    }

    /// Opens a connection.
    pub(crate) async fn connect(&self, to: NodeId, class: Class) -> Result<Duplex, TransportError> {
        let (address, membership) = {
            let known = self.known();
            let address = known
                .members
                .get(&to)
                .map(|member| member.peer_address.clone());
            (address, self.membership_index(&known.applied))
        };
        let Some(address) = address else {
            return Err(TransportError::Unreachable {
                reason: format!("the address of node {to} is not known"),
            });
        };
        let hello = Hello {
            cluster: self.myself.cluster,
            from: self.myself.node,
            incarnation: self.myself.incarnation,
            to,
            class,
            membership,
        };
        let connecting = self
            .transport
            .connect(PeerAddress { node: to, address }, hello);
        match timeout(CONNECT_MAX, connecting).await {
            Ok(Err(TransportError::Refused { code, reason })) => {
                if code == hstore_core::error::ErrorCode::NodeRemoved {
                    // A peer knows a later membership than ours, and we are not in it.
                    self.fate.end(StopReason::Removed);
                }
                Err(TransportError::Refused { code, reason })
            }
            Ok(result) => result,
            Err(_elapsed) => Err(TransportError::Unreachable {
                reason: format!("no connection within {} s", CONNECT_MAX.as_secs()),
            }),
        }
    }

    /// Whether the machine of a member answers that nobody listens at the member's address.
    pub(crate) async fn is_gone(&self, node: NodeId) -> bool {
        for _ in 0..DIALS {
            let dialling = self.connect(node, Class::Control);
            match timeout(DIAL_MAX, dialling).await {
                Ok(Err(TransportError::NobodyListens { .. })) => return true,
                Ok(Err(TransportError::Unreachable { .. })) => sleep(DIAL_PAUSE).await,
                Ok(Ok(_) | Err(TransportError::Refused { .. })) | Err(_) => return false,
            }
        }
        false
    }

    /// The applied membership that this node is part of.
    fn membership_index(&self, applied: &Membership) -> Option<LogIndex> {
        if !applied.members.contains_key(&self.myself.node) {
            return self.myself.member_since;
        }
        applied.log_id.map(|id| id.index)
    }

    /// Whether a peer may connect.
    pub(crate) fn admit(&self, hello: &Hello) -> Result<(), AcceptError> {
        let myself = self.myself;
        if hello.cluster != myself.cluster {
            return Err(AcceptError::OtherCluster {
                ours: myself.cluster,
                theirs: hello.cluster,
            });
        }
        if hello.to != myself.node {
            return Err(AcceptError::OtherNode {
                ours: myself.node,
                wanted: hello.to,
            });
        }
        let known = self.known();
        // What the log names last and what was applied are learned one after the other, in either
        // order: a peer that is in one of them was not removed.
        let heard_of = known.members.get(&hello.from);
        if let Some(member) = heard_of.or_else(|| known.applied.members.get(&hello.from)) {
            let same = member.incarnation == hello.incarnation;
            if !same && !planted::is(Bug::IncarnationNotChecked) {
                return Err(AcceptError::OtherIncarnation(hello.from));
            }
            return Ok(());
        }
        let ours = known.applied.log_id.map(|id| id.index);
        match (hello.membership, ours) {
            // The peer was in a membership, and ours is later and without it.
            (Some(theirs), Some(ours)) if theirs < ours => Err(AcceptError::Removed(hello.from)),
            // The peer is in a membership that we have not heard of.
            (Some(_), _) => Ok(()),
            // It is in none: it has nothing to say yet.
            (None, _) => Err(AcceptError::Unknown(hello.from)),
        }
    }
}

#[cfg(test)]
mod tests {
    use futures::FutureExt;
    use futures::future::BoxFuture;
    use hstore_core::error::ErrorCode;
    use hstore_core::id::{LogId, Term};

    use super::*;

    struct Nowhere;

    impl Transport for Nowhere {
        fn connect(
            &self,
            _to: PeerAddress,
            _hello: Hello,
        ) -> BoxFuture<'static, Result<Duplex, TransportError>> {
            async {
                Err(TransportError::Refused {
                    code: ErrorCode::NodeRemoved,
                    reason: "removed".to_owned(),
                })
            }
            .boxed()
        }
    }

    fn membership(index: u64, nodes: &[u64]) -> Membership {
        Membership {
            log_id: Some(LogId {
                term: Term(1),
                leader: NodeId(1),
                index: LogIndex(index),
            }),
            voters: vec![nodes.iter().copied().map(NodeId).collect()],
            members: nodes
                .iter()
                .map(|node| {
                    let member = Member {
                        name: format!("n{node}"),
                        incarnation: Incarnation(node * 100),
                        ..Member::default()
                    };
                    (NodeId(*node), member)
                })
                .collect(),
        }
    }

    fn directory(fate: &Fate) -> Directory {
        let myself = Myself {
            cluster: ClusterId(1),
            node: NodeId(1),
            incarnation: Incarnation(100),
            member_since: None,
        };
        let directory = Directory::new(myself, Arc::new(Nowhere), fate.clone());
        let known = membership(10, &[1, 2]);
        directory.learn(&known);
        directory.learn_applied(Arc::new(known));
        directory
    }

    #[test]
    fn only_members_of_this_cluster_with_their_own_data_are_admitted() {
        let directory = directory(&Fate::new());
        let good = Hello {
            cluster: ClusterId(1),
            from: NodeId(2),
            incarnation: Incarnation(200),
            to: NodeId(1),
            class: Class::Control,
            membership: Some(LogIndex(10)),
        };
        let stranger = Hello {
            from: NodeId(7),
            incarnation: Incarnation(700),
            ..good
        };
        let cases = [
            (good, Ok(())),
            (
                Hello {
                    cluster: ClusterId(2),
                    ..good
                },
                Err(ErrorCode::ClusterMismatch),
            ),
            (
                Hello {
                    to: NodeId(3),
                    ..good
                },
                Err(ErrorCode::ClusterMismatch),
            ),
            (
                Hello {
                    incarnation: Incarnation(201),
                    ..good
                },
                Err(ErrorCode::ClusterMismatch),
            ),
            // A member that joined later than we know, one that was removed, one that never was.
            (
                Hello {
                    membership: Some(LogIndex(11)),
                    ..stranger
                },
                Ok(()),
            ),
            (
                Hello {
                    membership: Some(LogIndex(9)),
                    ..stranger
                },
                Err(ErrorCode::NodeRemoved),
            ),
            (
                Hello {
                    membership: None,
                    ..stranger
                },
                Err(ErrorCode::NodeNotFound),
            ),
        ];
        for (hello, expected) in cases {
            let admitted = directory.admit(&hello).map_err(AcceptError::code);
            assert_eq!(admitted, expected, "{hello:?}");
        }
    }

    #[test]
    fn a_member_of_the_applied_membership_was_not_removed_whatever_was_heard_before() {
        let myself = Myself {
            cluster: ClusterId(1),
            node: NodeId(1),
            incarnation: Incarnation(100),
            member_since: None,
        };
        let directory = Directory::new(myself, Arc::new(Nowhere), Fate::new());
        directory.learn_applied(Arc::new(membership(10, &[1, 2])));
        let from_before = Hello {
            cluster: ClusterId(1),
            from: NodeId(2),
            incarnation: Incarnation(200),
            to: NodeId(1),
            class: Class::Append,
            membership: Some(LogIndex(0)),
        };
        assert_eq!(directory.admit(&from_before), Ok(()));
        directory.learn_applied(Arc::new(membership(11, &[1])));
        assert_eq!(
            directory.admit(&from_before),
            Err(AcceptError::Removed(NodeId(2)))
        );
    }

    #[tokio::test]
    async fn a_node_that_is_told_it_was_removed_stops() {
        let fate = Fate::new();
        let directory = directory(&fate);
        let refused = directory.connect(NodeId(2), Class::Control).await;
        assert!(matches!(refused, Err(TransportError::Refused { .. })));
        assert_eq!(fate.reason(), Some(StopReason::Removed));
    }

    #[tokio::test]
    async fn a_peer_without_an_address_cannot_be_reached() {
        let directory = directory(&Fate::new());
        let unknown = directory.connect(NodeId(9), Class::Control).await;
        assert!(matches!(unknown, Err(TransportError::Unreachable { .. })));
    }
}
