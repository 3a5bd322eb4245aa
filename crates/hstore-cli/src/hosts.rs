//! Which nodes to ask when nobody says: the flag, the environment, the nodes of this machine, the
//! port that clients use. The first of these that names any is taken whole.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use hstore_client::local::{Registry, RunningNode};
use hstore_client::{Address, CLIENT_PORT, Client};

use crate::failure::Failure;

/// The variables that name nodes, both with commas between.
const VARIABLES: [&str; 2] = ["HSTORE_HOST", "HSTORE_HOSTS"];

/// A client of the nodes that were named, or are found.
pub(crate) fn client(named: &[String]) -> Result<Client, Failure> {
    let running = || Registry::of_this_user().running();
    let addresses = choose(named, |variable| std::env::var(variable).ok(), running)?;
    Ok(Client::to(addresses)?)
}

fn choose(
    named: &[String],
    variable: impl Fn(&str) -> Option<String>,
    running: impl Fn() -> Vec<RunningNode>,
) -> Result<Vec<Address>, Failure> {
    if !named.is_empty() {
        return Ok(Address::parse_list(&named.join(","))?);
    }
    for name in VARIABLES {
        if let Some(text) = variable(name).filter(|text| !text.trim().is_empty()) {
            return Ok(Address::parse_list(&text)?);
        }
    }
    let mut clusters: BTreeMap<String, Vec<RunningNode>> = BTreeMap::new();
    for node in running() {
        clusters
            .entry(node.cluster_id.clone())
            .or_default()
            .push(node);
    }
    if clusters.len() > 1 {
        return Err(Failure::SeveralClusters(choices(&clusters)));
    }
    let found: Vec<Address> = clusters
        .into_values()
        .flatten()
        .filter_map(|node| node.client_address.parse().ok())
        .collect();
    if found.is_empty() {
        return Ok(Address::parse_list(&format!("127.0.0.1:{CLIENT_PORT}"))?);
    }
    Ok(found)
}

fn choices(clusters: &BTreeMap<String, Vec<RunningNode>>) -> String {
    let mut text = String::new();
    for nodes in clusters.values() {
        let Some(first) = nodes.first() else { continue };
        let names: Vec<&str> = nodes.iter().map(|node| node.name.as_str()).collect();
        write!(
            text,
            "\n  --host {}   cluster {} ({})",
            first.client_address,
            first.cluster_name,
            names.join(", ")
        )
        .expect("a string takes every write");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn node(cluster: &str, name: &str, address: &str) -> RunningNode {
        RunningNode {
            name: name.to_owned(),
            cluster_id: cluster.to_owned(),
            cluster_name: format!("the-{cluster}"),
            client_address: address.to_owned(),
            ..RunningNode::default()
        }
    }

    fn chosen(
        named: &[&str],
        variable: Option<&str>,
        running: &[RunningNode],
    ) -> Result<String, Failure> {
        let named: Vec<String> = named.iter().map(ToString::to_string).collect();
        let set = |name: &str| {
            variable
                .filter(|_| name == "HSTORE_HOST")
                .map(str::to_owned)
        };
        let addresses = choose(&named, set, || running.to_vec())?;
        let texts: Vec<String> = addresses.iter().map(Address::to_string).collect();
        Ok(texts.join(","))
    }

    #[test]
    fn the_flag_goes_before_the_environment_before_this_machine_before_the_port() {
        let local = [
            node("c1", "n1", "127.0.0.1:5"),
            node("c1", "n2", "127.0.0.1:6"),
        ];
        for (named, variable, running, expected) in [
            (&["a:1", "b:2"][..], Some("c:3"), &local[..], "a:1,b:2"),
            (&[], Some("c:3, d"), &local, "c:3,d:2379"),
            (&[], Some(" "), &local, "127.0.0.1:5,127.0.0.1:6"),
            (&[], None, &[], "127.0.0.1:2379"),
        ] {
            assert_eq!(chosen(named, variable, running).unwrap(), expected);
        }
    }

    #[test]
    fn two_clusters_on_this_machine_need_a_choice() {
        let local = [
            node("c1", "n1", "127.0.0.1:5"),
            node("c2", "n1", "127.0.0.1:6"),
        ];
        let failure = chosen(&[], None, &local).unwrap_err();
        assert_eq!(
            (failure.code().as_str(), failure.exit() as u8),
            ("several_clusters", 4)
        );
        let text = failure.to_string();
        assert!(
            text.contains("--host 127.0.0.1:6   cluster the-c2 (n1)"),
            "{text}"
        );
        assert_eq!(
            chosen(&["127.0.0.1:5"], None, &local).unwrap(),
            "127.0.0.1:5"
        );
    }

    #[test]
    fn an_address_that_makes_no_sense_is_a_usage_error() {
        let failure = chosen(&["a:b"], None, &[]).unwrap_err();
        assert_eq!(
            (failure.code().as_str(), failure.exit() as u8),
            ("invalid_argument", 2)
        );
    }
}
