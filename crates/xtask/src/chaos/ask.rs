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
use hstore_core::range::RangeResult;
use hstore_core::record::{Meta, Record};
use hstore_proto::convert::{keys, request};
use hstore_proto::etcdserverpb::kv_client::KvClient;
use hstore_proto::etcdserverpb::response_op::Response;
use hstore_proto::etcdserverpb::{
    CompactionRequest, DeleteRangeRequest, PutRequest, RangeRequest, RangeResponse, ResponseHeader,
    TxnRequest, TxnResponse,
};
use hstore_proto::mvccpb::KeyValue;
use tokio::time::timeout;
use tonic::Status;

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
                let revision = client.put(asked.key, asked.value).await?;
                Ok((revision, Reply::Put { previous: None }))
            }
            Ask::Range(asked) => {
                let answer = client.range(asked).await?;
                let revision = revision(answer.header.as_ref())?;
                Ok((revision, Reply::Range(range(answer))))
            }
            Ask::Txn(asked) => {
                let answer = client.txn(asked).await?;
                let revision = revision(answer.header.as_ref())?;
                let reply = txn(answer).ok_or(Error::Nonsense {
                    what: "a transaction with a step that says nothing",
                })?;
                Ok((revision, reply))
            }
        }
    }

    /// Sends a write or a read of keys to this node and to no other, once.
    pub(super) async fn send_to(
        self,
        asker: &Asker,
        at_most: Duration,
    ) -> Result<(Revision, Reply), Error> {
        let mut client = KvClient::new(asker.channel());
        let unknown = |status: Status| Error::OutcomeUnknown {
            last: status.to_string(),
        };
        let call = async {
            match self {
                Ask::Put(asked) => {
                    let answer = client.put(asked).await.map_err(unknown)?.into_inner();
                    let revision = revision(answer.header.as_ref())?;
                    Ok((revision, Reply::Put { previous: None }))
                }
                Ask::Range(asked) => {
                    let answer = client.range(asked).await.map_err(unknown)?.into_inner();
                    let revision = revision(answer.header.as_ref())?;
                    Ok((revision, Reply::Range(range(answer))))
                }
                Ask::Compact(_) | Ask::Delete(_) | Ask::Txn(_) => Err(Error::Nonsense {
                    what: "this is asked through the client only",
                }),
            }
        };
        let told = timeout(at_most, call).await;
        told.unwrap_or_else(|_late| Err(unknown(Status::cancelled("no answer in time"))))
    }
}

/// The revision in the head of an answer.
fn revision(header: Option<&ResponseHeader>) -> Result<Revision, Error> {
    let header = header.ok_or(Error::Nonsense {
        what: "an answer without a header",
    })?;
    Ok(Revision(header.revision))
}

/// What a read found.
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
