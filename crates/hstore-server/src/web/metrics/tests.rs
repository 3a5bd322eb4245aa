//! The page, read as strictly as anything reads it.
#![allow(clippy::float_cmp, reason = "the numbers are counts, whole and small")]

use std::collections::BTreeMap;

use hstore_proto::etcdserverpb::{PutRequest, RangeRequest};
use tonic::Request;
use tonic::metadata::MetadataValue;

use crate::grpc::tests::{text, world};
use crate::web::tests::get;

/// What etcd's published dashboard and alerts ask for (contrib/mixin, and the alerts of 3.6).
const ASKED_FOR: [&str; 18] = [
    "etcd_disk_backend_commit_duration_seconds_bucket",
    "etcd_disk_wal_fsync_duration_seconds_bucket",
    "etcd_mvcc_db_total_size_in_bytes",
    "etcd_mvcc_db_total_size_in_use_in_bytes",
    "etcd_network_client_grpc_received_bytes_total",
    "etcd_network_client_grpc_sent_bytes_total",
    "etcd_network_peer_received_bytes_total",
    "etcd_network_peer_round_trip_time_seconds_bucket",
    "etcd_network_peer_sent_bytes_total",
    "etcd_network_peer_sent_failures_total",
    "etcd_server_has_leader",
    "etcd_server_leader_changes_seen_total",
    "etcd_server_proposals_applied_total",
    "etcd_server_proposals_committed_total",
    "etcd_server_proposals_failed_total",
    "etcd_server_proposals_pending",
    "etcd_server_quota_backend_bytes",
    "grpc_server_handled_total",
];

/// The rest of them, which fit no line above.
const ASKED_FOR_TOO: [&str; 3] = [
    "grpc_server_handling_seconds_bucket",
    "grpc_server_started_total",
    "process_resident_memory_bytes",
];

/// Those of the peers are there when there are peers.
const OF_PEERS: &str = "etcd_network_peer_";

type Labels = Vec<(String, String)>;

#[derive(Debug, Default)]
struct Page {
    kinds: BTreeMap<String, String>,
    samples: BTreeMap<(String, Labels), f64>,
}

impl Page {
    /// Reads a page; panics at whatever is not as it must be.
    fn parse(text: &str) -> Page {
        let mut page = Page::default();
        let mut family = String::new();
        assert!(text.ends_with('\n'));
        for line in text.lines() {
            if let Some(rest) = line.strip_prefix("# HELP ") {
                let (name, help) = rest.split_once(' ').expect(line);
                assert!(is_name(name) && !help.is_empty(), "{line}");
                family = name.to_owned();
                assert!(!page.kinds.contains_key(name), "{name} is there twice");
            } else if let Some(rest) = line.strip_prefix("# TYPE ") {
                let (name, kind) = rest.split_once(' ').expect(line);
                assert_eq!(name, family, "{line}");
                assert!(["counter", "gauge", "histogram"].contains(&kind), "{line}");
                page.kinds.insert(name.to_owned(), kind.to_owned());
            } else {
                let (name, labels, value) = sample(line);
                let kind = &page.kinds[&family];
                let rest = name.strip_prefix(&family).expect(line);
                let parts: &[&str] = match kind.as_str() {
                    "histogram" => &["_bucket", "_sum", "_count"],
                    _ => &[""],
                };
                assert!(parts.contains(&rest), "{line} is not of {family}");
                let before = page.samples.insert((name, labels), value);
                assert_eq!(before, None, "{line} is there twice");
            }
        }
        page.check_histograms();
        page
    }

    fn check_histograms(&self) {
        let mut last: BTreeMap<(String, Labels), (f64, f64)> = BTreeMap::new();
        let mut ordered: Vec<_> = self.samples.iter().collect();
        ordered.sort_by(|a, b| bound(&a.0.1).total_cmp(&bound(&b.0.1)));
        for ((name, labels), count) in ordered {
            let Some(family) = name.strip_suffix("_bucket") else {
                continue;
            };
            let mut others = labels.clone();
            others.retain(|(label, _)| label != "le");
            let before = last.insert((family.to_owned(), others), (bound(labels), *count));
            assert!(
                before.is_none_or(|(_, fewer)| fewer <= *count),
                "{name} {labels:?}"
            );
        }
        for ((family, labels), (bound, count)) in last {
            assert_eq!(bound, f64::INFINITY, "{family}");
            assert_eq!(self.samples[&(format!("{family}_count"), labels)], count);
        }
    }

    fn value(&self, name: &str, labels: &[(&str, &str)]) -> f64 {
        let mut labels: Labels = labels
            .iter()
            .map(|(a, b)| ((*a).to_owned(), (*b).to_owned()))
            .collect();
        labels.sort();
        *self
            .samples
            .get(&(name.to_owned(), labels))
            .unwrap_or_else(|| panic!("no {name}"))
    }

    fn has(&self, name: &str) -> bool {
        self.samples.keys().any(|(there, _)| there == name)
    }
}

fn bound(labels: &Labels) -> f64 {
    let bound = labels.iter().find(|(label, _)| label == "le");
    bound.map_or(0.0, |(_, value)| {
        if value == "+Inf" {
            f64::INFINITY
        } else {
            value.parse().unwrap()
        }
    })
}

fn is_name(name: &str) -> bool {
    let plain = |letter: char| letter.is_ascii_alphanumeric() || letter == '_';
    name.chars().all(plain) && name.starts_with(|letter: char| !letter.is_ascii_digit())
}

fn sample(line: &str) -> (String, Labels, f64) {
    let (head, value) = line.rsplit_once(' ').expect(line);
    let value: f64 = value.parse().expect(line);
    assert!(value.is_finite() && value >= 0.0, "{line}");
    let (name, inner) = match head.split_once('{') {
        Some((name, rest)) => (name, rest.strip_suffix('}').expect(line)),
        None => (head, ""),
    };
    assert!(is_name(name), "{line}");
    let parts = inner.split(',').filter(|part| !part.is_empty());
    let mut labels: Labels = parts
        .map(|part| {
            let (label, value) = part.split_once("=\"").expect(line);
            let value = value.strip_suffix('"').expect(line);
            assert!(
                is_name(label) && !value.contains(['"', '\\', '\n']),
                "{line}"
            );
            (label.to_owned(), value.to_owned())
        })
        .collect();
    labels.sort();
    assert!(
        labels.windows(2).all(|pair| pair[0].0 != pair[1].0),
        "{line}"
    );
    (name.to_owned(), labels, value)
}

#[tokio::test]
async fn the_page_is_well_formed_and_counts_what_happens() {
    let world = world().await;
    let put = PutRequest {
        key: text("k"),
        value: text("v"),
        ..PutRequest::default()
    };
    world.kv().put(put.clone()).await.unwrap();
    world.kv().put(put).await.unwrap();
    world.kv().put(PutRequest::default()).await.unwrap_err();
    let range = RangeRequest {
        key: text("k"),
        ..RangeRequest::default()
    };
    let mut range = Request::new(range);
    let version = MetadataValue::from_static("3.5");
    range.metadata_mut().insert("client-api-version", version);
    world.kv().range(range).await.unwrap();
    let told = get(world.address, "/metrics").await;
    assert_eq!(
        told.header("content-type"),
        "text/plain; version=0.0.4; charset=utf-8"
    );
    let page = Page::parse(&told.body);
    let version = [("client_api_version", "3.5"), ("type", "unary")];
    assert!(page.value("etcd_server_client_requests_total", &version) >= 1.0);
    let method = |name: &'static str| {
        [
            ("grpc_method", name),
            ("grpc_service", "etcdserverpb.KV"),
            ("grpc_type", "unary"),
        ]
    };
    assert_eq!(page.value("grpc_server_started_total", &method("Put")), 3.0);
    let handled = |name, code| {
        let mut labels = method(name).to_vec();
        labels.push(("grpc_code", code));
        page.value("grpc_server_handled_total", &labels)
    };
    assert_eq!(handled("Put", "OK"), 2.0);
    assert_eq!(handled("Put", "InvalidArgument"), 1.0);
    assert_eq!(handled("Range", "OK"), 1.0);
    let took = page.value("grpc_server_handling_seconds_count", &method("Put"));
    assert_eq!(took, 3.0);
    for (name, value) in [
        ("etcd_server_has_leader", 1.0),
        ("etcd_server_is_leader", 1.0),
        ("etcd_server_is_learner", 0.0),
        ("etcd_server_leader_changes_seen_total", 1.0),
        ("etcd_mvcc_put_total", 2.0),
        ("etcd_mvcc_range_total", 1.0),
        ("etcd_debugging_mvcc_keys_total", 1.0),
        ("etcd_debugging_mvcc_current_revision", 3.0),
    ] {
        assert_eq!(page.value(name, &[]), value, "{name}");
    }
    assert!(page.value("etcd_network_client_grpc_received_bytes_total", &[]) > 10.0);
    assert!(page.value("etcd_network_client_grpc_sent_bytes_total", &[]) > 10.0);
    assert!(page.value("process_resident_memory_bytes", &[]) > 1e6);
    assert!(page.value("process_start_time_seconds", &[]) > 1.5e9);
    assert!(told.body.len() < 100_000, "{} bytes", told.body.len());
}

#[tokio::test]
async fn what_etcds_dashboard_and_alerts_ask_for_is_there_or_said_to_be_absent() {
    let world = world().await;
    let page = Page::parse(&get(world.address, "/metrics").await.body);
    let guide = include_str!("../../../../../docs/guide/monitoring.md");
    let (_, absent) = guide
        .split_once("## Absent")
        .expect("the guide says what is absent");
    for name in ASKED_FOR.into_iter().chain(ASKED_FOR_TOO) {
        let family = name.strip_suffix("_bucket").unwrap_or(name);
        let said_so = absent.contains(&format!("`{family}`"));
        let there = if name.starts_with(OF_PEERS) {
            page.kinds.contains_key(family)
        } else {
            page.has(name) || name.contains("handling") && page.kinds.contains_key(family)
        };
        assert!(
            there != said_so,
            "{name}: there is {there}, said to be absent is {said_so}"
        );
    }
}
