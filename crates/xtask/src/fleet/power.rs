//! Loss of power: a file system that forgets, at one moment, everything that was not synced.

use std::path::Path;
use std::process::Command;

use anyhow::{Result, bail};

use crate::shell;

/// `EXT4_IOC_SHUTDOWN` without a flush of the journal, on each folder that is named. Python makes
/// the call, since the workspace forbids unsafe code.
const SHUTDOWN: &str = "
import fcntl, os, struct, sys
folders = [os.open(name, os.O_RDONLY) for name in sys.argv[1:]]
for folder in folders:
    fcntl.ioctl(folder, 0x8004587d, struct.pack('I', 2))
";

/// Why this machine cannot do it, if it cannot.
pub(crate) fn probe() -> Result<(), String> {
    if shell::works("python3", &["-c", "import fcntl"]) {
        Ok(())
    } else {
        Err("there is no python3".to_owned())
    }
}

/// Cuts the power of the file systems that are mounted at these folders.
pub(crate) fn cut(folders: &[&Path]) -> Result<()> {
    let mut command = Command::new("python3");
    let output = command.args(["-c", SHUTDOWN]).args(folders).output()?;
    if !output.status.success() {
        let talk = String::from_utf8_lossy(&output.stderr);
        bail!("the file systems did not shut down: {talk}");
    }
    Ok(())
}
