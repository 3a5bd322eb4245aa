//! A disk in memory that forgets, on a crash, what was never synced, and fails on request.
//!
//! It is the adversary of the durability contract in [`crate::disk`]: of unsynced sectors, lengths
//! and folder changes any mixture survives, drawn from a seed, so every run can be repeated. It
//! must never be kinder than the contract.
//!
//! Invariants:
//! 1. `durable` plus any subset of `pending`, in order, is what a crash may leave of the folders.
//! 2. After `crash` or `kill` the old disk and its open files only fail: a ghost of the old process
//!    cannot write into the new one's files.

pub(crate) mod dice;
mod faults;
mod inode;

use std::{
    collections::{BTreeMap, BTreeSet},
    io,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

pub use self::faults::{Fault, Operation};
use self::{dice::Dice, faults::Faults, inode::Inode};
use super::{Disk, File, OpenMode};

/// What an unbounded disk says is free.
const FREE_BYTES_UNBOUNDED: u64 = 1 << 50;

type Node = Arc<Mutex<Inode>>;

/// Names that change together; `None` removes one.
type Change = Vec<(PathBuf, Option<Node>)>;

#[derive(Default)]
struct World {
    names: BTreeMap<PathBuf, Node>,
    dirs: BTreeSet<PathBuf>,
    durable: BTreeMap<PathBuf, Node>,
    pending: Vec<Change>,
    capacity: Option<u64>,
    faults: Faults,
    gone: bool,
}

/// An in-memory disk; cheap to clone, clones share the contents.
#[derive(Clone, Default)]
pub struct MemoryDisk {
    world: Arc<Mutex<World>>,
}

struct MemoryFile {
    world: Arc<Mutex<World>>,
    node: Node,
    writable: bool,
}

impl MemoryDisk {
    /// An empty disk without bounds or faults.
    pub fn new() -> Self {
        Self::default()
    }

    /// Power loss: the returned disk holds what was synced and a part, drawn from the seed, of the
    /// rest. This disk and every file opened through it fail from now on.
    #[must_use]
    pub fn crash(&self, seed: u64) -> MemoryDisk {
        let mut dice = Dice::new(seed);
        let mut old = lock(&self.world);
        old.gone = true;
        let mut left = std::mem::take(&mut old.durable);
        // All, nothing, or any mixture of the folder changes, as with sectors.
        let mode = dice.below(4);
        for change in std::mem::take(&mut old.pending) {
            let keep = match mode {
                0 => false,
                1 => true,
                _ => dice.coin(),
            };
            if keep {
                apply(&mut left, change);
            }
        }
        let names: BTreeMap<_, _> = left
            .into_iter()
            .map(|(path, node)| (path, Arc::new(Mutex::new(lock(&node).crash(&mut dice)))))
            .collect();
        let mut dirs = std::mem::take(&mut old.dirs);
        for path in names.keys() {
            dirs.extend(path.ancestors().skip(1).map(Path::to_path_buf));
        }
        let durable = names.clone();
        Self::of(World {
            names,
            dirs,
            durable,
            capacity: old.capacity,
            ..World::default()
        })
    }

    /// The end of the process alone: nothing written is lost, though what was not synced still is
    /// not. This disk and its files fail from now on.
    #[must_use]
    pub fn kill(&self) -> MemoryDisk {
        let mut old = lock(&self.world);
        let mut new = std::mem::take(&mut *old);
        old.gone = true;
        new.faults = Faults::default();
        Self::of(new)
    }

    /// An independent copy of what reads see now, all of it durable.
    #[must_use]
    pub fn copy(&self) -> MemoryDisk {
        let world = lock(&self.world);
        let copied = |(path, node): (&PathBuf, &Node)| {
            let mut inode = lock(node).clone();
            inode.sync();
            (path.clone(), Arc::new(Mutex::new(inode)))
        };
        let names: BTreeMap<_, _> = world.names.iter().map(copied).collect();
        let (durable, dirs) = (names.clone(), world.dirs.clone());
        Self::of(World {
            names,
            dirs,
            durable,
            capacity: world.capacity,
            ..World::default()
        })
    }

    /// An independent copy of what survives for certain if the power fails now: nothing that was
    /// not synced.
    #[must_use]
    pub fn synced_copy(&self) -> MemoryDisk {
        let world = lock(&self.world);
        let copied = |(path, node): (&PathBuf, &Node)| {
            (path.clone(), Arc::new(Mutex::new(lock(node).synced())))
        };
        let names: BTreeMap<_, _> = world.durable.iter().map(copied).collect();
        let mut dirs = world.dirs.clone();
        for path in names.keys() {
            dirs.extend(path.ancestors().skip(1).map(Path::to_path_buf));
        }
        Self::of(World {
            durable: names.clone(),
            names,
            dirs,
            capacity: world.capacity,
            ..World::default()
        })
    }

    /// The power fails after so many more operations, in the middle of the next one: a write has
    /// written half of its bytes, a sync may have
    /// synced anything. Everything fails from then on, and
    /// [`MemoryDisk::crash`] brings what is left.
    pub fn cut_power_after(&self, operations: u64) {
        lock(&self.world).faults.cut_power_after(operations);
    }

    /// Whether the power has failed, by plan or by a crash.
    pub fn is_dark(&self) -> bool {
        let world = lock(&self.world);
        world.gone || world.faults.is_dark()
    }

    /// Fails the nth operation of a kind from now on (1 is the next), once. A write that fails has
    /// written half of its bytes; what a failed sync left unsynced is never made durable.
    pub fn fail(&self, operation: Operation, nth: u64, fault: Fault) {
        lock(&self.world).faults.plan(operation, nth, fault);
    }

    /// How many operations of a kind there were.
    pub fn count(&self, operation: Operation) -> u64 {
        lock(&self.world).faults.count(operation)
    }

    /// Bounds the bytes that files may hold together; `None` lifts the bound.
    pub fn set_capacity(&self, bytes: Option<u64>) {
        lock(&self.world).capacity = bytes;
    }

    /// Flips bits of a byte at rest; false if there is no such byte.
    pub fn flip(&self, path: &Path, offset: u64, mask: u8) -> bool {
        let world = lock(&self.world);
        let Some(node) = world.names.get(path) else {
            return false;
        };
        let mut inode = lock(node);
        let there = offset < inode.len();
        if there {
            inode.flip(offset, mask);
        }
        there
    }

    fn of(world: World) -> Self {
        MemoryDisk {
            world: Arc::new(Mutex::new(world)),
        }
    }

    /// The contents, if the disk still stands.
    fn world(&self) -> io::Result<MutexGuard<'_, World>> {
        standing(&self.world)
    }

    /// The contents, for a folder operation that does not fail by plan.
    fn folder(&self, operation: Operation) -> io::Result<MutexGuard<'_, World>> {
        let mut world = self.world()?;
        match world.faults.meet(operation) {
            Some(fault) => Err(fault.error()),
            None => Ok(world),
        }
    }
}

impl World {
    fn change(&mut self, change: Change) {
        apply(&mut self.names, change.clone());
        self.pending.push(change);
    }

    fn is_dir(&self, path: &Path) -> bool {
        path.parent().is_none() || path.as_os_str().is_empty() || self.dirs.contains(path)
    }

    fn used_bytes(&self) -> u64 {
        self.names.values().map(|node| lock(node).len()).sum()
    }

    fn room_for(&self, growth: u64) -> io::Result<()> {
        match self.capacity {
            Some(capacity) if growth > 0 && self.used_bytes() + growth > capacity => {
                Err(io::ErrorKind::StorageFull.into())
            }
            _ => Ok(()),
        }
    }
}

impl Disk for MemoryDisk {
    fn open(&self, path: &Path, mode: OpenMode) -> io::Result<Arc<dyn File>> {
        let mut world = self.world()?;
        let node = match (world.names.get(path), mode) {
            (Some(_), OpenMode::CreateNew) => return Err(io::ErrorKind::AlreadyExists.into()),
            (Some(node), _) => node.clone(),
            (None, OpenMode::Read | OpenMode::Write) => return Err(io::ErrorKind::NotFound.into()),
            (None, OpenMode::Create | OpenMode::CreateNew) => {
                if !path.parent().is_some_and(|parent| world.is_dir(parent)) {
                    return Err(io::ErrorKind::NotFound.into());
                }
                if let Some(fault) = world.faults.meet(Operation::Folder) {
                    return Err(fault.error());
                }
                let node = Node::default();
                world.change(vec![(path.into(), Some(node.clone()))]);
                node
            }
        };
        let writable = mode != OpenMode::Read;
        Ok(Arc::new(MemoryFile {
            world: self.world.clone(),
            node,
            writable,
        }))
    }

    fn list(&self, dir: &Path) -> io::Result<Vec<String>> {
        let world = self.world()?;
        if !world.is_dir(dir) {
            return Err(io::ErrorKind::NotFound.into());
        }
        let names: BTreeSet<&str> = world
            .names
            .keys()
            .chain(&world.dirs)
            .filter(|path| path.parent() == Some(dir))
            .filter_map(|path| path.file_name()?.to_str())
            .collect();
        Ok(names.into_iter().map(str::to_owned).collect())
    }

    fn create_dir_all(&self, dir: &Path) -> io::Result<()> {
        let mut world = self.folder(Operation::Folder)?;
        if dir.ancestors().any(|path| world.names.contains_key(path)) {
            return Err(io::ErrorKind::NotADirectory.into());
        }
        world.dirs.extend(dir.ancestors().map(Path::to_path_buf));
        Ok(())
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        let mut world = self.folder(Operation::Folder)?;
        if !to.parent().is_some_and(|parent| world.is_dir(parent)) {
            return Err(io::ErrorKind::NotFound.into());
        }
        let moved: Vec<(PathBuf, Node)> = below(&world.names, from);
        if moved.is_empty() && !world.dirs.contains(from) {
            return Err(io::ErrorKind::NotFound.into());
        }
        let mut change = Change::new();
        for (path, node) in moved {
            let target = moved_path(&path, from, to);
            change.push((path, None));
            change.push((target, Some(node)));
        }
        let dirs: Vec<PathBuf> = world
            .dirs
            .iter()
            .filter(|dir| dir.starts_with(from))
            .cloned()
            .collect();
        for dir in dirs {
            world.dirs.remove(&dir);
            world.dirs.insert(moved_path(&dir, from, to));
        }
        world.change(change);
        Ok(())
    }

    fn remove_file(&self, path: &Path) -> io::Result<()> {
        let mut world = self.folder(Operation::Folder)?;
        if !world.names.contains_key(path) {
            return Err(io::ErrorKind::NotFound.into());
        }
        world.change(vec![(path.into(), None)]);
        Ok(())
    }

    fn remove_dir_all(&self, dir: &Path) -> io::Result<()> {
        let mut world = self.folder(Operation::Folder)?;
        if !world.dirs.contains(dir) {
            return Err(io::ErrorKind::NotFound.into());
        }
        for (path, _) in below(&world.names, dir) {
            world.change(vec![(path, None)]);
        }
        world.dirs.retain(|path| !path.starts_with(dir));
        Ok(())
    }

    fn exists(&self, path: &Path) -> io::Result<bool> {
        let world = self.world()?;
        Ok(world.names.contains_key(path) || world.is_dir(path))
    }

    fn sync_dir(&self, dir: &Path) -> io::Result<()> {
        let mut world = self.folder(Operation::SyncFolder)?;
        if !world.is_dir(dir) {
            return Err(io::ErrorKind::NotFound.into());
        }
        for change in std::mem::take(&mut world.pending) {
            if change.iter().any(|(path, _)| path.parent() == Some(dir)) {
                apply(&mut world.durable, change);
            } else {
                world.pending.push(change);
            }
        }
        Ok(())
    }

    fn free_bytes(&self, _dir: &Path) -> io::Result<u64> {
        let world = self.world()?;
        Ok(world.capacity.map_or(FREE_BYTES_UNBOUNDED, |capacity| {
            capacity.saturating_sub(world.used_bytes())
        }))
    }
}

impl MemoryFile {
    /// The disk and the planned fault, if the disk still stands.
    fn meet(&self, operation: Operation) -> io::Result<(MutexGuard<'_, World>, Option<Fault>)> {
        let mut world = standing(&self.world)?;
        if operation == Operation::Write && !self.writable {
            return Err(io::ErrorKind::PermissionDenied.into());
        }
        let fault = world.faults.meet(operation);
        Ok((world, fault))
    }

    fn grow(&self, len: u64) -> io::Result<()> {
        let (world, fault) = self.meet(Operation::Write)?;
        if let Some(fault) = fault {
            return Err(fault.error());
        }
        let old = lock(&self.node).len();
        world.room_for(len.saturating_sub(old))?;
        lock(&self.node).set_len(len);
        Ok(())
    }
}

impl File for MemoryFile {
    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> io::Result<usize> {
        let (_world, fault) = self.meet(Operation::Read)?;
        match fault {
            Some(fault) => Err(fault.error()),
            None => Ok(lock(&self.node).read_at(offset, buffer)),
        }
    }

    fn write_at(&self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        let (world, fault) = self.meet(Operation::Write)?;
        if let Some(fault) = fault {
            lock(&self.node).write_at(offset, &bytes[..bytes.len() / 2]);
            return Err(fault.error());
        }
        let old = lock(&self.node).len();
        world.room_for((offset + bytes.len() as u64).saturating_sub(old))?;
        lock(&self.node).write_at(offset, bytes);
        Ok(())
    }

    fn sync_data(&self) -> io::Result<()> {
        let (world, fault) = self.meet(Operation::Sync)?;
        if let Some(fault) = fault {
            // When the power fails, the crash decides what got through.
            if !world.faults.is_dark() {
                lock(&self.node).fail_sync();
            }
            return Err(fault.error());
        }
        lock(&self.node).sync();
        Ok(())
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.grow(len)
    }

    fn len(&self) -> io::Result<u64> {
        drop(standing(&self.world)?);
        Ok(lock(&self.node).len())
    }

    fn allocate(&self, len: u64) -> io::Result<()> {
        let old = lock(&self.node).len();
        self.grow(len.max(old))
    }
}

/// No state here is ever half changed when a panic can happen, so a poisoned lock is still good.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn standing(world: &Mutex<World>) -> io::Result<MutexGuard<'_, World>> {
    let world = lock(world);
    if world.gone || world.faults.is_dark() {
        Err(io::Error::other(
            "this disk went away with its machine (simulated)",
        ))
    } else {
        Ok(world)
    }
}

fn apply(names: &mut BTreeMap<PathBuf, Node>, change: Change) {
    for (path, node) in change {
        match node {
            Some(node) => names.insert(path, node),
            None => names.remove(&path),
        };
    }
}

/// The files at or below a path.
fn below(names: &BTreeMap<PathBuf, Node>, top: &Path) -> Vec<(PathBuf, Node)> {
    let found = names.iter().filter(|(path, _)| path.starts_with(top));
    found
        .map(|(path, node)| (path.clone(), node.clone()))
        .collect()
}

fn moved_path(path: &Path, from: &Path, to: &Path) -> PathBuf {
    match path.strip_prefix(from) {
        Ok(rest) if !rest.as_os_str().is_empty() => to.join(rest),
        _ => to.to_path_buf(),
    }
}
