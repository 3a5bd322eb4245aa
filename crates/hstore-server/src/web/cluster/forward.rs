//! What is asked of a member through another one: the same call, by who asked, at the member's own
//! client port.
//!
//! Invariants: (1) only addresses of members are dialled; (2) the token of who asked goes along, and
//! nothing else of the request does: so the member decides; (3) every call has a deadline.

use std::time::Duration;

use hstore_core::error::ErrorCode;
use hstore_core::id::NodeId;
use hstore_proto::hstore::v1::node_client::NodeClient;
use hstore_proto::metadata;
use hstore_proto::status::{Origin, read};
use hyper::HeaderMap;
use tokio::time::timeout;
use tonic::metadata::{Ascii, MetadataValue};
use tonic::service::Interceptor;
use tonic::service::interceptor::InterceptedService;
use tonic::transport::{Channel, Endpoint};
use tonic::{Request, Response, Status};

use crate::web::ask::Ask;
use crate::web::problem::Problem;

/// How long a connection may take to be made.
const CONNECT: Duration = Duration::from_secs(2);

/// How long a member may think about a question that costs it nothing.
const ANSWER: Duration = Duration::from_secs(5);

/// The longest answer: the lines of a log.
const ANSWER_BYTES_MAX: usize = 4 * 1024 * 1024;

/// Who asked.
#[derive(Clone, Debug)]
pub(super) struct Ticket(Option<MetadataValue<Ascii>>);

impl Ticket {
    fn of(headers: &HeaderMap) -> Ticket {
        let token = headers.get(metadata::TOKEN);
        let token = token.or_else(|| headers.get(metadata::AUTHORIZATION));
        let token = token.and_then(|token| MetadataValue::try_from(token.as_bytes()).ok());
        Ticket(token.map(|mut token| {
            token.set_sensitive(true);
            token
        }))
    }
}

impl Interceptor for Ticket {
    fn call(&mut self, mut request: Request<()>) -> Result<Request<()>, Status> {
        if let Some(token) = &self.0 {
            let headers = request.metadata_mut();
            headers.insert(metadata::AUTHORIZATION, token.clone());
        }
        Ok(request)
    }
}

/// Another member.
pub(super) struct Other {
    address: String,
    pub(super) client: NodeClient<InterceptedService<Channel, Ticket>>,
}

/// The way to a member that is not this node; none when it is.
pub(super) async fn other(ask: &Ask, node: NodeId) -> Result<Option<Other>, Problem> {
    let status = ask.node().status();
    let members = &status.standing.membership.members;
    let Some(member) = members.get(&node) else {
        let what = format!("the cluster has no member {node}");
        return Err(Problem::new(ErrorCode::NodeNotFound, what));
    };
    if node == status.node {
        return Ok(None);
    }
    let address = member.client_address.clone();
    let target = Endpoint::from_shared(format!("http://{address}"))
        .map_err(|error| unreachable(&address, &error))?
        .connect_timeout(CONNECT)
        .tcp_nodelay(true);
    let channel = match timeout(CONNECT, target.connect()).await {
        Ok(Ok(channel)) => channel,
        Ok(Err(error)) => return Err(unreachable(&address, &error)),
        Err(_elapsed) => return Err(unreachable(&address, &NoAnswer)),
    };
    let ticket = Ticket::of(&ask.service.headers);
    let client = NodeClient::with_interceptor(channel, ticket);
    Ok(Some(Other {
        address,
        client: client.max_decoding_message_size(ANSWER_BYTES_MAX),
    }))
}

impl Other {
    /// What a call to the member came to.
    pub(super) async fn answer<T>(
        &self,
        call: impl Future<Output = Result<Response<T>, Status>>,
    ) -> Result<T, Problem> {
        match timeout(ANSWER, call).await {
            Ok(Ok(answer)) => Ok(answer.into_inner()),
            Ok(Err(status)) if read(&status).origin == Origin::Way => {
                Err(unreachable(&self.address, &status))
            }
            Ok(Err(status)) => Err(Problem::from(status)),
            Err(_elapsed) => Err(unreachable(&self.address, &NoAnswer)),
        }
    }
}

#[derive(Debug, thiserror::Error)]
#[error("no answer in time")]
struct NoAnswer;

fn unreachable(address: &str, error: &dyn std::error::Error) -> Problem {
    let mut cause = error;
    while let Some(next) = cause.source() {
        cause = next;
    }
    let what = format!("the member at {address} does not answer: {cause}");
    Problem::new(ErrorCode::Unreachable, what)
}
