//! How much memory a process had at most: the kernel's own word for it.

use std::fs;

use super::Node;

/// What a node's process has more than it had when this was made, at the most.
pub(crate) struct Peak {
    pid: u32,
    before: u64,
}

impl Peak {
    /// From now on.
    pub(crate) fn of(node: &Node) -> Peak {
        let pid = node.record().pid;
        // The highest mark falls to where the process is now (proc(5), clear_refs).
        fs::write(format!("/proc/{pid}/clear_refs"), "5").expect("the process is ours");
        Peak {
            pid,
            before: high_water(pid),
        }
    }

    /// How many bytes more it had at the most.
    pub(crate) fn bytes(&self) -> u64 {
        high_water(self.pid).saturating_sub(self.before)
    }
}

fn high_water(pid: u32) -> u64 {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).expect("the process runs");
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let kib = line.and_then(|line| line.split_whitespace().next());
    let kib: u64 = kib.and_then(|kib| kib.parse().ok()).expect("a number");
    kib * 1024
}
