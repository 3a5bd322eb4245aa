//! Deleting the keys of a range.

use bytes::Bytes;

use super::View;
use super::writer::Writer;
use crate::command::Delete;
use crate::outcome::Reply;
use crate::record::Meta;

/// Writes a tombstone for every live key of the range, in key order.
pub(super) fn delete<V: View>(
    writer: &mut Writer<'_, V>,
    request: &Delete,
) -> Result<Reply, V::Fault> {
    let found = writer.list(&request.keys);
    let deleted = found.len() as u64;
    let mut previous = Vec::new();
    if request.prev_kv {
        for (key, meta) in &found {
            match writer.tell(key.clone(), *meta)? {
                Some(record) => previous.push(record),
                None => break,
            }
        }
    }
    for (key, _) in found {
        writer.append(key, Bytes::new(), Meta::default());
    }
    Ok(Reply::Delete { deleted, previous })
}
