//! etcd's Watch service: one conversation for each stream.
//!
//! A conversation is driven by the connection that carries it: it reads a request or takes news
//! only when the connection has room for an answer, so that a listener that does not read holds up
//! nobody and has nothing pile up here.
//!
//! Invariants: (1) what the node tells is rendered in its order; (2) a request is read only while
//! few answers to requests wait; (3) a conversation ends with an error that says why, unless its
//! client reset it.

use std::collections::VecDeque;
use std::pin::Pin;

use futures::future::BoxFuture;
use futures::{Stream, StreamExt as _, stream};
use hstore_core::error::ErrorCode;
use hstore_core::id::Revision;
use hstore_core::limits::Limits;
use hstore_node::{
    CancelReason, Delivery, Node, WatchRefusal, WatchRequest as NodeWatch, WatchStream,
};
use hstore_proto::convert::{answer, watch};
use hstore_proto::etcdserverpb::watch_create_request::FilterType;
use hstore_proto::etcdserverpb::watch_request::RequestUnion;
use hstore_proto::etcdserverpb::watch_server::Watch;
use hstore_proto::etcdserverpb::{ResponseHeader, WatchCreateRequest, WatchRequest, WatchResponse};
use hstore_proto::status;
use tonic::metadata::MetadataMap;
use tonic::{Request, Response, Status, Streaming};

use super::auth::identify;
use super::call::{Call, TIMEOUT_DEFAULT, leader_lost, node_error};
use super::door::{MESSAGE_OVERHEAD_BYTES, translate};
use super::render;

/// How many answers to requests may wait; then no further request is read.
const WORDS_MAX: usize = 256;

/// etcd's Watch service over a node.
#[derive(Clone, Debug)]
pub(super) struct WatchDoor {
    pub(super) node: Node,
    pub(super) limits: Limits,
}

#[tonic::async_trait]
impl Watch for WatchDoor {
    type WatchStream = Pin<Box<dyn Stream<Item = Result<WatchResponse, Status>> + Send>>;

    async fn watch(
        &self,
        request: Request<Streaming<WatchRequest>>,
    ) -> Result<Response<Self::WatchStream>, Status> {
        let call = Call::read(request.metadata(), &self.node, TIMEOUT_DEFAULT)?;
        let watches = self.node.watch().map_err(|error| node_error(&error))?;
        let leader_lost = leader_lost(&self.node, &call);
        let conversation = Conversation {
            node: self.node.clone(),
            limits: self.limits,
            metadata: request.metadata().clone(),
            requests: request.into_inner(),
            watches,
            leader_lost,
            asked_all: false,
            ready: VecDeque::new(),
        };
        let answers = stream::unfold(Some(conversation), |conversation| async {
            let mut conversation = conversation?;
            match conversation.next().await {
                Ok(answer) => Some((Ok(answer), Some(conversation))),
                Err(status) => Some((Err(status), None)),
            }
        });
        Ok(Response::new(answers.boxed()))
    }
}

/// One stream of watches.
struct Conversation {
    node: Node,
    limits: Limits,
    /// Who watches is looked up again for each watch.
    metadata: MetadataMap,
    requests: Streaming<WatchRequest>,
    watches: WatchStream,
    /// Whether the client said that it asks for nothing more. As in etcd its watches go on, since
    /// some clients ask once and then listen; the stream ends when the client resets it.
    asked_all: bool,
    leader_lost: BoxFuture<'static, Status>,
    /// Rendered already: refusals of the door, and pieces of an answer that was cut.
    ready: VecDeque<WatchResponse>,
}

impl Conversation {
    /// The next answer.
    async fn next(&mut self) -> Result<WatchResponse, Status> {
        loop {
            if let Some(answer) = self.ready.pop_front() {
                return Ok(answer);
            }
            let may_read = !self.asked_all && self.watches.words_waiting() < WORDS_MAX;
            tokio::select! {
                // Requests are few and bounded above; news could come without end.
                biased;
                lost = &mut self.leader_lost => return Err(lost),
                request = self.requests.message(), if may_read => match request.map_err(with_code)? {
                    Some(request) => self.take(request),
                    None => self.asked_all = true,
                },
                delivery = self.watches.next() => {
                    let delivery = delivery.map_err(|error| node_error(&error))?;
                    self.render(delivery);
                }
            }
        }
    }

    fn take(&mut self, request: WatchRequest) {
        match request.request_union {
            Some(RequestUnion::CreateRequest(request)) => self.create(&request),
            Some(RequestUnion::CancelRequest(request)) => self.watches.cancel(request.watch_id),
            Some(RequestUnion::ProgressRequest(_)) => self.watches.ask_progress(),
            // As in etcd: a later version may have asked for something that is not known here.
            None => {}
        }
    }

    fn create(&mut self, request: &WatchCreateRequest) {
        let cluster = self.node.cluster_id();
        let Ok(author) = identify(self.metadata.as_ref(), cluster, &self.node.auth()) else {
            let code = ErrorCode::InvalidAuthToken;
            let what = "the token is not worth anything any more";
            self.refuse(watch::ended(code, status::in_words(code), what));
            return;
        };
        match watch::keys(request, &self.limits) {
            Ok(keys) => self.watches.create(NodeWatch {
                author,
                keys,
                start: Revision(request.start_revision),
                id: request.watch_id,
                previous: request.prev_kv,
                no_put: watch::leaves_out(request, FilterType::Noput),
                no_delete: watch::leaves_out(request, FilterType::Nodelete),
                progress: request.progress_notify,
                fragment: request.fragment,
            }),
            Err(violation) => {
                let code = violation.code();
                self.refuse(watch::ended(code, status::text(code), violation));
            }
        }
    }

    /// Answers that a watch was not made.
    fn refuse(&mut self, refused: WatchResponse) {
        let revision = self.node.status().store.revision;
        self.ready.push_back(WatchResponse {
            header: Some(self.header(revision)),
            created: true,
            ..refused
        });
    }

    fn render(&mut self, delivery: Delivery) {
        let answer = match delivery {
            Delivery::Created { id, revision } => WatchResponse {
                header: Some(self.header(revision)),
                watch_id: id,
                created: true,
                ..WatchResponse::default()
            },
            Delivery::Refused { refusal, revision } => WatchResponse {
                header: Some(self.header(revision)),
                created: true,
                ..refused(refusal)
            },
            Delivery::Canceled {
                id,
                reason,
                revision,
            } => {
                // As in etcd: who lost history is told where it begins, and not where it ends.
                let revision = match reason {
                    CancelReason::Denied(_) | CancelReason::Requested => revision,
                    CancelReason::Compacted { .. } => Revision::default(),
                };
                WatchResponse {
                    header: Some(self.header(revision)),
                    watch_id: id,
                    ..canceled(reason)
                }
            }
            Delivery::Progress { id, revision } => WatchResponse {
                header: Some(self.header(revision)),
                watch_id: id.unwrap_or(watch::NO_WATCH),
                ..WatchResponse::default()
            },
            Delivery::Events {
                id,
                revision,
                events,
                previous,
                fragment,
            } => {
                let rendered = events.iter().map(|event| {
                    let replaced = event.previous().filter(|_| previous).cloned();
                    answer::event(event.record.clone(), replaced)
                });
                let whole = WatchResponse {
                    header: Some(self.header(revision)),
                    watch_id: id,
                    events: rendered.collect(),
                    ..WatchResponse::default()
                };
                if fragment {
                    let bytes_max = self.limits.request_bytes_max + MESSAGE_OVERHEAD_BYTES;
                    self.ready.extend(watch::cut(whole, bytes_max));
                    return;
                }
                whole
            }
        };
        self.ready.push_back(answer);
    }

    fn header(&self, revision: Revision) -> ResponseHeader {
        render::header(self.node.header(revision))
    }
}

/// The end of the requests: tonic refuses some itself, and those need a code.
fn with_code(made: Status) -> Status {
    translate(&made).unwrap_or(made)
}

/// A watch that was not made. etcd's clients read the words, ours the code.
fn refused(refusal: WatchRefusal) -> WatchResponse {
    let (code, reason) = match refusal {
        WatchRefusal::Denied(denied) => {
            let code = denied.code();
            return watch::ended(code, status::in_words(code), denied);
        }
        WatchRefusal::DuplicateId(_) => (ErrorCode::InvalidArgument, status::DUPLICATE_WATCH),
        WatchRefusal::EmptyRange => (ErrorCode::InvalidArgument, status::EMPTY_WATCH_RANGE),
        WatchRefusal::NegativeStart(_) => {
            (ErrorCode::Compacted, status::text(ErrorCode::Compacted))
        }
        WatchRefusal::TooMany { .. } => {
            (ErrorCode::Overloaded, status::text(ErrorCode::Overloaded))
        }
    };
    watch::ended(code, reason, refusal)
}

/// A watch that ended. etcd gives no words here: the revision says it.
fn canceled(reason: CancelReason) -> WatchResponse {
    match reason {
        CancelReason::Denied(denied) => {
            let code = denied.code();
            watch::ended(code, status::in_words(code), denied)
        }
        CancelReason::Requested => WatchResponse {
            canceled: true,
            ..WatchResponse::default()
        },
        CancelReason::Compacted { compacted } => {
            let what = format!("the history that the watch needs was dropped up to {compacted}");
            WatchResponse {
                compact_revision: compacted.0,
                ..watch::ended(ErrorCode::Compacted, "", what)
            }
        }
    }
}
