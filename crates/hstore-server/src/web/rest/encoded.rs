//! `/v0/kv`: keys and values in base64, for programs that would rather not know which bytes are
//! text.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hyper::Response;
use serde::Deserialize;
use serde_json::json;
use tonic::body::Body;

use super::entry::{Pair, decode, wrong};
use super::read::{self, Found, JSON, find, unchanged};
use super::write::{self, Missing, put};
use crate::web::ask::Ask;
use crate::web::etag;
use crate::web::page;
use crate::web::problem::Problem;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Written {
    key: String,
    value: String,
}

/// `POST /v0/kv`.
pub(super) async fn post(mut ask: Ask) -> Result<Response<Body>, Problem> {
    let condition = etag::of_write(&ask.headers)?;
    let Written { key, value } = {
        let body = ask.body().await?;
        serde_json::from_slice(body.bytes())
            .map_err(|error| wrong(format!("the body is not {{\"key\",\"value\"}}: {error}")))?
    };
    let pair = Pair {
        key: decode("key", &key)?,
        value: decode("value", &value)?,
        lease: 0,
    };
    let told = STANDARD.encode(&pair.key);
    let revision = put(&ask, pair, condition, Missing::Fails).await?;
    let told = json!({"key": told, "revision": revision});
    Ok(write::tagged(page(JSON, told.to_string()), revision))
}

/// `GET /v0/kv/key/KEY`.
pub(super) async fn get(ask: Ask) -> Result<Response<Body>, Problem> {
    let Found { pair, revision } = find(&ask).await?;
    if etag::is_known(&ask.headers, pair.mod_revision)? {
        return Ok(unchanged(&pair, revision));
    }
    let told = json!({
        "key": STANDARD.encode(&pair.key),
        "value": STANDARD.encode(&pair.value),
        "revision": pair.mod_revision,
        "create_revision": pair.create_revision,
        "version": pair.version,
    });
    Ok(read::tagged(page(JSON, told.to_string()), &pair, revision))
}
