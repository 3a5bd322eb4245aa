//! Waiting in simulated time, and the few requests that every test makes.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use bytes::Bytes;
use hstore_core::auth::Author;
use hstore_core::command::{Command, Proposal, Put, RequestId};
use hstore_core::id::Revision;
use hstore_core::key::KeyRange;
use hstore_core::outcome::{Outcome, Reply};
use hstore_core::range::Range;
use hstore_node::{Consistency, Node, NodeError, StopReason};
use tokio::time::{Instant, sleep, timeout};

/// How long anything in a healthy cluster may take.
pub const PATIENCE: Duration = Duration::from_secs(30);

/// The data folder on every disk.
pub fn data_dir() -> PathBuf {
    PathBuf::from("/data")
}

/// A deadline that nothing healthy misses.
pub fn soon() -> Instant {
    Instant::now() + PATIENCE
}

/// Waits for a condition.
pub async fn until<T>(what: &str, condition: impl FnMut() -> Option<T>) -> T {
    within(PATIENCE, condition)
        .await
        .unwrap_or_else(|| panic!("it never came about that {what}"))
}

/// Waits for a condition, at most so long.
pub async fn within<T>(patience: Duration, mut condition: impl FnMut() -> Option<T>) -> Option<T> {
    let waiting = timeout(patience, async {
        loop {
            if let Some(value) = condition() {
                return value;
            }
            sleep(Duration::from_millis(20)).await;
        }
    });
    waiting.await.ok()
}

/// Waits until a node has ended by itself or by order.
pub async fn ended(node: &Node) -> StopReason {
    timeout(PATIENCE, node.failed())
        .await
        .expect("the node ends")
}

/// Everything in the store, read linearizably through a node.
pub async fn everything(node: &Node) -> BTreeMap<Bytes, Bytes> {
    let read = node.range(
        &Author::Node,
        Range::of(KeyRange::all()),
        Consistency::Linearizable,
        soon(),
    );
    let (_header, result) = read.await.expect("a healthy cluster answers");
    let records = result.expect("the present is readable").records;
    let pairs = records.into_iter();
    pairs.map(|record| (record.key, record.value)).collect()
}

/// A write of one key.
pub fn put(key: &str, value: &str, request: Option<RequestId>) -> Proposal {
    Proposal {
        request,
        author: Author::Node,
        command: Command::Put(Put {
            key: Bytes::copy_from_slice(key.as_bytes()),
            value: Bytes::copy_from_slice(value.as_bytes()),
            lease: 0,
            prev_kv: false,
            ignore_value: false,
            ignore_lease: false,
        }),
    }
}

/// Writes one key; the revision that wrote it.
pub async fn write(node: &Node, key: &str, value: &str) -> Result<Revision, NodeError> {
    write_by(node, key, value, soon()).await
}

/// Writes one key by a deadline.
pub async fn write_by(
    node: &Node,
    key: &str,
    value: &str,
    deadline: Instant,
) -> Result<Revision, NodeError> {
    let (_header, outcome) = node.propose(put(key, value, None), deadline).await?;
    let Outcome { revision, result } = outcome;
    assert!(matches!(result, Ok(Reply::Put { .. })), "{result:?}");
    Ok(revision)
}
