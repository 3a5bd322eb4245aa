//! Who there is, who may do what, and how that changes: the same on every node.
//!
//! Invariants: (1) while enabled, the user root exists and has the role root, and there is a key;
//! (2) `revision` grows by one with each change but that of enabling, as in etcd, and never goes
//! down; (3) a user's `since` is the revision of their newest password, so that a name proved before
//! it is worth nothing; (4) a user has only roles that exist, or the role root; (5) everything
//! together is below `AUTH_BYTES_MAX`; (6) a refused change changes nothing.

use std::cmp::Ordering;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, OnceLock};

use bytes::Bytes;

use super::rights::Rights;
use super::{
    AuthCommand, AuthRefusal, Author, Identity, PasswordHash, Permission, ROOT_ROLE, ROOT_USER,
    TokenKey,
};
use crate::id::AuthRevision;
use crate::key::KeyRange;
use crate::planted::{self, Bug};

/// What all users, roles and permissions may take together when they are encoded, in bytes.
pub const AUTH_BYTES_MAX: usize = 1024 * 1024;

/// More than any of them takes beside its names, hash and keys when it is encoded.
const ENTRY_BYTES: usize = 64;

/// Who there is and who may do what. Cheap to clone while it does not change.
#[derive(Clone, Debug)]
pub struct Auth {
    pub(crate) enabled: bool,
    /// The revision at which it was enabled last: names proved before are not known any more.
    pub(crate) enabled_since: AuthRevision,
    pub(crate) revision: AuthRevision,
    pub(crate) key: Option<TokenKey>,
    pub(crate) users: BTreeMap<Arc<str>, Arc<User>>,
    pub(crate) roles: BTreeMap<Arc<str>, Arc<Role>>,
}

/// A user.
#[derive(Clone, Debug)]
pub struct User {
    pub(crate) password: Option<PasswordHash>,
    pub(crate) roles: BTreeSet<Arc<str>>,
    pub(crate) since: AuthRevision,
    /// Worked out when it is first needed, and again after a change of a role.
    rights: OnceLock<Rights>,
}

/// A role.
#[derive(Clone, Debug, Default)]
pub struct Role {
    /// In the order of keys; no two for the same range.
    pub(crate) permissions: Vec<Permission>,
}

impl User {
    pub(crate) fn new(
        password: Option<PasswordHash>,
        roles: BTreeSet<Arc<str>>,
        since: AuthRevision,
    ) -> User {
        User {
            password,
            roles,
            since,
            rights: OnceLock::new(),
        }
    }

    /// The hash of the password; none when no password proves this name.
    pub fn password(&self) -> Option<&PasswordHash> {
        self.password.as_ref()
    }

    /// The roles, in the order of names.
    pub fn roles(&self) -> impl Iterator<Item = &str> {
        self.roles.iter().map(|role| &**role)
    }

    fn bytes(&self, name: &str) -> usize {
        let password = self.password.as_ref().map_or(0, |hash| hash.as_str().len());
        let roles = self.roles.iter().map(|role| ENTRY_BYTES + role.len());
        ENTRY_BYTES + name.len() + password + roles.sum::<usize>()
    }
}

impl Role {
    /// The permissions, in the order of keys.
    pub fn permissions(&self) -> &[Permission] {
        &self.permissions
    }

    fn find(&self, keys: &KeyRange) -> Result<usize, usize> {
        self.permissions
            .binary_search_by(|permission| compare(&permission.keys, keys))
    }

    fn bytes(&self, name: &str) -> usize {
        let permissions = self.permissions.iter().map(bytes_of_permission);
        ENTRY_BYTES + name.len() + permissions.sum::<usize>()
    }
}

impl Default for Auth {
    fn default() -> Auth {
        Auth {
            enabled: false,
            enabled_since: AuthRevision(0),
            revision: AuthRevision::FIRST,
            key: None,
            users: BTreeMap::new(),
            roles: BTreeMap::new(),
        }
    }
}

impl Auth {
    /// Whether everybody is asked who they are.
    pub fn is_enabled(&self) -> bool {
        self.enabled
    }

    /// How often users and roles changed.
    pub fn revision(&self) -> AuthRevision {
        self.revision
    }

    /// What tokens are signed with; none while nobody is asked for one.
    pub fn token_key(&self) -> Option<TokenKey> {
        self.key.filter(|_| self.enabled)
    }

    /// A user.
    pub fn user(&self, name: &str) -> Option<&User> {
        self.users.get(name).map(|user| &**user)
    }

    /// The names of all users, in order.
    pub fn users(&self) -> impl Iterator<Item = &str> {
        self.users.keys().map(|name| &**name)
    }

    /// A role.
    pub fn role(&self, name: &str) -> Option<&Role> {
        self.roles.get(name).map(|role| &**role)
    }

    /// The names of all roles, in order.
    pub fn roles(&self) -> impl Iterator<Item = &str> {
        self.roles.keys().map(|name| &**name)
    }

    /// Whether somebody is a user, if it matters.
    pub fn check_user(&self, author: &Author) -> Result<(), AuthRefusal> {
        self.rights(author).map(|_rights| ())
    }

    /// Whether somebody has the role root, if it matters.
    pub fn check_root(&self, author: &Author) -> Result<(), AuthRefusal> {
        self.check(author, Rights::is_root)
    }

    /// Whether somebody may read keys, if it matters.
    pub fn check_read(&self, author: &Author, keys: &KeyRange) -> Result<(), AuthRefusal> {
        self.check(author, |rights| rights.may_read(keys))
    }

    /// Whether somebody may write keys, if it matters.
    pub fn check_write(&self, author: &Author, keys: &KeyRange) -> Result<(), AuthRefusal> {
        self.check(author, |rights| rights.may_write(keys))
    }

    /// Whether somebody may do whatever they like, so that nothing has to be looked up for them.
    pub fn is_unlimited(&self, author: &Author) -> bool {
        self.check_root(author).is_ok()
    }

    fn check(
        &self,
        author: &Author,
        holds: impl FnOnce(&Rights) -> bool,
    ) -> Result<(), AuthRefusal> {
        match self.rights(author)? {
            Some(rights) if !holds(rights) => Err(AuthRefusal::PermissionDenied),
            _ => Ok(()),
        }
    }

    /// What somebody may do; none is everything.
    fn rights(&self, author: &Author) -> Result<Option<&Rights>, AuthRefusal> {
        if !self.enabled {
            return Ok(None);
        }
        let Identity { name, revision } = match author {
            Author::Node => return Ok(None),
            Author::Nobody => return Err(AuthRefusal::UserEmpty),
            Author::User(identity) => identity,
        };
        let is_trusted = planted::is(Bug::FormerUserTrusted);
        if *revision < self.enabled_since && !is_trusted {
            return Err(AuthRefusal::OldRevision);
        }
        let Some(user) = self.users.get(name) else {
            return Err(AuthRefusal::PermissionDenied);
        };
        if *revision < user.since && !is_trusted {
            return Err(AuthRefusal::OldRevision);
        }
        Ok(Some(user.rights.get_or_init(|| {
            let roles = user.roles.iter().filter_map(|role| self.roles.get(role));
            let permissions = roles.flat_map(|role| &role.permissions);
            Rights::of(user.roles(), permissions)
        })))
    }

    /// Changes something; the caller has checked who asks.
    pub(crate) fn apply(&mut self, command: AuthCommand) -> Result<(), AuthRefusal> {
        match command {
            AuthCommand::Disable => self.disable(),
            AuthCommand::Enable { key } => return self.enable(key),
            AuthCommand::GrantPermission { role, permission } => {
                self.grant_permission(&role, &permission)?;
            }
            AuthCommand::GrantRole { user, role } => return self.grant_role(&user, &role),
            AuthCommand::RevokePermission { role, keys } => self.revoke_permission(&role, &keys)?,
            AuthCommand::RevokeRole { user, role } => self.revoke_role(&user, &role)?,
            AuthCommand::RoleAdd { name } => self.role_add(name)?,
            AuthCommand::RoleDelete { name } => self.role_delete(&name)?,
            AuthCommand::UserAdd { name, password } => self.user_add(name, password)?,
            AuthCommand::UserDelete { name } => self.user_delete(&name)?,
            AuthCommand::UserPassword { name, password } => self.user_password(&name, password)?,
        }
        Ok(())
    }

    fn changed(&mut self) {
        self.revision = self.revision.next();
    }

    fn enable(&mut self, key: TokenKey) -> Result<(), AuthRefusal> {
        if self.enabled {
            return Ok(());
        }
        let Some(root) = self.users.get(ROOT_USER) else {
            return Err(AuthRefusal::RootUserMissing);
        };
        if !root.roles.contains(ROOT_ROLE) {
            return Err(AuthRefusal::RootRoleMissing);
        }
        self.enabled = true;
        self.enabled_since = self.revision;
        self.key = Some(key);
        Ok(())
    }

    fn disable(&mut self) {
        if self.enabled {
            self.enabled = false;
            self.key = None;
            self.changed();
        }
    }

    fn user_add(
        &mut self,
        name: Arc<str>,
        password: Option<PasswordHash>,
    ) -> Result<(), AuthRefusal> {
        if name.is_empty() {
            return Err(AuthRefusal::UserEmpty);
        }
        if self.users.contains_key(&name) {
            return Err(AuthRefusal::UserExists);
        }
        let user = User::new(password, BTreeSet::new(), self.revision.next());
        self.make_room(user.bytes(&name))?;
        self.users.insert(name, Arc::new(user));
        self.changed();
        Ok(())
    }

    fn user_delete(&mut self, name: &str) -> Result<(), AuthRefusal> {
        if self.enabled && name == ROOT_USER {
            return Err(AuthRefusal::InvalidManagement);
        }
        if self.users.remove(name).is_none() {
            return Err(AuthRefusal::UserNotFound);
        }
        self.changed();
        Ok(())
    }

    fn user_password(&mut self, name: &str, password: PasswordHash) -> Result<(), AuthRefusal> {
        let since = self.revision.next();
        let Some(user) = self.users.get(name) else {
            return Err(AuthRefusal::UserNotFound);
        };
        if user.password.is_some() {
            self.make_room(password.as_str().len())?;
        }
        if let Some(user) = self.users.get_mut(name) {
            let user = Arc::make_mut(user);
            user.password = user.password.take().map(|_former| password);
            user.since = since;
        }
        self.changed();
        Ok(())
    }

    fn grant_role(&mut self, name: &str, role: &str) -> Result<(), AuthRefusal> {
        let Some(user) = self.users.get(name) else {
            return Err(AuthRefusal::UserNotFound);
        };
        if role != ROOT_ROLE && !self.roles.contains_key(role) {
            return Err(AuthRefusal::RoleNotFound);
        }
        if user.roles.contains(role) {
            return Ok(());
        }
        self.make_room(ENTRY_BYTES + role.len())?;
        self.with_user(name, |user| user.roles.insert(role.into()));
        self.changed();
        Ok(())
    }

    fn revoke_role(&mut self, name: &str, role: &str) -> Result<(), AuthRefusal> {
        if self.enabled && name == ROOT_USER && role == ROOT_ROLE {
            return Err(AuthRefusal::InvalidManagement);
        }
        let Some(user) = self.users.get(name) else {
            return Err(AuthRefusal::UserNotFound);
        };
        if !user.roles.contains(role) {
            return Err(AuthRefusal::RoleNotGranted);
        }
        self.with_user(name, |user| user.roles.remove(role));
        self.changed();
        Ok(())
    }

    fn role_add(&mut self, name: Arc<str>) -> Result<(), AuthRefusal> {
        if name.is_empty() {
            return Err(AuthRefusal::RoleEmpty);
        }
        if self.roles.contains_key(&name) {
            return Err(AuthRefusal::RoleExists);
        }
        let role = Role::default();
        self.make_room(role.bytes(&name))?;
        self.roles.insert(name, Arc::new(role));
        self.changed();
        Ok(())
    }

    fn role_delete(&mut self, name: &str) -> Result<(), AuthRefusal> {
        if self.enabled && name == ROOT_ROLE {
            return Err(AuthRefusal::InvalidManagement);
        }
        if self.roles.remove(name).is_none() {
            return Err(AuthRefusal::RoleNotFound);
        }
        for user in self.holders(name) {
            self.with_user(&user, |user| user.roles.remove(name));
        }
        self.changed();
        Ok(())
    }

    fn grant_permission(&mut self, name: &str, permission: &Permission) -> Result<(), AuthRefusal> {
        if !is_valid(&permission.keys) {
            return Err(AuthRefusal::InvalidManagement);
        }
        let Some(role) = self.roles.get(name) else {
            return Err(AuthRefusal::RoleNotFound);
        };
        let found = role.find(&permission.keys);
        if found.is_err() {
            self.make_room(bytes_of_permission(permission))?;
        }
        self.with_role(name, |role| match found {
            Ok(place) => role.permissions[place].access = permission.access,
            Err(place) => role.permissions.insert(place, permission.detached()),
        });
        Ok(())
    }

    fn revoke_permission(&mut self, name: &str, keys: &KeyRange) -> Result<(), AuthRefusal> {
        let Some(role) = self.roles.get(name) else {
            return Err(AuthRefusal::RoleNotFound);
        };
        let Ok(place) = role.find(keys) else {
            return Err(AuthRefusal::PermissionNotGranted);
        };
        self.with_role(name, |role| {
            role.permissions.remove(place);
        });
        Ok(())
    }

    /// Changes a user, and forgets what their roles came to.
    fn with_user<T>(&mut self, name: &str, change: impl FnOnce(&mut User) -> T) {
        if let Some(user) = self.users.get_mut(name) {
            let user = Arc::make_mut(user);
            change(user);
            user.rights = OnceLock::new();
        }
    }

    /// Changes a role, and forgets what it came to for those who have it.
    fn with_role(&mut self, name: &str, change: impl FnOnce(&mut Role)) {
        if let Some(role) = self.roles.get_mut(name) {
            change(Arc::make_mut(role));
        }
        let holders = if planted::is(Bug::RightsOutliveTheirRole) {
            Vec::new()
        } else {
            self.holders(name)
        };
        for user in holders {
            self.with_user(&user, |_user| ());
        }
        self.changed();
    }

    fn holders(&self, role: &str) -> Vec<Arc<str>> {
        let holders = self
            .users
            .iter()
            .filter(|(_, user)| user.roles.contains(role));
        holders.map(|(name, _)| name.clone()).collect()
    }

    fn make_room(&self, bytes: usize) -> Result<(), AuthRefusal> {
        if self.bytes() + bytes > AUTH_BYTES_MAX {
            return Err(AuthRefusal::Full);
        }
        Ok(())
    }

    /// What everything together takes, at most.
    pub(crate) fn bytes(&self) -> usize {
        let users = self.users.iter().map(|(name, user)| user.bytes(name));
        let roles = self.roles.iter().map(|(name, role)| role.bytes(name));
        users.sum::<usize>() + roles.sum::<usize>()
    }

    /// Says no to what `apply` never makes.
    pub(crate) fn check_laws(&self) -> Result<(), &'static str> {
        let root = self.users.get(ROOT_USER);
        let is_led = root.is_some_and(|root| root.roles.contains(ROOT_ROLE)) && self.key.is_some();
        if self.enabled && !is_led {
            return Err("authentication without root or without a key");
        }
        if self.revision < AuthRevision::FIRST || self.enabled_since > self.revision {
            return Err("impossible revisions of users");
        }
        if self.bytes() > AUTH_BYTES_MAX {
            return Err("more users and roles than there may be");
        }
        for (name, user) in &self.users {
            let known = |role: &Arc<str>| &**role == ROOT_ROLE || self.roles.contains_key(role);
            if name.is_empty() || user.since > self.revision || !user.roles.iter().all(known) {
                return Err("an impossible user");
            }
        }
        for (name, role) in &self.roles {
            let in_order = role
                .permissions
                .is_sorted_by(|a, b| compare(&a.keys, &b.keys).is_lt());
            if name.is_empty() || !in_order || !role.permissions.iter().all(|p| is_valid(&p.keys)) {
                return Err("an impossible role");
            }
        }
        Ok(())
    }
}

/// Whether a permission can be for these keys: some key must be in the range.
fn is_valid(keys: &KeyRange) -> bool {
    match keys {
        KeyRange::One(key) | KeyRange::From(key) => !key.is_empty(),
        KeyRange::Span { start, end } => !start.is_empty() && start < end,
    }
}

fn bytes_of_permission(permission: &Permission) -> usize {
    ENTRY_BYTES + permission.keys.start().len() + end_of(&permission.keys).len()
}

fn end_of(keys: &KeyRange) -> &[u8] {
    match keys {
        KeyRange::One(_) | KeyRange::From(_) => &[],
        KeyRange::Span { end, .. } => end,
    }
}

/// By the first key, then the single key, the spans by their ends, and what has no end.
fn compare(a: &KeyRange, b: &KeyRange) -> Ordering {
    let kind = |keys: &KeyRange| match keys {
        KeyRange::One(_) => 0,
        KeyRange::Span { .. } => 1,
        KeyRange::From(_) => 2,
    };
    let by_end = || (kind(a), end_of(a)).cmp(&(kind(b), end_of(b)));
    a.start().cmp(b.start()).then_with(by_end)
}

impl Permission {
    /// A copy that keeps nothing of the bytes it came in.
    pub(crate) fn detached(&self) -> Permission {
        let copy = |bytes: &Bytes| Bytes::copy_from_slice(bytes);
        let keys = match &self.keys {
            KeyRange::One(key) => KeyRange::One(copy(key)),
            KeyRange::From(start) => KeyRange::From(copy(start)),
            KeyRange::Span { start, end } => KeyRange::Span {
                start: copy(start),
                end: copy(end),
            },
        };
        Permission {
            keys,
            access: self.access,
        }
    }
}
