//! What etcd's Cluster and Maintenance services answer and refuse, in etcd's words.

use hstore_core::error::ErrorCode;
use hstore_proto::etcdserverpb::alarm_request::AlarmAction;
use hstore_proto::etcdserverpb::cluster_client::ClusterClient;
use hstore_proto::etcdserverpb::downgrade_request::DowngradeAction;
use hstore_proto::etcdserverpb::lease_client::LeaseClient;
use hstore_proto::etcdserverpb::maintenance_client::MaintenanceClient;
use hstore_proto::etcdserverpb::request_op::Request as Op;
use hstore_proto::etcdserverpb::{
    AlarmMember, AlarmRequest, AlarmType, CompactionRequest, DefragmentRequest, DeleteRangeRequest,
    DowngradeRequest, HashKvRequest, HashRequest, LeaseGrantRequest, MemberAddRequest,
    MemberListRequest, MemberPromoteRequest, MemberRemoveRequest, MemberUpdateRequest,
    MoveLeaderRequest, PutRequest, RangeRequest, RequestOp, StatusRequest, TxnRequest,
};
use hstore_proto::status;
use tonic::transport::Channel;
use tonic::{Code, Status};

use super::{World, text, world};

const NO_SPACE: &str = "etcdserver: mvcc: database space exceeded";

fn maintenance(world: &World) -> MaintenanceClient<Channel> {
    MaintenanceClient::new(world.channel.clone())
}

fn refused<T: std::fmt::Debug>(result: Result<T, Status>, code: Code, words: &str) {
    let status = result.unwrap_err();
    assert_eq!((status.code(), status.message()), (code, words));
}

async fn put(world: &World, key: &str, value: &str) -> Result<i64, Status> {
    let put = PutRequest {
        key: text(key),
        value: text(value),
        ..PutRequest::default()
    };
    let answer = world.kv().put(put).await?.into_inner();
    Ok(answer.header.unwrap().revision)
}

async fn alarm(
    world: &World,
    action: AlarmAction,
    member: u64,
    alarm: AlarmType,
) -> Vec<AlarmMember> {
    let request = AlarmRequest {
        action: action.into(),
        member_id: member,
        alarm: alarm.into(),
    };
    let answer = maintenance(world).alarm(request).await.unwrap();
    let answer = answer.into_inner();
    assert!(answer.header.unwrap().revision > 0);
    answer.alarms
}

#[tokio::test]
async fn an_alarm_without_room_refuses_what_grows_and_nothing_else() {
    let world = world().await;
    put(&world, "k", "v").await.unwrap();
    let raised = AlarmMember {
        member_id: 5,
        alarm: AlarmType::Nospace.into(),
    };
    let activated = alarm(&world, AlarmAction::Activate, 5, AlarmType::Nospace).await;
    assert_eq!(activated, [raised]);
    for listed in [AlarmType::None, AlarmType::Nospace] {
        let alarms = alarm(&world, AlarmAction::Get, 0, listed).await;
        assert_eq!(alarms, [raised]);
    }
    let others = alarm(&world, AlarmAction::Get, 0, AlarmType::Corrupt).await;
    assert_eq!(others, []);
    let status = maintenance(&world).status(StatusRequest {}).await.unwrap();
    assert_eq!(
        status.into_inner().errors,
        ["memberID:5 alarm:NOSPACE ".to_owned()]
    );

    let code = Code::ResourceExhausted;
    let failed = put(&world, "k", "w").await;
    let failure = status::read(failed.as_ref().unwrap_err());
    assert_eq!(failure.code, ErrorCode::NoSpace);
    refused(failed, code, NO_SPACE);
    let grant = LeaseGrantRequest { ttl: 60, id: 0 };
    let mut leases = LeaseClient::new(world.channel.clone());
    refused(leases.lease_grant(grant).await, code, NO_SPACE);
    let op = |request| RequestOp {
        request: Some(request),
    };
    let write = Op::RequestPut(PutRequest {
        key: text("k"),
        ..PutRequest::default()
    });
    let read = Op::RequestRange(RangeRequest {
        key: text("k"),
        ..RangeRequest::default()
    });
    let txn = |failure| TxnRequest {
        success: vec![op(read.clone())],
        failure,
        ..TxnRequest::default()
    };
    refused(world.kv().txn(txn(vec![op(write)])).await, code, NO_SPACE);
    world.kv().txn(txn(Vec::new())).await.unwrap();
    let delete = DeleteRangeRequest {
        key: text("k"),
        ..DeleteRangeRequest::default()
    };
    let deleted = world.kv().delete_range(delete).await.unwrap().into_inner();
    let revision = deleted.header.unwrap().revision;
    for physical in [false, true] {
        let revision = if physical { revision } else { revision - 1 };
        let compact = CompactionRequest { revision, physical };
        world.kv().compact(compact).await.unwrap();
    }

    let cleared = alarm(&world, AlarmAction::Deactivate, 5, AlarmType::Nospace).await;
    assert_eq!(cleared, [raised]);
    let cleared = alarm(&world, AlarmAction::Deactivate, 5, AlarmType::Nospace).await;
    assert_eq!(cleared, []);
    put(&world, "k", "w").await.unwrap();
    // Neither raising nor clearing nothing is an error.
    for action in [AlarmAction::Activate, AlarmAction::Deactivate] {
        assert_eq!(alarm(&world, action, 5, AlarmType::None).await, []);
    }
    for (action, kind) in [(9, 1), (1, 9)] {
        let request = AlarmRequest {
            action,
            member_id: 1,
            alarm: kind,
        };
        let failed = maintenance(&world).alarm(request).await.unwrap_err();
        assert_eq!(failed.code(), Code::InvalidArgument);
    }
}

#[tokio::test]
async fn damaged_data_is_not_changed() {
    let world = world().await;
    alarm(&world, AlarmAction::Activate, 1, AlarmType::Corrupt).await;
    let words = "etcdserver: corrupt cluster";
    refused(put(&world, "k", "v").await, Code::DataLoss, words);
    let range = RangeRequest {
        key: text("k"),
        ..RangeRequest::default()
    };
    world.kv().range(range).await.unwrap();
    alarm(&world, AlarmAction::Deactivate, 1, AlarmType::Corrupt).await;
    put(&world, "k", "v").await.unwrap();
}

#[tokio::test]
async fn the_status_says_what_clients_look_for() {
    let world = super::world_with(|config| config.quota_bytes = Some(1 << 30)).await;
    put(&world, "k", "v").await.unwrap();
    let status = maintenance(&world).status(StatusRequest {}).await.unwrap();
    let status = status.into_inner();
    let header = status.header.unwrap();
    assert_eq!((header.member_id, header.revision), (1, 2));
    // Kubernetes asks for at least 3.5.13.
    let version: Vec<u32> = status
        .version
        .split('.')
        .map(|part| part.parse().unwrap())
        .collect();
    assert!(version.len() == 3 && version >= vec![3, 5, 13]);
    assert_eq!(status.storage_version, status.version);
    assert_eq!(status.db_size_quota, 1 << 30);
    assert!(status.db_size_in_use <= status.db_size);
    assert!(!status.downgrade_info.unwrap().enabled);
    assert!(status.errors.is_empty());
}

#[tokio::test]
async fn a_hash_is_of_one_revision() {
    let world = world().await;
    for n in 0..5 {
        put(&world, "k", &n.to_string()).await.unwrap();
    }
    let compact = CompactionRequest {
        revision: 3,
        physical: false,
    };
    world.kv().compact(compact).await.unwrap();
    let mut client = maintenance(&world);
    let mut hash = async |revision| {
        let answer = client.hash_kv(HashKvRequest { revision }).await?;
        Ok::<_, Status>(answer.into_inner())
    };
    let current = hash(0).await.unwrap();
    assert_eq!((current.hash_revision, current.compact_revision), (6, 3));
    assert_eq!(current.header.unwrap().revision, 6);
    assert_eq!(hash(6).await.unwrap().hash, current.hash);
    let older = hash(4).await.unwrap();
    assert_eq!((older.hash_revision, older.compact_revision), (4, 3));
    assert_ne!(older.hash, current.hash);
    let compacted = "etcdserver: mvcc: required revision has been compacted";
    refused(hash(2).await, Code::OutOfRange, compacted);
    let future = "etcdserver: mvcc: required revision is a future revision";
    refused(hash(7).await, Code::OutOfRange, future);
    let whole = maintenance(&world).hash(HashRequest {}).await.unwrap();
    assert_eq!(whole.into_inner().hash, current.hash);
}

#[tokio::test]
async fn there_is_nothing_to_defragment_and_nothing_to_go_back_to() {
    let world = world().await;
    let mut client = maintenance(&world);
    let answer = client.defragment(DefragmentRequest {}).await.unwrap();
    assert_eq!(answer.into_inner().header, None);
    let table = [
        (
            DowngradeAction::Validate,
            "3.5.0",
            Code::InvalidArgument,
            "etcdserver: invalid downgrade target version",
        ),
        (
            DowngradeAction::Enable,
            "3.5",
            Code::InvalidArgument,
            "etcdserver: invalid downgrade target version",
        ),
        (
            DowngradeAction::Enable,
            "old",
            Code::InvalidArgument,
            "etcdserver: wrong downgrade target version format",
        ),
        (
            DowngradeAction::Cancel,
            "",
            Code::FailedPrecondition,
            "etcdserver: no inflight downgrade job",
        ),
    ];
    for (action, version, code, words) in table {
        let request = DowngradeRequest {
            action: action.into(),
            version: version.to_owned(),
        };
        refused(client.downgrade(request).await, code, words);
    }
}

#[tokio::test]
async fn the_leadership_goes_to_voters_only() {
    let world = world().await;
    let mut client = maintenance(&world);
    let answer = client.move_leader(MoveLeaderRequest { target_id: 1 }).await;
    assert_eq!(answer.unwrap().into_inner().header, None);
    let answer = client.move_leader(MoveLeaderRequest { target_id: 9 }).await;
    refused(
        answer,
        Code::FailedPrecondition,
        "etcdserver: bad leader transferee",
    );
}

#[tokio::test]
async fn members_are_added_updated_and_removed_as_in_etcd() {
    let world = world().await;
    let mut client = ClusterClient::new(world.channel.clone());
    let one = |url: &str| vec![url.to_owned()];
    let add = |url: &str, is_learner| MemberAddRequest {
        peer_ur_ls: one(url),
        is_learner,
    };
    let added = client.member_add(add("http://127.0.0.1:9", true)).await;
    let added = added.unwrap().into_inner();
    let member = added.member.unwrap();
    assert_eq!(added.header.unwrap().revision, 0);
    assert!(member.is_learner && member.name.is_empty() && member.id > 1);
    assert!(member.client_ur_ls.is_empty());
    assert_eq!(added.members.len(), 2);
    assert_eq!(added.members[1], member);
    let table = [
        (
            add("http://127.0.0.1:9", false),
            Code::FailedPrecondition,
            "etcdserver: Peer URLs already exists",
        ),
        (
            add("http://127.0.0.1:12380", false),
            Code::FailedPrecondition,
            "etcdserver: Peer URLs already exists",
        ),
        (
            add("127.0.0.1:9", false),
            Code::InvalidArgument,
            "etcdserver: given member URLs are invalid",
        ),
        (
            MemberAddRequest::default(),
            Code::InvalidArgument,
            "etcdserver: given member URLs are invalid",
        ),
    ];
    for (request, code, words) in table {
        refused(client.member_add(request).await, code, words);
    }
    let update = |id, url: &str| MemberUpdateRequest {
        id,
        peer_ur_ls: one(url),
    };
    let updated = client.member_update(update(member.id, "http://127.0.0.1:8"));
    let updated = updated.await.unwrap().into_inner();
    assert_eq!(updated.members[1].peer_ur_ls, ["http://127.0.0.1:8"]);
    let promote = |id| MemberPromoteRequest { id };
    refused(
        client.member_promote(promote(member.id)).await,
        Code::FailedPrecondition,
        "etcdserver: can only promote a learner member which is in sync with leader",
    );
    refused(
        client.member_promote(promote(1)).await,
        Code::FailedPrecondition,
        "etcdserver: can only promote a learner member",
    );
    let remove = |id| MemberRemoveRequest { id };
    let removed = client.member_remove(remove(member.id)).await.unwrap();
    assert_eq!(removed.into_inner().members.len(), 1);
    let unknown = "etcdserver: member not found";
    refused(
        client.member_remove(remove(member.id)).await,
        Code::NotFound,
        unknown,
    );
    refused(
        client.member_promote(promote(member.id)).await,
        Code::NotFound,
        unknown,
    );
    refused(
        client.member_update(update(99, "http://127.0.0.1:7")).await,
        Code::NotFound,
        unknown,
    );
    let too_few = "etcdserver: re-configuration failed due to not enough started members";
    refused(
        client.member_remove(remove(1)).await,
        Code::FailedPrecondition,
        too_few,
    );
    // One voter may wait for a second one, but not for a third.
    client
        .member_add(add("http://127.0.0.1:6", false))
        .await
        .unwrap();
    refused(
        client.member_add(add("http://127.0.0.1:5", false)).await,
        Code::FailedPrecondition,
        too_few,
    );
    let linearizable = true;
    let list = client.member_list(MemberListRequest { linearizable }).await;
    assert_eq!(list.unwrap().into_inner().members.len(), 2);
}
