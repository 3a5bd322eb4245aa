//! Disks that fill up, fail or change what they hold, and clusters that lost their majority.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use bytes::Bytes;
use tonic::Code;

use crate::harness::{
    Journal, Kv, Node, SOON, World, Writers, can_run, code_of, not_run, scan, server_binary, tmpfs,
    until,
};

/// The beginning of a segment of the log; see docs/formats.md.
const PREAMBLE_BYTES: usize = 16;
/// The header of a record; its payload follows, padded to eight bytes.
const HEADER_BYTES: usize = 56;

/// What is done to which files, in words, by a part of their path, and how.
type Harm<'a> = (&'a str, &'a str, &'a dyn Fn(&Path));

/// Writes `count` pairs `k/<n>` and gives them.
fn fill(node: &Node, count: usize) -> BTreeMap<Bytes, Bytes> {
    let mut kv = node.kv();
    (0..count)
        .map(|n| {
            let (key, value) = (
                Bytes::from(format!("k/{n:05}")),
                Bytes::from(format!("value {n}")),
            );
            kv.put(key.clone(), value.clone()).expect("a write");
            (key, value)
        })
        .collect()
}

/// The newest segment of a node's log.
fn segment(data: &Path) -> PathBuf {
    let mut names: Vec<_> = fs::read_dir(data.join("wal"))
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|end| end == "wal"))
        .collect();
    names.sort();
    names.pop().expect("a log has a segment")
}

/// Where each record of a segment begins, and where the last one ends.
fn records(bytes: &[u8]) -> Vec<usize> {
    let number = |at: usize| u32::from_le_bytes(bytes[at..at + 4].try_into().unwrap()) as usize;
    let mut at = PREAMBLE_BYTES;
    let mut starts = vec![at];
    // A record names its own offset; where that does not fit, the records end.
    while at + HEADER_BYTES <= bytes.len() && number(at + 16) == at {
        at += HEADER_BYTES + number(at + 4).next_multiple_of(8);
        starts.push(at);
    }
    assert!(starts.len() > 2, "the test reads the log's format as it is");
    starts
}

#[test]
fn a_full_disk_stops_the_node_and_room_brings_it_back_whole() {
    let world = World::new();
    let room = world.path("room");
    let mount = match tmpfs(&room, "size=200m") {
        Ok(mount) => mount,
        Err(why) => return not_run("full disk", &why),
    };
    let data = room.join("data");
    let launch = || {
        let command = world.command(server_binary());
        Node::start_with(&world, "n1", command, &data, &["start"], &[])
    };
    let mut node = launch().ready();
    let address = node.address();
    let mut acknowledged = Vec::new();
    let mut kv = Kv::connect(&address);
    let value = Bytes::from(vec![b'x'; 1 << 20]);
    for n in 0..400 {
        let key = format!("big/{n:04}");
        match kv.put(key.clone(), value.clone()) {
            Ok(_) => acknowledged.push(key),
            Err(_) => break,
        }
    }
    assert!(acknowledged.len() < 400, "the disk cannot hold them all");
    let (code, talk) = node.end();
    assert_ne!(code, 0, "{talk}");
    assert!(!talk.contains("panicked"), "{talk}");
    let last = talk
        .trim_end()
        .lines()
        .rev()
        .take(4)
        .collect::<Vec<_>>()
        .join("\n");
    assert!(last.contains("disk_full"), "its last lines say why: {last}");

    mount.remount("size=1200m");
    let node = launch().ready();
    let mut kv = node.kv();
    for key in &acknowledged {
        assert_eq!(kv.get(key).unwrap().as_ref(), Some(&value), "{key}");
    }
    kv.put("after", "1").expect("there is room again");
}

#[test]
fn a_disk_without_room_at_the_first_start_is_said_so() {
    let world = World::new();
    let room = world.path("room");
    let _mount = match tmpfs(&room, "size=256k") {
        Ok(mount) => mount,
        Err(why) => return not_run("full disk at the first start", &why),
    };
    let data = room.join("data").display().to_string();
    let done = world.server(&["start", "--data", &data]);
    done.failed(1, "disk_full");
}

#[test]
fn a_failed_sync_stops_the_node_and_nothing_acknowledged_is_lost() {
    if !can_run(
        "strace",
        &["-f", "--seccomp-bpf", "-o", "/dev/null", "true"],
    ) {
        return not_run("failed sync", "strace does not run here (package strace)");
    }
    for call in [3, 40] {
        let world = World::new();
        let first = world.start("n1", &[]);
        let mut expected = fill(&first, 20);
        let address = first.address();
        drop(first);
        let mut command = world.command("strace");
        command
            .args([
                "-f",
                "--seccomp-bpf",
                "-o",
                "/dev/null",
                "-e",
                "trace=fdatasync,fsync",
            ])
            .args([
                "-e",
                &format!("inject=fdatasync,fsync:error=EIO:when={call}+"),
            ])
            .arg(server_binary());
        let data = world.data("n1");
        let more = ["--listen", &address];
        let mut node = Node::start_with(&world, "n1", command, &data, &["start"], &more);
        let mut kv = Kv::connect(&address);
        let mut n = 0;
        while !node.ended() {
            let (key, value) = (Bytes::from(format!("e/{n}")), Bytes::from(format!("{n}")));
            match kv.put_within(key.clone(), value.clone(), Duration::from_secs(2)) {
                Ok(_) => drop(expected.insert(key, value)),
                Err(_) => std::thread::sleep(Duration::from_millis(20)),
            }
            n += 1;
            assert!(n < 4_000, "the failed sync must end the node");
        }
        let (code, talk) = node.end();
        assert_ne!(code, 0, "{talk}");
        assert!(!talk.contains("panicked"), "{talk}");
        let last = talk
            .trim_end()
            .lines()
            .rev()
            .take(4)
            .collect::<Vec<_>>()
            .join("\n");
        assert!(
            last.contains("disk_failed"),
            "its last lines say why: {last}"
        );

        let node = world.start("n1", &[]);
        let found = scan(&node.address(), b"");
        for (key, value) in &expected {
            assert_eq!(found.get(key), Some(value), "lost {key:?}");
        }
    }
}

#[test]
fn a_torn_tail_is_cut_and_everything_before_it_is_there() {
    let world = World::new();
    let mut node = world.start("n1", &[]);
    let expected = fill(&node, 100);
    node.kill();
    let path = segment(&node.data);
    let whole = fs::read(&path).unwrap();
    let starts = records(&whole);
    let end = *starts.last().unwrap();
    // Half of a record that was never whole, as a crash leaves it.
    let torn = {
        let (from, to) = (starts[starts.len() - 2], end);
        let mut half = whole[from..from + (to - from) / 2].to_vec();
        half[16..20].copy_from_slice(&(end as u32).to_le_bytes());
        half
    };
    for tail in [torn, vec![0xa5; 300]] {
        let mut bytes = whole.clone();
        bytes.resize(bytes.len().max(end + tail.len()), 0);
        bytes[end..end + tail.len()].copy_from_slice(&tail);
        fs::write(&path, &bytes).unwrap();
        let mut node = world.start("n1", &[]);
        assert_eq!(scan(&node.address(), b"k/"), expected);
        node.kv().put("after", "1").expect("the log goes on");
        node.kill();
        let mut node = world.start("n1", &[]);
        assert_eq!(
            node.kv().get("after").unwrap(),
            Some(Bytes::from_static(b"1"))
        );
        node.kill();
        fs::write(&path, &whole).unwrap();
    }
}

#[test]
fn a_flipped_bit_in_the_middle_of_the_log_is_refused_and_named() {
    let world = World::new();
    let mut node = world.start("n1", &[]);
    let expected = fill(&node, 100);
    node.stop();
    let path = segment(&node.data);
    let whole = fs::read(&path).unwrap();
    let starts = records(&whole);
    let middle = starts[starts.len() / 2];
    for place in [middle + 1, middle + 20, middle + HEADER_BYTES + 3] {
        let mut bytes = whole.clone();
        bytes[place] ^= 0x10;
        fs::write(&path, &bytes).unwrap();
        let data = node.data.display().to_string();
        let done = world.server(&["start", "--name", "n1", "--data", &data]);
        done.failed(1, "data_corrupt");
        assert_eq!(
            fs::read(&path).unwrap(),
            bytes,
            "a refused start changes nothing"
        );
    }
    fs::write(&path, &whole).unwrap();
    let node = world.start("n1", &[]);
    assert_eq!(scan(&node.address(), b"k/"), expected);
}

#[test]
fn a_damaged_or_missing_sled_folder_is_rebuilt() {
    let world = World::new();
    let mut node = world.start("n1", &["--snapshot-log-bytes", "1MiB"]);
    let expected = fill(&node, 500);
    let garbage = |file: &Path| {
        let len = fs::metadata(file).unwrap().len() as usize;
        let garbage: Vec<u8> = (0..len).map(|n| (n * 131 % 251) as u8).collect();
        fs::write(file, garbage).unwrap();
    };
    let halve = |file: &Path| {
        let len = fs::metadata(file).unwrap().len();
        let file = fs::File::options().write(true).open(file).unwrap();
        file.set_len(len / 2).unwrap();
    };
    let forget = |file: &Path| fs::remove_file(file).unwrap();
    let harms: [Harm<'_>; 6] = [
        ("sled's files are garbage", "/engine-", &garbage),
        ("sled's files are cut", "/engine-", &halve),
        ("sled's files are missing", "/engine-", &forget),
        ("the pointer is garbage", "/CURRENT", &garbage),
        ("the markers are garbage", ".marker", &garbage),
        ("everything is missing", "", &forget),
    ];
    for (harm, which, harm_file) in harms {
        node.stop();
        let files = files_below(&node.data.join("store"));
        let hit: Vec<_> = files
            .iter()
            .filter(|file| file.to_string_lossy().contains(which))
            .collect();
        assert!(
            !hit.is_empty(),
            "a stopped node has a working store: {files:?}"
        );
        for file in hit {
            harm_file(file);
        }
        node = world.start("n1", &[]);
        assert_eq!(scan(&node.address(), b"k/"), expected, "{harm}");
    }
}

fn files_below(folder: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    let mut open = vec![folder.to_path_buf()];
    while let Some(folder) = open.pop() {
        for entry in fs::read_dir(folder).into_iter().flatten() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                open.push(path);
            } else {
                files.push(path);
            }
        }
    }
    files
}

#[test]
fn a_minority_says_no_quorum_within_the_deadline_and_heals() {
    let world = World::new();
    let mut nodes = world.cluster(3, &[]);
    nodes[0].kv().put("before", "1").expect("a write");
    until("every node has it", SOON, || {
        let mut kv = nodes[2].kv();
        kv.get_serializable("before").ok()?
    });
    let mut lost: Vec<Node> = nodes.drain(..2).collect();
    let kept: Vec<_> = lost
        .iter()
        .map(|node| {
            (
                node.name.clone(),
                node.address(),
                node.record().peer_address.clone(),
            )
        })
        .collect();
    for node in &mut lost {
        node.kill();
    }
    let survivor = &nodes[0];
    let mut kv = survivor.kv();
    // The first write may be on its way while the leader dies; then it is said to be unknown.
    until("the survivor knows that it is alone", SOON, || {
        let status = kv.put_within("x", "1", Duration::from_secs(2)).err()?;
        (code_of(&status).1 == "no_quorum").then_some(())
    });
    let deadline = Duration::from_secs(3);
    let begin = Instant::now();
    let status = kv
        .put_within("x", "1", deadline)
        .expect_err("there is no majority");
    assert_eq!(
        code_of(&status),
        (Code::Unavailable, "no_quorum".to_owned())
    );
    assert!(
        begin.elapsed() <= deadline,
        "it answered after {:?}",
        begin.elapsed()
    );
    // A busy machine may be late with the node's word once; it never answers with a value.
    until("a linearizable read says so too", SOON, || {
        let status = kv.get("before").expect_err("a read needs a majority");
        (code_of(&status).1 == "no_quorum").then_some(())
    });
    let stale = kv
        .get_serializable("before")
        .expect("a read that may be stale does not");
    assert_eq!(stale, Some(Bytes::from_static(b"1")));
    let done = world.cli(&["-h", &survivor.address(), "set", "x", "1"]);
    done.failed(5, "no_quorum");
    let rows = survivor.members().expect("it answers who is there");
    assert_eq!(rows.len(), 3, "unreachable members are rows");
    assert_eq!(rows.iter().filter(|row| row.reachable).count(), 1);

    let (name, client, peer) = &kept[0];
    let more = ["--listen", client.as_str(), "--peer-listen", peer.as_str()];
    let _back = Node::start(&world, name, &["start"], &more).ready();
    until("writes go on with a majority", SOON, || {
        kv.put("x", "2").ok()
    });
}

#[test]
fn a_failing_node_does_not_stop_the_others() {
    let world = World::new();
    let mut nodes = world.cluster(3, &[]);
    let journal = Journal::default();
    let follower = until("a follower", SOON, || {
        nodes.iter().position(|node| !node.leads())
    });
    nodes[follower].stop();
    let path = segment(&nodes[follower].data);
    let whole = fs::read(&path).unwrap();
    let starts = records(&whole);
    let mut bytes = whole;
    bytes[starts[starts.len() / 2] + 1] ^= 1;
    fs::write(&path, &bytes).unwrap();
    let data = nodes[follower].data.display().to_string();
    let name = nodes[follower].name.clone();
    world
        .server(&["start", "--name", &name, "--data", &data])
        .failed(1, "data_corrupt");
    let others: Vec<_> = (0..3)
        .filter(|n| *n != follower)
        .map(|n| nodes[n].address())
        .collect();
    let writers = Writers::start(&journal, &others, 2);
    until("the others acknowledge writes", SOON, || {
        (writers.acknowledged() >= 100).then_some(())
    });
    writers.stop();
    for address in &others {
        journal.check(&scan(address, b""), address);
    }
}
