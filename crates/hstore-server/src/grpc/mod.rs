//! The doors of the client port: etcd's KV, Watch, Lease, Auth, Lock, Election, Cluster and Maintenance, and
//! hstore's own Cluster, Node and Kv services, all over one node.
//!
//! A handler parses, calls one method of the node, renders. It must never hold a rule of the
//! store. Invariants: (1) every call has a deadline; (2) every error carries a stable code;
//! (3) nothing that a caller sends makes this room hold more than one request of bounded size;
//! (4) what has no line in the table of `access` cannot be called.

mod access;
mod auth;
mod budget;
mod call;
mod cluster;
mod described;
mod door;
mod election;
mod health;
mod history;
mod kv;
mod lease;
mod lifecycle;
mod lock;
mod maintenance;
mod meant;
mod member;
mod members;
mod methods;
mod propose;
mod range_stream;
mod reflection;
mod render;
mod settings;
mod snapshot;
#[cfg(test)]
pub(crate) mod tests;
mod unary;
mod watch;

pub(crate) use access::Need;
#[cfg(test)]
pub(crate) use access::{TABLE, place};
pub(crate) use budget::{Source, Whole};
pub(crate) use described::DESCRIBED;
pub use door::Doors;
pub(crate) use door::{Answer, Door, is_grpc};
pub use lifecycle::Lifecycle;
pub(crate) use maintenance::ETCD_VERSION;
pub(crate) use methods::{METHODS, Method, UNARY, is_stream, methods};
pub(crate) use render::{description, problems};
pub use settings::StartSettings;
pub(crate) use unary::is_light;
