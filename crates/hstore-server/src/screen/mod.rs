//! What people see: data on stdout, talk on stderr, tables that align.
//!
//! It knows no node and no command. Invariants: (1) a reader that has gone away is no failure;
//! (2) colour never carries meaning alone, and is not used where nobody looks.

mod block;
pub(crate) mod members;
mod table;

use std::fmt;
use std::io::{self, IsTerminal as _, Write as _};

pub(crate) use block::{Beginning, Block};
pub(crate) use table::Table;

/// Writes a line of data.
pub(crate) fn data(line: impl fmt::Display) {
    // A reader that has gone away (`| head`) has what it wanted.
    let _gone = writeln!(io::stdout().lock(), "{line}");
}

/// Writes a line of talk.
pub(crate) fn talk(line: impl fmt::Display) {
    // Nobody listens: nothing to do about it.
    let _gone = writeln!(io::stderr().lock(), "{line}");
}

/// Writes text as it is to stdout.
pub(crate) fn raw(bytes: &[u8]) {
    let mut stdout = io::stdout().lock();
    // A reader that has gone away (`| head`) has what it wanted.
    let _gone = stdout.write_all(bytes).and_then(|()| stdout.flush());
}

/// Whether colours may be used on a stream that is a terminal or not.
pub(crate) fn colours(terminal: bool) -> bool {
    terminal && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty())
}

/// Whether a person can be asked something.
pub(crate) fn can_ask() -> bool {
    io::stdin().is_terminal() && io::stderr().is_terminal()
}

/// Asks a question that is answered by yes or no; no when in doubt.
pub(crate) fn ask(question: &str) -> bool {
    let mut stderr = io::stderr().lock();
    if write!(stderr, "{question} [y/N] ")
        .and_then(|()| stderr.flush())
        .is_err()
    {
        return false;
    }
    let mut answer = String::new();
    let read = io::stdin().read_line(&mut answer);
    read.is_ok() && matches!(answer.trim(), "y" | "Y" | "yes" | "Yes")
}

/// A duration for people: two digits that matter.
pub(crate) fn duration(duration: std::time::Duration) -> String {
    let seconds = duration.as_secs();
    match seconds {
        0 => format!("{} ms", duration.as_millis()),
        1..60 => format!("{:.1} s", duration.as_secs_f64()),
        60..3_600 => format!("{} min", seconds / 60),
        3_600..172_800 => format!("{} h", seconds / 3_600),
        _ => format!("{} days", seconds / 86_400),
    }
}

/// A size for people.
pub(crate) fn bytes(bytes: u64) -> String {
    let units = ["B", "KiB", "MiB", "GiB", "TiB"];
    let mut value = bytes as f64;
    let mut unit = 0;
    while value >= 1024.0 && unit + 1 < units.len() {
        value /= 1024.0;
        unit += 1;
    }
    if unit == 0 {
        format!("{bytes} B")
    } else {
        format!("{value:.1} {}", units[unit])
    }
}

/// A path as a person would type it from here.
pub(crate) fn path(path: &std::path::Path) -> String {
    let here = std::env::current_dir().ok();
    match here.and_then(|here| path.strip_prefix(here).ok().map(std::path::Path::to_owned)) {
        Some(relative) if relative.as_os_str().is_empty() => ".".to_owned(),
        Some(relative) => format!("./{}", relative.display()),
        None => path.display().to_string(),
    }
}
