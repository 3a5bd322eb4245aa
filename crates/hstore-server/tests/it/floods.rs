//! More writes at once than a node can take: those beyond its bounds are refused, and then it goes on.

use std::collections::BTreeMap;
use std::time::Duration;

use bytes::Bytes;
use futures::future::join_all;
use hstore_proto::etcdserverpb::PutRequest;
use hstore_proto::etcdserverpb::kv_client::KvClient;
use tonic::{Code, Request};

use crate::harness::{
    Node, Peak, SOON, World, can_run, code_of, endpoint, not_run, runtime, server_binary, until,
};

const MIB: u64 = 1 << 20;

/// Writes at a time: 1.5 GiB of them.
const CONNECTIONS: usize = 16;
const CALLS: usize = 1536;
const VALUE_BYTES: usize = 64 * 1024;

/// How long each may take.
const DEADLINE: Duration = Duration::from_secs(12);

/// What a node may have more for them: all requests (256 MiB), the windows of their connections (8 MiB
/// each), the proposals that wait (64 MiB), what was written and is in no block (64 MiB), the cache
/// (64 MiB), and as much as two of those for what an allocator keeps.
const MORE_BYTES_MAX: u64 = (256 + 8 * CONNECTIONS as u64 + 5 * 64) * MIB;

/// Writes far more at once than a node takes, and tells what became of how many.
fn flood(node: &Node) -> BTreeMap<String, usize> {
    let value = Bytes::from(vec![b'x'; VALUE_BYTES]);
    let mut told = BTreeMap::new();
    runtime().block_on(async {
        let clients: Vec<_> = (0..CONNECTIONS)
            .map(|_| KvClient::new(endpoint(&node.address()).connect_lazy()))
            .collect();
        let calls = (0..CONNECTIONS * CALLS).map(|n| {
            let mut client = clients[n % CONNECTIONS].clone();
            let mut request = Request::new(PutRequest {
                key: Bytes::from(format!("flood/{n}")),
                value: value.clone(),
                ..PutRequest::default()
            });
            request.set_timeout(DEADLINE);
            async move {
                match client.put(request).await {
                    Ok(_answer) => "done".to_owned(),
                    // Its time was over here before the node's answer was.
                    Err(status) if status.code() == Code::Cancelled => "late".to_owned(),
                    Err(status) => code_of(&status).1,
                }
            }
        });
        for outcome in join_all(calls).await {
            *told.entry(outcome).or_insert(0) += 1;
        }
    });
    told
}

/// A flood is refused as far as it does not fit, and costs no more than that.
fn check(told: &BTreeMap<String, usize>, peak: &Peak) {
    let count = |outcome: &str| told.get(outcome).copied().unwrap_or_default();
    let known = ["done", "late", "no_quorum", "outcome_unknown", "overloaded"];
    assert!(
        told.keys().all(|outcome| known.contains(&outcome.as_str())),
        "{told:?}"
    );
    // How many are late is up to the machine.
    assert!(count("overloaded") > CONNECTIONS * CALLS / 10, "{told:?}");
    let more = peak.bytes();
    assert!(more < MORE_BYTES_MAX, "{more} bytes: {told:?}");
}

#[test]
fn a_flood_without_a_majority_is_refused_and_writes_go_on_with_one() {
    let world = World::new();
    let nodes = world.cluster(3, &[]);
    let leader = until("a leader", SOON, || nodes.iter().position(Node::leads));
    let others = || (0..3).filter(|n| *n != leader).map(|n| &nodes[n]);
    let leader = &nodes[leader];
    leader.kv().put("before", "1").unwrap();
    others().for_each(|node| node.pause(true));
    let peak = Peak::of(leader);
    let told = flood(leader);
    check(&told, &peak);
    others().for_each(|node| node.pause(false));
    let mut kv = leader.kv();
    until("writes go on", SOON, || kv.put("after", "1").ok());
    assert!(kv.get("before").unwrap().is_some());
}

#[test]
fn a_flood_to_a_slow_disk_is_refused_and_writes_go_on() {
    let quiet = ["-f", "--seccomp-bpf", "-o", "/dev/null"];
    if !can_run("strace", &[&quiet[..], &["true"]].concat()) {
        return not_run(
            "flood to a slow disk",
            "strace does not run here (package strace)",
        );
    }
    let world = World::new();
    let mut command = world.command("strace");
    command
        .args(quiet)
        .args(["-e", "trace=fdatasync,fsync"])
        .args(["-e", "inject=fdatasync,fsync:delay_enter=200000"])
        .arg(server_binary());
    let node = Node::start_with(&world, "n1", command, &world.data("n1"), &["start"], &[]);
    let node = node.ready();
    node.kv().put("before", "1").unwrap();
    let peak = Peak::of(&node);
    let told = flood(&node);
    check(&told, &peak);
    let mut kv = node.kv();
    until("writes go on", SOON, || kv.put("after", "1").ok());
    assert!(kv.get("before").unwrap().is_some());
}
