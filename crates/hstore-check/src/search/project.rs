//! What a history looks like from one key: each operation as what it needs and what it sets.
//!
//! Invariants: (1) an operation needs no more of the key than its answer proves; (2) whatever may
//! write the key is here, and may do here all that it may do; so that a key that no order explains
//! is a proof. Reads may be left out, writes never.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use hstore_core::command::{
    Compare, CompareTarget, Delete, Operation as Request, Put, Relation, Txn,
};
use hstore_core::id::Revision;
use hstore_core::key::KeyRange;
use hstore_core::outcome::Reply;
use hstore_core::range::{Filter, Range};
use hstore_core::record::Record;

use crate::history::{Call, Consistency, History, Moment, Operation, OperationId, Outcome};
use crate::words;

/// What a key holds: nothing, a value that no operation asks about, one of those that some
/// operation does, or nobody knows.
pub(super) type State = u32;
pub(super) const ABSENT: State = 0;
pub(super) const OTHER: State = 1;
pub(super) const ANY: State = u32::MAX;

/// A read of more keys than this is not looked at from each of them.
const READ_KEYS_MAX: usize = 32;

/// The operations on one key.
pub(super) struct KeyHistory {
    pub(super) steps: Vec<Step>,
    /// In the order of time; what begins and ends in one moment overlaps.
    pub(super) events: Vec<Event>,
    pub(super) starts: State,
    /// The values of the states from 2 on.
    values: Vec<Bytes>,
}

/// One operation, seen from the key.
pub(super) struct Step {
    pub(super) operation: OperationId,
    invoked: Moment,
    /// None when the outcome is unknown.
    returned: Option<Moment>,
    /// What it may do; exactly one unless the outcome is unknown.
    pub(super) moves: Vec<Move>,
}

/// What happens to the key at once.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Move {
    pub(super) needs: Vec<Need>,
    pub(super) sets: Option<State>,
}

/// What the key must be before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Need {
    Is(State),
    Not(State),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Event {
    pub(super) step: u32,
    pub(super) is_return: bool,
}

impl Move {
    /// Whether the key may be in this state before.
    pub(super) fn may_follow(&self, state: State) -> bool {
        state == ANY
            || self.needs.iter().all(|need| match need {
                Need::Is(needed) => state == *needed,
                Need::Not(refused) => state != *refused,
            })
    }
}

impl Step {
    pub(super) fn is_unknown(&self) -> bool {
        self.returned.is_none()
    }
}

impl KeyHistory {
    /// The steps that overlap one in time.
    pub(super) fn overlapping(&self, step: u32) -> impl Iterator<Item = &Step> {
        let one = &self.steps[step as usize];
        let id = one.operation;
        self.steps.iter().filter(move |other| {
            other.operation != id
                && Some(other.invoked) <= one.returned
                && other
                    .returned
                    .is_none_or(|returned| returned >= one.invoked)
        })
    }

    /// What a step did, in words.
    pub(super) fn described(&self, step: u32) -> String {
        let Some(only) = self.steps[step as usize].moves.first() else {
            return "did nothing".to_owned();
        };
        let name = |state: State| match state {
            ABSENT => "nothing".to_owned(),
            state => (state as usize)
                .checked_sub(2)
                .and_then(|place| self.values.get(place))
                .map_or("a value".to_owned(), |value| words::quoted(value)),
        };
        let mut parts: Vec<String> = only
            .needs
            .iter()
            .map(|need| match need {
                Need::Is(state) => format!("found {}", name(*state)),
                Need::Not(state) => format!("found not {}", name(*state)),
            })
            .collect();
        parts.extend(only.sets.map(|state| match state {
            ABSENT => "deleted it".to_owned(),
            state => format!("wrote {}", name(state)),
        }));
        if parts.is_empty() {
            parts.push("did nothing".to_owned());
        }
        parts.join(" and ")
    }
}

/// Every key of a history, with what happened to it.
pub(super) fn project(history: &History) -> BTreeMap<Bytes, KeyHistory> {
    let mut keys: BTreeMap<Bytes, Draft> = BTreeMap::new();
    for operation in &history.operations {
        mentioned(operation, &mut |key| {
            if !keys.contains_key(key) {
                keys.insert(key.clone(), Draft::default());
            }
        });
    }
    for operation in &history.operations {
        leased(&operation.call, &mut |key| drop(keys.remove(key)));
    }
    for operation in &history.operations {
        enter(operation, &mut keys);
    }
    let starts = if history.base == Revision::EMPTY {
        ABSENT
    } else {
        ANY
    };
    keys.into_iter()
        .map(|(key, draft)| (key, draft.finish(starts)))
        .collect()
}

/// A key whose operations are gathered; values are not numbered yet.
#[derive(Default)]
struct Draft {
    steps: Vec<(OperationId, Moment, Option<Moment>, Vec<Draw>)>,
}

/// A move with values in place of states.
#[derive(Clone, Debug, Default)]
struct Draw {
    needs: Vec<(bool, Option<Bytes>)>,
    sets: Option<Sets>,
}

/// What a move leaves: a value, or nothing.
type Sets = Option<Bytes>;

impl Draw {
    fn need_is(&mut self, value: Option<Bytes>) {
        self.needs.push((true, value));
    }

    fn need_not(&mut self, value: Option<Bytes>) {
        self.needs.push((false, value));
    }
}

impl Draft {
    fn finish(self, starts: State) -> KeyHistory {
        // A value that nobody asks about is like any other such value.
        let mut asked: BTreeSet<&Bytes> = BTreeSet::new();
        for (_, _, _, draws) in &self.steps {
            for (_, value) in draws.iter().flat_map(|draw| &draw.needs) {
                asked.extend(value);
            }
        }
        let values: Vec<Bytes> = asked.into_iter().cloned().collect();
        let number = |value: &Option<Bytes>| match value {
            None => ABSENT,
            Some(value) => match values.binary_search(value) {
                Ok(place) => place as State + 2,
                Err(_) => OTHER,
            },
        };
        let moved = |draw: &Draw| Move {
            needs: draw
                .needs
                .iter()
                .map(|(is, value)| {
                    if *is {
                        Need::Is(number(value))
                    } else {
                        Need::Not(number(value))
                    }
                })
                .collect(),
            sets: draw.sets.as_ref().map(number),
        };
        let steps: Vec<Step> = self
            .steps
            .iter()
            .map(|(operation, invoked, returned, draws)| Step {
                operation: *operation,
                invoked: *invoked,
                returned: *returned,
                moves: draws.iter().map(moved).collect(),
            })
            .collect();
        let mut events: Vec<(Moment, bool, u32)> = Vec::with_capacity(steps.len() * 2);
        for (place, step) in (0u32..).zip(&steps) {
            events.push((step.invoked, false, place));
            events.extend(step.returned.map(|returned| (returned, true, place)));
        }
        events.sort_unstable();
        let events = events
            .into_iter()
            .map(|(_, is_return, step)| Event { step, is_return });
        KeyHistory {
            events: events.collect(),
            steps,
            starts,
            values,
        }
    }
}

/// The keys that an operation may attach to a lease: they go when it ends, which is nobody's
/// operation, so no order of operations explains them.
fn leased(call: &Call, visit: &mut impl FnMut(&Bytes)) {
    match call {
        Call::Put(put) if put.lease != 0 => visit(&put.key),
        Call::Compact(_) | Call::Delete(_) | Call::Put(_) | Call::Range { .. } => {}
        Call::Txn(txn) => leased_in_txn(txn, visit),
    }
}

fn leased_in_txn(txn: &Txn, visit: &mut impl FnMut(&Bytes)) {
    for step in txn.then.iter().chain(&txn.otherwise) {
        match step {
            Request::Put(put) if put.lease != 0 => visit(&put.key),
            Request::Delete(_) | Request::Put(_) | Request::Range(_) => {}
            Request::Txn(txn) => leased_in_txn(txn, visit),
        }
    }
}

/// The keys that an operation names.
fn mentioned(operation: &Operation, visit: &mut impl FnMut(&Bytes)) {
    match &operation.call {
        Call::Compact(_) => {}
        Call::Delete(delete) => one(&delete.keys, visit),
        Call::Put(put) => visit(&put.key),
        Call::Range { range, .. } => one(&range.keys, visit),
        Call::Txn(txn) => mentioned_in_txn(txn, visit),
    }
    if let Some((_, reply)) = operation.answer() {
        crate::witness::records(reply, &mut |record| visit(&record.key));
    }
}

fn mentioned_in_txn(txn: &Txn, visit: &mut impl FnMut(&Bytes)) {
    for compare in &txn.compare {
        one(&compare.keys, visit);
    }
    for step in txn.then.iter().chain(&txn.otherwise) {
        match step {
            Request::Delete(delete) => one(&delete.keys, visit),
            Request::Put(put) => visit(&put.key),
            Request::Range(range) => one(&range.keys, visit),
            Request::Txn(txn) => mentioned_in_txn(txn, visit),
        }
    }
}

fn one(keys: &KeyRange, visit: &mut impl FnMut(&Bytes)) {
    if let KeyRange::One(key) = keys {
        visit(key);
    }
}

/// Enters an operation at each key that it touches.
fn enter(operation: &Operation, keys: &mut BTreeMap<Bytes, Draft>) {
    let mut touched: BTreeSet<Bytes> = BTreeSet::new();
    reach(&operation.call, keys, &mut touched);
    // An answer to something else proves nothing; the witness says so.
    let answer = operation
        .answer()
        .filter(|(_, reply)| crate::witness::fits(&operation.call, reply));
    for key in touched {
        let draws = match (&operation.outcome, answer) {
            (Outcome::Refused { .. }, _) => continue,
            (_, Some((_, reply))) => {
                let mut seen = Seen::new(&key);
                seen.call(&operation.call, reply);
                vec![seen.draw]
            }
            (_, None) => {
                let mut draws = Vec::new();
                may_do(&operation.call, &key, &mut draws);
                draws
            }
        };
        let says_nothing = |draw: &Draw| draw.needs.is_empty() && draw.sets.is_none();
        if draws.iter().all(says_nothing) {
            continue;
        }
        let returned = operation.returned.filter(|_| answer.is_some());
        if let Some(draft) = keys.get_mut(&key) {
            draft
                .steps
                .push((operation.id, operation.invoked, returned, draws));
        }
    }
}

/// The keys that a call touches, of those that there are. A read of many keys is passed over.
fn reach(call: &Call, keys: &BTreeMap<Bytes, Draft>, touched: &mut BTreeSet<Bytes>) {
    match call {
        Call::Compact(_) => {}
        Call::Delete(delete) => touched.extend(within(keys, &delete.keys)),
        Call::Put(put) => {
            touched.insert(put.key.clone());
        }
        Call::Range { range, consistency } => {
            if *consistency == Consistency::Linearizable {
                reach_read(range, keys, touched);
            }
        }
        Call::Txn(txn) => reach_txn(txn, keys, touched),
    }
}

fn reach_txn(txn: &Txn, keys: &BTreeMap<Bytes, Draft>, touched: &mut BTreeSet<Bytes>) {
    for compare in &txn.compare {
        one(&compare.keys, &mut |key| {
            touched.insert(key.clone());
        });
    }
    for step in txn.then.iter().chain(&txn.otherwise) {
        match step {
            Request::Delete(delete) => touched.extend(within(keys, &delete.keys)),
            Request::Put(put) => {
                touched.insert(put.key.clone());
            }
            Request::Range(range) => reach_read(range, keys, touched),
            Request::Txn(txn) => reach_txn(txn, keys, touched),
        }
    }
}

fn reach_read(range: &Range, keys: &BTreeMap<Bytes, Draft>, touched: &mut BTreeSet<Bytes>) {
    if range.revision.0 > 0 {
        return;
    }
    let reached: Vec<Bytes> = within(keys, &range.keys).take(READ_KEYS_MAX + 1).collect();
    if reached.len() <= READ_KEYS_MAX {
        touched.extend(reached);
    }
}

fn within<'k>(
    keys: &'k BTreeMap<Bytes, Draft>,
    range: &'k KeyRange,
) -> impl Iterator<Item = Bytes> + 'k {
    let from = keys.range::<[u8], _>((
        std::ops::Bound::Included(&range.start()[..]),
        std::ops::Bound::Unbounded,
    ));
    from.map(|(key, _)| key)
        .take_while(|key| range.contains(key))
        .cloned()
}

/// What an answer proves of one key.
struct Seen<'k> {
    key: &'k Bytes,
    draw: Draw,
}

impl<'k> Seen<'k> {
    fn new(key: &'k Bytes) -> Seen<'k> {
        let draw = Draw::default();
        Seen { key, draw }
    }

    fn call(&mut self, call: &Call, reply: &Reply) {
        match call {
            Call::Compact(_) => {}
            Call::Delete(delete) => self.delete(delete, reply),
            Call::Put(put) => self.put(put, reply),
            Call::Range { range, .. } => self.range(range, reply),
            Call::Txn(txn) => self.txn(txn, reply),
        }
    }

    /// Whether the operation itself has written the key: what it sees of it then proves nothing.
    fn has_written(&self) -> bool {
        self.draw.sets.is_some()
    }

    fn was(&mut self, record: Option<&Record>) {
        if !self.has_written() {
            self.draw.need_is(record.map(|record| record.value.clone()));
        }
    }

    fn was_there(&mut self, present: bool) {
        if self.has_written() {
            return;
        }
        if present {
            self.draw.need_not(None);
        } else {
            self.draw.need_is(None);
        }
    }

    fn put(&mut self, put: &Put, reply: &Reply) {
        if put.key != *self.key {
            return;
        }
        if put.prev_kv
            && let Reply::Put { previous } = reply
        {
            self.was(previous.as_ref());
        }
        if put.ignore_value || put.ignore_lease {
            self.was_there(true);
        }
        if !put.ignore_value {
            self.draw.sets = Some(Some(put.value.clone()));
        }
    }

    fn delete(&mut self, delete: &Delete, reply: &Reply) {
        let Reply::Delete { deleted, previous } = reply else {
            return;
        };
        if !delete.keys.contains(self.key) {
            return;
        }
        if matches!(delete.keys, KeyRange::One(_)) || *deleted == 0 {
            self.was_there(*deleted > 0);
        }
        if delete.prev_kv {
            self.was(previous.iter().find(|record| record.key == *self.key));
        }
        self.draw.sets = Some(None);
    }

    fn range(&mut self, range: &Range, reply: &Reply) {
        let Reply::Range(result) = reply else {
            return;
        };
        if range.revision.0 > 0 || !range.keys.contains(self.key) {
            return;
        }
        if matches!(range.keys, KeyRange::One(_)) {
            self.was_there(result.count > 0);
        }
        let record = result.records.iter().find(|record| record.key == *self.key);
        match record {
            Some(_) if range.keys_only => self.was_there(true),
            Some(record) => self.was(Some(record)),
            None if result.count == 0 && !range.uncounted => self.was_there(false),
            None if range.count_only => {}
            None if !result.more && range.filter == Filter::default() => self.was_there(false),
            None => {}
        }
    }

    fn txn(&mut self, txn: &Txn, reply: &Reply) {
        let Reply::Txn { succeeded, replies } = reply else {
            return;
        };
        compared(txn, *succeeded, self.key, &mut self.draw);
        let branch = if *succeeded {
            &txn.then
        } else {
            &txn.otherwise
        };
        for (step, reply) in branch.iter().zip(replies) {
            match step {
                Request::Delete(delete) => self.delete(delete, reply),
                Request::Put(put) => self.put(put, reply),
                Request::Range(range) => self.range(range, reply),
                // Its comparisons look at the state before the outer one, so that they prove
                // something also after a write.
                Request::Txn(txn) => self.txn(txn, reply),
            }
        }
    }
}

/// What the branch that ran proves of a key.
fn compared(txn: &Txn, succeeded: bool, key: &Bytes, draw: &mut Draw) {
    let ours = |compare: &&Compare| matches!(&compare.keys, KeyRange::One(own) if own == key);
    if succeeded {
        for compare in txn.compare.iter().filter(ours) {
            held(compare, draw);
        }
    } else if let [compare] = &txn.compare[..]
        && ours(&compare)
    {
        failed(compare, draw);
    }
}

/// Versions and revisions count only where they say whether the key is there.
fn says_presence(compare: &Compare) -> Option<bool> {
    let number = match &compare.target {
        CompareTarget::CreateRevision(n)
        | CompareTarget::ModRevision(n)
        | CompareTarget::Version(n) => *n,
        CompareTarget::Lease(_) | CompareTarget::Value(_) => return None,
    };
    match (compare.relation, number) {
        (Relation::Equal, 0) | (Relation::Less, 1) => Some(false),
        (Relation::NotEqual | Relation::Greater, 0) => Some(true),
        _ => None,
    }
}

fn held(compare: &Compare, draw: &mut Draw) {
    match (&compare.target, compare.relation) {
        (CompareTarget::Value(value), Relation::Equal) => draw.need_is(Some(value.clone())),
        (CompareTarget::Value(value), Relation::NotEqual) => {
            draw.need_not(None);
            draw.need_not(Some(value.clone()));
        }
        (CompareTarget::Value(_), _) => draw.need_not(None),
        _ => match says_presence(compare) {
            Some(true) => draw.need_not(None),
            Some(false) => draw.need_is(None),
            None => {}
        },
    }
}

fn failed(compare: &Compare, draw: &mut Draw) {
    match (&compare.target, compare.relation) {
        (CompareTarget::Value(value), Relation::Equal) => draw.need_not(Some(value.clone())),
        (CompareTarget::Value(_), _) => {}
        _ => match says_presence(compare) {
            Some(true) => draw.need_is(None),
            Some(false) => draw.need_not(None),
            None => {}
        },
    }
}

/// All that an unknown operation may do to a key; what leaves it as it is is not named.
fn may_do(call: &Call, key: &Bytes, draws: &mut Vec<Draw>) {
    match call {
        Call::Compact(_) | Call::Range { .. } => {}
        Call::Delete(delete) => may_delete(delete, key, &Draw::default(), draws),
        Call::Put(put) => may_put(put, key, &Draw::default(), draws),
        Call::Txn(txn) => may_txn(txn, key, &Draw::default(), draws),
    }
}

fn may_txn(txn: &Txn, key: &Bytes, given: &Draw, draws: &mut Vec<Draw>) {
    for (succeeded, branch) in [(true, &txn.then), (false, &txn.otherwise)] {
        let mut given = given.clone();
        compared(txn, succeeded, key, &mut given);
        for step in branch {
            match step {
                Request::Delete(delete) => may_delete(delete, key, &given, draws),
                Request::Put(put) => may_put(put, key, &given, draws),
                Request::Range(_) => {}
                Request::Txn(txn) => may_txn(txn, key, &given, draws),
            }
        }
    }
}

fn may_delete(delete: &Delete, key: &Bytes, given: &Draw, draws: &mut Vec<Draw>) {
    if delete.keys.contains(key) {
        draws.push(Draw {
            needs: given.needs.clone(),
            sets: Some(None),
        });
    }
}

fn may_put(put: &Put, key: &Bytes, given: &Draw, draws: &mut Vec<Draw>) {
    if put.key == *key && !put.ignore_value {
        draws.push(Draw {
            needs: given.needs.clone(),
            sets: Some(Some(put.value.clone())),
        });
    }
}
