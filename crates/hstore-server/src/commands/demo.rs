//! `demo`, and what its processes are started as.

use crate::demo;
use crate::fault::{Exit, Fault};
use crate::grammar::{Demo, DemoNode, DemoWarden, Output};

/// Shows a cluster.
pub(super) async fn run(demo: &Demo, output: Output) -> Result<Exit, Fault> {
    // Boxed: it is large, and is held by everything that calls this.
    Box::pin(demo::run(demo, output)).await
}

/// Is a node of a demo.
pub(super) async fn run_node(node: DemoNode) -> Result<Exit, Fault> {
    demo::node::run(node).await
}

/// Tidies up after a demo.
pub(super) fn run_warden(warden: &DemoWarden) -> Result<Exit, Fault> {
    // It waits on this thread: there is nothing else to do in this process.
    tokio::task::block_in_place(|| demo::warden::run(warden))
}
