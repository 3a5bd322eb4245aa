//! What a client asks through the client library, and in the words of a history.
//!
//! Invariant: what is recorded is what was sent and what was answered, nothing made up between.

use anyhow::{Context as _, Result};
use hstore_check::history::{Call, Consistency};
use hstore_client::{Client, Error};
use hstore_core::id::Revision;
use hstore_core::limits::Limits;
use hstore_core::outcome::Reply;
use hstore_core::range::RangeResult;
use hstore_core::record::{Meta, Record};
use hstore_proto::convert::{keys, request};
use hstore_proto::etcdserverpb::response_op::Response;
use hstore_proto::etcdserverpb::{
    DeleteRangeRequest, PutRequest, RangeRequest, RangeResponse, ResponseHeader, TxnRequest,
    TxnResponse,
};
use hstore_proto::mvccpb::KeyValue;

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
            Ask::Range(asked) => of_range(client.range(asked).await?).map_err(nonsense),
            Ask::Txn(asked) => {
                let answer = client.txn(asked).await?;
                let revision = revision(answer.header.as_ref()).map_err(nonsense)?;
                let reply = txn(answer).ok_or(Error::Nonsense {
                    what: "a transaction with a step that says nothing",
                })?;
                Ok((revision, reply))
            }
        }
    }
}

fn nonsense(_why: anyhow::Error) -> Error {
    Error::Nonsense {
        what: "an answer without a header",
    }
}

/// The revision in the head of an answer.
pub(crate) fn revision(header: Option<&ResponseHeader>) -> Result<Revision> {
    let header = header.context("an answer without a header")?;
    Ok(Revision(header.revision))
}

/// What a read found, and when.
pub(crate) fn of_range(answer: RangeResponse) -> Result<(Revision, Reply)> {
    let revision = revision(answer.header.as_ref())?;
    Ok((revision, Reply::Range(range(answer))))
}

fn range(answer: RangeResponse) -> RangeResult {
    RangeResult {
        records: answer.kvs.into_iter().map(record).collect(),
        more: answer.more,
        count: answer.count as u64,
    }
}

fn txn(answer: TxnResponse) -> Option<Reply> {
    let replies = answer.responses.into_iter().map(|step| {
        Some(match step.response? {
            Response::ResponseRange(answer) => Reply::Range(range(answer)),
            Response::ResponsePut(answer) => Reply::Put {
                previous: answer.prev_kv.map(record),
            },
            Response::ResponseDeleteRange(answer) => Reply::Delete {
                deleted: answer.deleted as u64,
                previous: answer.prev_kvs.into_iter().map(record).collect(),
            },
            Response::ResponseTxn(answer) => txn(answer)?,
        })
    });
    Some(Reply::Txn {
        succeeded: answer.succeeded,
        replies: replies.collect::<Option<_>>()?,
    })
}

fn record(pair: KeyValue) -> Record {
    Record {
        key: pair.key,
        value: pair.value,
        meta: Meta {
            create_revision: Revision(pair.create_revision),
            mod_revision: Revision(pair.mod_revision),
            sub: 0,
            version: pair.version,
            lease: pair.lease,
        },
    }
}
