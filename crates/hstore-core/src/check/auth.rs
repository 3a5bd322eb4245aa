//! The bounds of names, hashes and ranges in changes of users and roles. What is empty or makes no
//! sense is the machine's to refuse, in etcd's words.

use super::{Violation, not_too_large};
use crate::auth::{AuthCommand, NAME_BYTES_MAX, PASSWORD_HASH_BYTES_MAX, PasswordHash};
use crate::key::KeyRange;
use crate::limits::Limits;

/// Checks a change of users or roles.
pub fn auth(command: &AuthCommand, limits: &Limits) -> Result<(), Violation> {
    match command {
        AuthCommand::Disable | AuthCommand::Enable { .. } => Ok(()),
        AuthCommand::GrantPermission { role, permission } => {
            name(role)?;
            keys(&permission.keys, limits)
        }
        AuthCommand::GrantRole { user, role } | AuthCommand::RevokeRole { user, role } => {
            name(user)?;
            name(role)
        }
        AuthCommand::RevokePermission { role, keys: range } => {
            name(role)?;
            keys(range, limits)
        }
        AuthCommand::RoleAdd { name: text }
        | AuthCommand::RoleDelete { name: text }
        | AuthCommand::UserDelete { name: text } => name(text),
        AuthCommand::UserAdd {
            name: text,
            password,
        } => {
            name(text)?;
            password.as_ref().map_or(Ok(()), hash)
        }
        AuthCommand::UserPassword {
            name: text,
            password,
        } => {
            name(text)?;
            hash(password)
        }
    }
}

fn name(name: &str) -> Result<(), Violation> {
    within(name.len(), NAME_BYTES_MAX)
}

fn hash(hash: &PasswordHash) -> Result<(), Violation> {
    within(hash.as_str().len(), PASSWORD_HASH_BYTES_MAX)
}

fn within(bytes: usize, limit: usize) -> Result<(), Violation> {
    if bytes > limit {
        return Err(Violation::NameTooLong { bytes, limit });
    }
    Ok(())
}

fn keys(keys: &KeyRange, limits: &Limits) -> Result<(), Violation> {
    not_too_large(keys.start(), limits)?;
    match keys {
        KeyRange::Span { end, .. } => not_too_large(end, limits),
        KeyRange::One(_) | KeyRange::From(_) => Ok(()),
    }
}
