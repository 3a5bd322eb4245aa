//! The nodes that run on this machine for this user: one small file each in a folder of the user.
//!
//! The server writes its file when its doors are open and takes it away when it ends in order; the
//! command line reads them, so that nobody types an address. The folder is a hint, never a truth:
//! whoever reads a record still asks the node who it is. This room must never open a socket.
//!
//! Invariants: (1) a file is written beside and renamed, so that a reader never sees half of one;
//! (2) a record of a process that is gone is never reported as running, also when its pid was given
//! to another process; (3) a folder that another user owns or may write to is not trusted.

use std::fs;
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

/// Longest record that is read; a longer file is not ours and is skipped.
const RECORD_BYTES_MAX: u64 = 64 * 1024;
/// Most records that are looked at; the rest, in the order of their file names, are skipped.
const RECORDS_MAX: usize = 1024;

/// What a running node says of itself to the other programs of its user.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct RunningNode {
    /// The node's name, unique in its cluster.
    pub name: String,
    /// Its process.
    pub pid: u32,
    /// When that process began, in the kernel's ticks since boot: tells it from a later process
    /// that was given the same pid. 0 where the system does not say.
    pub process_start: u64,
    /// Where clients reach it, `host:port`.
    pub client_address: String,
    /// Where its peers reach it, `host:port`.
    pub peer_address: String,
    /// The cluster's id, 16 hexadecimal digits.
    pub cluster_id: String,
    /// The cluster's name.
    pub cluster_name: String,
    /// The node's id.
    pub node_id: u64,
    /// Its data folder, absolute.
    pub data: PathBuf,
    /// The version of the program.
    pub version: String,
}

impl RunningNode {
    /// Whether the process that wrote the record still runs.
    pub fn is_alive(&self) -> bool {
        match process_start(self.pid) {
            None => false,
            Some(start) => self.process_start == 0 || start == 0 || start == self.process_start,
        }
    }

    /// The name of the record's file: one file per node of a cluster.
    fn file_name(&self) -> String {
        let id: String = self
            .cluster_id
            .chars()
            .filter(char::is_ascii_alphanumeric)
            .collect();
        format!("{id}-{}.json", self.node_id)
    }
}

/// The folder of records of one user.
#[derive(Clone, Debug)]
pub struct Registry {
    folder: PathBuf,
}

impl Registry {
    /// The folder of this user: `HSTORE_RUNTIME_DIR`, else `$XDG_RUNTIME_DIR/hstore`, else
    /// `/tmp/hstore-<uid>`.
    pub fn of_this_user() -> Registry {
        let named = |variable: &str| {
            std::env::var_os(variable)
                .filter(|value| !value.is_empty())
                .map(PathBuf::from)
        };
        let folder = named("HSTORE_RUNTIME_DIR")
            .or_else(|| named("XDG_RUNTIME_DIR").map(|folder| folder.join("hstore")))
            .unwrap_or_else(|| {
                std::env::temp_dir().join(format!("hstore-{}", rustix::process::getuid().as_raw()))
            });
        Registry { folder }
    }

    /// The records in `folder`.
    pub fn at(folder: impl Into<PathBuf>) -> Registry {
        Registry {
            folder: folder.into(),
        }
    }

    /// Where the records are.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// Writes the record of a node, in the place of its former one.
    pub fn publish(&self, node: &RunningNode) -> io::Result<()> {
        fs::DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(&self.folder)?;
        self.check_owner()?;
        let text = serde_json::to_vec_pretty(node).map_err(io::Error::other)?;
        let target = self.folder.join(node.file_name());
        let beside = target.with_extension(format!("{}.tmp", std::process::id()));
        let mut file = fs::OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(true)
            .mode(0o600)
            .open(&beside)?;
        file.write_all(&text)?;
        drop(file);
        fs::rename(&beside, &target)
    }

    /// Takes the record of a node away, unless another process has written it since.
    pub fn withdraw(&self, node: &RunningNode) -> io::Result<()> {
        let target = self.folder.join(node.file_name());
        match read(&target) {
            Some(found) if found.pid != node.pid => Ok(()),
            _ => match fs::remove_file(&target) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
                _ => Ok(()),
            },
        }
    }

    /// Every record, of running nodes and of those that ended without taking theirs away, by
    /// cluster name and node name. A folder that is not there holds none.
    pub fn known(&self) -> Vec<RunningNode> {
        if self.check_owner().is_err() {
            return Vec::new();
        }
        let Ok(entries) = fs::read_dir(&self.folder) else {
            return Vec::new();
        };
        let mut paths: Vec<PathBuf> = entries
            .filter_map(|entry| entry.ok().map(|entry| entry.path()))
            .filter(|path| {
                path.extension()
                    .is_some_and(|extension| extension == "json")
            })
            .collect();
        paths.sort();
        paths.truncate(RECORDS_MAX);
        let mut nodes: Vec<RunningNode> = paths.iter().filter_map(|path| read(path)).collect();
        nodes.sort_by(|a, b| {
            (&a.cluster_name, &a.cluster_id, &a.name, a.node_id).cmp(&(
                &b.cluster_name,
                &b.cluster_id,
                &b.name,
                b.node_id,
            ))
        });
        nodes
    }

    /// The records of the nodes that run now.
    pub fn running(&self) -> Vec<RunningNode> {
        let mut nodes = self.known();
        nodes.retain(RunningNode::is_alive);
        nodes
    }

    /// Refuses a folder that someone else could have filled.
    fn check_owner(&self) -> io::Result<()> {
        let metadata = fs::metadata(&self.folder)?;
        let ours = metadata.uid() == rustix::process::getuid().as_raw();
        if ours && metadata.mode() & 0o022 == 0 {
            return Ok(());
        }
        Err(io::Error::new(
            io::ErrorKind::PermissionDenied,
            format!(
                "{} belongs to another user, or others may write to it",
                self.folder.display()
            ),
        ))
    }
}

/// When a process began, in ticks since boot; 0 where the system does not say, none when no such
/// process runs. A process that has ended but was not reaped does not run.
pub fn process_start(pid: u32) -> Option<u64> {
    let pid = rustix::process::Pid::from_raw(i32::try_from(pid).ok()?)?;
    match fs::read_to_string(format!("/proc/{}/stat", pid.as_raw_nonzero())) {
        Ok(stat) => {
            // The second field is the program's name in parentheses and may hold any character;
            // what follows the last `)` is plain: the state is the third, the start the 22nd.
            let mut fields = stat.rsplit_once(')')?.1.split_ascii_whitespace();
            if matches!(fields.next()?, "Z" | "X") {
                return None;
            }
            fields.nth(18)?.parse().ok()
        }
        Err(_) if Path::new("/proc/self/stat").exists() => None,
        Err(_) => match rustix::process::test_kill_process(pid) {
            Ok(()) | Err(rustix::io::Errno::PERM) => Some(0),
            Err(_) => None,
        },
    }
}

fn read(path: &Path) -> Option<RunningNode> {
    let metadata = fs::symlink_metadata(path).ok()?;
    if !metadata.is_file() || metadata.len() > RECORD_BYTES_MAX {
        return None;
    }
    serde_json::from_slice(&fs::read(path).ok()?).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn own(name: &str, id: u64) -> RunningNode {
        let pid = std::process::id();
        RunningNode {
            name: name.to_owned(),
            pid,
            process_start: process_start(pid).expect("this process runs"),
            client_address: "127.0.0.1:2379".to_owned(),
            peer_address: "127.0.0.1:2380".to_owned(),
            cluster_id: "00000000000000c1".to_owned(),
            cluster_name: "k7f2".to_owned(),
            node_id: id,
            data: PathBuf::from("/tmp/data"),
            version: "0.1.0".to_owned(),
        }
    }

    #[test]
    fn what_is_published_is_read_and_what_is_withdrawn_is_gone() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let registry = Registry::at(folder.path().join("below"));
        assert_eq!(registry.running(), vec![]);
        let (one, two) = (own("n1", 1), own("n2", 7));
        registry.publish(&two).expect("published");
        registry.publish(&one).expect("published");
        registry.publish(&one).expect("published again");
        assert_eq!(registry.running(), vec![one.clone(), two.clone()]);
        registry.withdraw(&one).expect("withdrawn");
        registry
            .withdraw(&one)
            .expect("withdrawn twice is no error");
        assert_eq!(registry.known(), vec![two]);
    }

    #[test]
    fn a_record_of_a_process_that_is_gone_is_known_but_not_running() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let registry = Registry::at(folder.path());
        let mut gone = own("n1", 1);
        gone.process_start += 1; // The pid lives, the process is another one.
        registry.publish(&gone).expect("published");
        assert_eq!(registry.known().len(), 1);
        assert_eq!(registry.running(), vec![]);
    }

    #[test]
    fn a_record_that_another_process_wrote_since_is_not_withdrawn() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let registry = Registry::at(folder.path());
        let node = own("n1", 1);
        registry.publish(&node).expect("published");
        let former = RunningNode {
            pid: node.pid + 1,
            ..node.clone()
        };
        registry.withdraw(&former).expect("no error");
        assert_eq!(registry.known(), vec![node]);
    }

    #[test]
    fn files_that_are_not_records_are_skipped() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let registry = Registry::at(folder.path());
        fs::write(folder.path().join("a.json"), b"{\"name\":").expect("written");
        fs::write(folder.path().join("b.json"), vec![b' '; 70_000]).expect("written");
        fs::write(folder.path().join("c.txt"), b"{}").expect("written");
        assert_eq!(registry.known(), vec![]);
    }

    #[test]
    fn a_folder_that_others_may_write_to_is_not_trusted() {
        use std::os::unix::fs::PermissionsExt;
        let folder = tempfile::tempdir().expect("a temporary folder");
        let registry = Registry::at(folder.path());
        registry.publish(&own("n1", 1)).expect("published");
        fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o777)).expect("set");
        assert_eq!(registry.known(), vec![]);
        assert!(registry.publish(&own("n2", 2)).is_err());
    }
}
