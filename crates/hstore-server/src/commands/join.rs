//! `join`: a node that becomes a member of a running cluster.

use crate::fault::{Exit, Fault};
use crate::grammar::{Join, Output};
use crate::place::Intent;

/// Starts a node that joins.
pub(super) async fn run(join: Join, output: Output) -> Result<Exit, Fault> {
    let intent = Intent::Join { host: join.host };
    super::start::launch_node(join.launch, intent, output).await
}
