//! The process that tidies up after a demo that was killed: it waits for the demo's end, ends what
//! is left of its nodes, and removes its folder.
//!
//! A demo that ends in order has done all that itself, and leaves nothing to the warden.
//!
//! Invariants: (1) it kills only processes that the demo named, and that are still the same
//! processes; (2) it removes only a folder that a demo marked as its own.

use std::path::Path;
use std::time::{Duration, Instant};

use hstore_client::local::process_start;
use hstore_core::error::ErrorCode;
use rustix::process::{Pid, Signal, kill_process};

use super::tether::{Leash, Tether};
use crate::fault::{Exit, Fault};
use crate::grammar::DemoWarden;

/// What the name of every demo's folder begins with.
pub(super) const FOLDER: &str = "hstore-demo-";
/// The file that marks a folder as one of a demo.
pub(super) const MARK: &str = "DEMO";
/// How long killed processes may take to be gone, and a folder to be empty.
const GONE: Duration = Duration::from_secs(20);
/// How often that is looked at.
const LOOK: Duration = Duration::from_millis(20);

/// Tells the warden of a process.
pub(super) fn tell(warden: &mut Leash, process: u32) -> std::io::Result<()> {
    let start = process_start(process).unwrap_or(0);
    warden.say(&format!("{process} {start}"))
}

/// Waits for the end of the demo, and tidies up.
pub(crate) fn run(warden: &DemoWarden) -> Result<Exit, Fault> {
    let mut tether = Tether::take()?;
    let folder = &warden.folder;
    if !is_ours(folder) {
        let what = format!("{} is no folder of a demo", folder.display());
        return Err(Fault::new(ErrorCode::InvalidArgument, what));
    }
    let mut processes = Vec::new();
    while let Some(word) = tether.hear() {
        processes.extend(parse(&word));
    }
    for (process, start) in &processes {
        if runs(*process, *start)
            && let Some(pid) = i32::try_from(*process).ok().and_then(Pid::from_raw)
        {
            // It may have ended in between, as it should.
            let _gone = kill_process(pid, Signal::KILL);
        }
    }
    let began = Instant::now();
    while began.elapsed() < GONE {
        let is_left = processes.iter().any(|(id, start)| runs(*id, *start));
        if !is_left && (std::fs::remove_dir_all(folder).is_ok() || !folder.exists()) {
            return Ok(Exit::Ok);
        }
        std::thread::sleep(LOOK);
    }
    let what = format!("{} could not be removed", folder.display());
    Err(Fault::new(ErrorCode::Internal, what))
}

fn is_ours(folder: &Path) -> bool {
    let name = folder.file_name().unwrap_or_default().to_string_lossy();
    name.starts_with(FOLDER) && folder.join(MARK).is_file()
}

fn parse(word: &str) -> Option<(u32, u64)> {
    let (process, start) = word.split_once(' ')?;
    Some((process.parse().ok()?, start.parse().ok()?))
}

/// Whether the very process still runs.
fn runs(process: u32, start: u64) -> bool {
    process_start(process) == Some(start)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_same_process_is_the_one_that_was_named() {
        let own = std::process::id();
        let start = process_start(own).unwrap();
        assert_eq!(parse(&format!("{own} {start}")), Some((own, start)));
        assert!(runs(own, start));
        assert!(!runs(own, start + 1), "another one with the same number");
        for word in ["", "1", "x 1", "1 x", "-1 1"] {
            assert_eq!(parse(word), None, "{word:?}");
        }
    }

    #[test]
    fn only_a_folder_with_the_name_and_the_mark_of_a_demo_is_removed() {
        let within = tempfile::tempdir().unwrap();
        for (name, marked, ours) in [
            ("hstore-demo-1", true, true),
            ("hstore-demo-2", false, false),
            ("data", true, false),
        ] {
            let folder = within.path().join(name);
            std::fs::create_dir(&folder).unwrap();
            if marked {
                std::fs::write(folder.join(MARK), "").unwrap();
            }
            assert_eq!(is_ours(&folder), ours, "{name}");
        }
    }
}
