//! Which crate may know which: the floor plan as a table.
//!
//! Invariants: (1) arrows point down only, those of tests (docs/adr/0013) set apart; (2) a crate that is not in the plan is a violation, so a
//! new floor needs an ADR; (3) a library with one keeper is named by that crate alone.

use std::collections::{BTreeMap, BTreeSet};

use super::Violation;
use crate::shell::Metadata;

/// The crates each crate stands on. Whatever is reachable below may be used.
const PLAN: &[(&str, &[&str])] = &[
    ("hstore-core", &[]),
    ("hstore-storage", &["hstore-core"]),
    ("hstore-node", &["hstore-storage"]),
    ("hstore-sim", &["hstore-node", "hstore-check"]),
    ("hstore-proto", &["hstore-core"]),
    ("hstore-client", &["hstore-proto"]),
    // The command line reads saved files (docs/adr/0017).
    ("hstore-cli", &["hstore-client", "hstore-storage"]),
    (
        "hstore-server",
        &["hstore-node", "hstore-proto", "hstore-cli", "hstore-links"],
    ),
    // The judge knows the words alone, so that it shares no mistake with what it judges.
    ("hstore-check", &["hstore-core"]),
    // A network that can be broken knows processes and sockets, and nothing of what passes
    // (docs/adr/0030).
    ("hstore-links", &[]),
    // What stands in the place of a library (docs/adr/0010) knows nothing of the house.
    ("base2histogram", &[]),
    // The tools stand beside the house: they may use the client, the wire and the words, and nothing
    // uses them.
    ("xtask", &["hstore-client", "hstore-check", "hstore-links"]),
];

/// What the tests of a crate may stand on beside that (docs/adr/0013): nothing of it is in what is
/// given to people.
const TESTS: &[(&str, &[&str])] = &[("hstore-server", &["hstore-sim", "hstore-check"])];

/// Libraries that exactly one crate may name, and why.
const KEEPERS: &[(&str, &str, &str)] = &[
    (
        "openraft",
        "hstore-node",
        "consensus stays behind hstore-node/src/raft",
    ),
    (
        "openraft-rt",
        "hstore-node",
        "consensus stays behind hstore-node/src/raft",
    ),
    (
        "openraft-rt-tokio",
        "hstore-node",
        "consensus stays behind hstore-node/src/raft",
    ),
    (
        "sled",
        "hstore-storage",
        "engines stay behind the Engine trait",
    ),
];

/// Crate name to the names of everything it depends on.
pub(super) type Graph = BTreeMap<String, BTreeSet<String>>;

/// The graph that cargo sees, without what the tests of a crate alone may stand on.
pub(super) fn graph(metadata: &Metadata) -> Graph {
    let packages = metadata.packages.iter().map(|package| {
        let of_tests = |name: &str| {
            TESTS
                .iter()
                .any(|(of, floors)| *of == package.name && floors.contains(&name))
        };
        let dependencies = package.dependencies.iter();
        let names = dependencies
            .filter(|d| d.kind.as_deref() != Some("dev") || !of_tests(&d.name))
            .map(|d| d.name.clone());
        (package.name.clone(), names.collect())
    });
    packages.collect()
}

/// Every edge that the floor plan does not have.
pub(super) fn check(graph: &Graph) -> Vec<Violation> {
    let mut violations = Vec::new();
    for (name, dependencies) in graph {
        let Some(allowed) = below(name) else {
            violations.push(Violation::new(
                name,
                "is not in the floor plan; a new crate is an ADR and a line in tidy/edges.rs",
            ));
            continue;
        };
        for dependency in dependencies {
            if graph.contains_key(dependency) && !allowed.contains(dependency.as_str()) {
                violations.push(Violation::new(
                    name,
                    format!("depends on {dependency}, which is not below it in the floor plan"),
                ));
            }
            for (library, keeper, why) in KEEPERS {
                if dependency == library && name != keeper {
                    violations.push(Violation::new(
                        name,
                        format!("depends on {library}, which only {keeper} may name: {why}"),
                    ));
                }
            }
        }
    }
    violations
}

fn below(name: &str) -> Option<BTreeSet<&'static str>> {
    let direct = |name: &str| {
        PLAN.iter()
            .find_map(|(crate_name, floors)| (*crate_name == name).then_some(*floors))
    };
    let mut found = BTreeSet::new();
    let mut open = direct(name)?.to_vec();
    while let Some(floor) = open.pop() {
        if found.insert(floor) {
            open.extend(direct(floor).unwrap_or_default());
        }
    }
    Some(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn planted(edges: &[(&str, &[&str])]) -> Vec<String> {
        let graph = edges
            .iter()
            .map(|(name, to)| {
                let to = to.iter().map(|name| (*name).to_owned());
                ((*name).to_owned(), to.collect())
            })
            .collect();
        check(&graph)
            .into_iter()
            .map(|violation| format!("{}: {}", violation.place, violation.what))
            .collect()
    }

    #[test]
    fn edges_of_the_plan_pass_directly_and_through_a_floor_between() {
        let found = planted(&[
            ("hstore-core", &["bytes"]),
            ("hstore-storage", &["hstore-core", "sled"]),
            (
                "hstore-node",
                &["hstore-core", "hstore-storage", "openraft"],
            ),
            ("hstore-proto", &["hstore-core"]),
            ("hstore-client", &["hstore-proto"]),
            // The command line reads saved files (docs/adr/0017).
            ("hstore-cli", &["hstore-client", "hstore-storage"]),
            (
                "hstore-server",
                &["hstore-core", "hstore-cli", "hstore-node"],
            ),
        ]);
        assert_eq!(found, Vec::<String>::new());
    }

    #[test]
    fn an_edge_upwards_or_sideways_is_named() {
        for (from, to) in [
            ("hstore-core", "hstore-storage"),
            ("hstore-client", "hstore-server"),
            ("hstore-storage", "hstore-proto"),
            ("hstore-cli", "hstore-node"),
            ("hstore-node", "hstore-node"),
            ("hstore-server", "xtask"),
        ] {
            let mut edges = vec![(from, &[][..]), (to, &[][..])];
            let targets = [to];
            edges.retain(|(name, _)| *name != from);
            edges.push((from, &targets));
            let found = planted(&edges);
            assert_eq!(found.len(), 1, "{from} -> {to}: {found:?}");
            assert!(
                found[0].contains(from) && found[0].contains(to),
                "{found:?}"
            );
        }
    }

    #[test]
    fn what_tests_stand_on_is_an_edge_for_everything_else() {
        let named = |name: &str, kind: &str| {
            let dependency = format!("{{\"name\":\"hstore-sim\",\"kind\":{kind}}}");
            let package = format!("{{\"name\":\"{name}\",\"dependencies\":[{dependency}]}}");
            let text = format!("{{\"packages\":[{package}],\"target_directory\":\"\"}}");
            let metadata: Metadata = serde_json::from_str(&text).unwrap();
            graph(&metadata)[name].contains("hstore-sim")
        };
        assert!(!named("hstore-server", "\"dev\""));
        assert!(named("hstore-server", "null"));
        assert!(named("hstore-server", "\"build\""));
        assert!(named("hstore-cli", "\"dev\""));
    }

    #[test]
    fn a_crate_outside_the_plan_is_refused() {
        let found = planted(&[("hstore-extra", &[])]);
        assert_eq!(found.len(), 1);
        assert!(found[0].contains("floor plan"), "{found:?}");
    }

    #[test]
    fn a_kept_library_is_refused_elsewhere() {
        let found = planted(&[("hstore-server", &["openraft", "sled"])]);
        assert_eq!(found.len(), 2, "{found:?}");
    }
}
