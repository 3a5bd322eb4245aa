//! Planted bugs stay in the simulator: no program that is given to people can have one.
//!
//! Invariants: (1) the feature exists only in the crates that pass it down to where bugs are;
//! (2) it is turned on by its own name alone, never by another feature and never by whoever
//! depends on a crate, so a plain build of anything is a build without it.

use super::Violation;
use crate::shell::{Metadata, Package};

/// The name of the feature, in every crate that has it.
const FEATURE: &str = "planted";

/// The crates that may have it, from the simulator down.
const CRATES: &[&str] = &["hstore-sim", "hstore-node", "hstore-storage", "hstore-core"];

/// Every way by which a planted bug could get into another program.
pub(super) fn check(metadata: &Metadata) -> Vec<Violation> {
    metadata.packages.iter().flat_map(check_one).collect()
}

fn check_one(package: &Package) -> Vec<Violation> {
    let mut violations = Vec::new();
    let mut say = |what: String| violations.push(Violation::new(&package.name, what));
    for (feature, turned_on) in &package.features {
        if feature == FEATURE {
            if !CRATES.contains(&package.name.as_str()) {
                say(format!(
                    "has the feature `{FEATURE}`; only the simulator may plant bugs"
                ));
            }
        } else if let Some(named) = turned_on.iter().find(|named| names_it(named)) {
            say(format!(
                "turns on `{named}` by its feature `{feature}`; it is asked for by name or not at all"
            ));
        }
    }
    for dependency in &package.dependencies {
        if dependency.features.iter().any(|feature| feature == FEATURE) {
            say(format!(
                "depends on {} with `{FEATURE}`; it is asked for by name or not at all",
                dependency.name
            ));
        }
    }
    violations
}

/// Whether a line of a feature table turns the feature on, here or in a dependency.
fn names_it(line: &str) -> bool {
    line.rsplit('/').next() == Some(FEATURE)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(package: &str) -> Vec<String> {
        let text = format!("{{\"packages\":[{package}],\"target_directory\":\"\"}}");
        let metadata: Metadata = serde_json::from_str(&text).unwrap();
        let violations = check(&metadata).into_iter();
        violations.map(|violation| violation.what).collect()
    }

    #[test]
    fn the_simulator_may_have_the_feature_if_nothing_turns_it_on() {
        let package = r#"{"name":"hstore-sim","dependencies":[],
            "features":{"default":[],"planted":["hstore-node/planted"]}}"#;
        assert_eq!(found(package), Vec::<String>::new());
    }

    #[test]
    fn a_program_with_the_feature_is_named() {
        let package = r#"{"name":"hstore-server","dependencies":[],"features":{"planted":[]}}"#;
        assert_eq!(found(package).len(), 1);
    }

    #[test]
    fn another_feature_or_a_dependency_that_turns_it_on_is_named() {
        for line in ["planted", "hstore-core/planted", "hstore-core?/planted"] {
            let package = format!(
                r#"{{"name":"hstore-node","dependencies":[],"features":{{"default":["{line}"]}}}}"#
            );
            assert_eq!(found(&package).len(), 1, "{line}");
        }
        let package = r#"{"name":"hstore-cli","features":{},
            "dependencies":[{"name":"hstore-core","features":["planted"]}]}"#;
        assert_eq!(found(package).len(), 1);
    }
}
