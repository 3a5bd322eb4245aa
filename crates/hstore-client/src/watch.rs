//! A watch that outlives its node: when a stream is lost it goes on at another node, right behind
//! the last revision that it told.
//!
//! Invariants: (1) what is told are whole revisions in order, each once, whatever nodes do; (2) a
//! watch that cannot go on without a gap ends with an error that says from where it could; (3) a
//! call of `next` that is dropped loses nothing.

use std::time::Duration;

use futures::StreamExt;
use futures::stream;
use hstore_core::error::ErrorCode;
use hstore_core::id::Revision;
use hstore_core::key::KeyRange;
use hstore_proto::convert::keys;
use hstore_proto::etcdserverpb::watch_client::WatchClient;
use hstore_proto::etcdserverpb::watch_create_request::FilterType;
use hstore_proto::etcdserverpb::watch_request::RequestUnion;
use hstore_proto::etcdserverpb::{WatchCreateRequest, WatchRequest, WatchResponse};
use hstore_proto::mvccpb::{self, event::EventType};
use hstore_proto::{metadata, status};
use tokio::time::sleep;
use tonic::metadata::MetadataValue;
use tonic::transport::Channel;
use tonic::{Request, Response, Status, Streaming};

use crate::address::Address;
use crate::call::{Kind, Patience};
use crate::client::{ANSWER_BYTES_MAX, Client, revision};
use crate::cluster::without_deadline;
use crate::error::Error;
use crate::fault::Fault;
use crate::kv::KeyValue;

/// The pause before the second stream in a row that brought nothing, and the longest.
const PAUSE_FIRST: Duration = Duration::from_millis(10);
const PAUSE_LONGEST: Duration = Duration::from_millis(400);

/// One thing that happened to one key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    /// The key as it is now; when it was deleted, its name and the revision alone.
    pub pair: KeyValue,
    /// Whether the key was deleted.
    pub deleted: bool,
    /// What the change replaced, if that was asked for; none when it created the key, and when
    /// compaction took it.
    pub previous: Option<KeyValue>,
}

/// What happened, in whole revisions.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Batch {
    /// Everything up to this revision is told with this.
    pub revision: Revision,
    /// The changes, in order; at least one.
    pub changes: Vec<Change>,
}

/// A watch that is yet to begin.
#[derive(Clone)]
pub struct WatchOptions {
    client: Client,
    request: WatchCreateRequest,
}

impl Client {
    /// A watch of the keys of a range. It begins with the next change unless `from` says otherwise.
    ///
    /// ```no_run
    /// # async fn example(client: hstore_client::Client) -> Result<(), hstore_client::Error> {
    /// use hstore_client::KeyRange;
    ///
    /// let mut watch = client.watch(KeyRange::prefix(&"app/".into())).begin();
    /// loop {
    ///     let batch = watch.next().await?;
    ///     println!("{} changes up to {}", batch.changes.len(), batch.revision);
    /// }
    /// # }
    /// ```
    pub fn watch(&self, keys: KeyRange) -> WatchOptions {
        let (key, range_end) = keys::to_wire(keys);
        WatchOptions {
            client: self.clone(),
            request: WatchCreateRequest {
                key,
                range_end,
                // Keeps the place from which a quiet watch goes on out of compaction's reach.
                progress_notify: true,
                fragment: true,
                ..WatchCreateRequest::default()
            },
        }
    }
}

impl WatchOptions {
    /// Begins with what happened at this revision; 0 is the next change.
    #[must_use]
    pub fn from(mut self, revision: Revision) -> WatchOptions {
        self.request.start_revision = revision.0;
        self
    }

    /// Says with each change what it replaced.
    #[must_use]
    pub fn previous(mut self) -> WatchOptions {
        self.request.prev_kv = true;
        self
    }

    /// Leaves writes out.
    #[must_use]
    pub fn without_writes(mut self) -> WatchOptions {
        self.request.filters.push(FilterType::Noput.into());
        self
    }

    /// Leaves deletions out.
    #[must_use]
    pub fn without_deletions(mut self) -> WatchOptions {
        self.request.filters.push(FilterType::Nodelete.into());
        self
    }

    /// The watch. It is made at a node when it is first asked for something.
    pub fn begin(self) -> Watch {
        let patience = self.client.patience();
        Watch {
            client: self.client,
            request: self.request,
            patience,
            stream: None,
            changes: Vec::new(),
            losses: 0,
        }
    }
}

/// A watch.
pub struct Watch {
    client: Client,
    /// What to ask for: its start is always the next revision to be told.
    request: WatchCreateRequest,
    patience: Patience,
    stream: Option<(Address, Streaming<WatchResponse>)>,
    /// Changes of a revision that has not come whole.
    changes: Vec<Change>,
    /// How many streams in a row brought nothing.
    losses: u32,
}

impl Watch {
    /// The same watch that looks for a node for so long, each time it has none, before it gives
    /// up; otherwise it is as patient as a call of its client.
    #[must_use]
    pub fn patient_for(mut self, time: Duration) -> Watch {
        self.patience = Patience {
            timeout: time,
            unreachable: time,
        };
        self
    }

    /// Makes the watch at a node, if that is not done: changes after it are told for certain.
    /// Answers the first revision that has not been told.
    pub async fn ready(&mut self) -> Result<Revision, Error> {
        if self.stream.is_none() {
            self.open().await?;
        }
        Ok(Revision(self.request.start_revision))
    }

    /// What happens next; waits for it, and goes to another node when one is lost.
    pub async fn next(&mut self) -> Result<Batch, Error> {
        loop {
            if self.stream.is_none() {
                self.open().await?;
            }
            let Some((address, stream)) = &mut self.stream else {
                continue;
            };
            let answer = match stream.message().await {
                Ok(Some(answer)) => answer,
                Ok(None) => {
                    let address = address.clone();
                    self.lost(&address).await;
                    continue;
                }
                Err(status) => {
                    let address = address.clone();
                    let fault = Fault::of(&status);
                    tracing::debug!(%address, message = fault.message, "a watch lost its node");
                    if !fault.may_pass() {
                        self.stream = None;
                        return Err(refused(fault));
                    }
                    self.lost(&address).await;
                    continue;
                }
            };
            if let Some(batch) = self.take(answer)? {
                return Ok(batch);
            }
        }
    }

    /// Takes in an answer; a batch, if one is complete.
    fn take(&mut self, answer: WatchResponse) -> Result<Option<Batch>, Error> {
        self.losses = 0;
        if answer.canceled {
            self.stream = None;
            self.changes.clear();
            return Err(match answer.compact_revision {
                0 => refused(Fault::of(&refusal(&answer))),
                compacted => Error::Compacted {
                    compacted: Revision(compacted),
                },
            });
        }
        let told = revision(answer.header.as_ref())?;
        for event in answer.events {
            self.changes.push(change(event)?);
        }
        if answer.fragment {
            return Ok(None);
        }
        // How far the watch is, says the header; never less than what was just told.
        let newest = self.changes.last().map(|change| change.pair.mod_revision);
        let told = told.max(newest.unwrap_or(told));
        self.request.start_revision = self.request.start_revision.max(told.0 + 1);
        if self.changes.is_empty() {
            return Ok(None);
        }
        Ok(Some(Batch {
            revision: told,
            changes: std::mem::take(&mut self.changes),
        }))
    }

    /// The stream is gone: what came of an unfinished revision comes again, from another node.
    async fn lost(&mut self, address: &Address) {
        self.stream = None;
        self.changes.clear();
        self.client.shared.pool().leave(address);
        if self.losses > 0 {
            let pause = PAUSE_FIRST.saturating_mul(1 << self.losses.min(8));
            sleep(pause.min(PAUSE_LONGEST)).await;
        }
        self.losses += 1;
    }

    /// Makes the watch at whichever node answers.
    async fn open(&mut self) -> Result<(), Error> {
        self.changes.clear();
        let request = self.request.clone();
        let send = open;
        let (opened, address) = self
            .client
            .shared
            .call(Kind::Read, self.patience, request, send)
            .await?;
        let at = revision(opened.created.header.as_ref())?;
        if self.request.start_revision == 0 {
            self.request.start_revision = at.0 + 1;
        }
        self.stream = Some((address, opened.stream));
        Ok(())
    }
}

/// A stream of one watch, and the answer that it began with.
struct Opened {
    created: WatchResponse,
    stream: Streaming<WatchResponse>,
}

/// Opens a stream and waits until its watch is made. The deadline of the call ends with that, and
/// must not end the stream: it is not sent.
async fn open(
    channel: Channel,
    request: Request<WatchCreateRequest>,
) -> Result<Response<Opened>, Status> {
    let (headers, extensions, create) = without_deadline(request).into_parts();
    let create = WatchRequest {
        request_union: Some(RequestUnion::CreateRequest(create)),
    };
    // The other half stays open: its end would end the stream.
    let requests = stream::iter([create]).chain(stream::pending());
    let mut request = Request::from_parts(headers, extensions, requests);
    request
        .metadata_mut()
        .insert(metadata::HAS_LEADER, MetadataValue::from_static("true"));
    let mut stream = WatchClient::new(channel)
        .max_decoding_message_size(ANSWER_BYTES_MAX)
        .watch(request)
        .await?
        .into_inner();
    match stream.message().await? {
        Some(answer) if answer.created && answer.canceled => Err(refusal(&answer)),
        Some(created) if created.created => Ok(Response::new(Opened { created, stream })),
        Some(_other) => Err(status::failure(
            ErrorCode::Internal,
            "a watch began with another answer than that it was made",
        )),
        None => Err(Status::unavailable("the stream ended before it began")),
    }
}

/// The refusal in an answer, as a call would have got it.
fn refusal(answer: &WatchResponse) -> Status {
    match status::code_of(&answer.code) {
        Some(code) => status::failure(code, &answer.detail),
        // A node of etcd's gives words alone.
        None => Status::failed_precondition(answer.cancel_reason.clone()),
    }
}

fn refused(fault: Fault) -> Error {
    Error::Refused {
        code: fault.code,
        message: fault.message,
    }
}

fn change(event: mvccpb::Event) -> Result<Change, Error> {
    let deleted = event.r#type() == EventType::Delete;
    let pair = event.kv.map(KeyValue::from).ok_or(Error::Nonsense {
        what: "an event without a key",
    })?;
    Ok(Change {
        pair,
        deleted,
        previous: event.prev_kv.map(KeyValue::from),
    })
}
