//! What an operator asks of a cluster: members, alarms, hashes, who leads.

use hstore_core::error::ErrorCode;
use hstore_core::id::Revision;
use hstore_proto::etcdserverpb::alarm_request::AlarmAction;
use hstore_proto::etcdserverpb::cluster_client::ClusterClient as EtcdClusterClient;
use hstore_proto::etcdserverpb::maintenance_client::MaintenanceClient;
use hstore_proto::etcdserverpb::{
    AlarmMember, AlarmRequest, CompactionRequest, HashKvRequest, HashKvResponse, Member,
    MemberAddRequest, MemberListRequest, MemberPromoteRequest, MemberRemoveRequest,
    MemberUpdateRequest, kv_client::KvClient,
};
use hstore_proto::hstore::v1::TransferLeaderRequest;
use hstore_proto::hstore::v1::cluster_client::ClusterClient;
use tonic::transport::Channel;

use crate::call::Kind;
use crate::client::{Client, revision};
use crate::error::Error;

impl Client {
    /// Every member, those that were added and did not start yet too.
    pub async fn members(&self) -> Result<Vec<Member>, Error> {
        let request = MemberListRequest { linearizable: true };
        let send = |channel, request| async move { members(channel).member_list(request).await };
        let listed = self.shared.call(Kind::Read, self.patience(), request, send);
        Ok(listed.await?.0.members)
    }

    /// Keeps an id for a member that will start with this address for its peers, `host:port`. Asking
    /// again finds the same member while it has not started.
    pub async fn add_member(&self, peer_address: &str, learner: bool) -> Result<Member, Error> {
        let url = url(peer_address);
        let request = MemberAddRequest {
            peer_ur_ls: vec![url.clone()],
            is_learner: learner,
        };
        let send = |channel, request| async move { members(channel).member_add(request).await };
        let added = self.shared.call(Kind::Read, self.patience(), request, send);
        match added.await {
            Ok((answer, _)) => answer.member.ok_or(Error::Nonsense {
                what: "the answer names no member",
            }),
            Err(error) if error.code() == ErrorCode::PeerAddressTaken => {
                let mut all = self.members().await?.into_iter();
                let expected = all.find(|member| {
                    member.name.is_empty()
                        && member.is_learner == learner
                        && member.peer_ur_ls.contains(&url)
                });
                expected.ok_or(error)
            }
            Err(error) => Err(error),
        }
    }

    /// Takes a member out, for ever.
    pub async fn remove_member(&self, id: u64) -> Result<Vec<Member>, Error> {
        let request = MemberRemoveRequest { id };
        let send = |channel, request| async move { members(channel).member_remove(request).await };
        let removed = self.shared.call(Kind::Read, self.patience(), request, send);
        Ok(removed.await?.0.members)
    }

    /// Changes where peers look for a member.
    pub async fn update_member(&self, id: u64, peer_address: &str) -> Result<Vec<Member>, Error> {
        let request = MemberUpdateRequest {
            id,
            peer_ur_ls: vec![url(peer_address)],
        };
        let send = |channel, request| async move { members(channel).member_update(request).await };
        let updated = self.shared.call(Kind::Read, self.patience(), request, send);
        Ok(updated.await?.0.members)
    }

    /// Gives a learner its vote. One that is not in sync is asked for until the deadline.
    pub async fn promote_member(&self, id: u64) -> Result<Vec<Member>, Error> {
        let request = MemberPromoteRequest { id };
        let send = |channel, request| async move { members(channel).member_promote(request).await };
        let promoted = self.shared.call(Kind::Read, self.patience(), request, send);
        Ok(promoted.await?.0.members)
    }

    /// Hands the leadership to a voter, or to the best one; who leads then.
    pub async fn transfer_leader(&self, to: Option<u64>) -> Result<u64, Error> {
        let node_id = to.unwrap_or(0);
        let request = TransferLeaderRequest { node_id };
        let send = |channel, request| async move {
            ClusterClient::new(channel).transfer_leader(request).await
        };
        let handed = self.shared.call(Kind::Read, self.patience(), request, send);
        Ok(handed.await?.0.leader)
    }

    /// Drops the history below a revision and waits until its space is free on the node that
    /// answers.
    pub async fn compact_and_wait(&self, at: Revision) -> Result<Revision, Error> {
        let request = CompactionRequest {
            revision: at.0,
            physical: true,
        };
        let send = |channel, request| async move { KvClient::new(channel).compact(request).await };
        let compacted = self
            .shared
            .call(Kind::Write, self.patience(), request, send);
        revision(compacted.await?.0.header.as_ref())
    }

    /// Every alarm that is raised.
    pub async fn alarms(&self) -> Result<Vec<AlarmMember>, Error> {
        self.alarm(AlarmRequest::default()).await
    }

    /// Clears an alarm; what was cleared.
    pub async fn disarm(&self, alarm: AlarmMember) -> Result<Vec<AlarmMember>, Error> {
        self.alarm(AlarmRequest {
            action: AlarmAction::Deactivate.into(),
            member_id: alarm.member_id,
            alarm: alarm.alarm,
        })
        .await
    }

    async fn alarm(&self, request: AlarmRequest) -> Result<Vec<AlarmMember>, Error> {
        let send = |channel, request| async move { maintenance(channel).alarm(request).await };
        let answer = self.shared.call(Kind::Read, self.patience(), request, send);
        Ok(answer.await?.0.alarms)
    }

    /// The hash of what the node that answers holds as of a revision; 0 is its current one. A client
    /// of one address asks that node.
    pub async fn hash(&self, at: Revision) -> Result<HashKvResponse, Error> {
        let request = HashKvRequest { revision: at.0 };
        let send = |channel, request| async move { maintenance(channel).hash_kv(request).await };
        let answer = self.shared.call(Kind::Read, self.patience(), request, send);
        Ok(answer.await?.0)
    }
}

fn members(channel: Channel) -> EtcdClusterClient<Channel> {
    EtcdClusterClient::new(channel)
}

fn maintenance(channel: Channel) -> MaintenanceClient<Channel> {
    MaintenanceClient::new(channel)
}

/// An address as etcd's services write it.
fn url(address: &str) -> String {
    if address.contains("://") {
        address.to_owned()
    } else {
        format!("http://{address}")
    }
}
