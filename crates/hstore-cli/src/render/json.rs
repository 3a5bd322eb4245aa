//! For programs: one object a line. A key is `key` when it is UTF-8 and `key_b64` otherwise, or
//! always under `--base64`; a value likewise.

use std::io::{self, Write};

use hstore_client::v1::ClusterDescription;
use hstore_client::{Change, History, KeyValue, Lease};
use serde_json::{Map, Value, json};

use super::{Data, Done, TxnReport, View, members, nodes, settings};
use crate::text::to_base64;

pub(super) fn data(out: &mut dyn Write, view: View, data: &Data) -> io::Result<()> {
    let value = match data {
        Data::Value(found) => return pair(out, view, found, false),
        Data::Written { revision } => json!({"revision": revision}),
        Data::WrittenFor { revision, lease } => {
            let mut value = self::lease(view, lease);
            value["revision"] = (*revision).into();
            value
        }
        Data::Lease(lease) => self::lease(view, lease),
        Data::Leases(leases) => {
            let ids: Vec<String> = leases.iter().map(|id| format!("{id:x}")).collect();
            json!({"leases": ids})
        }
        Data::Renewed { lease, ttl } => {
            json!({"lease": format!("{lease:x}"), "ttl": ttl.as_secs()})
        }
        Data::Held { key, token, lease } => {
            let mut object = Map::new();
            put(&mut object, view, "key", key);
            object.insert("token".to_owned(), (*token).into());
            object.insert("lease".to_owned(), format!("{lease:x}").into());
            Value::Object(object)
        }
        Data::Leader(leader) => return pair(out, view, leader, false),
        Data::Txn(report) => txn(view, report),
        Data::Deleted { count, revision } => json!({"deleted": count, "revision": revision}),
        Data::Auth(data) => super::auth::json(view, data),
        Data::History(history) => self::history(view, history),
        Data::Nodes(cluster) => self::cluster(cluster),
        Data::Members(members) => members::json(members),
        Data::Settings(data) => settings::json(data),
        Data::Leads { node, name } => json!({"leader": node, "name": name}),
        Data::Alarms(alarms) => members::json_alarms(alarms),
        Data::Hashes(rows) => members::json_hashes(rows),
        Data::Compacted { revision } => json!({"compacted_revision": revision}),
        Data::Status {
            node,
            address,
            cluster,
        } => {
            let mut value = nodes::status_json(node, address);
            value["cluster"] = cluster.as_ref().map_or(Value::Null, self::cluster);
            value
        }
        Data::Imported(report) => report.json(),
        Data::Exported { pairs, revision } => json!({"pairs": pairs, "revision": revision}),
        Data::Saved(saved) => saved.json(),
        Data::Backup(report) => report.json(),
        Data::Bench(report) => report.json(),
        Data::Diagnosis(diagnosis) => super::doctor::json(diagnosis),
        Data::Picture(picture) => super::top::json(picture),
        Data::Text(_) | Data::Nothing => return Ok(()),
    };
    line(out, &value)
}

pub(super) fn change(out: &mut dyn Write, view: View, change: &Change) -> io::Result<()> {
    let mut value = Map::new();
    value.insert("type".to_owned(), super::kind(change).into());
    if change.deleted {
        put(&mut value, view, "key", &change.pair.key);
        let revision = change.pair.mod_revision.0;
        value.insert("mod_revision".to_owned(), revision.into());
    } else {
        value.extend(object(view, &change.pair, false));
    }
    if let Some(previous) = &change.previous {
        let previous = object(view, previous, false);
        value.insert("previous".to_owned(), Value::Object(previous));
    }
    line(out, &Value::Object(value))
}

pub(super) fn pair(
    out: &mut dyn Write,
    view: View,
    pair: &KeyValue,
    keys_only: bool,
) -> io::Result<()> {
    line(out, &Value::Object(object(view, pair, keys_only)))
}

fn object(view: View, pair: &KeyValue, keys_only: bool) -> Map<String, Value> {
    let mut object = Map::new();
    put(&mut object, view, "key", &pair.key);
    if !keys_only {
        put(&mut object, view, "value", &pair.value);
    }
    object.insert("create_revision".to_owned(), pair.create_revision.0.into());
    object.insert("mod_revision".to_owned(), pair.mod_revision.0.into());
    object.insert("version".to_owned(), pair.version.into());
    object
}

/// Ids are hexadecimal texts: as numbers they would not survive most readers of JSON.
fn lease(view: View, lease: &Lease) -> Value {
    let keys = lease.keys.iter().map(|key| {
        let mut object = Map::new();
        put(&mut object, view, "key", key);
        Value::Object(object)
    });
    json!({
        "lease": format!("{:x}", lease.id),
        "ttl": lease.ttl.as_secs(),
        "remaining": lease.remaining.as_secs(),
        "keys": keys.collect::<Vec<Value>>(),
    })
}

fn txn(view: View, report: &TxnReport) -> Value {
    let steps = report.steps.iter().map(|step| match step {
        Done::Set => json!({"done": "set"}),
        Done::Deleted(count) => json!({"done": "delete", "deleted": count}),
        Done::Get(pairs) => {
            let pairs = pairs.iter().map(|pair| object(view, pair, false));
            json!({"done": "get", "pairs": pairs.collect::<Vec<_>>()})
        }
    });
    json!({
        "succeeded": report.succeeded,
        "revision": report.revision,
        "steps": steps.collect::<Vec<_>>(),
    })
}

fn history(view: View, history: &History) -> Value {
    let records: Vec<Value> = history
        .records
        .iter()
        .map(|past| {
            let mut object = Map::new();
            object.insert("mod_revision".to_owned(), past.mod_revision.0.into());
            object.insert("create_revision".to_owned(), past.create_revision.0.into());
            object.insert("version".to_owned(), past.version.into());
            object.insert("deleted".to_owned(), past.value.is_none().into());
            if let Some(value) = &past.value {
                put(&mut object, view, "value", value);
            }
            Value::Object(object)
        })
        .collect();
    json!({
        "revision": history.revision.0,
        "compacted_revision": history.compacted.0,
        "more": history.more,
        "records": records,
    })
}

fn cluster(cluster: &ClusterDescription) -> Value {
    json!({
        "cluster_id": format!("{:016x}", cluster.cluster_id),
        "cluster_name": cluster.cluster_name,
        "leader": cluster.leader,
        "term": cluster.term,
        "revision": cluster.revision,
        "health": nodes::health(cluster).to_string(),
        "nodes": cluster.members.iter().map(nodes::member_json).collect::<Vec<Value>>(),
    })
}

pub(super) fn put(object: &mut Map<String, Value>, view: View, name: &str, bytes: &[u8]) {
    match std::str::from_utf8(bytes) {
        Ok(text) if !view.base64 => object.insert(name.to_owned(), text.into()),
        _ => object.insert(format!("{name}_b64"), to_base64(bytes).into()),
    };
}

fn line(out: &mut dyn Write, value: &Value) -> io::Result<()> {
    writeln!(out, "{value}")
}
