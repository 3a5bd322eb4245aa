//! What it means how a machine is: its disk, its limits.

use hstore_client::v1::{DiskExamination, ExamineResponse, Vitals};

use super::facts::{FolderFacts, middle};
use super::finding::{Code, Finding, Severity};
use crate::text;

use Severity::{Note, Problem};

/// A sync that takes longer slows every write, in microseconds: etcd's advice is to stay below.
const SYNC_NOTED_US: u64 = 10_000;

/// A disk whose syncs take longer is a problem of the whole cluster, in microseconds.
const SYNC_SLOW_US: u64 = 50_000;

/// A node leaves 128 MiB free; twice that is where it gets tight.
const FREE_BYTES_MIN: u64 = 256 << 20;

/// Files that a node opens beside the connections of clients: its log, its store, its peers.
const OWN_FILES: u64 = 256;

/// A store that has less than this share left of its quota gets tight.
const QUOTA_LEFT: u64 = 10;

/// Events that wait for watchers who do not read: a node keeps 256 MiB at most.
const WAITING_BYTES_MAX: u64 = 64 << 20;

/// What a node's machine means for the node, by what it found there and by how it works.
pub(super) fn of_node(
    name: &str,
    found: Option<&ExamineResponse>,
    vitals: Option<&Vitals>,
) -> Vec<Finding> {
    let mut told = Vec::new();
    if let Some(disk) = found.and_then(|found| found.disk.as_ref()) {
        told.extend(syncs(name, "its disk", disk));
        told.extend(room(name, disk, vitals.map_or(0, |it| it.engine_bytes)));
    }
    if let Some(vitals) = vitals {
        told.extend(files(
            name,
            vitals,
            found.map_or(0, |it| it.connections_max),
        ));
        told.extend(quota(name, vitals));
        told.extend(watchers(name, vitals));
    }
    told
}

/// What a folder's disk would mean for a node.
pub(super) fn of_folder(folder: &FolderFacts) -> Vec<Finding> {
    let name = folder.path.display().to_string();
    let mut found = Vec::new();
    found.extend(syncs(&name, "the disk", &folder.disk));
    found.extend(room(&name, &folder.disk, 0));
    found
}

fn syncs(name: &str, whose: &str, disk: &DiskExamination) -> Option<Finding> {
    if !disk.problem.is_empty() {
        return Some(Finding::new(
            Code::SyncFailed,
            Problem,
            &[name],
            format!(
                "{name}: {whose} cannot be written to and synced: {}",
                disk.problem
            ),
            "dmesg | tail   on its machine; mend the disk, or replace the node",
        ));
    }
    let usual = middle(disk.sync_us.iter().copied())?;
    let worst = disk.sync_us.iter().copied().max()?;
    let took = format!(
        "{name}: {whose} takes {} to sync (the worst of {}: {})",
        text::millis(usual),
        disk.sync_us.len(),
        text::millis(worst)
    );
    if usual >= SYNC_SLOW_US {
        Some(Finding::new(
            Code::SyncSlow,
            Problem,
            &[name],
            format!("{took}, and every write of a majority waits for that"),
            "iostat -x 1   on its machine shows who else writes; give the data folder a disk of its own, an SSD",
        ))
    } else if usual >= SYNC_NOTED_US {
        Some(Finding::new(
            Code::SyncSlow,
            Note,
            &[name],
            format!(
                "{took}; below {} writes are not held up",
                text::millis(SYNC_NOTED_US)
            ),
            "iostat -x 1   on its machine shows who else writes",
        ))
    } else {
        None
    }
}

fn room(name: &str, disk: &DiskExamination, store_bytes: u64) -> Option<Finding> {
    // Nothing is known of a disk that did not say.
    if disk.sync_us.is_empty() && disk.free_bytes == 0 {
        return None;
    }
    // A snapshot is about as large as the store, and is written beside the former one.
    let needs = FREE_BYTES_MIN.max(store_bytes);
    (disk.free_bytes < needs).then(|| {
        Finding::new(
            Code::DiskFull,
            Problem,
            &[name],
            format!(
                "{name}: {} are free on its disk, and it should have {}: a node without room ends",
                text::size(disk.free_bytes),
                text::size(needs)
            ),
            "df -h; du -xh DATA | sort -h   on its machine; make room, or bound the store with --quota-bytes",
        )
    })
}

/// `connections_max` is 0 where it is not known.
fn files(name: &str, vitals: &Vitals, connections_max: u64) -> Option<Finding> {
    let (open, max) = (vitals.open_files, vitals.open_files_max);
    let wanted = connections_max + OWN_FILES;
    if max == 0 {
        return None;
    }
    let message = if connections_max > 0 && max < wanted {
        format!(
            "{name} may open {max} files and takes {connections_max} connections: it needs about {wanted}"
        )
    } else if open > max / 10 * 9 {
        format!("{name} has opened {open} of the {max} files that it may open")
    } else {
        return None;
    };
    Some(Finding::new(
        Code::FileLimit,
        Problem,
        &[name],
        message,
        "ulimit -Hn 65536 before it starts, or LimitNOFILE=65536 in its unit; or fewer --max-connections",
    ))
}

fn quota(name: &str, vitals: &Vitals) -> Option<Finding> {
    // The files take more than what is kept in them, and no quota bounds them.
    let (takes, quota) = (vitals.room_bytes, vitals.quota_bytes);
    let left = quota.saturating_sub(takes);
    (quota > 0 && left < quota / QUOTA_LEFT).then(|| {
        Finding::new(
            Code::Quota,
            Problem,
            &[name],
            format!(
                "the store of {name} takes {} of its quota of {}: beyond that the cluster refuses writes",
                text::size(takes),
                text::size(quota)
            ),
            "delete what is not needed, then hstore-cli compact; or hstore-cli config set quota-bytes 8GiB",
        )
    })
}

fn watchers(name: &str, vitals: &Vitals) -> Option<Finding> {
    let waiting = vitals.watch_waiting_bytes;
    (waiting > WAITING_BYTES_MAX).then(|| {
        Finding::new(
            Code::SlowWatchers,
            Problem,
            &[name],
            format!(
                "{} of events wait at {name} for watchers that do not read, of {} watches: what has no room is told later",
                text::size(waiting),
                vitals.watches
            ),
            "find the clients that watch there and do not read; writes are not held up",
        )
    })
}
