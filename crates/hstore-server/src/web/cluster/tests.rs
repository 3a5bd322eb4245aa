//! What the pages about the cluster say, and what they refuse.

use std::sync::Arc;

use hstore_core::auth::Author;
use hstore_core::id::Incarnation;
use hstore_core::membership::Member;
use serde_json::Value;
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout};

use super::Hub;
use crate::grpc::tests::{Asked, LONG, world};
use crate::web::tests::{ask, get};

#[tokio::test]
async fn the_cluster_and_its_members_are_told_by_any_node() {
    let world = world().await;
    let told = get(world.address, "/cluster/status").await;
    assert_eq!(
        (told.status, told.header("content-type")),
        (200, "application/json")
    );
    let told = told.json();
    assert_eq!(told["cluster"]["name"], "test");
    assert_eq!(
        (&told["via"], &told["leader"]),
        (&Value::from(1), &Value::from(1))
    );
    assert_eq!(told["health"]["sentence"], "healthy; tolerates no failure");
    assert_eq!(told["members"][0]["state"], "up");
    assert_eq!(told["members"][0]["last_contact_ms"], 0);
    let health = get(world.address, "/cluster/health").await;
    assert_eq!(
        (health.status, &health.json()["level"]),
        (200, &Value::from("healthy"))
    );
    let nodes = get(world.address, "/cluster/nodes").await.json();
    assert_eq!(nodes["members"].as_array().unwrap().len(), 1);
    let one = get(world.address, "/cluster/nodes/1").await.json();
    assert_eq!(
        (&one["name"], &one["role"]),
        (&Value::from("one"), &Value::from("leader"))
    );
    let none = get(world.address, "/cluster/nodes/9").await;
    assert_eq!(
        (none.status, none.code()),
        (404, "node_not_found".to_owned())
    );
    let none = get(world.address, "/cluster/nodes/one").await;
    assert_eq!(
        (none.status, none.code()),
        (400, "invalid_argument".to_owned())
    );
}

#[tokio::test]
async fn how_a_member_was_is_told_and_of_no_member_nothing() {
    let world = world().await;
    let rows = async {
        loop {
            let told = get(world.address, "/cluster/nodes/1/past").await;
            assert_eq!(
                (told.status, told.header("content-type")),
                (200, "application/json")
            );
            let told = told.json();
            assert_eq!(
                (&told["node"], &told["interval_ms"]),
                (&Value::from(1), &Value::from(3000))
            );
            let rows = told["rows"].as_array().unwrap().clone();
            if !rows.is_empty() {
                return rows;
            }
        }
    };
    let rows = timeout(LONG, rows).await.unwrap();
    assert!(rows[0]["ago_ms"].is_u64() && rows[0]["resident_bytes"].as_u64().unwrap() > 0);
    let none = get(world.address, "/cluster/nodes/9/past").await;
    assert_eq!(
        (none.status, none.code()),
        (404, "node_not_found".to_owned())
    );
}

#[tokio::test]
async fn what_happens_is_told_as_it_happens() {
    let world = world().await;
    let stream = TcpStream::connect(world.address).await.unwrap();
    let mut lines = BufReader::new(stream);
    let request = format!(
        "GET /cluster/events HTTP/1.1\r\nhost: {}\r\nconnection: close\r\n\r\n",
        world.address
    );
    lines.write_all(request.as_bytes()).await.unwrap();
    let mut next = async || -> (String, Value) {
        let mut name = String::new();
        loop {
            let mut line = String::new();
            let read = timeout(LONG, lines.read_line(&mut line)).await.unwrap();
            assert!(read.unwrap() > 0, "the stream ended");
            if let Some(told) = line.strip_prefix("event: ") {
                told.trim().clone_into(&mut name);
            }
            if let Some(told) = line.strip_prefix("data: ") {
                return (name, serde_json::from_str(told).unwrap());
            }
        }
    };
    let (name, state) = next().await;
    assert_eq!((&name[..], &state["leader"]), ("state", &Value::from(1)));
    assert_eq!(state["elections"][0]["leader"], 1);
    // The vitals come with the first look, and are other ones each second.
    let (name, change) = next().await;
    assert_eq!(&name[..], "change");
    assert_eq!(change["members"][0]["id"], 1);
    assert!(change.get("cluster").is_none(), "{change}");
    world.node.abort();
    while let Ok(read) = timeout(LONG, lines.read_line(&mut String::new())).await {
        if read.unwrap_or(0) == 0 {
            return;
        }
    }
    panic!("the stream outlives its node");
}

#[tokio::test]
async fn nodes_are_ended_by_a_post_and_by_no_page_of_another_site() {
    let world = world().await;
    for verb in ["stop", "restart", "kill"] {
        let path = format!("/cluster/nodes/1/{verb}");
        let refused = ask(
            world.address,
            "POST",
            &path,
            &["origin: http://evil.example"],
        )
        .await;
        assert_eq!(
            (refused.status, refused.code()),
            (403, "cross_origin".to_owned())
        );
        let refused = get(world.address, &path).await;
        assert_eq!(refused.code(), "method_not_allowed");
        let done = ask(world.address, "POST", &path, &["content-length: 0"]).await;
        assert_eq!(
            (done.status, &done.json()["done"]),
            (200, &Value::from(verb))
        );
    }
    assert_eq!(world.asked(), ["stop", "restart", "kill"]);
    for verb in [
        "stop", "start", "transfer", "demote", "promote", "remove", "kill", "restart",
    ] {
        let path = format!("/cluster/nodes/9/{verb}");
        let refused = ask(world.address, "POST", &path, &["content-length: 0"]).await;
        assert_eq!(
            (refused.status, refused.code()),
            (404, "node_not_found".to_owned()),
            "{verb}"
        );
    }
}

#[tokio::test]
async fn a_snapshot_is_a_file_with_its_sum_at_its_end() {
    let world = world().await;
    let refused = ask(
        world.address,
        "GET",
        "/cluster/snapshot",
        &["sec-fetch-site: cross-site"],
    )
    .await;
    assert_eq!(refused.code(), "cross_origin");
    let told = ask(
        world.address,
        "POST",
        "/cluster/snapshot",
        &["content-length: 0"],
    )
    .await;
    assert_eq!(
        (told.status, told.header("content-type")),
        (200, "application/octet-stream")
    );
    assert!(told.header("content-disposition").starts_with("attachment"));
    assert!(told.body.len() > 512);
}

#[tokio::test]
async fn the_log_of_a_node_is_told_by_its_lines() {
    let world = world().await;
    let told = get(world.address, "/cluster/nodes/1/logs?limit=10")
        .await
        .json();
    assert!(told["lines"].as_array().unwrap().len() <= 10);
    let last = told["last"].as_u64().unwrap();
    let told = get(
        world.address,
        &format!("/cluster/nodes/1/logs?after={last}"),
    )
    .await;
    assert_eq!(told.status, 200);
    for path in [
        "/cluster/nodes/1/logs?after=x",
        "/cluster/nodes/1/logs?limit=0",
    ] {
        assert_eq!(get(world.address, path).await.code(), "invalid_argument");
    }
}

#[tokio::test]
async fn there_is_a_bound_to_those_who_listen() {
    let world = world().await;
    let hub = Hub::new(world.node.clone(), Arc::new(Asked::default()));
    let held: Vec<_> = (0..64).map(|_| hub.listen().unwrap()).collect();
    assert!(hub.listen().is_none());
    drop(held);
    assert!(hub.listen().is_some());
}

#[tokio::test]
async fn a_member_that_does_not_answer_is_a_row_and_what_is_asked_of_it_is_refused() {
    let world = world().await;
    let deadline = Instant::now() + LONG;
    let nobody = "127.0.0.1:1".to_owned();
    let folder = Incarnation(9);
    let allocated = world
        .node
        .allocate(&Author::Nobody, folder, &nobody, deadline);
    let id = allocated.await.unwrap().node;
    let member = Member {
        name: "two".to_owned(),
        started_as: None,
        peer_address: nobody.clone(),
        client_address: nobody,
        incarnation: folder,
    };
    let _joins = world.node.add_member(id, member, deadline);
    let mut standing = world.node.standing();
    let there = standing.wait_for(|standing| standing.membership.members.contains_key(&id));
    drop(timeout(LONG, there).await.unwrap().unwrap());

    let row = get(world.address, &format!("/cluster/nodes/{id}"))
        .await
        .json();
    assert_eq!(
        (&row["state"], &row["vitals"]),
        (&Value::from("down"), &Value::Null)
    );
    assert_eq!(row["voter"], false);
    let health = get(world.address, "/cluster/health").await.json();
    assert_eq!(
        health["sentence"],
        "1 node does not answer; tolerates no failure"
    );
    for verb in ["stop", "restart"] {
        let path = format!("/cluster/nodes/{id}/{verb}");
        let refused = ask(world.address, "POST", &path, &["content-length: 0"]).await;
        assert_eq!(
            (refused.status, refused.code()),
            (503, "unreachable".to_owned())
        );
    }
    let refused = get(world.address, &format!("/cluster/nodes/{id}/logs")).await;
    assert_eq!(refused.code(), "unreachable");
}
