//! An answer as it is compared: a list of fields and their values, without what may differ.
//!
//! Ids that a server drew, terms, sizes and addresses count as there or not there. Revisions count
//! from the beginning of the case. A lease's id is its number in the case.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt::Write as _;

use prost_reflect::{DynamicMessage, FieldDescriptor, ReflectMessage as _, Value};
use tonic::Status;

/// What one server answered to one case.
pub(super) type Transcript = Vec<Answer>;

/// The fields of an answer by their paths. Fields that have their default are left out, as on the
/// wire.
pub(super) type Fields = BTreeMap<String, String>;

/// One answer.
#[derive(Debug)]
pub(super) struct Answer {
    /// Which step of the case it answers.
    pub(super) step: usize,
    /// `Service.Method`.
    pub(super) method: String,
    pub(super) fields: Fields,
}

impl Answer {
    /// What stands beside an answer when the other side gave none.
    pub(super) fn none() -> Answer {
        Answer {
            step: 0,
            method: String::new(),
            fields: Fields::new(),
        }
    }
}

/// Of which only it is compared whether they are there.
const THERE: [&str; 19] = [
    "ResponseHeader.cluster_id",
    "ResponseHeader.member_id",
    "ResponseHeader.raft_term",
    "AuthenticateResponse.token",
    "HashKVResponse.hash",
    "HashResponse.hash",
    "Member.ID",
    "Member.clientURLs",
    "Member.name",
    "Member.peerURLs",
    "SnapshotResponse.remaining_bytes",
    "StatusResponse.dbSize",
    "StatusResponse.dbSizeInUse",
    "StatusResponse.leader",
    "StatusResponse.raftAppliedIndex",
    "StatusResponse.raftIndex",
    "StatusResponse.raftTerm",
    "AlarmMember.memberID",
    "SnapshotResponse.blob",
];

/// Which count from the beginning of the case.
const REVISIONS: [&str; 6] = [
    "revision",
    "create_revision",
    "mod_revision",
    "compact_revision",
    "hash_revision",
    "rev",
];

/// Whether it is a member that never ran: members are listed by ids, which are drawn, and such a one
/// is told apart by having no name yet.
fn never_ran(item: &Value) -> bool {
    let member = item.as_message();
    let name = member
        .filter(|member| member.descriptor().name() == "Member")
        .and_then(|member| member.get_field_by_name("name"));
    name.is_some_and(|name| name.as_str() == Some(""))
}

/// What a server drew or had in the course of a case, and which must not be compared as it is.
#[derive(Debug, Default)]
pub(super) struct Names {
    /// The revision before the case.
    pub(super) base: i64,
    /// Ids of leases that the server drew, in order.
    pub(super) leases: Vec<i64>,
}

impl Names {
    /// Remembers the id of a lease that the server drew: as it was told, or at the end of the key of
    /// a lock.
    pub(super) fn note(&mut self, answer: &DynamicMessage) {
        let drawn = match answer.descriptor().name() {
            "LeaseGrantResponse" => {
                let id = answer.get_field_by_name("ID").map(Cow::into_owned);
                id.and_then(|id| id.as_i64())
            }
            "LockResponse" => {
                let key = answer.get_field_by_name("key").map(Cow::into_owned);
                let key = key.and_then(|key| key.as_bytes().cloned());
                let text = key.map(|key| String::from_utf8_lossy(&key).into_owned());
                let end = text.as_deref().and_then(|text| text.rsplit_once('/'));
                end.and_then(|(_, id)| i64::from_str_radix(id, 16).ok())
            }
            _ => None,
        };
        if let Some(id) = drawn
            && id > i64::from(u32::MAX)
            && !self.leases.contains(&id)
        {
            self.leases.push(id);
        }
    }

    /// The fields of a message.
    pub(super) fn fields(&self, message: &DynamicMessage) -> Fields {
        let mut fields = Fields::new();
        self.add_message("", message, &mut fields);
        fields
    }

    /// The same, below a path.
    pub(super) fn add_message(&self, path: &str, message: &DynamicMessage, fields: &mut Fields) {
        for (field, value) in message.fields() {
            let path = join(path, field.name());
            match value {
                Value::List(items) => {
                    let mut items: Vec<&Value> = items.iter().collect();
                    items.sort_by_key(|item| never_ran(item));
                    for (index, item) in items.into_iter().enumerate() {
                        self.add(&format!("{path}[{index}]"), &field, item, fields);
                    }
                }
                value => self.add(&path, &field, value, fields),
            }
        }
        for unknown in message.unknown_fields() {
            let path = join(path, &format!("#{}", unknown.number()));
            fields.insert(path, "a field that our protos do not have".to_owned());
        }
    }

    fn add(&self, path: &str, field: &FieldDescriptor, value: &Value, fields: &mut Fields) {
        if let Value::Message(message) = value {
            fields.insert(path.to_owned(), "{}".to_owned());
            return self.add_message(path, message, fields);
        }
        let place = format!("{}.{}", field.parent_message().name(), field.name());
        let text = match value {
            _ if THERE.contains(&place.as_str()) => "there".to_owned(),
            Value::I64(number) if REVISIONS.contains(&field.name()) && *number >= self.base => {
                format!("@{}", number - self.base)
            }
            // What cases before this one left, which may differ where an answer differed.
            Value::I64(number) if REVISIONS.contains(&field.name()) && *number > 0 => {
                "before the case".to_owned()
            }
            Value::I64(number) => match self.leases.iter().position(|lease| lease == number) {
                Some(index) => format!("lease {index}"),
                None => number.to_string(),
            },
            Value::Bytes(bytes) => self.without_leases(&bytes.escape_ascii().to_string()),
            Value::String(text) => self.without_leases(text),
            Value::Bool(it) => it.to_string(),
            Value::U64(number) => number.to_string(),
            Value::EnumNumber(number) | Value::I32(number) => number.to_string(),
            Value::U32(number) => number.to_string(),
            other => format!("{other:?}"),
        };
        fields.insert(path.to_owned(), short(&text));
    }

    /// A string of an answer in JSON.
    pub(super) fn json_text(&self, path: &str, text: &str) -> String {
        let name = path.rsplit('.').next().unwrap_or_default();
        let name = name.split('[').next().unwrap_or_default();
        let is_there = THERE
            .iter()
            .any(|place| place.rsplit('.').next() == Some(name));
        if is_there && (path.contains("header.") || path.starts_with("members[")) {
            return "there".to_owned();
        }
        match text.parse::<i64>() {
            Ok(number) if REVISIONS.contains(&name) && number >= self.base => {
                format!("@{}", number - self.base)
            }
            _ => short(text),
        }
    }

    /// Keys of locks and elections end with a lease's id in hexadecimal.
    fn without_leases(&self, text: &str) -> String {
        let mut text = text.to_owned();
        for (index, lease) in self.leases.iter().enumerate() {
            text = text.replace(&format!("{lease:x}"), &format!("<lease {index}>"));
        }
        text
    }
}

/// A failure.
pub(super) fn failure(status: &Status) -> Fields {
    let text = format!("{:?}: {}", status.code(), status.message());
    Fields::from([(FAILURE.to_owned(), short(&text))])
}

/// The field of a failure, which stands alone.
pub(super) const FAILURE: &str = "failure";

/// Something that is no message.
pub(super) fn word(name: &str) -> Fields {
    Fields::from([(name.to_owned(), "so".to_owned())])
}

/// Whether two values count as the same: what is left of a lease is not the same at two moments.
pub(super) fn same(path: &str, ours: &str, theirs: &str) -> bool {
    const SECONDS_APART: i64 = 2;
    if path == "TTL"
        && let (Ok(ours), Ok(theirs)) = (ours.parse::<i64>(), theirs.parse::<i64>())
    {
        return (ours - theirs).abs() <= SECONDS_APART && (ours > 0) == (theirs > 0);
    }
    ours == theirs
}

/// The path of a field below another.
pub(super) fn join(path: &str, name: &str) -> String {
    if path.is_empty() {
        name.to_owned()
    } else {
        format!("{path}.{name}")
    }
}

/// A long value by its beginning and its length.
pub(super) fn short(text: &str) -> String {
    const SHOWN: usize = 200;
    if text.len() <= SHOWN {
        return text.to_owned();
    }
    let mut head: String = text.chars().take(SHOWN / 2).collect();
    write!(head, "... ({} bytes)", text.len()).expect("a string takes every write");
    head
}
