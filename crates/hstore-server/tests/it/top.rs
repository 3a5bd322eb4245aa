//! `hstore-cli top` without a terminal: one picture, for people and for programs, or a refusal.

use serde_json::Value;

use crate::harness::{SOON, World, until};

#[test]
fn one_picture_is_written_and_a_screen_is_refused_without_a_terminal() {
    let world = World::new();
    let nodes = world.cluster(2, &[]);
    let address = nodes[0].address();
    nodes[0].kv().put("k", "v").unwrap();
    world
        .cli(&["top", "-h", &address])
        .failed(2, "invalid_argument")
        .says("--once");
    let told = until("vitals of both", SOON, || {
        let told = world.cli(&["top", "--json", "-h", &address]).ok();
        let told: Value = serde_json::from_str(&told).unwrap();
        let rows = told["nodes"].as_array().unwrap();
        let all = rows
            .iter()
            .all(|row| row["vitals"]["window_ms"].as_u64() > Some(0));
        (rows.len() == 2 && all).then_some(told)
    });
    assert_eq!(told["health"], "healthy; tolerates no failure");
    assert_eq!(told["nodes"][0]["vitals"]["keys"], 1);
    let text = world.cli(&["top", "--once", "-h", &address]).ok();
    assert!(
        text.starts_with("cluster ") && text.contains("leader n1"),
        "{text}"
    );
    assert!(text.contains("n2") && text.contains("REQ/S"), "{text}");
}
