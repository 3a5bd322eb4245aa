//! A command on its way from a door through the node.

use hstore_core::command::{Command, Proposal};
use hstore_core::outcome::{Refusal, Reply};
use hstore_node::{Header, Node};
use tonic::Status;

use super::call::{Call, node_error};
use crate::meter::PROPOSALS_FAILED;

/// Proposes a command; what came of it, with the revision of the command itself, also when this
/// answer is the repetition of one.
pub(super) async fn propose(
    node: &Node,
    call: Call,
    command: Command,
) -> Result<(Header, Result<Reply, Refusal>), Status> {
    let proposal = Proposal {
        request: call.request,
        author: call.author,
        command,
    };
    let (header, outcome) = node
        .propose(proposal, call.deadline)
        .await
        .map_err(|error| {
            PROPOSALS_FAILED.add_one();
            node_error(&error)
        })?;
    let header = Header {
        revision: outcome.revision,
        ..header
    };
    Ok((header, outcome.result))
}
