//! What is asked about keys and what is answered, in words rather than wire types.

use bytes::Bytes;
use hstore_core::id::Revision;
use hstore_proto::{hstore::v1, mvccpb};

/// A key with its value, and where they stand in history.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct KeyValue {
    /// The key.
    pub key: Bytes,
    /// The value; empty where only keys were asked for.
    pub value: Bytes,
    /// The revision that created this generation of the key.
    pub create_revision: Revision,
    /// The revision that wrote the value.
    pub mod_revision: Revision,
    /// How often this generation was written, from 1.
    pub version: i64,
    /// The lease that the key is attached to, or 0.
    pub lease: i64,
}

impl From<mvccpb::KeyValue> for KeyValue {
    fn from(pair: mvccpb::KeyValue) -> KeyValue {
        KeyValue {
            key: pair.key,
            value: pair.value,
            create_revision: Revision(pair.create_revision),
            mod_revision: Revision(pair.mod_revision),
            version: pair.version,
            lease: pair.lease,
        }
    }
}

/// How a read is to be done.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Read {
    /// As of which revision; 0 is the current one.
    pub revision: Revision,
    /// Answer from the node that is asked, which may be behind; otherwise the answer is as new as
    /// the last write that was acknowledged before the read.
    pub serializable: bool,
    /// Leave the values out.
    pub keys_only: bool,
}

/// An answer, and the store's revision when it was made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer<T> {
    /// The store's revision.
    pub revision: Revision,
    /// The answer.
    pub value: T,
}

/// What a key must be like for a swap to happen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Expect {
    /// Its mod revision is this one; 0 means that the key is not there.
    Revision(Revision),
    /// It is there with this value.
    Value(Bytes),
}

/// What came of a swap.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Swap {
    /// The key has the new value.
    Done,
    /// The key was not as expected; this is what it is, if it is there.
    Lost(Option<KeyValue>),
}

/// Some of the records of one key, newest first.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct History {
    /// The store's revision.
    pub revision: Revision,
    /// Records that were superseded below this revision are gone.
    pub compacted: Revision,
    /// The records.
    pub records: Vec<Past>,
    /// Whether there are older ones.
    pub more: bool,
}

/// One record of one key.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Past {
    /// The revision that wrote it.
    pub mod_revision: Revision,
    /// The revision that created this generation of the key; in a deletion 0.
    pub create_revision: Revision,
    /// How often this generation was written, from 1; in a deletion 0.
    pub version: i64,
    /// The value; none when the key was deleted here.
    pub value: Option<Bytes>,
    /// The lease that the key was attached to, or 0.
    pub lease: i64,
}

impl From<v1::HistoryRecord> for Past {
    fn from(record: v1::HistoryRecord) -> Past {
        Past {
            mod_revision: Revision(record.mod_revision),
            create_revision: Revision(record.create_revision),
            version: record.version,
            value: (!record.deleted).then_some(record.value),
            lease: record.lease,
        }
    }
}
