//! `cargo xtask count`: how many instructions the small pieces of work take that every request is made
//! of, held against a table that is part of the tree. Times are noise on a machine that others use,
//! counts are not: what grows here costs more everywhere.
//!
//! Each piece is done so many times and then more times, in processes of their own under valgrind;
//! the difference is what the operations took, whatever was made before the first of them.
//!
//! Invariants: (1) what grew beyond the tolerance is named and the task fails, and so does what the
//! table does not know; (2) without `--update` nothing is written.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicUsize, Ordering};

use anyhow::{Context, Result, bail};

use crate::shell;

/// The table.
const TABLE: &str = "docs/counts.txt";

/// How often a piece is done in the first process and in the second. Whole entries of 32.
const FEW: u64 = 2048;
const MANY: u64 = 10_240;

/// How many per cent more are no growth: a compiler that lays out code in another way.
const TOLERANCE: u64 = 5;

/// The same where the table was made with another compiler.
const TOLERANCE_OF_OTHERS: u64 = 25;

/// How many processes count at a time.
const LANES: usize = 2;

/// What `count` takes.
#[derive(clap::Args)]
pub(crate) struct Options {
    /// Write the table instead of holding the counts against it.
    #[arg(long)]
    update: bool,
    /// Count only what has one of these in its name.
    names: Vec<String>,
}

/// One piece of work.
struct Piece {
    name: String,
    operation: String,
    instructions: u64,
}

/// Counts, and compares or writes.
pub(crate) fn run(options: &Options) -> Result<()> {
    if !shell::works("valgrind", &["--version"]) {
        bail!("valgrind does not run here (package valgrind)");
    }
    if options.update && !options.names.is_empty() {
        bail!("--update writes the whole table, so it counts everything");
    }
    let program = build()?;
    let mut pieces = names(&program)?;
    pieces.retain(|piece| {
        let wanted = &options.names;
        wanted.is_empty() || wanted.iter().any(|part| piece.name.contains(part))
    });
    count(&program, &mut pieces)?;
    let compiler = shell::read(Command::new("rustc").arg("--version"))?;
    let path = shell::root().join(TABLE);
    if options.update {
        fs::write(&path, table(&pieces, compiler.trim()))?;
        println!("{TABLE}: {} pieces", pieces.len());
        return Ok(());
    }
    let known = fs::read_to_string(&path).with_context(|| format!("{TABLE} cannot be read"))?;
    compare(&pieces, &known, compiler.trim())
}

fn build() -> Result<PathBuf> {
    let mut build = shell::cargo();
    build.args([
        "build",
        "--release",
        "--locked",
        "--package",
        "hstore-storage",
    ]);
    build.args(["--bin", "hstore-micro", "--features", "micro"]);
    shell::run(&mut build)?;
    Ok(shell::target()?.join("release").join("hstore-micro"))
}

fn names(program: &Path) -> Result<Vec<Piece>> {
    let text = shell::read(&mut Command::new(program))?;
    let pieces = text.lines().map(|line| {
        let (name, operation) = line.split_once('\t').context("no name and operation")?;
        Ok(Piece {
            name: name.to_owned(),
            operation: operation.to_owned(),
            instructions: 0,
        })
    });
    pieces.collect()
}

/// Counts all of them, a few at a time.
fn count(program: &Path, pieces: &mut [Piece]) -> Result<()> {
    let next = AtomicUsize::new(0);
    let counted = std::thread::scope(|scope| {
        let lanes: Vec<_> = (0..LANES)
            .map(|_| {
                scope.spawn(|| {
                    let mut counted = Vec::new();
                    while let Some(piece) = pieces.get(next.fetch_add(1, Ordering::Relaxed)) {
                        counted.push((piece.name.clone(), per_operation(program, &piece.name)?));
                    }
                    Ok(counted)
                })
            })
            .collect();
        let lanes = lanes.into_iter().map(std::thread::ScopedJoinHandle::join);
        lanes
            .map(|lane| lane.expect("a lane does not panic"))
            .collect::<Result<Vec<_>>>()
    })?;
    let counted: BTreeMap<_, _> = counted.into_iter().flatten().collect();
    for piece in pieces {
        piece.instructions = counted[&piece.name];
    }
    Ok(())
}

fn per_operation(program: &Path, name: &str) -> Result<u64> {
    let few = instructions(program, name, FEW)?;
    let many = instructions(program, name, MANY)?;
    Ok(many.saturating_sub(few) / (MANY - FEW))
}

/// How many instructions a process takes.
fn instructions(program: &Path, name: &str, operations: u64) -> Result<u64> {
    let mut command = Command::new("valgrind");
    command
        .args(["--tool=cachegrind", "--cache-sim=no"])
        .arg("--cachegrind-out-file=/dev/null")
        .arg(program)
        .arg(name)
        .arg(operations.to_string());
    let output = command.output().context("valgrind did not start")?;
    let talk = String::from_utf8_lossy(&output.stderr);
    if !output.status.success() {
        bail!("{name} under valgrind: {}\n{talk}", output.status);
    }
    told(&talk).with_context(|| format!("valgrind told no count of {name}:\n{talk}"))
}

/// The count in what valgrind says: `==1== I   refs:      1,234`.
fn told(talk: &str) -> Option<u64> {
    let line = talk.lines().find(|line| line.contains("refs:"))?;
    let (_words, number) = line.split_once("refs:")?;
    let digits: String = number.chars().filter(char::is_ascii_digit).collect();
    digits.parse().ok()
}

/// The table as it is kept.
fn table(pieces: &[Piece], compiler: &str) -> String {
    let mut text = format!(
        "# Instructions of an operation. `cargo xtask count` compares, `--update` writes.\n\
         # {compiler}\n"
    );
    for piece in pieces {
        let Piece {
            name,
            operation,
            instructions,
        } = piece;
        writeln!(text, "{name:<16} {instructions:>8}  {operation}").expect("text takes it");
    }
    text
}

/// Holds what was counted against the table.
fn compare(pieces: &[Piece], known: &str, compiler: &str) -> Result<()> {
    let same = known.lines().any(|line| line == format!("# {compiler}"));
    let tolerance = if same { TOLERANCE } else { TOLERANCE_OF_OTHERS };
    if !same {
        println!("count: the table is of another compiler: only {tolerance} % more is growth");
    }
    let known: BTreeMap<&str, u64> = known
        .lines()
        .filter(|line| !line.starts_with('#'))
        .filter_map(|line| {
            let mut words = line.split_whitespace();
            Some((words.next()?, words.next()?.parse().ok()?))
        })
        .collect();
    let mut grew = Vec::new();
    for piece in pieces {
        let (name, now) = (piece.name.as_str(), piece.instructions);
        let Some(before) = known.get(name).copied() else {
            println!("{name:<16} {now:>8}  is not in the table");
            grew.push(name);
            continue;
        };
        let change = 100.0 * (now as f64 - before as f64) / before.max(1) as f64;
        let word = if now * 100 > before * (100 + tolerance) {
            grew.push(name);
            "  GREW"
        } else if now * (100 + tolerance) < before * 100 {
            "  less: --update keeps it so"
        } else {
            ""
        };
        println!("{name:<16} {now:>8}  {change:+.1} %{word}");
    }
    if grew.is_empty() {
        return Ok(());
    }
    bail!(
        "more instructions than {TABLE} has: {}. Mend it, or say why and run `cargo xtask count --update`",
        grew.join(", ")
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn piece(name: &str, instructions: u64) -> Piece {
        Piece {
            name: name.to_owned(),
            operation: "an operation".to_owned(),
            instructions,
        }
    }

    #[test]
    fn the_count_is_read_from_what_valgrind_says() {
        let talk = "==7== Cachegrind\n==7== \n==7== I   refs:      12,345,678\n";
        assert_eq!(told(talk), Some(12_345_678));
        assert_eq!(told("==7== I refs:        9\n"), Some(9));
        assert_eq!(told("==7== nothing\n"), None);
    }

    #[test]
    fn what_grew_or_is_unknown_fails_and_is_named() {
        let known = table(&[piece("one", 1000), piece("two", 100)], "rustc 1");
        let compare = |pieces: &[Piece], compiler| compare(pieces, &known, compiler);
        compare(&[piece("one", 1050), piece("two", 50)], "rustc 1").unwrap();
        let told = compare(&[piece("one", 1051), piece("two", 100)], "rustc 1").unwrap_err();
        assert!(told.to_string().contains("one"), "{told}");
        assert!(!told.to_string().contains("two"), "{told}");
        compare(&[piece("one", 1250)], "rustc 2").unwrap();
        compare(&[piece("one", 1251)], "rustc 2").unwrap_err();
        compare(&[piece("three", 1)], "rustc 1").unwrap_err();
    }
}
