//! How large requests may be. The defaults are etcd's.

/// No setting lets transactions nest deeper than this, so that every walk over one is short; a
/// proposal that does is malformed.
pub const TXN_DEPTH_CEILING: usize = 32;

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
