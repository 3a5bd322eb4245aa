//! Who there is and who may do what, anew: what docs/guide/users.md promises, in the plainest words
//! that do it. It knows nothing of how the nodes do it. The simulator goes through a committed log with
//! it, change after change; the judge of rights keeps several of it, where it is not known what happened.
//!
//! Invariant: a refused change changes nothing.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use hstore_core::auth::{Access, AuthCommand, Author, PasswordHash, Permission};
use hstore_core::command::{Command, Delete, Operation, Put, Txn};
use hstore_core::error::ErrorCode;
use hstore_core::key::KeyRange;

use crate::rights::Told;

const ROOT: &str = "root";

#[derive(Clone, Debug, PartialEq, Eq)]
struct Person {
    /// Without one no password proves the name.
    password: Option<PasswordHash>,
    roles: BTreeSet<String>,
    /// Names that were proved before this revision are worth nothing.
    since: u64,
}

/// Everybody.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Users {
    enabled: bool,
    enabled_since: u64,
    revision: u64,
    people: BTreeMap<String, Person>,
    roles: BTreeMap<String, Vec<Permission>>,
}

/// What somebody needs for something.
enum Need {
    /// To be somebody.
    Name,
    Root,
    Read(KeyRange),
    Write(KeyRange),
    /// The right to write keys that this model does not know.
    Unknown,
}

impl Default for Users {
    fn default() -> Users {
        Users {
            enabled: false,
            enabled_since: 0,
            revision: 1,
            people: BTreeMap::new(),
            roles: BTreeMap::new(),
        }
    }
}

impl Users {
    /// Whether everybody is asked who they are, and how often that and who may do what changed.
    pub fn standing(&self) -> (bool, u64) {
        (self.enabled, self.revision)
    }

    /// The names of users and of roles, in order.
    pub fn names(&self) -> (Vec<&str>, Vec<&str>) {
        let people = self.people.keys().map(String::as_str);
        (
            people.collect(),
            self.roles.keys().map(String::as_str).collect(),
        )
    }

    /// Whether a password proves a name. Whoever compares hashes has made them so that equal passwords
    /// have equal ones.
    pub fn proves(&self, name: &str, password: &PasswordHash) -> bool {
        let person = self.people.get(name);
        person.is_some_and(|person| person.password.as_ref() == Some(password))
    }

    /// Whether somebody may read keys.
    pub fn may_read(&self, author: &Author, keys: &KeyRange) -> Told {
        self.has(author, &Need::Read(keys.clone()))
            .unwrap_or(Ok(()))
    }

    /// Whether somebody may have a command done; none when this model cannot tell.
    pub fn may(&self, author: &Author, command: &Command) -> Option<Told> {
        for need in needs(command) {
            match self.has(author, &need) {
                Some(Ok(())) => {}
                other => return other,
            }
        }
        Some(Ok(()))
    }

    fn has(&self, author: &Author, need: &Need) -> Option<Told> {
        let name = match author {
            _ if !self.enabled => return Some(Ok(())),
            Author::Node => return Some(Ok(())),
            Author::Nobody => return Some(Err(ErrorCode::UserEmpty)),
            Author::User(identity) => identity,
        };
        if name.revision.0 < self.enabled_since {
            return Some(Err(ErrorCode::AuthRevisionOld));
        }
        let Some(person) = self.people.get(&*name.name) else {
            return Some(Err(ErrorCode::PermissionDenied));
        };
        if name.revision.0 < person.since {
            return Some(Err(ErrorCode::AuthRevisionOld));
        }
        if person.roles.contains(ROOT) {
            return Some(Ok(()));
        }
        let held = |wanted: fn(Access) -> bool| -> Vec<&KeyRange> {
            let roles = person.roles.iter().filter_map(|role| self.roles.get(role));
            let permissions = roles.flatten().filter(|p| wanted(p.access));
            permissions.map(|permission| &permission.keys).collect()
        };
        let holds = match need {
            Need::Name => true,
            Need::Root => false,
            Need::Read(keys) => covers(&held(Access::reads), keys),
            Need::Write(keys) => covers(&held(Access::writes), keys),
            Need::Unknown => return None,
        };
        Some(holds.then_some(()).ok_or(ErrorCode::PermissionDenied))
    }

    /// A change by somebody who may make it.
    pub fn change(&mut self, command: &AuthCommand) -> Told {
        let name_of = |name: &str| name.to_owned();
        match command {
            AuthCommand::Disable => {
                if !self.enabled {
                    return Ok(());
                }
                self.enabled = false;
            }
            AuthCommand::Enable { .. } => {
                let root = self.people.get(ROOT).ok_or(ErrorCode::RootUserMissing)?;
                if !root.roles.contains(ROOT) {
                    return Err(ErrorCode::RootRoleMissing);
                }
                if !self.enabled {
                    self.enabled = true;
                    self.enabled_since = self.revision;
                }
                // The one change that is not counted.
                return Ok(());
            }
            AuthCommand::GrantPermission { role, permission } => {
                let role = self.role(role)?;
                role.retain(|held| held.keys != permission.keys);
                role.push(permission.clone());
            }
            AuthCommand::RevokePermission { role, keys } => {
                let role = self.role(role)?;
                let before = role.len();
                role.retain(|held| held.keys != *keys);
                if role.len() == before {
                    return Err(ErrorCode::PermissionNotGranted);
                }
            }
            AuthCommand::GrantRole { user, role } => {
                if !self.people.contains_key(&**user) {
                    return Err(ErrorCode::UserNotFound);
                }
                if **role != *ROOT {
                    self.role(role)?;
                }
                if !self.person(user)?.roles.insert(name_of(role)) {
                    return Ok(());
                }
            }
            AuthCommand::RevokeRole { user, role } => {
                if self.enabled && **user == *ROOT && **role == *ROOT {
                    return Err(ErrorCode::InvalidAuthManagement);
                }
                if !self.person(user)?.roles.remove(&**role) {
                    return Err(ErrorCode::RoleNotGranted);
                }
            }
            AuthCommand::RoleAdd { name } => {
                if self.roles.contains_key(&**name) {
                    return Err(ErrorCode::RoleExists);
                }
                self.roles.insert(name_of(name), Vec::new());
            }
            AuthCommand::RoleDelete { name } => {
                if self.enabled && **name == *ROOT {
                    return Err(ErrorCode::InvalidAuthManagement);
                }
                self.role(name)?;
                self.roles.remove(&**name);
                for person in self.people.values_mut() {
                    person.roles.remove(&**name);
                }
            }
            AuthCommand::UserAdd { name, password } => {
                if self.people.contains_key(&**name) {
                    return Err(ErrorCode::UserExists);
                }
                let person = Person {
                    password: password.clone(),
                    roles: BTreeSet::new(),
                    since: self.revision + 1,
                };
                self.people.insert(name_of(name), person);
            }
            AuthCommand::UserDelete { name } => {
                if self.enabled && **name == *ROOT {
                    return Err(ErrorCode::InvalidAuthManagement);
                }
                self.person(name)?;
                self.people.remove(&**name);
            }
            AuthCommand::UserPassword { name, password } => {
                let since = self.revision + 1;
                let person = self.person(name)?;
                person.since = since;
                if let Some(known) = &mut person.password {
                    known.clone_from(password);
                }
            }
        }
        self.revision += 1;
        Ok(())
    }

    fn person(&mut self, name: &str) -> Result<&mut Person, ErrorCode> {
        self.people.get_mut(name).ok_or(ErrorCode::UserNotFound)
    }

    fn role(&mut self, name: &str) -> Result<&mut Vec<Permission>, ErrorCode> {
        self.roles.get_mut(name).ok_or(ErrorCode::RoleNotFound)
    }
}

/// What a command needs.
fn needs(command: &Command) -> Vec<Need> {
    let mut needs = Vec::new();
    match command {
        Command::ExpireLeases => {}
        Command::Alarm(_)
        | Command::AllocateNode { .. }
        | Command::Auth(_)
        | Command::ChangeSettings(_)
        | Command::Compact(_)
        | Command::ReleaseNode { .. }
        | Command::ReserveNode(_) => needs.push(Need::Root),
        Command::GrantLease(_) | Command::RenewLease { .. } => needs.push(Need::Name),
        Command::RevokeLease { .. } => needs.extend([Need::Name, Need::Unknown]),
        Command::Delete(delete) => deleting(delete, &mut needs),
        Command::Put(put) => putting(put, &mut needs),
        Command::Txn(txn) => comparing(txn, &mut needs),
    }
    needs
}

fn putting(put: &Put, needs: &mut Vec<Need>) {
    let keys = KeyRange::One(put.key.clone());
    if put.prev_kv {
        needs.push(Need::Read(keys.clone()));
    }
    needs.push(Need::Write(keys));
    if put.lease != 0 {
        needs.push(Need::Unknown);
    }
}

fn deleting(delete: &Delete, needs: &mut Vec<Need>) {
    if delete.prev_kv {
        needs.push(Need::Read(delete.keys.clone()));
    }
    needs.push(Need::Write(delete.keys.clone()));
}

/// Everything that a transaction could do, whatever it will do.
fn comparing(txn: &Txn, needs: &mut Vec<Need>) {
    needs.push(Need::Name);
    for compare in &txn.compare {
        needs.push(Need::Read(compare.keys.clone()));
    }
    for step in txn.then.iter().chain(&txn.otherwise) {
        match step {
            Operation::Delete(delete) => deleting(delete, needs),
            Operation::Put(put) => putting(put, needs),
            Operation::Range(range) => needs.push(Need::Read(range.keys.clone())),
            Operation::Txn(txn) => comparing(txn, needs),
        }
    }
}

/// The first key behind a range; none when it has no end.
fn end(keys: &KeyRange) -> Option<Bytes> {
    match keys {
        KeyRange::One(key) => {
            let mut next = key.to_vec();
            next.push(0);
            Some(next.into())
        }
        KeyRange::Span { end, .. } => Some(end.clone()),
        KeyRange::From(_) => None,
    }
}

/// Whether ranges hold every key of another one together: from its first key on, as far as any of
/// them reaches, until its end is reached.
fn covers(held: &[&KeyRange], keys: &KeyRange) -> bool {
    let wanted = end(keys);
    let mut reached = keys.start().clone();
    loop {
        if wanted.as_ref().is_some_and(|end| *end <= reached) {
            return true;
        }
        let ends = held
            .iter()
            .filter(|keys| keys.contains(&reached))
            .map(|keys| end(keys));
        let Some(furthest) = ends.reduce(|a, b| Some(a?.max(b?))) else {
            return false;
        };
        match furthest {
            None => return true,
            Some(end) => reached = end,
        }
    }
}

#[cfg(test)]
mod tests {
    use hstore_core::auth::{Identity, TokenKey};
    use hstore_core::id::AuthRevision;

    use super::*;

    fn one(key: &'static str) -> KeyRange {
        KeyRange::One(key.into())
    }

    fn span(start: &'static str, end: &'static str) -> KeyRange {
        let (start, end) = (start.into(), end.into());
        KeyRange::Span { start, end }
    }

    #[test]
    fn ranges_that_meet_cover_what_none_of_them_does() {
        let (a, b, c) = (span("b", "d"), span("d", "f"), KeyRange::From("k".into()));
        let held = [&a, &b, &c];
        for keys in [
            one("b"),
            span("b", "f"),
            span("c", "e"),
            KeyRange::From("m".into()),
        ] {
            assert!(covers(&held, &keys), "{keys:?}");
        }
        for keys in [
            one("a"),
            one("f"),
            span("a", "c"),
            span("e", "l"),
            KeyRange::all(),
        ] {
            assert!(!covers(&held, &keys), "{keys:?}");
        }
    }

    fn put_of(key: &'static str) -> Put {
        Put {
            key: key.into(),
            value: "1".into(),
            lease: 0,
            prev_kv: false,
            ignore_value: false,
            ignore_lease: false,
        }
    }

    fn user(revision: u64) -> Author {
        Author::User(Identity {
            name: "u".into(),
            revision: AuthRevision(revision),
        })
    }

    fn made() -> Users {
        let mut users = Users::default();
        let add = |name: &str| AuthCommand::UserAdd {
            name: name.into(),
            password: None,
        };
        let give = |user: &str, role: &str| AuthCommand::GrantRole {
            user: user.into(),
            role: role.into(),
        };
        for command in [
            add("root"),
            give("root", "root"),
            AuthCommand::RoleAdd { name: "r".into() },
            add("u"),
            give("u", "r"),
            AuthCommand::GrantPermission {
                role: "r".into(),
                permission: Permission {
                    keys: one("a"),
                    access: Access::Write,
                },
            },
            AuthCommand::Enable {
                key: TokenKey([1; 32]),
            },
        ] {
            assert_eq!(users.change(&command), Ok(()));
        }
        users
    }

    #[test]
    fn who_proved_a_name_before_it_was_another_ones_is_nobody() {
        let mut users = made();
        let put = |prev_kv| {
            let put = put_of("a");
            Command::Put(Put { prev_kv, ..put })
        };
        assert_eq!(users.may(&user(7), &put(false)), Some(Ok(())));
        let denied = Some(Err(ErrorCode::PermissionDenied));
        assert_eq!(users.may(&user(7), &put(true)), denied);
        let nobody = Some(Err(ErrorCode::UserEmpty));
        assert_eq!(users.may(&Author::Nobody, &put(false)), nobody);
        let old = Some(Err(ErrorCode::AuthRevisionOld));
        assert_eq!(users.may(&user(6), &put(false)), old);
        let name = "u".into();
        assert_eq!(users.change(&AuthCommand::UserDelete { name }), Ok(()));
        assert_eq!(users.may(&user(8), &put(false)), denied);
        let (name, password) = ("u".into(), None);
        let made = users.change(&AuthCommand::UserAdd { name, password });
        assert_eq!(made, Ok(()));
        assert_eq!(users.may(&user(8), &put(false)), old);
    }

    #[test]
    fn a_name_is_proved_by_its_password_as_it_is() {
        let mut users = made();
        let [old, new] = ["old", "new"].map(PasswordHash::new);
        let command = |password: &PasswordHash| AuthCommand::UserPassword {
            name: "u".into(),
            password: password.clone(),
        };
        // Who was made without a password keeps having none.
        assert_eq!(users.change(&command(&new)), Ok(()));
        assert!(!users.proves("u", &new));
        let (name, password) = ("v".into(), Some(old.clone()));
        assert_eq!(
            users.change(&AuthCommand::UserAdd { name, password }),
            Ok(())
        );
        assert!(users.proves("v", &old) && !users.proves("v", &new) && !users.proves("w", &old));
        let (name, password) = ("v".into(), new.clone());
        assert_eq!(
            users.change(&AuthCommand::UserPassword { name, password }),
            Ok(())
        );
        assert!(users.proves("v", &new) && !users.proves("v", &old));
    }

    #[test]
    fn a_nested_transaction_needs_what_is_in_it() {
        let users = made();
        let inner = Txn {
            then: vec![Operation::Put(put_of("b"))],
            ..Txn::default()
        };
        let outer = Txn {
            otherwise: vec![Operation::Txn(inner)],
            ..Txn::default()
        };
        let denied = Some(Err(ErrorCode::PermissionDenied));
        assert_eq!(users.may(&user(7), &Command::Txn(outer)), denied);
        assert_eq!(
            users.may(&user(7), &Command::Txn(Txn::default())),
            Some(Ok(()))
        );
    }
}
