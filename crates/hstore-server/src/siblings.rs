//! The other nodes of this machine: one that is stopped is started as by hand, by a process of its
//! own that ends when the node is ready, so that the node is nobody's child.
//!
//! Invariant: only what the registry of this user knows is ever started, with the settings of its
//! last start.

use std::process::Stdio;
use std::time::Duration;

use hstore_client::local::{Registry, RunningNode};
use hstore_core::error::ErrorCode;
use hstore_core::id::{ClusterId, NodeId};
use hstore_proto::hstore::v1::StartResponse;
use hstore_proto::status;
use tokio::process::Command;
use tokio::time::timeout;
use tonic::Status;

use crate::serve;

/// How long a node may take until it is ready.
const START_TIMEOUT: Duration = Duration::from_mins(1);

/// The longest complaint of a node that does not start that is passed on, in bytes.
const COMPLAINT_BYTES_MAX: usize = 1024;

/// Whether a node is one of this machine that is stopped.
pub(crate) fn is_stopped(cluster: ClusterId, node: NodeId) -> bool {
    known(cluster, node).is_some_and(|found| !found.is_alive())
}

fn known(cluster: ClusterId, node: NodeId) -> Option<RunningNode> {
    let cluster = cluster.to_string();
    let mut known = Registry::of_this_user().known().into_iter();
    known.find(|other| other.cluster_id == cluster && other.node_id == node.0)
}

/// Starts a stopped node of this machine.
pub(crate) async fn start(cluster: ClusterId, node: NodeId) -> Result<StartResponse, Status> {
    let Some(found) = known(cluster, node) else {
        let what = format!("node {node} was never started on this machine");
        return Err(status::failure(ErrorCode::NodeNotFound, what));
    };
    if found.is_alive() {
        let what = format!("node {} runs already", found.name);
        return Err(status::failure(ErrorCode::DataInUse, what));
    }
    let program = serve::program().map_err(|fault| failed(&fault.to_string()))?;
    let run = Command::new(program)
        .args(serve::recorded(&found.data))
        .arg("--detach")
        .stdin(Stdio::null())
        .kill_on_drop(true)
        .output();
    let ended = match timeout(START_TIMEOUT, run).await {
        Ok(Ok(ended)) => ended,
        Ok(Err(error)) => return Err(failed(&format!("its process cannot be started: {error}"))),
        Err(_elapsed) => {
            let what = format!("node {} is not ready yet", found.name);
            return Err(status::failure(ErrorCode::Timeout, what));
        }
    };
    if !ended.status.success() {
        let told = String::from_utf8_lossy(&ended.stderr);
        let told: String = told.chars().take(COMPLAINT_BYTES_MAX).collect();
        return Err(failed(told.trim()));
    }
    // It may be at another address than before.
    let now = known(cluster, node).unwrap_or(found);
    tracing::info!(
        node = now.name,
        "a stopped node of this machine was started"
    );
    Ok(StartResponse {
        name: now.name,
        client_address: now.client_address,
    })
}

fn failed(why: &str) -> Status {
    status::failure(
        ErrorCode::Internal,
        format!("the node does not start: {why}"),
    )
}
