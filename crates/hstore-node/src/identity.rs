//! Who this data folder is: the first file written into it and the last one believed.
//!
//! Invariants: (1) the incarnation is on the disk before anybody hears of it; (2) a folder whose
//! stage is `Member` had a log, so a missing log is damage and never a fresh start.

use hstore_core::error::ErrorCode;
use hstore_core::id::{ClusterId, Incarnation, NodeId};

/// How far a data folder has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stage {
    /// It has an incarnation and belongs to no cluster yet.
    Drawn,
    /// It is to found its cluster: node 1 of 1.
    Founding,
    /// It has a node id in a cluster that may not know it as a member yet.
    Joining,
    /// It was a member when it last ran.
    Member,
}

/// Who a data folder is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    /// The cluster; 0 while `Drawn`.
    pub cluster: ClusterId,
    /// The cluster's name; empty while `Drawn`.
    pub cluster_name: String,
    /// The node id; 0 while `Drawn`.
    pub node: NodeId,
    /// The data folder.
    pub incarnation: Incarnation,
    /// How far it has come.
    pub stage: Stage,
}

impl Identity {
    /// A new data folder that will ask a cluster for its place.
    pub fn draw(incarnation: Incarnation) -> Identity {
        Identity {
            cluster: ClusterId(0),
            cluster_name: String::new(),
            node: NodeId(0),
            incarnation,
            stage: Stage::Drawn,
        }
    }

    /// A new data folder that will found a cluster.
    pub fn found(cluster: ClusterId, cluster_name: String, incarnation: Incarnation) -> Identity {
        Identity {
            cluster,
            cluster_name,
            node: NodeId(1),
            incarnation,
            stage: Stage::Founding,
        }
    }

    /// The identity with the place that a cluster gave it.
    #[must_use]
    pub fn join(self, cluster: ClusterId, cluster_name: String, node: NodeId) -> Identity {
        Identity {
            cluster,
            cluster_name,
            node,
            stage: Stage::Joining,
            ..self
        }
    }
}

/// Why there is no identity to be had.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum IdentityError {
    /// The file is not what was written.
    #[error("the file `identity` of the data folder is damaged")]
    Corrupt,
    /// The file is of a version that this one does not know.
    #[error("the data folder is of format {found}, this version knows format 1")]
    TooNew {
        /// The version that was found.
        found: u8,
    },
    /// The disk refused.
    #[error("the data folder cannot be used: {0}")]
    Disk(String),
}

impl IdentityError {
    /// The stable code.
    pub fn code(&self) -> ErrorCode {
        match self {
            IdentityError::Corrupt => ErrorCode::DataCorrupt,
            IdentityError::TooNew { .. } => ErrorCode::FormatTooNew,
            IdentityError::Disk(_) => ErrorCode::DataUnusable,
        }
    }
}
