//! The etcd that is brought over: what is asked of it, with patience.
//!
//! It speaks etcd's API of 3.3 and later and changes nothing there. Invariants: (1) every call has a
//! deadline; (2) what may pass is tried again for a while, everything else is a failure that says
//! what to do.

use std::future::Future;
use std::time::Duration;

use bytes::Bytes;
use hstore_core::error::ErrorCode;
use hstore_proto::etcdserverpb::kv_client::KvClient;
use hstore_proto::etcdserverpb::lease_client::LeaseClient;
use hstore_proto::etcdserverpb::watch_client::WatchClient;
use hstore_proto::etcdserverpb::watch_request::RequestUnion;
use hstore_proto::etcdserverpb::{
    AuthenticateRequest, LeaseLeasesRequest, LeaseTimeToLiveRequest, RangeRequest, RangeResponse,
    WatchCreateRequest, WatchRequest, WatchResponse,
};
use hstore_proto::mvccpb::KeyValue;
use tokio::time::{Instant, sleep, timeout};
use tonic::service::interceptor::InterceptedService;
use tonic::transport::{Channel, Endpoint};
use tonic::{Code, Response, Status, Streaming};

use super::knock::knock;
use super::place::Place;
use super::proof::{Proof, Ticket};
use super::tls::{Files, Tls};
use crate::fault::Fault;

/// How long etcd may not answer before the import ends; it can be resumed.
pub(super) const PATIENCE: Duration = Duration::from_mins(1);
/// How long one answer may take.
const ANSWER_MAX: Duration = Duration::from_secs(30);
/// How long a connection may take.
const CONNECT_MAX: Duration = Duration::from_secs(5);
/// The pause before a call is made again.
const PAUSE: Duration = Duration::from_millis(200);
/// The largest answer that is taken: a page, or the events of one revision.
const ANSWER_BYTES_MAX: usize = 512 * 1024 * 1024;
/// How much a page should hold.
const PAGE_BYTES: usize = 4 * 1024 * 1024;
/// The keys of the first page, when nothing is known of their size.
const PAGE_KEYS_FIRST: i64 = 64;
/// The most keys of a page.
const PAGE_KEYS_MAX: i64 = 4096;

/// The smallest key, and as an end: every key from the beginning on.
const ZERO: Bytes = Bytes::from_static(&[0]);

/// A running etcd.
#[derive(Clone)]
pub(super) struct Etcd {
    channel: InterceptedService<Channel, Ticket>,
    proof: Proof,
    /// How it is called in sentences.
    pub(super) name: String,
}

/// Where etcd stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Standing {
    /// Its cluster.
    pub(super) cluster: u64,
    /// Its revision.
    pub(super) revision: i64,
    /// How many keys it holds.
    pub(super) keys: i64,
}

/// A lease of etcd's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct SourceLease {
    /// Its id.
    pub(super) id: i64,
    /// How long it lives without a renewal, in seconds.
    pub(super) granted: i64,
    /// How long it has, in whole seconds.
    pub(super) left: i64,
}

impl Etcd {
    /// The etcd at these endpoints, for a user where it asks for one. Nothing is asked of it yet, but
    /// that both sides speak the same way is certain.
    pub(super) async fn at(
        endpoints: &[String],
        files: &Files,
        user: Option<AuthenticateRequest>,
    ) -> Result<Etcd, Fault> {
        let places: Result<Vec<Place>, Fault> = endpoints
            .iter()
            .map(|text| Place::parse(text, files.are_given()))
            .collect();
        let places = places?;
        let is_encrypted = places.iter().any(|place| place.is_encrypted);
        if files.are_given() && !is_encrypted {
            let sentence = "--cacert, --cert and --key are for endpoints with https://";
            return Err(Fault::new(ErrorCode::InvalidArgument, sentence));
        }
        let tls = is_encrypted.then(|| Tls::read(files)).transpose()?;
        let ends: Result<Vec<Endpoint>, Fault> = places
            .iter()
            .map(|place| endpoint(place, tls.as_ref()))
            .collect();
        let ends = ends?;
        knock(&places, tls.as_ref()).await?;
        let channel = Channel::balance_list(ends.into_iter());
        let proof = Proof::new(channel.clone(), user);
        Ok(Etcd {
            channel: InterceptedService::new(channel, proof.ticket.clone()),
            proof,
            name: format!("etcd at {}", endpoints.join(",")),
        })
    }

    fn kv(&self) -> KvClient<InterceptedService<Channel, Ticket>> {
        KvClient::new(self.channel.clone()).max_decoding_message_size(ANSWER_BYTES_MAX)
    }

    /// Where it stands, by the word of its leader.
    pub(super) async fn standing(&self) -> Result<Standing, Fault> {
        let request = RangeRequest {
            key: ZERO,
            range_end: ZERO,
            count_only: true,
            ..RangeRequest::default()
        };
        let answer = self.range(request).await?;
        let header = answer.header.unwrap_or_default();
        Ok(Standing {
            cluster: header.cluster_id,
            revision: header.revision,
            keys: answer.count,
        })
    }

    /// Its keys as of a revision, in their order, a page at a time.
    pub(super) fn pages(&self, revision: i64) -> SourcePages {
        SourcePages {
            etcd: self.clone(),
            revision,
            next: Some(ZERO),
            limit: PAGE_KEYS_FIRST,
        }
    }

    /// Its leases.
    pub(super) async fn leases(&self) -> Result<Vec<i64>, Fault> {
        let list = || async {
            LeaseClient::new(self.channel.clone())
                .max_decoding_message_size(ANSWER_BYTES_MAX)
                .lease_leases(LeaseLeasesRequest {})
                .await
        };
        let answer = self.patiently("list its leases", list).await?;
        Ok(answer.leases.into_iter().map(|lease| lease.id).collect())
    }

    /// A lease, unless it is gone.
    pub(super) async fn lease(&self, id: i64) -> Result<Option<SourceLease>, Fault> {
        let ask = || async {
            LeaseClient::new(self.channel.clone())
                .lease_time_to_live(LeaseTimeToLiveRequest { id, keys: false })
                .await
        };
        let answer = self.patiently("say how long a lease has", ask).await?;
        Ok(
            (answer.ttl >= 0 && answer.granted_ttl > 0).then_some(SourceLease {
                id,
                granted: answer.granted_ttl,
                left: answer.ttl,
            }),
        )
    }

    /// Its changes from a revision on.
    pub(super) async fn watch(&self, from: i64) -> Result<Streaming<WatchResponse>, Fault> {
        let create = WatchCreateRequest {
            key: ZERO,
            range_end: ZERO,
            start_revision: from,
            progress_notify: true,
            fragment: true,
            ..WatchCreateRequest::default()
        };
        let begin = || async {
            let request = WatchRequest {
                request_union: Some(RequestUnion::CreateRequest(create.clone())),
            };
            // The stream of requests stays open: its end would end the watch.
            let requests = futures::StreamExt::chain(
                futures::stream::iter([request]),
                futures::stream::pending(),
            );
            WatchClient::new(self.channel.clone())
                .max_decoding_message_size(ANSWER_BYTES_MAX)
                .watch(requests)
                .await
        };
        // A token may have ended while the stream before this one lived, and a watch says nothing
        // of why it may not read.
        if self.proof.is_named() {
            self.proof.forget();
            let _standing = self.standing().await?;
        }
        self.patiently("tell its changes", begin).await
    }

    /// The failure of an etcd that has not answered for a while.
    pub(super) fn is_silent(&self) -> Fault {
        Fault::new(
            ErrorCode::Unreachable,
            format!(
                "{} has not answered for {} s",
                self.name,
                PATIENCE.as_secs()
            ),
        )
        .hint("the same command goes on where it stopped")
    }

    async fn range(&self, request: RangeRequest) -> Result<RangeResponse, Fault> {
        let ask = || async { self.kv().range(request.clone()).await };
        self.patiently("be read", ask).await
    }

    async fn patiently<T, F>(&self, what: &str, call: impl Fn() -> F) -> Result<T, Fault>
    where
        F: Future<Output = Result<Response<T>, Status>>,
    {
        let deadline = Instant::now() + PATIENCE;
        let mut is_proved = false;
        loop {
            let last = match timeout(ANSWER_MAX, call()).await {
                Ok(Ok(answer)) => return Ok(answer.into_inner()),
                Ok(Err(status)) if !is_proved && self.proof.is_wanted(&status) => {
                    is_proved = true;
                    match timeout(ANSWER_MAX, self.proof.bring()).await {
                        Ok(Ok(())) => continue,
                        Ok(Err(status)) if !may_pass(&status) => {
                            return Err(self.refused("take the user", &status));
                        }
                        Ok(Err(status)) => status.message().to_owned(),
                        Err(_elapsed) => "no token in time".to_owned(),
                    }
                }
                Ok(Err(status)) if !may_pass(&status) => return Err(self.refused(what, &status)),
                Ok(Err(status)) => status.message().to_owned(),
                Err(_elapsed) => format!("no answer within {} s", ANSWER_MAX.as_secs()),
            };
            if Instant::now() + PAUSE >= deadline {
                return Err(Fault::new(
                    ErrorCode::Unreachable,
                    format!("{} cannot {what}: {last}", self.name),
                )
                .hint("the same command goes on where it stopped"));
            }
            sleep(PAUSE).await;
        }
    }

    fn refused(&self, what: &str, status: &Status) -> Fault {
        let sentence = format!("{} cannot {what}: {}", self.name, status.message());
        match status.code() {
            Code::OutOfRange => compacted(sentence),
            Code::Unauthenticated | Code::PermissionDenied | Code::InvalidArgument => {
                Fault::new(ErrorCode::PermissionDenied, sentence).hint(
                    "--user NAME --password-file FILE, of a user of etcd's who may read everything",
                )
            }
            _other => Fault::new(ErrorCode::Unreachable, sentence),
        }
    }
}

/// A failure for which etcd has dropped what is needed.
pub(super) fn compacted(sentence: String) -> Fault {
    Fault::new(ErrorCode::Compacted, sentence)
        .hint("etcd has compacted what is needed: remove the folder and begin anew, or let etcd keep more")
}

fn may_pass(status: &Status) -> bool {
    matches!(
        status.code(),
        Code::Unavailable
            | Code::DeadlineExceeded
            | Code::Cancelled
            | Code::Unknown
            | Code::Internal
            | Code::ResourceExhausted
    )
}

fn endpoint(place: &Place, tls: Option<&Tls>) -> Result<Endpoint, Fault> {
    let refuse = |error: &tonic::transport::Error| {
        Fault::new(
            ErrorCode::InvalidArgument,
            format!("`{place}` is not an endpoint of etcd that can be used: {error}"),
        )
    };
    let mut endpoint = Endpoint::from_shared(place.to_string()).map_err(|error| refuse(&error))?;
    if let Some(tls) = tls.filter(|_| place.is_encrypted) {
        endpoint = endpoint
            .tls_config(tls.grpc.clone())
            .map_err(|error| refuse(&error))?;
    }
    Ok(endpoint
        .connect_timeout(CONNECT_MAX)
        .http2_keep_alive_interval(Duration::from_secs(5))
        .keep_alive_timeout(Duration::from_secs(5)))
}

/// The keys of etcd as of a revision.
pub(super) struct SourcePages {
    etcd: Etcd,
    revision: i64,
    next: Option<Bytes>,
    limit: i64,
}

impl SourcePages {
    /// The next page; none after the last one.
    pub(super) async fn next(&mut self) -> Result<Option<Vec<KeyValue>>, Fault> {
        let Some(key) = self.next.clone() else {
            return Ok(None);
        };
        let request = RangeRequest {
            key,
            range_end: ZERO,
            revision: self.revision,
            limit: self.limit,
            ..RangeRequest::default()
        };
        let answer = self.etcd.range(request).await?;
        let last = answer.kvs.last().filter(|_| answer.more);
        self.next = last.map(|pair| {
            let mut key = pair.key.to_vec();
            key.push(0);
            key.into()
        });
        let bytes: usize = answer
            .kvs
            .iter()
            .map(|pair| pair.key.len() + pair.value.len() + 64)
            .sum();
        let each = (bytes / answer.kvs.len().max(1)).max(1);
        let fits = i64::try_from(PAGE_BYTES / each).unwrap_or(PAGE_KEYS_MAX);
        self.limit = fits.clamp(1, (self.limit * 4).min(PAGE_KEYS_MAX));
        Ok(Some(answer.kvs))
    }
}
