//! Requests that a machine makes up from the description of the API, against a node that it
//! describes: `cargo xtask rest-check`.
//!
//! schemathesis (of PyPI, installed below the target folder) reads `/openapi.json` and asks for
//! everything that is described there, well and badly, but for what is marked as not for made up
//! requests. Invariants: (1) an answer whose status, type or form is not described is a failure,
//! and no description has a 500; (2) the node is the same process afterwards, answers, and takes no
//! more memory than it may; (3) so few requests that they prove nothing are a failure.

use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};

use crate::clients::install;
use crate::fleet::{Design, Fleet};
use crate::shell;

/// What the checks of the tool are that hold here. The others ask for what a store cannot say: that
/// every well-formed request succeeds.
const CHECKS: &str = "not_a_server_error,status_code_conformance,content_type_conformance,\
                      response_headers_conformance,response_schema_conformance,\
                      negative_data_rejection,unsupported_method,allow_header_conformance,bounded";

/// How long the whole run may take, in seconds.
const SECONDS_MAX: u32 = 600;

/// How long one answer may take, in seconds: longer than any deadline of the requests.
const ANSWER_SECONDS_MAX: u32 = 30;

/// What the node may take of memory, in MiB, the debug build included.
const RESIDENT_MIB_MAX: u64 = 1024;

/// What `rest-check` takes.
#[derive(Debug, clap::Args)]
pub(crate) struct Options {
    /// At most so many made up requests for each operation and phase.
    #[arg(long, default_value_t = 60)]
    examples: u32,
    /// Where the requests are drawn from; another seed makes up others.
    #[arg(long, default_value_t = 1)]
    seed: u32,
    /// At least so many requests must have been made.
    #[arg(long, default_value_t = 2000)]
    at_least: u64,
}

/// Runs the check.
pub(crate) fn run(options: &Options) -> Result<()> {
    let sources = shell::root().join("clients/openapi");
    let target = shell::target()?;
    let list = sources.join("requirements.txt");
    let python = install::python(&list, &target.join("clients/openapi"));
    let python = match python {
        Ok(python) => python,
        Err(why) if std::env::var_os("CI").is_none() => {
            println!("not run: schemathesis: {why:#}");
            return Ok(());
        }
        Err(why) => return Err(why),
    };
    let mut build = shell::cargo();
    build.args(["build", "--locked", "--workspace", "--bins"]);
    shell::run(&mut build)?;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()?;
    let fleet = runtime.block_on(Fleet::start(&Design {
        server: shell::beside("hstore-server")?,
        nodes: 1,
        proxied: false,
        images: false,
        preload: None,
        manager: None,
    }))?;
    let before = runtime.block_on(process_of(&fleet))?;
    let door = fleet.doors.first().context("the fleet has a node")?;
    let folder = tempfile::tempdir()?;
    // `timeout` and not a clock of ours: it takes what the tool started with it.
    let mut tool = Command::new("timeout");
    tool.args(["--kill-after=5", &SECONDS_MAX.to_string()])
        .arg(python.with_file_name("schemathesis"))
        .arg("--config-file")
        .arg(sources.join("schemathesis.toml"))
        .args(["--no-color", "run"])
        .arg(format!("http://{door}/openapi.json"))
        .args(["--checks", CHECKS])
        .args(["--exclude-by", "/x-hstore-not-made-up == true"])
        .args(["--phases", "coverage,fuzzing"])
        .args(["--max-examples", &options.examples.to_string()])
        .args(["--seed", &options.seed.to_string()])
        .args(["--generation-database", "none"])
        .args(["--request-timeout", &ANSWER_SECONDS_MAX.to_string()])
        .args(["--suppress-health-check", "all"])
        // One worker: the parser of Python 3.11 is not made for several threads.
        .args(["--warnings", "off", "--workers", "1"])
        .env("SCHEMATHESIS_HOOKS", sources.join("hooks.py"))
        .current_dir(folder.path())
        .stdin(Stdio::null())
        .stderr(Stdio::inherit());
    let output = tool.output().context("schemathesis did not start")?;
    let said = String::from_utf8_lossy(&output.stdout);
    print!("{said}");
    let after = runtime.block_on(process_of(&fleet));
    if after.as_ref().ok().map(|process| process.id) != Some(before.id) {
        let tails = runtime.block_on(fleet.tails());
        bail!("the node did not live through it: {after:?}\n{tails}");
    }
    let after = after?;
    println!("the node takes {} MiB", after.resident_mib);
    if after.resident_mib > RESIDENT_MIB_MAX {
        bail!("the node takes more than {RESIDENT_MIB_MAX} MiB");
    }
    if !output.status.success() {
        bail!("schemathesis found what should not be, or ran out of time; see above");
    }
    match requests(&said) {
        Some(requests) if requests >= options.at_least => Ok(()),
        found => bail!("{found:?} requests were made, and not {}", options.at_least),
    }
}

#[derive(Debug)]
struct Process {
    id: u32,
    resident_mib: u64,
}

/// The process of the only node, which answers.
async fn process_of(fleet: &Fleet) -> Result<Process> {
    let statuses = fleet.statuses().await;
    let answered = statuses.into_iter().next().flatten();
    let told = answered.and_then(|status| status.process);
    let told = told.context("the node does not answer")?;
    let seat = fleet.seats.first().context("the fleet has a node")?;
    let node = seat.lock().await;
    let process = node.process().context("the node does not run")?;
    Ok(Process {
        id: told.pid,
        resident_mib: process.resident_bytes()? >> 20,
    })
}

/// How many requests the tool says that it made: `1337 generated, 1337 passed`.
fn requests(said: &str) -> Option<u64> {
    said.lines().find_map(|line| {
        let (count, rest) = line.trim().split_once(' ')?;
        let count = rest.starts_with("generated").then_some(count)?;
        count.replace(',', "").parse().ok()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_requests_are_counted_where_the_tool_says_how_many_there_were() {
        let said =
            "Failures:\n  8\n\nTest cases:\n  1,337 generated, 9 found 10 failures\n\nSeed: 1\n";
        assert_eq!(requests(said), Some(1337));
        assert_eq!(requests("Test cases:\n  none generated\n"), None);
        assert_eq!(requests(""), None);
    }
}
