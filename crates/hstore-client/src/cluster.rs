//! What a program asks about the cluster and its nodes.

use futures::Stream;
use hstore_proto::hstore::v1::cluster_client::ClusterClient;
use hstore_proto::hstore::v1::node_client::NodeClient;
use hstore_proto::hstore::v1::{
    ClusterDescription, DescribeRequest, ExamineRequest, ExamineResponse, NodeStatusRequest,
    NodeStatusResponse,
};
use tonic::{Request, Status};

use crate::address::Address;
use crate::call::Kind;
use crate::client::Client;
use crate::error::Error;
use crate::fault::Fault;

impl Client {
    /// Every member and how it is doing, as a node sees it, unreachable members included.
    pub async fn describe(&self) -> Result<ClusterDescription, Error> {
        self.description(DescribeRequest::default()).await
    }

    /// The same with how each member works.
    pub async fn describe_with_vitals(&self) -> Result<ClusterDescription, Error> {
        let request = DescribeRequest {
            vitals: true,
            ..DescribeRequest::default()
        };
        self.description(request).await
    }

    async fn description(&self, request: DescribeRequest) -> Result<ClusterDescription, Error> {
        let send = |channel, request| async move {
            let mut answers = ClusterClient::new(channel).describe(request).await?;
            let first = answers.get_mut().message().await?;
            first
                .map(tonic::Response::new)
                .ok_or_else(|| Status::unavailable("no description came"))
        };
        Ok(self
            .shared
            .call(Kind::Read, self.patience(), request, send)
            .await?
            .0)
    }

    /// The same again at every change, from one node, until the connection ends.
    pub async fn describe_changes(
        &self,
    ) -> Result<impl Stream<Item = Result<ClusterDescription, Error>> + Unpin + use<>, Error> {
        self.changes(false).await
    }

    /// The same with how each member works, which changes once a second.
    pub async fn vitals_changes(
        &self,
    ) -> Result<impl Stream<Item = Result<ClusterDescription, Error>> + Unpin + use<>, Error> {
        self.changes(true).await
    }

    async fn changes(
        &self,
        vitals: bool,
    ) -> Result<impl Stream<Item = Result<ClusterDescription, Error>> + Unpin + use<>, Error> {
        let request = DescribeRequest {
            watch: true,
            vitals,
        };
        let send = |channel, request: Request<DescribeRequest>| async move {
            ClusterClient::new(channel)
                .describe(without_deadline(request))
                .await
        };
        let (answers, _) = self
            .shared
            .call(Kind::Read, self.patience(), request, send)
            .await?;
        Ok(futures::StreamExt::map(answers, |item| {
            item.map_err(|status| refused(&status))
        }))
    }

    /// Everything worth knowing about the node that answers, and where it is.
    pub async fn status(&self) -> Result<(NodeStatusResponse, Address), Error> {
        let send = |channel, request| async move { NodeClient::new(channel).status(request).await };
        self.shared
            .call(Kind::Read, self.patience(), NodeStatusRequest {}, send)
            .await
    }

    /// What the node that answers finds at its machine, and at its disk where that is asked for. Use
    /// a client of one node ([`Client::only`]).
    pub async fn examine(&self, disk: bool) -> Result<ExamineResponse, Error> {
        let send =
            |channel, request| async move { NodeClient::new(channel).examine(request).await };
        let examined = self
            .shared
            .call(Kind::Read, self.patience(), ExamineRequest { disk }, send);
        Ok(examined.await?.0)
    }
}

/// The request with everything but its deadline, which would end the stream that it begins.
pub(crate) fn without_deadline<T>(request: Request<T>) -> Request<T> {
    let (mut headers, extensions, message) = request.into_parts();
    headers.remove("grpc-timeout");
    Request::from_parts(headers, extensions, message)
}

fn refused(status: &Status) -> Error {
    let fault = Fault::of(status);
    Error::Refused {
        code: fault.code,
        message: fault.message,
    }
}
