//! The cut-over: is everything here as it is in etcd, key by key, and do the leases have the time
//! that they were promised.

use std::collections::{BTreeMap, VecDeque};

use bytes::Bytes;
use hstore_core::auth::Author;
use hstore_core::command::Command;
use hstore_core::error::ErrorCode;
use hstore_core::id::Revision;
use hstore_core::key::KeyRange;
use hstore_core::record::Record;
use hstore_node::Consistency;
use hstore_proto::mvccpb::KeyValue;
use hstore_storage::store::PageRequest;
use tokio::time::Instant;

use super::follow::grant;
use super::seed;
use super::source::Etcd;
use super::target::{CHANGE_MAX, Target};
use super::told::Told;
use crate::fault::Fault;

/// The keys of a page of ours.
const PAGE_KEYS: usize = 1024;
/// How much a page of ours holds.
const PAGE_BYTES: usize = 4 * 1024 * 1024;
/// How many differences are told.
const SHOWN_MAX: usize = 3;

/// Compares every key of both as of a revision; how many there are.
pub(super) async fn compare(
    etcd: &Etcd,
    target: &Target,
    revision: i64,
    told: &mut Told,
) -> Result<u64, Fault> {
    let mut theirs = etcd.pages(revision);
    let mut ours = Ours {
        target,
        revision: Revision(revision),
        next: Some(Bytes::from_static(&[0])),
        found: VecDeque::new(),
    };
    let (mut same, mut different) = (0, 0);
    let mut shown = Vec::new();
    let mut note = |what: String| {
        different += 1;
        if shown.len() < SHOWN_MAX {
            shown.push(what);
        }
    };
    while let Some(page) = theirs.next().await? {
        for pair in page {
            while let Some(record) = ours.peek().await?
                && record.key < pair.key
            {
                note(format!("{} is here alone", name(&record.key)));
                ours.found.pop_front();
            }
            match ours.peek().await? {
                Some(record) if record.key == pair.key => {
                    if is_same(record, &pair) {
                        same += 1;
                    } else {
                        note(format!("{} is not the same", name(&pair.key)));
                    }
                    ours.found.pop_front();
                }
                _ => note(format!("{} is missing here", name(&pair.key))),
            }
        }
        told.comparing(same);
    }
    while let Some(record) = ours.peek().await? {
        note(format!("{} is here alone", name(&record.key)));
        ours.found.pop_front();
    }
    if different == 0 {
        return Ok(same);
    }
    Err(Fault::new(
        ErrorCode::DataCorrupt,
        format!(
            "etcd and hstore differ in {different} keys at revision {revision}: {}",
            shown.join(", ")
        ),
    )
    .hint("remove the folder and begin anew; etcd was not changed"))
}

fn name(key: &[u8]) -> String {
    key.escape_ascii().to_string()
}

fn is_same(record: &Record, pair: &KeyValue) -> bool {
    let meta = &record.meta;
    record.value == pair.value
        && meta.create_revision.0 == pair.create_revision
        && meta.mod_revision.0 == pair.mod_revision
        && meta.version == pair.version
        && meta.lease == pair.lease
}

/// Our keys, a page at a time.
struct Ours<'a> {
    target: &'a Target,
    revision: Revision,
    next: Option<Bytes>,
    found: VecDeque<Record>,
}

impl Ours<'_> {
    async fn peek(&mut self) -> Result<Option<&Record>, Fault> {
        if self.found.is_empty()
            && let Some(from) = self.next.take()
        {
            let request = PageRequest {
                author: Author::Node,
                keys: KeyRange::From(from),
                revision: self.revision,
                keys_max: PAGE_KEYS,
                bytes_max: PAGE_BYTES,
                keys_only: false,
            };
            let deadline = Instant::now() + CHANGE_MAX;
            let read = self
                .target
                .node
                .page(request, Consistency::Serializable, deadline);
            let (_header, page) = read
                .await
                .map_err(|error| Fault::new(error.code(), error.to_string()))?;
            let page = page.map_err(|refusal| Fault::new(refusal.code(), refusal.to_string()))?;
            self.next = page.records.last().filter(|_| page.more).map(|record| {
                let mut key = record.key.to_vec();
                key.push(0);
                key.into()
            });
            self.found = page.records.into();
        }
        Ok(self.found.front())
    }
}

/// Gives every lease at least the time that it has in etcd, and ends those that etcd does not have
/// any more. Nothing of it is a revision: no key goes with them. Answers how many there are.
pub(super) async fn settle_leases(etcd: &Etcd, target: &Target) -> Result<u64, Fault> {
    let theirs: BTreeMap<i64, _> = seed::leases(etcd)
        .await?
        .into_iter()
        .map(|lease| (lease.id, lease))
        .collect();
    let deadline = Instant::now() + CHANGE_MAX;
    let listed = target.node.leases(&Author::Node, deadline).await;
    let (_header, ours) = listed.map_err(|error| Fault::new(error.code(), error.to_string()))?;
    for (id, lease) in &theirs {
        match remaining(target, *id).await? {
            None => grant(target, *id, lease.granted).await?,
            // Etcd rounds down to whole seconds.
            Some((left, _keys)) if left <= lease.left => {
                target.change(Command::RenewLease { lease: *id }).await?;
            }
            Some(_) => {}
        }
    }
    let mut leases = theirs.len() as u64;
    for id in ours {
        if theirs.contains_key(&id) {
            continue;
        }
        match remaining(target, id).await? {
            Some((_left, 0)) => {
                target.change(Command::RevokeLease { lease: id }).await?;
            }
            // It ended in etcd after the revision at which both were compared, and takes its keys
            // with it when its time is over here.
            Some(_) => leases += 1,
            None => {}
        }
    }
    Ok(leases)
}

/// How many seconds a lease has here, and how many keys.
async fn remaining(target: &Target, id: i64) -> Result<Option<(i64, usize)>, Fault> {
    let deadline = Instant::now() + CHANGE_MAX;
    let asked = target.node.lease(&Author::Node, id, true, deadline).await;
    let (_header, lease) = asked.map_err(|error| Fault::new(error.code(), error.to_string()))?;
    Ok(lease.map(|lease| {
        let left = i64::try_from(lease.remaining.as_secs()).unwrap_or(i64::MAX);
        (left, lease.keys.len())
    }))
}
