//! etcd's permissions, and what they stand for.

use hstore_core::auth::{Access, Permission};

use super::keys;
use crate::authpb;
use crate::authpb::permission::Type;

/// What a permission means; none when its type is a number without a meaning.
pub fn from_wire(permission: authpb::Permission) -> Option<Permission> {
    let access = match Type::try_from(permission.perm_type) {
        Ok(Type::Read) => Access::Read,
        Ok(Type::Write) => Access::Write,
        Ok(Type::Readwrite) => Access::ReadWrite,
        Err(_unknown) => return None,
    };
    Some(Permission {
        keys: keys::from_wire(permission.key, permission.range_end),
        access,
    })
}

/// The permission that means this.
pub fn to_wire(permission: Permission) -> authpb::Permission {
    let perm_type = match permission.access {
        Access::Read => Type::Read,
        Access::Write => Type::Write,
        Access::ReadWrite => Type::Readwrite,
    };
    let (key, range_end) = keys::to_wire(permission.keys);
    authpb::Permission {
        perm_type: perm_type.into(),
        key,
        range_end,
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use hstore_core::key::KeyRange;

    use super::*;

    #[test]
    fn a_permission_survives_the_way_and_an_unknown_type_does_not() {
        for access in [Access::Read, Access::Write, Access::ReadWrite] {
            for keys in [KeyRange::all(), KeyRange::One(Bytes::from_static(b"k"))] {
                let permission = Permission { keys, access };
                assert_eq!(from_wire(to_wire(permission.clone())), Some(permission));
            }
        }
        let unknown = authpb::Permission {
            perm_type: 3,
            ..authpb::Permission::default()
        };
        assert_eq!(from_wire(unknown), None);
    }
}
