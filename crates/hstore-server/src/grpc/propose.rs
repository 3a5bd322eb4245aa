//! A command on its way from a door through the node.

use hstore_core::command::{Command, Proposal};
use hstore_core::error::ErrorCode;
use hstore_core::machine::TOLD_BYTES_MAX;
use hstore_core::outcome::{Refusal, Reply};
use hstore_node::{Header, Node};
use hstore_proto::status;
use tonic::Status;

use super::call::{Call, node_error};
use crate::meter::PROPOSALS_FAILED;

/// Proposes a command; what came of it, with the revision of the command itself, also when this
/// answer is the repetition of one. One that is done and too large to be told is an error.
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
    if outcome.result == Ok(Reply::Untold) {
        let what = format!(
            "the request was done, at revision {}; what came of it takes more than {} MiB and is not told",
            outcome.revision,
            TOLD_BYTES_MAX >> 20
        );
        return Err(status::failure(ErrorCode::AnswerUntold, what));
    }
    let header = Header {
        revision: outcome.revision,
        ..header
    };
    Ok((header, outcome.result))
}
