//! How the doors ask the process to end: one bounded queue that the main task listens to.
//!
//! Invariant: the first request decides; a later, harsher one makes it faster, never undoes it.

use futures::FutureExt as _;
use futures::future::BoxFuture;
use hstore_core::id::{ClusterId, NodeId};
use hstore_proto::hstore::v1::StartResponse;
use tokio::sync::mpsc;
use tonic::Status;

use crate::siblings;

/// How the process is asked to end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ending {
    /// At once, as `SIGKILL` would.
    Kill,
    /// Gracefully, and then start again with the recorded settings.
    Restart,
    /// Refuse new work, hand the leadership over, drain, sync, exit.
    Stop,
    /// Like `Stop`, but with no time for the drain.
    StopNow,
}

/// Requests that wait to be seen. When it is full the process is ending already, so one more is
/// dropped.
const WAITING_MAX: usize = 8;

/// Asks the process to end.
#[derive(Clone, Debug)]
pub(crate) struct Control {
    sender: mpsc::Sender<Ending>,
}

impl Control {
    /// A control and the end that the main task listens to.
    pub(crate) fn new() -> (Control, mpsc::Receiver<Ending>) {
        let (sender, receiver) = mpsc::channel(WAITING_MAX);
        (Control { sender }, receiver)
    }

    /// Asks; returns at once.
    pub(crate) fn end(&self, ending: Ending) {
        // Full: as many requests wait as anyone could want. Closed: the process is ending.
        let _dropped = self.sender.try_send(ending);
    }
}

impl crate::grpc::Lifecycle for Control {
    fn stop(&self, graceful: bool) {
        self.end(if graceful {
            Ending::Stop
        } else {
            Ending::StopNow
        });
    }

    fn kill(&self) {
        self.end(Ending::Kill);
    }

    fn restart(&self) {
        self.end(Ending::Restart);
    }

    fn is_stopped_here(&self, cluster: ClusterId, node: NodeId) -> bool {
        siblings::is_stopped(cluster, node)
    }

    fn start(
        &self,
        cluster: ClusterId,
        node: NodeId,
    ) -> BoxFuture<'static, Result<StartResponse, Status>> {
        siblings::start(cluster, node).boxed()
    }
}
