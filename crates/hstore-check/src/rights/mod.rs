//! The laws of rights: who might do what, judged by times alone.
//!
//! One who changes users and roles writes down each change, and those whose rights change write
//! down what they asked and were told. No log is needed: a change that was acknowledged holds for
//! whatever begins after its answer, and one of which nobody knows whether it happened may happen
//! whenever it likes, or never. So the judge keeps every state of users that there may have been at a
//! time, and an answer is wrong when none of them explains it.
//!
//! 1. `trespass`: nothing is done or told that its user might not do in any state there may have been.
//! 2. `dead_token`: a token is worth nothing once its password or its user was another one.
//! 3. `locked_out`: nobody is refused for want of a right that was there, or a token that was good.
//! 4. `wrong_proof`: a token is given for the password of a user and for nothing else.
//! 5. `wrong_change`: a change is acknowledged or refused as the changes before it ask for.
//!
//! Invariants: (1) what a correct store can answer is never refused; (2) what could not be judged is
//! counted.

mod eras;
mod users;

use std::sync::Arc;

use hstore_core::auth::{AuthCommand, Author, Identity, PasswordHash};
use hstore_core::command::Command;
use hstore_core::error::ErrorCode;
use hstore_core::id::AuthRevision;
use hstore_core::key::KeyRange;

use self::eras::Eras;
pub use self::users::Users;
use crate::history::Moment;
use crate::violation::{Kind, Violations};

/// What was said to somebody: yes, or the code of a no.
pub type Told = Result<(), ErrorCode>;

/// What somebody learned of what they asked for; none when nobody can say.
pub type Learned = Option<Told>;

/// A change of users, by somebody who may make it. Changes are made one after the other.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    /// When it was asked for.
    pub asked: Moment,
    /// When its answer was there, or nobody waited any more.
    pub told: Moment,
    /// What is to change. Passwords are told apart by whatever stands for their hash.
    pub command: AuthCommand,
    /// What came of it. A refusal that is not of the users and roles, such as for want of a quorum,
    /// is one, too.
    pub learned: Learned,
}

/// A token, and how it was got.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Token {
    /// Of whom.
    pub user: Arc<str>,
    /// With which password.
    pub password: PasswordHash,
    /// When it was asked for.
    pub asked: Moment,
    /// When it was there.
    pub told: Moment,
}

/// What somebody wants.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Wish {
    /// To have a command done.
    Do(Command),
    /// A token.
    Prove {
        /// For whom.
        user: Arc<str>,
        /// By which password.
        password: PasswordHash,
    },
    /// To read keys.
    Read(KeyRange),
}

/// A request of somebody whose rights change.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Request {
    /// What they showed.
    pub token: Option<Token>,
    /// What they wanted.
    pub wish: Wish,
    /// When it was asked for.
    pub asked: Moment,
    /// When the answer was there.
    pub told: Moment,
    /// What came of it.
    pub learned: Learned,
}

/// Everything that was written down about rights.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Rights {
    /// Changes, in the order in which they were made.
    pub changes: Vec<Change>,
    /// Requests, in any order.
    pub requests: Vec<Request>,
    /// How long what nobody waits for any more may still be on its way to the log, in nanoseconds; none
    /// is for ever.
    pub lingers: Option<u64>,
}

/// What is found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Findings {
    /// Changes of users that were acknowledged.
    pub changes: u64,
    /// Changes of which nobody knows whether they happened.
    pub unknown: u64,
    /// Requests that were judged.
    pub judged: u64,
    /// Those of them that were denied.
    pub denied: u64,
    /// Those of them that showed a token which was worth nothing any more.
    pub dead: u64,
    /// Requests that could not be judged.
    pub undecided: u64,
    /// What is wrong.
    pub violations: Violations,
}

/// Judges what was written down.
pub fn judge(rights: &Rights) -> Findings {
    let mut findings = Findings::default();
    for change in &rights.changes {
        findings.changes += u64::from(change.learned == Some(Ok(())));
        findings.unknown += u64::from(change.learned.is_none());
    }
    let eras = Eras::of(&rights.changes, rights.lingers, &mut findings.violations);
    for request in &rights.requests {
        let Some(told) = request.learned else {
            continue;
        };
        if told.is_err_and(|code| !is_of_rights(code)) {
            continue;
        }
        match sights(request, &eras) {
            Some(sights) => decide(request, told, &sights, &mut findings),
            None => findings.undecided += 1,
        }
    }
    findings
}

/// What one state of users says of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Sight {
    /// Whether what was shown is worth anything.
    known: bool,
    /// Whether it may be done.
    may: Told,
}

/// What every state says that there may have been; none when those are not known.
fn sights(request: &Request, eras: &Eras) -> Option<Vec<Sight>> {
    // What the token may be made of.
    let mut proofs = Vec::new();
    if let Some(token) = &request.token {
        for world in eras.between(token.asked, token.told)? {
            if world.users.proves(&token.user, &token.password) {
                proofs.extend(world.proof(&token.user));
            }
        }
        proofs.sort_unstable();
        proofs.dedup();
        if proofs.is_empty() {
            // No state explains that it was given, which is found where it was.
            return None;
        }
    }
    let mut sights = Vec::new();
    for world in eras.between(request.asked, request.told)? {
        match (&request.wish, &request.token) {
            (Wish::Prove { user, password }, _) => {
                let known = world.users.proves(user, password);
                let may = known.then_some(()).ok_or(ErrorCode::AuthFailed);
                sights.push(Sight { known, may });
            }
            (_, None) => sights.push(Sight {
                known: false,
                may: may(&world.users, &Author::Nobody, &request.wish)?,
            }),
            (_, Some(token)) => {
                // A good token is as good as one of this very moment.
                let author = Author::User(Identity {
                    name: Arc::clone(&token.user),
                    revision: AuthRevision(world.users.standing().1),
                });
                let may = may(&world.users, &author, &request.wish)?;
                let now = world.proof(&token.user);
                // It is made of one of them, nobody can tell which.
                for proof in &proofs {
                    let known = now == Some(*proof);
                    let is_old = !known && now.is_some() && world.users.standing().0;
                    let old = Err(ErrorCode::AuthRevisionOld);
                    let may = if is_old { old } else { may };
                    sights.push(Sight { known, may });
                }
            }
        }
    }
    Some(sights)
}

/// Whether a wish may be fulfilled; none when the model cannot tell.
fn may(users: &Users, author: &Author, wish: &Wish) -> Option<Told> {
    match wish {
        Wish::Do(command) => users.may(author, command),
        Wish::Read(keys) => Some(users.may_read(author, keys)),
        Wish::Prove { .. } => None,
    }
}

fn decide(request: &Request, told: Told, sights: &[Sight], findings: &mut Findings) {
    findings.judged += 1;
    findings.denied += u64::from(told.is_err());
    let is_dead = request.token.is_some() && sights.iter().all(|sight| !sight.known);
    findings.dead += u64::from(is_dead);
    let proves = matches!(request.wish, Wish::Prove { .. });
    let explained = sights.iter().any(|sight| match told {
        Ok(()) => sight.may.is_ok(),
        Err(ErrorCode::PermissionDenied) => sight.may == Err(ErrorCode::PermissionDenied),
        Err(_identity) => !sight.known,
    });
    if explained {
        return;
    }
    let kind = match told {
        _ if proves && told.is_ok() => Kind::WrongProof,
        Ok(()) if is_dead => Kind::DeadToken,
        Ok(()) => Kind::Trespass,
        Err(_) => Kind::LockedOut,
    };
    let sentence = || {
        let whose = match (&request.wish, &request.token) {
            (Wish::Prove { user, .. }, _) => user,
            (_, Some(token)) => &token.user,
            (_, None) => "nobody",
        };
        let what = match told {
            Ok(()) => "done".to_owned(),
            Err(code) => format!("refused with {code}"),
        };
        format!(
            "{} by {whose} was {what} between {} and {}; of {} that there may have been \
             the first says {:?}",
            word(&request.wish),
            request.asked,
            request.told,
            sights.len(),
            sights[0].may
        )
    };
    findings.violations.push(kind, &[], None, sentence);
}

/// Whether a refusal is about who asks and what they may.
pub fn is_of_rights(code: ErrorCode) -> bool {
    matches!(
        code,
        ErrorCode::AuthFailed
            | ErrorCode::AuthRevisionOld
            | ErrorCode::InvalidAuthToken
            | ErrorCode::PermissionDenied
            | ErrorCode::UserEmpty
    )
}

fn word(wish: &Wish) -> String {
    match wish {
        Wish::Do(Command::Delete(delete)) => format!("a deletion of {:?}", delete.keys),
        Wish::Do(Command::Put(put)) => format!("a write of {:?}", put.key),
        Wish::Do(_) => "a command".to_owned(),
        Wish::Prove { .. } => "a login".to_owned(),
        Wish::Read(keys) => format!("a read of {keys:?}"),
    }
}
