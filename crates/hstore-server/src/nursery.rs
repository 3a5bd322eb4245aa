//! A data folder that is being made out of a state that was elsewhere: of the one node of a new
//! cluster, which `start` then runs and others join.
//!
//! Invariants: (1) nothing is written into a folder that holds anything; (2) a folder that was not
//! finished says so, no node starts in it, and the same command begins it anew; (3) the cluster and
//! the folder have identities that nobody had before.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use hstore_client::local::Registry;
use hstore_core::error::ErrorCode;
use hstore_core::id::{ClusterId, Incarnation, LogId, LogIndex, NodeId, Term};
use hstore_core::membership::{Member, Membership};
use hstore_node::Identity;
use hstore_storage::disk::{Disk, OpenMode};
use hstore_storage::os::{FolderLock, OsDisk};
use hstore_storage::store::Founding;

use crate::fault::Fault;
use crate::place;
use crate::screen;
use crate::serve::{cannot_lock, cluster_name, random};
use crate::settings::{Record, is_name};

/// The file that a folder has until it is finished.
const UNFINISHED: &str = "UNFINISHED";
/// The file that says which other store the folder follows.
const SOURCE: &str = "FOLLOWS";
/// What that file says of a folder that can follow no more.
const SPOILED: &str = "nothing";
/// What is removed when an unfinished folder is begun anew.
const CONTENT: [&str; 3] = ["snapshots", "store", "wal"];
/// The same, files.
const FILES: [&str; 6] = [
    "identity",
    "identity.tmp",
    "import.tmp",
    "settings.toml",
    "settings.toml.tmp",
    SOURCE,
];
/// The founder of every cluster.
const FOUNDER: NodeId = NodeId(1);

/// What the folder is to be.
#[derive(Clone, Debug, Default)]
pub(crate) struct Wish {
    /// The folder; without it it is found as `start` finds one.
    pub(crate) data: Option<PathBuf>,
    /// The name of the node.
    pub(crate) name: Option<String>,
    /// The name of the cluster.
    pub(crate) cluster: Option<String>,
}

/// A folder that is being made. It is locked until this goes.
#[derive(Debug)]
pub(crate) struct Nursery {
    /// The folder, absolute.
    pub(crate) data: PathBuf,
    /// The name of the node.
    pub(crate) name: String,
    /// The name of the cluster.
    pub(crate) cluster_name: String,
    cluster: ClusterId,
    incarnation: Incarnation,
    disk: OsDisk,
    _lock: FolderLock,
}

impl Nursery {
    /// Takes a folder in which nothing is, or one that the same verb did not finish. `verb` and
    /// `object` say what is done, for whoever finds it unfinished.
    pub(crate) fn take(wish: &Wish, verb: &str, object: &str) -> Result<Nursery, Fault> {
        for (name, of) in [(&wish.name, "node"), (&wish.cluster, "cluster")] {
            if let Some(name) = name.as_deref().filter(|name| !is_name(name)) {
                return Err(Fault::new(
                    ErrorCode::InvalidArgument,
                    format!("`{name}` cannot be the name of a {of}: use letters, digits, . _ -"),
                ));
            }
        }
        let here = std::env::current_dir()
            .map_err(|error| Fault::of_file("the current folder", &error))?;
        let registry = Registry::of_this_user();
        let (data, name) = find(&here, &registry, wish, verb)?;
        check_empty(&data, verb)?;
        let disk = OsDisk::new();
        disk.create_dir_all(&data)
            .map_err(|error| Fault::of_file(data.display(), &error))?;
        let lock = disk
            .lock(&data)
            .map_err(|error| cannot_lock(&error, &registry))?;
        // Somebody may have used it meanwhile.
        check_empty(&data, verb)?;
        let nursery = Nursery {
            data,
            name,
            cluster_name: wish.cluster.clone().unwrap_or_else(cluster_name),
            cluster: ClusterId(random()),
            incarnation: Incarnation(random()),
            disk,
            _lock: lock,
        };
        nursery
            .mark(&format!("{verb} {object}"))
            .and_then(|()| nursery.clear())
            .map_err(|error| Fault::of_file(nursery.data.display(), &error))?;
        Ok(nursery)
    }

    /// The folder that follows this source and was not finished, with all that it was; none when
    /// it has to be made, from its beginning.
    pub(crate) fn resume(wish: &Wish, verb: &str, source: u64) -> Result<Option<Nursery>, Fault> {
        let here = std::env::current_dir()
            .map_err(|error| Fault::of_file("the current folder", &error))?;
        let registry = Registry::of_this_user();
        let (data, _name) = find(&here, &registry, wish, verb)?;
        let is_ours = unfinished(&data).is_some_and(|what| what.starts_with(verb));
        let Ok(follows) = std::fs::read_to_string(data.join(SOURCE)) else {
            return Ok(None);
        };
        if !is_ours {
            return Ok(None);
        }
        let unusable = |what: &str| {
            Fault::new(
                ErrorCode::DataUnusable,
                format!("the data folder {} {what}", screen::path(&data)),
            )
            .hint("remove the folder, or name another --data")
        };
        if follows.trim() == SPOILED {
            return Err(unusable("is no longer what it followed"));
        }
        if follows.trim() != format!("{source:016x}") {
            return Err(unusable("follows another source"));
        }
        let disk = OsDisk::new();
        let lock = disk
            .lock(&data)
            .map_err(|error| cannot_lock(&error, &registry))?;
        let identity = Identity::read(&disk, &data)
            .map_err(|error| Fault::new(error.code(), format!("{}: {error}", data.display())))?;
        let record = Record::read(&data)
            .map_err(|error| Fault::of_file(format!("{}/settings.toml", data.display()), &error))?;
        let (Some(identity), Some(record)) = (identity, record) else {
            return Ok(None);
        };
        Ok(Some(Nursery {
            data,
            name: record.name,
            cluster_name: identity.cluster_name,
            cluster: identity.cluster,
            incarnation: identity.incarnation,
            disk,
            _lock: lock,
        }))
    }

    /// Notes which source the folder follows: from then on it can be resumed.
    pub(crate) fn follow(&self, source: u64) -> Result<(), Fault> {
        self.note(&format!("{source:016x}"))
    }

    /// Notes that the folder can follow no more.
    pub(crate) fn spoil(&self) -> Result<(), Fault> {
        self.note(SPOILED)
    }

    fn note(&self, what: &str) -> Result<(), Fault> {
        let path = self.data.join(SOURCE);
        let noted = self.disk.open(&path, OpenMode::Create).and_then(|file| {
            file.set_len(0)?;
            file.write_at(0, what.as_bytes())?;
            file.sync_data()?;
            self.disk.sync_dir(&self.data)
        });
        noted.map_err(|error| Fault::of_file(path.display(), &error))
    }

    fn mark(&self, what: &str) -> std::io::Result<()> {
        let file = self
            .disk
            .open(&self.data.join(UNFINISHED), OpenMode::Create)?;
        file.set_len(0)?;
        file.write_at(0, what.as_bytes())?;
        file.sync_data()?;
        self.disk.sync_dir(&self.data)
    }

    /// Removes what an attempt before this one left.
    fn clear(&self) -> std::io::Result<()> {
        for folder in CONTENT.map(|name| self.data.join(name)) {
            if self.disk.exists(&folder)? {
                self.disk.remove_dir_all(&folder)?;
            }
        }
        for file in FILES.map(|name| self.data.join(name)) {
            if self.disk.exists(&file)? {
                self.disk.remove_file(&file)?;
            }
        }
        self.disk.sync_dir(&self.data)
    }

    /// The folder of its snapshot files.
    pub(crate) fn snapshots(&self) -> PathBuf {
        self.data.join("snapshots")
    }

    /// The disk that it is on.
    pub(crate) fn disk(&self) -> Arc<dyn Disk> {
        Arc::new(self.disk)
    }

    /// The new cluster, as its first snapshot says. The log goes on after `last`, in terms that
    /// begin anew: the term of the founding is 0 in every cluster.
    pub(crate) fn founding(&self, last: LogIndex) -> Founding {
        let last = LogId {
            term: Term(0),
            leader: NodeId(0),
            index: last,
        };
        let member = Member {
            name: self.name.clone(),
            incarnation: self.incarnation,
            // Where it listens it says itself, when it starts.
            ..Member::default()
        };
        Founding {
            cluster_id: self.cluster,
            last,
            membership: Membership {
                log_id: Some(last),
                voters: vec![[FOUNDER].into()],
                members: [(FOUNDER, member)].into(),
            },
        }
    }

    /// Gives the folder its identity and its name: from then on a node can start in it, if
    /// `is_finished`.
    pub(crate) fn settle(&self, founding: &Founding) -> Result<(), Fault> {
        let name = self.cluster_name.clone();
        let identity = Identity::found(self.cluster, name, self.incarnation);
        identity
            .member(founding.last.index)
            .write(&self.disk, &self.data)
            .map_err(|error| {
                Fault::new(error.code(), format!("{}: {error}", self.data.display()))
            })?;
        let record = Record {
            name: self.name.clone(),
            ..Record::default()
        };
        record.write(&self.data).map_err(|error| {
            Fault::of_file(format!("{}/settings.toml", self.data.display()), &error)
        })
    }

    /// The folder is whole: a node may start in it.
    pub(crate) fn finish(&self) -> Result<(), Fault> {
        let marker = self.data.join(UNFINISHED);
        self.disk
            .remove_file(&marker)
            .and_then(|()| self.disk.sync_dir(&self.data))
            .map_err(|error| Fault::of_file(marker.display(), &error))?;
        // Without the marker it says nothing to anybody.
        let _none = self.disk.remove_file(&self.data.join(SOURCE)).is_err();
        Ok(())
    }
}

/// Where the folder is: where it was said, or where the same verb left one unfinished, or a new place.
fn find(
    here: &Path,
    registry: &Registry,
    wish: &Wish,
    verb: &str,
) -> Result<(PathBuf, String), Fault> {
    if wish.data.is_none() && wish.name.is_none() {
        let left = std::fs::read_dir(here.join(place::ROOT))
            .into_iter()
            .flatten();
        let mut left: Vec<PathBuf> = left
            .filter_map(|entry| Some(entry.ok()?.path()))
            .filter(|path| unfinished(path).is_some_and(|what| what.starts_with(verb)))
            .collect();
        if left.len() == 1 {
            let data = left.remove(0);
            let name = data.file_name().unwrap_or_default().to_string_lossy();
            let name = name.into_owned();
            return Ok((data, name));
        }
    }
    place::for_new(here, registry, wish.data.as_deref(), wish.name.as_deref())
}

/// Refuses a folder that holds anything but what was not finished.
fn check_empty(data: &Path, verb: &str) -> Result<(), Fault> {
    let ours = unfinished(data).is_some_and(|what| what.starts_with(verb));
    if place::is_used(data) && !ours {
        return Err(Fault::new(
            ErrorCode::Conflict,
            format!("the folder {} is not empty", data.display()),
        )
        .hint("name another --data, or a --name that is free"));
    }
    Ok(())
}

/// What was not finished in a folder, if anything was not.
fn unfinished(data: &Path) -> Option<String> {
    let marker = data.join(UNFINISHED);
    // What it says is for a person; it may be cut.
    marker
        .is_file()
        .then(|| std::fs::read_to_string(marker).unwrap_or_default())
}

/// Refuses to start a node in a folder that is not finished.
pub(crate) fn check_finished(data: &Path) -> Result<(), Fault> {
    let Some(what) = unfinished(data) else {
        return Ok(());
    };
    Err(Fault::new(
        ErrorCode::DataUnusable,
        format!(
            "the data folder {} was not finished ({})",
            screen::path(data),
            what.trim()
        ),
    )
    .hint("run that command again, or remove the folder"))
}
