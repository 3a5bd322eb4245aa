//! Wrong ports, folders, hosts, flags, files and requests: each gets a clear answer with a stable
//! code, and changes nothing.

use std::fs;
use std::net::TcpListener;
use std::time::Duration;

use bytes::Bytes;
use hstore_proto::etcdserverpb::request_op::Request as Step;
use hstore_proto::etcdserverpb::{PutRequest, RequestOp, TxnRequest};
use tonic::Code;

use crate::harness::{World, code_of, not_run, tmpfs};

#[test]
fn a_named_port_that_is_taken_is_a_conflict() {
    let world = World::new();
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let data = world.data("n1").display().to_string();
    for flag in ["--listen", "--peer-listen"] {
        let done = world.server(&["start", "--data", &data, flag, &address]);
        done.failed(4, "port_in_use").says(&address);
        let done = world.server(&["--output", "json", "start", "--data", &data, flag, &address]);
        let last = done.talk.trim_end().lines().last().unwrap_or_default();
        let error: serde_json::Value = serde_json::from_str(last).expect("errors are JSON too");
        assert_eq!(error["error"]["code"], "port_in_use", "{error}");
    }
}

#[test]
fn a_data_folder_in_use_is_left_alone() {
    let world = World::new();
    let node = world.start("n1", &[]);
    let data = node.data.display().to_string();
    for verb in [vec!["start"], vec!["join", &node.address()]] {
        let mut line = verb;
        line.extend(["--data", &data]);
        world.server(&line).failed(4, "data_in_use");
    }
    node.kv()
        .put("still", "there")
        .expect("the first one goes on");
}

#[test]
fn a_data_folder_that_cannot_be_made_or_written_is_said_so() {
    let world = World::new();
    let file = world.file("file", b"not a folder");
    let inside = file.join("data").display().to_string();
    world
        .server(&["start", "--data", &inside])
        .failed(1, "data_unusable");
    let file = file.display().to_string();
    world
        .server(&["start", "--data", &file])
        .failed(1, "data_unusable");

    let room = world.path("room");
    match tmpfs(&room, "size=1m") {
        Err(why) => not_run("read-only data folder", &why),
        Ok(mount) => {
            mount.remount("ro");
            let data = room.join("data").display().to_string();
            world
                .server(&["start", "--data", &data])
                .failed(6, "data_unusable");
        }
    }
}

#[test]
fn a_data_folder_of_another_cluster_is_refused() {
    let world = World::new();
    let mut one = world.start("n1", &["--cluster", "one"]);
    let two = world.start("m1", &["--cluster", "two"]);
    one.stop();
    let data = one.data.display().to_string();
    let address = two.address();
    for line in [vec!["start", "--cluster", "two"], vec!["join", &address]] {
        let mut line = line;
        line.extend(["--name", "n1", "--data", &data]);
        world.server(&line).failed(4, "cluster_mismatch");
    }
    let one = world.start("n1", &["--cluster", "one"]);
    one.kv().put("a", "1").expect("nothing was changed");
    assert_eq!(two.members().map(|rows| rows.len()), Some(1));
}

#[test]
fn a_data_folder_of_a_newer_format_is_refused() {
    let world = World::new();
    let mut node = world.start("n1", &[]);
    node.kv().put("a", "1").expect("a write");
    node.stop();
    let segment = fs::read_dir(node.data.join("wal"))
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .find(|path| path.extension().is_some_and(|end| end == "wal"))
        .expect("a log has a segment");
    let data = node.data.display().to_string();
    for (file, version_at) in [(node.data.join("identity"), 0), (segment, 7)] {
        let whole = fs::read(&file).unwrap();
        let mut newer = whole.clone();
        newer[version_at] = 99;
        fs::write(&file, &newer).unwrap();
        world
            .server(&["start", "--name", "n1", "--data", &data])
            .failed(1, "format_too_new");
        assert_eq!(
            fs::read(&file).unwrap(),
            newer,
            "a refused start changes nothing"
        );
        fs::write(&file, &whole).unwrap();
    }
    let node = world.start("n1", &[]);
    assert_eq!(node.kv().get("a").unwrap(), Some(Bytes::from_static(b"1")));
}

#[test]
fn joining_nobody_founds_nothing() {
    let world = World::new();
    let closed = {
        let held = TcpListener::bind("127.0.0.1:0").unwrap();
        held.local_addr().unwrap().to_string()
    };
    let data = world.data("n1").display().to_string();
    // A port that is closed, and one where something else listens and says nothing useful.
    let foreign = TcpListener::bind("127.0.0.1:0").unwrap();
    let strange = foreign.local_addr().unwrap().to_string();
    let talker = std::thread::spawn(move || {
        use std::io::Write as _;
        foreign.set_nonblocking(false).unwrap();
        for connection in foreign.incoming().take(3) {
            let mut connection = connection.unwrap();
            drop(connection.write_all(b"SSH-2.0-something else\r\n"));
        }
    });
    drop(talker);
    for host in [
        closed.as_str(),
        strange.as_str(),
        "no-such-host.invalid:2379",
    ] {
        let done = world.server(&["join", host, "--data", &data]);
        done.failed(5, "unreachable");
    }
    let done = world.server(&["join", "--data", &data]);
    done.failed(3, "node_not_found");
    let done = world.server(&["join", "--data", &data, "--seeds", &closed]);
    assert_ne!(done.code, 0, "{done:?}");
    let done = world.server(&["list"]);
    assert_eq!(done.talk.matches("panicked").count(), 0, "{done:?}");
    assert!(
        !world.data("n1").join("wal").exists(),
        "no cluster was founded"
    );
    // The folder is as good as new.
    let node = world.start("n1", &[]);
    node.kv().put("a", "1").expect("a write");
}

#[test]
fn requests_beyond_the_limits_are_refused_as_etcd_refuses_them() {
    let world = World::new();
    let node = world.start("n1", &[]);
    let mut kv = node.kv();
    let put = |n: usize| RequestOp {
        request: Some(Step::RequestPut(PutRequest {
            key: Bytes::from(format!("k{n}")),
            value: Bytes::from_static(b"v"),
            ..PutRequest::default()
        })),
    };
    let txn = |steps: Vec<RequestOp>| TxnRequest {
        success: steps,
        ..TxnRequest::default()
    };
    let status = kv.put("", "v").expect_err("an empty key");
    assert_eq!(
        code_of(&status),
        (Code::InvalidArgument, "empty_key".to_owned())
    );
    assert_eq!(status.message(), "etcdserver: key is not provided");

    let status = kv.put("k", vec![0; 2 << 20]).expect_err("a large value");
    assert_eq!(
        code_of(&status),
        (Code::InvalidArgument, "request_too_large".to_owned())
    );
    assert_eq!(status.message(), "etcdserver: request is too large");

    let status = kv.put(vec![b'k'; 9 << 10], "v").expect_err("a long key");
    assert_eq!(code_of(&status).1, "key_too_large");

    let status = kv
        .txn(txn((0..129).map(put).collect()))
        .expect_err("too many");
    assert_eq!(
        code_of(&status),
        (Code::InvalidArgument, "too_many_operations".to_owned())
    );
    assert_eq!(
        status.message(),
        "etcdserver: too many operations in txn request"
    );

    let status = kv.txn(txn(vec![put(1), put(1)])).expect_err("twice");
    assert_eq!(
        code_of(&status),
        (Code::InvalidArgument, "duplicate_key".to_owned())
    );
    assert_eq!(
        status.message(),
        "etcdserver: duplicate key given in txn request"
    );

    // What is just within the limits goes through, on the same connection.
    kv.put(vec![b'k'; 8 << 10], "v").expect("the longest key");
    kv.put("k", vec![0; (3 << 19) - 64])
        .expect("nearly the largest request");
    kv.txn(txn((0..128).map(put).collect()))
        .expect("128 operations");
    assert!(kv.count().expect("it serves") >= 130);
}

#[test]
fn limits_are_settings() {
    let world = World::new();
    let limits = [
        "--max-request-bytes",
        "4MiB",
        "--max-key-bytes",
        "16",
        "--max-txn-ops",
        "2",
    ];
    let node = world.start("n1", &limits);
    let mut kv = node.kv();
    kv.put("k", vec![7; 3 << 20]).expect("three MiB");
    let status = kv
        .put("a key of many bytes", "v")
        .expect_err("more than 16 bytes");
    assert_eq!(code_of(&status).1, "key_too_large");
    assert_eq!(kv.get("k").unwrap().map(|value| value.len()), Some(3 << 20));
}

#[test]
fn the_command_line_says_what_is_wrong_with_a_key_or_value() {
    let world = World::new();
    let node = world.start("n1", &[]);
    let address = node.address();
    let large = world
        .file("large", &vec![b'x'; 2 << 20])
        .display()
        .to_string();
    let long = "k".repeat(9 << 10);
    for (line, code) in [
        (vec!["set", "", "v"], "empty_key"),
        (vec!["set", "k", "--file", &large], "request_too_large"),
        (vec!["set", &long, "v"], "key_too_large"),
    ] {
        let mut whole = vec!["-h", address.as_str()];
        whole.extend(line);
        let done = world.cli(&whole);
        assert_eq!(
            done.code,
            2,
            "{:?}",
            done.talk.chars().take(600).collect::<String>()
        );
        assert!(
            done.talk.contains(code),
            "{}",
            done.talk.chars().take(600).collect::<String>()
        );
    }
}

#[test]
fn malformed_flags_are_usage_errors() {
    let world = World::new();
    let data = world.data("n1").display().to_string();
    for line in [
        vec!["start", "--no-such-flag"],
        vec!["strat"],
        vec!["start", "--cache-bytes", "lots"],
        vec!["start", "--heartbeat", "5"],
        vec!["start", "--listen", "127.0.0.1:99999"],
        vec!["start", "--listen", "not an address"],
        vec!["start", "--election", "10ms", "--heartbeat", "100ms"],
        vec!["start", "--log-format", "xml"],
        vec!["start", "--name", ""],
        vec!["start", "--listen", "0.0.0.0:0"],
        vec!["join", "http://a b"],
        vec!["stop"],
    ] {
        let mut whole = line.clone();
        if ["start", "join"].contains(&line[0]) {
            whole.extend(["--data", &data]);
        }
        let done = world.server(&whole);
        assert_eq!(done.code, 2, "{line:?}: {done:?}");
        assert!(!done.talk.contains("panicked"), "{line:?}: {done:?}");
        assert!(!done.talk.trim().is_empty(), "{line:?} is explained");
    }
    assert!(
        !world.data("n1").join("identity").exists(),
        "a usage error founds nothing"
    );
}

#[test]
fn malformed_files_and_variables_name_the_place() {
    let world = World::new();
    let data = world.data("n1").display().to_string();
    for (content, words) in [
        ("cache-byte = \"1GiB\"\n", "cache-byte"),
        ("cache-bytes = \n", "line"),
        ("cache-bytes = \"lots\"\n", "cache-bytes"),
        ("max-txn-ops = \"many\"\n", "max-txn-ops"),
        ("[node]\nname = \"n1\"\n", "node"),
    ] {
        let file = world
            .file("settings", content.as_bytes())
            .display()
            .to_string();
        for verb in [vec!["start", "--data", &data], vec!["config", "check"]] {
            let mut line = verb;
            line.extend(["--config", &file]);
            world.server(&line).failed(2, "invalid_config").says(words);
        }
    }
    let missing = world.path("nothing").display().to_string();
    let done = world.server(&["start", "--data", &data, "--config", &missing]);
    assert_eq!(done.code, 2, "{done:?}");

    let mut command = world.command(crate::harness::server_binary());
    command
        .args(["config", "check"])
        .env("HSTORE_CACHE_BYTES", "lots");
    world
        .finish(&mut command)
        .failed(2, "invalid_config")
        .says("HSTORE_CACHE_BYTES");

    let node = world.start("n1", &[]);
    let address = node.address();
    let lines = world.file("lines", b"{\"key\":\"a\",\"value\":\"1\"}\nnot json\n");
    let lines = lines.display().to_string();
    let done = world.cli(&["-h", &address, "import", &lines]);
    assert_ne!(done.code, 0, "{done:?}");
    done.says("2");
    let missing = world.path("nothing").display().to_string();
    let done = world.cli(&["-h", &address, "import", &missing]);
    assert_ne!(done.code, 0, "{done:?}");
}

#[test]
fn garbage_on_the_wire_harms_nobody() {
    use std::io::{Read as _, Write as _};
    let world = World::new();
    let node = world.start("n1", &[]);
    let peer = node.record().peer_address.clone();
    for address in [node.address(), peer] {
        for garbage in [
            &b"GET / HTTP/1.1\r\nhost: x\r\n\r\n"[..],
            &[0xff; 4096][..],
            &b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\xff\xff\xff\xff\xff\xff\xff\xff\xff"[..],
        ] {
            let mut socket = std::net::TcpStream::connect(&address).unwrap();
            socket
                .set_read_timeout(Some(Duration::from_secs(1)))
                .unwrap();
            // The node may close before everything is written; that is its right.
            drop(socket.write_all(garbage));
            let mut answer = Vec::new();
            drop(socket.read_to_end(&mut answer));
        }
    }
    node.kv().put("a", "1").expect("it serves as before");
}
