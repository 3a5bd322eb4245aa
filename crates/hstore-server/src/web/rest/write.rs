//! Writes: of one key, with or without a condition on the revision that wrote it last.
//!
//! A condition is a transaction, decided where the write is applied. Invariant: a write that was
//! handed on and not answered is "outcome unknown"; nothing here tries it again.

use bytes::Bytes;
use hstore_core::error::ErrorCode;
use hstore_core::key::KeyRange;
use hstore_proto::etcdserverpb::compare::{CompareResult, CompareTarget, TargetUnion};
use hstore_proto::etcdserverpb::request_op::Request as Step;
use hstore_proto::etcdserverpb::response_op::Response as StepAnswer;
use hstore_proto::etcdserverpb::{
    Compare, DeleteRangeRequest, PutRequest, RangeRequest, RequestOp, ResponseHeader, TxnRequest,
};
use hyper::header;
use hyper::{Response, StatusCode};
use serde_json::json;
use tonic::body::Body;

use super::entry::{Pair, Twin, Written};
use super::read::{JSON, set_revision, to_wire};
use crate::web::ask::Ask;
use crate::web::etag::{self, Condition};
use crate::web::page;
use crate::web::problem::Problem;
use crate::web::service::{DELETE, PUT, TXN};

/// `POST /write`.
pub(super) async fn write(mut ask: Ask) -> Result<Response<Body>, Problem> {
    let pair = said(&mut ask).await?;
    let condition = etag::of_write(&ask.headers)?;
    let key = pair.key.clone();
    let revision = put(&ask, pair, condition, Missing::Fails).await?;
    Ok(written(&key, revision))
}

/// `POST /update`.
pub(super) async fn update(mut ask: Ask) -> Result<Response<Body>, Problem> {
    let pair = said(&mut ask).await?;
    replace(&ask, pair).await
}

/// `PUT /write/KEY`.
pub(super) async fn write_body(mut ask: Ask) -> Result<Response<Body>, Problem> {
    let pair = body_as_value(&mut ask).await?;
    let condition = etag::of_write(&ask.headers)?;
    let key = pair.key.clone();
    let revision = put(&ask, pair, condition, Missing::Fails).await?;
    Ok(written(&key, revision))
}

/// `PUT /update/KEY`.
pub(super) async fn update_body(mut ask: Ask) -> Result<Response<Body>, Problem> {
    let pair = body_as_value(&mut ask).await?;
    replace(&ask, pair).await
}

/// `DELETE /read/KEY`, and what means the same.
pub(super) async fn delete(ask: Ask) -> Result<Response<Body>, Problem> {
    let condition = etag::of_write(&ask.headers)?;
    let is_prefix = ask.given.flag("prefix");
    if is_prefix && condition != Condition::Always {
        let what = "a condition is about one key, and a prefix is many";
        return Err(Problem::new(ErrorCode::InvalidArgument, what));
    }
    if is_prefix && ask.key().is_empty() {
        // A script whose variable is not set would say it.
        let what =
            "every key begins with an empty prefix, and they are not all deleted by one word";
        return Err(Problem::new(ErrorCode::EmptyKey, what));
    }
    let (key, range_end) = if is_prefix {
        to_wire(KeyRange::prefix(&ask.key()))
    } else {
        (ask.key(), Bytes::new())
    };
    let request = DeleteRangeRequest {
        key,
        range_end,
        prev_kv: false,
    };
    let (header, deleted) = remove(&ask, request, condition).await?;
    if deleted == 0 && !is_prefix {
        return Err(not_there());
    }
    let revision = revision_in(header.as_ref());
    let told = json!({"deleted": deleted, "revision": revision});
    let mut response = page(JSON, told.to_string());
    set_revision(response.headers_mut(), revision);
    Ok(response)
}

/// What it means to a write with a condition that its key is not there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Missing {
    /// The condition did not hold.
    Fails,
    /// There is nothing to write to, whatever the condition.
    NotFound,
}

/// Writes a key if a condition holds; the revision of the write.
pub(super) async fn put(
    ask: &Ask,
    pair: Pair,
    condition: Condition,
    missing: Missing,
) -> Result<i64, Problem> {
    let key = pair.key.clone();
    let request = PutRequest {
        key: pair.key,
        value: pair.value,
        lease: pair.lease,
        ..PutRequest::default()
    };
    if condition == Condition::Always {
        let answer = ask.service.call(&PUT, &request).await?;
        return Ok(revision_in(answer.header.as_ref()));
    }
    let done = guarded(ask, key, Step::RequestPut(request), condition, missing).await?;
    Ok(revision_in(done.header.as_ref()))
}

async fn replace(ask: &Ask, pair: Pair) -> Result<Response<Body>, Problem> {
    let condition = match etag::of_write(&ask.headers)? {
        Condition::Absent => {
            let what = "an update is of a key that is there, and If-None-Match says that it is not";
            return Err(Problem::new(ErrorCode::InvalidArgument, what));
        }
        Condition::Always | Condition::Present => Condition::Present,
        Condition::At(revision) => Condition::At(revision),
    };
    let key = pair.key.clone();
    let revision = put(ask, pair, condition, Missing::NotFound).await?;
    Ok(written(&key, revision))
}

async fn remove(
    ask: &Ask,
    request: DeleteRangeRequest,
    condition: Condition,
) -> Result<(Option<ResponseHeader>, i64), Problem> {
    if condition == Condition::Always {
        let answer = ask.service.call(&DELETE, &request).await?;
        return Ok((answer.header, answer.deleted));
    }
    let key = request.key.clone();
    let step = Step::RequestDeleteRange(request);
    let done = guarded(ask, key, step, condition, Missing::NotFound).await?;
    let deleted = match done.answer {
        Some(StepAnswer::ResponseDeleteRange(answer)) => answer.deleted,
        _other => 0,
    };
    Ok((done.header, deleted))
}

struct Done {
    header: Option<ResponseHeader>,
    answer: Option<StepAnswer>,
}

/// Does something to a key if a condition holds.
async fn guarded(
    ask: &Ask,
    key: Bytes,
    step: Step,
    condition: Condition,
    missing: Missing,
) -> Result<Done, Problem> {
    let look = RangeRequest {
        key: key.clone(),
        keys_only: true,
        ..RangeRequest::default()
    };
    let request = TxnRequest {
        compare: vec![compare(key, condition)],
        success: vec![step_of(step)],
        failure: vec![step_of(Step::RequestRange(look))],
    };
    let answer = ask.service.call(&TXN, &request).await?;
    let first = answer.responses.into_iter().next();
    let first = first.and_then(|answer| answer.response);
    if answer.succeeded {
        return Ok(Done {
            header: answer.header,
            answer: first,
        });
    }
    let current = match first {
        Some(StepAnswer::ResponseRange(found)) => found.kvs.first().map(|pair| pair.mod_revision),
        _other => None,
    };
    Err(match current {
        None if missing == Missing::NotFound => not_there(),
        None => failed("the key is not there".to_owned()),
        Some(revision) => failed(format!("the key is at revision {revision}")),
    })
}

fn compare(key: Bytes, condition: Condition) -> Compare {
    let (result, revision) = match condition {
        Condition::Always => (CompareResult::Greater, -1),
        Condition::At(revision) => (CompareResult::Equal, revision),
        Condition::Present => (CompareResult::Greater, 0),
        Condition::Absent => (CompareResult::Equal, 0),
    };
    Compare {
        result: result.into(),
        target: CompareTarget::Mod.into(),
        key,
        target_union: Some(TargetUnion::ModRevision(revision)),
        ..Compare::default()
    }
}

fn step_of(step: Step) -> RequestOp {
    RequestOp {
        request: Some(step),
    }
}

async fn said(ask: &mut Ask) -> Result<Pair, Problem> {
    let body = ask.body().await?;
    Written::read(body.bytes())
}

/// The key of the path with the body as its value.
async fn body_as_value(ask: &mut Ask) -> Result<Pair, Problem> {
    let body = ask.body().await?;
    Ok(Pair {
        key: ask.key(),
        value: Bytes::copy_from_slice(body.bytes()),
        lease: ask.given.number("lease").unwrap_or_default(),
    })
}

/// The answer to a write.
fn written(key: &[u8], revision: i64) -> Response<Body> {
    let told = match Twin::of(key) {
        Twin {
            text: Some(key), ..
        } => json!({"key": key, "revision": revision}),
        Twin { base64, .. } => json!({"key_base64": base64, "revision": revision}),
    };
    tagged(page(JSON, told.to_string()), revision)
}

/// The same with the revision of the write, which is that of the store, too.
pub(super) fn tagged(mut response: Response<Body>, revision: i64) -> Response<Body> {
    let headers = response.headers_mut();
    headers.insert(header::ETAG, etag::tag(revision));
    set_revision(headers, revision);
    response
}

fn revision_in(header: Option<&ResponseHeader>) -> i64 {
    header.map_or(0, |header| header.revision)
}

fn not_there() -> Problem {
    Problem::new(ErrorCode::KeyNotFound, "the key is not there")
}

fn failed(what: String) -> Problem {
    let problem = Problem::new(ErrorCode::Conflict, what);
    problem.status(StatusCode::PRECONDITION_FAILED)
}
