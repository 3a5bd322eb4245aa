//! One who changes users, roles and permissions while others ask: grants and revokes, deletes and makes
//! anew, changes passwords, asks nobody any more and asks again. Now and then somebody tries it who
//! may not.
//!
//! Each change carries a request id, so that what it was answered can be held against the log.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use hstore_core::auth::{Access, AuthCommand, Author, PasswordHash, Permission, TokenKey};
use hstore_core::command::{Command, Proposal, RequestId};
use hstore_core::id::LogIndex;
use hstore_core::key::KeyRange;
use hstore_core::outcome::Refusal;
use hstore_node::Node;
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use tokio::sync::watch;
use tokio::time::{Instant, sleep};

use super::Clients;
use super::badge::Badge;
use super::mix::key;

/// The users beside root, who may do everything.
const USERS: [&str; 3] = ["u0", "u1", "u2"];

/// The roles.
const ROLES: [&str; 3] = ["r0", "r1", "r2"];

/// How long one change may take.
const PATIENCE: Duration = Duration::from_secs(3);

/// The longest pause between two changes.
const PAUSE_MAX: Duration = Duration::from_millis(800);

/// Some user.
pub(super) fn user(rng: &mut StdRng) -> &'static str {
    if rng.random_range(0..10) == 0 {
        "root"
    } else {
        USERS[rng.random_range(0..USERS.len())]
    }
}

/// One warden.
pub(super) struct Warden {
    clients: Clients,
    rng: StdRng,
    root: Badge,
}

impl Warden {
    pub(super) fn new(clients: Clients) -> Warden {
        Warden {
            rng: StdRng::seed_from_u64(clients.shared.world.draw()),
            clients,
            root: Badge::new("root"),
        }
    }

    /// Makes everybody: each user has one role, which may do everything for now.
    pub(super) async fn found(mut self) {
        let mut commands = vec![add_user("root", None), grant_role("root", "root")];
        for (user, role) in USERS.into_iter().zip(ROLES) {
            let name = role.into();
            commands.extend([
                add_user(user, Some("1")),
                AuthCommand::RoleAdd { name },
                grant(role, KeyRange::all(), Access::ReadWrite),
                grant_role(user, role),
            ]);
        }
        commands.push(AuthCommand::Enable {
            key: TokenKey([7; 32]),
        });
        for command in commands {
            self.change(command, Author::Node).await;
        }
    }

    /// Change after change, until the storm is over.
    pub(super) async fn run(mut self, over: watch::Receiver<bool>) {
        while !*over.borrow() {
            let pause = self.rng.random_range(Duration::ZERO..PAUSE_MAX);
            sleep(pause).await;
            let command = self.draw();
            let author = match (self.rng.random_range(0..10), self.node()) {
                (0..5, _) | (_, None) => Author::Node,
                (5, Some(node)) => Badge::new(user(&mut self.rng)).show(&node),
                (_, Some(node)) => self.root.show(&node),
            };
            self.change(command, author).await;
        }
    }

    fn node(&mut self) -> Option<Node> {
        let running = self.clients.shared.world.running();
        let place = self.rng.random_range(0..running.len().max(1));
        running.get(place).cloned()
    }

    async fn change(&mut self, command: AuthCommand, author: Author) {
        let (Some(node), Some(ledger)) = (self.node(), self.clients.ledger().cloned()) else {
            return;
        };
        let request = RequestId {
            client: self.rng.random(),
            sequence: 1,
            answered_below: 1,
            born: node.status().applied.map_or(LogIndex(0), |id| id.index),
        };
        let note = ledger.ask(request, author.clone());
        let what = format!("{command:?}");
        let proposal = Proposal {
            request: Some(request),
            author,
            command: Command::Auth(command),
        };
        let proposed = node.propose(proposal, Instant::now() + PATIENCE).await;
        let told = match &proposed {
            Ok((_header, outcome)) => {
                let told = outcome.result.as_ref().map(drop).map_err(Refusal::code);
                ledger.told(note, told);
                if let Err(code) = told {
                    self.root.refused(code, &mut self.rng);
                }
                format!("{told:?}")
            }
            Err(error) => error.to_string(),
        };
        let trace = &self.clients.shared.world.trace;
        trace.say(&format!("{what}: {told}"));
    }

    fn draw(&mut self) -> AuthCommand {
        let dice = self.rng.random_range(0..100);
        let role: Arc<str> = self.one_of(&ROLES).into();
        let user: Arc<str> = self.one_of(&USERS).into();
        match dice {
            0..12 => grant(&role, KeyRange::all(), Access::ReadWrite),
            12..36 => grant(&role, self.keys(), self.access()),
            36..52 => AuthCommand::RevokePermission {
                role,
                keys: self.keys(),
            },
            52..66 => AuthCommand::GrantRole { user, role },
            66..74 => AuthCommand::RevokeRole { user, role },
            74..77 => AuthCommand::RoleDelete { name: role },
            77..82 => AuthCommand::RoleAdd { name: role },
            82..84 => AuthCommand::UserDelete { name: user },
            84..88 => add_user(&user, Some("1")),
            88..92 => AuthCommand::UserPassword {
                name: user,
                password: PasswordHash::new("2"),
            },
            92..94 => AuthCommand::Disable,
            _ => AuthCommand::Enable {
                key: TokenKey(std::array::from_fn(|_| self.rng.random())),
            },
        }
    }

    fn one_of(&mut self, names: &[&'static str; 3]) -> &'static str {
        names[self.rng.random_range(0..names.len())]
    }

    fn access(&mut self) -> Access {
        [Access::Read, Access::Write, Access::ReadWrite][self.rng.random_range(0..3)]
    }

    /// Few ranges, so that what is revoked was granted more often than not.
    fn keys(&mut self) -> KeyRange {
        let number = self
            .rng
            .random_range(0..self.clients.shared.mix.keys.max(1));
        match self.rng.random_range(0..4) {
            0 => KeyRange::all(),
            1 => KeyRange::Span {
                start: Bytes::from_static(b"k"),
                end: key(number + 1),
            },
            _ => KeyRange::One(key(number)),
        }
    }
}

fn add_user(name: &str, password: Option<&str>) -> AuthCommand {
    AuthCommand::UserAdd {
        name: name.into(),
        password: password.map(PasswordHash::new),
    }
}

fn grant_role(user: &str, role: &str) -> AuthCommand {
    let (user, role) = (user.into(), role.into());
    AuthCommand::GrantRole { user, role }
}

fn grant(role: &str, keys: KeyRange, access: Access) -> AuthCommand {
    AuthCommand::GrantPermission {
        role: role.into(),
        permission: Permission { keys, access },
    }
}
