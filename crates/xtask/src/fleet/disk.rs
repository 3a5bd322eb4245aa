//! Where a node's data is: a folder, or a file system of its own on an image, which can fill up
//! and lose its power.
//!
//! Invariant: a file system is unmounted when its value is dropped, and its loop device is free.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

use crate::shell;

/// The size of an image; sparse, so that only what is written takes room.
const IMAGE_MIB: u64 = 1_200;
/// What takes up the room of a full file system.
const FILLER: &str = "filler";
/// How long a file system may stay busy after its last process ended.
const BUSY: Duration = Duration::from_secs(10);

/// Where a node's data is.
#[derive(Debug)]
pub(crate) struct Disk {
    folder: PathBuf,
    image: Option<PathBuf>,
    mounted: bool,
}

impl Disk {
    /// A folder below `within`.
    pub(crate) fn folder(within: &Path, name: &str) -> Result<Disk> {
        let folder = within.join(name);
        std::fs::create_dir_all(&folder)?;
        Ok(Disk {
            folder,
            image: None,
            mounted: false,
        })
    }

    /// A file system of its own, on an image below `within`.
    pub(crate) fn image(within: &Path, name: &str) -> Result<Disk> {
        let mut disk = Disk::folder(within, name)?;
        let image = within.join(format!("{name}.img"));
        File::create(&image)?.set_len(IMAGE_MIB << 20)?;
        let mut make = Command::new("mkfs.ext4");
        // No room is kept back: a full disk is to be full.
        make.args(["-q", "-F", "-m", "0"]).arg(&image);
        shell::read(&mut make).context("mkfs.ext4 is in the package e2fsprogs")?;
        disk.image = Some(image);
        disk.mount()?;
        Ok(disk)
    }

    /// Its root.
    pub(crate) fn path(&self) -> &Path {
        &self.folder
    }

    /// Mounts its image; a folder needs nothing.
    pub(crate) fn mount(&mut self) -> Result<()> {
        if let Some(image) = &self.image
            && !self.mounted
        {
            let mut mount = Command::new("mount");
            shell::read(mount.args(["-o", "loop"]).arg(image).arg(&self.folder))?;
            self.mounted = true;
        }
        Ok(())
    }

    /// Takes its file system away; no process may use it any more.
    pub(crate) fn unmount(&mut self) -> Result<()> {
        let begin = Instant::now();
        while self.mounted {
            match shell::read(Command::new("umount").arg(&self.folder)) {
                Ok(_) => self.mounted = false,
                Err(error) if begin.elapsed() > BUSY => return Err(error),
                Err(_busy) => std::thread::sleep(Duration::from_millis(20)),
            }
        }
        Ok(())
    }

    /// Takes all of its room, but for less than a block.
    pub(crate) fn fill(&self) -> Result<()> {
        if self.image.is_none() {
            bail!("a folder shares its room with the whole machine");
        }
        let filler = File::create(self.folder.join(FILLER))?;
        let mut end = 0;
        let mut piece: u64 = 256 << 20;
        while piece >= 4096 {
            let flags = rustix::fs::FallocateFlags::empty();
            match rustix::fs::fallocate(&filler, flags, end, piece) {
                Ok(()) => end += piece,
                Err(_no_room) => piece /= 2,
            }
        }
        Ok(())
    }

    /// Gives the room back.
    pub(crate) fn make_room(&self) -> Result<()> {
        match std::fs::remove_file(self.folder.join(FILLER)) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(error.into()),
            _ => Ok(()),
        }
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        if self.mounted {
            // Lazily at the worst: the device is free as soon as its last user is gone.
            let folder = self.folder.display().to_string();
            if !shell::works("umount", &[&folder]) {
                let _tried = shell::works("umount", &["-l", &folder]);
            }
        }
    }
}

/// Why this machine mounts no images, if it does not.
pub(crate) fn probe_images() -> Result<(), String> {
    let folder = tempfile::Builder::new().prefix("hstore-probe-").tempdir();
    let folder = folder.map_err(|error| error.to_string())?;
    match Disk::image(folder.path(), "probe") {
        Ok(_) => Ok(()),
        Err(error) => {
            let text = format!("{error:#}");
            let last = text.trim_end().lines().last().unwrap_or_default();
            Err(format!(
                "it needs root and loop devices for ext4 images ({last})"
            ))
        }
    }
}
