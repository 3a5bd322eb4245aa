//! Whoever has applied the same entries can be read alike: every readable record of every key, with
//! its value, which no running hash sees again once it is written.

use std::time::Duration;

use bytes::Bytes;
use hstore_core::auth::Author;
use hstore_core::id::Revision;
use hstore_core::record::Record;
use hstore_node::{Consistency, Node};
use tokio::time::Instant;

/// How long reading the history of one key may take.
const READ_MAX: Duration = Duration::from_secs(5);

/// How the nodes, which have applied the same and are asked nothing else, differ in what they hold.
pub async fn difference(nodes: &[Node], keys: &[Bytes]) -> Option<String> {
    let (first, others) = nodes.split_first()?;
    for key in keys {
        let expected = readable(first, key).await;
        for node in others {
            let found = readable(node, key).await;
            if found != expected {
                return Some(format!(
                    "same_entries_same_content: {key:?} on node {} is {found:?}, on node {} {expected:?}",
                    node.status().node,
                    first.status().node
                ));
            }
        }
    }
    None
}

/// The records of a key that can be read, newest first, or why they cannot.
async fn readable(node: &Node, key: &Bytes) -> Result<Vec<Record>, String> {
    let deadline = Instant::now() + READ_MAX;
    let all = Revision(0);
    let read = node.history(
        &Author::Node,
        key.clone(),
        0,
        all,
        Consistency::Serializable,
        deadline,
    );
    let (_header, records) = read.await.map_err(|error| error.to_string())?;
    Ok(records)
}
