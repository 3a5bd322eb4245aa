//! One replica: consensus, proposals, reads, membership and status over the store below it.
//!
//! It must never learn of a socket, a file, the time of day or a thread: those are ports (see
//! [`Env`]), so that a test runs a whole cluster in one thread on a clock that it moves.

mod ageing;
mod answers;
mod backup;
mod bent;
mod claim;
mod config;
mod env;
mod error;
mod expiry;
mod fate;
mod follow;
mod identity;
mod inner;
mod keeper;
mod maintenance;
mod members;
mod node;
mod page;
mod peer;
mod propose;
mod quota;
mod raft;
mod read;
mod serve;
mod settings;
mod start;
mod status;
mod tasks;
mod upkeep;
mod watch;
mod wire;

pub use answers::Allowance;
pub use backup::Backup;
pub use claim::{Claim, ClaimError, ClaimKind, ClaimLease, Claiming, Holding, Observation};
pub use config::{KeepHistory, NodeConfig};
pub use env::{
    Class, Duplex, Env, FRAME_BYTES_MAX, FRAMES_IN_FLIGHT_MAX, Gate, Hello, HelloError,
    InlineLanes, Job, Lane, LaneClosed, Lanes, PeerAddress, Transport, TransportError, WallClock,
};
pub use error::{AcceptError, NodeError, StartError, StopReason};
pub use follow::{Guest, Journey, Moments, follow, follow_along};
pub use identity::{Identity, IdentityError, Stage};
pub use node::Node;
pub use peer::RoundTrips;
pub use raft::proposals_of;
pub use settings::Effective;
pub use status::{
    Allocation, Consistency, Header, JoinProgress, Lease, MemberAnswer, MemberStatus, NodeStatus,
    Role, Standing, StoreStatus, WatchStatus,
};
pub use watch::{CancelReason, Delivery, Event, WatchId, WatchRefusal, WatchRequest, WatchStream};
