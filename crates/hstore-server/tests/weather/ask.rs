//! What a client asks through the client library, and in the words of a history.
//!
//! Invariant: what is recorded is what was sent and what was answered, nothing made up between.

use anyhow::Result;
use hstore_check::history::{Call, Consistency};
use hstore_client::{Client, Error};
use hstore_core::id::Revision;
use hstore_core::limits::Limits;
use hstore_core::outcome::Reply;
use hstore_proto::convert::reply::{self, BadAnswer};
use hstore_proto::convert::{keys, request};
use hstore_proto::etcdserverpb::{DeleteRangeRequest, PutRequest, RangeRequest, TxnRequest};

/// A request.
#[derive(Clone, Debug)]
pub(crate) enum Ask {
    Delete(DeleteRangeRequest),
    Put(PutRequest),
    Range(RangeRequest),
    Txn(TxnRequest),
}

impl Ask {
    /// The request in the words of a history.
    pub(crate) fn call(&self) -> Result<Call> {
        let limits = Limits::default();
        Ok(match self.clone() {
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

    /// Whether it may change the store.
    pub(crate) fn is_write(&self) -> bool {
        !matches!(self, Ask::Range(_))
    }

    /// Sends it, and waits for the answer.
    pub(crate) async fn send(self, client: &Client) -> Result<(Revision, Reply), Error> {
        match self {
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
                let revision = client.put(asked.key, asked.value).await?;
                Ok((revision, Reply::Put { previous: None }))
            }
            Ask::Range(asked) => reply::range(client.range(asked).await?).map_err(nonsense),
            Ask::Txn(asked) => reply::txn(client.txn(asked).await?).map_err(nonsense),
        }
    }
}

fn nonsense(bad: BadAnswer) -> Error {
    Error::Nonsense { what: bad.what() }
}
