//! Clients that others wrote, unchanged, against a cluster of three nodes: `cargo xtask clients`.
//!
//! What each does is in `clients/`: a program that finds the cluster in `ENDPOINTS`, and ends with a
//! line `name: N passed, N failed`. The same programs run against a real etcd with `--endpoints`.
//!
//! Invariants: (1) clients are installed below the target folder, from the versions that the tree
//! names; (2) a client that this machine cannot run is said, and in CI it is a failure; (3) a client
//! that says no count has failed.

pub(crate) mod install;

pub(crate) use install::modules;

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};

use crate::fleet::{Design, Fleet};
use crate::shell;

/// How many nodes a cluster has that is started here.
const NODES: u32 = 3;

/// How long a client may take, in seconds.
const CLIENT_SECONDS_MAX: u32 = 180;

/// What `clients` takes.
#[derive(Debug, clap::Args)]
pub(crate) struct Options {
    /// A cluster that runs already, `host:port,host:port`; without, three nodes are started.
    #[arg(long)]
    endpoints: Option<String>,
    /// Only clients whose name holds this.
    #[arg(long)]
    only: Option<String>,
}

/// One client of one version.
struct Client {
    name: String,
    /// How it is started, or why it cannot be.
    command: Result<Command>,
}

/// What the clients counted.
#[derive(Debug, Default, PartialEq, Eq)]
struct Count {
    passed: u64,
    failed: u64,
}

/// Runs every client.
pub(crate) fn run(options: &Options) -> Result<()> {
    let mut clients = clients()?;
    if let Some(only) = &options.only {
        clients.retain(|client| client.name.contains(only.as_str()));
    }
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()?;
    let fleet = match options.endpoints {
        Some(_) => None,
        None => Some(start(&runtime)?),
    };
    let endpoints = match (&options.endpoints, &fleet) {
        (Some(endpoints), _) => endpoints.clone(),
        (None, Some(fleet)) => {
            let doors: Vec<_> = fleet.doors.iter().map(ToString::to_string).collect();
            doors.join(",")
        }
        (None, None) => bail!("there is a cluster, or one is started"),
    };
    let mut all = Count::default();
    let mut missing = 0;
    for client in clients {
        match client.command {
            Err(why) => {
                println!("not run: {}: {why:#}", client.name);
                missing += 1;
            }
            Ok(mut command) => {
                let counted = count(&client.name, command.env("ENDPOINTS", &endpoints))?;
                all.passed += counted.passed;
                all.failed += counted.failed;
            }
        }
    }
    println!("clients: {} passed, {} failed", all.passed, all.failed);
    if all.failed > 0
        && let Some(fleet) = &fleet
    {
        println!("{}", runtime.block_on(fleet.tails()));
    }
    if missing > 0 && std::env::var_os("CI").is_some() {
        bail!("{missing} clients were not run");
    }
    match (all.passed, all.failed) {
        (0, 0) => bail!("no client was run"),
        (_, 0) => Ok(()),
        (_, failed) => bail!("{failed} checks of clients failed"),
    }
}

fn start(runtime: &tokio::runtime::Runtime) -> Result<Fleet> {
    let mut build = shell::cargo();
    build.args(["build", "--locked", "--workspace", "--bins"]);
    shell::run(&mut build)?;
    runtime.block_on(Fleet::start(&Design {
        server: shell::beside("hstore-server")?,
        nodes: NODES,
        proxied: false,
        images: false,
        preload: None,
        manager: None,
    }))
}

/// Every client, installed.
fn clients() -> Result<Vec<Client>> {
    let folder = shell::root().join("clients");
    let target = shell::target()?;
    let mut clients = Vec::new();
    for program in [
        PathBuf::from("etcdctl"),
        target.join(install::NEWER_ETCDCTL),
    ] {
        // The newer one is an extra: where it is not installed nobody misses it.
        if program.is_absolute() && !program.exists() {
            continue;
        }
        let works = shell::works(&program.to_string_lossy(), &["version"]);
        let command = if works {
            let mut command = Command::new(folder.join("etcdctl/run.sh"));
            command.env("ETCDCTL", &program);
            Ok(command)
        } else {
            Err(anyhow::anyhow!("it is not installed (package etcd-client)"))
        };
        clients.push(Client {
            name: "etcdctl".to_owned(),
            command,
        });
    }
    let list = folder.join("python/requirements.txt");
    let python = install::python(&list, &target.join("clients/python"));
    for script in ["etcd3_client.py", "aetcd_client.py", "etcd3gw_client.py"] {
        clients.push(Client {
            name: format!("python/{script}"),
            command: program(python.as_ref(), &folder.join("python").join(script)),
        });
    }
    let modules = install::node(&folder.join("node"), &target);
    let script = "etcd3_client.js";
    let node = modules.as_ref().map(|_| Path::new("node"));
    let command = program(node, &folder.join("node").join(script));
    clients.push(Client {
        name: format!("node/{script}"),
        command: command.map(|mut command| {
            command.env("NODE_PATH", modules.as_deref().unwrap_or(Path::new("")));
            command
        }),
    });
    let rust = install::rust(&folder.join("rust"), &target);
    clients.push(Client {
        name: "rust/etcd-client".to_owned(),
        command: rust.map(Command::new),
    });
    Ok(clients)
}

fn program(
    interpreter: Result<impl AsRef<Path>, &anyhow::Error>,
    script: &Path,
) -> Result<Command> {
    match interpreter {
        Err(why) => bail!("{why:#}"),
        Ok(interpreter) => {
            let mut command = Command::new(interpreter.as_ref());
            command.arg(script);
            Ok(command)
        }
    }
}

/// Runs a client to its end, shows what it says, and gives its count.
fn count(name: &str, command: &mut Command) -> Result<Count> {
    // `timeout` and not a clock of ours: it takes what the client started with it.
    let mut bounded = Command::new("timeout");
    bounded
        .args(["--kill-after=5", &CLIENT_SECONDS_MAX.to_string()])
        .arg(command.get_program())
        .args(command.get_args())
        .stdin(Stdio::null())
        .stderr(Stdio::inherit());
    for (variable, value) in command.get_envs() {
        if let Some(value) = value {
            bounded.env(variable, value);
        }
    }
    let output = bounded
        .output()
        .with_context(|| format!("{name} did not start"))?;
    let said = String::from_utf8_lossy(&output.stdout);
    print!("{said}");
    let counted = said.lines().last().and_then(read_count);
    Ok(match counted {
        Some(counted) if output.status.success() == (counted.failed == 0) => counted,
        _odd => {
            println!("{name}: it ended with {} and no count", output.status);
            Count {
                passed: 0,
                failed: 1,
            }
        }
    })
}

/// `name: 3 passed, 1 failed`.
fn read_count(line: &str) -> Option<Count> {
    let (_name, counts) = line.rsplit_once(": ")?;
    let (passed, failed) = counts.split_once(", ")?;
    Some(Count {
        passed: passed.strip_suffix(" passed")?.parse().ok()?,
        failed: failed.strip_suffix(" failed")?.parse().ok()?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_line_of_a_client_is_its_count() {
        let table = [
            ("a-client: 3 passed, 1 failed", Some((3, 1))),
            ("a: b: 0 passed, 0 failed", Some((0, 0))),
            ("a-client: 3 passed", None),
            ("3 passed, 1 failed", None),
            ("a-client: many passed, 1 failed", None),
            ("", None),
        ];
        for (line, counted) in table {
            let counted = counted.map(|(passed, failed)| Count { passed, failed });
            assert_eq!(read_count(line), counted, "{line}");
        }
    }

    #[test]
    fn a_client_without_a_count_or_with_an_end_that_denies_it_has_failed() {
        let table = [
            ("echo a: 3 passed, 0 failed", 3, 0),
            ("echo a: 3 passed, 0 failed; exit 1", 0, 1),
            ("echo a: 3 passed, 2 failed; exit 1", 3, 2),
            ("echo a: 3 passed, 2 failed", 0, 1),
            ("echo nothing", 0, 1),
        ];
        for (script, passed, failed) in table {
            let counted = count("a", Command::new("sh").args(["-c", script])).unwrap();
            assert_eq!(counted, Count { passed, failed }, "{script}");
        }
    }
}
