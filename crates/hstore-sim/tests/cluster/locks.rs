//! Claims: locks that are waited for at a node, whatever happens to nodes meanwhile.

use std::time::Duration;

use hstore_core::auth::{
    Access, AuthCommand, AuthRefusal, Author, Identity, PasswordHash, Permission, TokenKey,
};
use hstore_core::command::{Command, GrantLease, Proposal};
use hstore_core::key::KeyRange;
use hstore_core::outcome::Refusal;
use hstore_node::{Claim, ClaimError, ClaimKind, ClaimLease, Claiming, Node};
use tokio::time::{Instant, sleep, timeout};

use hstore_sim::world::{World, everything, run, soon};

/// An election, the end of a short lease, and a little.
const SOON: Duration = Duration::from_secs(15);

async fn ask(node: &Node, command: Command) {
    let proposal = Proposal {
        request: None,
        author: Author::Node,
        command,
    };
    let (_header, outcome) = node.propose(proposal, soon()).await.unwrap();
    outcome.result.unwrap();
}

async fn grant(node: &Node, lease: i64, ttl: i64) {
    ask(node, Command::GrantLease(GrantLease { lease, ttl })).await;
}

async fn stand(node: &Node, lease: i64, within: Option<Duration>) -> Claiming {
    stand_as(Author::Nobody, node, lease, within).await
}

async fn stand_as(author: Author, node: &Node, lease: i64, within: Option<Duration>) -> Claiming {
    let claim = Claim {
        author,
        name: "l".into(),
        lease: ClaimLease::Named(lease),
        kind: ClaimKind::Lock,
    };
    let deadline = within.map(|within| Instant::now() + within);
    let mut claiming = node.claim(claim, deadline, false).unwrap();
    claiming.joined().await;
    claiming
}

/// Cuts one place off from the two others.
fn cut_off(world: &World, at: usize) {
    let addresses = world.addresses();
    let others = addresses
        .iter()
        .enumerate()
        .filter(|(other, _)| *other != at);
    let others: Vec<&str> = others.map(|(_, address)| address.as_str()).collect();
    let _rules = world.net.cut(&addresses[at], &others);
}

#[test]
fn the_lock_of_a_lost_holder_goes_to_the_next_whoever_leads() {
    for seed in 60..64 {
        run(seed, async |world| {
            let nodes = world.cluster(3).await;
            let leader = world.led().await;
            let other = &nodes[(leader + 1) % 3];
            grant(other, 1, 4).await;
            grant(other, 2, 600).await;
            let first = stand(&nodes[leader], 1, None).await;
            let first = timeout(SOON, first.answer()).await.unwrap().unwrap();
            let second = stand(other, 2, None).await;
            world.crash(leader).await;
            let second = timeout(SOON, second.answer()).await.unwrap().unwrap();
            assert!(second.token > first.token);
            assert!(second.header.revision >= second.token);
            world.start(leader).await;
            world.settle().await;
        });
    }
}

#[test]
fn a_waiter_that_is_cut_off_is_granted_nothing_until_it_can_see() {
    run(64, async |world| {
        let nodes = world.cluster(3).await;
        let leader = world.led().await;
        let (here, there) = ((leader + 1) % 3, (leader + 2) % 3);
        grant(&nodes[there], 1, 600).await;
        grant(&nodes[there], 2, 600).await;
        let first = stand(&nodes[there], 1, None).await.answer().await.unwrap();
        let second = stand(&nodes[here], 2, None).await;
        cut_off(&world, here);
        let given = nodes[there].resign(&Author::Nobody, &first.key, first.token, soon());
        given.await.unwrap();
        let mut second = std::pin::pin!(second.answer());
        assert!(timeout(SOON, &mut second).await.is_err());
        world.net.heal();
        timeout(SOON, second).await.unwrap().unwrap();
    });
}

#[test]
fn a_key_that_could_not_be_taken_away_without_a_majority_goes_when_there_is_one() {
    run(65, async |world| {
        let nodes = world.cluster(3).await;
        let leader = world.led().await;
        let (here, there) = ((leader + 1) % 3, (leader + 2) % 3);
        grant(&nodes[here], 1, 600).await;
        grant(&nodes[here], 2, 600).await;
        stand(&nodes[there], 1, None).await.answer().await.unwrap();
        let late = stand(&nodes[here], 2, Some(Duration::from_secs(2))).await;
        cut_off(&world, here);
        let late = timeout(SOON, late.answer()).await.unwrap();
        assert_eq!(late, Err(ClaimError::NotInTime));
        assert_eq!(everything(&nodes[there]).await.len(), 2);
        world.net.heal();
        let began = Instant::now();
        while everything(&nodes[there]).await.len() > 1 {
            assert!(began.elapsed() < SOON);
            sleep(Duration::from_millis(50)).await;
        }
        world.settle().await;
    });
}

/// From now on users count: `locker` may do everything under `l/`, `stranger` nothing.
async fn guard(node: &Node) {
    let user = |name: &str| AuthCommand::UserAdd {
        name: name.into(),
        password: Some(PasswordHash::new("hash")),
    };
    let role_of = |user: &str, role: &str| AuthCommand::GrantRole {
        user: user.into(),
        role: role.into(),
    };
    let permission = Permission {
        keys: KeyRange::prefix(&"l/".into()),
        access: Access::ReadWrite,
    };
    for command in [
        user("root"),
        role_of("root", "root"),
        user("stranger"),
        user("locker"),
        AuthCommand::RoleAdd {
            name: "locks".into(),
        },
        AuthCommand::GrantPermission {
            role: "locks".into(),
            permission,
        },
        role_of("locker", "locks"),
        AuthCommand::Enable {
            key: TokenKey([7; 32]),
        },
    ] {
        ask(node, Command::Auth(command)).await;
    }
}

#[test]
fn a_claim_has_the_rights_of_its_author_for_as_long_as_it_waits() {
    run(66, async |world| {
        let nodes = world.cluster(3).await;
        let node = &nodes[(world.led().await + 1) % 3];
        guard(node).await;
        node.caught_up(soon()).await.unwrap();
        let user = |name: &str| {
            Author::User(Identity {
                name: name.into(),
                revision: node.auth().revision(),
            })
        };
        for lease in 1..4 {
            grant(node, lease, 600).await;
        }
        let denied = Err(ClaimError::Refused(Refusal::Auth(
            AuthRefusal::PermissionDenied,
        )));
        let stranger = stand_as(user("stranger"), node, 3, None).await;
        assert_eq!(stranger.answer().await, denied);
        let first = stand_as(user("locker"), node, 1, None).await;
        first.answer().await.unwrap();
        let second = stand_as(user("locker"), node, 2, None).await;
        let revoke = AuthCommand::RevokeRole {
            user: "locker".into(),
            role: "locks".into(),
        };
        ask(node, Command::Auth(revoke)).await;
        let second = timeout(SOON, second.answer()).await.unwrap();
        assert_eq!(second, denied);
        // What it made is taken away all the same.
        let began = Instant::now();
        while everything(node).await.len() > 1 {
            assert!(began.elapsed() < SOON);
            sleep(Duration::from_millis(50)).await;
        }
    });
}
