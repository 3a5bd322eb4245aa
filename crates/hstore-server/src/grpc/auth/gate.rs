//! What the door asks of every call before anybody else sees it: the line of the table, and who
//! calls.
//!
//! It decides nothing about keys; that is done where the store is, on the state that a command or a
//! read meets. Invariant: a call that passes had what its line needs in a state that this node has
//! applied, and none older than its token.

use hstore_core::auth::{Auth, AuthRefusal, Author};
use hstore_node::Node;
use hstore_proto::status;
use tokio::time::Instant;
use tonic::Status;
use tonic::codegen::http::HeaderMap;

use super::identity::{Unknown, identify};
use crate::grpc::access::Need;
use crate::grpc::call::{deadline_of, node_error};

/// What becomes of a call.
pub(in crate::grpc) enum Verdict {
    /// It goes on.
    Pass,
    /// It is answered with this.
    Refuse(Status),
    /// Its token says that it is newer than what this node has applied: `wait` tells.
    Wait,
}

/// Decides about a call as of what this node has applied.
pub(in crate::grpc) fn check(node: &Node, need: Need, headers: &HeaderMap) -> Verdict {
    if need == Need::Anyone {
        return Verdict::Pass;
    }
    let auth = node.auth();
    match identify(headers, node.cluster_id(), &auth) {
        Ok(author) => match meets(&auth, need, &author) {
            Ok(()) => Verdict::Pass,
            Err(refusal) => Verdict::Refuse(refused(refusal)),
        },
        Err(Unknown::Behind) => Verdict::Wait,
        Err(unknown) => Verdict::Refuse(unknown.status()),
    }
}

/// Catches up with what was committed, which every honest token was made from, and decides again.
pub(in crate::grpc) async fn wait(
    node: &Node,
    need: Need,
    headers: &HeaderMap,
) -> Result<(), Status> {
    let deadline: Instant = deadline_of(headers);
    let caught_up = node.caught_up(deadline).await;
    caught_up.map_err(|error| node_error(&error))?;
    match check(node, need, headers) {
        Verdict::Pass => Ok(()),
        Verdict::Refuse(status) => Err(status),
        Verdict::Wait => Err(Unknown::Behind.status()),
    }
}

/// Whether somebody is root now: as of everything that was committed before. For what is no command
/// of the machine and so cannot be judged where it is applied: changes of voters and leadership.
pub(in crate::grpc) async fn check_root_now(
    node: &Node,
    author: &Author,
    deadline: Instant,
) -> Result<(), Status> {
    let caught_up = node.caught_up(deadline).await;
    caught_up.map_err(|error| node_error(&error))?;
    node.auth().check_root(author).map_err(refused)
}

fn meets(auth: &Auth, need: Need, author: &Author) -> Result<(), AuthRefusal> {
    match need {
        Need::Anyone => Ok(()),
        Need::Keys | Need::Own | Need::User => auth.check_user(author),
        Need::Root => auth.check_root(author),
    }
}

/// A refusal on its way to the client.
pub(in crate::grpc) fn refused(refusal: AuthRefusal) -> Status {
    status::failure(refusal.code(), refusal)
}
