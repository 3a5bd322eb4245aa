//! The table of settings: one row is a flag, an environment variable, a key of the settings file
//! and a line of `config print`. Nothing else names a setting.
//!
//! Invariants: (1) the flag is `--name`, the variable `HSTORE_NAME` with `_` for `-`, the file's
//! key `name`; (2) a name is never given another meaning.

/// One setting.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Key {
    /// Its name, as a flag and in the file.
    pub(crate) name: &'static str,
    /// How its value is written.
    pub(crate) kind: Kind,
    /// The value when nobody says otherwise; none when that is decided at the start.
    pub(crate) default: Option<&'static str>,
    /// What stands for the value in help texts.
    pub(crate) value: &'static str,
    /// One line for help.
    pub(crate) help: &'static str,
}

/// How the value of a setting is written in a settings file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// A string, or a number of bytes.
    Bytes,
    /// A whole number.
    Count,
    /// `true` or `false`; the flag stands alone.
    Switch,
    /// A list of strings, or one string with commas.
    List,
    /// A string.
    Text,
}

const fn key(
    name: &'static str,
    kind: Kind,
    default: Option<&'static str>,
    value: &'static str,
    help: &'static str,
) -> Key {
    Key {
        name,
        kind,
        default,
        value,
        help,
    }
}

/// Every setting, in the order of help and of `config print`.
pub(crate) const KEYS: &[Key] = &[
    key(
        "name",
        Kind::Text,
        None,
        "NAME",
        "Name of the node, unique in its cluster [default: n1, n2, ...]",
    ),
    key(
        "data",
        Kind::Text,
        None,
        "DIR",
        "Data folder [default: ./hstore-data/NAME]",
    ),
    key(
        "cluster",
        Kind::Text,
        None,
        "CLUSTER",
        "Name of the cluster to found or to join",
    ),
    key(
        "listen",
        Kind::Text,
        None,
        "ADDR",
        "Where clients reach the node [default: 127.0.0.1, port 2379 or the next free one]",
    ),
    key(
        "peer-listen",
        Kind::Text,
        None,
        "ADDR",
        "Where other nodes reach the node [default: host of --listen, port 2380 or the next free one]",
    ),
    key(
        "advertise",
        Kind::Text,
        None,
        "HOST",
        "Host name or IP address by which others reach this machine [default: host of --listen]",
    ),
    key(
        "seeds",
        Kind::List,
        None,
        "HOSTS",
        "Nodes of the cluster to look for, HOST:PORT with commas between",
    ),
    key(
        "allowed-hosts",
        Kind::List,
        None,
        "NAMES",
        "More host names that clients reach the node by, such as a load balancer's",
    ),
    key(
        "insecure",
        Kind::Switch,
        Some("false"),
        "",
        "Allow other machines to connect, without encryption or passwords",
    ),
    key(
        "cache-bytes",
        Kind::Bytes,
        Some("64MiB"),
        "SIZE",
        "Memory for values that are read often",
    ),
    key(
        "max-request-bytes",
        Kind::Bytes,
        Some("1.5MiB"),
        "SIZE",
        "Largest request",
    ),
    key(
        "max-key-bytes",
        Kind::Bytes,
        Some("8KiB"),
        "SIZE",
        "Longest key",
    ),
    key(
        "max-txn-ops",
        Kind::Count,
        Some("128"),
        "N",
        "Most operations in a transaction",
    ),
    key(
        "max-connections",
        Kind::Count,
        Some("4096"),
        "N",
        "Most client connections at a time",
    ),
    key(
        "heartbeat",
        Kind::Text,
        Some("100ms"),
        "TIME",
        "How often the leader speaks to its followers",
    ),
    key(
        "election",
        Kind::Text,
        Some("400ms"),
        "TIME",
        "Silence of the leader after which a follower stands for election",
    ),
    key(
        "snapshot-log-bytes",
        Kind::Bytes,
        Some("64MiB"),
        "SIZE",
        "Log that is kept before a new snapshot file takes its place",
    ),
    key(
        "quota-bytes",
        Kind::Bytes,
        Some("off"),
        "SIZE",
        "Room that everything kept may take; beyond it nothing is written, or off",
    ),
    key(
        "auto-compaction",
        Kind::Text,
        Some("72h, 10000000 revisions"),
        "HISTORY",
        "History that is kept: a time such as 72h, a count such as 100000 revisions, both with a comma between, or off",
    ),
    key(
        "otlp-endpoint",
        Kind::Text,
        None,
        "URL",
        "Collector of OpenTelemetry that traces of calls are sent to, http://HOST:PORT (gRPC) [default: none]",
    ),
    key(
        "trace-ratio",
        Kind::Text,
        Some("1"),
        "RATIO",
        "Part of the calls that are traced, from 0 to 1, of those whose caller does not say",
    ),
    key(
        "stop-timeout",
        Kind::Text,
        Some("10s"),
        "TIME",
        "How long a graceful stop may take",
    ),
    key(
        "log-level",
        Kind::Text,
        Some("info"),
        "LEVEL",
        "error, warn, info, debug, trace, or a filter such as info,hstore_node=debug",
    ),
    key(
        "log-format",
        Kind::Text,
        Some("text"),
        "FORMAT",
        "text or json",
    ),
];

impl Key {
    /// The setting of that name.
    pub(crate) fn find(name: &str) -> Option<&'static Key> {
        KEYS.iter().find(|key| key.name == name)
    }

    /// Its environment variable.
    pub(crate) fn variable(&self) -> String {
        format!("HSTORE_{}", self.name.replace('-', "_").to_uppercase())
    }
}

/// The candidate that a person most likely meant by `word`, if one is near enough.
pub(crate) fn nearest<'a>(
    word: &str,
    candidates: impl Iterator<Item = &'a str>,
) -> Option<&'a str> {
    let bound = (word.chars().count() / 3).max(1) + 1;
    candidates
        .map(|candidate| (distance(word, candidate), candidate))
        .filter(|(distance, _)| *distance <= bound)
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, candidate)| candidate)
}

/// The edit distance (insert, delete, replace) of two words.
pub(crate) fn distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, left) in a.chars().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, right) in b.iter().enumerate() {
            let replaced = diagonal + usize::from(left != *right);
            diagonal = row[j + 1];
            row[j + 1] = replaced.min(diagonal + 1).min(row[j] + 1);
        }
    }
    row[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_is_there_once() {
        let mut names: Vec<_> = KEYS.iter().map(|key| key.name).collect();
        names.sort_unstable();
        let count = names.len();
        names.dedup();
        assert_eq!(names.len(), count);
    }

    #[test]
    fn the_nearest_name_is_offered_only_when_it_is_near() {
        let names = || KEYS.iter().map(|key| key.name);
        assert_eq!(nearest("cache_bytes", names()), Some("cache-bytes"));
        assert_eq!(nearest("lisen", names()), Some("listen"));
        assert_eq!(nearest("colour", names()), None);
    }
}
