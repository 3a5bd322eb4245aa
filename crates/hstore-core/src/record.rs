//! A record is one revision of one key, immutable once made.

use bytes::Bytes;

use crate::id::Revision;

/// One revision of one key. A record of version 0 is a tombstone: the key was deleted here.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    /// The key.
    pub key: Bytes,
    /// The value; empty in a tombstone and where only keys were asked for.
    pub value: Bytes,
    /// Everything about the record but its bytes.
    pub meta: Meta,
}

/// What the key index knows of a record.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Meta {
    /// The revision that created this generation of the key; in a tombstone 0.
    pub create_revision: Revision,
    /// The revision that wrote this record.
    pub mod_revision: Revision,
    /// The place among the records of `mod_revision`, from 0, in the order of writing.
    pub sub: u32,
    /// How often this generation of the key was written, from 1; 0 marks a tombstone.
    pub version: i64,
    /// The lease that the key is attached to, or 0.
    pub lease: i64,
}

impl Meta {
    /// Whether the key was deleted here.
    pub fn is_tombstone(&self) -> bool {
        self.version == 0
    }

    /// The total order of all records of the store.
    pub fn position(&self) -> Position {
        Position {
            revision: self.mod_revision,
            sub: self.sub,
        }
    }
}

/// A record's place in the store's history.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Position {
    /// The revision that wrote the record.
    pub revision: Revision,
    /// The place among the records of that revision.
    pub sub: u32,
}
