//! Faults of disks. A node whose disk fails ends itself; the steward starts it again.

use std::path::{Path, PathBuf};
use std::time::Duration;

use hstore_storage::disk::memory::{Fault, MemoryDisk, Operation};
use hstore_storage::disk::{Disk, OpenMode};
use rand::RngExt;
use rand::rngs::StdRng;

use super::{Kind, Nemesis, Strike};
use crate::world::data_dir;

/// How long a process stays down that is restarted to meet a fault.
const START_PAUSE: Duration = Duration::from_millis(50);

/// Strikes; whether it had an effect.
pub(super) async fn strike(
    nemesis: &Nemesis,
    strike: &Strike,
    at: usize,
    rng: &mut StdRng,
) -> bool {
    let nth = u64::from(rng.random_range(1..=strike.strength.div_ceil(8)));
    match strike.kind {
        Kind::ReadFails => {
            // Nodes read little while all is well: a restart reads.
            fails(nemesis, strike, at, Operation::Read, nth, rng).await
        }
        Kind::WriteFails => fails(nemesis, strike, at, Operation::Write, nth, rng).await,
        Kind::SyncFails => fails(nemesis, strike, at, Operation::Sync, nth, rng).await,
        Kind::FolderFails => {
            let operation = if rng.random_bool(0.5) {
                Operation::Folder
            } else {
                Operation::SyncFolder
            };
            fails(nemesis, strike, at, operation, 1, rng).await
        }
        Kind::Full => full(nemesis, strike, at, rng).await,
        Kind::SlowDisk => {
            let weather = nemesis.world.weather(at);
            let millis = u64::from(strike.strength);
            weather.slow(
                Duration::from_millis(millis / 2),
                Duration::from_millis(millis * 5 + 2),
            );
            nemesis.last(strike).await;
            weather.fast();
            true
        }
        Kind::StuckDisk => {
            let weather = nemesis.world.weather(at);
            let life = nemesis.world.life(at);
            weather.stick();
            nemesis.last(strike).await;
            if nemesis.world.life(at) == life {
                weather.unstick();
            }
            true
        }
        Kind::FlipBits => flip(nemesis, strike, at, rng).await,
        Kind::TornWrite => torn(nemesis, strike, at, rng).await,
        _ => false,
    }
}

/// Fails one operation; waits until it was met.
async fn fails(
    nemesis: &Nemesis,
    strike: &Strike,
    at: usize,
    operation: Operation,
    nth: u64,
    rng: &mut StdRng,
) -> bool {
    let disk = nemesis.world.disk(at);
    let life = nemesis.world.life(at);
    let before = disk.count(operation);
    let fault = if strike.strength.is_multiple_of(2) {
        Fault::Broken
    } else {
        Fault::Full
    };
    disk.fail(operation, nth, fault);
    // Folders change seldom: the fault waits for its operation longer than it lasts.
    let mut left = 400;
    while left > 0 && !nemesis.is_over() {
        nemesis.wait(Duration::from_millis(25)).await;
        left -= 1;
        if left % 80 == 0 {
            // Enough for another segment or a snapshot, which is what changes and reads folders.
            nemesis.clients.burst(at, 8, 24 * 1024, rng.random()).await;
        }
        // A node that met it ends, and its disk with it.
        if nemesis.world.life(at) != life || disk.count(operation) >= before + nth {
            return true;
        }
    }
    operation == Operation::Read && fails_at_start(nemesis, at, fault).await
}

/// Fails the first read of a process that starts, if it starts in time.
async fn fails_at_start(nemesis: &Nemesis, at: usize, fault: Fault) -> bool {
    if nemesis.is_over() {
        return false;
    }
    let world = &nemesis.world;
    nemesis.steward.hold_down(at, START_PAUSE);
    world.kill_now(at);
    let disk = world.disk(at);
    disk.fail(Operation::Read, 1, fault);
    let mut left = 40;
    while left > 0 && !nemesis.is_over() && disk.count(Operation::Read) == 0 {
        nemesis.wait(START_PAUSE).await;
        left -= 1;
    }
    disk.count(Operation::Read) > 0
}

/// Takes all the room there is and some more of it back; writes until the node meets the bound.
async fn full(nemesis: &Nemesis, strike: &Strike, at: usize, rng: &mut StdRng) -> bool {
    let world = &nemesis.world;
    let room = rng.random_range(0..32 * 1024);
    let bound = Some(used(&world.disk(at)) + room);
    world.disk(at).set_capacity(bound);
    let life = world.life(at);
    for _ in 0..8 {
        if world.life(at) != life || nemesis.is_over() {
            break;
        }
        nemesis.clients.burst(at, 10, 4096, rng.random()).await;
        nemesis.wait(Duration::from_millis(200)).await;
    }
    let struck = world.life(at) != life;
    // It stays full for a while: whoever starts there may fail again.
    nemesis.last(strike).await;
    // It may be another disk by now: a crash leaves the bound in place.
    world.disk(at).set_capacity(None);
    struck
}

fn used(disk: &MemoryDisk) -> u64 {
    files(disk).iter().map(|(_path, len)| len).sum()
}

/// The files of the data folder with their lengths.
fn files(disk: &MemoryDisk) -> Vec<(PathBuf, u64)> {
    let mut found = Vec::new();
    for folder in [
        data_dir(),
        data_dir().join("wal"),
        data_dir().join("snapshots"),
    ] {
        let Ok(names) = disk.list(&folder) else {
            continue;
        };
        for name in names {
            let path = folder.join(name);
            if let Ok(file) = disk.open(&path, OpenMode::Read)
                && let Ok(len) = file.len()
            {
                found.push((path, len));
            }
        }
    }
    found
}

/// Damages a file of a machine that is off. In the log only what later records follow is damaged:
/// nobody can tell a damaged last record from one that was never finished.
async fn flip(nemesis: &Nemesis, strike: &Strike, at: usize, rng: &mut StdRng) -> bool {
    let world = &nemesis.world;
    if !nemesis.steward.may_lose(at) {
        return false;
    }
    nemesis
        .steward
        .hold_down(at, Duration::from_millis(strike.lasts_ms));
    // After a power loss the node starts from its files alone.
    if strike.strength.is_multiple_of(2) {
        world.cut_power(at);
    } else {
        world.kill_now(at);
    }
    let disk = world.disk(at);
    let targets: Vec<(PathBuf, u64)> = files(&disk)
        .into_iter()
        .filter_map(|(path, len)| {
            if path.extension()? == "snap" {
                return Some((path, len));
            }
            if path.extension()? == "wal" {
                let proven = proven_bytes(&disk, &path, len);
                return (proven > 0).then_some((path, proven));
            }
            None
        })
        .collect();
    let mut struck = false;
    if !targets.is_empty() {
        let (path, len) = &targets[rng.random_range(0..targets.len())];
        for _ in 0..=strike.strength / 20 {
            let offset = rng.random_range(0..(*len).max(1));
            struck |= disk.flip(path, offset, 1 << rng.random_range(0..8));
        }
    }
    if struck {
        nemesis.steward.damaged(at);
    } else {
        nemesis.steward.spared(at);
    }
    nemesis.last(strike).await;
    struck
}

/// Up to where a segment of the log was durable as its own last whole record says: damage there
/// cannot pass for the torn tail of a crash, since that record follows it. What lies behind may be
/// the last batch, of which nothing tells that it was ever whole, or bytes of an earlier life of
/// the file.
fn proven_bytes(disk: &MemoryDisk, path: &Path, len: u64) -> u64 {
    let number = path
        .file_stem()
        .and_then(|stem| stem.to_str()?.parse().ok());
    let mut bytes = vec![0; len as usize];
    let read = disk
        .open(path, OpenMode::Read)
        .and_then(|file| file.read_at(0, &mut bytes));
    let (Some(number), Ok(_read)) = (number, read) else {
        return 0;
    };
    let places = (0..bytes.len()).step_by(8).rev();
    let mut marks = places.filter_map(|place| mark_of(&bytes, number, place));
    marks.next().unwrap_or(0)
}

/// What the record at this place says of how much was durable, if there is a whole one: its
/// checksum, length, segment, place and mark are at 0, 4, 8, 16 and 20 (docs/formats.md).
fn mark_of(bytes: &[u8], number: u64, place: usize) -> Option<u64> {
    const HEADER_BYTES: usize = 56;
    let word = |at: usize| Some(u32::from_le_bytes(*bytes.get(place + at..)?.first_chunk()?));
    let segment = u64::from_le_bytes(*bytes.get(place + 8..)?.first_chunk()?);
    if segment != number || word(16)? as usize != place {
        return None;
    }
    let end = place + HEADER_BYTES + (word(4)? as usize).next_multiple_of(8);
    let whole = word(0)? == crc32c::crc32c(bytes.get(place + 4..end)?);
    whole.then_some(u64::from(word(20)?))
}

/// The power fails in the middle of an operation of the disk.
async fn torn(nemesis: &Nemesis, strike: &Strike, at: usize, rng: &mut StdRng) -> bool {
    let world = &nemesis.world;
    let disk = world.disk(at);
    let life = world.life(at);
    disk.cut_power_after(u64::from(rng.random_range(0..=strike.strength)));
    let mut left = 400;
    while !disk.is_dark() && left > 0 && !nemesis.is_over() {
        nemesis.wait(Duration::from_millis(10)).await;
        left -= 1;
    }
    if world.life(at) != life {
        // Somebody else was faster.
        return disk.is_dark();
    }
    let struck = disk.is_dark();
    nemesis
        .steward
        .hold_down(at, Duration::from_millis(strike.lasts_ms));
    world.cut_power(at);
    struck
}
