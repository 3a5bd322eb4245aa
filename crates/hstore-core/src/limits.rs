//! How large requests may be. The defaults are etcd's.

/// No setting lets transactions nest deeper than this, so that every walk over one is short; a
/// proposal that does is malformed.
pub const TXN_DEPTH_CEILING: usize = 32;

/// A shorter time to live is raised to this, in seconds: a client must have the time to say that it
/// is still there although a leader was just lost. etcd's value at its default settings.
pub const LEASE_TTL_MIN_S: i64 = 2;

/// A longer time to live is refused, in seconds. etcd's value.
pub const LEASE_TTL_MAX_S: i64 = 9_000_000_000;

/// A longer address of a node is refused: no name of a host has so many letters.
pub const ADDRESS_BYTES_MAX: usize = 300;

/// The limits of the door, settable by flag.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// The largest request, encoded, in bytes: 1.5 MiB.
    pub request_bytes_max: usize,
    /// The longest key, in bytes: 8 KiB. etcd has no limit of its own here.
    pub key_bytes_max: usize,
    /// The most operations on one level of a transaction, and comparisons likewise: 128.
    pub txn_operations_max: usize,
    /// The deepest nesting of transactions, the outermost counted: 8. More than
    /// `TXN_DEPTH_CEILING` is taken as that.
    pub txn_depth_max: usize,
}

impl Default for Limits {
    fn default() -> Limits {
        Limits {
            request_bytes_max: 1536 * 1024,
            key_bytes_max: 8 * 1024,
            txn_operations_max: 128,
            txn_depth_max: 8,
        }
    }
}
