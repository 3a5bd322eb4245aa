//! What made up clients ask for.

use bytes::Bytes;
use hstore_core::command::{
    Compact, Compare, CompareTarget, Delete, Operation as Step, Put, Relation, Txn,
};
use hstore_core::id::Revision;
use hstore_core::key::KeyRange;
use hstore_core::range::{Range, Sort, SortTarget};

use super::{Calls, Chance, Plan};
use crate::history::{Call, Consistency};
use crate::model::Model;

/// The key of a number.
pub(super) fn key(number: u64) -> Bytes {
    format!("k{number}").into()
}

pub(super) fn put(key: &Bytes, value: &Bytes, prev_kv: bool) -> Put {
    Put {
        key: key.clone(),
        value: value.clone(),
        lease: 0,
        prev_kv,
        ignore_value: false,
        ignore_lease: false,
    }
}

pub(super) fn delete(keys: KeyRange, prev_kv: bool) -> Delete {
    Delete { keys, prev_kv }
}

pub(super) fn get(key: &Bytes) -> Call {
    read(Range::of(KeyRange::One(key.clone())))
}

pub(super) fn read(range: Range) -> Call {
    let consistency = Consistency::Linearizable;
    Call::Range { range, consistency }
}

pub(super) fn value_is(key: &Bytes, value: &Bytes) -> Compare {
    Compare {
        keys: KeyRange::One(key.clone()),
        relation: Relation::Equal,
        target: CompareTarget::Value(value.clone()),
    }
}

/// The next call of a client; `value` is what it writes if it writes.
pub(super) fn next(plan: &Plan, chance: &mut Chance, model: &Model, value: &Bytes) -> Call {
    let one = key(chance.below(plan.keys));
    let prev_kv = chance.percent(40);
    let dice = chance.below(100);
    let (keys, here) = (KeyRange::One(one.clone()), model.get(&one));
    match dice {
        0..34 => Call::Put(put(&one, value, prev_kv)),
        34..62 => get(&one),
        62..69 => Call::Delete(delete(keys, prev_kv)),
        69..80 => Call::Txn(swap(chance, &one, here.map(|cell| &cell.value), value)),
        _ if plan.calls == Calls::OneKey => get(&one),
        80..88 => Call::Range {
            range: range(plan, chance, model.revision()),
            consistency: Consistency::Linearizable,
        },
        88..91 => Call::Range {
            range: Range::of(span(plan, chance)),
            consistency: Consistency::Serializable,
        },
        91..93 => Call::Delete(delete(span(plan, chance), prev_kv)),
        93..99 => Call::Txn(txn(plan, chance, model, value)),
        _ => Call::Compact(Compact {
            revision: Revision(model.revision().0 - chance.below(4) as i64),
        }),
    }
}

/// Compare-and-swap: mostly of the value that is there, or of nothing where nothing is.
fn swap(chance: &mut Chance, key: &Bytes, here: Option<&Bytes>, value: &Bytes) -> Txn {
    let keys = KeyRange::One(key.clone());
    let guess = if chance.percent(70) { here } else { None };
    let compare = match guess {
        Some(here) => value_is(key, here),
        None => Compare {
            keys: keys.clone(),
            relation: Relation::Equal,
            target: CompareTarget::Version(0),
        },
    };
    let then = if chance.percent(80) {
        Step::Put(put(key, value, chance.percent(30)))
    } else {
        Step::Delete(delete(keys.clone(), false))
    };
    let otherwise = if chance.percent(50) {
        vec![Step::Range(Range::of(keys))]
    } else {
        Vec::new()
    };
    Txn {
        compare: vec![compare],
        then: vec![then],
        otherwise,
    }
}

fn span(plan: &Plan, chance: &mut Chance) -> KeyRange {
    match chance.below(3) {
        0 => KeyRange::all(),
        1 => KeyRange::From(key(chance.below(plan.keys))),
        _ => KeyRange::Span {
            start: key(chance.below(plan.keys)),
            end: key(chance.below(plan.keys)),
        },
    }
}

fn range(plan: &Plan, chance: &mut Chance, current: Revision) -> Range {
    let keys = if chance.percent(30) {
        KeyRange::One(key(chance.below(plan.keys)))
    } else {
        span(plan, chance)
    };
    let mut range = Range::of(keys);
    if chance.percent(40) {
        let back = chance.below(12) as i64;
        range.revision = Revision((current.0 - back + 1).max(1));
    }
    range.limit = chance.below(4);
    range.keys_only = chance.percent(15);
    range.count_only = chance.percent(15);
    range.uncounted = chance.percent(10);
    if chance.percent(25) {
        let targets = [
            SortTarget::Key,
            SortTarget::Version,
            SortTarget::CreateRevision,
            SortTarget::ModRevision,
            SortTarget::Value,
        ];
        range.sort = Sort {
            target: *chance.pick(&targets),
            descending: chance.percent(50),
        };
    }
    if chance.percent(10) {
        range.filter.mod_revision_min = Revision((current.0 - 5).max(1));
    }
    range
}

/// Writes two keys, reads them, and has a transaction within.
fn txn(plan: &Plan, chance: &mut Chance, model: &Model, value: &Bytes) -> Txn {
    let first = chance.below(plan.keys);
    let (one, two) = (key(first), key((first + 1) % plan.keys.max(2)));
    let meta = model.get(&one).map(|cell| cell.meta).unwrap_or_default();
    let near = chance.below(2) as i64;
    let targets = [
        CompareTarget::Version(meta.version + near),
        CompareTarget::CreateRevision(Revision(meta.create_revision.0 + near).0),
        CompareTarget::ModRevision(meta.mod_revision.0 + near),
        CompareTarget::Value(
            model
                .get(&one)
                .map_or(value.clone(), |cell| cell.value.clone()),
        ),
    ];
    let relations = [
        Relation::Equal,
        Relation::Greater,
        Relation::Less,
        Relation::NotEqual,
    ];
    let compare = Compare {
        keys: KeyRange::One(one.clone()),
        relation: *chance.pick(&relations),
        target: chance.pick(&targets).clone(),
    };
    let within = Txn {
        compare: vec![value_is(&two, value)],
        then: Vec::new(),
        otherwise: vec![Step::Put(put(&two, value, chance.percent(50)))],
    };
    let mut past = Range::of(KeyRange::all());
    past.revision = Revision((model.revision().0 - chance.below(6) as i64).max(1));
    let mut then = vec![
        Step::Put(put(&one, value, true)),
        Step::Range(Range::of(KeyRange::all())),
        Step::Txn(within),
    ];
    if chance.percent(30) {
        then.push(Step::Range(past));
    }
    let otherwise = match chance.below(3) {
        0 => vec![Step::Range(Range::of(span(plan, chance)))],
        1 => vec![Step::Delete(delete(KeyRange::One(one), true))],
        _ => Vec::new(),
    };
    Txn {
        compare: vec![compare],
        then,
        otherwise,
    }
}
