//! The same random operations through gRPC and through pages: two new nodes, one behind each door,
//! answer alike, with the same revisions, and hold the same in the end.
//!
//! What an operation means in calls of gRPC is said here anew, as a program with a client of etcd
//! would say it.

use bytes::Bytes;
use hstore_core::error::ErrorCode;
use hstore_proto::etcdserverpb::compare::{CompareResult, CompareTarget, TargetUnion};
use hstore_proto::etcdserverpb::request_op::Request as Step;
use hstore_proto::etcdserverpb::{
    Compare, DeleteRangeRequest, PutRequest, RangeRequest, RequestOp, ResponseHeader, TxnRequest,
    TxnResponse,
};
use hstore_proto::mvccpb::KeyValue;
use hstore_proto::status;
use proptest::collection::vec;
use proptest::prelude::*;
use serde_json::Value;
use tonic::Status;

use crate::grpc::tests::{World, world};
use crate::web::tests::{Told, send};

/// One operation.
#[derive(Clone, Debug)]
enum Deed {
    Write(Vec<u8>, Vec<u8>, If),
    Update(Vec<u8>, Vec<u8>),
    Document(Vec<u8>, i32),
    Encoded(Vec<u8>, Vec<u8>),
    Delete(Vec<u8>, If),
    DeletePrefix(Vec<u8>),
    Read(Vec<u8>, i64, bool),
    List(Vec<u8>, i64),
}

/// When a write happens.
#[derive(Clone, Copy, Debug)]
enum If {
    Always,
    At(i64),
    Present,
    Absent,
}

/// What came of it.
#[derive(Debug, PartialEq, Eq)]
enum Outcome {
    Written(i64),
    Deleted(i64, i64),
    Entries(Vec<Entry>, i64),
    Refused(ErrorCode),
}

/// Key, value, the revision of the last write and of the first, version.
type Entry = (Vec<u8>, Vec<u8>, i64, i64, i64);

fn key() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        20 => prop_oneof![
            Just(b"a".to_vec()),
            Just(b"a/b".to_vec()),
            Just(b"a/c d+e%".to_vec()),
            Just(b"\xff\x00".to_vec()),
            Just("ä?&#".as_bytes().to_vec()),
        ],
        2 => vec(any::<u8>(), 1..6),
        1 => Just(Vec::new()),
        1 => Just(vec![b'k'; 65]),
    ]
}

fn value() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        8 => vec(any::<u8>(), 0..40),
        8 => "[ -~\n\u{80}-\u{fff}]{0,20}".prop_map(String::into_bytes),
        1 => Just(vec![b'v'; 5000]),
    ]
}

fn condition() -> impl Strategy<Value = If> {
    prop_oneof![
        Just(If::Always),
        (1_i64..12).prop_map(If::At),
        Just(If::Present),
        Just(If::Absent),
    ]
}

fn deed() -> impl Strategy<Value = Deed> {
    prop_oneof![
        4 => (key(), value(), condition()).prop_map(|(key, value, when)| Deed::Write(key, value, when)),
        2 => (key(), value()).prop_map(|(key, value)| Deed::Update(key, value)),
        1 => (key(), any::<i32>()).prop_map(|(key, value)| Deed::Document(key, value)),
        1 => (key(), value()).prop_map(|(key, value)| Deed::Encoded(key, value)),
        2 => (key(), condition()).prop_map(|(key, when)| Deed::Delete(key, when)),
        1 => key().prop_map(Deed::DeletePrefix),
        2 => (key(), 0_i64..9, any::<bool>()).prop_map(|(key, rev, fresh)| Deed::Read(key, rev, fresh)),
        1 => (key(), 0_i64..4).prop_map(|(key, limit)| Deed::List(key, limit)),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(12))]

    #[test]
    fn both_doors_answer_alike(deeds in vec(deed(), 1..40)) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let (called, asked) = (world().await, world().await);
            for deed in &deeds {
                let by_call = call(&called, deed).await;
                let by_page = ask(&asked, deed).await;
                assert_eq!(by_call, by_page, "{deed:?}");
            }
            // Also what each wrote for the other to read.
            let all = Deed::List(Vec::new(), 0);
            let expected = call(&called, &all).await;
            assert_eq!(expected, ask(&asked, &all).await);
            assert_eq!(expected, call(&asked, &all).await);
            assert_eq!(expected, ask(&called, &all).await);
        });
    }
}

/// Does it as a client of etcd does.
async fn call(world: &World, deed: &Deed) -> Outcome {
    let done = match deed {
        Deed::Write(key, value, when) => put(world, key, value, *when, false).await,
        Deed::Update(key, value) => put(world, key, value, If::Present, true).await,
        Deed::Document(key, value) => {
            put(world, key, value.to_string().as_bytes(), If::Always, false).await
        }
        Deed::Encoded(key, value) => put(world, key, value, If::Always, false).await,
        Deed::Delete(key, when) => delete(world, key, *when).await,
        Deed::DeletePrefix(prefix) => delete_prefix(world, prefix).await,
        Deed::Read(key, revision, serializable) => {
            let request = RangeRequest {
                key: Bytes::copy_from_slice(key),
                revision: *revision,
                serializable: *serializable,
                ..RangeRequest::default()
            };
            range(world, request, true).await
        }
        Deed::List(prefix, limit) => {
            let (key, range_end) = under(prefix);
            let request = RangeRequest {
                key,
                range_end,
                limit: *limit,
                ..RangeRequest::default()
            };
            range(world, request, false).await
        }
    };
    done.unwrap_or_else(|refused| Outcome::Refused(status::read(&refused).code))
}

async fn put(
    world: &World,
    key: &[u8],
    value: &[u8],
    when: If,
    must_be_there: bool,
) -> Result<Outcome, Status> {
    let request = PutRequest {
        key: Bytes::copy_from_slice(key),
        value: Bytes::copy_from_slice(value),
        ..PutRequest::default()
    };
    if matches!(when, If::Always) {
        let answer = world.kv().put(request).await?.into_inner();
        return Ok(Outcome::Written(revision(answer.header)));
    }
    let answer = guarded(world, key, Step::RequestPut(request), when).await?;
    Ok(if answer.succeeded {
        Outcome::Written(revision(answer.header))
    } else if must_be_there {
        Outcome::Refused(ErrorCode::KeyNotFound)
    } else {
        Outcome::Refused(ErrorCode::Conflict)
    })
}

async fn delete(world: &World, key: &[u8], when: If) -> Result<Outcome, Status> {
    let request = DeleteRangeRequest {
        key: Bytes::copy_from_slice(key),
        ..DeleteRangeRequest::default()
    };
    let there = RangeRequest {
        key: request.key.clone(),
        ..RangeRequest::default()
    };
    let there = world.kv().range(there).await?.into_inner().count > 0;
    if !there && !matches!(when, If::Absent) {
        return Ok(Outcome::Refused(ErrorCode::KeyNotFound));
    }
    if matches!(when, If::Always) {
        let answer = world.kv().delete_range(request).await?.into_inner();
        return Ok(Outcome::Deleted(answer.deleted, revision(answer.header)));
    }
    let answer = guarded(world, key, Step::RequestDeleteRange(request), when).await?;
    Ok(match (answer.succeeded, there) {
        (true, true) => Outcome::Deleted(1, revision(answer.header)),
        (true, false) => Outcome::Refused(ErrorCode::KeyNotFound),
        (false, _) => Outcome::Refused(ErrorCode::Conflict),
    })
}

async fn delete_prefix(world: &World, prefix: &[u8]) -> Result<Outcome, Status> {
    if prefix.is_empty() {
        // The pages do not do that.
        return Ok(Outcome::Refused(ErrorCode::EmptyKey));
    }
    let (key, range_end) = under(prefix);
    let request = DeleteRangeRequest {
        key,
        range_end,
        ..DeleteRangeRequest::default()
    };
    let answer = world.kv().delete_range(request).await?.into_inner();
    Ok(Outcome::Deleted(answer.deleted, revision(answer.header)))
}

async fn guarded(world: &World, key: &[u8], step: Step, when: If) -> Result<TxnResponse, Status> {
    let (target, result) = match when {
        If::Always | If::Present => (TargetUnion::Version(0), CompareResult::Greater),
        If::Absent => (TargetUnion::Version(0), CompareResult::Equal),
        If::At(revision) => (TargetUnion::ModRevision(revision), CompareResult::Equal),
    };
    let kind = match when {
        If::At(_) => CompareTarget::Mod,
        If::Always | If::Present | If::Absent => CompareTarget::Version,
    };
    let request = TxnRequest {
        compare: vec![Compare {
            result: result.into(),
            target: kind.into(),
            key: Bytes::copy_from_slice(key),
            target_union: Some(target),
            ..Compare::default()
        }],
        success: vec![RequestOp {
            request: Some(step),
        }],
        failure: Vec::new(),
    };
    Ok(world.kv().txn(request).await?.into_inner())
}

async fn range(world: &World, request: RangeRequest, one: bool) -> Result<Outcome, Status> {
    let answer = world.kv().range(request).await?.into_inner();
    if one && answer.kvs.is_empty() {
        return Ok(Outcome::Refused(ErrorCode::KeyNotFound));
    }
    let entry = |pair: KeyValue| {
        let (mod_revision, create_revision) = (pair.mod_revision, pair.create_revision);
        let (key, value) = (pair.key.to_vec(), pair.value.to_vec());
        (key, value, mod_revision, create_revision, pair.version)
    };
    let count = if one { 1 } else { answer.count };
    Ok(Outcome::Entries(
        answer.kvs.into_iter().map(entry).collect(),
        count,
    ))
}

/// Every key that begins so, as etcd's clients say it.
fn under(prefix: &[u8]) -> (Bytes, Bytes) {
    if prefix.is_empty() {
        return (Bytes::from_static(&[0]), Bytes::from_static(&[0]));
    }
    let mut end = prefix.to_vec();
    while let Some(last) = end.pop() {
        if last < u8::MAX {
            end.push(last + 1);
            return (Bytes::copy_from_slice(prefix), Bytes::from(end));
        }
    }
    (Bytes::copy_from_slice(prefix), Bytes::from_static(&[0]))
}

fn revision(header: Option<ResponseHeader>) -> i64 {
    header.unwrap().revision
}

/// Does it as a script does.
async fn ask(world: &World, deed: &Deed) -> Outcome {
    let escaped = |bytes: &[u8]| -> String {
        let escape = |byte: &u8| format!("%{byte:02X}");
        bytes.iter().map(escape).collect()
    };
    let (method, path, when, body) = match deed {
        Deed::Write(key, value, when) => (
            "PUT",
            format!("/write/{}", escaped(key)),
            *when,
            value.clone(),
        ),
        Deed::Update(key, value) => (
            "PUT",
            format!("/update/{}", escaped(key)),
            If::Always,
            value.clone(),
        ),
        Deed::Document(key, value) => {
            let body = value.to_string().into_bytes();
            ("PUT", format!("/api/{}", escaped(key)), If::Always, body)
        }
        Deed::Encoded(key, value) => {
            let body = serde_json::json!({"key": base64(key), "value": base64(value)});
            (
                "POST",
                "/v0/kv".to_owned(),
                If::Always,
                body.to_string().into_bytes(),
            )
        }
        Deed::Delete(key, when) => (
            "DELETE",
            format!("/read/{}", escaped(key)),
            *when,
            Vec::new(),
        ),
        Deed::DeletePrefix(key) => (
            "GET",
            format!("/delete/{}?prefix=true", escaped(key)),
            If::Always,
            Vec::new(),
        ),
        Deed::Read(key, revision, serializable) => {
            let kind = if *serializable {
                "serializable"
            } else {
                "linearizable"
            };
            let path = format!("/read/{}?rev={revision}&consistency={kind}", escaped(key));
            ("GET", path, If::Always, Vec::new())
        }
        Deed::List(prefix, limit) => {
            let path = format!("/read?prefix={}&limit={limit}", escaped(prefix));
            ("GET", path, If::Always, Vec::new())
        }
    };
    let head = match when {
        If::Always => vec![],
        If::At(revision) => vec![format!("if-match: \"{revision}\"")],
        If::Present => vec!["if-match: *".to_owned()],
        If::Absent => vec!["if-none-match: *".to_owned()],
    };
    let head: Vec<&str> = head.iter().map(String::as_str).collect();
    let told = send(world.address, method, &path, &head, &body).await;
    if told.status >= 400 {
        let code = told.code();
        return Outcome::Refused(status::code_of(&code).unwrap());
    }
    heard(deed, &told)
}

/// What a page said.
fn heard(deed: &Deed, told: &Told) -> Outcome {
    let number = |told: &Value| told.as_i64().unwrap();
    match deed {
        Deed::Write(..) | Deed::Update(..) | Deed::Encoded(..) => {
            let revision = number(&told.json()["revision"]);
            assert_eq!(told.header("etag"), format!("\"{revision}\""));
            Outcome::Written(revision)
        }
        Deed::Document(_, value) => {
            assert_eq!(told.body, value.to_string());
            Outcome::Written(told.header("hstore-revision").parse().unwrap())
        }
        Deed::Delete(..) | Deed::DeletePrefix(_) => {
            let told = told.json();
            Outcome::Deleted(number(&told["deleted"]), number(&told["revision"]))
        }
        Deed::Read(..) => Outcome::Entries(vec![entry(&told.json())], 1),
        Deed::List(..) => {
            let told = told.json();
            let entries = told["entries"].as_array().unwrap();
            let count = number(&told["count"]);
            assert_eq!(told["more"], count > entries.len() as i64);
            Outcome::Entries(entries.iter().map(entry).collect(), count)
        }
    }
}

fn entry(told: &Value) -> Entry {
    let bytes = |name: &str| match (&told[name], &told[format!("{name}_base64")]) {
        (Value::String(text), Value::Null) => text.clone().into_bytes(),
        (Value::Null, Value::String(text)) => from_base64(text),
        other => panic!("{name} is {other:?}"),
    };
    let number = |name: &str| told[name].as_i64().unwrap();
    let (first, version) = (number("create_revision"), number("version"));
    (
        bytes("key"),
        bytes("value"),
        number("revision"),
        first,
        version,
    )
}

fn base64(bytes: &[u8]) -> String {
    use base64::Engine as _;
    base64::engine::general_purpose::STANDARD.encode(bytes)
}

fn from_base64(text: &str) -> Vec<u8> {
    use base64::Engine as _;
    let decoded = base64::engine::general_purpose::STANDARD.decode(text);
    decoded.unwrap()
}
