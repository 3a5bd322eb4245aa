//! Users and roles in a whole cluster: every node judges alike, whatever it missed.

use std::collections::BTreeMap;

use bytes::Bytes;
use hstore_core::auth::{Access, AuthCommand, AuthRefusal, Author, Identity, Permission, TokenKey};
use hstore_core::command::{Command, Proposal};
use hstore_core::key::KeyRange;
use hstore_core::outcome::{Refusal, Reply};
use hstore_core::range::Range;
use hstore_node::{Consistency, Node};

use hstore_sim::world::{put, run, soon, until, write};

async fn ask(node: &Node, author: Author, command: Command) -> Result<Reply, Refusal> {
    let proposal = Proposal {
        request: None,
        author,
        command,
    };
    let (_header, outcome) = node.propose(proposal, soon()).await.unwrap();
    outcome.result
}

async fn change(node: &Node, command: AuthCommand) {
    let changed = ask(node, Author::Node, Command::Auth(command)).await;
    assert_eq!(changed, Ok(Reply::Auth));
}

/// A user, as of what a node knows.
fn user(node: &Node) -> Author {
    Author::User(Identity {
        name: "u".into(),
        revision: node.auth().revision(),
    })
}

async fn may_write(node: &Node, key: &str) -> bool {
    match ask(node, user(node), put(key, "x", None).command).await {
        Ok(Reply::Put { .. }) => true,
        Err(Refusal::Auth(AuthRefusal::PermissionDenied)) => false,
        other => panic!("{other:?}"),
    }
}

async fn may_read(node: &Node, key: &'static str) -> bool {
    let range = Range::of(KeyRange::One(Bytes::from_static(key.as_bytes())));
    let author = user(node);
    let read = node.range(&author, range, Consistency::Linearizable, soon());
    match read.await.unwrap().1 {
        Ok(_found) => true,
        Err(Refusal::Auth(AuthRefusal::PermissionDenied)) => false,
        Err(other) => panic!("{other:?}"),
    }
}

fn grant(access: Access) -> AuthCommand {
    AuthCommand::GrantPermission {
        role: "r".into(),
        permission: Permission {
            keys: KeyRange::One(Bytes::from_static(b"u")),
            access,
        },
    }
}

/// Makes a user with a role that may write "u", and asks from now on.
async fn guard(node: &Node) {
    let user = |name: &str| AuthCommand::UserAdd {
        name: name.into(),
        password: None,
    };
    let role = |user: &str, role: &str| AuthCommand::GrantRole {
        user: user.into(),
        role: role.into(),
    };
    for command in [
        user("root"),
        role("root", "root"),
        AuthCommand::RoleAdd { name: "r".into() },
        user("u"),
        role("u", "r"),
        grant(Access::Write),
        AuthCommand::Enable {
            key: TokenKey([7; 32]),
        },
    ] {
        change(node, command).await;
    }
}

/// etcd's 14571: a member that missed a change of users and was restarted judged otherwise than the
/// rest, so that replicas differed. Here it gets the change by the log and by a snapshot.
#[test]
fn etcd_14571_who_missed_a_change_of_users_judges_like_the_others() {
    run(71, async |world| {
        world.set(|config| {
            config.snapshot_log_bytes_min = 32 * 1024;
            config.log_keep_entries_max = 8;
            config.log_keep_bytes_max = 4 * 1024;
        });
        let nodes = world.cluster(3).await;
        guard(&nodes[0]).await;
        let mut expected = BTreeMap::new();
        for (round, far) in [false, true].into_iter().enumerate() {
            let behind = (world.led().await + 1) % 3;
            world.crash(behind).await;
            let node = world.node((behind + 1) % 3).unwrap();
            let access = [Access::Read, Access::ReadWrite][round];
            change(&node, grant(access)).await;
            // Far enough behind, it hears of it by a snapshot.
            for n in 0..if far { 100 } else { 1 } {
                let (key, value) = (format!("k{round}-{n}"), "x".repeat(2000));
                write(&node, &key, &value).await.unwrap();
                expected.insert(Bytes::from(key), Bytes::from(value));
            }
            if far {
                until("the log was purged", || {
                    let purged = |node: &Node| node.status().purged.is_some();
                    world.running().iter().all(purged).then_some(())
                })
                .await;
            }
            let back = world.start(behind).await;
            world.settle().await;
            for node in world.running() {
                assert_eq!(
                    may_write(&node, "u").await,
                    access.writes(),
                    "round {round}"
                );
                assert!(may_read(&node, "u").await && !may_read(&node, "k0-0").await);
                assert!(!may_write(&node, "other").await);
            }
            if access.writes() {
                expected.insert(Bytes::from_static(b"u"), Bytes::from_static(b"x"));
            }
            world.settle().await;
            let hashes: Vec<u64> = world
                .running()
                .iter()
                .map(|node| node.status().store.state_hash)
                .collect();
            assert!(hashes.iter().all(|hash| *hash == hashes[0]), "{hashes:x?}");
            assert_eq!(back.auth().revision(), node.auth().revision());
        }
        world.check(&expected).await;
    });
}
