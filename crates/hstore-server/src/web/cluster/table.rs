//! The lines of the pages about the cluster.

use futures::FutureExt as _;
use hstore_core::error::ErrorCode;
use serde_json::Value;

use super::act::{Act, act, logs, past};
use super::events::events;
use super::snapshot::{BYTES, snapshot};
use super::{JSON, health, node, nodes, shape, status};
use crate::grpc::Need;
use crate::web::ask::TIMEOUT_MS;
use crate::web::line::{Content, Kind, Line, Page, Param, Place, Success, Verb};
use crate::web::service::{
    CHANGE_SETTINGS, KILL, LOGS, PAST, PROMOTE, REMOVE_MEMBER, RESTART, SNAPSHOT, START, STOP,
    TRANSFER_LEADER,
};
use crate::web::sse::EVENT_STREAM;

const ID: &[Param] = &[Param {
    name: "id",
    place: Place::Path,
    kind: Kind::Number(1, i64::MAX),
    says: "The node's id.",
}];

/// The longest time that a caller may name, in milliseconds: an hour, as for any call.
const TIMEOUT_MS_MAX: i64 = 3_600_000;

const TIMEOUT: &[Param] = &[Param {
    name: TIMEOUT_MS,
    place: Place::Query,
    kind: Kind::Number(1, TIMEOUT_MS_MAX),
    says: "How long the answer may take, in milliseconds.",
}];

const LINES: &[Param] = &[
    Param {
        name: "after",
        place: Place::Query,
        kind: Kind::Number(0, i64::MAX),
        says: "Only lines behind this one, to read on; 0 begins with the oldest that is kept.",
    },
    Param {
        name: "limit",
        place: Place::Query,
        kind: Kind::Number(1, 2000),
        says: "At most so many lines, the newest of them.",
    },
];

const fn ok(says: &'static str, types: &'static [&'static str], schema: fn() -> Value) -> Success {
    Success {
        status: 200,
        says,
        content: Some(Content { types, schema }),
    }
}

const WHOLE: &[Success] = &[ok("The cluster.", &[JSON], shape::whole)];
const ROWS: &[Success] = &[ok("Every member.", &[JSON], shape::rows)];
const ROW: &[Success] = &[ok("The member.", &[JSON], shape::row)];
const TOLD: &[Success] = &[ok("The lines.", &[JSON], shape::lines)];
const WAS: &[Success] = &[ok("The rows, the oldest first.", &[JSON], shape::past)];
const DONE: &[Success] = &[ok("It is done.", &[JSON], shape::done)];
const FILE: &[Success] = &[ok("The file.", &[BYTES], shape::bytes)];
const EVENTS: &[Success] = &[ok(
    "Events `state`, `standing`, `change` and `end`, as they happen.",
    &[EVENT_STREAM],
    shape::bytes,
)];
const HEALTH: &[Success] = &[
    ok("How the cluster is.", &[JSON], shape::health),
    Success {
        status: 503,
        says: "No majority answers.",
        content: Some(Content {
            types: &[JSON],
            schema: shape::health,
        }),
    },
];

const NO_NODE: &[ErrorCode] = &[ErrorCode::NodeNotFound];
const AWAY: &[ErrorCode] = &[ErrorCode::NodeNotFound, ErrorCode::Unreachable];
const STARTS: &[ErrorCode] = &[ErrorCode::NodeNotFound, ErrorCode::DataInUse];
const FULL: &[ErrorCode] = &[ErrorCode::Overloaded];
const CHANGES: &[ErrorCode] = &[
    ErrorCode::CannotLead,
    ErrorCode::ClusterUnhealthy,
    ErrorCode::Conflict,
    ErrorCode::InvalidConfig,
    ErrorCode::LearnerNotReady,
    ErrorCode::MembershipBusy,
    ErrorCode::NoQuorum,
    ErrorCode::NodeNotFound,
    ErrorCode::NotALearner,
    ErrorCode::NotForLearners,
    ErrorCode::OutcomeUnknown,
    ErrorCode::TooFewStarted,
];

const fn acts(
    path: &'static str,
    page: Page,
    calls: &'static [&'static str],
    says: &'static str,
    refusals: &'static [&'static [ErrorCode]],
) -> Line {
    Line::change(Verb::Post, path, page)
        .needs(Need::Root, calls)
        .says(says)
        .takes(&[ID, TIMEOUT])
        .answers(DONE, refusals)
        .not_made_up()
}

const fn saves(line: Line) -> Line {
    line.needs(Need::Root, &[SNAPSHOT.path])
        .says("The state of the node that answers, as a file.")
        .takes(&[TIMEOUT])
        .answers(FILE, &[])
        .not_made_up()
}

/// The lines.
pub(in crate::web) const TABLE: &[Line] = &[
    Line::get("/cluster/status", Page::Asked(|ask| status(ask).boxed()))
        .needs(Need::User, &[])
        .says("The cluster and its members, as the node that answers sees them.")
        .answers(WHOLE, &[]),
    Line::get("/cluster/health", Page::Asked(|ask| health(ask).boxed()))
        .needs(Need::User, &[])
        .says("How the cluster is, in one sentence.")
        .answers(HEALTH, &[]),
    Line::get("/cluster/nodes", Page::Asked(|ask| nodes(ask).boxed()))
        .needs(Need::User, &[])
        .says("Every member.")
        .answers(ROWS, &[]),
    Line::get("/cluster/nodes/{id}", Page::Asked(|ask| node(ask).boxed()))
        .needs(Need::User, &[])
        .says("A member.")
        .takes(&[ID])
        .answers(ROW, &[NO_NODE]),
    Line::get("/cluster/events", Page::Asked(|ask| events(ask).boxed()))
        .needs(Need::User, &[])
        .says("The cluster, again whenever it changes.")
        .answers(EVENTS, &[FULL])
        .not_made_up(),
    Line::get(
        "/cluster/nodes/{id}/logs",
        Page::Asked(|ask| logs(ask).boxed()),
    )
    .needs(Need::Root, &[LOGS.path])
    .says("The last lines of a member's log.")
    .takes(&[ID, LINES])
    .answers(TOLD, &[AWAY]),
    Line::get(
        "/cluster/nodes/{id}/past",
        Page::Asked(|ask| past(ask).boxed()),
    )
    .needs(Need::User, &[PAST.path])
    .says("How a member worked during the last ten minutes, a row every three seconds.")
    .takes(&[ID])
    .answers(WAS, &[AWAY]),
    acts(
        "/cluster/nodes/{id}/stop",
        Page::Asked(|ask| act(ask, Act::Stop).boxed()),
        &[STOP.path],
        "End a member in order.",
        &[AWAY],
    ),
    acts(
        "/cluster/nodes/{id}/kill",
        Page::Asked(|ask| act(ask, Act::Kill).boxed()),
        &[KILL.path],
        "End a member at once, as SIGKILL would.",
        &[AWAY],
    ),
    acts(
        "/cluster/nodes/{id}/restart",
        Page::Asked(|ask| act(ask, Act::Restart).boxed()),
        &[RESTART.path],
        "End a member in order and start it again.",
        &[AWAY],
    ),
    acts(
        "/cluster/nodes/{id}/start",
        Page::Asked(|ask| act(ask, Act::Start).boxed()),
        &[START.path],
        "Start a stopped member on the machine of the node that answers.",
        &[STARTS],
    ),
    acts(
        "/cluster/nodes/{id}/transfer",
        Page::Asked(|ask| act(ask, Act::Transfer).boxed()),
        &[TRANSFER_LEADER.path],
        "Hand the leadership to a member.",
        &[CHANGES],
    ),
    acts(
        "/cluster/nodes/{id}/promote",
        Page::Asked(|ask| act(ask, Act::Promote).boxed()),
        &[PROMOTE.path],
        "Give a member its vote.",
        &[CHANGES],
    ),
    acts(
        "/cluster/nodes/{id}/demote",
        Page::Asked(|ask| act(ask, Act::Demote).boxed()),
        &[CHANGE_SETTINGS.path],
        "Take a member's vote; it goes on as a learner.",
        &[CHANGES],
    ),
    acts(
        "/cluster/nodes/{id}/remove",
        Page::Asked(|ask| act(ask, Act::Remove).boxed()),
        &[REMOVE_MEMBER.path],
        "Take a member out of the cluster for ever.",
        &[CHANGES],
    ),
    saves(
        Line::get(
            "/cluster/snapshot",
            Page::Asked(|ask| snapshot(ask).boxed()),
        )
        .with_effects(),
    ),
    saves(Line::change(
        Verb::Post,
        "/cluster/snapshot",
        Page::Asked(|ask| snapshot(ask).boxed()),
    )),
];
