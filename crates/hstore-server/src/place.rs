//! Where a node lives on this machine: which data folder, and which name.
//!
//! `start`, `join`, `join` in three terminals of one folder must work without a flag, so without a
//! flag the folder is `./hstore-data/NAME` and the name the first free of n1, n2, ...
//! Invariant: a folder that belongs to a node is never given to another one.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use hstore_client::local::{Registry, RunningNode};
use hstore_core::error::ErrorCode;

use crate::fault::Fault;
use crate::settings::{Record, Settings, is_name};

/// The folder of data folders, in the folder where the program is started.
pub(crate) const ROOT: &str = "hstore-data";

/// What the node is launched for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Intent {
    /// Found a cluster, or resume.
    Start,
    /// Join a cluster, or resume.
    Join {
        /// Through this node.
        host: Option<String>,
    },
}

/// Where a node lives.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Place {
    /// The data folder, absolute.
    pub(crate) data: PathBuf,
    /// The name; none until the cluster it joins has said which names are taken.
    pub(crate) name: Option<String>,
    /// What the folder says of its last start.
    pub(crate) record: Option<Record>,
}

/// Where to look and whom to mind.
#[derive(Debug)]
pub(crate) struct Surroundings<'a> {
    /// The folder where the program was started.
    pub(crate) here: &'a Path,
    /// The nodes of this machine.
    pub(crate) registry: &'a Registry,
    /// Names that the members of the cluster have.
    pub(crate) members: &'a [String],
    /// Names that another process took a moment ago.
    pub(crate) avoid: &'a [String],
}

/// A data folder below the root that was used before.
struct Used {
    data: PathBuf,
    record: Record,
}

/// Decides where the node lives.
pub(crate) fn choose(
    settings: &Settings,
    intent: &Intent,
    around: &Surroundings<'_>,
) -> Result<Place, Fault> {
    let root = around.here.join(ROOT);
    if let Some(data) = &settings.data {
        return named_folder(&around.here.join(data), settings, around);
    }
    if let Some(name) = &settings.name {
        let known = by_name(around.here, name).map(|(data, _)| data);
        return named_folder(&known.unwrap_or_else(|| root.join(name)), settings, around);
    }
    let running = around.registry.running();
    let mut idle: Vec<Used> = used(&root)
        .into_iter()
        .filter(|used| !running.iter().any(|node| same(&node.data, &used.data)))
        .filter(|used| *intent == Intent::Start || used.record.joining.is_some())
        .filter(|used| !around.avoid.iter().any(|name| name == used.record.called()))
        .collect();
    match idle.len() {
        0 => {
            let name = free_name(&root, around, &running);
            let data = root.join(&name);
            named_folder(&data, settings, around).map(|place| Place {
                name: Some(name),
                ..place
            })
        }
        1 => {
            let Used { data, record } = idle.remove(0);
            Ok(Place {
                data,
                name: Some(record.name.clone()),
                record: Some(record),
            })
        }
        _ => {
            let names: Vec<&str> = idle.iter().map(|used| used.record.called()).collect();
            Err(Fault::new(
                ErrorCode::InvalidArgument,
                format!("several stopped nodes are here: {}", names.join(", ")),
            )
            .hint(format!(
                "hstore-server start --name {}   resumes one\nhstore-server restart {}   brings all back in the background",
                names[0],
                names.join(" "),
            )))
        }
    }
}

fn named_folder(
    data: &Path,
    settings: &Settings,
    around: &Surroundings<'_>,
) -> Result<Place, Fault> {
    let data = std::path::absolute(data)
        .map_err(|error| Fault::of_file(format!("the data folder {}", data.display()), &error))?;
    let record = Record::read(&data)
        .map_err(|error| Fault::of_file(format!("{}/settings.toml", data.display()), &error))?;
    if let (Some(name), Some(record)) = (&settings.name, &record)
        && *name != record.name
        && *name != record.called()
    {
        return Err(Fault::new(
            ErrorCode::Conflict,
            format!(
                "the data folder {} is of node {}, not of {name}",
                data.display(),
                record.called()
            ),
        )
        .hint("leave --name away, or name another --data"));
    }
    let name = settings
        .name
        .clone()
        .or_else(|| record.as_ref().map(|record| record.name.clone()))
        .unwrap_or_else(|| free_name(&around.here.join(ROOT), around, &around.registry.running()));
    Ok(Place {
        data,
        name: Some(name),
        record,
    })
}

/// The folder and the name of a node that is made without being started.
pub(crate) fn for_new(
    here: &Path,
    registry: &Registry,
    data: Option<&Path>,
    name: Option<&str>,
) -> Result<(PathBuf, String), Fault> {
    let root = here.join(ROOT);
    let name = name.map_or_else(
        || {
            let around = Surroundings {
                here,
                registry,
                members: &[],
                avoid: &[],
            };
            free_name(&root, &around, &registry.running())
        },
        str::to_owned,
    );
    let data = data.map_or_else(|| root.join(&name), |data| here.join(data));
    let data = std::path::absolute(&data)
        .map_err(|error| Fault::of_file(format!("the data folder {}", data.display()), &error))?;
    Ok((data, name))
}

/// The stopped nodes that `join` leaves alone, so that a person can be told of them.
pub(crate) fn idle_members(here: &Path, registry: &Registry) -> Vec<String> {
    let running = registry.running();
    used(&here.join(ROOT))
        .into_iter()
        .filter(|used| used.record.joining.is_none())
        .filter(|used| !running.iter().any(|node| same(&node.data, &used.data)))
        .map(|used| used.record.called().to_owned())
        .collect()
}

/// The folders below the root that were used before, by name.
fn used(root: &Path) -> Vec<Used> {
    let Ok(entries) = std::fs::read_dir(root) else {
        return Vec::new();
    };
    let mut used: Vec<Used> = entries
        .filter_map(|entry| {
            let data = std::path::absolute(entry.ok()?.path()).ok()?;
            let record = Record::read(&data).ok()??;
            Some(Used { data, record })
        })
        .collect();
    used.sort_by(|a, b| a.record.called().cmp(b.record.called()));
    used
}

/// The first of n1, n2, ... that neither the folder, nor the cluster, nor this machine has.
fn free_name(root: &Path, around: &Surroundings<'_>, running: &[RunningNode]) -> String {
    let taken: BTreeSet<&str> = around
        .members
        .iter()
        .chain(around.avoid)
        .map(String::as_str)
        .chain(running.iter().map(|node| node.name.as_str()))
        .collect();
    first_free(|name| taken.contains(name) || is_used(&root.join(name)))
}

/// Whether a folder holds anything of a node. A start that failed early leaves nothing but a lock.
pub(crate) fn is_used(folder: &Path) -> bool {
    match std::fs::read_dir(folder) {
        Ok(entries) => entries.flatten().any(|entry| {
            let name = entry.file_name();
            name != "LOCK" && name != crate::logging::FILE
        }),
        Err(error) => error.kind() != std::io::ErrorKind::NotFound,
    }
}

/// The first of n1, n2, ... that is not taken.
pub(crate) fn first_free(is_taken: impl Fn(&str) -> bool) -> String {
    let mut number = 1_u64;
    loop {
        let name = format!("n{number}");
        if !is_taken(&name) {
            return name;
        }
        number += 1;
    }
}

/// The data folder below the root that a name stands for, if it was used.
pub(crate) fn by_name(here: &Path, name: &str) -> Option<(PathBuf, Record)> {
    if !is_name(name) {
        return None;
    }
    let root = here.join(ROOT);
    let data = std::path::absolute(root.join(name)).ok()?;
    match Record::read(&data) {
        Ok(Some(record)) => Some((data, record)),
        Ok(None) => {
            let mut used = used(&root).into_iter();
            let called = used.find(|used| used.record.called() == name)?;
            Some((called.data, called.record))
        }
        Err(_unreadable) => None,
    }
}

/// Whether two paths are one folder.
pub(crate) fn same(a: &Path, b: &Path) -> bool {
    match (a.canonicalize(), b.canonicalize()) {
        (Ok(a), Ok(b)) => a == b,
        _ => a == b,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::settings::{Layer, Origin, Sources};

    struct Scene {
        here: tempfile::TempDir,
        registry: Registry,
    }

    impl Scene {
        fn new() -> Scene {
            let here = tempfile::tempdir().unwrap();
            let registry = Registry::at(here.path().join("registry"));
            Scene { here, registry }
        }

        fn node(&self, name: &str, joining: bool) -> PathBuf {
            let data = self.here.path().join(ROOT).join(name);
            std::fs::create_dir_all(&data).unwrap();
            let record = Record {
                name: name.to_owned(),
                joining: joining.then(Vec::new),
                ..Record::default()
            };
            record.write(&data).unwrap();
            data
        }

        fn runs(&self, name: &str, data: PathBuf) {
            let pid = std::process::id();
            let node = RunningNode {
                name: name.to_owned(),
                pid,
                process_start: hstore_client::local::process_start(pid).unwrap(),
                cluster_id: format!("c{name}"),
                data,
                ..RunningNode::default()
            };
            self.registry.publish(&node).unwrap();
        }

        fn choose(&self, flags: &str, intent: &Intent, members: &[&str]) -> Result<Place, Fault> {
            let flags = Layer::of_toml(flags, Path::new("x"), &Origin::Flag).unwrap();
            let sources = Sources {
                flags,
                ..Sources::default()
            };
            let members: Vec<String> = members.iter().map(|name| (*name).to_owned()).collect();
            let around = Surroundings {
                here: self.here.path(),
                registry: &self.registry,
                members: &members,
                avoid: &[],
            };
            choose(&sources.settings().unwrap(), intent, &around)
        }

        fn name(&self, flags: &str, intent: &Intent, members: &[&str]) -> String {
            let place = self.choose(flags, intent, members).unwrap();
            let name = place.name.unwrap();
            assert!(place.data.is_absolute());
            name
        }
    }

    const JOIN: Intent = Intent::Join { host: None };

    #[test]
    fn three_terminals_get_three_names_and_folders() {
        let scene = Scene::new();
        for (index, intent) in [Intent::Start, JOIN, JOIN].iter().enumerate() {
            let place = scene.choose("", intent, &[]).unwrap();
            let name = format!("n{}", index + 1);
            assert_eq!(place.name.as_deref(), Some(name.as_str()));
            assert!(place.data.ends_with(Path::new(ROOT).join(&name)));
            let data = scene.node(&name, false);
            scene.runs(&name, data);
        }
    }

    #[test]
    fn a_start_that_failed_early_leaves_its_name_free() {
        let scene = Scene::new();
        let data = scene.here.path().join(ROOT).join("n1");
        std::fs::create_dir_all(&data).unwrap();
        std::fs::write(data.join("LOCK"), "1").unwrap();
        assert_eq!(scene.name("", &Intent::Start, &[]), "n1");
        std::fs::write(data.join("identity"), "x").unwrap();
        assert_eq!(scene.name("", &Intent::Start, &[]), "n2");
    }

    #[test]
    fn names_of_the_cluster_are_not_given_again() {
        let scene = Scene::new();
        assert_eq!(scene.name("", &JOIN, &["n1", "n3"]), "n2");
        assert_eq!(scene.name("data = \"elsewhere\"", &JOIN, &["n1"]), "n2");
    }

    #[test]
    fn start_resumes_the_one_stopped_node_and_asks_when_there_are_several() {
        let scene = Scene::new();
        scene.node("n1", false);
        assert_eq!(scene.name("", &Intent::Start, &[]), "n1");
        scene.node("n2", false);
        let fault = scene.choose("", &Intent::Start, &[]).unwrap_err();
        assert!(fault.sentence().contains("n1, n2"), "{fault}");
        assert_eq!(scene.name("name = \"n2\"", &Intent::Start, &[]), "n2");
    }

    #[test]
    fn join_resumes_an_interrupted_join_and_leaves_members_alone() {
        let scene = Scene::new();
        scene.node("n1", false);
        assert_eq!(scene.name("", &JOIN, &["n1"]), "n2");
        scene.node("n2", true);
        let place = scene.choose("", &JOIN, &["n1"]).unwrap();
        assert_eq!(place.name.as_deref(), Some("n2"));
        assert!(place.record.unwrap().joining.is_some());
        assert_eq!(idle_members(scene.here.path(), &scene.registry), ["n1"]);
    }

    #[test]
    fn a_folder_of_another_node_is_refused() {
        let scene = Scene::new();
        let data = scene.node("n1", false);
        let flags = format!("name = \"n2\"\ndata = \"{}\"", data.display());
        let fault = scene.choose(&flags, &Intent::Start, &[]).unwrap_err();
        assert_eq!(fault.code, ErrorCode::Conflict);
        std::fs::write(data.join("settings.toml"), "=").unwrap();
        let flags = format!("data = \"{}\"", data.display());
        let fault = scene.choose(&flags, &Intent::Start, &[]).unwrap_err();
        assert_eq!(fault.code, ErrorCode::DataUnusable);
    }
}
