//! `config check` and `config print`: what the flags, the environment and the file make together. What
//! a running cluster says is in `cluster_config`.

use serde_json::{Map, Value, json};

use super::cluster_config;
use crate::fault::{Exit, Fault};
use crate::grammar::{ConfigSources, ConfigVerb, Output, WhichCluster};
use crate::screen;
use crate::settings::{Kind, Layer, Origin, Settings, Sources, items};

/// Checks or prints.
pub(super) async fn run(verb: ConfigVerb, output: Output) -> Result<Exit, Fault> {
    match verb {
        ConfigVerb::Check(sources) => {
            let layer = checked(sources)?;
            let given = layer
                .iter()
                .filter(|(_, given)| given.origin != Origin::Default);
            let count = given.count();
            if output.is_json() {
                screen::data(json!({ "ok": true, "given": count }));
            } else {
                screen::data(format_args!(
                    "the settings make sense ({count} given, the rest default)"
                ));
            }
        }
        ConfigVerb::Get(get) => return cluster_config::get(get, output).await,
        ConfigVerb::Set(set) => return cluster_config::set(set, output).await,
        ConfigVerb::Unset(unset) => return cluster_config::unset(unset, output).await,
        ConfigVerb::Print {
            origin,
            node: Some(node),
            host,
            sources,
        } => {
            let cluster = sources.flags.0.get("cluster");
            let cluster = cluster.map(|given| given.value.clone());
            let which = WhichCluster { host, cluster };
            return cluster_config::print(&node, origin, &which, output).await;
        }
        ConfigVerb::Print {
            origin, sources, ..
        } => {
            let layer = checked(sources)?;
            if output.is_json() {
                let pretty = serde_json::to_string_pretty(&as_json(&layer, origin));
                screen::data(pretty.expect("a tree of strings and numbers is always JSON"));
            } else {
                screen::raw(layer.to_toml(origin).as_bytes());
            }
        }
    }
    Ok(Exit::Ok)
}

fn checked(sources: ConfigSources) -> Result<Layer, Fault> {
    let layer = Sources::of_process(sources.flags.0, sources.config).merge()?;
    Settings::of(&layer)?;
    Ok(layer)
}

fn as_json(layer: &Layer, origin: bool) -> Value {
    let mut object = Map::new();
    for (key, given) in layer.iter() {
        let value = match key.kind {
            Kind::Count => given.value.parse::<u64>().map_or(Value::Null, Value::from),
            Kind::Switch => {
                Value::Bool(matches!(given.value.as_str(), "true" | "1" | "yes" | "on"))
            }
            Kind::List => items(&given.value).map(Value::from).collect(),
            Kind::Bytes | Kind::Text => Value::from(given.value.as_str()),
        };
        let value = if origin {
            json!({ "value": value, "origin": given.origin.to_string() })
        } else {
            value
        };
        object.insert(key.name.to_owned(), value);
    }
    Value::Object(object)
}
