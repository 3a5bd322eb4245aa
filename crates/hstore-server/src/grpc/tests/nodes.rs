//! What the services about nodes and membership answer and refuse.

use std::time::Duration;

use futures::StreamExt as _;
use hstore_core::error::ErrorCode;
use hstore_proto::etcdserverpb::cluster_client::ClusterClient as EtcdClusterClient;
use hstore_proto::etcdserverpb::maintenance_client::MaintenanceClient;
use hstore_proto::etcdserverpb::{Member, MemberListRequest, PutRequest, StatusRequest};
use hstore_proto::hstore::v1::node_client::NodeClient;
use hstore_proto::hstore::v1::{
    self, AddMemberRequest, AllocateNodeRequest, DescribeRequest, ExamineRequest, KillRequest,
    LogsRequest, NodeStatusRequest, RemoveMemberRequest, RestartRequest, Role, StartRequest,
    StopRequest, TransferLeaderRequest,
};
use hstore_proto::status;
use tokio::time::{Instant, timeout};

use super::{CLUSTER, LONG, text, world};

#[tokio::test]
async fn etcd_clients_see_the_node_and_its_members() {
    let world = world().await;
    let mut maintenance = MaintenanceClient::new(world.channel.clone());
    let status = maintenance.status(StatusRequest {}).await.unwrap();
    let status = status.into_inner();
    assert_eq!((status.leader, status.is_learner), (1, false));
    assert!(status.raft_term > 0 && status.raft_applied_index <= status.raft_index);
    assert!(status.errors.is_empty(), "{:?}", status.errors);
    assert!(status.version.starts_with("3."));

    let mut cluster = EtcdClusterClient::new(world.channel.clone());
    for linearizable in [false, true] {
        let list = cluster
            .member_list(MemberListRequest { linearizable })
            .await;
        let list = list.unwrap().into_inner();
        let header = list.header.unwrap();
        assert_eq!((header.cluster_id, header.revision), (CLUSTER.0, 0));
        let expected = Member {
            id: 1,
            name: "one".to_owned(),
            peer_ur_ls: vec!["http://127.0.0.1:12380".to_owned()],
            client_ur_ls: vec!["http://127.0.0.1:12379".to_owned()],
            is_learner: false,
        };
        assert_eq!(list.members, [expected]);
    }
}

#[tokio::test]
async fn a_node_tells_everything_about_itself() {
    let world = world().await;
    let put = PutRequest {
        key: text("k"),
        value: text("v"),
        ..PutRequest::default()
    };
    world.kv().put(put).await.unwrap();
    let mut client = NodeClient::new(world.channel.clone());
    let status = client.status(NodeStatusRequest {}).await.unwrap();
    let status = status.into_inner();
    assert_eq!(
        (status.cluster_id, &status.cluster_name[..]),
        (CLUSTER.0, "test")
    );
    assert_eq!(
        (status.role(), status.voter, status.leader),
        (Role::Leader, true, 1)
    );
    assert!(status.problems.is_empty(), "{:?}", status.problems);
    let member = status.member.unwrap();
    assert_eq!(
        (member.node_id, &member.name[..], member.incarnation),
        (1, "one", 7)
    );
    let log = status.log.unwrap();
    assert!(log.applied_index > 0 && log.last_index >= log.applied_index);
    let store = status.store.unwrap();
    assert_eq!((store.revision, store.keys), (2, 1));
    assert!(store.cache_capacity_bytes > 0);
    let process = status.process.unwrap();
    assert_eq!(process.pid, std::process::id());
    assert_eq!(process.data_folder, "/data");
    assert!(process.resident_bytes > 0 && !process.version.is_empty());
}

#[tokio::test]
async fn how_members_work_is_told_to_those_who_ask_for_it() {
    let world = world().await;
    let put = PutRequest {
        key: text("k"),
        ..PutRequest::default()
    };
    world.kv().put(put).await.unwrap();
    let deadline = Instant::now() + LONG;
    let vitals = loop {
        let asked = DescribeRequest {
            watch: false,
            vitals: true,
        };
        let answers = world.cluster().describe(asked).await.unwrap();
        let told = answers.into_inner().next().await.unwrap().unwrap();
        assert!(told.quorum && told.alarms.is_empty(), "{told:?}");
        let vitals = told.members[0].vitals.clone().unwrap_or_default();
        // A look is taken once a second, and rates are between two looks.
        if vitals.window_ms > 0 {
            break vitals;
        }
        assert!(Instant::now() < deadline, "{told:?}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    };
    assert!(
        vitals.resident_bytes > 0 && vitals.open_files > 0,
        "{vitals:?}"
    );
    assert!(vitals.quorum && vitals.problems.is_empty(), "{vitals:?}");
    assert_eq!((vitals.keys, &vitals.data_folder[..]), (1, "/data"));
    assert_eq!(vitals.pid, std::process::id());
    let mut client = NodeClient::new(world.channel.clone());
    let status = client.status(NodeStatusRequest {}).await.unwrap();
    assert_eq!(status.into_inner().vitals.unwrap().keys, 1);
    // Who does not ask for it is not woken by it once a second.
    let answers = world.cluster().describe(DescribeRequest::default()).await;
    let told = answers.unwrap().into_inner().next().await.unwrap();
    assert_eq!(told.unwrap().members[0].vitals, None);
}

#[tokio::test]
async fn the_last_lines_of_the_log_are_told_by_their_numbers() {
    let world = world().await;
    let mut client = NodeClient::new(world.channel.clone());
    let told = client.logs(LogsRequest::default()).await.unwrap();
    let told = told.into_inner();
    assert!(told.lines.len() <= 500 && told.last >= told.lines.len() as u64);
    let behind = LogsRequest {
        after: told.last,
        limit: 1,
    };
    let told = client.logs(behind).await.unwrap().into_inner();
    assert!(told.lines.len() <= 1);
}

#[tokio::test]
async fn only_a_member_that_this_machine_knows_is_started() {
    let world = world().await;
    let mut client = NodeClient::new(world.channel.clone());
    for (node_id, what) in [
        (99, "99"),
        (1, "this node knows of no other nodes of its machine"),
    ] {
        let refused = client.start(StartRequest { node_id }).await;
        let failure = status::read(&refused.unwrap_err());
        assert_eq!(failure.code, ErrorCode::NodeNotFound);
        assert!(failure.detail.contains(what), "{failure:?}");
    }
}

#[tokio::test]
async fn a_node_looks_at_its_machine_and_at_its_disk_only_when_asked_to() {
    let world = world().await;
    let mut client = NodeClient::new(world.channel.clone());
    for disk in [false, true] {
        let found = client.examine(ExamineRequest { disk }).await.unwrap();
        let found = found.into_inner();
        assert_eq!((found.node_id, found.connections_max), (1, 64));
        // After 2020; what a clock says is no more than that to a test.
        assert!(found.clock_us > 1_577_836_800_000_000, "{found:?}");
        assert_eq!(found.disk.is_some(), disk);
        if let Some(examined) = found.disk {
            assert_eq!(examined.problem, "");
            assert!(!examined.sync_us.is_empty() && examined.free_bytes > 0);
        }
    }
}

#[tokio::test]
async fn the_end_of_the_process_is_asked_for_once_a_call() {
    let world = world().await;
    let mut client = NodeClient::new(world.channel.clone());
    client.stop(StopRequest { graceful: true }).await.unwrap();
    client.stop(StopRequest { graceful: false }).await.unwrap();
    client.restart(RestartRequest {}).await.unwrap();
    client.kill(KillRequest {}).await.unwrap();
    let asked = world.asked.words.lock().unwrap().clone();
    assert_eq!(asked, ["stop", "stop now", "restart", "kill"]);
}

#[tokio::test]
async fn a_description_lists_every_member_once_or_for_as_long_as_it_is_watched() {
    let world = world().await;
    for watch in [false, true] {
        let answers = world
            .cluster()
            .describe(DescribeRequest {
                watch,
                ..DescribeRequest::default()
            })
            .await;
        let mut answers = answers.unwrap().into_inner();
        let description = answers.next().await.unwrap().unwrap();
        assert_eq!((description.cluster_id, description.leader), (CLUSTER.0, 1));
        assert_eq!((description.node_id, description.joint), (1, false));
        let [row] = &description.members[..] else {
            panic!("{description:?}");
        };
        assert_eq!(
            (row.role(), row.voter, row.reachable),
            (Role::Leader, true, true)
        );
        assert_eq!((row.lag, &row.problem[..]), (0, ""));
        if watch {
            // The store moves, so there is something to tell.
            let put = PutRequest {
                key: text("k"),
                ..PutRequest::default()
            };
            world.kv().put(put).await.unwrap();
            let next = timeout(LONG, answers.next()).await.unwrap();
            assert!(next.unwrap().unwrap().revision >= 2);
            world.node.stop(Instant::now() + LONG).await;
            while let Some(last) = timeout(LONG, answers.next()).await.unwrap() {
                last.unwrap();
            }
        } else {
            assert!(answers.next().await.is_none());
        }
    }
}

#[tokio::test]
async fn a_data_folder_gets_one_id_however_often_it_asks() {
    let world = world().await;
    let ask = |incarnation: u64, name: &str, cluster_name: &str| AllocateNodeRequest {
        incarnation,
        name: name.to_owned(),
        cluster_name: cluster_name.to_owned(),
        peer_address: String::new(),
    };
    let mut client = world.cluster();
    let first = client.allocate_node(ask(8, "two", "")).await.unwrap();
    let first = first.into_inner();
    assert!(first.node_id > 1);
    assert_eq!(
        (first.cluster_id, &first.cluster_name[..]),
        (CLUSTER.0, "test")
    );
    assert_eq!(first.members.len(), 1);
    let again = client.allocate_node(ask(8, "two", "test")).await.unwrap();
    assert_eq!(again.into_inner().node_id, first.node_id);
    let other = client.allocate_node(ask(9, "three", "")).await.unwrap();
    assert!(other.into_inner().node_id > first.node_id);

    let refused = client.allocate_node(ask(10, "four", "prod")).await;
    let failure = status::read(&refused.unwrap_err());
    assert_eq!(failure.code, ErrorCode::ClusterMismatch);
    assert!(failure.detail.contains("named test"), "{failure:?}");
    let refused = client.allocate_node(ask(10, "one", "")).await;
    let failure = status::read(&refused.unwrap_err());
    assert_eq!(failure.code, ErrorCode::InvalidArgument);
    assert!(failure.detail.contains("member 1 already"), "{failure:?}");
}

#[tokio::test]
async fn a_change_of_the_membership_that_makes_no_sense_is_refused() {
    let world = world().await;
    let mut client = world.cluster();
    let whole = v1::Member {
        node_id: 9,
        name: "nine".to_owned(),
        peer_address: "127.0.0.1:1".to_owned(),
        client_address: "127.0.0.1:2".to_owned(),
        incarnation: 9,
        started_as: String::new(),
    };
    let table = [
        (None, "the member is missing"),
        (
            Some(v1::Member {
                node_id: 0,
                ..whole.clone()
            }),
            "the node id is missing",
        ),
        (
            Some(v1::Member {
                incarnation: 0,
                ..whole.clone()
            }),
            "the incarnation is missing",
        ),
        (
            Some(v1::Member {
                name: String::new(),
                ..whole.clone()
            }),
            "the name is missing",
        ),
        (
            Some(v1::Member {
                peer_address: String::new(),
                ..whole.clone()
            }),
            "the peer address is missing",
        ),
        (
            Some(v1::Member {
                client_address: String::new(),
                ..whole
            }),
            "the client address is missing",
        ),
    ];
    for (member, what) in table {
        let refused = client.add_member(AddMemberRequest { member }).await;
        let failure = status::read(&refused.unwrap_err());
        assert_eq!(failure.code, ErrorCode::InvalidArgument);
        assert!(failure.detail.starts_with(what), "{failure:?}");
    }
    let refused = client
        .remove_member(RemoveMemberRequest { node_id: 99 })
        .await;
    assert_eq!(
        status::read(&refused.unwrap_err()).code,
        ErrorCode::NodeNotFound
    );
    let refused = client
        .transfer_leader(TransferLeaderRequest { node_id: 99 })
        .await;
    assert_eq!(
        status::read(&refused.unwrap_err()).code,
        ErrorCode::NodeNotFound
    );
}
