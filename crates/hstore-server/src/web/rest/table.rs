//! The lines of the pages about keys.

use futures::FutureExt as _;
use hstore_core::error::ErrorCode;

use super::read::{BYTES, JSON, JSON_LINES, TEXT};
use super::tree::NAMES_MAX;
use super::{document, encoded, history, read, shape, tree, watch, write};
use crate::grpc::Need;
use crate::web::ask::TIMEOUT_MS;
use crate::web::line::{Content, Kind, Line, Page, Param, Place, Success, Verb};
use crate::web::service::{DELETE, HISTORY, PUT, RANGE, RANGE_STREAM, TXN, WATCH};
use crate::web::sse::EVENT_STREAM;

/// The longest time that a caller may name, in milliseconds: an hour, as for any call.
const TIMEOUT_MS_MAX: i64 = 3_600_000;

const fn param(name: &'static str, place: Place, kind: Kind, says: &'static str) -> Param {
    Param {
        name,
        place,
        kind,
        says,
    }
}

const fn query(name: &'static str, kind: Kind, says: &'static str) -> Param {
    param(name, Place::Query, kind, says)
}

const fn header(name: &'static str, says: &'static str) -> Param {
    param(name, Place::Header, Kind::Bytes, says)
}

const KEY: &[Param] = &[param(
    "key",
    Place::Path,
    Kind::Bytes,
    "The key, percent-encoded; slashes may stand as they are.",
)];

const REVISION: Kind = Kind::Number(0, i64::MAX);

const FRESH: &[Param] = &[
    query(
        "consistency",
        Kind::Word(&["linearizable", "serializable"]),
        "`linearizable`, which is the default, sees every write that was answered before; \
         `serializable` asks this node alone.",
    ),
    query(
        "rev",
        REVISION,
        "Read as of this revision; 0 is the current one.",
    ),
    query(
        "wait_rev",
        REVISION,
        "First wait until this node has applied this revision.",
    ),
];

const TIMEOUT: &[Param] = &[query(
    TIMEOUT_MS,
    Kind::Number(1, TIMEOUT_MS_MAX),
    "How long the answer may take, in milliseconds.",
)];

const LIST: &[Param] = &[
    query("limit", REVISION, "At most so many keys; 0 is no limit."),
    query(
        "after",
        Kind::Bytes,
        "Only keys behind this one, to page on.",
    ),
    query("keys_only", Kind::Flag, "Leave the values out."),
];

const PREFIX: &[Param] = &[query(
    "prefix",
    Kind::Bytes,
    "Only keys that begin with this.",
)];

const AS_PREFIX: &[Param] = &[query(
    "prefix",
    Kind::Flag,
    "Every key that begins with the one of the path.",
)];

const KNOWN: &[Param] = &[
    header(
        "If-None-Match",
        "Not again if the key is still at this revision.",
    ),
    header("If-Match", "Only if the key is at this revision."),
];

const CONDITION: &[Param] = &[
    header(
        "If-Match",
        "Only if the key is at this revision; `*`: only if it is there.",
    ),
    header("If-None-Match", "`*`: only if the key is not there."),
];

const LEASE: &[Param] = &[query(
    "lease",
    REVISION,
    "The lease that the key ends with; 0 is none.",
)];

const WATCHING: &[Param] = &[
    query(
        "rev",
        REVISION,
        "From this revision on; 0 is whatever comes next.",
    ),
    query(
        "wait_rev",
        REVISION,
        "First wait until this node has applied this revision.",
    ),
    query("previous", Kind::Flag, "Say what each event replaced."),
    header("Last-Event-ID", "Go on behind this event."),
];

const HISTORIC: &[Param] = &[
    query(
        "limit",
        REVISION,
        "At most so many records; 0 lets the node choose.",
    ),
    query(
        "before",
        REVISION,
        "Only records older than this revision, to page on.",
    ),
    query(
        "wait_rev",
        REVISION,
        "First wait until this node has applied this revision.",
    ),
];

const FOLDER: &[Param] = &[
    query(
        "delimiter",
        Kind::Bytes,
        "What parts the names; `/` when it is not said.",
    ),
    query(
        "limit",
        Kind::Number(1, NAMES_MAX),
        "At most so many names.",
    ),
    query(
        "after",
        Kind::Bytes,
        "Only names behind this one, to page on.",
    ),
];

const READS: &[ErrorCode] = &[
    ErrorCode::Compacted,
    ErrorCode::EmptyKey,
    ErrorCode::FutureRevision,
    ErrorCode::KeyTooLarge,
    ErrorCode::NoQuorum,
    ErrorCode::NotForLearners,
];

const WRITES: &[ErrorCode] = &[
    ErrorCode::EmptyKey,
    ErrorCode::KeyTooLarge,
    ErrorCode::LeaseNotFound,
    ErrorCode::NoQuorum,
    ErrorCode::NoSpace,
    ErrorCode::NotForLearners,
    ErrorCode::OutcomeUnknown,
    ErrorCode::RequestTooLarge,
    ErrorCode::SessionExpired,
];

const MISSING: &[ErrorCode] = &[ErrorCode::KeyNotFound];

const CONFLICTS: &[ErrorCode] = &[ErrorCode::Conflict];

const fn ok(
    says: &'static str,
    types: &'static [&'static str],
    schema: fn() -> serde_json::Value,
) -> Success {
    Success {
        status: 200,
        says,
        content: Some(Content { types, schema }),
    }
}

const UNCHANGED: Success = Success {
    status: 304,
    says: "The key is still at the revision that the caller has.",
    content: None,
};

const VALUE: &[&str] = &[JSON, TEXT, BYTES];
const ENTRIES: &[&str] = &[JSON, JSON_LINES];

const READ_ONE: &[Success] = &[
    ok(
        "The key with its value, or the value alone.",
        VALUE,
        shape::entry_or_entries,
    ),
    UNCHANGED,
];
const READ_ALL: &[Success] = &[ok("The keys, in their order.", ENTRIES, shape::entries)];
const WRITTEN: &[Success] = &[ok("It is written.", &[JSON], shape::written)];
const DELETED: &[Success] = &[ok("It is deleted.", &[JSON], shape::deleted)];
const EVENTS: &[Success] = &[ok(
    "Events `open`, `put`, `delete` and `end`, as they happen.",
    &[EVENT_STREAM],
    shape::bytes,
)];

const DOCUMENT: &[Success] = &[ok("The document.", &[JSON], shape::document), UNCHANGED];
const STORED: &[Success] = &[ok(
    "The document, as it is stored.",
    &[JSON],
    shape::document,
)];
const WRITTEN_BASE64: &[Success] = &[ok("It is written.", &[JSON], shape::written_base64)];
const ENCODED: &[Success] = &[
    ok("The key with its value.", &[JSON], shape::encoded),
    UNCHANGED,
];
const RECORDS: &[Success] = &[ok("The records.", &[JSON], shape::records)];
const NAMES: &[Success] = &[ok("The names.", &[JSON], shape::names)];

const ANY_DOCUMENT: Content = Content {
    types: &[JSON],
    schema: shape::document,
};
const PAIR_BASE64: Content = Content {
    types: &[JSON],
    schema: shape::pair_base64,
};
const PAIR: Content = Content {
    types: &[JSON],
    schema: shape::pair,
};
const ANY_BYTES: Content = Content {
    types: &[BYTES],
    schema: shape::bytes,
};

const WRITE_CALLS: &[&str] = &[PUT.path, TXN.path];
const DELETE_CALLS: &[&str] = &[DELETE.path, TXN.path];

const fn deletes(line: Line) -> Line {
    line.needs(Need::Keys, DELETE_CALLS)
        .says("Delete a key, or every key with a prefix.")
        .takes(&[KEY, AS_PREFIX, CONDITION, TIMEOUT])
        .answers(DELETED, &[WRITES, MISSING, CONFLICTS])
}

/// The lines.
pub(in crate::web) const TABLE: &[Line] = &[
    Line::get("/read", Page::Asked(|ask| read::all(ask).boxed()))
        .needs(Need::Keys, &[RANGE_STREAM.path])
        .says("Read all keys with their values, or those with a prefix.")
        .takes(&[PREFIX, LIST, FRESH, TIMEOUT])
        .answers(READ_ALL, &[READS]),
    Line::get("/read/{key*}", Page::Asked(|ask| read::one(ask).boxed()))
        .needs(Need::Keys, &[RANGE.path, RANGE_STREAM.path])
        .says("Read a key.")
        .takes(&[KEY, AS_PREFIX, LIST, FRESH, KNOWN, TIMEOUT])
        .answers(READ_ONE, &[READS, MISSING, CONFLICTS]),
    deletes(Line::change(
        Verb::Delete,
        "/read/{key*}",
        Page::Asked(|ask| write::delete(ask).boxed()),
    )),
    Line::change(
        Verb::Post,
        "/write",
        Page::Asked(|ask| write::write(ask).boxed()),
    )
    .needs(Need::Keys, WRITE_CALLS)
    .says("Write a key.")
    .takes(&[CONDITION, TIMEOUT])
    .body(PAIR)
    .answers(WRITTEN, &[WRITES, CONFLICTS]),
    Line::change(
        Verb::Put,
        "/write/{key*}",
        Page::Asked(|ask| write::write_body(ask).boxed()),
    )
    .needs(Need::Keys, WRITE_CALLS)
    .says("Write a key; the body is its value, whatever it is.")
    .takes(&[KEY, LEASE, CONDITION, TIMEOUT])
    .body(ANY_BYTES)
    .answers(WRITTEN, &[WRITES, CONFLICTS]),
    Line::change(
        Verb::Post,
        "/update",
        Page::Asked(|ask| write::update(ask).boxed()),
    )
    .needs(Need::Keys, WRITE_CALLS)
    .says("Write a key that is there already.")
    .takes(&[CONDITION, TIMEOUT])
    .body(PAIR)
    .answers(WRITTEN, &[WRITES, MISSING, CONFLICTS]),
    Line::change(
        Verb::Put,
        "/update/{key*}",
        Page::Asked(|ask| write::update_body(ask).boxed()),
    )
    .needs(Need::Keys, WRITE_CALLS)
    .says("Write a key that is there already; the body is its value, whatever it is.")
    .takes(&[KEY, LEASE, CONDITION, TIMEOUT])
    .body(ANY_BYTES)
    .answers(WRITTEN, &[WRITES, MISSING, CONFLICTS]),
    deletes(
        Line::get(
            "/delete/{key*}",
            Page::Asked(|ask| write::delete(ask).boxed()),
        )
        .with_effects(),
    ),
    deletes(Line::change(
        Verb::Delete,
        "/delete/{key*}",
        Page::Asked(|ask| write::delete(ask).boxed()),
    )),
    Line::get(
        "/watch/{key*}",
        Page::Asked(|ask| watch::watch(ask).boxed()),
    )
    .needs(Need::Keys, &[WATCH.path])
    .says("Watch a key, or every key with a prefix.")
    .takes(&[KEY, AS_PREFIX, WATCHING, TIMEOUT])
    .answers(EVENTS, &[READS])
    .not_made_up(),
    Line::get("/api/{key*}", Page::Asked(|ask| document::get(ask).boxed()))
        .needs(Need::Keys, &[RANGE.path])
        .says("Read the document of a key.")
        .takes(&[KEY, FRESH, KNOWN, TIMEOUT])
        .answers(DOCUMENT, &[READS, MISSING, CONFLICTS]),
    Line::change(
        Verb::Put,
        "/api/{key*}",
        Page::Asked(|ask| document::put_document(ask).boxed()),
    )
    .needs(Need::Keys, WRITE_CALLS)
    .says("Write the document of a key; the answer is the document.")
    .takes(&[KEY, LEASE, CONDITION, TIMEOUT])
    .body(ANY_DOCUMENT)
    .answers(STORED, &[WRITES, CONFLICTS]),
    Line::change(
        Verb::Delete,
        "/api/{key*}",
        Page::Asked(|ask| write::delete(ask).boxed()),
    )
    .needs(Need::Keys, DELETE_CALLS)
    .says("Delete the document of a key.")
    .takes(&[KEY, CONDITION, TIMEOUT])
    .answers(DELETED, &[WRITES, MISSING, CONFLICTS]),
    Line::change(
        Verb::Post,
        "/v0/kv",
        Page::Asked(|ask| encoded::post(ask).boxed()),
    )
    .needs(Need::Keys, WRITE_CALLS)
    .says("Write a key; key and value are in base64.")
    .takes(&[CONDITION, TIMEOUT])
    .body(PAIR_BASE64)
    .answers(WRITTEN_BASE64, &[WRITES, CONFLICTS]),
    Line::get(
        "/v0/kv/key/{key*}",
        Page::Asked(|ask| encoded::get(ask).boxed()),
    )
    .needs(Need::Keys, &[RANGE.path])
    .says("Read a key; key and value are in base64.")
    .takes(&[KEY, FRESH, KNOWN, TIMEOUT])
    .answers(ENCODED, &[READS, MISSING, CONFLICTS]),
    Line::change(
        Verb::Delete,
        "/v0/kv/key/{key*}",
        Page::Asked(|ask| write::delete(ask).boxed()),
    )
    .needs(Need::Keys, DELETE_CALLS)
    .says("Delete a key.")
    .takes(&[KEY, CONDITION, TIMEOUT])
    .answers(DELETED, &[WRITES, MISSING, CONFLICTS]),
    Line::get(
        "/history/{key*}",
        Page::Asked(|ask| history::history(ask).boxed()),
    )
    .needs(Need::Keys, &[HISTORY.path])
    .says("Read what a key was, newest first, deletions too, as far as history is kept.")
    .takes(&[KEY, HISTORIC, TIMEOUT])
    .answers(RECORDS, &[READS]),
    Line::get("/keys", Page::Asked(|ask| tree::keys(ask).boxed()))
        .needs(Need::Keys, &[RANGE.path, RANGE_STREAM.path])
        .says("List the keys under a prefix as a folder shows them, with counts.")
        .takes(&[PREFIX, FOLDER, FRESH, TIMEOUT])
        .answers(NAMES, &[READS]),
];
