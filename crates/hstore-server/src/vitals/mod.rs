//! How the node works: taken once a second, written on the node, and told with its status.
//!
//! Invariants: (1) a look costs about what a page of `/metrics` costs, whoever asks how often; (2)
//! what is told has a bound: few calls, few peers, short words; (3) no number here decides anything.

mod past;
mod window;

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use hstore_node::Node;
use hstore_proto::hstore::v1::{PeerTiming, Vitals};
use prost::Message as _;
use tokio::time::{Instant, MissedTickBehavior, interval};

pub(crate) use self::past::Past;
use self::window::{Sample, Window};
use crate::grpc::problems;
use crate::meter::{LEADER_CHANGES, PROPOSALS_FAILED};
use crate::process::{Stat, open_files, open_files_max};

/// How often a look is taken.
const INTERVAL: Duration = Duration::from_secs(1);

/// How long counting the leases may take; the number of the last look stands in for it.
const COUNT_TIMEOUT: Duration = Duration::from_millis(500);

/// The most peers that are told of.
const PEERS_MAX: usize = 64;

/// The longest path of a data folder that is told, in bytes.
const PATH_BYTES_MAX: usize = 4096;

/// Takes a look once a second, writes it on the node and now and then into its past; does not end.
pub(crate) async fn keep(node: Node, data_folder: String, past: Arc<Past>) {
    let mut window = Window::default();
    let mut leases = 0;
    let mut ticks = interval(INTERVAL);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        leases = node
            .lease_count(Instant::now() + COUNT_TIMEOUT)
            .await
            .unwrap_or(leases);
        window.add(Sample::take(&node));
        let told = vitals(&node, &window, leases, &data_folder);
        let status = node.status();
        let index = |id: Option<hstore_core::id::LogId>| id.map_or(0, |id| id.index.0);
        let lag = index(status.committed).saturating_sub(index(status.applied));
        past.add(Instant::now(), &told, lag);
        node.write_note(Bytes::from(told.encode_to_vec()));
    }
}

/// The vitals in a note; none when there are none yet, or it is of a version that says it otherwise.
pub(crate) fn read(note: &Bytes) -> Option<Vitals> {
    if note.is_empty() {
        return None;
    }
    Vitals::decode(note.clone()).ok()
}

fn vitals(node: &Node, window: &Window, leases: u64, data_folder: &str) -> Vitals {
    let status = node.status();
    let store = &status.store;
    let index = |id: Option<hstore_core::id::LogId>| id.map_or(0, |id| id.index.0);
    let stat = Stat::read();
    let peers = window.peers().take(PEERS_MAX);
    Vitals {
        window_ms: window.length().as_millis() as u64,
        log_sync: Some(window.timing(|sample| &sample.log_sync)),
        store_commit: Some(window.timing(|sample| &sample.store_commit)),
        requests: Some(window.requests()),
        requests_per_second: window.requests_per_second(),
        calls: window.calls(),
        peers: peers
            .map(|(node, count, mean)| PeerTiming {
                node_id: node.0,
                count,
                mean_us: mean.as_micros() as u64,
            })
            .collect(),
        resident_bytes: stat.map_or(0, |stat| stat.resident_bytes()),
        cpu_thousandths: window.cpu_thousandths(),
        open_files: open_files().unwrap_or(0),
        open_files_max: open_files_max().unwrap_or(0),
        watch_streams: status.watches.streams as u64,
        watches: status.watches.watches as u64,
        watch_waiting_bytes: status.watches.waiting_bytes as u64,
        leases,
        keys: store.keys,
        cache_hits: store.cache_hits,
        cache_misses: store.cache_misses,
        cache_bytes: store.cache_bytes,
        cache_capacity_bytes: store.cache_bytes_max,
        engine_bytes: store.engine_bytes,
        live_bytes: store.live_bytes.min(store.engine_bytes),
        room_bytes: store.room_bytes,
        quota_bytes: status.quota_bytes.unwrap_or(0),
        log_bytes: status.log_bytes,
        last_index: status.last.map_or(0, |index| index.0),
        snapshot_index: index(status.snapshot),
        purged_index: index(status.purged),
        compacted_revision: store.compacted.0,
        proposals_waiting: status.proposals_waiting as u64,
        reads_waiting: status.reads_waiting as u64,
        proposals_failed: PROPOSALS_FAILED.get(),
        leader_changes: LEADER_CHANGES.get(),
        quorum: status.standing.quorum,
        pid: std::process::id(),
        data_folder: match data_folder.len() {
            0..=PATH_BYTES_MAX => data_folder.to_owned(),
            _ => String::new(),
        },
        problems: problems(&status),
    }
}
