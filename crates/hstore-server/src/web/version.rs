//! Which version this is: what etcd says, and ours.

use hstore_node::Node;
use hyper::Response;
use serde_json::json;
use tonic::body::Body;

use super::page;
use crate::grpc::ETCD_VERSION;

/// The page `/version`.
pub(super) fn version(node: &Node) -> Response<Body> {
    let told = json!({
        "etcdserver": ETCD_VERSION,
        "etcdcluster": ETCD_VERSION,
        "storage": ETCD_VERSION,
        "hstore": node.status().version,
    });
    page("application/json", told.to_string())
}
