//! How a program talks to a cluster: addresses, sessions, retry by code, and the nodes of this
//! machine. It knows the wire and nothing of what is behind it.
//!
//! ```no_run
//! # async fn example() -> Result<(), hstore_client::Error> {
//! use hstore_client::{Client, Read};
//!
//! let client = Client::connect(&["127.0.0.1:2379"])?;
//! client.put("foo", "bar").await?;
//! let found = client.get("foo", Read::default()).await?;
//! assert_eq!(found.value.map(|pair| pair.value), Some("bar".into()));
//! # Ok(())
//! # }
//! ```
#![allow(
    clippy::disallowed_methods,
    reason = "it lives outside of the simulator: it may use the tasks and clocks of its program"
)]
#![cfg_attr(test, allow(clippy::unwrap_used, reason = "tests"))]

mod address;
mod auth;
mod call;
mod client;
mod cluster;
mod credentials;
mod dial;
mod error;
mod fault;
mod kv;
mod lease;
pub mod local;
mod lock;
mod operate;
mod page;
mod pool;
mod session;
mod settings;
mod snapshot;
pub mod txn;
mod watch;

pub use address::{Address, CLIENT_PORT};
pub use auth::AuthStatus;
pub use client::{Client, TIMEOUT};
pub use credentials::Credentials;
pub use dial::{Connector, Dial, Wire};
pub use error::Error;
pub use hstore_core::error::ErrorCode;
pub use hstore_core::key::KeyRange;
pub use hstore_proto::{etcdserverpb, hstore::v1};
pub use kv::{Answer, Expect, History, KeyValue, Past, Read, Swap};
pub use lease::Lease;
pub use lock::{Fence, Held, Leadership, Observation, Session};
pub use page::{Page, Pages};
pub use snapshot::Snapshot;
pub use watch::{Batch, Change, Watch, WatchOptions};
