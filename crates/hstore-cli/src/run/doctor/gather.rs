//! Asking: every node at once, each question with its own short deadline, so that one node that does
//! not answer costs a few seconds and hides nothing of the others.

use std::io;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use futures::future::join_all;
use hstore_client::local::{Registry, RunningNode};
use hstore_client::v1::ExamineResponse;
use hstore_client::{Address, Client, Error, ErrorCode};
use tokio::net::{TcpStream, lookup_host};
use tokio::time::{Instant, timeout};

use super::facts::{Clock, Door, Examined, Facts, NodeFacts, Process};
use crate::failure::{Exit, Failure};
use crate::run::Context;

/// How long a connection may take.
const KNOCK: Duration = Duration::from_millis(1500);

/// How long a small question may take.
const QUESTION: Duration = Duration::from_secs(3);

/// How long a look at a disk may take; a node answers earlier.
const LOOK: Duration = Duration::from_secs(6);

/// How many small questions are timed.
const TRIPS: usize = 5;

/// Looks at everything.
pub(super) async fn gather(context: &Context) -> Result<Facts, Failure> {
    let client = &context.client;
    let timed = client
        .clone()
        .with_timeout(context.timeout.unwrap_or(QUESTION));
    let cluster = match timed.describe().await {
        Ok(cluster) => Some(cluster),
        // Who may not even see the members is told so; a node that is away is a finding.
        Err(error) if Exit::of(error.code()) == Exit::Permission => return Err(error.into()),
        Err(_away) => None,
    };
    let known = Registry::of_this_user().known();
    let mut nodes: Vec<NodeFacts> = match &cluster {
        Some(cluster) => cluster.members.iter().map(NodeFacts::of).collect(),
        None => at_addresses(client, &known),
    };
    let cluster_id = cluster.as_ref().map(|it| format!("{:016x}", it.cluster_id));
    for node in &mut nodes {
        // It answers here, whatever it is called elsewhere.
        let answered = cluster.as_ref().is_some_and(|it| it.node_id == node.id);
        if answered {
            node.address = client.address().to_string();
        }
        node.process = process(&known, node, cluster_id.as_deref());
    }
    let looks = join_all(nodes.into_iter().map(|node| look(client, node)));
    let nodes = looks.await;
    let later = match &cluster {
        Some(_) => timed.describe().await.ok(),
        None => None,
    };
    Ok(Facts {
        cluster,
        later,
        nodes,
        folder: None,
    })
}

/// What was named or found here, when no node tells who the members are.
fn at_addresses(client: &Client, known: &[RunningNode]) -> Vec<NodeFacts> {
    let addresses = client.addresses().into_iter();
    let nodes = addresses.map(|address| {
        let mut node = NodeFacts::at(address.to_string());
        if let Some(record) = known.iter().find(|it| it.client_address == node.address) {
            node.name.clone_from(&record.name);
            node.id = record.node_id;
        }
        node
    });
    nodes.collect()
}

/// The process of a node, if it is one of this machine: what is written down of it says so.
fn process(known: &[RunningNode], node: &NodeFacts, cluster_id: Option<&str>) -> Process {
    let record = known.iter().find(|record| {
        record.client_address == node.address && cluster_id.is_none_or(|id| record.cluster_id == id)
    });
    let Some(record) = record else {
        return Process::NotHere;
    };
    if !record.is_alive() {
        return Process::Gone(record.pid);
    }
    match state_letter(record.pid) {
        Some('T' | 't') => Process::Stopped(record.pid),
        _ => Process::Runs(record.pid),
    }
}

/// What the kernel says a process does.
fn state_letter(pid: u32) -> Option<char> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let (_name, rest) = stat.rsplit_once(')')?;
    rest.trim_start().chars().next()
}

/// Looks at one node.
async fn look(client: &Client, mut node: NodeFacts) -> NodeFacts {
    let address = match node.address.parse::<Address>() {
        Ok(address) => address,
        Err(error) => {
            node.door = Door::NoName(error.to_string());
            return node;
        }
    };
    if let Err(door) = knock(&address).await {
        node.door = door;
        return node;
    }
    let only = client.only(address).with_timeout(QUESTION);
    match only.status().await {
        Ok((status, _)) => {
            if let Some(member) = &status.member {
                node.id = member.node_id;
                if !member.name.is_empty() {
                    node.name.clone_from(&member.name);
                }
            }
            node.status = Some(status);
        }
        Err(error) => {
            node.door = met(&error);
            return node;
        }
    }
    time(&only, &mut node).await;
    if let Examined::Found(_) = node.examined {
        let found = only.clone().with_timeout(LOOK).examine(true).await;
        node.examined = examined(found);
    }
    node.view = only.describe().await.ok();
    node
}

/// Times small questions; the quickest one tells best what the clock over there says.
async fn time(only: &Client, node: &mut NodeFacts) {
    for _ in 0..TRIPS {
        let (begun, before) = (Instant::now(), now_us());
        node.examined = examined(only.examine(false).await);
        let took = begun.elapsed();
        let Examined::Found(found) = &node.examined else {
            break;
        };
        let is_quickest = node.trips.iter().all(|other| took < *other);
        if is_quickest {
            node.clock = Some(clock(found, before, took));
        }
        node.trips.push(took);
    }
    // Where that is not told, the way is timed by another question.
    while node.trips.is_empty()
        || matches!(node.examined, Examined::Denied | Examined::Unsupported)
            && node.trips.len() < TRIPS
    {
        let begun = Instant::now();
        if only.status().await.is_err() {
            return;
        }
        node.trips.push(begun.elapsed());
    }
}

/// The answer was made between the question and its arrival, most likely in the middle.
fn clock(found: &ExamineResponse, before_us: i64, took: Duration) -> Clock {
    let half = took.as_micros() as i64 / 2;
    Clock {
        ahead_us: found.clock_us.cast_signed() - before_us - half,
        error_us: half,
    }
}

fn now_us() -> i64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH);
    now.unwrap_or_default().as_micros() as i64
}

fn examined(found: Result<ExamineResponse, Error>) -> Examined {
    match found {
        Ok(found) => Examined::Found(Box::new(found)),
        Err(error) => match error.code() {
            ErrorCode::Unsupported => Examined::Unsupported,
            code if Exit::of(code) == Exit::Permission => Examined::Denied,
            _ => Examined::Failed(error.to_string()),
        },
    }
}

/// Whether anybody takes a connection at an address.
async fn knock(address: &Address) -> Result<(), Door> {
    let found = timeout(KNOCK, lookup_host((address.host(), address.port()))).await;
    let mut found = match found {
        Ok(Ok(found)) => found.peekable(),
        Ok(Err(error)) => return Err(Door::NoName(error.to_string())),
        Err(_) => return Err(Door::NoName("the name servers do not answer".to_owned())),
    };
    if found.peek().is_none() {
        return Err(Door::NoName(format!("{} has no address", address.host())));
    }
    let mut door = Door::NoRoute(format!("no answer within {} ms", KNOCK.as_millis()));
    let until = Instant::now() + KNOCK;
    for place in found {
        let left = until.saturating_duration_since(Instant::now());
        match timeout(left, TcpStream::connect(place)).await {
            Ok(Ok(_open)) => return Ok(()),
            Ok(Err(error)) if error.kind() == io::ErrorKind::ConnectionRefused => {
                door = Door::Refused;
            }
            Ok(Err(error)) => door = Door::NoRoute(error.to_string()),
            Err(_) => {}
        }
    }
    Err(door)
}

/// What a connection without an answer means.
fn met(error: &Error) -> Door {
    match error.code() {
        ErrorCode::Timeout => Door::Silent,
        ErrorCode::Unreachable | ErrorCode::ShuttingDown => Door::Refused,
        _ => Door::Stranger(error.to_string()),
    }
}
