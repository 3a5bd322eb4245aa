//! Speaking to a node over its wire, without hstore's own client: what a foreign program sees.

use std::collections::BTreeMap;
use std::time::Duration;

use bytes::Bytes;
use hstore_proto::etcdserverpb::auth_client::AuthClient;
use hstore_proto::etcdserverpb::kv_client::KvClient;
use hstore_proto::etcdserverpb::maintenance_client::MaintenanceClient;
use hstore_proto::etcdserverpb::{
    AuthenticateRequest, CompactionRequest, PutRequest, RangeRequest, RangeResponse, TxnRequest,
    TxnResponse,
};
use hstore_proto::hstore::v1::cluster_client::ClusterClient;
use hstore_proto::hstore::v1::node_client::NodeClient;
use hstore_proto::hstore::v1::{
    DescribeRequest, MemberStatus, NodeStatusRequest, NodeStatusResponse,
};
use tokio::runtime::Runtime;
use tonic::transport::{Channel, Endpoint};
use tonic::{Code, Request, Status};

/// How long a call may take when the caller does not say otherwise.
const DEADLINE: Duration = Duration::from_secs(10);
/// The most bytes of one answer: a page of large values.
const ANSWER_BYTES_MAX: usize = 64 << 20;
/// Keys in a page of a scan.
const PAGE_KEYS: i64 = 2_000;

/// A connection to one node.
pub(crate) struct Kv {
    runtime: Runtime,
    client: KvClient<Channel>,
}

impl Kv {
    /// A connection, made at the first call.
    pub(crate) fn connect(address: &str) -> Kv {
        let runtime = runtime();
        let client = {
            let _inside = runtime.enter();
            let channel = endpoint(address).connect_lazy();
            KvClient::new(channel)
                .max_decoding_message_size(ANSWER_BYTES_MAX)
                .max_encoding_message_size(ANSWER_BYTES_MAX)
        };
        Kv { runtime, client }
    }

    /// Writes.
    pub(crate) fn put(
        &mut self,
        key: impl Into<Bytes>,
        value: impl Into<Bytes>,
    ) -> Result<i64, Status> {
        self.put_within(key, value, DEADLINE)
    }

    /// Writes, within a time that the server is told.
    pub(crate) fn put_within(
        &mut self,
        key: impl Into<Bytes>,
        value: impl Into<Bytes>,
        deadline: Duration,
    ) -> Result<i64, Status> {
        let mut request = Request::new(PutRequest {
            key: key.into(),
            value: value.into(),
            ..PutRequest::default()
        });
        request.set_timeout(deadline);
        let call = self.client.put(request);
        let answer = self.runtime.block_on(within(deadline, call))?;
        Ok(answer.header.map_or(0, |header| header.revision))
    }

    /// Reads a range as it is asked for.
    pub(crate) fn range(&mut self, request: RangeRequest) -> Result<RangeResponse, Status> {
        let mut request = Request::new(request);
        request.set_timeout(DEADLINE);
        let call = self.client.range(request);
        self.runtime.block_on(within(DEADLINE, call))
    }

    /// Reads one value.
    pub(crate) fn get(&mut self, key: &str) -> Result<Option<Bytes>, Status> {
        let answer = self.range(RangeRequest {
            key: Bytes::copy_from_slice(key.as_bytes()),
            ..RangeRequest::default()
        })?;
        Ok(answer.kvs.into_iter().next().map(|pair| pair.value))
    }

    /// Reads one value as the node has it now, which may be behind.
    pub(crate) fn get_serializable(&mut self, key: &str) -> Result<Option<Bytes>, Status> {
        let answer = self.range(RangeRequest {
            key: Bytes::copy_from_slice(key.as_bytes()),
            serializable: true,
            ..RangeRequest::default()
        })?;
        Ok(answer.kvs.into_iter().next().map(|pair| pair.value))
    }

    /// Reads one value as whoever a token names.
    pub(crate) fn get_as(&mut self, token: &str, key: &str) -> Result<Option<Bytes>, Status> {
        self.get_with("token", token, key)
    }

    /// Reads one value with a piece of metadata.
    pub(crate) fn get_with(
        &mut self,
        name: &'static str,
        value: &str,
        key: &str,
    ) -> Result<Option<Bytes>, Status> {
        let mut request = Request::new(RangeRequest {
            key: Bytes::copy_from_slice(key.as_bytes()),
            ..RangeRequest::default()
        });
        request.set_timeout(DEADLINE);
        let value = value.parse().expect("metadata is text");
        request.metadata_mut().insert(name, value);
        let call = self.client.range(request);
        let answer = self.runtime.block_on(within(DEADLINE, call))?;
        Ok(answer.kvs.into_iter().next().map(|pair| pair.value))
    }

    /// Drops the history below a revision.
    pub(crate) fn compact(&mut self, revision: i64) -> Result<(), Status> {
        let request = CompactionRequest {
            revision,
            physical: false,
        };
        let answer = self.runtime.block_on(self.client.compact(request))?;
        drop(answer);
        Ok(())
    }

    /// Runs a transaction.
    pub(crate) fn txn(&mut self, request: TxnRequest) -> Result<TxnResponse, Status> {
        let mut request = Request::new(request);
        request.set_timeout(DEADLINE);
        let call = self.client.txn(request);
        self.runtime.block_on(within(DEADLINE, call))
    }

    /// How many keys there are.
    pub(crate) fn count(&mut self) -> Result<i64, Status> {
        let answer = self.range(RangeRequest {
            key: Bytes::from_static(b"\0"),
            range_end: Bytes::from_static(b"\0"),
            count_only: true,
            ..RangeRequest::default()
        })?;
        Ok(answer.count)
    }

    /// Every pair whose key begins with `prefix`, linearizable, in pages at one revision.
    pub(crate) fn scan(&mut self, prefix: &[u8]) -> Result<BTreeMap<Bytes, Bytes>, Status> {
        let mut pairs = BTreeMap::new();
        let (mut from, end) = bounds(prefix);
        let mut revision = 0;
        loop {
            let answer = self.range(RangeRequest {
                key: from,
                range_end: end.clone(),
                limit: PAGE_KEYS,
                revision,
                ..RangeRequest::default()
            })?;
            if revision == 0 {
                revision = answer.header.map_or(0, |header| header.revision);
            }
            let last = answer.kvs.last().map(|pair| pair.key.clone());
            pairs.extend(answer.kvs.into_iter().map(|pair| (pair.key, pair.value)));
            match last {
                Some(last) if answer.more => {
                    let mut next = last.to_vec();
                    next.push(0);
                    from = next.into();
                }
                _ => return Ok(pairs),
            }
        }
    }
}

/// Every pair below `prefix` as this node answers it; a node that cannot is a failure.
#[track_caller]
pub(crate) fn scan(address: &str, prefix: &[u8]) -> BTreeMap<Bytes, Bytes> {
    Kv::connect(address)
        .scan(prefix)
        .unwrap_or_else(|status| panic!("{address} does not answer a scan: {status}"))
}

/// Asks etcd's Maintenance service of a node.
pub(crate) fn maintenance<T>(
    address: &str,
    ask: impl AsyncFnOnce(MaintenanceClient<Channel>) -> Result<tonic::Response<T>, Status>,
) -> Result<T, Status> {
    runtime().block_on(async {
        let client = MaintenanceClient::new(endpoint(address).connect_lazy());
        within(DEADLINE, ask(client)).await
    })
}

/// A token of a user, as this node gives it.
pub(crate) fn authenticate(address: &str, name: &str, password: &str) -> Result<String, Status> {
    runtime().block_on(async {
        let request = AuthenticateRequest {
            name: name.to_owned(),
            password: password.to_owned(),
        };
        let mut client = AuthClient::new(endpoint(address).connect_lazy());
        let answer = within(DEADLINE, client.authenticate(request)).await?;
        Ok(answer.token)
    })
}

/// hstore's own code of a failure, and the gRPC code it travels with.
pub(crate) fn code_of(status: &Status) -> (Code, String) {
    let code = status.metadata().get("hstore-code");
    let code = code.and_then(|code| code.to_str().ok()).unwrap_or_default();
    (status.code(), code.to_owned())
}

/// What a node says of the members, unless it does not answer.
pub(crate) fn members(address: &str) -> Option<Vec<MemberStatus>> {
    runtime().block_on(async {
        let ask = async {
            let channel = endpoint(address).connect().await.ok()?;
            let mut stream = ClusterClient::new(channel)
                .describe(DescribeRequest::default())
                .await
                .ok()?
                .into_inner();
            Some(stream.message().await.ok()??.members)
        };
        tokio::time::timeout(DEADLINE, ask).await.ok()?
    })
}

/// What a node says of itself, unless it does not answer.
pub(crate) fn status(address: &str) -> Option<NodeStatusResponse> {
    runtime().block_on(async {
        let ask = async {
            let channel = endpoint(address).connect().await.ok()?;
            let answer = NodeClient::new(channel).status(NodeStatusRequest {}).await;
            Some(answer.ok()?.into_inner())
        };
        tokio::time::timeout(DEADLINE, ask).await.ok()?
    })
}

/// A runtime of its own for a caller without one.
pub(crate) fn runtime() -> Runtime {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .expect("a runtime starts")
}

/// Where a node is.
pub(crate) fn endpoint(address: &str) -> Endpoint {
    Endpoint::from_shared(format!("http://{address}"))
        .expect("an address makes a URI")
        .connect_timeout(Duration::from_secs(2))
        .tcp_nodelay(true)
}

/// Ends a call that the other side does not end in time, with room for its own deadline first.
pub(crate) async fn within<T>(
    deadline: Duration,
    call: impl Future<Output = Result<tonic::Response<T>, Status>>,
) -> Result<T, Status> {
    match tokio::time::timeout(deadline + Duration::from_secs(5), call).await {
        Ok(answer) => answer.map(tonic::Response::into_inner),
        Err(_) => Err(Status::cancelled("the node did not keep the deadline")),
    }
}

fn bounds(prefix: &[u8]) -> (Bytes, Bytes) {
    let mut end = prefix.to_vec();
    while let Some(last) = end.pop() {
        if last < 0xff {
            end.push(last + 1);
            return (Bytes::copy_from_slice(prefix), end.into());
        }
    }
    (Bytes::from_static(b"\0"), Bytes::from_static(b"\0"))
}
