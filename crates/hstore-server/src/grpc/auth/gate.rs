//! What the door asks of every call before anybody else sees it: the line of the table, and who
//! calls.
//!
//! It decides nothing about keys; that is done where the store is, on the state that a command or a
//! read meets. Invariants: (1) a call that passes had what its line needs in a state that this node
//! has applied, and none older than its token; (2) a call is refused as of everything that was
//! committed before it came: somebody whom another node was told to let in is not shown out by one
//! that has not heard of it yet. A node that cannot catch up refuses as of what it knows, which never
//! lets in who should stay out.

use std::time::Duration;

use hstore_core::auth::{Auth, AuthRefusal, Author};
use hstore_node::Node;
use hstore_proto::status;
use tokio::time::Instant;
use tonic::Status;
use tonic::codegen::http::HeaderMap;

use super::identity::{Unknown, claims_newer, identify};
use crate::grpc::access::Need;
use crate::grpc::call::{deadline_of, node_error};

/// How long a refusal waits for news that would make it none. Without a majority there are none.
const NEWS_MAX: Duration = Duration::from_secs(1);

/// What becomes of a call.
pub(in crate::grpc) enum Verdict {
    /// It goes on.
    Pass,
    /// It would not as of what this node has applied: `settle` catches up and tells.
    Doubt(Doubt),
}

/// Why a call does not go on at once.
pub(in crate::grpc) enum Doubt {
    /// Its token says that it is newer than what this node has applied.
    Newer,
    /// It would be refused with this.
    Refused(Status),
}

/// Decides about a call as of what this node has applied.
pub(in crate::grpc) fn check(node: &Node, need: Need, headers: &HeaderMap) -> Verdict {
    if need == Need::Anyone {
        return Verdict::Pass;
    }
    let auth = node.auth();
    // A node that starts may not have come to where everybody began to be asked.
    if !auth.is_enabled() && claims_newer(headers, &auth) {
        return Verdict::Doubt(Doubt::Newer);
    }
    match decide(node, need, headers) {
        Ok(()) => Verdict::Pass,
        Err(doubt) => Verdict::Doubt(doubt),
    }
}

fn decide(node: &Node, need: Need, headers: &HeaderMap) -> Result<(), Doubt> {
    let auth = node.auth();
    match identify(headers, node.cluster_id(), &auth) {
        Ok(author) => {
            meets(&auth, need, &author).map_err(|refusal| Doubt::Refused(refused(refusal)))
        }
        Err(Unknown::Behind) => Err(Doubt::Newer),
        Err(unknown) => Err(Doubt::Refused(unknown.status())),
    }
}

/// Catches up with what was committed, which every honest token was made from, and decides again.
pub(in crate::grpc) async fn settle(
    node: &Node,
    need: Need,
    headers: &HeaderMap,
    doubt: Doubt,
) -> Result<(), Status> {
    let mut deadline: Instant = deadline_of(headers);
    if matches!(doubt, Doubt::Refused(_)) {
        deadline = deadline.min(Instant::now() + NEWS_MAX);
    }
    if let Err(error) = node.caught_up(deadline).await {
        return Err(match doubt {
            Doubt::Newer => node_error(&error),
            Doubt::Refused(status) => status,
        });
    }
    decide(node, need, headers).map_err(|doubt| match doubt {
        Doubt::Newer => Unknown::Behind.status(),
        Doubt::Refused(status) => status,
    })
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
    use hstore_proto::etcdserverpb::AuthDisableRequest;
    use hstore_proto::metadata;
    use tonic::codegen::http::HeaderValue;

    use super::*;
    use crate::grpc::auth::token::Claims;
    use crate::grpc::tests::auth::{guarded, with};
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
            let Verdict::Doubt(doubt) = verdict else {
                panic!("it has not caught up");
            };
            assert!(matches!(doubt, Doubt::Newer));
            let settled = settle(&world.node, Need::User, &newer, doubt).await;
            settled.unwrap();
        }
        let nothing = HeaderMap::new();
        assert!(matches!(
            check(&world.node, Need::User, &nothing),
            Verdict::Pass
        ));
    }
    fn refusal(verdict: Verdict) -> Doubt {
        match verdict {
            Verdict::Doubt(doubt @ Doubt::Refused(_)) => doubt,
            _ => panic!("it is refused"),
        }
    }

    /// What another node acknowledged before the call came holds for it, too.
    #[tokio::test]
    async fn who_is_refused_is_let_in_if_that_was_committed_before_it_could_be_applied_here() {
        let (world, root) = guarded().await;
        let nothing = HeaderMap::new();
        let early = refusal(check(&world.node, Need::Keys, &nothing));
        let late = refusal(check(&world.node, Need::Keys, &nothing));
        let settled = settle(&world.node, Need::Keys, &nothing, early).await;
        assert_eq!(settled.unwrap_err().code(), tonic::Code::InvalidArgument);
        let disable = with(&root, AuthDisableRequest {});
        world.auth().auth_disable(disable).await.unwrap();
        let settled = settle(&world.node, Need::Keys, &nothing, late).await;
        settled.unwrap();
    }

    #[tokio::test]
    async fn a_node_that_cannot_catch_up_refuses_as_of_what_it_knows() {
        let (world, _root) = guarded().await;
        let nothing = HeaderMap::new();
        let doubt = refusal(check(&world.node, Need::Keys, &nothing));
        world.node.stop(Instant::now()).await;
        let settled = settle(&world.node, Need::Keys, &nothing, doubt).await;
        assert_eq!(settled.unwrap_err().code(), tonic::Code::InvalidArgument);
    }
}
