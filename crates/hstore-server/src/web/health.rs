//! Whether the node is well: etcd's `/health`, and its checks behind `/livez` and `/readyz`.
//!
//! Invariant: every answer is there within [`PATIENCE`], also without a majority.

use std::fmt::Write as _;
use std::time::Duration;

use bytes::Bytes;
use hstore_core::alarm::AlarmKind;
use hstore_core::auth::Author;
use hstore_core::key::KeyRange;
use hstore_core::range::Range;
use hstore_node::{Consistency, Node, Role, StopReason};
use hstore_proto::status;
use hyper::{Response, StatusCode};
use serde_json::json;
use tokio::time::Instant;
use tonic::body::Body;

use super::{page, query};

/// How long a check may take. Who probes gives up after a second or a few.
const PATIENCE: Duration = Duration::from_secs(5);

/// One thing that must be well.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Check {
    /// Nothing was found on the disk that was not written.
    DataCorruption,
    /// A majority answers, and this node hears of it.
    LinearizableRead,
    /// The node has a vote.
    NonLearner,
    /// The node answers by itself.
    SerializableRead,
}

/// What a node that lives does.
pub(super) const LIVE: &[Check] = &[Check::SerializableRead];

/// What a node does that is ready for clients.
pub(super) const READY: &[Check] = &[
    Check::DataCorruption,
    Check::SerializableRead,
    Check::LinearizableRead,
    Check::NonLearner,
];

impl Check {
    /// Its name, etcd's.
    pub(super) fn name(self) -> &'static str {
        match self {
            Check::DataCorruption => "data_corruption",
            Check::LinearizableRead => "linearizable_read",
            Check::NonLearner => "non_learner",
            Check::SerializableRead => "serializable_read",
        }
    }

    /// What is wrong, if anything is.
    async fn run(self, node: &Node) -> Result<(), String> {
        match self {
            Check::DataCorruption => data_corruption(node),
            Check::LinearizableRead => read(node, Consistency::Linearizable).await,
            Check::NonLearner => match node.standing().borrow().role {
                Role::Learner => Err("the node has no vote".to_owned()),
                Role::Candidate | Role::Follower | Role::Leader | Role::Stopped => Ok(()),
            },
            Check::SerializableRead => read(node, Consistency::Serializable).await,
        }
    }
}

/// What was found on the disk of any member that was not written.
fn data_corruption(node: &Node) -> Result<(), String> {
    if let Some(StopReason::DataCorrupt(what)) = node.end_reason()() {
        return Err(what);
    }
    let alarms = node.status().alarms;
    match alarms.iter().find(|alarm| alarm.kind == AlarmKind::Corrupt) {
        Some(_raised) => Err("alarm activated: CORRUPT".to_owned()),
        None => Ok(()),
    }
}

/// The page `/health`.
pub(super) async fn health(node: &Node, asked: Option<&str>) -> Response<Body> {
    let serializable = query::values(asked, "serializable").next() == Some("true");
    let consistency = if serializable {
        Consistency::Serializable
    } else {
        Consistency::Linearizable
    };
    let led = {
        let standing = node.standing();
        let standing = standing.borrow();
        // A leader whom no majority follows is none.
        standing.leader.is_some() && standing.quorum
    };
    let alarms = node.status().alarms;
    let mut raised = alarms.iter().map(|alarm| alarm.kind.as_str());
    let raised = raised.find(|alarm| query::values(asked, "exclude").all(|name| name != *alarm));
    let wrong = if let Some(alarm) = raised {
        Some(format!("ALARM {alarm}"))
    } else if !serializable && !led {
        Some("RAFT NO LEADER".to_owned())
    } else {
        let read = read(node, consistency).await;
        read.err().map(|error| format!("RANGE ERROR:{error}"))
    };
    let told = json!({
        "health": if wrong.is_none() { "true" } else { "false" },
        "reason": wrong.as_deref().unwrap_or_default(),
    });
    let mut response = page("application/json", told.to_string());
    if wrong.is_some() {
        *response.status_mut() = StatusCode::SERVICE_UNAVAILABLE;
    }
    response
}

/// The pages `/livez` and `/readyz`, whole or one check of them.
pub(super) async fn checks(
    node: &Node,
    checks: &'static [Check],
    asked: Option<&str>,
) -> Response<Body> {
    let verbose = query::values(asked, "verbose").next().is_some();
    let mut told = String::new();
    let mut well = true;
    for check in checks {
        if query::values(asked, "exclude").any(|name| name == check.name()) {
            continue;
        }
        let name = check.name();
        let line = match check.run(node).await {
            Ok(()) => writeln!(told, "[+]{name} ok"),
            Err(wrong) => {
                well = false;
                writeln!(told, "[-]{name} failed: {wrong}")
            }
        };
        line.expect("a string takes every write");
    }
    if well && !verbose {
        told.clear();
    }
    if well {
        told.push_str("ok\n");
    }
    let mut response = page("text/plain; charset=utf-8", told);
    if !well {
        *response.status_mut() = StatusCode::SERVICE_UNAVAILABLE;
    }
    response
}

/// Reads as a client would.
async fn read(node: &Node, consistency: Consistency) -> Result<(), String> {
    let nothing = Range {
        count_only: true,
        ..Range::of(KeyRange::One(Bytes::from_static(&[0])))
    };
    let read = node.range(
        &Author::Node,
        nothing,
        consistency,
        Instant::now() + PATIENCE,
    );
    match read.await {
        Ok(_answer) => Ok(()),
        Err(error) => Err(status::text(error.code()).to_owned()),
    }
}
