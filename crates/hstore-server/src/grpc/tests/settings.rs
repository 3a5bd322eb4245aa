//! The Settings service: what changes while a node runs, what is refused and why.

use hstore_core::error::ErrorCode;
use hstore_node::KeepHistory;
use hstore_proto::hstore::v1::settings_client::SettingsClient;
use hstore_proto::hstore::v1::{
    ChangeSettingsRequest, DescribeRequest, GetSettingsRequest, GetSettingsResponse, SettingChange,
};
use hstore_proto::status::read;
use tokio::time::timeout;
use tonic::Status;
use tonic::transport::Channel;

use super::{LONG, World, world, world_with};

impl World {
    fn settings(&self) -> SettingsClient<Channel> {
        SettingsClient::new(self.channel.clone())
    }

    async fn set(&self, node: u64, key: &str, value: &str) -> Result<u64, Status> {
        self.change(None, vec![change(node, key, Some(value))])
            .await
    }

    async fn change(
        &self,
        expected_version: Option<u64>,
        changes: Vec<SettingChange>,
    ) -> Result<u64, Status> {
        let request = ChangeSettingsRequest {
            expected_version,
            changes,
        };
        let changed = timeout(LONG, self.settings().change(request))
            .await
            .unwrap();
        changed.map(|answer| answer.into_inner().version)
    }

    async fn get(&self) -> GetSettingsResponse {
        let serializable = false;
        let mut client = self.settings();
        let got = client.get(GetSettingsRequest { serializable });
        timeout(LONG, got).await.unwrap().unwrap().into_inner()
    }

    /// Value and origin of a setting as it holds.
    async fn holds(&self, key: &str) -> (String, String) {
        let all = self.get().await.effective;
        let found = all.into_iter().find(|row| row.key == key).unwrap();
        (found.value, found.origin)
    }
}

fn change(node: u64, key: &str, value: Option<&str>) -> SettingChange {
    SettingChange {
        key: key.to_owned(),
        node_id: node,
        value: value.map(str::to_owned),
    }
}

fn code(refused: Result<u64, Status>) -> (ErrorCode, String) {
    let failure = read(&refused.unwrap_err());
    (failure.code, failure.detail)
}

#[tokio::test]
async fn every_setting_takes_hold_while_the_node_runs() {
    let world = world().await;
    for (node, key, value) in [
        (0, "auto-compaction", "1h, 1000 revisions"),
        (0, "cache-bytes", "1.5MiB"),
        (0, "heartbeat", "50ms"),
        (0, "log-level", "info"),
        (1, "name", "alpha"),
        (0, "quota-bytes", "1GiB"),
        (1, "type", "voter"),
    ] {
        world.set(node, key, value).await.unwrap();
        let (held, origin) = world.holds(key).await;
        assert_eq!(held, value, "{key}");
        assert!(origin.starts_with("cluster"), "{key}: {origin}");
    }
    let effective = world.node.effective();
    assert_eq!(effective.heartbeat.as_millis(), 50);
    assert_eq!(effective.keep_history.revisions, Some(1000));
    assert_eq!(effective.log_level.as_deref(), Some("info"));
    let status = world.node.status();
    assert_eq!(status.store.cache_bytes_max, 3 << 19);
    assert_eq!(status.quota_bytes, Some(1 << 30));
    assert_eq!(status.member.name, "alpha");
    assert_eq!(
        status.standing.membership.members[&status.node].name,
        "alpha"
    );
    assert_eq!(world.get().await.version, 7);
}

#[tokio::test]
async fn what_a_node_is_told_goes_before_what_all_are_told_and_both_can_be_taken_back() {
    let world = world_with(|config| config.quota_bytes = Some(1 << 33)).await;
    world.set(0, "quota-bytes", "1GiB").await.unwrap();
    let set = vec![
        change(1, "quota-bytes", Some("off")),
        change(0, "cache-bytes", Some("2MiB")),
    ];
    assert_eq!(world.change(Some(1), set).await.unwrap(), 2);
    let held = world.holds("quota-bytes").await;
    assert_eq!(
        held,
        ("off".to_owned(), "cluster, for this node".to_owned())
    );
    assert_eq!(world.node.status().quota_bytes, None);
    let unset = vec![change(1, "quota-bytes", None)];
    assert_eq!(world.change(None, unset).await.unwrap(), 3);
    let held = world.holds("quota-bytes").await;
    assert_eq!(held, ("1GiB".to_owned(), "cluster".to_owned()));
    let unset = vec![change(0, "quota-bytes", None)];
    assert_eq!(world.change(None, unset).await.unwrap(), 4);
    assert_eq!(world.node.status().quota_bytes, Some(1 << 33));
    assert_eq!(world.node.effective().keep_history, KeepHistory::default());
}

#[tokio::test]
async fn settings_that_were_changed_meanwhile_are_a_conflict() {
    let world = world().await;
    let level = |level| vec![change(0, "log-level", Some(level))];
    assert_eq!(world.change(Some(0), level("info")).await.unwrap(), 1);
    let (found, detail) = code(world.change(Some(0), level("warn")).await);
    assert_eq!(found, ErrorCode::Conflict);
    assert!(detail.contains("version 1"), "{detail}");
    assert_eq!(world.holds("log-level").await.0, "info");
}

#[tokio::test]
async fn what_makes_no_sense_is_refused_and_says_why() {
    let world = world().await;
    for (node, key, value, expected, part) in [
        (
            0,
            "colour",
            "red",
            ErrorCode::InvalidConfig,
            "there is no setting",
        ),
        (
            0,
            "listen",
            "1.2.3.4",
            ErrorCode::InvalidConfig,
            "another --listen",
        ),
        (
            0,
            "cache-bytes",
            "10",
            ErrorCode::InvalidConfig,
            "from 1MiB",
        ),
        (
            0,
            "cache-bytes",
            "1TiB",
            ErrorCode::InvalidConfig,
            "memory that this machine has",
        ),
        (
            0,
            "heartbeat",
            "5s",
            ErrorCode::InvalidConfig,
            "third of the election time",
        ),
        (
            0,
            "heartbeat",
            "100",
            ErrorCode::InvalidConfig,
            "with its unit",
        ),
        (
            0,
            "log-level",
            "=x=",
            ErrorCode::InvalidConfig,
            "error, warn",
        ),
        (
            0,
            "quota-bytes",
            "1KiB",
            ErrorCode::InvalidConfig,
            "at least 1MiB",
        ),
        (
            0,
            "auto-compaction",
            "soon",
            ErrorCode::InvalidConfig,
            "such as 72h",
        ),
        (0, "name", "a", ErrorCode::InvalidConfig, "name the node"),
        (1, "name", "a/b", ErrorCode::InvalidConfig, "letters"),
        (
            1,
            "heartbeat",
            "50ms",
            ErrorCode::InvalidConfig,
            "name no node",
        ),
        (
            1,
            "type",
            "leader",
            ErrorCode::InvalidConfig,
            "voter or learner",
        ),
        (1, "type", "learner", ErrorCode::TooFewStarted, "last voter"),
        (9, "log-level", "info", ErrorCode::NodeNotFound, "9"),
    ] {
        let (found, detail) = code(world.set(node, key, value).await);
        assert_eq!(found, expected, "{key} {value}: {detail}");
        assert!(detail.contains(part), "{key} {value}: {detail}");
    }
    let twice = vec![
        change(0, "log-level", Some("info")),
        change(0, "log-level", Some("warn")),
    ];
    for (changes, part) in [
        (vec![], "no setting is named"),
        (twice, "named twice"),
        (vec![change(1, "name", None)], "every node has a name"),
        (vec![change(1, "type", None)], "every node has a type"),
    ] {
        let (found, detail) = code(world.change(None, changes).await);
        assert_eq!(found, ErrorCode::InvalidConfig);
        assert!(detail.contains(part), "{detail}");
    }
    assert_eq!(world.get().await.version, 0);
}

#[tokio::test]
async fn a_heartbeat_that_is_set_keeps_the_leader_in_its_place() {
    let world = world().await;
    let term = world.node.status().standing.term;
    for heartbeat in ["10ms", "150ms"] {
        world.set(0, "heartbeat", heartbeat).await.unwrap();
    }
    world
        .change(None, vec![change(0, "heartbeat", None)])
        .await
        .unwrap();
    assert_eq!(world.node.effective().heartbeat.as_millis(), 100);
    let status = world.node.status();
    assert_eq!(status.standing.term, term);
    assert!(status.standing.quorum);
}

#[tokio::test]
async fn whoever_watches_the_cluster_hears_of_a_change() {
    let world = world().await;
    let mut client = world.cluster();
    let watched = client.describe(DescribeRequest {
        watch: true,
        vitals: false,
    });
    let mut told = timeout(LONG, watched).await.unwrap().unwrap().into_inner();
    let first = timeout(LONG, told.message())
        .await
        .unwrap()
        .unwrap()
        .unwrap();
    assert_eq!(first.settings_version, 0);
    world.set(1, "name", "beta").await.unwrap();
    loop {
        let next = timeout(LONG, told.message())
            .await
            .unwrap()
            .unwrap()
            .unwrap();
        let row = &next.members[0];
        let name = &row.member.as_ref().unwrap().name;
        if name == "beta" && next.settings_version == 1 && row.settings_version == 1 {
            return;
        }
    }
}
