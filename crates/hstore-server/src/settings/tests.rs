//! Precedence, origins and refusals of settings.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::keys::Key;
use super::*;

fn layer(pairs: &[(&str, &str)], origin: &Origin) -> Layer {
    let mut layer = Layer::default();
    for (name, value) in pairs {
        let key = Key::find(name).expect("a setting of the table");
        layer.set(key, *value, origin.clone());
    }
    layer
}

fn flags(pairs: &[(&str, &str)]) -> Sources {
    Sources {
        flags: layer(pairs, &Origin::Flag),
        ..Sources::default()
    }
}

#[test]
fn a_flag_wins_over_a_variable_over_the_file_over_the_record_over_the_default() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let path = folder.path().join("hstore.toml");
    let names = ["name", "cluster", "cache-bytes", "heartbeat", "log-level"];
    fs::write(
        &path,
        "name = \"file\"\ncluster = \"file\"\ncache-bytes = \"3MiB\"\n",
    )
    .expect("written");
    let sources = Sources {
        flags: layer(&[("name", "flag")], &Origin::Flag),
        environment: BTreeMap::from([
            ("HSTORE_NAME".to_owned(), "variable".to_owned()),
            ("HSTORE_CLUSTER".to_owned(), "variable".to_owned()),
            ("HSTORE_SEEDS".to_owned(), String::new()),
        ]),
        config: Some(path.clone()),
    };
    let recorded = Origin::Recorded(PathBuf::from("/data/settings.toml"));
    let record = layer(
        &[
            ("name", "r"),
            ("cache-bytes", "2MiB"),
            ("heartbeat", "50ms"),
        ],
        &recorded,
    );
    let merged = sources.merge_over(record).expect("merged");
    let found: Vec<String> = names
        .iter()
        .map(|name| {
            let given = merged.get(name).expect("given");
            format!("{} from {}", given.value, given.origin)
        })
        .collect();
    assert_eq!(
        found,
        [
            "flag from flag".to_owned(),
            "variable from environment HSTORE_CLUSTER".to_owned(),
            format!("3MiB from file {}", path.display()),
            "50ms from last start, /data/settings.toml".to_owned(),
            "info from default".to_owned(),
        ]
    );
    let settings = Settings::of(&merged).expect("makes sense");
    assert_eq!(settings.cache_bytes, 3 << 20);
    assert_eq!(settings.heartbeat, Duration::from_millis(50));
    assert!(settings.seeds.is_empty());
}

#[test]
fn the_defaults_make_sense_and_limits_are_those_of_etcd() {
    let settings = Sources::default().settings().expect("makes sense");
    assert_eq!(settings.limits, Limits::default());
    assert_eq!(settings.cache_bytes, 64 << 20);
    assert!(!settings.insecure);
    assert_eq!(settings.otlp_endpoint, None);
    assert_eq!(settings.trace_ratio, crate::otlp::RATIO_ONE);
}

#[test]
fn values_that_make_no_sense_are_refused_with_their_origin() {
    for (name, value, part) in [
        ("name", "a/b", "letters"),
        ("name", "", "empty"),
        ("cluster", "-x", "letters"),
        ("listen", "127.0.0.1:x", "HOST:PORT"),
        ("listen", "http://127.0.0.1:1", "HOST:PORT"),
        ("peer-listen", "1.2.3.4:99999", "HOST:PORT"),
        ("advertise", "host:2379", "without a port"),
        ("seeds", "a:1,b:x", "\"b:x\" is not"),
        ("allowed-hosts", "a,b:80", "\"b:80\" is not"),
        ("allowed-hosts", "a,*", "\"*\" is not"),
        ("cache-bytes", "lots", "such as 64MiB"),
        ("cache-bytes", "10", "from 1MiB"),
        ("max-txn-ops", "0", "from 1"),
        ("max-txn-ops", "many", "whole number"),
        ("max-request-bytes", "1TiB", "64MiB"),
        ("heartbeat", "100", "with its unit"),
        ("election", "1h", "with its unit"),
        ("insecure", "perhaps", "true or false"),
        ("log-format", "xml", "text or json"),
        ("otlp-endpoint", "collector:4317", "http://HOST:PORT"),
        ("trace-ratio", "2", "from 0 to 1"),
        ("trace-ratio", "half", "from 0 to 1"),
        ("log-level", "=nonsense=", "error, warn"),
    ] {
        let error = flags(&[(name, value)])
            .settings()
            .expect_err(name)
            .to_string();
        assert!(error.contains(part), "{name} {value}: {error}");
        assert!(error.contains("(flag)"), "{name} {value}: {error}");
    }
}

#[test]
fn every_problem_is_reported_at_once() {
    let error = flags(&[("heartbeat", "x"), ("max-txn-ops", "x")])
        .settings()
        .expect_err("two problems")
        .to_string();
    assert!(
        error.contains("heartbeat") && error.contains("max-txn-ops"),
        "{error}"
    );
}

#[test]
fn values_that_do_not_go_together_are_refused() {
    for pairs in [
        [("heartbeat", "200ms"), ("election", "500ms")],
        [("max-key-bytes", "1MiB"), ("max-request-bytes", "512KiB")],
        [("listen", "127.0.0.1:7"), ("peer-listen", "127.0.0.1:7")],
    ] {
        let error = flags(&pairs).settings().expect_err("refused").to_string();
        assert!(
            pairs.iter().all(|(name, _)| error.contains(name)),
            "{error}"
        );
    }
    let free = flags(&[("listen", "127.0.0.1:0"), ("peer-listen", "127.0.0.1:0")]);
    assert!(free.settings().is_ok(), "two free ports are two ports");
}

#[test]
fn a_file_is_refused_with_the_place_and_the_nearest_key() {
    let path = Path::new("/etc/hstore.toml");
    let read = |text: &str| Layer::of_toml(text, path, &Origin::Default);
    for (text, part) in [
        ("cache_bytes = 1", "did you mean \"cache-bytes\"?"),
        ("colour = 1", "there is no setting \"colour\""),
        ("name = 3", "name wants a string"),
        ("seeds = [1]", "a list of strings"),
        ("insecure = 1", "true or false"),
        ("name = \"a\"\nname = ", "line 2"),
    ] {
        let error = read(text).expect_err(text).to_string();
        assert!(error.contains(part), "{text}: {error}");
        assert!(error.contains("/etc/hstore.toml"), "{text}: {error}");
    }
    let good =
        read("seeds = [\"a:1\", \"b\"]\ncache-bytes = 2097152\nmax-txn-ops = 9\ninsecure = true");
    let good = Settings::of(&good.expect("read").over(Layer::defaults())).expect("makes sense");
    assert_eq!(good.seeds, ["a:1", "b"]);
    assert_eq!(
        (
            good.cache_bytes,
            good.limits.txn_operations_max,
            good.insecure
        ),
        (2 << 20, 9, true)
    );
}

#[test]
fn a_variable_with_a_slip_of_the_finger_is_refused_and_a_foreign_one_is_not() {
    let read = |name: &str| Layer::of_environment([(name.to_owned(), "1".to_owned())]);
    let error = read("HSTORE_CACHE_BYTE").expect_err("a slip").to_string();
    assert!(
        error.contains("did you mean HSTORE_CACHE_BYTES?"),
        "{error}"
    );
    assert_eq!(
        read("HSTORE_SERVICE_PORT").expect("foreign"),
        Layer::default()
    );
    assert_eq!(
        read("HSTORE_RUNTIME_DIR").expect("not a setting"),
        Layer::default()
    );
}

#[test]
fn what_is_printed_is_read_back_the_same() {
    let sources = flags(&[
        ("seeds", "a:1, b:2"),
        ("insecure", "true"),
        ("name", "n1"),
        ("data", "/a b\"c"),
    ]);
    let merged = sources.merge().expect("merged");
    for with_origin in [false, true] {
        let text = merged.to_toml(with_origin);
        let read = Layer::of_toml(&text, Path::new("x"), &Origin::Flag).expect("read back");
        assert_eq!(
            Settings::of(&read).expect("makes sense"),
            Settings::of(&merged).expect("makes sense")
        );
    }
}

#[test]
fn a_record_brings_back_what_was_given_and_nothing_else() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    assert_eq!(Record::read(folder.path()).expect("none yet"), None);
    let merged = flags(&[("cache-bytes", "2MiB"), ("seeds", "a,b")])
        .merge()
        .expect("merged");
    let mut record = Record {
        name: "n1".to_owned(),
        joining: Some(vec!["a".to_owned()]),
        ..Record::default()
    };
    record.note(&merged);
    record.write(folder.path()).expect("written");
    let read = Record::read(folder.path()).expect("read").expect("there");
    assert_eq!(read, record);
    let layer = read.layer(folder.path()).expect("valid");
    assert_eq!(layer.iter().count(), 2);
    assert_eq!(layer.get("seeds").expect("noted").value, "a,b");
    fs::write(folder.path().join("settings.toml"), "name = [").expect("written");
    assert!(Record::read(folder.path()).is_err());
}
