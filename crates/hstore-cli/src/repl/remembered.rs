//! Where the lines of the shell are kept. They may hold values, so nobody else may read them.

use std::env;
use std::ffi::OsString;
use std::fs;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

/// The file, made if need be; none when lines are not to be kept or cannot be.
pub(super) fn file() -> Option<PathBuf> {
    let path = place(|name| env::var_os(name))?;
    make(&path).ok().map(|()| path)
}

/// `HSTORE_HISTORY`, where an empty one means none; else below the XDG state folder.
fn place(variable: impl Fn(&str) -> Option<OsString>) -> Option<PathBuf> {
    if let Some(named) = variable("HSTORE_HISTORY") {
        return (!named.is_empty()).then(|| named.into());
    }
    let state = variable("XDG_STATE_HOME")
        .map(PathBuf::from)
        .filter(|path| path.is_absolute())
        .or_else(|| {
            let home = variable("HOME").filter(|home| !home.is_empty())?;
            Some(PathBuf::from(home).join(".local/state"))
        })?;
    Some(state.join("hstore").join("history"))
}

fn make(path: &Path) -> std::io::Result<()> {
    if let Some(folder) = path.parent() {
        fs::DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(folder)?;
    }
    fs::OpenOptions::new()
        .append(true)
        .create(true)
        .mode(0o600)
        .open(path)
        .map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_variable_goes_before_the_state_folder_before_home() {
        for (set, expected) in [
            (
                &[("HSTORE_HISTORY", "/h"), ("XDG_STATE_HOME", "/x")][..],
                Some("/h"),
            ),
            (&[("HSTORE_HISTORY", ""), ("HOME", "/h/a")], None),
            (
                &[("XDG_STATE_HOME", "/x"), ("HOME", "/h/a")],
                Some("/x/hstore/history"),
            ),
            (
                &[("XDG_STATE_HOME", "not/absolute"), ("HOME", "/h/a")],
                Some("/h/a/.local/state/hstore/history"),
            ),
            (&[], None),
        ] {
            let variable = |name: &str| {
                set.iter()
                    .find(|(known, _)| *known == name)
                    .map(|(_, value)| OsString::from(value))
            };
            assert_eq!(place(variable), expected.map(PathBuf::from));
        }
    }

    #[test]
    fn the_file_is_made_for_its_owner_alone() {
        use std::os::unix::fs::PermissionsExt;
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a/b/history");
        make(&path).unwrap();
        assert_eq!(
            fs::metadata(&path).unwrap().permissions().mode() & 0o777,
            0o600
        );
    }
}
