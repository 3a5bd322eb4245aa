//! Rules about one file: its head, its length, what it names.
//!
//! Invariant: a rule sees a name and a text, never the disk.

use std::path::Path;

use super::Violation;

/// The hard limit of a source file.
const LINES_MAX: usize = 800;

/// Beginnings of paths that exist on somebody's machine only, in two halves so that this file does
/// not hold them whole.
const MACHINE_PATHS: &[(&str, &str)] = &[
    ("/ho", "me/"),
    ("/ro", "ot/"),
    ("/Us", "ers/"),
    ("/wo", "rk/"),
];

/// The one folder that may name the consensus library in its code.
const CONSENSUS_FOLDER: &str = "crates/hstore-node/src/raft/";

/// The broken rules of one file.
pub(super) fn check(name: &str, text: &str) -> Vec<Violation> {
    let mut violations = Vec::new();
    let is_rust = Path::new(name).extension().is_some_and(|end| end == "rs");
    if is_rust {
        if !text.starts_with("//!") {
            violations.push(Violation::new(
                name,
                "does not open with `//!`: say what it is for and its invariants",
            ));
        }
        let lines = text.lines().count();
        if lines > LINES_MAX {
            violations.push(Violation::new(
                name,
                format!("has {lines} lines, more than {LINES_MAX}: look for the seam"),
            ));
        }
        if !name.starts_with(CONSENSUS_FOLDER)
            && let Some(line) = text.lines().position(names_consensus)
        {
            violations.push(Violation::new(
                format!("{name}:{}", line + 1),
                format!("names the consensus library; only {CONSENSUS_FOLDER} may"),
            ));
        }
    }
    // The lockfile is cargo's, licences are their authors'.
    if name != "Cargo.lock" && name != "LICENSE" {
        for (number, line) in text.lines().enumerate() {
            if MACHINE_PATHS.iter().any(|path| holds_path(line, *path)) {
                violations.push(Violation::new(
                    format!("{name}:{}", number + 1),
                    "holds a path of one machine; find it from the workspace, a flag or a variable",
                ));
            }
        }
    }
    violations
}

fn names_consensus(line: &str) -> bool {
    let code = line.trim_start();
    !code.starts_with("//") && code.contains(concat!("open", "raft::"))
}

/// Whether the line holds the path at the start of a word, so that `a/home/b` does not count.
fn holds_path(line: &str, (head, tail): (&str, &str)) -> bool {
    let path = format!("{head}{tail}");
    line.match_indices(&path).any(|(at, _)| {
        line[..at]
            .chars()
            .next_back()
            .is_none_or(|before| !before.is_alphanumeric() && !"._-~}*".contains(before))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEAD: &str = "//! A room.\n";

    fn found(name: &str, text: &str) -> Vec<String> {
        check(name, text).into_iter().map(|v| v.what).collect()
    }

    #[test]
    fn a_file_with_a_head_passes_and_one_without_is_named() {
        assert!(found("crates/a/src/lib.rs", HEAD).is_empty());
        assert_eq!(found("crates/a/src/lib.rs", "use std::fmt;\n").len(), 1);
        assert!(found("README.md", "# A title\n").is_empty());
    }

    #[test]
    fn a_file_may_have_800_lines_and_not_801() {
        let lines = |n: usize| format!("{HEAD}{}", "// x\n".repeat(n - 1));
        assert!(found("a.rs", &lines(800)).is_empty());
        assert_eq!(found("a.rs", &lines(801)).len(), 1);
    }

    #[test]
    fn a_path_of_one_machine_is_named_in_any_text() {
        for (head, tail) in MACHINE_PATHS {
            let text = format!("see {head}{tail}somebody/hstore\n");
            assert_eq!(found("docs/a.md", &text).len(), 1, "{text}");
            let inside = format!("see example{head}{tail}somebody\n");
            assert!(found("docs/a.md", &inside).is_empty(), "{inside}");
            assert!(found("Cargo.lock", &text).is_empty());
        }
    }

    #[test]
    fn the_consensus_library_is_named_in_its_folder_only() {
        let text = format!("{HEAD}use open{}Raft;\n", "raft::");
        assert_eq!(found("crates/hstore-node/src/node.rs", &text).len(), 1);
        assert!(found("crates/hstore-node/src/raft/log.rs", &text).is_empty());
        let comment = format!("{HEAD}// as open{}docs says\n", "raft::");
        assert!(found("crates/hstore-node/src/node.rs", &comment).is_empty());
    }
}
