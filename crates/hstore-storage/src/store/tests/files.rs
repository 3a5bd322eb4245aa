//! The store on sled and real files.

use std::fs;
use std::path::Path;
use std::sync::{Arc, Mutex};

use super::super::{LogRange, Opened, RebuildReason, Store, StoreOptions, StoreSetup};
use super::naive::Naive;
use super::world::{World, compact, compare, put, setup};
use crate::engine::folders::FolderSource;

type Damage = fn(&Path);

struct Files {
    folder: tempfile::TempDir,
    boot: Arc<Mutex<String>>,
    world: World,
}

impl Files {
    fn new() -> Files {
        let mut world = World::new();
        for n in 0..300u32 {
            let value: Vec<u8> = (0..600u32).map(|at| ((at * (n + 1)) >> 3) as u8).collect();
            world.run([put(&(n % 70).to_be_bytes(), &value)]);
        }
        world.run([put(b"large", &vec![b'l'; 1536 * 1024]), compact(100)]);
        Files {
            folder: tempfile::tempdir().unwrap(),
            boot: Arc::new(Mutex::new("first".to_owned())),
            world,
        }
    }

    fn naive(&self) -> &Naive {
        &self.world.naive
    }

    fn setup_in(&self, folder: &Path, log: LogRange) -> StoreSetup {
        let boot = Arc::clone(&self.boot);
        let engines = FolderSource::open(folder, move || boot.lock().unwrap().clone()).unwrap();
        let options = StoreOptions {
            block_bytes: 16 * 1024,
            ..StoreOptions::default()
        };
        setup(options, Arc::new(engines), self.world.disk.clone(), log)
    }

    fn open_in(&self, folder: &Path) -> (Store, Opened) {
        let (store, opened) = Store::open(self.setup_in(folder, self.world.log_range())).unwrap();
        self.world.replay(&store);
        (store, opened)
    }

    fn open(&self) -> (Store, Opened) {
        self.open_in(self.folder.path())
    }
}

fn copy_folder(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy_folder(&entry.path(), &target);
        } else {
            fs::copy(entry.path(), target).unwrap();
        }
    }
}

#[test]
fn a_store_on_sled_comes_back_after_every_end() {
    let files = Files::new();
    let (store, opened) = files.open();
    assert_eq!(
        opened,
        Opened::Rebuilt {
            reason: RebuildReason::Missing
        }
    );
    compare(&store, files.naive());
    store.flush().unwrap();
    while store.maintain().unwrap() == super::super::Progress::More {}
    compare(&store, files.naive());

    // Killed: what the process left behind at this moment.
    let killed = tempfile::tempdir().unwrap();
    copy_folder(files.folder.path(), killed.path());
    store.close().unwrap();
    drop(store);
    let (store, opened) = files.open_in(killed.path());
    assert_eq!(opened, Opened::Reused);
    compare(&store, files.naive());
    drop(store);

    // Stopped cleanly, then the machine goes: fine.
    "second".clone_into(&mut files.boot.lock().unwrap());
    let (store, opened) = files.open();
    assert_eq!(opened, Opened::Reused);
    assert_eq!(store.stats().recent_records, 0, "nothing was replayed");
    compare(&store, files.naive());
    drop(store);

    // Killed, then the machine goes: not trusted.
    "third".clone_into(&mut files.boot.lock().unwrap());
    let (store, opened) = files.open();
    assert_eq!(
        opened,
        Opened::Rebuilt {
            reason: RebuildReason::PowerLoss
        }
    );
    compare(&store, files.naive());
    let mut names: Vec<_> = fs::read_dir(files.folder.path())
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    assert_eq!(names, ["CURRENT", "engine-2", "engine-2.marker"]);
}

#[test]
fn a_damaged_folder_is_rebuilt() {
    let files = Files::new();
    let (store, _) = files.open();
    store.close().unwrap();
    drop(store);
    let damages: [(&str, Damage, RebuildReason); 7] = [
        (
            "db cut",
            |root| cut(&root.join("engine-1/db")),
            RebuildReason::Damaged,
        ),
        (
            "db flipped",
            |root| flip(&root.join("engine-1/db")),
            RebuildReason::Damaged,
        ),
        (
            "db garbage",
            |root| fs::write(root.join("engine-1/db"), vec![0x5a; 3_000_000]).unwrap(),
            RebuildReason::Damaged,
        ),
        (
            "folder gone",
            |root| fs::remove_dir_all(root.join("engine-1")).unwrap(),
            RebuildReason::Damaged,
        ),
        (
            "marker flipped",
            |root| flip(&root.join("engine-1.marker")),
            RebuildReason::Damaged,
        ),
        (
            "marker gone",
            |root| fs::remove_file(root.join("engine-1.marker")).unwrap(),
            RebuildReason::Missing,
        ),
        (
            "pointer garbage",
            |root| fs::write(root.join("CURRENT"), b"?").unwrap(),
            RebuildReason::Damaged,
        ),
    ];
    for (name, damage, reason) in damages {
        let copy = tempfile::tempdir().unwrap();
        copy_folder(files.folder.path(), copy.path());
        damage(copy.path());
        let (store, opened) = files.open_in(copy.path());
        assert_eq!(opened, Opened::Rebuilt { reason }, "{name}");
        compare(&store, files.naive());
        store.close().unwrap();
        drop(store);
        let (store, opened) = files.open_in(copy.path());
        assert_eq!(opened, Opened::Reused, "{name}");
        compare(&store, files.naive());
    }
}

fn cut(path: &Path) {
    let bytes = fs::read(path).unwrap();
    fs::write(path, &bytes[..bytes.len() / 2]).unwrap();
}

fn flip(path: &Path) {
    let mut bytes = fs::read(path).unwrap();
    (bytes.len() / 3..bytes.len())
        .step_by(101)
        .for_each(|at| bytes[at] ^= 8);
    fs::write(path, bytes).unwrap();
}

#[test]
fn a_snapshot_goes_from_one_sled_to_another() {
    let files = Files::new();
    let (store, _) = files.open();
    let (path, header) = store.write_snapshot().unwrap();
    let folder = tempfile::tempdir().unwrap();
    let (other, _) = Store::open(files.setup_in(folder.path(), LogRange::default())).unwrap();
    // It found the file, since the disk is the same; install it over that all the same.
    assert_eq!(other.install_snapshot(&path).unwrap(), header);
    compare(&other, files.naive());
    assert_eq!(other.content_hash().unwrap(), store.content_hash().unwrap());
    drop(other);
    let (other, opened) = files.open_in(folder.path());
    assert_eq!(opened, Opened::Reused, "what was installed is in use");
    compare(&other, files.naive());
}
