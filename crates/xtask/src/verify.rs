//! The checks that must hold before a change lands, and the commands that mend what can be mended.
//!
//! Invariants: (1) `run` never writes to the tree; (2) every step runs even when an earlier one
//! failed, so that one call shows everything; (3) each failure names the command that mends it.

use std::fs;

use anyhow::{Result, bail};

use crate::{shell, tidy};

/// What `verify` takes.
#[derive(clap::Args)]
pub(crate) struct Options {
    /// Leave the tests out.
    #[arg(long)]
    no_tests: bool,
}

/// What `test` takes.
#[derive(clap::Args)]
pub(crate) struct TestOptions {
    /// The profile of nextest (`default` or `ci`).
    #[arg(long, default_value = "default")]
    profile: String,
    /// Passed on to the test runner, for example a part of a test's name.
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    rest: Vec<String>,
}

/// Runs every check and prints what failed and how to mend it.
pub(crate) fn run(options: &Options) -> Result<()> {
    type Step<'a> = (&'a str, &'a str, Box<dyn Fn() -> Result<()> + 'a>);
    let mut steps: Vec<Step<'_>> = vec![
        (
            "format",
            "cargo xtask fix",
            Box::new(|| shell::run(shell::cargo().args(["fmt", "--all", "--check"]))),
        ),
        (
            "tidy",
            "read the lines of `cargo xtask tidy`",
            Box::new(tidy::run),
        ),
        (
            "clippy",
            "cargo xtask fix, then by hand",
            Box::new(|| {
                let arguments = ["clippy", "--workspace", "--all-targets", "--locked"];
                shell::run(
                    shell::cargo()
                        .args(arguments)
                        .args(["--", "-D", "warnings"]),
                )
            }),
        ),
        (
            "documents",
            "mend the doc comments that the lines above name",
            Box::new(|| {
                let arguments = ["doc", "--workspace", "--no-deps", "--locked"];
                shell::run(
                    shell::cargo()
                        .args(arguments)
                        .env("RUSTDOCFLAGS", "-D warnings"),
                )
            }),
        ),
    ];
    if !options.no_tests {
        steps.push((
            "tests",
            "cargo xtask test NAME runs one of them",
            Box::new(|| {
                test(&TestOptions {
                    profile: "default".to_owned(),
                    rest: Vec::new(),
                })
            }),
        ));
    }
    let mut failed = Vec::new();
    for (name, mend, step) in steps {
        println!("verify: {name}");
        if let Err(error) = step() {
            println!("verify: {name} failed: {error:#}");
            failed.push((name, mend));
        }
    }
    if failed.is_empty() {
        println!("verify: everything holds");
        return Ok(());
    }
    println!();
    for (name, mend) in &failed {
        println!("verify: {name} failed; to mend it: {mend}");
    }
    bail!("{} of the checks failed", failed.len())
}

/// Formats the tree and applies what clippy can mend by itself.
pub(crate) fn fix() -> Result<()> {
    let arguments = ["clippy", "--workspace", "--all-targets", "--fix"];
    shell::run(
        shell::cargo()
            .args(arguments)
            .args(["--allow-dirty", "--allow-staged"]),
    )?;
    shell::run(shell::cargo().args(["fmt", "--all"]))
}

/// Builds everything, then runs every test with nextest where it is installed. What a test could
/// not run on this machine is said at the end.
pub(crate) fn test(options: &TestOptions) -> Result<()> {
    // The tests of processes run the binaries as a person would, so they must be built, all of
    // them and from this tree, before the first test looks for them.
    shell::run(shell::cargo().args(["build", "--workspace", "--bins", "--locked"]))?;
    let notes = shell::target()?.join("not-run.txt");
    fs::write(&notes, "")?;
    let mut command = shell::cargo();
    if shell::works("cargo-nextest", &["nextest", "--version"]) {
        command
            .args(["nextest", "run", "--workspace", "--locked"])
            .args(["--profile", &options.profile])
            .args(&options.rest);
    } else {
        println!("cargo-nextest is not installed: the tests run with cargo's own runner");
        // Tests of processes share two cores and time each other out when all run at once.
        command
            .args(["test", "--workspace", "--locked", "--"])
            .arg("--test-threads=1")
            .args(&options.rest);
    }
    let result = shell::run(command.env("HSTORE_NOT_RUN", &notes));
    for note in fs::read_to_string(&notes)?.lines() {
        println!("not run: {note}");
    }
    result
}
