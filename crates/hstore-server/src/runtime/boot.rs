//! Which boot of the machine this is: what was written but not synced survives the death of a
//! process, but not the end of a boot.

use std::fs;

/// The id of this boot. Where the system does not say, every process start counts as a boot of its
/// own, which costs a rebuild and loses nothing.
pub(crate) fn boot_id() -> String {
    match fs::read_to_string("/proc/sys/kernel/random/boot_id") {
        Ok(id) if !id.trim().is_empty() => id.trim().to_owned(),
        _ => format!("process-{:016x}", rand::random::<u64>()),
    }
}
