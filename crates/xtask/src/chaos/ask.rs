//! What a client asks, on the wire and in the words of a history.
//!
//! Invariant: what is recorded is what was sent and what was answered, nothing made up between.

use std::time::Duration;

use anyhow::Result;
use hstore_check::history::{Call, Consistency};
use hstore_client::{Client, Error};
use hstore_core::id::Revision;
use hstore_core::limits::Limits;
use hstore_core::outcome::Reply;
use hstore_proto::convert::reply::{self, BadAnswer};
use hstore_proto::convert::{keys, request};
use hstore_proto::etcdserverpb::kv_client::KvClient;
use hstore_proto::etcdserverpb::{
    CompactionRequest, DeleteRangeRequest, PutRequest, RangeRequest, TxnRequest,
};
use hstore_proto::metadata;
use hstore_proto::status::{self, Origin};
use tokio::time::timeout;
use tonic::metadata::{Ascii, MetadataValue};
use tonic::{Request, Status};

use crate::fleet::Asker;

/// A request.
#[derive(Clone, Debug)]
pub(super) enum Ask {
    Compact(CompactionRequest),
    Delete(DeleteRangeRequest),
    Put(PutRequest),
    Range(RangeRequest),
    Txn(TxnRequest),
}

impl Ask {
    /// The request in the words of a history.
    pub(super) fn call(&self) -> Result<Call> {
        let limits = Limits::default();
        Ok(match self.clone() {
            Ask::Compact(asked) => Call::Compact(request::compact(asked, &limits)?),
            Ask::Delete(asked) => Call::Delete(request::delete(asked, &limits)?),
            Ask::Put(asked) => Call::Put(request::put(asked, &limits)?),
            Ask::Range(asked) => Call::Range {
                consistency: if asked.serializable {
                    Consistency::Serializable
                } else {
                    Consistency::Linearizable
                },
                range: request::range(asked, &limits)?,
            },
            Ask::Txn(asked) => Call::Txn(request::txn(asked, &limits)?),
        })
    }

    /// Whether it writes when nothing goes wrong.
    pub(super) fn is_write(&self) -> bool {
        matches!(self, Ask::Put(_) | Ask::Delete(_) | Ask::Txn(_))
    }

    /// Sends it, and waits for the answer.
    pub(super) async fn send(self, client: &Client) -> Result<(Revision, Reply), Error> {
        match self {
            Ask::Compact(asked) => {
                let revision = client.compact(Revision(asked.revision)).await?;
                Ok((revision, Reply::Compact))
            }
            Ask::Delete(asked) => {
                let range = keys::from_wire(asked.key, asked.range_end);
                let answer = client.delete(range).await?;
                let reply = Reply::Delete {
                    deleted: answer.value,
                    previous: Vec::new(),
                };
                Ok((answer.revision, reply))
            }
            Ask::Put(asked) => {
                let revision = client
                    .put_with_lease(asked.key, asked.value, asked.lease)
                    .await?;
                Ok((revision, Reply::Put { previous: None }))
            }
            Ask::Range(asked) => reply::range(client.range(asked).await?).map_err(nonsense),
            Ask::Txn(asked) => reply::txn(client.txn(asked).await?).map_err(nonsense),
        }
    }

    /// Sends a write or a read of keys to this node and to no other, once, as whoever asks it.
    pub(super) async fn send_to(
        self,
        asker: &Asker,
        at_most: Duration,
    ) -> Result<(Revision, Reply), Error> {
        self.send_as(asker, None, at_most).await
    }

    /// The same as whoever the token is of.
    pub(super) async fn send_as(
        self,
        asker: &Asker,
        token: Option<&MetadataValue<Ascii>>,
        at_most: Duration,
    ) -> Result<(Revision, Reply), Error> {
        let mut client = KvClient::new(asker.channel());
        let call = async {
            match self {
                Ask::Delete(asked) => {
                    let answer = client.delete_range(as_who(asker, token, asked)).await;
                    reply::delete(answer.map_err(failed)?.into_inner()).map_err(nonsense)
                }
                Ask::Put(asked) => {
                    let answer = client.put(as_who(asker, token, asked)).await;
                    reply::put(answer.map_err(failed)?.into_inner()).map_err(nonsense)
                }
                Ask::Range(asked) => {
                    let answer = client.range(as_who(asker, token, asked)).await;
                    reply::range(answer.map_err(failed)?.into_inner()).map_err(nonsense)
                }
                Ask::Compact(_) | Ask::Txn(_) => Err(Error::Nonsense {
                    what: "this is asked through the client only",
                }),
            }
        };
        let told = timeout(at_most, call).await;
        told.unwrap_or_else(|_late| Err(failed(Status::cancelled("no answer in time"))))
    }
}

/// A request of whoever the token is of; without one, of whoever asks that node.
fn as_who<T>(asker: &Asker, token: Option<&MetadataValue<Ascii>>, message: T) -> Request<T> {
    let mut request = asker.request(message);
    if let Some(token) = token {
        let headers = request.metadata_mut();
        headers.insert(metadata::TOKEN, token.clone());
    }
    request
}

/// A node's own word on a failure is what it is; of anything else nobody knows what it means.
#[allow(
    clippy::needless_pass_by_value,
    reason = "it stands where errors are mapped"
)]
fn failed(status: Status) -> Error {
    match status::read(&status) {
        failure if failure.origin == Origin::Node => Error::Refused {
            code: failure.code,
            message: failure.detail,
        },
        _broken => Error::OutcomeUnknown {
            last: status.to_string(),
        },
    }
}

/// What is wrong with an answer, as the client library says it.
fn nonsense(bad: BadAnswer) -> Error {
    Error::Nonsense { what: bad.what() }
}
