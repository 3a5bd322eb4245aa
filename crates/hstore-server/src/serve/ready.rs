//! Becoming ready: a member of the cluster, known to this machine, announced to the person.
//!
//! Invariant: the block is printed once, and everything in it is true then.

use std::time::Duration;

use hstore_client::local::{Registry, RunningNode};
use hstore_core::error::ErrorCode;
use hstore_core::membership::Membership;
use tokio::time::{sleep, timeout};

use super::end::record;
use super::enrol;
use super::start::Started;
use super::{Order, Voice};
use crate::discover;
use crate::fault::Fault;
use crate::logging;
use crate::place;
use crate::remote::Remote;
use crate::screen::{Beginning, Block};

/// How long the start waits for a leader. A node of a cluster without a majority is ready too: it
/// says that it has no leader, and waits.
const LEADER: Duration = Duration::from_secs(5);

/// How long one try to tell the cluster of a new address may take, and the pause after it.
const TELL_ADDRESS: Duration = Duration::from_secs(10);
const TELL_AGAIN: Duration = Duration::from_millis(500);

/// Makes the node a member, waits for a leader and notes that it has one, publishes and announces
/// it.
pub(super) async fn become_ready(
    started: &mut Started,
    order: &Order,
    registry: &Registry,
    led: &mut bool,
) -> Result<RunningNode, Fault> {
    let joined = started.join.is_some();
    if joined {
        join(started, order.voice).await?;
    }
    tokio::select! {
        has_leader = wait_for_leader(started) => *led = has_leader,
        () = keep_address(started, registry) => unreachable!("it never ends"),
    }
    let running = record(started);
    if let Err(error) = registry.publish(&running) {
        let folder = registry.folder().display();
        tracing::warn!(%error, %folder, "other programs of this machine will not find the node");
    }
    let block = block(started, order, registry, &running, joined);
    tracing::info!(
        cluster = block.cluster,
        node = block.name,
        role = block.role,
        client = block.client,
        peer = block.peer,
        beginning = %block.beginning,
        "ready"
    );
    order.voice.ready(&block);
    Ok(running)
}

/// Becomes a member. A name that was picked by itself, and that another node got in the same
/// moment, is picked again.
async fn join(started: &mut Started, voice: Voice) -> Result<(), Fault> {
    loop {
        let member = started.as_member();
        let doors = started
            .join
            .as_mut()
            .expect("only a node that joins comes here");
        match enrol::become_member(member, doors, voice).await {
            Ok(()) => break,
            Err(fault) if fault.code == ErrorCode::InvalidArgument && started.picked => {
                let Some(name) = another_name(started).await else {
                    return Err(fault);
                };
                tracing::info!(former = started.member.name, name, "the name was taken");
                started.member.name.clone_from(&name);
                started.record.name = name;
                write_record(started);
            }
            Err(fault) => return Err(fault),
        }
    }
    started.join = None;
    started.record.joining = None;
    write_record(started);
    Ok(())
}

/// A free name, if the present one is taken.
async fn another_name(started: &Started) -> Option<String> {
    let doors = started.join.as_ref()?;
    for host in doors.hosts() {
        let Ok(found) = discover::through(host).await else {
            continue;
        };
        let taken = found.names();
        if !taken.contains(&started.member.name) {
            return None;
        }
        return Some(place::first_free(|name| {
            taken.iter().any(|other| other == name)
        }));
    }
    None
}

/// The record is for the convenience of the next start: a node that runs does not end for it.
fn write_record(started: &Started) {
    if let Err(error) = started.record.write(&started.data) {
        tracing::warn!(%error, "the settings of this start are not recorded");
    }
}

async fn wait_for_leader(started: &Started) -> bool {
    let mut standing = started.node.standing();
    let led = standing.wait_for(|standing| standing.leader.is_some() && standing.quorum);
    let led = timeout(LEADER, led).await.is_ok_and(|told| told.is_ok());
    if !led {
        tracing::warn!("no leader yet: a majority of the voters is needed");
    }
    led
}

/// Tells the cluster of this node's addresses when they are not those that it knows: the node
/// moved to other ports, or to another machine. Its leader may look for it at the old ones, so it
/// goes to the other members by itself. Goes on until the cluster knows; never ends.
pub(super) async fn keep_address(started: &Started, registry: &Registry) {
    let mut standing = started.node.standing();
    loop {
        let membership = standing.borrow_and_update().membership.clone();
        let known = membership.members.get(&started.identity.node);
        let moved = known.is_some_and(|known| {
            known.incarnation == started.member.incarnation
                && (known.client_address != started.member.client_address
                    || known.peer_address != started.member.peer_address)
        });
        if moved {
            tell_address(started, &membership, registry).await;
            sleep(TELL_AGAIN).await;
        } else if standing.changed().await.is_err() {
            std::future::pending::<()>().await;
        }
    }
}

/// Asks one member after the other to note the new addresses, until one has done it.
async fn tell_address(started: &Started, membership: &Membership, registry: &Registry) {
    let own = &started.member.client_address;
    let cluster = started.identity.cluster.to_string();
    let local = registry.running().into_iter();
    let local = local.filter(|node| node.cluster_id == cluster);
    let local = local.map(|node| node.client_address);
    let members = membership.members.iter();
    let members = members.filter(|(node, _)| **node != started.identity.node);
    let members = members.map(|(_, member)| member.client_address.clone());
    let mut hosts: Vec<String> = local.chain(members).chain([own.clone()]).collect();
    hosts.dedup();
    for host in hosts {
        let told = timeout(TELL_ADDRESS, async {
            let remote = Remote::connect(&host).await?;
            let mut steps = remote.add_member(started.as_member()).await?;
            while steps
                .message()
                .await
                .map_err(|status| remote.fault(&status))?
                .is_some()
            {}
            Ok::<(), Fault>(())
        });
        match told.await {
            Ok(Ok(())) => {
                tracing::info!(client = own, "the cluster knows the new address");
                return;
            }
            Ok(Err(fault)) => tracing::debug!(host, %fault, "the new address is not known yet"),
            Err(_elapsed) => tracing::debug!(host, "the new address is not known yet"),
        }
    }
}

fn block(
    started: &Started,
    order: &Order,
    registry: &Registry,
    running: &RunningNode,
    joined: bool,
) -> Block {
    let standing = started.node.standing();
    let standing = standing.borrow();
    let role = if standing.leader.is_none() {
        format!("{}, no leader yet", standing.role.as_str())
    } else {
        standing.role.as_str().to_owned()
    };
    let local = registry.running();
    let loopback = |address: &str| {
        let ip = address
            .rsplit_once(':')
            .map(|(host, _)| host.trim_matches(['[', ']']));
        ip.and_then(|ip| ip.parse::<std::net::IpAddr>().ok())
            .is_some_and(|ip| ip.is_loopback())
    };
    Block {
        version: env!("CARGO_PKG_VERSION").to_owned(),
        cluster: started.identity.cluster_name.clone(),
        node_id: started.identity.node.0,
        cluster_id: started.identity.cluster.to_string(),
        name: started.member.name.clone(),
        role,
        beginning: match (started.new, joined) {
            (false, _) => Beginning::Resumed,
            (true, false) => Beginning::New,
            (true, true) => Beginning::Joined,
        },
        ready_in: started.began.elapsed(),
        data: started.data.clone(),
        log: (order.background || order.shell).then(|| started.data.join(logging::FILE)),
        pid: order.background.then(std::process::id),
        client: running.client_address.clone(),
        peer: running.peer_address.clone(),
        found_alone: !local.is_empty()
            && local
                .iter()
                .all(|node| node.cluster_id == running.cluster_id),
        insecure: !loopback(&started.record.client_address)
            || !loopback(&started.record.peer_address),
    }
}
