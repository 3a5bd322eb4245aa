//! What a node is told: flag over `HSTORE_*` variable over settings file over default, merged key
//! by key, checked once, valid ever after.
//!
//! It knows no node and opens nothing but the settings file it is given. Invariants: (1) every
//! problem is reported, not only the first; (2) a `Settings` that exists makes sense.

mod file;
mod history;
mod keys;
mod layers;
pub(crate) mod shared;
mod units;

use std::fmt::Write as _;
use std::path::PathBuf;
use std::time::Duration;

use hstore_core::error::ErrorCode;
use hstore_core::limits::Limits;
use hstore_core::settings::{CACHE_BYTES, HEARTBEAT_MS, QUOTA_BYTES_MIN, is_node_name};
use hstore_node::KeepHistory;

pub(crate) use file::{Record, Sources};
pub(crate) use keys::{KEYS, Key, Kind};
pub(crate) use layers::{Layer, Origin, items};
pub(crate) use units::{Endpoint, parse_duration, show_bytes, show_duration};

use crate::fault::Fault;
use units::parse_bytes;

/// How log lines are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum LogFormat {
    /// One JSON object a line.
    Json,
    /// For people.
    Text,
}

/// Everything a node is told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Settings {
    /// The node's name, if it was named.
    pub(crate) name: Option<String>,
    /// The data folder, if it was named.
    pub(crate) data: Option<PathBuf>,
    /// The cluster's name, if it was named.
    pub(crate) cluster: Option<String>,
    /// Where to listen for clients, if it was named.
    pub(crate) listen: Option<Endpoint>,
    /// Where to listen for peers, if it was named.
    pub(crate) peer_listen: Option<Endpoint>,
    /// The host that others are told.
    pub(crate) advertise: Option<String>,
    /// Nodes to look for.
    pub(crate) seeds: Vec<String>,
    /// More host names that clients reach the node by.
    pub(crate) allowed_hosts: Vec<String>,
    /// Whether other machines may connect without protection.
    pub(crate) insecure: bool,
    /// Memory for values.
    pub(crate) cache_bytes: u64,
    /// What the door lets in.
    pub(crate) limits: Limits,
    /// Most client connections at a time.
    pub(crate) connections_max: usize,
    /// How often the leader speaks.
    pub(crate) heartbeat: Duration,
    /// How long a silence is borne.
    pub(crate) election: Duration,
    /// How much log before a snapshot.
    pub(crate) snapshot_log_bytes: u64,
    /// How much room the store may take.
    pub(crate) quota_bytes: Option<u64>,
    /// How much history is kept.
    pub(crate) keep_history: KeepHistory,
    /// Where traces are sent.
    pub(crate) otlp_endpoint: Option<String>,
    /// So many of a million calls are traced.
    pub(crate) trace_ratio: u32,
    /// The bound of a graceful stop.
    pub(crate) stop_timeout: Duration,
    /// What is logged.
    pub(crate) log_level: String,
    /// How it is written.
    pub(crate) log_format: LogFormat,
}

/// Why settings make no sense: every problem that was found.
#[derive(Debug, thiserror::Error)]
#[error("{}", sentences(.problems))]
pub(crate) struct SettingsError {
    problems: Vec<Problem>,
}

/// One thing that makes no sense.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Problem {
    /// The file cannot be read.
    #[error("the settings file {} cannot be read: {source}", path.display())]
    Unreadable {
        /// Which.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// The file is not TOML.
    #[error("{}, line {line}: {message}", path.display())]
    Malformed {
        /// Which.
        path: PathBuf,
        /// Where.
        line: usize,
        /// What.
        message: String,
    },
    /// The file has a key that is no setting.
    #[error("{}: there is no setting \"{key}\"{}", path.display(), meant(nearest.as_deref()))]
    UnknownKey {
        /// Which file.
        path: PathBuf,
        /// The key.
        key: String,
        /// What may be meant.
        nearest: Option<String>,
    },
    /// A variable is all but a setting.
    #[error("the environment variable {variable} is no setting; did you mean {nearest}?")]
    UnknownVariable {
        /// The variable.
        variable: String,
        /// What is meant.
        nearest: String,
    },
    /// The file has a value of another kind.
    #[error("{}: {key} wants {wanted}, not a value of type {found}", path.display())]
    WrongType {
        /// Which file.
        path: PathBuf,
        /// The key.
        key: &'static str,
        /// What is there.
        found: &'static str,
        /// What should be.
        wanted: &'static str,
    },
    /// A value that cannot be read.
    #[error("{key} \"{value}\" ({origin}) makes no sense: {wanted}")]
    Value {
        /// The setting.
        key: &'static str,
        /// As it was given.
        value: String,
        /// By whom.
        origin: Origin,
        /// What it should be.
        wanted: String,
    },
    /// Two values that do not go together.
    #[error("{0}")]
    Together(String),
}

fn sentences(problems: &[Problem]) -> String {
    let mut text = String::new();
    for (index, problem) in problems.iter().enumerate() {
        let separator = if index == 0 { "" } else { "; " };
        write!(text, "{separator}{problem}").expect("writing to a String cannot fail");
    }
    text
}

fn meant(nearest: Option<&str>) -> String {
    nearest.map_or_else(String::new, |name| format!("; did you mean \"{name}\"?"))
}

impl SettingsError {
    /// An error, if there is a problem.
    pub(crate) fn of(problems: Vec<Problem>) -> Option<SettingsError> {
        (!problems.is_empty()).then_some(SettingsError { problems })
    }

    /// The error of one problem.
    pub(crate) fn one(problem: Problem) -> SettingsError {
        SettingsError {
            problems: vec![problem],
        }
    }
}

impl From<SettingsError> for Fault {
    fn from(error: SettingsError) -> Fault {
        Fault::new(ErrorCode::InvalidConfig, error.to_string())
            .hint("hstore-server config print --origin   shows every setting and who set it")
    }
}

impl Settings {
    /// What the merged layers mean.
    pub(crate) fn of(layer: &Layer) -> Result<Settings, SettingsError> {
        let mut read = Reader {
            layer,
            problems: Vec::new(),
        };
        let settings = Settings {
            name: read.word("name"),
            data: read.text("data").map(PathBuf::from),
            cluster: read.word("cluster"),
            listen: read.endpoint("listen"),
            peer_listen: read.endpoint("peer-listen"),
            advertise: read.host("advertise"),
            seeds: read.list("seeds", "HOST or HOST:PORT", |_| true),
            allowed_hosts: read.list("allowed-hosts", "a host name without a port", |endpoint| {
                let in_names = |c: char| c.is_ascii_alphanumeric() || "-._".contains(c);
                endpoint.port.is_none() && endpoint.host.chars().all(in_names)
            }),
            insecure: read.switch("insecure"),
            cache_bytes: read.cache(),
            limits: Limits {
                request_bytes_max: read.bytes("max-request-bytes", 1 << 10, 64 << 20) as usize,
                key_bytes_max: read.bytes("max-key-bytes", 1, 1 << 20) as usize,
                txn_operations_max: read.count("max-txn-ops", 1, 65_536) as usize,
                ..Limits::default()
            },
            connections_max: read.count("max-connections", 1, 1_000_000) as usize,
            heartbeat: read.heartbeat(),
            election: read.duration("election", 50, 120_000),
            snapshot_log_bytes: read.bytes("snapshot-log-bytes", 64 << 10, 1 << 40),
            quota_bytes: read.quota(),
            keep_history: read.history(),
            otlp_endpoint: read.collector(),
            trace_ratio: read.ratio(),
            stop_timeout: read.duration("stop-timeout", 100, 600_000),
            log_level: read.level(),
            log_format: read.format(),
        };
        let mut problems = read.problems;
        if problems.is_empty() {
            settings.check_together(&mut problems);
        }
        SettingsError::of(problems).map_or(Ok(settings), Err)
    }

    fn check_together(&self, problems: &mut Vec<Problem>) {
        if self.election < self.heartbeat * 3 {
            problems.push(Problem::Together(format!(
                "election {} is less than three times heartbeat {}: one late heartbeat would cost the leader its place",
                show_duration(self.election),
                show_duration(self.heartbeat),
            )));
        }
        if self.limits.key_bytes_max > self.limits.request_bytes_max {
            problems.push(Problem::Together(format!(
                "max-key-bytes {} is more than max-request-bytes {}",
                show_bytes(self.limits.key_bytes_max as u64),
                show_bytes(self.limits.request_bytes_max as u64),
            )));
        }
        if let (Some(client), Some(peer)) = (&self.listen, &self.peer_listen)
            && client == peer
            && client.port.is_some_and(|port| port != 0)
        {
            problems.push(Problem::Together(format!(
                "listen and peer-listen are both {client}: clients and peers each need a port"
            )));
        }
    }
}

/// Reads values out of a layer and collects what is wrong with them.
struct Reader<'a> {
    layer: &'a Layer,
    problems: Vec<Problem>,
}

impl Reader<'_> {
    fn text(&mut self, key: &'static str) -> Option<String> {
        let value = self.layer.get(key)?.value.clone();
        if value.trim().is_empty() {
            self.refuse(key, "it is empty");
            return None;
        }
        Some(value)
    }

    fn refuse(&mut self, key: &'static str, wanted: impl Into<String>) {
        let Some(given) = self.layer.get(key) else {
            return;
        };
        self.problems.push(Problem::Value {
            key,
            value: given.value.clone(),
            origin: given.origin.clone(),
            wanted: wanted.into(),
        });
    }

    /// Reads a value that has a default, so that it is always there.
    fn parsed<T>(
        &mut self,
        key: &'static str,
        fallback: T,
        wanted: &str,
        parse: impl FnOnce(&str) -> Option<T>,
    ) -> T {
        let parsed = self.layer.get(key).map(|given| parse(&given.value));
        match parsed {
            Some(Some(value)) => value,
            Some(None) => {
                self.refuse(key, wanted);
                fallback
            }
            None => fallback,
        }
    }

    fn word(&mut self, key: &'static str) -> Option<String> {
        let value = self.text(key)?;
        if is_name(&value) {
            return Some(value);
        }
        self.refuse(
            key,
            "use 1 to 63 letters, digits, '.', '_' or '-', and begin with a letter or a digit",
        );
        None
    }

    fn endpoint(&mut self, key: &'static str) -> Option<Endpoint> {
        let value = self.text(key)?;
        let endpoint = Endpoint::parse(&value);
        if endpoint.is_none() {
            self.refuse(key, "use HOST, HOST:PORT or [IPV6]:PORT");
        }
        endpoint
    }

    fn host(&mut self, key: &'static str) -> Option<String> {
        let value = self.text(key)?;
        if let Some(Endpoint { host, port: None }) = Endpoint::parse(&value) {
            return Some(host);
        }
        self.refuse(key, "use a host name or an IP address, without a port");
        None
    }

    /// Addresses with commas between.
    fn list(
        &mut self,
        key: &'static str,
        wanted: &str,
        is_good: impl Fn(&Endpoint) -> bool,
    ) -> Vec<String> {
        let Some(value) = self.layer.get(key).map(|given| given.value.clone()) else {
            return Vec::new();
        };
        let mut list = Vec::new();
        for item in layers::items(&value) {
            if !Endpoint::parse(item).is_some_and(|endpoint| is_good(&endpoint)) {
                self.refuse(key, format!("\"{item}\" is not {wanted}"));
            }
            list.push(item.to_owned());
        }
        list
    }

    fn switch(&mut self, key: &'static str) -> bool {
        self.parsed(key, false, "use true or false", |value| match value {
            "true" | "1" | "yes" | "on" => Some(true),
            "false" | "0" | "no" | "off" => Some(false),
            _ => None,
        })
    }

    fn bytes(&mut self, key: &'static str, min: u64, max: u64) -> u64 {
        let wanted = format!(
            "use a size from {} to {}, such as 64MiB",
            show_bytes(min),
            show_bytes(max)
        );
        self.parsed(key, min, &wanted, |value| {
            parse_bytes(value).filter(|bytes| (min..=max).contains(bytes))
        })
    }

    fn count(&mut self, key: &'static str, min: u64, max: u64) -> u64 {
        let wanted = format!("use a whole number from {min} to {max}");
        self.parsed(key, min, &wanted, |value| {
            value
                .parse()
                .ok()
                .filter(|count| (min..=max).contains(count))
        })
    }

    fn duration(&mut self, key: &'static str, min_ms: u64, max_ms: u64) -> Duration {
        let (min, max) = (Duration::from_millis(min_ms), Duration::from_millis(max_ms));
        let wanted = format!(
            "use a time from {} to {} with its unit, such as 250ms or 10s",
            show_duration(min),
            show_duration(max)
        );
        self.parsed(key, min, &wanted, |value| {
            parse_duration(value).filter(|duration| (min..=max).contains(duration))
        })
    }

    fn cache(&mut self) -> u64 {
        self.bytes("cache-bytes", CACHE_BYTES.0, CACHE_BYTES.1)
    }

    fn heartbeat(&mut self) -> Duration {
        self.duration("heartbeat", HEARTBEAT_MS.0, HEARTBEAT_MS.1)
    }

    fn quota(&mut self) -> Option<u64> {
        let wanted = format!(
            "use off, or a size of at least {}",
            show_bytes(QUOTA_BYTES_MIN)
        );
        self.parsed("quota-bytes", None, &wanted, |value| match value.trim() {
            "off" => Some(None),
            size => parse_bytes(size)
                .filter(|bytes| *bytes >= QUOTA_BYTES_MIN)
                .map(Some),
        })
    }

    fn history(&mut self) -> KeepHistory {
        let wanted = "use off, a time such as 72h, a count such as 100000 revisions, or both with a comma between";
        let fallback = KeepHistory::default();
        self.parsed("auto-compaction", fallback, wanted, history::parse)
    }

    fn collector(&mut self) -> Option<String> {
        let value = self.text("otlp-endpoint")?;
        if crate::otlp::endpoint(&value).is_some() {
            return Some(value);
        }
        self.refuse(
            "otlp-endpoint",
            "use http://HOST:PORT, where a collector takes OTLP over gRPC",
        );
        None
    }

    fn ratio(&mut self) -> u32 {
        let wanted = "use a number from 0 to 1, such as 0.01";
        self.parsed("trace-ratio", 0, wanted, |value| {
            let ratio: f64 = value.trim().parse().ok()?;
            let one = f64::from(crate::otlp::RATIO_ONE);
            (0.0..=1.0)
                .contains(&ratio)
                .then(|| (ratio * one).round() as u32)
        })
    }

    fn level(&mut self) -> String {
        let wanted =
            "use error, warn, info, debug, trace, or a filter such as info,hstore_node=debug";
        self.parsed("log-level", "info".to_owned(), wanted, |value| {
            let says = !value.is_empty() && crate::logging::is_filter(value);
            says.then(|| value.to_owned())
        })
    }

    fn format(&mut self) -> LogFormat {
        self.parsed(
            "log-format",
            LogFormat::Text,
            "use text or json",
            |value| match value {
                "text" => Some(LogFormat::Text),
                "json" => Some(LogFormat::Json),
                _ => None,
            },
        )
    }
}

/// Whether a word can name a node or a cluster: it becomes part of paths and of file names.
pub(crate) fn is_name(word: &str) -> bool {
    is_node_name(word)
}

#[cfg(test)]
mod tests;
