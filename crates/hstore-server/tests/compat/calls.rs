//! Calls and streams over one connection.
//!
//! Invariant: nothing waits for ever: a call and each wait for a message have a deadline, and running
//! into it is an answer that is compared like any other.

use std::str::FromStr as _;
use std::time::Duration;

use prost_reflect::{DynamicMessage, MethodDescriptor};
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::client::Grpc;
use tonic::codegen::http::uri::PathAndQuery;
use tonic::metadata::{AsciiMetadataKey, AsciiMetadataValue};
use tonic::transport::Channel;
use tonic::{Request, Status};

use super::wire::DynamicCodec;

/// How long an answer may take.
const SOON: Duration = Duration::from_secs(8);

/// How long nothing must come for a stream to be quiet.
const QUIET: Duration = Duration::from_millis(250);

/// How many requests of a stream may wait.
const REQUESTS_MAX: usize = 64;

/// Name and value.
pub(super) type Metadata = [(String, String)];

/// Calls a method that has one answer.
pub(super) async fn unary(
    channel: &Channel,
    method: &MethodDescriptor,
    metadata: &Metadata,
    message: DynamicMessage,
) -> Result<DynamicMessage, Status> {
    let mut client = client(channel).await?;
    let call = client.unary(request(message, metadata), path(method), codec(method));
    match tokio::time::timeout(SOON, call).await {
        Ok(answer) => answer.map(tonic::Response::into_inner),
        Err(_) => Err(Status::cancelled("no answer in time")),
    }
}

/// A stream, in both directions.
pub(super) struct Stream {
    requests: Option<mpsc::Sender<DynamicMessage>>,
    answers: mpsc::UnboundedReceiver<Result<DynamicMessage, Status>>,
    pub(super) method: MethodDescriptor,
}

/// What comes next on a stream.
pub(super) enum Next {
    Message(DynamicMessage),
    End,
    Failed(Status),
    Nothing,
}

impl Stream {
    /// Opens it. What the server says is read all the time, since some say nothing before they have
    /// something to say.
    pub(super) fn open(channel: &Channel, method: MethodDescriptor, metadata: &Metadata) -> Stream {
        let (requests, asked) = mpsc::channel(REQUESTS_MAX);
        let (told, answers) = mpsc::unbounded_channel();
        let channel = channel.clone();
        let request = request(ReceiverStream::new(asked), metadata);
        let (path, codec) = (path(&method), codec(&method));
        tokio::spawn(async move {
            let end = async {
                let mut client = client(&channel).await?;
                let mut stream = client.streaming(request, path, codec).await?.into_inner();
                while let Some(message) = stream.message().await? {
                    if told.send(Ok(message)).is_err() {
                        return Ok(());
                    }
                }
                Ok(())
            };
            if let Err(status) = end.await {
                // Nobody listens any more when the case is over.
                let _over = told.send(Err(status));
            }
        });
        Stream {
            requests: Some(requests),
            answers,
            method,
        }
    }

    pub(super) async fn send(&mut self, message: DynamicMessage) {
        if let Some(requests) = &self.requests {
            // A stream that the server has ended takes no more; the next read tells.
            let _ended = requests.send(message).await;
        }
    }

    pub(super) fn send_no_more(&mut self) {
        self.requests = None;
    }

    pub(super) async fn next(&mut self) -> Next {
        self.next_within(SOON).await
    }

    pub(super) async fn next_if_any(&mut self) -> Next {
        self.next_within(QUIET).await
    }

    async fn next_within(&mut self, time: Duration) -> Next {
        match tokio::time::timeout(time, self.answers.recv()).await {
            Ok(Some(Ok(message))) => Next::Message(message),
            Ok(Some(Err(status))) => Next::Failed(status),
            Ok(None) => Next::End,
            Err(_) => Next::Nothing,
        }
    }
}

async fn client(channel: &Channel) -> Result<Grpc<Channel>, Status> {
    let mut client = Grpc::new(channel.clone())
        .max_decoding_message_size(usize::MAX)
        .max_encoding_message_size(usize::MAX);
    client
        .ready()
        .await
        .map_err(|error| Status::unknown(error.to_string()))?;
    Ok(client)
}

fn request<T>(message: T, metadata: &Metadata) -> Request<T> {
    let mut request = Request::new(message);
    for (name, value) in metadata {
        let name = AsciiMetadataKey::from_str(name).expect("the name of metadata is valid");
        let value = AsciiMetadataValue::from_str(value).expect("the value of metadata is valid");
        request.metadata_mut().insert(name, value);
    }
    request
}

fn path(method: &MethodDescriptor) -> PathAndQuery {
    let service = method.parent_service().full_name();
    PathAndQuery::from_str(&format!("/{service}/{}", method.name()))
        .expect("names of methods make a path")
}

fn codec(method: &MethodDescriptor) -> DynamicCodec {
    DynamicCodec {
        output: method.output(),
    }
}
