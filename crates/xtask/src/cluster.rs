//! The main job, shown on real processes: a cluster starts, takes writes through every node, loses
//! its leader and heals.
//!
//! Everything is done with the two binaries, as a person would; nothing here speaks the wire.
//! Invariants: (1) every node that was started is killed when the task ends; (2) `--check` fails
//! when a step does not do what it says.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

use crate::process::Server;
use crate::shell;

/// How long a step may take.
const STEP_DEADLINE: Duration = Duration::from_mins(1);

/// What `cluster` takes.
#[derive(Debug, clap::Args)]
pub(crate) struct Options {
    /// How many nodes.
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u32).range(3..=9))]
    nodes: u32,
    /// Where the data goes; without, a temporary folder that is removed at the end.
    #[arg(long)]
    data: Option<PathBuf>,
    /// Build and run with optimisation.
    #[arg(long)]
    release: bool,
    /// End when everything was shown, instead of leaving the cluster running until Ctrl-C.
    #[arg(long)]
    check: bool,
}

/// Builds the binaries, starts the cluster and walks through the steps.
pub(crate) fn run(options: &Options) -> Result<()> {
    let show = Show::new(options)?;
    let mut nodes = Vec::new();
    for n in 1..=options.nodes {
        nodes.push(show.start(n)?);
    }
    say("the cluster");
    print!("{}", show.server(&["list"])?);

    say("one write and one read through each node");
    for node in &nodes {
        let key = format!("hello-from-{}", node.name);
        show.cli(&node.address, &["set", &key, "world"])?;
        for other in &nodes {
            let value = show.cli(&other.address, &["get", &key])?;
            if value.trim_end() != "world" {
                bail!("{} answers {value:?} for {key}", other.name);
            }
        }
        println!(
            "{key} was written through {} and read through all",
            node.name
        );
    }

    say("the leader dies as with kill -9");
    let leader = show.leader(&nodes)?;
    let mut dead = nodes.remove(leader);
    let begin = Instant::now();
    dead.process.kill()?;
    until("a write after the leader died", || {
        show.cli(&nodes[0].address, &["set", "after", dead.name.as_str()])
            .map(drop)
    })?;
    println!(
        "{} is gone; the next write was acknowledged {:.2} s later",
        dead.name,
        begin.elapsed().as_secs_f64()
    );
    print!("{}", show.server(&["list", "--host", &nodes[0].address])?);

    say("the dead node comes back with its data");
    let number = dead.number;
    drop(dead);
    let back = show.start(number)?;
    for key in ["after".to_owned(), format!("hello-from-{}", back.name)] {
        show.cli(&back.address, &["get", &key])
            .with_context(|| format!("{key} through {}", back.name))?;
    }
    nodes.push(back);
    print!("{}", show.server(&["list"])?);

    if options.check {
        println!("\ncluster: everything was shown");
        return Ok(());
    }
    say("the cluster is yours until Ctrl-C; in another terminal");
    println!(
        "HSTORE_RUNTIME_DIR={} {} ",
        show.runtime().display(),
        show.binaries.join("hstore-cli").display()
    );
    // Ctrl-C goes to the whole process group, the nodes included, and they stop gracefully.
    show.wait_for_the_end(&mut nodes)
}

/// A node of the show.
struct Node {
    number: u32,
    name: String,
    address: String,
    process: Server,
}

/// Where the show happens.
struct Show {
    binaries: PathBuf,
    data: PathBuf,
    temporary: Option<tempfile::TempDir>,
}

impl Show {
    fn new(options: &Options) -> Result<Show> {
        let mut build = shell::cargo();
        build.args(["build", "--locked", "--bins"]);
        build.args(["--package", "hstore-server", "--package", "hstore-cli"]);
        if options.release {
            build.arg("--release");
        }
        shell::run(&mut build)?;
        let profile = if options.release { "release" } else { "debug" };
        let temporary = match options.data {
            Some(_) => None,
            None => Some(
                tempfile::Builder::new()
                    .prefix("hstore-cluster-")
                    .tempdir()?,
            ),
        };
        let data = match (&options.data, &temporary) {
            (Some(data), _) => std::path::absolute(data)?,
            (None, Some(temporary)) => temporary.path().to_path_buf(),
            (None, None) => bail!("there is a folder or a temporary one"),
        };
        std::fs::create_dir_all(&data)?;
        Ok(Show {
            binaries: shell::target()?.join(profile),
            data,
            temporary,
        })
    }

    /// Nodes of this show find each other, and no others that run on this machine.
    fn runtime(&self) -> PathBuf {
        self.data.join("runtime")
    }

    fn command(&self, program: &str) -> Command {
        let mut command = Command::new(self.binaries.join(program));
        command.env("HSTORE_RUNTIME_DIR", self.runtime());
        command
    }

    /// Starts a node: the first founds the cluster, the others join it, one that was here resumes.
    fn start(&self, number: u32) -> Result<Node> {
        let name = format!("n{number}");
        let data = self.data.join(&name);
        let log = self.data.join(format!("{name}.log"));
        let resumes = data.exists();
        let verb = if number == 1 || resumes {
            "start"
        } else {
            "join"
        };
        say(&format!("hstore-server {verb} --name {name}"));
        let printed = std::fs::metadata(&log).map_or(0, |metadata| metadata.len());
        let mut command = self.command("hstore-server");
        command.args([verb, "--name", &name, "--data"]).arg(&data);
        let mut process = Server::start(&mut command, &log)?;
        let mut block = String::new();
        until(&format!("{name} is ready"), || {
            if process.ended()? {
                bail!("{name} ended: {}", read_from(&log, 0));
            }
            block = read_from(&log, printed);
            if !block.contains("add a node") {
                bail!("it has not said so; its log is {}", log.display());
            }
            Ok(())
        })?;
        let lines = block
            .lines()
            .skip_while(|line| !line.starts_with("hstore "));
        for line in lines.take_while(|line| line.starts_with([' ', 'h'])) {
            println!("{line}");
        }
        let address = block
            .lines()
            .find_map(|line| line.trim_start().strip_prefix("client "))
            .and_then(|rest| rest.trim_start().strip_prefix("http://"))
            .and_then(|rest| rest.split_ascii_whitespace().next())
            .with_context(|| format!("{name} does not say where clients reach it"))?
            .to_owned();
        Ok(Node {
            number,
            name,
            address,
            process,
        })
    }

    fn server(&self, arguments: &[&str]) -> Result<String> {
        shell::read(
            self.command("hstore-server")
                .args(arguments)
                .stdin(Stdio::null()),
        )
    }

    fn cli(&self, address: &str, arguments: &[&str]) -> Result<String> {
        let mut command = self.command("hstore-cli");
        command.args(["-h", address]).args(arguments);
        shell::read(command.stdin(Stdio::null()))
    }

    fn leader(&self, nodes: &[Node]) -> Result<usize> {
        let mut found = 0;
        until("a leader", || {
            let table = self.server(&["list"])?;
            let line = table.lines().find(|line| line.contains("leader"));
            let line = line.context("no node leads")?;
            found = nodes
                .iter()
                .position(|node| line.split_whitespace().any(|word| word == node.name))
                .context("the leader is none of ours")?;
            Ok(())
        })?;
        Ok(found)
    }

    /// Waits for Ctrl-C, which the nodes get too, or for the end of all nodes.
    fn wait_for_the_end(&self, nodes: &mut [Node]) -> Result<()> {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()?;
        let ended = |nodes: &mut [Node]| {
            nodes
                .iter_mut()
                .all(|node| node.process.ended().unwrap_or(true))
        };
        runtime.block_on(async {
            let mut interrupted = std::pin::pin!(tokio::signal::ctrl_c());
            while !ended(nodes) {
                tokio::select! {
                    result = &mut interrupted => return result,
                    () = tokio::time::sleep(Duration::from_millis(200)) => {}
                }
            }
            Ok(())
        })?;
        until("the graceful end of all nodes", || {
            if ended(nodes) {
                Ok(())
            } else {
                bail!("a node runs still")
            }
        })?;
        println!("\nall nodes have ended");
        if self.temporary.is_none() {
            println!("their data is in {}", self.data.display());
        }
        Ok(())
    }
}

/// Tries until it works; after the deadline the last error is the answer.
fn until(what: &str, mut step: impl FnMut() -> Result<()>) -> Result<()> {
    let begin = Instant::now();
    loop {
        match step() {
            Ok(()) => return Ok(()),
            Err(error) if begin.elapsed() > STEP_DEADLINE => {
                return Err(error.context(format!("{what} was not there in time")));
            }
            Err(_) => std::thread::sleep(Duration::from_millis(50)),
        }
    }
}

fn say(what: &str) {
    println!("\n== {what}");
}

fn read_from(path: &Path, at: u64) -> String {
    let bytes = std::fs::read(path).unwrap_or_default();
    String::from_utf8_lossy(bytes.get(at as usize..).unwrap_or_default()).into_owned()
}
