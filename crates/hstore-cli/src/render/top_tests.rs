//! Pictures, cell by cell, in `top.golden.txt`. `UPDATE_GOLDEN=1` writes it anew, to be looked at.

use hstore_client::v1::{Alarm, CallRate, Member, PeerTiming, Role};
use ratatui::Terminal;
use ratatui::backend::TestBackend;

use super::*;
use crate::run::top::Wish;

fn member(id: u64, requests: f64) -> MemberStatus {
    MemberStatus {
        member: Some(Member {
            node_id: id,
            name: format!("n{id}"),
            client_address: format!("127.0.0.1:{}", 2377 + 2 * id),
            ..Member::default()
        }),
        voter: true,
        reachable: true,
        role: if id == 1 {
            Role::Leader
        } else {
            Role::Follower
        }
        .into(),
        term: 4,
        lag: id - 1,
        uptime_ms: 61_000 * id,
        version: "0.1.0".to_owned(),
        vitals: Some(Vitals {
            window_ms: 10_000,
            log_sync: Some(timing(900, 4_100 * id)),
            requests: (requests > 0.0).then(|| timing(1_200, 9_000 + id)),
            requests_per_second: requests,
            calls: vec![CallRate {
                call: "etcdserverpb.KV/Put".to_owned(),
                per_second: requests,
                failed_per_second: 0.5,
                timing: Some(timing(1_200, 9_000)),
                ..CallRate::default()
            }],
            peers: vec![PeerTiming {
                node_id: 2,
                count: 9,
                mean_us: 400,
            }],
            resident_bytes: 40 << 20,
            cpu_thousandths: 250,
            watches: 1,
            keys: 12,
            engine_bytes: 7 << 20,
            pid: 4711,
            data_folder: "/var/lib/hstore/data".to_owned(),
            ..Vitals::default()
        }),
        ..MemberStatus::default()
    }
}

fn timing(p50_us: u64, p99_us: u64) -> Timing {
    Timing {
        count: 10,
        p50_us,
        p99_us,
    }
}

fn cluster() -> ClusterDescription {
    ClusterDescription {
        cluster_name: "k7f2".to_owned(),
        node_id: 1,
        leader: 1,
        term: 4,
        revision: 10_233,
        members: vec![member(1, 1_800.0), member(2, 3.25), member(3, 0.0)],
        ..ClusterDescription::default()
    }
}

/// A minute of a cluster, in which the leader was killed.
fn minute() -> Picture {
    let mut picture = Picture::new();
    for second in 0..60_u64 {
        let mut cluster = cluster();
        let load = [0.2, 0.5, 0.9, 1.0, 0.6][second as usize % 5];
        cluster.members[0] = member(1, 1_800.0 * load);
        if second >= 40 {
            (cluster.leader, cluster.term, cluster.node_id) = (2, 5, 2);
            cluster.members[0] = MemberStatus {
                reachable: false,
                role: 0,
                vitals: None,
                problem: "it did not answer in time".to_owned(),
                ..cluster.members[0].clone()
            };
            cluster.members[1].role = Role::Leader.into();
        }
        if second == 59 {
            cluster.alarms.push(Alarm {
                node_id: 3,
                kind: "NOSPACE".to_owned(),
            });
        }
        picture.hear(Duration::from_secs(second), cluster);
    }
    picture
}

fn drawn(picture: &Picture, now: u64, width: u16, height: u16) -> String {
    let mut terminal = Terminal::new(TestBackend::new(width, height)).unwrap();
    let draw = |frame: &mut ratatui::Frame| {
        let area = frame.area();
        super::draw(
            picture,
            Duration::from_secs(now),
            false,
            true,
            area,
            frame.buffer_mut(),
        );
    };
    terminal.draw(draw).unwrap();
    lines(terminal.backend().buffer())
}

#[test]
fn pictures_look_as_they_did() {
    let mut picture = Picture::new();
    picture.hear(Duration::ZERO, cluster());
    let mut all = vec![("well", drawn(&picture, 0, 122, 26))];
    let mut picture = minute();
    all.push(("after the leader was killed", drawn(&picture, 59, 122, 26)));
    all.push(("an ordinary terminal", drawn(&picture, 59, 80, 24)));
    all.push(("a narrow terminal", drawn(&picture, 59, 60, 16)));
    picture.wish(Wish::SortNext);
    picture.wish(Wish::Down);
    picture.wish(Wish::Down);
    picture.lose(Duration::from_mins(1), "no node answers".to_owned());
    all.push(("lost, sorted by lag", drawn(&picture, 68, 122, 26)));
    picture.wish(Wish::Reverse);
    picture.wish(Wish::Help);
    all.push(("help", drawn(&picture, 60, 80, 24)));
    let mut once = Vec::new();
    table(&mut once, &minute()).unwrap();
    all.push(("once", String::from_utf8(once).unwrap()));

    let told = all.iter().map(|(what, text)| format!("== {what}\n{text}"));
    let told: String = told.collect();
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/src/render/top.golden.txt");
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        std::fs::write(path, &told).unwrap();
    }
    assert_eq!(told, std::fs::read_to_string(path).unwrap());
}

#[test]
fn any_area_is_drawn_into_and_none_is_left() {
    let mut picture = minute();
    picture.wish(Wish::Help);
    for width in [0, 1, 7, 40, 300] {
        for height in [0, 1, 2, 3, 5, 9, 60] {
            let text = drawn(&picture, 59, width, height);
            assert_eq!(
                text.lines().count(),
                usize::from(height) * usize::from(width > 0),
                "{width}x{height}"
            );
        }
    }
    assert!(drawn(&Picture::new(), 0, 30, 3).contains("nothing heard yet"));
}

#[test]
fn a_number_is_shown_whole_or_not_at_all() {
    let picture = minute();
    let of_n3 = |width| {
        let text = drawn(&picture, 59, width, 24);
        let mut lines = text.lines();
        let line = lines.find(|line| line.starts_with("  n3")).unwrap();
        line.split_whitespace()
            .map(str::to_owned)
            .collect::<Vec<_>>()
    };
    let all = of_n3(122);
    for width in 4..122 {
        let mut whole = all.iter();
        let shown = of_n3(width);
        assert!(
            shown.iter().all(|word| whole.any(|other| other == word)),
            "{width}: {shown:?}"
        );
    }
}

#[test]
fn the_chosen_node_is_always_seen_and_names_go_by_their_numbers() {
    let mut picture = Picture::new();
    let mut cluster = cluster();
    cluster.members = (1..=50).map(|id| member(id, 0.0)).collect();
    picture.hear(Duration::ZERO, cluster);
    for _ in 0..80 {
        picture.wish(Wish::Down);
    }
    assert!(drawn(&picture, 0, 100, 24).contains("> n50"));
    picture.wish(Wish::Reverse);
    picture.wish(Wish::Down);
    assert!(drawn(&picture, 0, 100, 24).contains("> n49 "));
}

#[test]
fn a_node_stays_chosen_when_it_is_overtaken_and_until_it_is_removed() {
    let mut picture = Picture::new();
    let mut cluster = cluster();
    picture.hear(Duration::ZERO, cluster.clone());
    while picture.sort.as_str() != "requests" {
        picture.wish(Wish::SortNext);
    }
    assert_eq!(picture.selected, 0);
    cluster.members[1] = member(2, 5_000.0);
    picture.hear(Duration::from_secs(1), cluster.clone());
    assert_eq!(picture.selected, 1);
    assert!(drawn(&picture, 1, 100, 24).contains("> n1 "));
    cluster.members.remove(0);
    picture.hear(Duration::from_secs(2), cluster.clone());
    assert!(drawn(&picture, 2, 100, 24).contains("> n3 "));
    cluster.members.truncate(1);
    picture.hear(Duration::from_secs(3), cluster);
    assert!(drawn(&picture, 3, 100, 24).contains("> n2 "));
}

#[test]
fn colour_is_there_where_it_may_be_and_nowhere_else() {
    let picture = minute();
    for color in [false, true] {
        let area = Rect::new(0, 0, 122, 26);
        let mut buffer = Buffer::empty(area);
        draw(
            &picture,
            Duration::from_secs(59),
            color,
            true,
            area,
            &mut buffer,
        );
        let coloured = buffer.content.iter().any(|cell| cell.fg != Color::Reset);
        assert_eq!(coloured, color);
    }
}

#[test]
fn a_program_gets_one_object() {
    let value = json(&minute());
    assert_eq!(
        (&value["leader"], &value["told_by"]),
        (&2.into(), &2.into())
    );
    assert_eq!(value["nodes"][0]["vitals"], Value::Null);
    assert_eq!(value["nodes"][1]["vitals"]["log_sync"]["p99_us"], 8_200);
    assert_eq!(value["alarms"][0]["kind"], "NOSPACE");
    assert_eq!(value["health"], "degraded; 2 of 3 voters answer");
}
