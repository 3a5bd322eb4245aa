//! The short block that a node prints when it is ready: who it is, where it is, what to type next.

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use serde::{Deserialize, Serialize};

/// Where a node comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Beginning {
    /// It joined the cluster now.
    Joined,
    /// It founded the cluster now.
    New,
    /// It was here before.
    Resumed,
}

impl fmt::Display for Beginning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Beginning::Joined => "joined",
            Beginning::New => "new",
            Beginning::Resumed => "resumed",
        })
    }
}

/// What the block says.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Block {
    /// The version of the program.
    pub(crate) version: String,
    /// The cluster's name.
    pub(crate) cluster: String,
    /// The node's id.
    pub(crate) node_id: u64,
    /// The cluster's id, as it is written.
    pub(crate) cluster_id: String,
    /// The node's name.
    pub(crate) name: String,
    /// What the node does: leader, follower, learner.
    pub(crate) role: String,
    /// Where the node comes from.
    pub(crate) beginning: Beginning,
    /// How long it took.
    #[serde(rename = "ready_in_ms", with = "milliseconds")]
    pub(crate) ready_in: Duration,
    /// Where the data is.
    pub(crate) data: PathBuf,
    /// Where the log goes, when not to the terminal.
    pub(crate) log: Option<PathBuf>,
    /// The process, when it is not the one that prints.
    pub(crate) pid: Option<u32>,
    /// Where clients reach it.
    pub(crate) client: String,
    /// Where peers reach it.
    pub(crate) peer: String,
    /// Whether `hstore-cli` finds the node by itself.
    pub(crate) found_alone: bool,
    /// Whether other machines can connect without protection.
    pub(crate) insecure: bool,
}

impl fmt::Display for Block {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "hstore {}  cluster {} ({})  node {} ({})  ready in {}",
            self.version,
            self.cluster,
            self.beginning,
            self.name,
            self.role,
            super::duration(self.ready_in),
        )?;
        let line =
            |f: &mut fmt::Formatter<'_>, head: &str, text: &str| write!(f, "\n  {head:<10} {text}");
        write!(f, "  {:<10} {}", "data", super::path(&self.data))?;
        if let Some(log) = &self.log {
            line(f, "log", &super::path(log))?;
        }
        if let Some(pid) = self.pid {
            line(f, "process", &format!("{pid}, in the background"))?;
        }
        line(
            f,
            "client",
            &format!("http://{}  (hstore, etcd v3, HTTP)", self.client),
        )?;
        line(f, "dashboard", &format!("http://{}/", self.client))?;
        line(f, "peers", &self.peer)?;
        line(f, "cluster id", &self.cluster_id)?;
        let host = if self.found_alone {
            String::new()
        } else {
            format!("-h {} ", self.client)
        };
        line(f, "try", &format!("hstore-cli {host}set foo bar"))?;
        line(
            f,
            "add a node",
            &format!("hstore-server join {}", self.client),
        )?;
        if self.insecure {
            line(
                f,
                "insecure",
                "other machines can read and change everything, unencrypted",
            )?;
        }
        Ok(())
    }
}

/// A duration as programs read it.
mod milliseconds {
    use std::time::Duration;

    use serde::{Deserialize as _, Deserializer, Serializer};

    pub(super) fn serialize<S: Serializer>(value: &Duration, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_u64(u64::try_from(value.as_millis()).unwrap_or(u64::MAX))
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Duration, D::Error> {
        u64::deserialize(from).map(Duration::from_millis)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_block_says_who_where_and_what_to_type_next() {
        let block = Block {
            version: "0.1.0".to_owned(),
            cluster: "k7f2".to_owned(),
            node_id: 1,
            cluster_id: "00000000000000c1".to_owned(),
            name: "n1".to_owned(),
            role: "leader".to_owned(),
            beginning: Beginning::New,
            ready_in: Duration::from_millis(412),
            data: PathBuf::from("/data/n1"),
            log: None,
            pid: None,
            client: "127.0.0.1:2379".to_owned(),
            peer: "127.0.0.1:2380".to_owned(),
            found_alone: true,
            insecure: false,
        };
        assert_eq!(
            block.to_string(),
            "hstore 0.1.0  cluster k7f2 (new)  node n1 (leader)  ready in 412 ms\n\
             \x20 data       /data/n1\n\
             \x20 client     http://127.0.0.1:2379  (hstore, etcd v3, HTTP)\n\
             \x20 dashboard  http://127.0.0.1:2379/\n\
             \x20 peers      127.0.0.1:2380\n\
             \x20 cluster id 00000000000000c1\n\
             \x20 try        hstore-cli set foo bar\n\
             \x20 add a node hstore-server join 127.0.0.1:2379"
        );
        let resumed = Block {
            beginning: Beginning::Resumed,
            found_alone: false,
            ..block
        };
        let text = resumed.to_string();
        assert!(text.contains("(resumed)"), "{text}");
        assert!(text.contains("hstore-cli -h 127.0.0.1:2379 set"), "{text}");
    }
}
