//! A catalogue of violations: each a mistake that a store could make, played out in the midst of a
//! good run.
//!
//! Invariants: (1) each is a violation whatever the run around it is like, as long as the values are
//! unique; (2) `shows_in_values` only where times and values alone, key by key, prove it.

use bytes::Bytes;
use hstore_core::command::{Operation as Step, Txn};
use hstore_core::error::ErrorCode;
use hstore_core::key::KeyRange;
use hstore_core::outcome::Reply;
use hstore_core::range::{Range, RangeResult};
use hstore_core::record::Record;

use super::calls;
use super::world::World;
use crate::history::{Call, Consistency};

macro_rules! planted {
    ($($(#[$doc:meta])* $name:ident, $shows:literal;)*) => {
        /// A violation that can be planted.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum Planted {
            $($(#[$doc])* $name,)*
        }

        impl Planted {
            /// Every violation of the catalogue.
            pub const ALL: &'static [Planted] = &[$(Planted::$name,)*];

            /// Whether times and values alone prove it, so that the search must see it too.
            pub fn shows_in_values(self) -> bool {
                match self { $(Planted::$name => $shows,)* }
            }
        }
    };
}

planted! {
    /// A refused write was applied.
    AppliedRefused, true;
    /// A deleted key is read again.
    DeletedKeyComesBack, true;
    /// A read shows a refused write that was not applied.
    DirtyRead, true;
    /// An answered write was applied a second time, after another one.
    DuplicateApply, true;
    /// A read of the past shows what came later.
    HistoricalReadDiffers, false;
    /// A write was answered and is not in the log.
    LogLostWrite, false;
    /// A delete was answered, and its key stays.
    LostTombstone, true;
    /// A write was answered, and is gone.
    LostWrite, true;
    /// A range leaves a key out.
    MissingRecord, true;
    /// A read shows what nobody wrote.
    Phantom, true;
    /// A write says the revision of the write before it.
    RevisionReused, false;
    /// A write makes two revisions.
    RevisionSkipped, false;
    /// A read shows the state, but says the revision before it.
    RevisionWentBack, false;
    /// A serializable read shows what was not at its revision.
    SerializableReadDiffers, false;
    /// A read shows the state before an answered write, and says so.
    StaleRead, true;
    /// A read shows the state before an answered write, at the revision after it.
    StaleValue, true;
    /// A range within a transaction's time shows one of its two writes.
    TornTxn, false;
    /// Of a transaction one of two writes was applied.
    TxnNotAtomic, true;
    /// An unknown write was applied twice.
    UnknownAppliedTwice, true;
    /// An unknown write was read before it was invoked.
    UnknownBeforeInvoked, true;
    /// A comparison that holds is said not to.
    WrongBranch, true;
    /// A range counts one key too many.
    WrongCount, false;
    /// A read shows another create revision.
    WrongCreateRevision, false;
    /// A delete of a key that is there says that it was not.
    WrongDeleted, true;
    /// A read shows another mod revision.
    WrongModRevision, false;
    /// A range that shows all says that there is more.
    WrongMore, false;
    /// A put shows another value as the one that it replaced.
    WrongPrevKv, true;
    /// A read is refused for a compaction that never was.
    WrongRefusal, false;
    /// A read shows another version.
    WrongVersion, false;
}

impl Planted {
    pub(super) fn plant(self, world: &mut World) {
        let key = world.key();
        let [one, two, three] = [1, 2, 3].map(|n| Bytes::from(format!("planted{n}")));
        let put = |value: &Bytes| Call::Put(calls::put(&key, value, false));
        let delete = Call::Delete(calls::delete(KeyRange::One(key.clone()), false));
        let get = calls::get(&key);
        let other = Bytes::from_static(b"other");
        let overloaded = || Err(ErrorCode::Overloaded);
        world.plain(put(&one));
        match self {
            Planted::AppliedRefused => {
                let (id, _) = world.begin(put(&two));
                world.end(id, overloaded());
                world.plain(get);
            }
            Planted::DeletedKeyComesBack => {
                let before = peek(world, &key);
                world.plain(delete);
                world.alone(get, |_, reply| show(reply, &before));
            }
            Planted::DirtyRead => {
                let id = world.ask(put(&two));
                world.end(id, overloaded());
                world.alone(get, |_, reply| {
                    edit(reply, |record| record.value = two.clone());
                });
            }
            Planted::DuplicateApply => {
                let (id, answer) = world.begin(put(&two));
                world.end(id, answer);
                world.plain(put(&three));
                let _again = world.happen(id, &put(&two)).is_ok();
                world.plain(get);
            }
            Planted::HistoricalReadDiffers => {
                let then = world.model.revision();
                let (before, mut past) = (peek(world, &key), Range::of(KeyRange::One(key.clone())));
                past.revision = then;
                world.plain(put(&two));
                world.alone(calls::read(past), |_, reply| {
                    show(reply, &before);
                    edit(reply, |record| record.value = two.clone());
                });
            }
            Planted::LogLostWrite => {
                world.plain(put(&two));
                world.forget_log();
                world.plain(put(&three));
            }
            Planted::LostTombstone => {
                let (id, answer) = world.begin(delete);
                world.lose_last(true);
                world.end(id, answer);
                world.plain(get);
            }
            Planted::LostWrite => {
                let (id, answer) = world.begin(put(&two));
                world.lose_last(false);
                world.end(id, answer);
                world.plain(get);
            }
            Planted::MissingRecord => {
                world.alone(calls::read(Range::of(KeyRange::all())), |_, reply| {
                    if let Reply::Range(result) = reply {
                        result.records.retain(|record| record.key != key);
                        result.count = result.records.len() as u64;
                    }
                });
            }
            Planted::Phantom => {
                world.alone(get, |_, reply| {
                    edit(reply, |record| record.value = two.clone());
                });
            }
            Planted::RevisionReused => {
                world.alone(put(&two), |revision, _| revision.0 -= 1);
            }
            Planted::RevisionSkipped => {
                let next = world.model.revision().next();
                world.model.skip_to(next);
                world.plain(put(&two));
            }
            Planted::RevisionWentBack => world.alone(get, |revision, _| revision.0 -= 1),
            Planted::SerializableReadDiffers => {
                let then = world.model.revision();
                world.plain(put(&two));
                let range = Range::of(KeyRange::One(key.clone()));
                let consistency = Consistency::Serializable;
                let now = peek(world, &key);
                world.alone(Call::Range { range, consistency }, |revision, reply| {
                    *revision = then;
                    show(reply, &now);
                });
            }
            Planted::StaleRead => {
                let before = peek(world, &key);
                world.plain(put(&two));
                world.alone(get, |revision, reply| {
                    revision.0 -= 1;
                    show(reply, &before);
                });
            }
            Planted::StaleValue => {
                let before = peek(world, &key);
                world.plain(put(&two));
                world.alone(get, |_, reply| show(reply, &before));
            }
            Planted::TornTxn => {
                world.plain(Call::Put(calls::put(&other, &one, false)));
                let before = peek(world, &other);
                let (txn, answer) = world.begin(both(&key, &other, &two));
                world.alone(calls::read(Range::of(KeyRange::all())), |_, reply| {
                    edit(reply, |record| {
                        if record.key == other {
                            *record = before.clone();
                        }
                    });
                });
                world.end(txn, answer);
            }
            Planted::TxnNotAtomic => {
                world.plain(Call::Put(calls::put(&other, &one, false)));
                let (txn, answer) = world.begin(both(&key, &other, &two));
                world.lose_last(false);
                // Half of it, at the revision of the whole.
                let half = Call::Put(calls::put(&key, &two, false));
                let _half = world.happen(txn, &half).is_ok();
                world.end(txn, answer);
                world.plain(calls::get(&other));
            }
            Planted::UnknownAppliedTwice => {
                let (id, _) = world.begin(put(&two));
                world.plain(get.clone());
                world.plain(put(&three));
                world.plain(get.clone());
                let _again = world.happen(id, &put(&two)).is_ok();
                world.plain(get);
            }
            Planted::UnknownBeforeInvoked => {
                // A read comes first, then the one that it is from.
                let id = world.id_ahead(2);
                let _early = world.happen(id, &put(&two)).is_ok();
                world.plain(get);
                world.ask(put(&two));
            }
            Planted::WrongBranch => {
                let txn = Txn {
                    compare: vec![calls::value_is(&key, &one)],
                    ..Txn::default()
                };
                world.alone(Call::Txn(txn), |_, reply| {
                    if let Reply::Txn { succeeded, .. } = reply {
                        *succeeded = false;
                    }
                });
            }
            Planted::WrongCount => {
                let mut range = Range::of(KeyRange::all());
                range.count_only = true;
                world.alone(calls::read(range), |_, reply| {
                    if let Reply::Range(result) = reply {
                        result.count += 1;
                    }
                });
            }
            Planted::WrongCreateRevision => {
                world.alone(get, |_, reply| {
                    edit(reply, |record| record.meta.create_revision.0 -= 1);
                });
            }
            Planted::WrongDeleted => {
                world.alone(delete, |_, reply| {
                    if let Reply::Delete { deleted, .. } = reply {
                        *deleted = 0;
                    }
                });
            }
            Planted::WrongModRevision => {
                world.alone(get, |_, reply| {
                    edit(reply, |record| record.meta.mod_revision.0 -= 1);
                });
            }
            Planted::WrongMore => {
                world.alone(calls::read(Range::of(KeyRange::all())), |_, reply| {
                    if let Reply::Range(result) = reply {
                        result.more = true;
                    }
                });
            }
            Planted::WrongPrevKv => {
                world.alone(Call::Put(calls::put(&key, &two, true)), |_, reply| {
                    edit(reply, |record| record.value = three.clone());
                });
            }
            Planted::WrongRefusal => {
                let mut range = Range::of(KeyRange::One(key.clone()));
                range.revision = world.model.revision();
                let id = world.ask(calls::read(range));
                world.end(id, Err(ErrorCode::Compacted));
            }
            Planted::WrongVersion => {
                world.alone(get, |_, reply| {
                    edit(reply, |record| record.meta.version += 1);
                });
            }
        }
    }
}

fn peek(world: &World, key: &Bytes) -> Record {
    let range = Range::of(KeyRange::One(key.clone()));
    let read = world.model.read(&range).ok();
    let record = read.and_then(|mut result| result.records.pop());
    record.expect("the script has put the key")
}

/// Makes the answer of a read show this record alone.
fn show(reply: &mut Reply, record: &Record) {
    *reply = Reply::Range(RangeResult {
        records: vec![record.clone()],
        more: false,
        count: 1,
    });
}

fn edit(reply: &mut Reply, mut edit: impl FnMut(&mut Record)) {
    match reply {
        Reply::Range(result) => result.records.iter_mut().for_each(edit),
        Reply::Put { previous } => previous.iter_mut().for_each(edit),
        Reply::Delete { previous, .. } => previous.iter_mut().for_each(&mut edit),
        Reply::Alarms(_)
        | Reply::Auth
        | Reply::Compact
        | Reply::Lease(_)
        | Reply::Node(_)
        | Reply::Settings(_)
        | Reply::Untold
        | Reply::Txn { .. } => {}
    }
}

/// A transaction that puts two keys.
fn both(one: &Bytes, two: &Bytes, value: &Bytes) -> Call {
    let steps = [one, two].map(|key| Step::Put(calls::put(key, value, false)));
    Call::Txn(Txn {
        then: steps.to_vec(),
        ..Txn::default()
    })
}
