//! Made up runs of users whose rights change while they ask, and what can go wrong there.
//!
//! Requests and changes overlap in time; each that is done is so at one moment within, in the order of
//! which the model of users runs. What got lost happens late, or never.
//!
//! Invariant: each planted violation is about a user of its own, whom nothing else is about, so it is
//! one in every run.

use std::sync::Arc;

use hstore_core::auth::{
    Access, AuthCommand, Author, Identity, PasswordHash, Permission, TokenKey,
};
use hstore_core::command::{Command, Put};
use hstore_core::error::ErrorCode;
use hstore_core::id::AuthRevision;
use hstore_core::key::KeyRange;

use super::Chance;
use crate::history::Moment;
use crate::rights::{Change, Request, Rights, Token, Told, Users, Wish};
use crate::violation::Kind;

const GUESTS: [&str; 3] = ["u0", "u1", "u2"];
const ROLES: [&str; 3] = ["r0", "r1", "r2"];
const PASSWORDS: [&str; 2] = ["1", "2"];
const KEYS: [&str; 3] = ["k0", "k1", "k2"];
/// More outcomes that nobody knows would leave more states than a judge keeps.
const LOST_MAX: u64 = 3;

/// Something that is under way for a while and happens at one moment of it, or later, or never.
struct Way {
    asked: u64,
    happens: Option<u64>,
    told: u64,
    /// Whether its answer was lost.
    lost: bool,
    /// Which guest; none for a change.
    guest: Option<usize>,
}

/// A run with so many changes, and a few times as many requests.
pub(super) fn good(seed: u64, changes: u64) -> Rights {
    let mut chance = Chance::new(seed);
    let mut run = Run::new();
    let mut ways = ways(&mut chance, changes);
    ways.sort_by_key(|way| way.happens.unwrap_or(way.asked));
    for way in ways {
        match way.guest {
            None => run.change(&way, draw(&mut chance)),
            Some(guest) => run.request(&way, guest, &mut chance),
        }
    }
    run.rights.changes.sort_by_key(|change| change.asked);
    run.rights
}

fn ways(chance: &mut Chance, changes: u64) -> Vec<Way> {
    let mut ways = Vec::new();
    let mut way = |from: &mut u64, guest: Option<usize>, lost: bool| {
        let asked = *from + 1 + chance.below(20);
        let told = asked + 2 + chance.below(30);
        let happens = if lost {
            // Perhaps when nobody waits any more.
            chance.percent(60).then(|| asked + 1 + chance.below(300))
        } else {
            Some(asked + 1 + chance.below(told - asked - 1))
        };
        *from = told;
        ways.push(Way {
            asked,
            happens,
            told,
            lost,
            guest,
        });
    };
    let mut free = FOUNDED;
    for nth in 0..changes {
        let lost = nth % (changes / LOST_MAX).max(1) == 1;
        way(&mut free, None, lost);
    }
    for guest in 0..GUESTS.len() {
        let mut from = FOUNDED;
        while from < free {
            let lost = from.is_multiple_of(17);
            way(&mut from, Some(guest), lost);
        }
    }
    ways
}

/// When everybody was made.
const FOUNDED: u64 = 1_000;

struct Run {
    users: Users,
    rights: Rights,
    tokens: [Option<(Token, u64)>; 3],
}

impl Run {
    fn new() -> Run {
        let mut run = Run {
            users: Users::default(),
            rights: Rights::default(),
            tokens: [None, None, None],
        };
        let mut found = vec![add("root", "root"), give("root", "root")];
        for (guest, role) in GUESTS.into_iter().zip(ROLES) {
            let name = role.into();
            found.push(add(guest, PASSWORDS[0]));
            found.push(AuthCommand::RoleAdd { name });
            found.push(give(guest, role));
            found.push(grant(role, KeyRange::all(), Access::ReadWrite));
        }
        found.push(AuthCommand::Enable {
            key: TokenKey([0; 32]),
        });
        for (nth, command) in found.into_iter().enumerate() {
            let asked = nth as u64 * 10;
            let way = Way {
                asked,
                happens: Some(asked + 1),
                told: asked + 2,
                lost: false,
                guest: None,
            };
            run.change(&way, command);
        }
        run
    }

    fn change(&mut self, way: &Way, command: AuthCommand) {
        let told = way.happens.map(|_| self.users.change(&command));
        self.rights.changes.push(Change {
            asked: Moment(way.asked),
            told: Moment(way.told),
            command,
            learned: told.filter(|_| !way.lost),
        });
    }

    fn request(&mut self, way: &Way, guest: usize, chance: &mut Chance) {
        let (asked, told_at) = (Moment(way.asked), Moment(way.told));
        let user: Arc<str> = GUESTS[guest].into();
        let token = self.tokens[guest].clone();
        let proves = token.is_none() || chance.percent(15);
        let (wish, told, shown): (Wish, Told, Option<Token>) = if proves {
            let password = PasswordHash::new(chance.pick::<&str>(&PASSWORDS));
            let told = if self.users.proves(&user, &password) {
                Ok(())
            } else {
                Err(ErrorCode::AuthFailed)
            };
            if told.is_ok() && !way.lost {
                let token = Token {
                    user: Arc::clone(&user),
                    password: password.clone(),
                    asked,
                    told: told_at,
                };
                self.tokens[guest] = Some((token, self.users.standing().1));
            }
            (Wish::Prove { user, password }, told, None)
        } else {
            let (token, revision) = token.expect("it was looked at");
            let author = Author::User(Identity {
                name: user,
                revision: AuthRevision(revision),
            });
            let key = *chance.pick(&KEYS);
            let (wish, told) = if chance.percent(50) {
                let command = put(key);
                let told = self.users.may(&author, &command).unwrap_or(Ok(()));
                (Wish::Do(command), told)
            } else {
                let keys = one(key);
                let told = self.users.may_read(&author, &keys);
                (Wish::Read(keys), told)
            };
            (wish, told, Some(token))
        };
        let learned = if way.lost {
            None
        } else if chance.percent(3) {
            Some(Err(ErrorCode::Overloaded))
        } else {
            Some(told)
        };
        self.rights.requests.push(Request {
            token: shown,
            wish,
            asked,
            told: told_at,
            learned,
        });
    }
}

fn draw(chance: &mut Chance) -> AuthCommand {
    let role = *chance.pick(&ROLES);
    let user: Arc<str> = (*chance.pick(&GUESTS)).into();
    let keys = if chance.percent(30) {
        KeyRange::all()
    } else {
        one(chance.pick::<&str>(&KEYS))
    };
    match chance.below(10) {
        0..4 => {
            let access = *chance.pick(&[Access::Read, Access::Write, Access::ReadWrite]);
            grant(role, keys, access)
        }
        4..6 => AuthCommand::RevokePermission {
            role: role.into(),
            keys,
        },
        6 => give(&user, role),
        7 => AuthCommand::RevokeRole {
            user,
            role: role.into(),
        },
        8 => {
            let password = PasswordHash::new(chance.pick::<&str>(&PASSWORDS));
            AuthCommand::UserPassword {
                name: user,
                password,
            }
        }
        _ if chance.percent(50) => AuthCommand::UserDelete { name: user },
        _ => add(&user, PASSWORDS[0]),
    }
}

macro_rules! planted {
    ($($(#[$doc:meta])* $name:ident, $kind:ident;)*) => {
        /// A violation of rights that can be planted.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum PlantedRight {
            $($(#[$doc])* $name,)*
        }

        impl PlantedRight {
            /// Every violation of the catalogue.
            pub const ALL: &'static [PlantedRight] = &[$(PlantedRight::$name,)*];

            /// As what it must be found.
            pub fn kind(self) -> Kind {
                match self { $(PlantedRight::$name => Kind::$kind,)* }
            }
        }
    };
}

planted! {
    /// What was revoked is done.
    DoneAfterRevoke, Trespass;
    /// What a role was taken from its user for is done.
    DoneWithoutRole, Trespass;
    /// What was never granted is done.
    DoneUngranted, Trespass;
    /// Who may only write is told what they wrote.
    ToldUngranted, Trespass;
    /// Somebody without a token has something done.
    DoneForNobody, Trespass;
    /// What was granted is denied.
    DeniedAfterGrant, LockedOut;
    /// A good token is refused.
    GoodTokenRefused, LockedOut;
    /// The new password does not prove its user.
    NewPasswordRefused, LockedOut;
    /// A token is good after its password was changed.
    TokenOutlivesPassword, DeadToken;
    /// A token is good for another user of the same name.
    TokenOutlivesUser, DeadToken;
    /// A password that was changed gives a token.
    OldPasswordProves, WrongProof;
    /// A user is made twice.
    MadeTwice, WrongChange;
    /// What was never granted is revoked.
    RevokedNothing, WrongChange;
    /// A role that is there is said not to be.
    RefusedForNothing, WrongChange;
}

impl PlantedRight {
    /// Adds it, after everything else.
    pub(super) fn plant(self, rights: &mut Rights) {
        use PlantedRight as P;
        let last = |changes: &[Change]| changes.iter().map(|change| change.told.0).max();
        let mut ward = Ward {
            now: last(&rights.changes).unwrap_or_default() + 10_000,
            rights,
        };
        let role = || "ward".into();
        for command in [
            AuthCommand::RoleAdd { name: role() },
            add("victim", "a"),
            give("victim", "ward"),
            grant("ward", one("v"), Access::Write),
        ] {
            ward.change(command, Ok(()));
        }
        let token = ward.prove("a", Ok(()));
        let (password, name) = (PasswordHash::new("b"), "victim".into());
        let change_password = AuthCommand::UserPassword { name, password };
        let done = |ward: &mut Ward<'_>| ward.ask(Some(&token), Wish::Do(put("v")), Ok(()));
        done(&mut ward);
        match self {
            P::DoneAfterRevoke => {
                let keys = one("v");
                let revoke = AuthCommand::RevokePermission { role: role(), keys };
                ward.change(revoke, Ok(()));
                done(&mut ward);
            }
            P::DoneWithoutRole => {
                let (user, role) = ("victim".into(), role());
                ward.change(AuthCommand::RevokeRole { user, role }, Ok(()));
                done(&mut ward);
            }
            P::DoneUngranted => ward.ask(Some(&token), Wish::Do(put("w")), Ok(())),
            P::ToldUngranted => ward.ask(Some(&token), Wish::Read(one("v")), Ok(())),
            P::DoneForNobody => ward.ask(None, Wish::Do(put("v")), Ok(())),
            P::DeniedAfterGrant => {
                let denied = Err(ErrorCode::PermissionDenied);
                ward.ask(Some(&token), Wish::Do(put("v")), denied);
            }
            P::GoodTokenRefused => {
                let old = Err(ErrorCode::AuthRevisionOld);
                ward.ask(Some(&token), Wish::Do(put("v")), old);
            }
            P::NewPasswordRefused => {
                ward.change(change_password, Ok(()));
                ward.prove("b", Err(ErrorCode::AuthFailed));
            }
            P::TokenOutlivesPassword => {
                ward.change(change_password, Ok(()));
                done(&mut ward);
            }
            P::TokenOutlivesUser => {
                let name = "victim".into();
                ward.change(AuthCommand::UserDelete { name }, Ok(()));
                ward.change(add("victim", "a"), Ok(()));
                ward.change(give("victim", "ward"), Ok(()));
                done(&mut ward);
            }
            P::OldPasswordProves => {
                ward.change(change_password, Ok(()));
                ward.prove("a", Ok(()));
            }
            P::MadeTwice => ward.change(add("victim", "a"), Ok(())),
            P::RevokedNothing => {
                let keys = one("w");
                let revoke = AuthCommand::RevokePermission { role: role(), keys };
                ward.change(revoke, Ok(()));
            }
            P::RefusedForNothing => {
                let command = grant("ward", one("w"), Access::Read);
                ward.change(command, Err(ErrorCode::RoleNotFound));
            }
        }
    }
}

/// What is done to somebody of whom nothing else is told.
struct Ward<'r> {
    now: u64,
    rights: &'r mut Rights,
}

impl Ward<'_> {
    fn times(&mut self) -> (Moment, Moment) {
        self.now += 10;
        (Moment(self.now), Moment(self.now + 5))
    }

    fn change(&mut self, command: AuthCommand, told: Told) {
        let (asked, answered) = self.times();
        self.rights.changes.push(Change {
            asked,
            told: answered,
            command,
            learned: Some(told),
        });
    }

    fn ask(&mut self, token: Option<&Token>, wish: Wish, told: Told) {
        let (asked, answered) = self.times();
        self.rights.requests.push(Request {
            token: token.cloned(),
            wish,
            asked,
            told: answered,
            learned: Some(told),
        });
    }

    fn prove(&mut self, password: &str, told: Told) -> Token {
        let password = PasswordHash::new(password);
        let user: Arc<str> = "victim".into();
        let wish = Wish::Prove {
            user: Arc::clone(&user),
            password: password.clone(),
        };
        self.ask(None, wish, told);
        Token {
            user,
            password,
            asked: Moment(self.now),
            told: Moment(self.now + 5),
        }
    }
}

fn one(key: &str) -> KeyRange {
    KeyRange::One(key.to_owned().into())
}

fn put(key: &str) -> Command {
    Command::Put(Put {
        key: key.to_owned().into(),
        value: "1".into(),
        lease: 0,
        prev_kv: false,
        ignore_value: false,
        ignore_lease: false,
    })
}

fn add(name: &str, password: &str) -> AuthCommand {
    AuthCommand::UserAdd {
        name: name.into(),
        password: Some(PasswordHash::new(password)),
    }
}

fn give(user: &str, role: &str) -> AuthCommand {
    let (user, role) = (user.into(), role.into());
    AuthCommand::GrantRole { user, role }
}

fn grant(role: &str, keys: KeyRange, access: Access) -> AuthCommand {
    AuthCommand::GrantPermission {
        role: role.into(),
        permission: Permission { keys, access },
    }
}
