//! etcd's Cluster service.
//!
//! A member that was added and did not start yet is an id that is kept for whoever starts at its
//! peer address: it counts for no quorum, and it has no name.

use std::time::Duration;

use hstore_core::error::ErrorCode;
use hstore_core::id::NodeId;
use hstore_node::{Node, NodeError};
use hstore_proto::etcdserverpb::cluster_server::Cluster;
use hstore_proto::etcdserverpb::{
    Member, MemberAddRequest, MemberAddResponse, MemberListRequest, MemberListResponse,
    MemberPromoteRequest, MemberPromoteResponse, MemberRemoveRequest, MemberRemoveResponse,
    MemberUpdateRequest, MemberUpdateResponse, ResponseHeader,
};
use hstore_proto::status;
use tokio::time::Instant;
use tonic::{Code, Request, Response, Status};

use super::auth::check_root_now;
use super::call::{Call, TIMEOUT_DEFAULT, node_error};
use super::render;

/// etcd's words for addresses that are none.
const BAD_URLS: &str = "etcdserver: given member URLs are invalid";

/// How long a node waits for its own view of a change that is done.
const VIEW_MAX: Duration = Duration::from_secs(1);

/// etcd's Cluster service over a node.
#[derive(Clone, Debug)]
pub(super) struct MembersDoor {
    pub(super) node: Node,
}

impl MembersDoor {
    fn call<T>(&self, request: &Request<T>) -> Result<Call, Status> {
        Call::read(request.metadata(), &self.node, TIMEOUT_DEFAULT)
    }

    fn header(&self) -> ResponseHeader {
        render::header_without_revision(&self.node.status())
    }

    /// Every member, those that did not start yet too.
    fn members(&self) -> Vec<Member> {
        let membership = self.node.status().standing.membership;
        let started = membership.members.iter().map(|(node, member)| Member {
            id: node.0,
            name: member.name.clone(),
            peer_ur_ls: vec![url(&member.peer_address)],
            client_ur_ls: vec![url(&member.client_address)],
            is_learner: !membership.is_voter(*node),
        });
        let notices = self.node.notices();
        let expected = notices.expected.iter().map(|(node, kept)| Member {
            id: node.0,
            name: String::new(),
            peer_ur_ls: vec![url(&kept.peer_address)],
            client_ur_ls: Vec::new(),
            is_learner: kept.learner,
        });
        let mut members: Vec<Member> = started.chain(expected).collect();
        members.sort_by_key(|member| member.id);
        members
    }

    /// Whether a member has this id, one that did not start yet included.
    fn is_known(&self, node: NodeId) -> bool {
        let membership = self.node.status().standing.membership;
        membership.members.contains_key(&node) || self.node.notices().expected.contains_key(&node)
    }

    /// The members once this node has seen the change that it was asked for. The change is done
    /// whatever comes of that: this very node may have been removed.
    async fn members_after(&self, call: Call) -> Vec<Member> {
        let deadline = call.deadline.min(Instant::now() + VIEW_MAX);
        if let Err(error) = self.node.caught_up(deadline).await {
            tracing::debug!("the list of members may be behind: {error}");
        }
        self.members()
    }
}

#[tonic::async_trait]
impl Cluster for MembersDoor {
    async fn member_add(
        &self,
        request: Request<MemberAddRequest>,
    ) -> Result<Response<MemberAddResponse>, Status> {
        let call = self.call(&request)?;
        let request = request.into_inner();
        let peer_address = peer_address(&request.peer_ur_ls)?;
        let node = self
            .node
            .expect_member(
                &call.author,
                peer_address.clone(),
                request.is_learner,
                call.deadline,
            )
            .await
            .map_err(|error| node_error(&error))?;
        let member = Member {
            id: node.0,
            peer_ur_ls: vec![url(&peer_address)],
            is_learner: request.is_learner,
            ..Member::default()
        };
        Ok(Response::new(MemberAddResponse {
            members: self.members_after(call).await,
            header: Some(self.header()),
            member: Some(member),
        }))
    }

    async fn member_remove(
        &self,
        request: Request<MemberRemoveRequest>,
    ) -> Result<Response<MemberRemoveResponse>, Status> {
        let call = self.call(&request)?;
        let node = NodeId(request.into_inner().id);
        check_root_now(&self.node, &call.author, call.deadline).await?;
        self.node
            .remove_member(node, call.deadline)
            .await
            .map_err(|error| node_error(&error))?;
        let mut members = self.members_after(call).await;
        members.retain(|member| member.id != node.0);
        Ok(Response::new(MemberRemoveResponse {
            header: Some(self.header()),
            members,
        }))
    }

    async fn member_update(
        &self,
        request: Request<MemberUpdateRequest>,
    ) -> Result<Response<MemberUpdateResponse>, Status> {
        let call = self.call(&request)?;
        let request = request.into_inner();
        let node = NodeId(request.id);
        check_root_now(&self.node, &call.author, call.deadline).await?;
        // As in etcd, who is not there is said before anything about addresses.
        if !self.is_known(node) {
            return Err(node_error(&NodeError::MemberNotFound(node)));
        }
        let peer_address = peer_address(&request.peer_ur_ls)?;
        self.node
            .update_member(&call.author, node, peer_address, call.deadline)
            .await
            .map_err(|error| node_error(&error))?;
        Ok(Response::new(MemberUpdateResponse {
            members: self.members_after(call).await,
            header: Some(self.header()),
        }))
    }

    async fn member_list(
        &self,
        request: Request<MemberListRequest>,
    ) -> Result<Response<MemberListResponse>, Status> {
        let call = self.call(&request)?;
        if request.into_inner().linearizable {
            self.node
                .caught_up(call.deadline)
                .await
                .map_err(|error| node_error(&error))?;
        }
        Ok(Response::new(MemberListResponse {
            header: Some(self.header()),
            members: self.members(),
        }))
    }

    async fn member_promote(
        &self,
        request: Request<MemberPromoteRequest>,
    ) -> Result<Response<MemberPromoteResponse>, Status> {
        let call = self.call(&request)?;
        check_root_now(&self.node, &call.author, call.deadline).await?;
        self.node
            .promote_member(NodeId(request.into_inner().id), call.deadline)
            .await
            .map_err(|error| node_error(&error))?;
        Ok(Response::new(MemberPromoteResponse {
            members: self.members_after(call).await,
            header: Some(self.header()),
        }))
    }
}

/// An address as etcd's clients read it.
fn url(address: &str) -> String {
    format!("http://{address}")
}

/// The one address in a list of URLs: a member has exactly one here.
fn peer_address(urls: &[String]) -> Result<String, Status> {
    let refuse = |what: &str| status::failure_as(ErrorCode::InvalidArgument, BAD, BAD_URLS, what);
    let [url] = urls else {
        return Err(refuse("a member has exactly one peer address"));
    };
    let address = url
        .strip_prefix("http://")
        .or_else(|| url.strip_prefix("https://"))
        .ok_or_else(|| refuse("a peer URL begins with http:// or https://"))?;
    let has_port = address.rsplit_once(':').is_some_and(|(host, port)| {
        !host.is_empty() && port.parse::<u16>().is_ok_and(|port| port != 0)
    });
    let is_plain = address
        .bytes()
        .all(|byte| byte.is_ascii_alphanumeric() || b".-_:[]%".contains(&byte));
    if !has_port || !is_plain {
        return Err(refuse("a peer URL is a host and a port, without a path"));
    }
    Ok(address.to_ascii_lowercase())
}

/// How etcd refuses addresses that are none.
const BAD: Code = Code::InvalidArgument;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_member_has_one_peer_address_with_a_port_and_no_path() {
        let one = |url: &str| peer_address(&[url.to_owned()]);
        let good = [
            ("http://127.0.0.1:2380", "127.0.0.1:2380"),
            ("https://Host.example:1", "host.example:1"),
            ("http://[::1]:2380", "[::1]:2380"),
        ];
        for (url, address) in good {
            assert_eq!(one(url).unwrap(), address);
        }
        let bad = [
            "",
            "127.0.0.1:2380",
            "http://127.0.0.1",
            "http://:2380",
            "http://a:0",
            "http://a:70000",
            "http://a:1/",
            "http://a:1/path",
            "ftp://a:1",
            "http://a b:1",
        ];
        for url in bad {
            let refused = one(url).unwrap_err();
            assert_eq!(refused.code(), Code::InvalidArgument, "{url}");
            assert_eq!(refused.message(), BAD_URLS, "{url}");
        }
        assert!(peer_address(&[]).is_err());
        let two = ["http://a:1".to_owned(), "http://b:1".to_owned()];
        assert!(peer_address(&two).is_err());
    }
}
