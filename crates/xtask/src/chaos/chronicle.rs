//! The log that the nodes agree on, read back from the histories of all keys; and compaction, which
//! makes the store forget it.
//!
//! Invariants: (1) nothing is compacted that was not read before, so the log is whole; (2) what was
//! read once must be read again the same; anything else is a violation, in words.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Result, bail};
use bytes::Bytes;
use hstore_check::history::{ClientId, LogEntry, LogRecord};
use hstore_client::{Client, Error, Past};
use hstore_core::id::Revision;
use hstore_proto::etcdserverpb::CompactionRequest;
use hstore_proto::hstore::v1::HistoryRequest;
use hstore_proto::hstore::v1::kv_client::KvClient;
use tokio::sync::watch;
use tokio::time::{Instant, sleep};

use super::ask::Ask;
use super::book::Book;
use super::load;
use super::people::Gate;
use crate::fleet::{Asker, LOOK};

/// How often the log is read while the load runs.
const EVERY: Duration = Duration::from_secs(3);
/// Every so many readings the history is compacted.
const COMPACT_EVERY: u32 = 4;
/// How many revisions a compaction leaves.
const KEPT: i64 = 300;
/// How long a node may take to answer a page after everything is healed.
const PAGE: Duration = Duration::from_secs(10);
/// How long everything may take to be read back from one node.
const READ_BACK: Duration = Duration::from_mins(1);
/// The client that compacts.
const CLIENT: ClientId = ClientId(0);

/// What one revision wrote.
type Records = BTreeMap<Bytes, Option<Bytes>>;

/// The log as far as it was read.
#[derive(Debug, Default)]
pub(super) struct Chronicle {
    entries: BTreeMap<Revision, Records>,
    /// Everything up to here is in `entries`.
    complete: Revision,
    /// The newest compaction that may have happened.
    compacted: Revision,
    violations: Vec<String>,
}

impl Chronicle {
    /// Reads and compacts until it is told to stop.
    pub(super) async fn keep(
        mut self,
        gate: Gate,
        book: Arc<Book>,
        mut stop: watch::Receiver<bool>,
    ) -> Result<Chronicle> {
        // To drop history takes root.
        let client = gate.root()?;
        for round in 1.. {
            tokio::select! {
                () = sleep(EVERY) => {}
                changed = stop.changed() => {
                    changed?;
                    break;
                }
            }
            // While there is no majority there is nothing to read.
            let is_read = self.follow(&client).await.is_ok();
            if is_read && round % COMPACT_EVERY == 0 {
                self.compact(&client, &book).await?;
            }
        }
        Ok(self)
    }

    async fn compact(&mut self, client: &Client, book: &Book) -> Result<()> {
        let at = Revision(self.complete.0 - KEPT);
        if at > self.compacted {
            let asked = CompactionRequest {
                revision: at.0,
                physical: false,
            };
            // Whether it happened or not: it may have.
            self.compacted = at;
            let _told = book
                .ask(CLIENT, Ask::Compact(asked), |ask| ask.send(client))
                .await?;
        }
        Ok(())
    }

    /// Takes over what is new since the last time.
    async fn follow(&mut self, client: &Client) -> Result<(), Error> {
        let mut found: Vec<(Bytes, Past)> = Vec::new();
        let mut through = Revision(i64::MAX);
        for key in load::keys() {
            let mut before = Revision(0);
            loop {
                let page = client.history(key.clone(), 0, before).await?;
                if before == Revision(0) {
                    through = through.min(page.revision);
                }
                let is_old = |past: &Past| past.mod_revision <= self.complete;
                let reached = page.records.iter().any(is_old);
                let next = page.records.last().map(|past| past.mod_revision);
                let new = page.records.into_iter().filter(|past| !is_old(past));
                found.extend(new.map(|past| (key.clone(), past)));
                match next {
                    Some(next) if page.more && !reached => before = next,
                    _ => break,
                }
            }
        }
        for (key, past) in found {
            if past.mod_revision <= through {
                self.add(key, past.mod_revision, past.value);
            }
        }
        self.complete = self.complete.max(through);
        Ok(())
    }

    fn add(&mut self, key: Bytes, at: Revision, value: Option<Bytes>) {
        self.entries.entry(at).or_default().insert(key, value);
    }

    /// Reads everything back from a node, and holds it against what is known; what is new is taken
    /// over. Call it when nothing is written any more.
    pub(super) async fn read_back(&mut self, asker: &Asker, whose: &str) -> Result<()> {
        let (entries, revision) = read_all(asker, whose).await?;
        if self.complete < revision {
            let from = Revision(self.complete.0 + 1);
            self.entries.extend(entries.range(from..).map(clone_entry));
            self.complete = revision;
        } else if revision < self.complete {
            let told = self.complete;
            self.violations.push(format!(
                "{whose} ends at revision {revision}, but {told} was read before"
            ));
        }
        // Below a compaction a node keeps only what was not superseded by then.
        let kept = Revision(self.compacted.0 + 1);
        let known: BTreeMap<_, _> = self.entries.range(kept..).map(clone_entry).collect();
        let seen: BTreeMap<_, _> = entries.range(kept..).map(clone_entry).collect();
        self.differ(whose, &known, &seen);
        for (at, records) in entries.range(..kept) {
            let before = self.entries.get(at);
            let agrees = |(key, value): (&Bytes, &Option<Bytes>)| {
                before.and_then(|before| before.get(key)) == Some(value)
            };
            if !records.iter().all(agrees) {
                let before = before.cloned().unwrap_or_default();
                self.violations.push(format!(
                    "{whose} has {records:?} at revision {at}, where {before:?} was read before"
                ));
            }
        }
        Ok(())
    }

    fn differ(
        &mut self,
        whose: &str,
        known: &BTreeMap<Revision, Records>,
        seen: &BTreeMap<Revision, Records>,
    ) {
        let differs = |at: &&Revision| known.get(at) != seen.get(at);
        let all = known
            .keys()
            .chain(seen.keys().filter(|at| !known.contains_key(at)));
        let wrong: Vec<&Revision> = all.filter(differs).collect();
        if let Some(first) = wrong.iter().min() {
            self.violations.push(format!(
                "{whose} has {:?} at revision {first}, where {:?} was read before; {} revisions \
                 differ",
                seen.get(first),
                known.get(first),
                wrong.len()
            ));
        }
    }

    /// The log, and what is wrong with it.
    pub(super) fn close(self) -> (Vec<LogEntry>, Vec<String>) {
        let entries = self
            .entries
            .into_iter()
            .map(|(revision, records)| LogEntry {
                revision,
                records: records
                    .into_iter()
                    .map(|(key, value)| LogRecord { key, value })
                    .collect(),
                operation: None,
            });
        (entries.collect(), self.violations)
    }
}

fn clone_entry((at, records): (&Revision, &Records)) -> (Revision, Records) {
    (*at, records.clone())
}

/// Everything that one node has, and its revision.
async fn read_all(asker: &Asker, whose: &str) -> Result<(BTreeMap<Revision, Records>, Revision)> {
    let begin = Instant::now();
    let mut entries: BTreeMap<Revision, Records> = BTreeMap::new();
    let mut revision = Revision(0);
    for key in load::keys() {
        let mut before = 0;
        loop {
            let mut request = asker.request(HistoryRequest {
                key: key.clone(),
                limit: 0,
                before_revision: before,
            });
            request.set_timeout(PAGE);
            let page = match KvClient::new(asker.channel()).history(request).await {
                Ok(page) => page.into_inner(),
                Err(status) if begin.elapsed() > READ_BACK => {
                    bail!("{whose} does not answer what it has: {status}");
                }
                Err(_not_yet) => {
                    sleep(LOOK).await;
                    continue;
                }
            };
            revision = revision.max(Revision(page.revision));
            let last = page.records.last().map(|record| record.mod_revision);
            for record in page.records {
                let value = (!record.deleted).then_some(record.value);
                let at = Revision(record.mod_revision);
                entries.entry(at).or_default().insert(key.clone(), value);
            }
            match last {
                Some(last) if page.more => before = last,
                _ => break,
            }
        }
    }
    Ok((entries, revision))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn records(value: &'static str) -> Records {
        [(
            Bytes::from_static(b"a/0"),
            Some(Bytes::from_static(value.as_bytes())),
        )]
        .into()
    }

    #[test]
    fn what_is_read_again_differently_is_a_violation() {
        let mut chronicle = Chronicle::default();
        let known = [(Revision(2), records("1")), (Revision(3), records("2"))].into();
        chronicle.differ("n1", &known, &known);
        assert!(chronicle.violations.is_empty());
        let lost = [(Revision(2), records("1"))].into();
        chronicle.differ("n2", &known, &lost);
        let other = [(Revision(2), records("1")), (Revision(3), records("3"))].into();
        chronicle.differ("n3", &known, &other);
        let more = [(Revision(4), records("3"))].into();
        chronicle.differ("n4", &[].into(), &more);
        assert_eq!(chronicle.close().1.len(), 3);
    }
}
