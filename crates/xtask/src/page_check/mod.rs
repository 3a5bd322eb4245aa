//! The dashboard in a real browser: `cargo xtask page-check`.
//!
//! What is done at the page is in `clients/page`: a program that finds the nodes in `NODES` and a demo
//! in `DEMO`, drives Chromium, and ends with a line `page: N passed, N failed`. It kills nodes by the
//! page and starts them by the page, so they run in the background, as a person would have them.
//!
//! Invariants: (1) the browser's driver is installed below the target folder, in the version that
//! the tree names; (2) no node outlives the task; (3) where there is no browser that is said, and in
//! CI it is a failure; (4) pictures of the page are left in the target folder.

use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use anyhow::{Context, Result, bail};

use crate::clients::modules;
use crate::shell;

/// How many nodes the cluster has.
const NODES: u32 = 3;

/// How long all of it may take, in seconds.
const SECONDS_MAX: u32 = 600;

/// Where Debian has the browser.
const BROWSER: &str = "/usr/bin/chromium";

/// What `page-check` takes.
#[derive(Debug, clap::Args)]
pub(crate) struct Options {
    /// Only checks whose name holds this.
    #[arg(long)]
    only: Option<String>,
}

/// Starts a cluster and lets the browser at it.
pub(crate) fn run(options: &Options) -> Result<()> {
    let folder = match installed() {
        Ok(folder) => folder,
        Err(why) if std::env::var_os("CI").is_none() => {
            println!("not run: page: {why:#}");
            return Ok(());
        }
        Err(why) => return Err(why),
    };
    let mut build = shell::cargo();
    build.args(["build", "--locked", "--bins", "--package", "hstore-server"]);
    shell::run(&mut build)?;
    let cluster = Background::start()?;
    let demo = Demo::start(cluster.command())?;
    let mut check = Command::new("timeout");
    check
        .args(["--kill-after=5", &SECONDS_MAX.to_string(), "node"])
        .arg(shell::root().join("clients/page/check.mjs"))
        .env("NODES", cluster.addresses.join(","))
        .env("DEMO", &demo.page)
        .env("OUT", &folder)
        .env("MODULES", folder.join("node_modules"))
        .env("BROWSER", BROWSER);
    if let Some(only) = &options.only {
        check.env("ONLY", only);
    }
    let ended = shell::run(check.stdin(Stdio::null()));
    println!("pictures of the page are in {}", folder.display());
    if ended.is_err() {
        cluster.tell_logs();
    }
    ended
}

/// The folder with the driver, and with the pictures.
fn installed() -> Result<PathBuf> {
    if !Path::new(BROWSER).exists() {
        bail!("there is no {BROWSER} (package chromium)");
    }
    if !shell::works("node", &["--version"]) || !shell::works("npm", &["--version"]) {
        bail!("there is no node with npm");
    }
    let folder = shell::target()?.join("page-check");
    modules(&shell::root().join("clients/page/package.json"), &folder)?;
    Ok(folder)
}

/// Nodes in the background.
struct Background {
    server: PathBuf,
    folder: tempfile::TempDir,
    addresses: Vec<String>,
}

impl Background {
    fn start() -> Result<Background> {
        let folder = tempfile::Builder::new().prefix("hstore-page-").tempdir()?;
        let server = shell::beside("hstore-server")?;
        let mut cluster = Background {
            server,
            folder,
            addresses: Vec::new(),
        };
        for number in 1..=NODES {
            let address = cluster.add(number)?;
            cluster.addresses.push(address);
        }
        Ok(cluster)
    }

    /// Nodes of this task find each other, and no others that run on this machine.
    fn command(&self) -> Command {
        let mut command = Command::new(&self.server);
        command
            .env("HSTORE_RUNTIME_DIR", self.folder.path().join("runtime"))
            .stdin(Stdio::null());
        command
    }

    fn data(&self, number: u32) -> PathBuf {
        self.folder.path().join(format!("n{number}"))
    }

    /// Starts a node; where clients reach it.
    fn add(&self, number: u32) -> Result<String> {
        let verb = if number == 1 { "start" } else { "join" };
        let mut command = self.command();
        command.args([
            verb,
            "--detach",
            "--output",
            "json",
            "--listen",
            "127.0.0.1:0",
        ]);
        command.args(["--name", &format!("n{number}"), "--data"]);
        let block = shell::read(command.arg(self.data(number)))?;
        let block: serde_json::Value = serde_json::from_str(&block)
            .with_context(|| format!("n{number} does not say what it is: {block}"))?;
        let address = block["client"].as_str().context("it does not say where")?;
        Ok(address.trim_start_matches("http://").to_owned())
    }

    fn tell_logs(&self) {
        for number in 1..=NODES {
            let log = self.data(number).join("server.log");
            let text = std::fs::read_to_string(&log).unwrap_or_default();
            let lines: Vec<&str> = text.lines().collect();
            let last = lines.len().saturating_sub(30);
            println!("== n{number}\n{}", lines[last..].join("\n"));
        }
    }
}

impl Drop for Background {
    fn drop(&mut self) {
        for number in 1..=NODES {
            // One that is stopped already is no error.
            let mut command = self.command();
            command.args(["kill", &format!("n{number}")]);
            command.stdout(Stdio::null()).stderr(Stdio::null());
            if let Err(error) = command.status() {
                println!("n{number} may be left: {error}");
            }
        }
    }
}

/// A demo with its page.
struct Demo {
    child: Child,
    /// Where its page is.
    page: String,
}

impl Demo {
    /// Starts one and waits until it says where its page is.
    fn start(mut command: Command) -> Result<Demo> {
        command.args(["demo", "--no-open"]).stdout(Stdio::piped());
        let mut demo = Demo {
            child: command.spawn().context("the demo did not start")?,
            page: String::new(),
        };
        let said = demo.child.stdout.as_mut().context("its output is piped")?;
        for line in BufReader::new(said).lines() {
            if let Some((_, page)) = line?.split_once("page       http://") {
                page.clone_into(&mut demo.page);
                return Ok(demo);
            }
        }
        bail!("the demo ended before it said where its page is");
    }
}

impl Drop for Demo {
    fn drop(&mut self) {
        // What it has started ends with it, and its folder goes; one that has ended is no error.
        drop(self.child.kill());
        drop(self.child.wait());
    }
}
