//! File systems made for one case: a small one that fills up, one that loses its power.
//!
//! Invariant: a mount is gone when its value is dropped.

use std::path::{Path, PathBuf};
use std::process::Command;

use super::notes::can_run;
use super::world::tool;

/// A mounted file system.
pub(crate) struct Mount {
    at: PathBuf,
    mounted: bool,
}

impl Mount {
    /// Where it is.
    pub(crate) fn path(&self) -> &Path {
        &self.at
    }

    /// Changes the options of the mount.
    pub(crate) fn remount(&self, options: &str) {
        let options = format!("remount,{options}");
        tool(Command::new("mount").args(["-o", &options]).arg(&self.at));
    }

    /// Takes it away; nothing may use it any more.
    pub(crate) fn unmount(mut self) {
        tool(Command::new("umount").arg(&self.at));
        self.mounted = false;
    }
}

impl Drop for Mount {
    fn drop(&mut self) {
        if !self.mounted {
            return;
        }
        // Lazily: a process that a failing test leaves behind is killed by its own guard.
        let at = self.at.display().to_string();
        can_run("umount", &["-l", &at]);
    }
}

/// A file system in memory with so much room, or the reason why there is none.
pub(crate) fn tmpfs(at: &Path, options: &str) -> Result<Mount, String> {
    std::fs::create_dir_all(at).map_err(|error| error.to_string())?;
    let place = at.display().to_string();
    if !can_run("mount", &["-t", "tmpfs", "-o", options, "tmpfs", &place]) {
        return Err("this machine mounts no tmpfs (it needs root)".to_owned());
    }
    Ok(Mount {
        at: at.to_path_buf(),
        mounted: true,
    })
}

/// Mounts an ext4 image through a loop device; makes the image when it is not there.
pub(crate) fn loop_image(image: &Path, mib: u64, at: &Path) -> Result<Mount, String> {
    std::fs::create_dir_all(at).map_err(|error| error.to_string())?;
    let (file, place) = (image.display().to_string(), at.display().to_string());
    if !image.exists() {
        let size = format!("{mib}M");
        if !can_run("truncate", &["-s", &size, &file])
            || !can_run("mkfs.ext4", &["-q", "-F", &file])
        {
            return Err("mkfs.ext4 does not run (package e2fsprogs)".to_owned());
        }
    }
    if !can_run("mount", &["-o", "loop", &file, &place]) {
        return Err("this machine mounts no loop device (it needs root)".to_owned());
    }
    Ok(Mount {
        at: at.to_path_buf(),
        mounted: true,
    })
}
