//! Users, roles and what changes them, to their messages and back.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::{DecodeError, wire};
use crate::auth::{
    Access, Auth, AuthCommand, AuthRefusal, Author, Identity, PasswordHash, Permission, Role,
    TokenKey, User,
};
use crate::id::AuthRevision;

impl wire::Author {
    /// None for nobody, so that a proposal of nobody has no such field.
    pub(super) fn of(author: &Author) -> Option<wire::Author> {
        match author {
            Author::Nobody => None,
            Author::Node => Some(wire::Author {
                node: true,
                ..wire::Author::default()
            }),
            Author::User(Identity { name, revision }) => Some(wire::Author {
                node: false,
                user: name.to_string(),
                revision: revision.0,
            }),
        }
    }

    pub(super) fn read(author: Option<wire::Author>) -> Result<Author, DecodeError> {
        match author {
            None => Ok(Author::Nobody),
            Some(author) if author.node && author.user.is_empty() && author.revision == 0 => {
                Ok(Author::Node)
            }
            Some(author) if author.node || author.user.is_empty() => {
                Err(DecodeError::Malformed("an impossible author"))
            }
            Some(author) => Ok(Author::User(Identity {
                name: author.user.into(),
                revision: AuthRevision(author.revision),
            })),
        }
    }
}

impl From<&AuthCommand> for wire::AuthCommand {
    fn from(command: &AuthCommand) -> Self {
        let named = |name: &Arc<str>| wire::AuthName {
            name: name.to_string(),
        };
        let pair = |user: &Arc<str>, role: &Arc<str>| wire::UserRole {
            user: user.to_string(),
            role: role.to_string(),
        };
        let kind = match command {
            AuthCommand::Disable => wire::AuthKind::Disable(wire::AuthDisable {}),
            AuthCommand::Enable { key } => wire::AuthKind::Enable(wire::AuthEnable {
                key: key.0.to_vec(),
            }),
            AuthCommand::GrantPermission { role, permission } => {
                wire::AuthKind::GrantPermission(wire::RolePermission {
                    role: role.to_string(),
                    permission: Some(permission.into()),
                })
            }
            AuthCommand::GrantRole { user, role } => wire::AuthKind::GrantRole(pair(user, role)),
            AuthCommand::RevokePermission { role, keys } => {
                wire::AuthKind::RevokePermission(wire::RoleKeys {
                    role: role.to_string(),
                    keys: Some(keys.into()),
                })
            }
            AuthCommand::RevokeRole { user, role } => wire::AuthKind::RevokeRole(pair(user, role)),
            AuthCommand::RoleAdd { name } => wire::AuthKind::RoleAdd(named(name)),
            AuthCommand::RoleDelete { name } => wire::AuthKind::RoleDelete(named(name)),
            AuthCommand::UserAdd { name, password } => {
                wire::AuthKind::UserAdd(user_password(name, password.as_ref()))
            }
            AuthCommand::UserDelete { name } => wire::AuthKind::UserDelete(named(name)),
            AuthCommand::UserPassword { name, password } => {
                wire::AuthKind::UserPassword(user_password(name, Some(password)))
            }
        };
        wire::AuthCommand { kind: Some(kind) }
    }
}

fn user_password(name: &str, password: Option<&PasswordHash>) -> wire::UserPassword {
    wire::UserPassword {
        name: name.to_owned(),
        password: password.map(|hash| hash.as_str().to_owned()),
    }
}

impl TryFrom<wire::AuthCommand> for AuthCommand {
    type Error = DecodeError;

    fn try_from(command: wire::AuthCommand) -> Result<Self, DecodeError> {
        let kind = command
            .kind
            .ok_or(DecodeError::Malformed("no change of users or roles"))?;
        Ok(match kind {
            wire::AuthKind::Disable(wire::AuthDisable {}) => AuthCommand::Disable,
            wire::AuthKind::Enable(enable) => AuthCommand::Enable {
                key: token_key(&enable.key)?,
            },
            wire::AuthKind::GrantPermission(grant) => AuthCommand::GrantPermission {
                role: grant.role.into(),
                permission: grant
                    .permission
                    .ok_or(DecodeError::Malformed("no permission"))?
                    .try_into()?,
            },
            wire::AuthKind::GrantRole(pair) => AuthCommand::GrantRole {
                user: pair.user.into(),
                role: pair.role.into(),
            },
            wire::AuthKind::RevokePermission(revoke) => AuthCommand::RevokePermission {
                role: revoke.role.into(),
                keys: wire::KeyRange::required(revoke.keys)?,
            },
            wire::AuthKind::RevokeRole(pair) => AuthCommand::RevokeRole {
                user: pair.user.into(),
                role: pair.role.into(),
            },
            wire::AuthKind::RoleAdd(role) => AuthCommand::RoleAdd {
                name: role.name.into(),
            },
            wire::AuthKind::RoleDelete(role) => AuthCommand::RoleDelete {
                name: role.name.into(),
            },
            wire::AuthKind::UserAdd(user) => AuthCommand::UserAdd {
                name: user.name.into(),
                password: user.password.map(|hash| PasswordHash::new(&hash)),
            },
            wire::AuthKind::UserDelete(user) => AuthCommand::UserDelete {
                name: user.name.into(),
            },
            wire::AuthKind::UserPassword(user) => AuthCommand::UserPassword {
                name: user.name.into(),
                password: user
                    .password
                    .map(|hash| PasswordHash::new(&hash))
                    .ok_or(DecodeError::Malformed("no password"))?,
            },
        })
    }
}

fn token_key(bytes: &[u8]) -> Result<TokenKey, DecodeError> {
    let key = bytes.try_into();
    key.map(TokenKey)
        .map_err(|_length| DecodeError::Malformed("a key of another length"))
}

impl From<&Permission> for wire::Permission {
    fn from(permission: &Permission) -> Self {
        wire::Permission {
            keys: Some((&permission.keys).into()),
            access: match permission.access {
                Access::Read => 1,
                Access::Write => 2,
                Access::ReadWrite => 3,
            },
        }
    }
}

impl TryFrom<wire::Permission> for Permission {
    type Error = DecodeError;

    fn try_from(permission: wire::Permission) -> Result<Self, DecodeError> {
        Ok(Permission {
            keys: wire::KeyRange::required(permission.keys)?,
            access: match permission.access {
                1 => Access::Read,
                2 => Access::Write,
                3 => Access::ReadWrite,
                _ => return Err(DecodeError::Malformed("an unknown access")),
            },
        })
    }
}

impl From<AuthRefusal> for u32 {
    /// The numbers of refusals from 100 on.
    fn from(refusal: AuthRefusal) -> u32 {
        match refusal {
            AuthRefusal::Full => 100,
            AuthRefusal::InvalidManagement => 101,
            AuthRefusal::OldRevision => 102,
            AuthRefusal::PermissionDenied => 103,
            AuthRefusal::PermissionNotGranted => 104,
            AuthRefusal::RoleEmpty => 105,
            AuthRefusal::RoleExists => 106,
            AuthRefusal::RoleNotFound => 107,
            AuthRefusal::RoleNotGranted => 108,
            AuthRefusal::RootRoleMissing => 109,
            AuthRefusal::RootUserMissing => 110,
            AuthRefusal::UserEmpty => 111,
            AuthRefusal::UserExists => 112,
            AuthRefusal::UserNotFound => 113,
        }
    }
}

/// The refusal with this number.
pub(super) fn refusal_of(number: u32) -> Option<AuthRefusal> {
    let numbered = |refusal: &AuthRefusal| u32::from(*refusal) == number;
    AuthRefusal::ALL.into_iter().find(numbered)
}

impl wire::Auth {
    /// None when nobody ever made a user or a role, so that such a state has no such field.
    pub(crate) fn of(auth: &Auth) -> Option<wire::Auth> {
        if auth.revision == AuthRevision::FIRST && !auth.enabled {
            return None;
        }
        let users = auth.users.iter().map(|(name, user)| wire::AuthUser {
            name: name.to_string(),
            password: user.password.as_ref().map(|hash| hash.as_str().to_owned()),
            roles: user.roles.iter().map(ToString::to_string).collect(),
            since: user.since.0,
        });
        let roles = auth.roles.iter().map(|(name, role)| wire::AuthRole {
            name: name.to_string(),
            permissions: role
                .permissions
                .iter()
                .map(wire::Permission::from)
                .collect(),
        });
        Some(wire::Auth {
            enabled: auth.enabled,
            enabled_since: auth.enabled_since.0,
            revision: auth.revision.0,
            key: auth.key.map(|key| key.0.to_vec()).unwrap_or_default(),
            users: users.collect(),
            roles: roles.collect(),
        })
    }

    pub(crate) fn read(auth: Option<wire::Auth>) -> Result<Auth, DecodeError> {
        let Some(wire) = auth else {
            return Ok(Auth::default());
        };
        let mut auth = Auth {
            enabled: wire.enabled,
            enabled_since: AuthRevision(wire.enabled_since),
            revision: AuthRevision(wire.revision),
            key: if wire.key.is_empty() {
                None
            } else {
                Some(token_key(&wire.key)?)
            },
            users: BTreeMap::new(),
            roles: BTreeMap::new(),
        };
        for user in wire.users {
            let password = user.password.map(|hash| PasswordHash::new(&hash));
            let roles: BTreeSet<Arc<str>> = user.roles.into_iter().map(Arc::from).collect();
            let made = User::new(password, roles, AuthRevision(user.since));
            if auth
                .users
                .insert(user.name.into(), Arc::new(made))
                .is_some()
            {
                return Err(DecodeError::Malformed("a user that is named twice"));
            }
        }
        for role in wire.roles {
            let read = |wire| Permission::try_from(wire).map(|read| read.detached());
            let permissions = role.permissions.into_iter().map(read);
            let made = Role {
                permissions: permissions.collect::<Result<_, _>>()?,
            };
            if auth
                .roles
                .insert(role.name.into(), Arc::new(made))
                .is_some()
            {
                return Err(DecodeError::Malformed("a role that is named twice"));
            }
        }
        auth.check_laws().map_err(DecodeError::Malformed)?;
        Ok(auth)
    }
}
