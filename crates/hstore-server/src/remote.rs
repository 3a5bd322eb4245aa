//! Talking to the management services of a node, here or elsewhere.
//!
//! It knows the wire and turns every failure into a `Fault` that names the host. Invariants: (1)
//! every call has a deadline; (2) a host name stands for all of its addresses, the first that
//! answers is used.

use std::net::SocketAddr;
use std::time::Duration;

use hstore_core::error::ErrorCode;
use hstore_proto::etcdserverpb::auth_client::AuthClient;
use hstore_proto::hstore::v1::cluster_client::ClusterClient;
use hstore_proto::hstore::v1::node_client::NodeClient;
use hstore_proto::hstore::v1::settings_client::SettingsClient;
use hstore_proto::hstore::v1::{
    AddMemberProgress, AddMemberRequest, AllocateNodeRequest, AllocateNodeResponse,
    ChangeSettingsRequest, ClusterDescription, DescribeRequest, GetSettingsRequest,
    GetSettingsResponse, KillRequest, Member, NodeStatusRequest, NodeStatusResponse,
    RemoveMemberRequest, RestartRequest, StopRequest,
};
use hstore_proto::metadata;
use hstore_proto::status::{Origin, read};
use tokio::time::timeout;
use tonic::metadata::{Ascii, MetadataValue};
use tonic::service::Interceptor;
use tonic::service::interceptor::InterceptedService;
use tonic::transport::{Channel, Endpoint as Target};
use tonic::{Request, Status, Streaming};

use crate::fault::Fault;
use crate::manager;
use crate::ports::CLIENT_PORT;
use crate::settings::Endpoint;

/// How long a connection may take to be made.
const CONNECT: Duration = Duration::from_secs(2);

/// How long a node may think about a question that costs it nothing.
const ANSWER: Duration = Duration::from_secs(5);

/// How long a change of the settings may take, with the change of the membership that follows.
const CHANGE: Duration = Duration::from_secs(15);

/// A node that answers.
#[derive(Clone, Debug)]
pub(crate) struct Remote {
    /// As a person would type it.
    pub(crate) host: String,
    channel: Channel,
    ticket: Ticket,
}

/// The token that says who manages, where one is needed.
#[derive(Clone, Debug, Default)]
struct Ticket(Option<MetadataValue<Ascii>>);

impl Interceptor for Ticket {
    fn call(&mut self, mut request: Request<()>) -> Result<Request<()>, Status> {
        if let Some(token) = &self.0 {
            let headers = request.metadata_mut();
            headers.insert(metadata::TOKEN, token.clone());
        }
        Ok(request)
    }
}

impl Remote {
    /// Connects to `HOST` or `HOST:PORT`.
    pub(crate) async fn connect(host: &str) -> Result<Remote, Fault> {
        let addresses = addresses(host).await?;
        let mut last = None;
        for address in addresses {
            match Remote::connect_to(address).await {
                Ok(remote) => {
                    return Ok(Remote {
                        host: host.to_owned(),
                        ..remote
                    });
                }
                Err(fault) => last = Some(fault),
            }
        }
        Err(last.unwrap_or_else(|| unreachable_host(host, "the name stands for no address")))
    }

    /// Connects to one address.
    pub(crate) async fn connect_to(address: SocketAddr) -> Result<Remote, Fault> {
        let host = address.to_string();
        let target = Target::from_shared(format!("http://{address}"))
            .map_err(|error| unreachable_host(&host, &error.to_string()))?
            .connect_timeout(CONNECT)
            .tcp_nodelay(true)
            .user_agent(concat!("hstore-server/", env!("CARGO_PKG_VERSION")))
            .map_err(|error| unreachable_host(&host, &error.to_string()))?;
        match timeout(CONNECT, target.connect()).await {
            Ok(Ok(channel)) => {
                let ticket = Ticket::default();
                let remote = Remote {
                    host,
                    channel,
                    ticket,
                };
                remote.proved().await
            }
            Ok(Err(error)) => Err(unreachable_host(&host, &innermost(&error))),
            Err(_elapsed) => Err(unreachable_host(&host, "no answer in time")),
        }
    }

    /// The same with a token, where somebody is named and the node asks.
    async fn proved(mut self) -> Result<Remote, Fault> {
        let Some(request) = manager::proof() else {
            return Ok(self);
        };
        let mut client = AuthClient::new(self.channel.clone());
        match timeout(ANSWER, client.authenticate(request)).await {
            Ok(Ok(answer)) => {
                let token: Result<MetadataValue<Ascii>, _> = answer.into_inner().token.parse();
                if let Ok(mut token) = token {
                    token.set_sensitive(true);
                    self.ticket = Ticket(Some(token));
                }
                Ok(self)
            }
            // Whoever asks nobody, and whoever is too old to ask, needs no proof.
            Ok(Err(status)) => match read(&status).code {
                ErrorCode::AuthNotEnabled | ErrorCode::Unsupported => Ok(self),
                _ => Err(self.fault(&status)),
            },
            Err(_elapsed) => Err(self.late(ANSWER)),
        }
    }

    fn cluster(&self) -> ClusterClient<InterceptedService<Channel, Ticket>> {
        ClusterClient::with_interceptor(self.channel.clone(), self.ticket.clone())
    }

    fn settings_client(&self) -> SettingsClient<InterceptedService<Channel, Ticket>> {
        SettingsClient::with_interceptor(self.channel.clone(), self.ticket.clone())
    }

    fn node(&self) -> NodeClient<InterceptedService<Channel, Ticket>> {
        NodeClient::with_interceptor(self.channel.clone(), self.ticket.clone())
    }

    /// The cluster as the node sees it.
    pub(crate) async fn describe(&self) -> Result<ClusterDescription, Fault> {
        let mut stream = self.ask(ANSWER, self.describe_stream(false)).await?;
        let next = timeout(ANSWER, stream.message()).await;
        match next {
            Ok(Ok(Some(description))) => Ok(description),
            Ok(Ok(None)) => Err(unreachable_host(&self.host, "it ended the answer")),
            Ok(Err(status)) => Err(self.fault(&status)),
            Err(_elapsed) => Err(self.late(ANSWER)),
        }
    }

    /// The cluster as the node sees it, again at every change.
    pub(crate) async fn watch(&self) -> Result<Streaming<ClusterDescription>, Fault> {
        self.ask(ANSWER, self.describe_stream(true)).await
    }

    async fn describe_stream(&self, watch: bool) -> Result<Streaming<ClusterDescription>, Status> {
        let mut client = self.cluster();
        let answer = client
            .describe(DescribeRequest {
                watch,
                ..DescribeRequest::default()
            })
            .await?;
        Ok(answer.into_inner())
    }

    /// Everything about the node.
    pub(crate) async fn status(&self) -> Result<NodeStatusResponse, Fault> {
        let mut client = self.node();
        let call = client.status(NodeStatusRequest {});
        Ok(self.ask(ANSWER, call).await?.into_inner())
    }

    /// Gives a data folder its node id.
    pub(crate) async fn allocate(
        &self,
        incarnation: u64,
        name: &str,
        cluster: &str,
        peer_address: &str,
        at_most: Duration,
    ) -> Result<AllocateNodeResponse, Fault> {
        let mut client = self.cluster();
        let request = AllocateNodeRequest {
            incarnation,
            name: name.to_owned(),
            cluster_name: cluster.to_owned(),
            peer_address: peer_address.to_owned(),
        };
        let call = client.allocate_node(within(request, at_most));
        Ok(self.ask(at_most, call).await?.into_inner())
    }

    /// Brings a node into the cluster.
    pub(crate) async fn add_member(
        &self,
        member: Member,
    ) -> Result<Streaming<AddMemberProgress>, Fault> {
        let mut client = self.cluster();
        let request = AddMemberRequest {
            member: Some(member),
        };
        Ok(self
            .ask(ANSWER, client.add_member(request))
            .await?
            .into_inner())
    }

    /// Takes a node out of the cluster.
    pub(crate) async fn remove_member(&self, node: u64, at_most: Duration) -> Result<(), Fault> {
        let mut client = self.cluster();
        let request = RemoveMemberRequest { node_id: node };
        let call = client.remove_member(within(request, at_most));
        self.ask(at_most, call).await.map(|_done| ())
    }

    /// What is set in the cluster, and what holds at the node.
    pub(crate) async fn settings(&self) -> Result<GetSettingsResponse, Fault> {
        let mut client = self.settings_client();
        // What is set is told by a cluster without a majority, too.
        let asked = client.get(GetSettingsRequest { serializable: true });
        Ok(self.ask(ANSWER, asked).await?.into_inner())
    }

    /// Changes settings; their version then.
    pub(crate) async fn change_settings(
        &self,
        request: ChangeSettingsRequest,
    ) -> Result<u64, Fault> {
        let mut client = self.settings_client();
        let call = client.change(within(request, CHANGE));
        Ok(self.ask(CHANGE, call).await?.into_inner().version)
    }

    /// Ends the node.
    pub(crate) async fn stop(&self) -> Result<(), Fault> {
        let mut client = self.node();
        let call = client.stop(StopRequest { graceful: true });
        self.ask(ANSWER, call).await.map(|_done| ())
    }

    /// Ends the node at once. The connection usually breaks before the answer.
    pub(crate) async fn kill(&self) -> Result<(), Fault> {
        let mut client = self.node();
        match timeout(ANSWER, client.kill(KillRequest {})).await {
            Ok(Ok(_answer)) => Ok(()),
            Ok(Err(status)) if read(&status).origin == Origin::Way => Ok(()),
            Ok(Err(status)) => Err(self.fault(&status)),
            Err(_elapsed) => Err(self.late(ANSWER)),
        }
    }

    /// Ends the node and starts it again.
    pub(crate) async fn restart(&self) -> Result<(), Fault> {
        let mut client = self.node();
        let call = client.restart(RestartRequest {});
        self.ask(ANSWER, call).await.map(|_done| ())
    }

    async fn ask<T>(
        &self,
        at_most: Duration,
        call: impl Future<Output = Result<T, Status>>,
    ) -> Result<T, Fault> {
        match timeout(at_most, call).await {
            Ok(Ok(answer)) => Ok(answer),
            Ok(Err(status)) => Err(self.fault(&status)),
            Err(_elapsed) => Err(self.late(at_most)),
        }
    }

    /// What a status that the node sent means.
    pub(crate) fn fault(&self, status: &Status) -> Fault {
        let failure = read(status);
        if failure.origin == Origin::Way {
            if failure.code == ErrorCode::Unsupported {
                return Fault::new(
                    ErrorCode::Unsupported,
                    format!("{} answers, but it is no node of hstore", self.host),
                )
                .hint("check the address; nodes are named by their client address");
            }
            return unreachable_host(&self.host, &innermost(status));
        }
        // The detail is "what happened. what to do."
        let (what, advice) = match failure.detail.rsplit_once(". ") {
            Some((what, advice)) => (what.to_owned(), Some(advice.to_owned())),
            None => (failure.detail, None),
        };
        let fault = Fault::new(failure.code, format!("{}: {what}", self.host));
        match advice {
            Some(advice) => fault.hint(advice),
            None => fault,
        }
    }

    fn late(&self, waited: Duration) -> Fault {
        Fault::new(
            ErrorCode::Timeout,
            format!(
                "{} did not answer within {}",
                self.host,
                crate::screen::duration(waited)
            ),
        )
    }
}

/// A request that tells the other side how long the answer is waited for.
fn within<T>(message: T, at_most: Duration) -> Request<T> {
    let mut request = Request::new(message);
    request.set_timeout(at_most);
    request
}

/// Every address of `HOST` or `HOST:PORT`.
pub(crate) async fn addresses(host: &str) -> Result<Vec<SocketAddr>, Fault> {
    let Some(endpoint) = Endpoint::parse(host) else {
        return Err(Fault::new(
            ErrorCode::InvalidArgument,
            format!("\"{host}\" is not HOST or HOST:PORT"),
        ));
    };
    let port = endpoint.port.unwrap_or(CLIENT_PORT);
    let found = timeout(
        CONNECT,
        tokio::net::lookup_host((endpoint.host.as_str(), port)),
    )
    .await;
    match found {
        Ok(Ok(addresses)) => {
            let mut addresses: Vec<SocketAddr> = addresses.collect();
            addresses.sort_by_key(SocketAddr::is_ipv6);
            addresses.dedup();
            Ok(addresses)
        }
        Ok(Err(error)) => Err(unreachable_host(host, &error.to_string())),
        Err(_elapsed) => Err(unreachable_host(
            host,
            "its name cannot be looked up in time",
        )),
    }
}

fn unreachable_host(host: &str, reason: &str) -> Fault {
    Fault::new(
        ErrorCode::Unreachable,
        format!("no node of hstore answers at {host}: {reason}"),
    )
    .hint("check that the node runs and that the address is its client address")
}

/// The innermost cause, which says what happened; the outer ones say where.
fn innermost(error: &dyn std::error::Error) -> String {
    let mut cause = error;
    while let Some(next) = cause.source() {
        cause = next;
    }
    cause.to_string()
}
