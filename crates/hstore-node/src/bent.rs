//! The planted bugs of a node that decides where it is asked what only the log can decide.
//!
//! Invariant: without the feature `planted` nothing here does anything.

use hstore_core::auth::Author;
use hstore_core::command::{Command, Proposal};
use hstore_core::key::KeyRange;
use hstore_core::outcome::{Outcome, Refusal};
use hstore_core::planted::{self, Bug};

use crate::inner::Inner;
use crate::node::Node;

/// The proposal as it is sent on: of somebody who may do it now, the node's own.
pub(crate) fn vouched(node: &Node, mut proposal: Proposal) -> Proposal {
    if planted::is(Bug::RightsJudgedWhenAsked)
        && let Command::Put(put) = &proposal.command
        && !put.prev_kv
    {
        let keys = KeyRange::One(put.key.clone());
        if node.auth().check_write(&proposal.author, &keys).is_ok() {
            proposal.author = Author::Node;
        }
    }
    proposal
}

/// What a node answers that has no room itself, and asks nobody.
pub(crate) fn refused_here(inner: &Inner, proposal: &Proposal) -> Option<Outcome> {
    if !planted::is(Bug::AlarmOnlyLocal) || !matches!(proposal.command, Command::Put(_)) {
        return None;
    }
    let quota = inner.effective().quota_bytes?;
    let stats = inner.consensus.store().stats();
    (stats.room_bytes() > quota).then_some(Outcome {
        revision: stats.revision,
        result: Err(Refusal::NoSpace),
    })
}
