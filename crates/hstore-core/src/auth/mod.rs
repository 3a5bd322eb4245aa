//! Users, roles and permissions: etcd's model (its guide "Role-based access control"), as words and
//! as the part of the replicated state that decides who may do what.
//!
//! This room knows names, ranges and secrets that somebody else made. It must never know a password
//! in plain text, a token or a clock.

mod rights;
mod state;

use std::fmt;
use std::sync::Arc;

use crate::error::ErrorCode;
use crate::id::AuthRevision;
use crate::key::KeyRange;

pub use state::{AUTH_BYTES_MAX, Auth, Role, User};

/// The user without whom authentication cannot be enabled.
pub const ROOT_USER: &str = "root";

/// The role that may do everything. It needs no entry among the roles.
pub const ROOT_ROLE: &str = "root";

/// The longest name of a user or a role, in bytes.
pub const NAME_BYTES_MAX: usize = 256;

/// The longest hash of a password, in bytes, as text with everything that checking one needs.
pub const PASSWORD_HASH_BYTES_MAX: usize = 512;

/// Who asks for something.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Author {
    /// The node itself, for what it does without being asked. No door may say this.
    Node,
    /// Somebody who did not say who they are.
    Nobody,
    /// A user.
    User(Identity),
}

/// A user as a door got to know them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    /// The name.
    pub name: Arc<str>,
    /// As of when they proved it: a password that was changed since proves nothing any more.
    pub revision: AuthRevision,
}

/// What may be done with keys.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// Read them.
    Read,
    /// Write and delete them.
    Write,
    /// Both.
    ReadWrite,
}

impl Access {
    /// Whether it lets read.
    pub fn reads(self) -> bool {
        matches!(self, Access::Read | Access::ReadWrite)
    }

    /// Whether it lets write.
    pub fn writes(self) -> bool {
        matches!(self, Access::Write | Access::ReadWrite)
    }
}

/// What a role may do with some keys.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Permission {
    /// The keys.
    pub keys: KeyRange,
    /// What may be done.
    pub access: Access,
}

/// The hash of a password. It says nothing of itself in logs.
#[derive(Clone, PartialEq, Eq)]
pub struct PasswordHash(Arc<str>);

impl PasswordHash {
    /// A hash in the form of a PHC string, which holds method, parameters, salt and hash.
    pub fn new(text: &str) -> PasswordHash {
        PasswordHash(text.into())
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for PasswordHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("PasswordHash(..)")
    }
}

/// The key that tokens are signed with. It says nothing of itself in logs.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct TokenKey(pub [u8; 32]);

impl fmt::Debug for TokenKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("TokenKey(..)")
    }
}

/// A change of users, roles, or of whether they count.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AuthCommand {
    /// Ask nobody any more who they are.
    Disable,
    /// Ask everybody who they are.
    Enable {
        /// What tokens will be signed with, drawn by the door.
        key: TokenKey,
    },
    /// Let a role do something; another access to the same range is replaced.
    GrantPermission {
        /// The role.
        role: Arc<str>,
        /// What it may do.
        permission: Permission,
    },
    /// Give a user a role.
    GrantRole {
        /// The user.
        user: Arc<str>,
        /// The role.
        role: Arc<str>,
    },
    /// Take a permission from a role.
    RevokePermission {
        /// The role.
        role: Arc<str>,
        /// The range, as it was granted.
        keys: KeyRange,
    },
    /// Take a role from a user.
    RevokeRole {
        /// The user.
        user: Arc<str>,
        /// The role.
        role: Arc<str>,
    },
    /// Make a role.
    RoleAdd {
        /// Its name.
        name: Arc<str>,
    },
    /// Delete a role, and take it from all users.
    RoleDelete {
        /// Its name.
        name: Arc<str>,
    },
    /// Make a user.
    UserAdd {
        /// The name.
        name: Arc<str>,
        /// None for a user who cannot prove their name by a password.
        password: Option<PasswordHash>,
    },
    /// Delete a user.
    UserDelete {
        /// The name.
        name: Arc<str>,
    },
    /// Give a user another password; one who has none keeps having none.
    UserPassword {
        /// The name.
        name: Arc<str>,
        /// The password.
        password: PasswordHash,
    },
}

/// Why something is not done, for reasons of users and roles.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, thiserror::Error)]
pub enum AuthRefusal {
    /// Users, roles and permissions take as much room as they may.
    #[error("users, roles and permissions take as much room as they may, {AUTH_BYTES_MAX} bytes")]
    Full,
    /// It would leave nobody who may manage users, or a permission makes no sense.
    #[error(
        "the user or the role root is needed while authentication is enabled, or a range is empty"
    )]
    InvalidManagement,
    /// The user proved their name before their password was changed, or before tokens were renewed.
    #[error("the user proved their name before their password or all tokens were renewed")]
    OldRevision,
    /// The user may not do this.
    #[error("the user may not do this")]
    PermissionDenied,
    /// The role has no such permission.
    #[error("the role has no permission for exactly this range")]
    PermissionNotGranted,
    /// A role has no name.
    #[error("the name of the role is empty")]
    RoleEmpty,
    /// A role with this name exists.
    #[error("a role with this name exists")]
    RoleExists,
    /// There is no such role.
    #[error("there is no role with this name")]
    RoleNotFound,
    /// The user does not have the role.
    #[error("the user does not have this role")]
    RoleNotGranted,
    /// The user root does not have the role root.
    #[error("the user root does not have the role root")]
    RootRoleMissing,
    /// There is no user root.
    #[error("there is no user root")]
    RootUserMissing,
    /// Nobody said who they are, or a user has no name.
    #[error("no user is named, and authentication is enabled")]
    UserEmpty,
    /// A user with this name exists.
    #[error("a user with this name exists")]
    UserExists,
    /// There is no such user.
    #[error("there is no user with this name")]
    UserNotFound,
}

impl AuthRefusal {
    /// Every one.
    pub const ALL: [AuthRefusal; 14] = [
        AuthRefusal::Full,
        AuthRefusal::InvalidManagement,
        AuthRefusal::OldRevision,
        AuthRefusal::PermissionDenied,
        AuthRefusal::PermissionNotGranted,
        AuthRefusal::RoleEmpty,
        AuthRefusal::RoleExists,
        AuthRefusal::RoleNotFound,
        AuthRefusal::RoleNotGranted,
        AuthRefusal::RootRoleMissing,
        AuthRefusal::RootUserMissing,
        AuthRefusal::UserEmpty,
        AuthRefusal::UserExists,
        AuthRefusal::UserNotFound,
    ];

    /// The code that the refusal travels with.
    pub fn code(self) -> ErrorCode {
        match self {
            AuthRefusal::Full => ErrorCode::AuthFull,
            AuthRefusal::InvalidManagement => ErrorCode::InvalidAuthManagement,
            AuthRefusal::OldRevision => ErrorCode::AuthRevisionOld,
            AuthRefusal::PermissionDenied => ErrorCode::PermissionDenied,
            AuthRefusal::PermissionNotGranted => ErrorCode::PermissionNotGranted,
            AuthRefusal::RoleEmpty => ErrorCode::RoleEmpty,
            AuthRefusal::RoleExists => ErrorCode::RoleExists,
            AuthRefusal::RoleNotFound => ErrorCode::RoleNotFound,
            AuthRefusal::RoleNotGranted => ErrorCode::RoleNotGranted,
            AuthRefusal::RootRoleMissing => ErrorCode::RootRoleMissing,
            AuthRefusal::RootUserMissing => ErrorCode::RootUserMissing,
            AuthRefusal::UserEmpty => ErrorCode::UserEmpty,
            AuthRefusal::UserExists => ErrorCode::UserExists,
            AuthRefusal::UserNotFound => ErrorCode::UserNotFound,
        }
    }
}
