//! Every call about keys, by somebody who may read and write none.

use std::collections::BTreeSet;

use hstore_proto::etcdserverpb::lease_client::LeaseClient;
use hstore_proto::etcdserverpb::request_op::Request as Step;
use hstore_proto::etcdserverpb::{
    DeleteRangeRequest, LeaseGrantRequest, LeaseRevokeRequest, LeaseTimeToLiveRequest, PutRequest,
    RangeRequest, RequestOp, TxnRequest,
};
use hstore_proto::hstore::v1::HistoryRequest;
use hstore_proto::status;
use hstore_proto::v3electionpb::{
    CampaignRequest, LeaderKey, LeaderRequest, ProclaimRequest, ResignRequest,
};
use hstore_proto::v3lockpb::{LockRequest, UnlockRequest};
use tonic::Status;

use super::auth::{call, guarded, with};
use super::{World, text};
use crate::grpc::access::{Need, TABLE};

/// Refused in an answer of the stream, and so looked at by a test of its own:
/// `a_watch_ends_when_the_right_to_it_does`.
const WATCH: &str = "/etcdserverpb.Watch/Watch";

/// The lease to which root attached the key "secret".
const LEASE: i64 = 7;

/// What becomes of a well made call of each method, if it fails.
async fn all(world: &World, token: &str) -> Vec<(&'static str, Option<Status>)> {
    let mut heard = Vec::new();
    let key = || text("secret");
    let name = || text("line");
    let leader = || {
        Some(LeaderKey {
            name: name(),
            key: text("line/7"),
            rev: 2,
            lease: LEASE,
        })
    };
    let range = || RangeRequest {
        key: key(),
        ..RangeRequest::default()
    };
    macro_rules! ask {
        ($path:literal, $message:expr) => {
            heard.push(($path, call(&world.channel, $path, token, $message).await));
        };
    }
    ask!("/etcdserverpb.KV/Range", range());
    ask!("/etcdserverpb.KV/RangeStream", range());
    ask!(
        "/etcdserverpb.KV/Put",
        PutRequest {
            key: key(),
            ..PutRequest::default()
        }
    );
    ask!(
        "/etcdserverpb.KV/DeleteRange",
        DeleteRangeRequest {
            key: key(),
            ..DeleteRangeRequest::default()
        }
    );
    ask!(
        "/etcdserverpb.KV/Txn",
        TxnRequest {
            success: vec![RequestOp {
                request: Some(Step::RequestRange(range())),
            }],
            ..TxnRequest::default()
        }
    );
    ask!(
        "/hstore.v1.Kv/History",
        HistoryRequest {
            key: key(),
            ..HistoryRequest::default()
        }
    );
    ask!(
        "/etcdserverpb.Lease/LeaseTimeToLive",
        LeaseTimeToLiveRequest {
            id: LEASE,
            keys: true,
        }
    );
    ask!(
        "/v3electionpb.Election/Campaign",
        CampaignRequest {
            name: name(),
            lease: LEASE,
            value: text("me"),
        }
    );
    ask!(
        "/v3electionpb.Election/Proclaim",
        ProclaimRequest {
            leader: leader(),
            value: text("me"),
        }
    );
    ask!(
        "/v3electionpb.Election/Leader",
        LeaderRequest { name: name() }
    );
    ask!(
        "/v3electionpb.Election/Observe",
        LeaderRequest { name: name() }
    );
    ask!(
        "/v3electionpb.Election/Resign",
        ResignRequest { leader: leader() }
    );
    ask!(
        "/v3lockpb.Lock/Lock",
        LockRequest {
            name: text("other"),
            lease: LEASE,
        }
    );
    ask!(
        "/v3lockpb.Lock/Unlock",
        UnlockRequest {
            key: text("other/7")
        }
    );
    // The last one, since it takes the lease away.
    ask!(
        "/etcdserverpb.Lease/LeaseRevoke",
        LeaseRevokeRequest { id: LEASE }
    );
    heard
}

#[tokio::test]
async fn whoever_may_read_and_write_nothing_is_denied_every_call_about_keys() {
    let (world, root) = guarded().await;
    let plain = world.authenticate("plain", "p").await.unwrap();
    let grant = LeaseGrantRequest { ttl: 60, id: LEASE };
    let mut leases = LeaseClient::new(world.channel.clone());
    leases.lease_grant(with(&root, grant)).await.unwrap();
    let put = PutRequest {
        key: text("secret"),
        lease: LEASE,
        ..PutRequest::default()
    };
    world.kv().put(with(&root, put)).await.unwrap();

    let before = world.node.status().store.revision;
    let heard = all(&world, &plain).await;
    for (path, refused) in &heard {
        let code = refused
            .as_ref()
            .map(|status| status::read(status).code.as_str());
        assert_eq!(code, Some("permission_denied"), "{path}");
    }
    assert_eq!(
        world.node.status().store.revision,
        before,
        "nothing is written"
    );
    let asked: BTreeSet<&str> = heard.iter().map(|(path, _)| *path).chain([WATCH]).collect();
    let about_keys = TABLE.iter().filter(|(_, need)| *need == Need::Keys);
    let about_keys: BTreeSet<&str> = about_keys.map(|(path, _)| *path).collect();
    assert_eq!(asked, about_keys, "a call about keys is not asked here");

    // It was for want of rights: the same calls are none that nobody may make.
    for (path, refused) in all(&world, &root).await {
        let code = refused.map(|status| status::read(&status).code.as_str());
        assert!(
            !matches!(
                code,
                Some("permission_denied" | "invalid_argument" | "user_empty")
            ),
            "{path}: {code:?}"
        );
    }
}
