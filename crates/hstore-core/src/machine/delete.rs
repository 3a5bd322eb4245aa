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
    let previous = if request.prev_kv {
        let load = |(key, meta): &(Bytes, Meta)| writer.load(key.clone(), *meta);
        found.iter().map(load).collect::<Result<_, _>>()?
    } else {
        Vec::new()
    };
    for (key, _) in found {
        writer.append(key, Bytes::new(), Meta::default());
    }
    Ok(Reply::Delete { deleted, previous })
}
