//! What can be done to a member, the lines of its log, and how it was: each is the very call of gRPC that the
//! programs make, here or at the member itself.

use hstore_core::error::ErrorCode;
use hstore_core::id::NodeId;
use hstore_core::settings::{NodeType, SettingKey};
use hstore_proto::etcdserverpb::MemberPromoteRequest;
use hstore_proto::hstore::v1::{
    ChangeSettingsRequest, KillRequest, LogsRequest, LogsResponse, PastRequest, PastResponse,
    PastRow, RemoveMemberRequest, RestartRequest, SettingChange, StartRequest, StopRequest,
    TransferLeaderRequest,
};
use hyper::Response;
use serde_json::{Value, json};
use tonic::body::Body;

use super::forward::{Other, other};
use super::scene::rounded;
use crate::web::ask::Ask;
use crate::web::page;
use crate::web::problem::Problem;
use crate::web::service::{
    CHANGE_SETTINGS, KILL, LOGS, PAST, PROMOTE, REMOVE_MEMBER, RESTART, START, STOP,
    TRANSFER_LEADER,
};

/// Hand the leadership over, drain, sync.
const GRACEFUL: StopRequest = StopRequest { graceful: true };

/// What is done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Act {
    Demote,
    Kill,
    Promote,
    Remove,
    Restart,
    Start,
    Stop,
    Transfer,
}

impl Act {
    fn word(self) -> &'static str {
        match self {
            Act::Demote => "demote",
            Act::Kill => "kill",
            Act::Promote => "promote",
            Act::Remove => "remove",
            Act::Restart => "restart",
            Act::Start => "start",
            Act::Stop => "stop",
            Act::Transfer => "transfer",
        }
    }
}

/// The member that the path names.
fn named(ask: &Ask) -> NodeId {
    NodeId(ask.given.number("id").unwrap_or_default().unsigned_abs())
}

/// `POST /cluster/nodes/ID/WHAT`.
pub(super) async fn act(ask: Ask, act: Act) -> Result<Response<Body>, Problem> {
    let id = named(&ask);
    match act {
        Act::Kill | Act::Restart | Act::Stop => match other(&ask, id).await? {
            None => end_this(&ask, act).await?,
            Some(member) => end_other(&member, act).await?,
        },
        Act::Demote | Act::Promote | Act::Remove | Act::Start | Act::Transfer => {
            change(&ask, act, id.0).await?;
        }
    }
    let done = json!({"node": id.0, "done": act.word()});
    Ok(page("application/json", done.to_string()))
}

/// Ends the node that answers.
async fn end_this(ask: &Ask, act: Act) -> Result<(), Problem> {
    let service = &ask.service;
    match act {
        Act::Kill => service.call(&KILL, &KillRequest {}).await.map(|_| ()),
        Act::Restart => service.call(&RESTART, &RestartRequest {}).await.map(|_| ()),
        _stop => service.call(&STOP, &GRACEFUL).await.map(|_| ()),
    }
}

/// Ends another one.
async fn end_other(member: &Other, act: Act) -> Result<(), Problem> {
    let mut client = member.client.clone();
    match act {
        Act::Kill => match member.answer(client.kill(KillRequest {})).await {
            // It may be gone before it has answered, as it should.
            Err(refused) if refused.code != ErrorCode::Unreachable => Err(refused),
            _killed => Ok(()),
        },
        Act::Restart => {
            let restarted = member.answer(client.restart(RestartRequest {}));
            restarted.await.map(|_| ())
        }
        _stop => member.answer(client.stop(GRACEFUL)).await.map(|_| ()),
    }
}

/// Changes what the cluster is made of, through the node that answers.
async fn change(ask: &Ask, act: Act, node_id: u64) -> Result<(), Problem> {
    let service = &ask.service;
    match act {
        Act::Demote => {
            let learner = SettingChange {
                key: SettingKey::Type.as_str().to_owned(),
                node_id,
                value: Some(NodeType::Learner.as_str().to_owned()),
            };
            let request = ChangeSettingsRequest {
                expected_version: None,
                changes: vec![learner],
            };
            service.call(&CHANGE_SETTINGS, &request).await.map(|_| ())
        }
        Act::Promote => {
            let request = MemberPromoteRequest { id: node_id };
            service.call(&PROMOTE, &request).await.map(|_| ())
        }
        Act::Remove => {
            let request = RemoveMemberRequest { node_id };
            service.call(&REMOVE_MEMBER, &request).await.map(|_| ())
        }
        Act::Start => {
            let request = StartRequest { node_id };
            service.call(&START, &request).await.map(|_| ())
        }
        _transfer => {
            let request = TransferLeaderRequest { node_id };
            service.call(&TRANSFER_LEADER, &request).await.map(|_| ())
        }
    }
}

/// `GET /cluster/nodes/ID/logs`.
pub(super) async fn logs(ask: Ask) -> Result<Response<Body>, Problem> {
    let number = |name| ask.given.number(name).unwrap_or_default();
    let request = LogsRequest {
        after: number("after").unsigned_abs(),
        limit: number("limit") as u32,
    };
    let told = match other(&ask, named(&ask)).await? {
        None => ask.service.call(&LOGS, &request).await?,
        Some(member) => {
            let mut client = member.client.clone();
            member.answer(client.logs(request)).await?
        }
    };
    Ok(page("application/json", logs_json(told).to_string()))
}

fn logs_json(told: LogsResponse) -> Value {
    let lines = told.lines.into_iter().map(|line| {
        json!({
            "number": line.number,
            "time_ms": line.time_ms,
            "level": line.level,
            "target": line.target,
            "text": line.text,
        })
    });
    json!({
        "lines": lines.collect::<Vec<Value>>(),
        "last": told.last,
        "missed": told.missed,
    })
}

/// `GET /cluster/nodes/ID/past`.
pub(super) async fn past(ask: Ask) -> Result<Response<Body>, Problem> {
    let told = match other(&ask, named(&ask)).await? {
        None => ask.service.call(&PAST, &PastRequest {}).await?,
        Some(member) => {
            let mut client = member.client.clone();
            member.answer(client.past(PastRequest {})).await?
        }
    };
    Ok(page("application/json", past_json(&told).to_string()))
}

fn past_json(told: &PastResponse) -> Value {
    let row = |row: &PastRow| {
        json!({
            "ago_ms": row.ago_ms,
            "requests_per_second": rounded(row.requests_per_second),
            "reads_per_second": rounded(row.reads_per_second),
            "writes_per_second": rounded(row.writes_per_second),
            "requests_p50_us": row.requests_p50_us,
            "requests_p99_us": row.requests_p99_us,
            "log_sync_p50_us": row.log_sync_p50_us,
            "log_sync_p99_us": row.log_sync_p99_us,
            "lag": row.lag,
            "resident_bytes": row.resident_bytes,
            "cpu_thousandths": row.cpu_thousandths,
        })
    };
    json!({
        "node": told.node_id,
        "interval_ms": told.interval_ms,
        "rows": told.rows.iter().map(row).collect::<Vec<Value>>(),
    })
}
