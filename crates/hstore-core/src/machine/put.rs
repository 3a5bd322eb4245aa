//! Putting one key.

use bytes::Bytes;

use super::View;
use super::writer::Writer;
use crate::command::Put;
use crate::id::Revision;
use crate::outcome::{Refusal, Reply};
use crate::planted::{self, Bug};
use crate::record::Meta;

/// A put that is a command of its own. Of two reasons to refuse it etcd names the lease.
pub(super) fn put_alone<V: View>(
    writer: &mut Writer<'_, V>,
    request: Put,
) -> Result<Result<Reply, Refusal>, V::Fault> {
    if let Err(refusal) = check_lease(writer, &request).and_then(|()| check_key(writer, &request)) {
        return Ok(Err(refusal));
    }
    put(writer, request).map(Ok)
}

/// Whether the put is refused in the state that the writer sees.
pub(super) fn check<V: View>(writer: &Writer<'_, V>, request: &Put) -> Result<(), Refusal> {
    check_key(writer, request).and_then(|()| check_lease(writer, request))
}

fn check_key<V: View>(writer: &Writer<'_, V>, request: &Put) -> Result<(), Refusal> {
    let needs_present = request.ignore_value || request.ignore_lease;
    if needs_present && writer.get(&request.key).is_none() {
        return Err(Refusal::KeyNotFound);
    }
    Ok(())
}

fn check_lease<V: View>(writer: &Writer<'_, V>, request: &Put) -> Result<(), Refusal> {
    if request.lease != 0 && !writer.has_lease(request.lease) {
        return Err(Refusal::LeaseNotFound);
    }
    Ok(())
}

/// Writes the key. The caller has checked the request; a key whose value was to be kept but is
/// gone since, which the door lets no transaction do, gets an empty one.
pub(super) fn put<V: View>(writer: &mut Writer<'_, V>, request: Put) -> Result<Reply, V::Fault> {
    let present = writer.get(&request.key);
    let mut loaded = match present {
        Some(meta) if request.prev_kv || request.ignore_value => {
            Some(writer.load(request.key.clone(), meta)?)
        }
        _ => None,
    };
    let value = if request.ignore_value {
        let kept = loaded.as_ref().map(|record| record.value.clone());
        kept.unwrap_or_else(Bytes::new)
    } else {
        request.value
    };
    let lease = match present {
        Some(meta) if request.ignore_lease => meta.lease,
        _ => request.lease,
    };
    if planted::is(Bug::PreviousShowsNewValue)
        && let Some(previous) = &mut loaded
    {
        previous.value = value.clone();
    }
    let mut counted = present;
    if planted::is(Bug::VersionNotReset) {
        counted = newest_of_former_generations(writer, &request.key);
    }
    let mut created = writer.revision();
    if planted::is(Bug::CreateRevisionOffByOne) {
        created.0 -= 1;
    }
    let meta = Meta {
        create_revision: present.map_or(created, |meta| meta.create_revision),
        version: counted.map_or(1, |meta| meta.version.saturating_add(1)),
        lease,
        ..Meta::default()
    };
    writer.append(request.key, value, meta);
    Ok(Reply::Put {
        previous: loaded.filter(|record| request.prev_kv && writer.tells(record)),
    })
}

/// Where a version goes on that is not reset: the record of a generation that is not long over.
fn newest_of_former_generations<V: View>(writer: &Writer<'_, V>, key: &[u8]) -> Option<Meta> {
    let newest = writer.revision().0;
    let mut before = (newest - 64..=newest).rev().map(Revision);
    before.find_map(|at| writer.view().get(key, at))
}
