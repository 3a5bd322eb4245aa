//! Running other programs: cargo, git, and the project's own binaries.
//!
//! What it must never know: which task it runs for.
//!
//! Invariants: (1) a failed program is an error that names the whole command line; (2) every path
//! is found from the workspace root, wherever the task was called from.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};

/// The root of the workspace that this xtask was built in.
pub(crate) fn root() -> PathBuf {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    here.ancestors()
        .nth(2)
        .expect("xtask lives two folders below the workspace root")
        .to_path_buf()
}

/// The cargo that runs this task, or the one on the path.
pub(crate) fn cargo() -> Command {
    let mut command =
        Command::new(std::env::var_os("CARGO").unwrap_or_else(|| OsStr::new("cargo").to_owned()));
    command.current_dir(root());
    // Cargo sets these for the crate it runs; a nested cargo must find its own.
    for name in ["CARGO_MANIFEST_DIR", "CARGO_PKG_NAME", "CARGO_PKG_VERSION"] {
        command.env_remove(name);
    }
    command
}

/// Runs a command whose output goes to the terminal; a failure is an error.
pub(crate) fn run(command: &mut Command) -> Result<()> {
    let line = line(command);
    let status = command
        .status()
        .with_context(|| format!("`{line}` did not start"))?;
    if !status.success() {
        bail!("`{line}` failed: {status}");
    }
    Ok(())
}

/// Runs a command and gives its standard output; a failure is an error with its talk.
pub(crate) fn read(command: &mut Command) -> Result<String> {
    let line = line(command);
    let output = command
        .output()
        .with_context(|| format!("`{line}` did not start"))?;
    if !output.status.success() {
        bail!(
            "`{line}` failed: {}\n{}{}",
            output.status,
            String::from_utf8_lossy(&output.stdout),
            String::from_utf8_lossy(&output.stderr)
        );
    }
    String::from_utf8(output.stdout).with_context(|| format!("`{line}` printed no UTF-8"))
}

/// Whether a program starts and ends well.
pub(crate) fn works(program: &str, arguments: &[&str]) -> bool {
    Command::new(program)
        .args(arguments)
        .current_dir(root())
        .output()
        .is_ok_and(|output| output.status.success())
}

/// Builds the server and this task for release, and runs the same task from there: a debug build
/// of a load or of a judge is slower than what it looks at.
pub(crate) fn build_for_release_and_run_again() -> Result<()> {
    let mut build = cargo();
    build.args(["build", "--release", "--locked"]);
    run(build.args(["--package", "hstore-server", "--package", "xtask"]))?;
    let binary = target()?.join("release").join("xtask");
    let arguments = std::env::args_os().skip(1);
    // In its place, so that a signal to this process reaches the one that works.
    let error = Command::new(binary).args(arguments).arg("--built").exec();
    Err(error).context("the task did not start again")
}

/// A binary beside this one.
pub(crate) fn beside(program: &str) -> Result<PathBuf> {
    let here = std::env::current_exe()?;
    let folder = here.parent().context("a binary is in a folder")?;
    Ok(folder.join(program))
}

/// The folder that cargo builds into.
pub(crate) fn target() -> Result<PathBuf> {
    Ok(PathBuf::from(metadata()?.target_directory))
}

/// What `cargo metadata` says of the workspace, without its dependencies' own trees.
pub(crate) fn metadata() -> Result<Metadata> {
    let text = read(cargo().args(["metadata", "--no-deps", "--format-version", "1"]))?;
    serde_json::from_str(&text).context("`cargo metadata` printed something else than expected")
}

/// The parts of `cargo metadata` that tasks read.
#[derive(serde::Deserialize)]
pub(crate) struct Metadata {
    /// The crates of the workspace.
    pub(crate) packages: Vec<Package>,
    /// Where cargo builds into.
    pub(crate) target_directory: String,
}

/// One crate of the workspace.
#[derive(serde::Deserialize)]
pub(crate) struct Package {
    /// Its name.
    pub(crate) name: String,
    /// What it depends on, of all kinds.
    pub(crate) dependencies: Vec<Dependency>,
    /// Its features, each with what it turns on.
    #[serde(default)]
    pub(crate) features: BTreeMap<String, Vec<String>>,
}

/// One line of a crate's dependencies.
#[derive(serde::Deserialize)]
pub(crate) struct Dependency {
    /// The other crate's name.
    pub(crate) name: String,
    /// `dev` when only its tests need it, `build` when only its build script does.
    pub(crate) kind: Option<String>,
    /// What is turned on of it.
    #[serde(default)]
    pub(crate) features: Vec<String>,
}

fn line(command: &Command) -> String {
    let mut line = command.get_program().to_string_lossy().into_owned();
    for argument in command.get_args() {
        line.push(' ');
        line.push_str(&argument.to_string_lossy());
    }
    line
}

/// What drives nodes beside which it runs: two threads, as there are on the smallest machine.
pub(crate) fn two_workers() -> Result<tokio::runtime::Runtime> {
    let mut builder = tokio::runtime::Builder::new_multi_thread();
    Ok(builder.worker_threads(2).enable_all().build()?)
}
