//! How keys, values and records are named in a sentence.

use std::fmt::Write as _;

use hstore_core::record::Record;

/// Longer bytes are cut, with their length behind.
const SHOWN_BYTES: usize = 40;

/// Bytes in quotes, on one line.
pub(crate) fn quoted(bytes: &[u8]) -> String {
    let shown = &bytes[..bytes.len().min(SHOWN_BYTES)];
    let mut text = format!("\"{}\"", shown.escape_ascii());
    if shown.len() < bytes.len() {
        write!(text, " ({} bytes)", bytes.len()).expect("a string takes every write");
    }
    text
}

/// A record, all of it.
pub(crate) fn record(record: &Record) -> String {
    let meta = &record.meta;
    format!(
        "{} = {} (create {}, mod {}, version {})",
        quoted(&record.key),
        quoted(&record.value),
        meta.create_revision,
        meta.mod_revision,
        meta.version
    )
}

/// A record or its absence.
pub(crate) fn maybe(found: Option<&Record>) -> String {
    found.map_or_else(|| "nothing".to_owned(), record)
}
