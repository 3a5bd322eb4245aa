//! What the node knows of itself, its peers and its disk.

use hstore_core::alarm::AlarmKind;
use hstore_core::id::NodeId;
use hstore_node::{NodeStatus, Role, RoundTrips};

use super::text::{Kind, Text};
use crate::grpc::ETCD_VERSION;
use crate::meter::{
    FILE_SYNC, LEADER_CHANGES, LOG_SYNC, PEERS, PROPOSALS_FAILED, PeerMeter, STORE_COMMIT, Snapshot,
};

/// Writes what the node says of itself.
pub(super) fn write(status: &NodeStatus, text: &mut Text) {
    let standing = &status.standing;
    // A leader whom no majority follows is none.
    let has_leader = u8::from(standing.leader.is_some() && standing.quorum);
    text.gauge(
        "etcd_server_has_leader",
        "Whether a leader is known.",
        has_leader,
    );
    let is_leader = u8::from(standing.role == Role::Leader);
    text.gauge(
        "etcd_server_is_leader",
        "Whether this node leads.",
        is_leader,
    );
    let is_learner = u8::from(standing.role == Role::Learner);
    text.gauge(
        "etcd_server_is_learner",
        "Whether this node has no vote.",
        is_learner,
    );
    text.counter(
        "etcd_server_leader_changes_seen_total",
        "How often another leader was seen.",
        LEADER_CHANGES.get(),
    );
    let committed = status.committed.map_or(0, |id| id.index.0);
    let applied = status.applied.map_or(0, |id| id.index.0);
    // Gauges in etcd, too: they are positions, and begin where the log does.
    text.gauge(
        "etcd_server_proposals_committed_total",
        "The last entry that is known to be on a majority.",
        committed,
    );
    text.gauge(
        "etcd_server_proposals_applied_total",
        "The last entry that the store has seen.",
        applied,
    );
    text.gauge(
        "etcd_server_proposals_pending",
        "Proposals that wait.",
        status.proposals_waiting,
    );
    text.counter(
        "etcd_server_proposals_failed_total",
        "Proposals of this node's clients that failed.",
        PROPOSALS_FAILED.get(),
    );
    write_names(status, text);
    write_store(status, text);
    write_own(status, text);
}

fn write_names(status: &NodeStatus, text: &mut Text) {
    let name = "etcd_server_version";
    text.family(
        name,
        Kind::Gauge,
        "The version of etcd's API that is spoken.",
    );
    text.sample(name, &[("server_version", ETCD_VERSION)], 1);
    let name = "etcd_cluster_version";
    text.family(
        name,
        Kind::Gauge,
        "The version of etcd's API that the cluster speaks.",
    );
    let minor = ETCD_VERSION
        .rsplit_once('.')
        .map_or(ETCD_VERSION, |(minor, _)| minor);
    text.sample(name, &[("cluster_version", minor)], 1);
    let name = "etcd_server_id";
    text.family(name, Kind::Gauge, "Who this is.");
    text.sample(name, &[("server_id", &format!("{:x}", status.node.0))], 1);
    let name = "hstore_info";
    text.family(name, Kind::Gauge, "Which version of hstore this is.");
    text.sample(name, &[("version", status.version.as_str())], 1);
}

fn write_store(status: &NodeStatus, text: &mut Text) {
    let store = &status.store;
    text.gauge(
        "etcd_mvcc_db_total_size_in_bytes",
        "What is kept takes so much; the quota counts it.",
        store.room_bytes,
    );
    text.gauge(
        "etcd_mvcc_db_total_size_in_use_in_bytes",
        "What of it holds records that can be read, about.",
        store.live_bytes,
    );
    text.gauge(
        "hstore_engine_bytes",
        "What the files of the working store take on the disk, room for what comes included.",
        store.engine_bytes,
    );
    // Without a quota there is no line: a zero would set off the alert for low space.
    if let Some(quota) = status.quota_bytes {
        text.gauge(
            "etcd_server_quota_backend_bytes",
            "What everything that is kept may take.",
            quota,
        );
    }
    let name = "hstore_alarms";
    text.family(
        name,
        Kind::Gauge,
        "Alarms that are raised, by what is wrong.",
    );
    for kind in [AlarmKind::Corrupt, AlarmKind::NoSpace] {
        let raised = status.alarms.iter().filter(|alarm| alarm.kind == kind);
        text.sample(name, &[("kind", kind.as_str())], raised.count());
    }
    text.gauge(
        "etcd_debugging_mvcc_keys_total",
        "Keys that live.",
        store.keys,
    );
    text.gauge(
        "etcd_debugging_mvcc_current_revision",
        "The revision.",
        store.revision.0,
    );
    text.gauge(
        "etcd_debugging_mvcc_compact_revision",
        "The oldest revision that is readable.",
        store.compacted.0,
    );
    let watches = &status.watches;
    text.gauge(
        "etcd_debugging_mvcc_watch_stream_total",
        "Streams of watches.",
        watches.streams,
    );
    text.gauge(
        "etcd_debugging_mvcc_watcher_total",
        "Watches in all streams.",
        watches.watches,
    );
    text.gauge(
        "hstore_watch_waiting_bytes",
        "Bytes of events that wait to be read.",
        watches.waiting_bytes,
    );
}

fn write_own(status: &NodeStatus, text: &mut Text) {
    let store = &status.store;
    let quorum = u8::from(status.standing.quorum);
    text.gauge(
        "hstore_has_quorum",
        "Whether a majority can be reached.",
        quorum,
    );
    text.gauge("hstore_term", "The term.", status.standing.term.0);
    text.gauge(
        "hstore_uptime_seconds",
        "How long the node runs.",
        status.uptime.as_secs_f64(),
    );
    text.gauge(
        "hstore_log_bytes",
        "What the log takes on the disk.",
        status.log_bytes,
    );
    let last = status.last.map_or(0, |index| index.0);
    text.gauge("hstore_log_last_index", "The last entry of the log.", last);
    let snapshot = status.snapshot.map_or(0, |id| id.index.0);
    text.gauge(
        "hstore_snapshot_index",
        "The last entry that a snapshot file covers.",
        snapshot,
    );
    text.gauge(
        "hstore_reads_waiting",
        "Linearizable reads that wait.",
        status.reads_waiting,
    );
    text.gauge(
        "hstore_store_records",
        "Records that the index knows.",
        store.records,
    );
    text.gauge(
        "hstore_store_recent_bytes",
        "Bytes of records that wait to be written down.",
        store.recent_bytes,
    );
    text.gauge(
        "hstore_store_blocks",
        "Blocks in the working store.",
        store.blocks,
    );
    text.gauge(
        "hstore_cache_bytes",
        "What the cache holds.",
        store.cache_bytes,
    );
    text.gauge(
        "hstore_cache_bytes_max",
        "What the cache may hold.",
        store.cache_bytes_max,
    );
    text.counter(
        "hstore_cache_hits_total",
        "Reads that the cache answered.",
        store.cache_hits,
    );
    text.counter(
        "hstore_cache_misses_total",
        "Reads that the cache did not answer.",
        store.cache_misses,
    );
}

/// Writes what went to the peers and came from them, and how long they took.
pub(super) fn write_peers(trips: &[(NodeId, RoundTrips)], text: &mut Text) {
    let peers = PEERS.all();
    let mut family = |name, label, help, number: fn(&PeerMeter) -> u64| {
        text.family(name, Kind::Counter, help);
        for (peer, meter) in &peers {
            let peer = format!("{:x}", peer.0);
            text.sample(name, &[(label, peer.as_str())], number(meter));
        }
    };
    family(
        "etcd_network_peer_sent_bytes_total",
        "To",
        "Bytes that were sent to a peer.",
        |meter| meter.sent_bytes.get(),
    );
    family(
        "etcd_network_peer_received_bytes_total",
        "From",
        "Bytes that came from a peer.",
        |meter| meter.received_bytes.get(),
    );
    family(
        "etcd_network_peer_sent_failures_total",
        "To",
        "Connections to a peer that could not be made.",
        |meter| meter.failures.get(),
    );
    let name = "etcd_network_peer_round_trip_time_seconds";
    let help = "How long a peer took to answer heartbeats, while this node led.";
    text.family(name, Kind::Histogram, help);
    for (peer, trips) in trips {
        let buckets = trips.within.iter();
        let took = Snapshot {
            buckets: buckets
                .map(|(bound, count)| (bound.as_secs_f64(), *count))
                .collect(),
            count: trips.count,
            sum: trips.sum.as_secs_f64(),
        };
        let peer = format!("{:x}", peer.0);
        text.histogram(name, &[("To", peer.as_str())], &took);
    }
}

/// Writes how long the disk took.
pub(super) fn write_disk(text: &mut Text) {
    for (name, help, took) in [
        (
            "etcd_disk_wal_fsync_duration_seconds",
            "How long the log took to sync.",
            &LOG_SYNC,
        ),
        (
            "etcd_disk_backend_commit_duration_seconds",
            "How long it took to write the store down, a step at a time.",
            &STORE_COMMIT,
        ),
        (
            "hstore_file_sync_duration_seconds",
            "How long snapshot and other files took to sync.",
            &FILE_SYNC,
        ),
    ] {
        text.family(name, Kind::Histogram, help);
        text.histogram(name, &[], &took.snapshot());
    }
}
