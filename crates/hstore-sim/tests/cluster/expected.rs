//! Members that are expected before they start, and learners that wait to be promoted.

use hstore_core::auth::Author;
use hstore_core::error::ErrorCode;
use hstore_core::id::NodeId;
use hstore_node::{JoinProgress, Node, NodeError};
use tokio::time::sleep;

use hstore_sim::world::{World, run, soon, until, write};

async fn expect(node: &Node, address: String, learner: bool) -> Result<NodeId, NodeError> {
    node.expect_member(&Author::Node, address, learner, soon())
        .await
}

/// Starts a seat and has the cluster add it; what came last of that.
async fn join(world: &World, at: usize, through: &Node) -> (Node, Option<JoinProgress>) {
    world.allocate(at, through, soon()).await.unwrap();
    let node = world.start(at).await;
    let mut events = through.add_member(world.id(at), world.member(at), soon());
    let mut last = None;
    while let Some(event) = events.recv().await {
        last = Some(event.unwrap());
    }
    (node, last)
}

#[test]
fn an_expected_member_is_the_one_that_starts_at_its_address() {
    run(60, async |world| {
        let nodes = world.cluster(1).await;
        let at = world.seat();
        let id = expect(&nodes[0], world.address(at), false).await.unwrap();
        let twice = expect(&nodes[0], world.address(at), false).await;
        assert_eq!(twice.unwrap_err().code(), ErrorCode::TooFewStarted);
        let twice = expect(&nodes[0], world.address(at), true).await;
        assert_eq!(twice.unwrap_err().code(), ErrorCode::PeerAddressTaken);
        let mine = expect(&nodes[0], world.address(0), false).await;
        assert_eq!(mine, Err(NodeError::AddressTaken(world.id(0))));
        // It counts for no quorum.
        write(&nodes[0], "k", "v").await.unwrap();
        let promoted = nodes[0].promote_member(id, soon()).await;
        assert_eq!(promoted, Err(NodeError::NotReady(id)));
        let (node, last) = join(&world, at, &nodes[0]).await;
        assert_eq!((world.id(at), last), (id, Some(JoinProgress::Voter)));
        assert!(nodes[0].notices().expected.is_empty());
        assert!(!node.is_learner());
        let again = nodes[0].promote_member(id, soon()).await;
        assert_eq!(again, Err(NodeError::NotALearner(id)));
        world.settle().await;
    });
}

#[test]
fn a_learner_gets_its_vote_when_it_is_promoted_and_not_before() {
    run(61, async |world| {
        let nodes = world.cluster(2).await;
        let at = world.seat();
        let other = (world.led().await + 1) % 2;
        // Through whichever node: the leader decides.
        let id = expect(&nodes[other], world.address(at), true)
            .await
            .unwrap();
        let (node, last) = join(&world, at, &nodes[other]).await;
        assert_eq!((world.id(at), last), (id, Some(JoinProgress::Waits)));
        assert!(node.is_learner() && !nodes[other].is_learner());
        // Asking again does not promote it either, and a restart forgets nothing.
        world.crash(at).await;
        let node = world.start(at).await;
        assert_eq!(
            nodes[other]
                .transfer_leader(Some(id), soon())
                .await
                .unwrap_err()
                .code(),
            ErrorCode::CannotLead
        );
        let promoted = until_promoted(&nodes[other], id).await;
        assert_eq!(promoted, Ok(()));
        until("it votes", || (!node.is_learner()).then_some(())).await;
        world.settle().await;
    });
}

/// Promotes as soon as the learner is in sync.
async fn until_promoted(node: &Node, id: NodeId) -> Result<(), NodeError> {
    for _ in 0..100 {
        match node.promote_member(id, soon()).await {
            Err(error) if error.code() == ErrorCode::LearnerNotReady => {
                sleep(std::time::Duration::from_millis(100)).await;
            }
            result => return result,
        }
    }
    Err(NodeError::Timeout)
}

#[test]
fn a_learner_that_does_not_run_is_not_promoted() {
    run(62, async |world| {
        let nodes = world.cluster(1).await;
        let at = world.seat();
        let id = expect(&nodes[0], world.address(at), true).await.unwrap();
        let (_node, _last) = join(&world, at, &nodes[0]).await;
        world.crash(at).await;
        sleep(std::time::Duration::from_secs(3)).await;
        let refused = nodes[0].promote_member(id, soon()).await;
        assert_eq!(refused, Err(NodeError::NotReady(id)));
        let unknown = nodes[0].promote_member(NodeId(999), soon()).await;
        assert_eq!(unknown.unwrap_err().code(), ErrorCode::NodeNotFound);
    });
}

#[test]
fn an_expected_member_moves_and_goes_like_any_other() {
    run(63, async |world| {
        let nodes = world.cluster(3).await;
        let id = expect(&nodes[0], "a:1".to_owned(), false).await.unwrap();
        let node = &nodes[1];
        let taken = node
            .update_member(&Author::Node, id, world.address(2), soon())
            .await;
        assert_eq!(taken, Err(NodeError::AddressTaken(world.id(2))));
        node.update_member(&Author::Node, id, "b:1".to_owned(), soon())
            .await
            .unwrap();
        node.caught_up(soon()).await.unwrap();
        assert_eq!(node.notices().expected[&id].peer_address, "b:1");
        nodes[2].remove_member(id, soon()).await.unwrap();
        let gone = nodes[0].remove_member(id, soon()).await;
        assert_eq!(gone.unwrap_err().code(), ErrorCode::NodeNotFound);
        let gone = nodes[0]
            .update_member(&Author::Node, id, "c:1".to_owned(), soon())
            .await;
        assert_eq!(gone, Err(NodeError::MemberNotFound(id)));
        let next = expect(&nodes[0], "a:1".to_owned(), false).await.unwrap();
        assert!(next > id, "no id is given twice");
    });
}

#[test]
fn nobody_is_expected_while_a_voter_is_down() {
    run(64, async |world| {
        let nodes = world.cluster(3).await;
        let leader = world.led().await;
        world.crash((leader + 1) % 3).await;
        sleep(std::time::Duration::from_secs(3)).await;
        for learner in [false, true] {
            let refused = expect(&nodes[leader], "a:1".to_owned(), learner).await;
            assert_eq!(refused.unwrap_err().code(), ErrorCode::ClusterUnhealthy);
        }
    });
}
