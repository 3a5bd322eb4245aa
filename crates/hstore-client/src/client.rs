//! The client: what a program says about keys, each call with its deadline.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use hstore_core::id::Revision;
use hstore_core::key::KeyRange;
use hstore_proto::convert::keys;
use hstore_proto::etcdserverpb::compare::{CompareResult, CompareTarget, TargetUnion};
use hstore_proto::etcdserverpb::kv_client::KvClient;
use hstore_proto::etcdserverpb::request_op::Request as Step;
use hstore_proto::etcdserverpb::response_op::Response as Done;
use hstore_proto::etcdserverpb::{
    CompactionRequest, Compare, DeleteRangeRequest, PutRequest, RangeRequest, RangeResponse,
    RequestOp, ResponseHeader, TxnRequest, TxnResponse,
};
use hstore_proto::hstore::v1::HistoryRequest;
use rand::SeedableRng as _;
use rand::rngs::StdRng;
use tonic::transport::Channel;

use crate::address::Address;
use crate::call::{Kind, Patience, Shared};
use crate::credentials::Credentials;
use crate::dial::Dial;
use crate::error::Error;
use crate::kv::{Answer, Expect, History, KeyValue, Past, Read, Swap};
use crate::pool::Pool;

/// How long a call may take unless `with_timeout` says otherwise.
pub const TIMEOUT: Duration = Duration::from_secs(5);
/// How long no node at all may be reachable before a call gives up.
const UNREACHABLE: Duration = Duration::from_secs(1);
/// The largest answer that is taken.
pub(crate) const ANSWER_BYTES_MAX: usize = 64 * 1024 * 1024;

/// A program's way to a cluster. Clones share connections and session.
#[derive(Clone)]
pub struct Client {
    pub(crate) shared: Arc<Shared>,
    patience: Patience,
}

impl Client {
    /// A client that begins with the nodes at `hosts`, and learns of the others by itself. No
    /// connection is made before the first call.
    pub fn connect<H: AsRef<str>>(hosts: &[H]) -> Result<Client, Error> {
        let parsed: Result<Vec<Address>, Error> = hosts
            .iter()
            .map(|host| host.as_ref().trim().parse())
            .collect();
        Client::to(parsed?)
    }

    /// The same with addresses that were read before.
    pub fn to(addresses: Vec<Address>) -> Result<Client, Error> {
        Ok(Client::of(Arc::new(Shared::new(Pool::new(addresses)?))))
    }

    /// The same with connections that `dial` makes, and with random choices that descend from `seed`
    /// alone: for programs that live on a network of their own, such as a simulated one.
    pub fn through(
        addresses: Vec<Address>,
        dial: Arc<dyn Dial>,
        seed: u64,
    ) -> Result<Client, Error> {
        let pool = Pool::new(addresses)?.through(dial);
        let shared = Arc::new(Shared::with_rng(pool, StdRng::seed_from_u64(seed)));
        Ok(Client::of(shared))
    }

    fn of(shared: Arc<Shared>) -> Client {
        Client {
            shared,
            patience: Patience {
                timeout: TIMEOUT,
                unreachable: UNREACHABLE,
            },
        }
    }

    /// The same client with another deadline for each call.
    #[must_use]
    pub fn with_timeout(mut self, timeout: Duration) -> Client {
        self.patience.timeout = timeout;
        self
    }

    /// The same client that keeps trying until the deadline also while no node can be reached.
    #[must_use]
    pub fn patient(mut self) -> Client {
        self.patience.unreachable = Duration::MAX;
        self
    }

    /// The same client as a user. Clones of it, made before or after, are this user, too.
    #[must_use]
    pub fn as_user(self, user: Credentials) -> Client {
        self.shared.set_user(Some(user));
        self
    }

    /// The same client for one node alone: it asks no other, whatever becomes of that one.
    #[must_use]
    pub fn only(&self, address: Address) -> Client {
        Client {
            shared: Arc::new(self.shared.only(address)),
            patience: self.patience,
        }
    }

    /// Who the client is, if it was said.
    pub fn user(&self) -> Option<Credentials> {
        self.shared.user()
    }

    /// Makes the node at `place` of the known ones, counted around, the first to ask, so that many
    /// clients spread.
    pub fn start_at(&self, place: usize) {
        self.shared.pool().start_at(place);
    }

    /// Every known address: those that were named, then those that were learned.
    pub fn addresses(&self) -> Vec<Address> {
        self.shared.pool().addresses().to_vec()
    }

    /// The node that is asked next.
    pub fn address(&self) -> Address {
        self.shared.pool().current().clone()
    }

    pub(crate) fn patience(&self) -> Patience {
        self.patience
    }

    /// The key as it is, or was at a revision; none when it is not there.
    pub async fn get(
        &self,
        key: impl Into<Bytes>,
        read: Read,
    ) -> Result<Answer<Option<KeyValue>>, Error> {
        let request = range_request(KeyRange::One(key.into()), read, 1);
        let answer = self.range(request).await?;
        Ok(Answer {
            revision: revision(answer.header.as_ref())?,
            value: answer.kvs.into_iter().next().map(KeyValue::from),
        })
    }

    /// How many keys there are in a range.
    pub async fn count(&self, keys: KeyRange, read: Read) -> Result<Answer<u64>, Error> {
        let request = RangeRequest {
            count_only: true,
            ..range_request(keys, read, 0)
        };
        let answer = self.range(request).await?;
        Ok(Answer {
            revision: revision(answer.header.as_ref())?,
            value: answer.count as u64,
        })
    }

    /// Writes a key. Answers the revision of the write.
    pub async fn put(
        &self,
        key: impl Into<Bytes>,
        value: impl Into<Bytes>,
    ) -> Result<Revision, Error> {
        self.put_with_lease(key, value, 0).await
    }

    /// The same for a key that goes when a lease ends; 0 is none.
    pub async fn put_with_lease(
        &self,
        key: impl Into<Bytes>,
        value: impl Into<Bytes>,
        lease: i64,
    ) -> Result<Revision, Error> {
        let request = PutRequest {
            lease,
            ..put_request(key.into(), value.into())
        };
        let send = |channel, request| async move { kv(channel).put(request).await };
        let (answer, _) = self
            .shared
            .call(Kind::Write, self.patience, request, send)
            .await?;
        revision(answer.header.as_ref())
    }

    /// Writes several different keys at once, in one revision: all of them or none.
    pub async fn put_all(
        &self,
        pairs: impl IntoIterator<Item = (Bytes, Bytes)>,
    ) -> Result<Revision, Error> {
        let success = pairs
            .into_iter()
            .map(|(key, value)| put_step(key, value))
            .collect();
        let request = TxnRequest {
            compare: Vec::new(),
            success,
            failure: Vec::new(),
        };
        revision(self.txn(request).await?.header.as_ref())
    }

    /// Writes a key that is there already, else fails with `KeyNotFound`.
    pub async fn update(
        &self,
        key: impl Into<Bytes>,
        value: impl Into<Bytes>,
    ) -> Result<Revision, Error> {
        let key = key.into();
        let there = Compare {
            result: CompareResult::Greater.into(),
            target: CompareTarget::Version.into(),
            key: key.clone(),
            target_union: Some(TargetUnion::Version(0)),
            range_end: Bytes::new(),
        };
        let answer = self
            .txn(TxnRequest {
                compare: vec![there],
                success: vec![put_step(key, value.into())],
                failure: Vec::new(),
            })
            .await?;
        if !answer.succeeded {
            return Err(Error::KeyNotFound);
        }
        revision(answer.header.as_ref())
    }

    /// Deletes the keys of a range. Answers how many there were.
    pub async fn delete(&self, keys: KeyRange) -> Result<Answer<u64>, Error> {
        let (key, range_end) = keys::to_wire(keys);
        let request = DeleteRangeRequest {
            key,
            range_end,
            prev_kv: false,
        };
        let send = |channel, request| async move { kv(channel).delete_range(request).await };
        let (answer, _) = self
            .shared
            .call(Kind::Write, self.patience, request, send)
            .await?;
        Ok(Answer {
            revision: revision(answer.header.as_ref())?,
            value: answer.deleted as u64,
        })
    }

    /// Gives a key a new value if it is as expected.
    pub async fn swap(
        &self,
        key: impl Into<Bytes>,
        expect: Expect,
        new: impl Into<Bytes>,
    ) -> Result<Answer<Swap>, Error> {
        let key = key.into();
        let (target, target_union) = match expect {
            Expect::Revision(revision) => {
                (CompareTarget::Mod, TargetUnion::ModRevision(revision.0))
            }
            Expect::Value(value) => (CompareTarget::Value, TargetUnion::Value(value)),
        };
        let as_expected = Compare {
            result: CompareResult::Equal.into(),
            target: target.into(),
            key: key.clone(),
            target_union: Some(target_union),
            range_end: Bytes::new(),
        };
        let look = range_request(KeyRange::One(key.clone()), Read::default(), 1);
        let answer = self
            .txn(TxnRequest {
                compare: vec![as_expected],
                success: vec![put_step(key, new.into())],
                failure: vec![RequestOp {
                    request: Some(Step::RequestRange(look)),
                }],
            })
            .await?;
        let value = if answer.succeeded {
            Swap::Done
        } else {
            match answer
                .responses
                .into_iter()
                .next()
                .and_then(|step| step.response)
            {
                Some(Done::ResponseRange(range)) => {
                    Swap::Lost(range.kvs.into_iter().next().map(KeyValue::from))
                }
                _ => {
                    return Err(Error::Nonsense {
                        what: "a transaction without its read",
                    });
                }
            }
        };
        Ok(Answer {
            revision: revision(answer.header.as_ref())?,
            value,
        })
    }

    /// Any transaction.
    pub async fn txn(&self, request: TxnRequest) -> Result<TxnResponse, Error> {
        let send = |channel, request| async move { kv(channel).txn(request).await };
        Ok(self
            .shared
            .call(Kind::Write, self.patience, request, send)
            .await?
            .0)
    }

    /// Any read.
    pub async fn range(&self, request: RangeRequest) -> Result<RangeResponse, Error> {
        let send = |channel, request| async move { kv(channel).range(request).await };
        Ok(self
            .shared
            .call(Kind::Read, self.patience, request, send)
            .await?
            .0)
    }

    /// Drops the history below a revision.
    pub async fn compact(&self, at: Revision) -> Result<Revision, Error> {
        let request = CompactionRequest {
            revision: at.0,
            physical: false,
        };
        let send = |channel, request| async move { kv(channel).compact(request).await };
        let (answer, _) = self
            .shared
            .call(Kind::Write, self.patience, request, send)
            .await?;
        revision(answer.header.as_ref())
    }

    /// Records of a key, newest first, deletions included: at most `limit`, and only those older
    /// than `before`; 0 is no bound for either.
    pub async fn history(
        &self,
        key: impl Into<Bytes>,
        limit: u64,
        before: Revision,
    ) -> Result<History, Error> {
        let request = HistoryRequest {
            key: key.into(),
            limit,
            before_revision: before.0,
        };
        let send = |channel, request| async move {
            hstore_proto::hstore::v1::kv_client::KvClient::new(channel)
                .max_decoding_message_size(ANSWER_BYTES_MAX)
                .history(request)
                .await
        };
        let (answer, _) = self
            .shared
            .call(Kind::Read, self.patience, request, send)
            .await?;
        Ok(History {
            revision: Revision(answer.revision),
            compacted: Revision(answer.compacted_revision),
            records: answer.records.into_iter().map(Past::from).collect(),
            more: answer.more,
        })
    }
}

/// A read of a range in key order.
pub(crate) fn range_request(keys: KeyRange, read: Read, limit: i64) -> RangeRequest {
    let (key, range_end) = keys::to_wire(keys);
    RangeRequest {
        key,
        range_end,
        limit,
        revision: read.revision.0,
        serializable: read.serializable,
        keys_only: read.keys_only,
        ..RangeRequest::default()
    }
}

/// The store's revision, which every answer says.
pub(crate) fn revision(header: Option<&ResponseHeader>) -> Result<Revision, Error> {
    let header = header.ok_or(Error::Nonsense {
        what: "an answer without a header",
    })?;
    Ok(Revision(header.revision))
}

fn put_request(key: Bytes, value: Bytes) -> PutRequest {
    PutRequest {
        key,
        value,
        ..PutRequest::default()
    }
}

fn put_step(key: Bytes, value: Bytes) -> RequestOp {
    RequestOp {
        request: Some(Step::RequestPut(put_request(key, value))),
    }
}

fn kv(channel: Channel) -> KvClient<Channel> {
    KvClient::new(channel).max_decoding_message_size(ANSWER_BYTES_MAX)
}
