//! The rules of the tree that no compiler knows.
//!
//! Each rule is a pure function from data to violations, so that a planted violation can be tested
//! without a tree. This file only reads the tree and prints.
//!
//! Invariants: (1) nothing is written; (2) a violation names the place, the rule and the way out.

mod codes;
mod edges;
mod planted;
mod sources;

use std::fs;

use anyhow::{Context, Result, bail};

use crate::shell;

/// One broken rule.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Violation {
    /// The file or crate.
    pub(crate) place: String,
    /// What is wrong and what to do.
    pub(crate) what: String,
}

impl Violation {
    fn new(place: impl Into<String>, what: impl Into<String>) -> Violation {
        Violation {
            place: place.into(),
            what: what.into(),
        }
    }
}

/// Checks the tree and prints every violation.
pub(crate) fn run() -> Result<()> {
    let violations = check()?;
    for violation in &violations {
        println!("{}: {}", violation.place, violation.what);
    }
    match violations.len() {
        0 => {
            println!("tidy: no rule is broken");
            Ok(())
        }
        n => bail!("tidy: {n} broken rules; each line above says what to do"),
    }
}

fn check() -> Result<Vec<Violation>> {
    let root = shell::root();
    let metadata = shell::metadata()?;
    let mut violations = edges::check(&edges::graph(&metadata));
    violations.extend(planted::check(&metadata));
    let listed = shell::read(std::process::Command::new("git").current_dir(&root).args([
        "ls-files",
        "--cached",
        "--others",
        "--exclude-standard",
    ]))?;
    let mut pages = Vec::new();
    for name in listed.lines() {
        let path = root.join(name);
        let Ok(bytes) = fs::read(&path) else {
            // Listed by git but removed from the tree, and not committed yet.
            continue;
        };
        let Ok(text) = String::from_utf8(bytes) else {
            continue;
        };
        violations.extend(sources::check(name, &text));
        if let Some(page) = name.strip_prefix("docs/errors/") {
            let code = page
                .strip_suffix(".md")
                .with_context(|| format!("{name}: docs/errors holds pages `<code>.md` only"))?;
            pages.push((code.to_owned(), text));
        }
    }
    violations.extend(codes::check(&codes::known(), &pages));
    Ok(violations)
}
