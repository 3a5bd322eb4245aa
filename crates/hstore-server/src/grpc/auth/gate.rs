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

use super::identity::{Unknown, claims_newer, identify};
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
    // A node that starts may not have come to where everybody began to be asked.
    if !auth.is_enabled() && claims_newer(headers, &auth) {
        return Verdict::Wait;
    }
    decide(node, need, headers)
}

fn decide(node: &Node, need: Need, headers: &HeaderMap) -> Verdict {
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
    match decide(node, need, headers) {
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

#[cfg(test)]
mod tests {
    use hstore_core::auth::TokenKey;
    use hstore_core::id::AuthRevision;
    use hstore_proto::metadata;
    use tonic::codegen::http::HeaderValue;

    use super::*;
    use crate::grpc::auth::token::Claims;
    use crate::grpc::tests::world;

    /// It was asked for elsewhere, where everybody is asked already; here it would make its holder
    /// nobody.
    #[tokio::test]
    async fn a_token_is_passed_over_where_nobody_is_asked_only_after_this_node_has_caught_up() {
        let world = world().await;
        let revision = world.node.auth().revision();
        let shown = |revision: u64| {
            let claims = Claims {
                name: "u".into(),
                revision: AuthRevision(revision),
                expires_s: u64::MAX,
            };
            let token = claims.sign(&TokenKey([1; 32]), world.node.cluster_id());
            let mut headers = HeaderMap::new();
            headers.insert(metadata::TOKEN, HeaderValue::from_str(&token).unwrap());
            headers
        };
        let old = shown(revision.0 - 1);
        assert!(matches!(
            check(&world.node, Need::User, &old),
            Verdict::Pass
        ));
        for newer in [shown(revision.0), shown(revision.0 + 7)] {
            let verdict = check(&world.node, Need::User, &newer);
            assert!(matches!(verdict, Verdict::Wait));
            wait(&world.node, Need::User, &newer).await.unwrap();
        }
        let nothing = HeaderMap::new();
        assert!(matches!(
            check(&world.node, Need::User, &nothing),
            Verdict::Pass
        ));
    }
}
