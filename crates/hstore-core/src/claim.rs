//! The layout of keys that stand in line for a lock or an election. It is etcd's, so that its
//! clients and ours stand in the same lines: the name, a slash, and the lease in hexadecimal; a key
//! is before another when its create revision is smaller.

use bytes::Bytes;

use crate::key::KeyRange;

/// What stands between the name and the lease.
const SEPARATOR: u8 = b'/';

/// The key by which a lease stands in line under a name.
pub fn key(name: &[u8], lease: i64) -> Bytes {
    let sign = if lease < 0 { "-" } else { "" };
    let lease = format!("{sign}{:x}", lease.unsigned_abs());
    [name, &[SEPARATOR], lease.as_bytes()].concat().into()
}

/// All keys that stand in line under a name.
pub fn line(name: &[u8]) -> KeyRange {
    KeyRange::prefix(&[name, &[SEPARATOR]].concat().into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_the_name_a_slash_and_the_lease_in_hexadecimal() {
        let table = [
            ("lock", 0x7a_bc, "lock/7abc"),
            ("", 1, "/1"),
            ("a/b", -255, "a/b/-ff"),
            ("x", i64::MIN, "x/-8000000000000000"),
        ];
        for (name, lease, expected) in table {
            let key = key(name.as_bytes(), lease);
            assert_eq!(key, expected);
            assert!(line(name.as_bytes()).contains(&key));
        }
        assert!(!line(b"lock").contains(b"lock0"));
    }
}
