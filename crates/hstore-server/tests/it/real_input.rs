//! Real input: the word list and the documents of this machine, imported through a follower while
//! the leader dies and a node joins from nothing.

use std::collections::BTreeMap;
use std::fs;
use std::io::Write as _;
use std::path::Path;
use std::process::Stdio;

use bytes::Bytes;

use crate::harness::{Kv, Node, SOON, World, cli_binary, not_run, scan, until};

const WORDS: &str = "/usr/share/dict/american-english";
const DOCUMENTS: &str = "/usr/share/doc";
/// Larger files stay outside: with its key such a pair no longer fits the largest request.
const FILE_BYTES_MAX: u64 = 1 << 20;
/// The documents that are taken, in the order of their paths, until there are so many bytes.
const DOCUMENT_BYTES_MAX: usize = 150 << 20;

#[test]
fn real_words_and_documents_survive_a_dead_leader_and_reach_a_new_node() {
    let Ok(words) = fs::read(WORDS) else {
        return not_run("real input", "there is no word list (package wamerican)");
    };
    let mut expected = BTreeMap::new();
    for (number, word) in words.split(|byte| *byte == b'\n').enumerate() {
        if !word.is_empty() {
            let value = Bytes::from((number + 1).to_string());
            expected.insert(Bytes::copy_from_slice(word), value);
        }
    }
    documents(Path::new(DOCUMENTS), &mut expected);
    let world = World::new();
    let mut nodes = world.cluster(3, &[]);
    let follower = until("a follower", SOON, || {
        nodes.iter().position(|node| !node.leads())
    });
    let input = world.path("input.jsonl");
    write_lines(&input, &expected);

    let address = nodes[follower].address();
    let mut import = world
        .command(cli_binary())
        .args(["-h", &address, "import"])
        .arg(&input)
        .stdout(Stdio::null())
        .stderr(fs::File::create(world.path("import.talk")).unwrap())
        .spawn()
        .unwrap();
    let half = expected.len() as i64 / 2;
    let mut kv = Kv::connect(&address);
    until("half of it is there", SOON * 5, || {
        (kv.count().ok()? >= half).then_some(())
    });
    let leader = until("a leader", SOON, || nodes.iter().position(Node::leads));
    assert_ne!(
        leader, follower,
        "the import does not go through the leader"
    );
    let mut dead = nodes.remove(leader);
    dead.kill();
    let status = until("the import ends", SOON * 5, || import.try_wait().unwrap());
    let talk = fs::read_to_string(world.path("import.talk")).unwrap_or_default();
    assert!(
        status.success(),
        "the import goes on without the leader: {talk}"
    );

    let (client, peer) = (dead.address(), dead.record().peer_address.clone());
    let name = dead.name.clone();
    let more = ["--listen", client.as_str(), "--peer-listen", peer.as_str()];
    nodes.push(Node::start(&world, &name, &["start"], &more).ready());
    let fourth = world.join("n4", &nodes[0], &[]);
    nodes.push(fourth);
    nodes[0].settled(4);

    let mut exports = Vec::new();
    for node in &nodes {
        let found = scan(&node.address(), b"");
        assert_eq!(found.len(), expected.len(), "{}", node.name);
        for (key, value) in &expected {
            assert_eq!(found.get(key), Some(value), "{} at {key:?}", node.name);
        }
        let address = node.address();
        let done = world.cli(&["-h", &address, "export"]);
        assert_eq!(done.code, 0, "{}", done.talk);
        exports.push((node.name.clone(), done.bytes));
    }
    for (name, export) in &exports[1..] {
        assert!(
            *export == exports[0].1,
            "{name} exports other bytes than {}",
            exports[0].0
        );
    }
}

/// Every file below a folder that is not too large: its path and its content.
fn documents(folder: &Path, pairs: &mut BTreeMap<Bytes, Bytes>) {
    let mut open = vec![folder.to_path_buf()];
    let mut total = 0;
    while let Some(folder) = open.pop() {
        let mut entries: Vec<_> = fs::read_dir(&folder)
            .into_iter()
            .flatten()
            .flatten()
            .collect();
        entries.sort_by_key(fs::DirEntry::file_name);
        for entry in entries {
            let path = entry.path();
            let Ok(metadata) = fs::symlink_metadata(&path) else {
                continue;
            };
            if metadata.is_dir() {
                open.push(path);
            } else if metadata.is_file()
                && metadata.len() <= FILE_BYTES_MAX
                && total + metadata.len() as usize <= DOCUMENT_BYTES_MAX
                && let Ok(content) = fs::read(&path)
            {
                total += content.len();
                let key = path.into_os_string().into_encoded_bytes();
                pairs.insert(key.into(), content.into());
            }
        }
    }
}

/// The pairs as `import` reads them.
fn write_lines(path: &Path, pairs: &BTreeMap<Bytes, Bytes>) {
    let mut file = std::io::BufWriter::new(fs::File::create(path).unwrap());
    for (key, value) in pairs {
        let mut line = serde_json::Map::new();
        for (name, bytes) in [("key", key), ("value", value)] {
            match std::str::from_utf8(bytes) {
                Ok(text) => line.insert(name.to_owned(), text.into()),
                Err(_) => line.insert(format!("{name}_b64"), base64(bytes).into()),
            };
        }
        serde_json::to_writer(&mut file, &line).unwrap();
        file.write_all(b"\n").unwrap();
    }
    file.flush().unwrap();
}

fn base64(bytes: &[u8]) -> String {
    const LETTERS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::with_capacity(bytes.len().div_ceil(3) * 4);
    for chunk in bytes.chunks(3) {
        let word = chunk
            .iter()
            .fold(0_u32, |word, byte| word << 8 | u32::from(*byte));
        let word = word << (8 * (3 - chunk.len()));
        for n in 0..4 {
            let letter = LETTERS[(word >> (18 - 6 * n)) as usize & 63];
            text.push(if n <= chunk.len() {
                letter as char
            } else {
                '='
            });
        }
    }
    text
}
