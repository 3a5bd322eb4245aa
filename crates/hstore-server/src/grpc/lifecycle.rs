//! The process and its siblings, as far as a door needs to know.

use futures::FutureExt as _;
use futures::future::BoxFuture;
use hstore_core::error::ErrorCode;
use hstore_core::id::{ClusterId, NodeId};
use hstore_proto::hstore::v1::StartResponse;
use hstore_proto::status;
use tonic::Status;

/// Ends the process. Each method asks and returns at once; the answer travels before the end.
pub trait Lifecycle: Send + Sync {
    /// Stops: with grace the leadership is handed over and what waits is drained; without, only
    /// what is on its way to the disk gets there.
    fn stop(&self, graceful: bool);

    /// Ends at once, as SIGKILL would.
    fn kill(&self);

    /// Stops gracefully, then starts again with the recorded settings.
    fn restart(&self);

    /// Whether a member is a stopped node of this machine. A program that knows of no other nodes
    /// knows of none.
    fn is_stopped_here(&self, _cluster: ClusterId, _node: NodeId) -> bool {
        false
    }

    /// Starts a stopped node of this machine, and waits until it is ready. A program that knows of
    /// no other nodes refuses.
    fn start(
        &self,
        _cluster: ClusterId,
        _node: NodeId,
    ) -> BoxFuture<'static, Result<StartResponse, Status>> {
        let what = "this node knows of no other nodes of its machine";
        std::future::ready(Err(status::failure(ErrorCode::NodeNotFound, what))).boxed()
    }
}
