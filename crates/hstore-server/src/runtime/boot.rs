//! Under which boot and mount the data folder lives: what was written but not synced survives the
//! death of a process, but neither the end of a boot nor that of a mount.

use std::fs;
use std::path::Path;

use rustix::fs::{AtFlags, CWD, StatxFlags, statx};

/// `STATX_MNT_ID_UNIQUE` (Linux 6.8): an id that no later mount gets again, unlike `STATX_MNT_ID`.
const UNIQUE_MOUNT_ID: StatxFlags = StatxFlags::from_bits_retain(0x4000);

/// The id of this boot of the machine and of this mount of the file system that `folder` is on.
/// Where the system does not say, every process start counts as one of its own, which costs a
/// rebuild after a crash and loses nothing.
pub(crate) fn mount_id(folder: &Path) -> String {
    match (boot(), mount(folder)) {
        (Some(boot), Some(mount)) => format!("{boot}/{mount}"),
        _ => format!("process-{:016x}", rand::random::<u64>()),
    }
}

fn boot() -> Option<String> {
    let id = fs::read_to_string("/proc/sys/kernel/random/boot_id").ok()?;
    let id = id.trim();
    (!id.is_empty()).then(|| id.to_owned())
}

fn mount(folder: &Path) -> Option<u64> {
    let known = statx(CWD, folder, AtFlags::empty(), UNIQUE_MOUNT_ID).ok()?;
    StatxFlags::from_bits_retain(known.stx_mask)
        .contains(UNIQUE_MOUNT_ID)
        .then_some(known.stx_mnt_id)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_mount_has_one_id_and_another_mount_has_another() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        if mount(folder.path()).is_none() {
            assert_ne!(mount_id(folder.path()), mount_id(folder.path()));
            return;
        }
        assert_eq!(mount_id(folder.path()), mount_id(folder.path()));
        assert_ne!(mount_id(folder.path()), mount_id(Path::new("/proc")));
    }
}
