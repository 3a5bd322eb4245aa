//! The cluster over HTTP: how it is, how it changes, and what can be done to its nodes.
//!
//! Everything here is a call of gRPC that the programs make, too, or what the node that serves the
//! page sees by itself. Invariants: (1) nothing here needs a majority to answer, unless what is
//! asked for does; (2) what changes anything needs the role root, and no page of another site may ask
//! for it.

mod act;
mod events;
mod forward;
mod hub;
mod scene;
mod shape;
mod snapshot;
mod table;
#[cfg(test)]
mod tests;

use std::time::SystemTime;

use hstore_core::error::ErrorCode;
use hyper::{Response, StatusCode};
use serde_json::{Value, json};
use tonic::body::Body;

pub(super) use self::hub::Hub;
use self::scene::Health;
pub(super) use self::table::TABLE;
use super::ask::Ask;
use super::page;
use super::problem::Problem;

const JSON: &str = "application/json";

/// `GET /cluster/status`.
async fn status(ask: Ask) -> Result<Response<Body>, Problem> {
    let scene = ask.web.hub.look().await;
    Ok(page(JSON, scene.whole().to_string()))
}

/// `GET /cluster/health`.
async fn health(ask: Ask) -> Result<Response<Body>, Problem> {
    let health = Health::of(&ask.web.hub.describe().await);
    let mut response = page(JSON, health.json().to_string());
    if health.level == "no_quorum" {
        *response.status_mut() = StatusCode::SERVICE_UNAVAILABLE;
    }
    Ok(response)
}

/// `GET /cluster/nodes`.
async fn nodes(ask: Ask) -> Result<Response<Body>, Problem> {
    let scene = ask.web.hub.look().await;
    let rows: Vec<Value> = scene.rows.into_values().collect();
    Ok(page(JSON, json!({ "members": rows }).to_string()))
}

/// `GET /cluster/nodes/ID`.
async fn node(ask: Ask) -> Result<Response<Body>, Problem> {
    let id = ask.given.number("id").unwrap_or_default().unsigned_abs();
    let scene = ask.web.hub.look().await;
    let Some(row) = scene.rows.get(&id) else {
        let what = format!("the cluster has no member {id}");
        return Err(Problem::new(ErrorCode::NodeNotFound, what));
    };
    Ok(page(JSON, row.to_string()))
}

/// Milliseconds since 1970.
fn now_ms() -> u64 {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    since.map_or(0, |since| since.as_millis() as u64)
}
