//! The bytes of leases, locks, elections, ranges in pieces and snapshots.

use hstore_proto::etcdserverpb::{
    LeaseGrantRequest, LeaseGrantResponse, LeaseKeepAliveRequest, LeaseKeepAliveResponse,
    LeaseLeasesRequest, LeaseLeasesResponse, LeaseRevokeRequest, LeaseRevokeResponse, LeaseStatus,
    LeaseTimeToLiveRequest, LeaseTimeToLiveResponse, RangeResponse, RangeStreamResponse,
    SnapshotRequest, SnapshotResponse,
};
use hstore_proto::v3electionpb::{
    CampaignRequest, CampaignResponse, LeaderKey, LeaderRequest, LeaderResponse, ProclaimRequest,
    ProclaimResponse, ResignRequest, ResignResponse,
};
use hstore_proto::v3lockpb::{LockRequest, LockResponse, UnlockRequest, UnlockResponse};

use super::{HEADER, KEY_VALUE, golden, header, key_value, text};

#[test]
fn a_lease_keeps_its_bytes() {
    golden(&LeaseGrantRequest { ttl: 60, id: 7 }, "083c 1007");
    let granted = LeaseGrantResponse {
        header: Some(header()),
        id: 7,
        ttl: 60,
        error: "e".to_owned(),
    };
    golden(&granted, &format!("0a09{HEADER} 1007 183c 220165"));
    golden(&LeaseRevokeRequest { id: 7 }, "0807");
    let revoked = LeaseRevokeResponse {
        header: Some(header()),
    };
    golden(&revoked, &format!("0a09{HEADER}"));
    golden(&LeaseKeepAliveRequest { id: 7 }, "0807");
    let renewed = LeaseKeepAliveResponse {
        header: Some(header()),
        id: 7,
        ttl: 60,
    };
    golden(&renewed, &format!("0a09{HEADER} 1007 183c"));
    let asked = LeaseTimeToLiveRequest { id: 7, keys: true };
    golden(&asked, "0807 1001");
    let left = LeaseTimeToLiveResponse {
        header: Some(header()),
        id: 7,
        ttl: -1,
        granted_ttl: 60,
        keys: vec![text("k")],
    };
    golden(
        &left,
        &format!("0a09{HEADER} 1007 18ffffffffffffffffff01 203c 2a016b"),
    );
    golden(&LeaseLeasesRequest {}, "");
    let listed = LeaseLeasesResponse {
        header: Some(header()),
        leases: vec![LeaseStatus { id: 7 }],
    };
    golden(&listed, &format!("0a09{HEADER} 1202 0807"));
}

#[test]
fn a_lock_keeps_its_bytes() {
    let request = LockRequest {
        name: text("n"),
        lease: 7,
    };
    golden(&request, "0a016e 1007");
    let locked = LockResponse {
        header: Some(header()),
        key: text("k"),
    };
    golden(&locked, &format!("0a09{HEADER} 12016b"));
    golden(&UnlockRequest { key: text("k") }, "0a016b");
    let unlocked = UnlockResponse {
        header: Some(header()),
    };
    golden(&unlocked, &format!("0a09{HEADER}"));
}

#[test]
fn an_election_keeps_its_bytes() {
    const LEADER: &str = "0a016e 12016b 1803 2007";
    let leader = || LeaderKey {
        name: text("n"),
        key: text("k"),
        rev: 3,
        lease: 7,
    };
    let campaign = CampaignRequest {
        name: text("n"),
        lease: 7,
        value: text("v"),
    };
    golden(&campaign, "0a016e 1007 1a0176");
    let elected = CampaignResponse {
        header: Some(header()),
        leader: Some(leader()),
    };
    golden(&elected, &format!("0a09{HEADER} 120a{LEADER}"));
    golden(&LeaderRequest { name: text("n") }, "0a016e");
    let leads = LeaderResponse {
        header: Some(header()),
        kv: Some(key_value()),
    };
    golden(&leads, &format!("0a09{HEADER} 120e{KEY_VALUE}"));
    let proclaim = ProclaimRequest {
        leader: Some(leader()),
        value: text("v"),
    };
    golden(&proclaim, &format!("0a0a{LEADER} 120176"));
    let proclaimed = ProclaimResponse {
        header: Some(header()),
    };
    golden(&proclaimed, &format!("0a09{HEADER}"));
    let resign = ResignRequest {
        leader: Some(leader()),
    };
    golden(&resign, &format!("0a0a{LEADER}"));
    let resigned = ResignResponse {
        header: Some(header()),
    };
    golden(&resigned, &format!("0a09{HEADER}"));
}

#[test]
fn a_piece_of_a_range_and_of_a_snapshot_keep_their_bytes() {
    let piece = RangeStreamResponse {
        range_response: Some(RangeResponse {
            count: 9,
            ..RangeResponse::default()
        }),
    };
    golden(&piece, "0a02 2009");
    golden(&SnapshotRequest {}, "");
    let etcds = format!("0a09{HEADER} 1005 1a0162 220176");
    let piece = SnapshotResponse {
        header: Some(header()),
        remaining_bytes: 5,
        blob: text("b"),
        version: "v".to_owned(),
        applied_index: 0,
    };
    golden(&piece, &etcds);
    let ours = SnapshotResponse {
        applied_index: 9,
        ..piece
    };
    golden(&ours, &format!("{etcds} c83e09"));
}
