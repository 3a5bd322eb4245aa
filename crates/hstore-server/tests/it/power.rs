//! Power loss on every node at once: their disk is shut down without its journal, the processes
//! die, the file system replays what it has, and every acknowledged write is there.
//!
//! The three data folders share one ext4 image on a loop device, so that one shutdown hits all.

use std::path::Path;
use std::process::Command;

use crate::harness::{
    Journal, Mount, Node, SOON, World, Writers, can_run, loop_image, not_run, until,
};

/// How many times the power goes; `HSTORE_POWER_ROUNDS` says otherwise.
const ROUNDS: usize = 30;
/// Writers that keep the cluster busy.
const WRITERS: usize = 4;
/// Acknowledged writes before the power goes.
const WRITES_A_ROUND: u64 = 60;
/// The size of the image; sparse, so that only what is written takes room.
const IMAGE_MIB: u64 = 3_000;

/// `EXT4_IOC_SHUTDOWN` without a flush of the journal. Python makes the call, since the workspace
/// forbids unsafe code.
const SHUTDOWN: &str = "
import fcntl, os, struct, sys
folder = os.open(sys.argv[1], os.O_RDONLY)
fcntl.ioctl(folder, 0x8004587d, struct.pack('I', 2))
";

#[test]
fn power_loss_on_all_nodes_at_once_loses_no_acknowledged_write() {
    let case = "power loss";
    let rounds = std::env::var("HSTORE_POWER_ROUNDS")
        .map_or(ROUNDS, |text| text.parse().expect("a number of rounds"));
    if !can_run("python3", &["-c", "import fcntl"]) {
        return not_run(case, "there is no python3");
    }
    let world = World::new();
    let (image, at) = (world.path("disk.img"), world.path("disk"));
    let mount = match loop_image(&image, IMAGE_MIB, &at) {
        Ok(mount) => mount,
        Err(why) => return not_run(case, &why),
    };
    if !cut_power(mount.path()) {
        return not_run(case, "this file system does not shut down on demand");
    }
    mount.unmount();

    let journal = Journal::default();
    let mut addresses: Vec<[String; 2]> = Vec::new();
    for round in 0..=rounds {
        let mount = loop_image(&image, IMAGE_MIB, &at).expect("it was mounted before");
        let mut nodes = power_on(&world, &mount, &mut addresses);
        let clients: Vec<_> = addresses.iter().map(|pair| pair[0].clone()).collect();
        for client in &clients {
            let pairs = until("everything is read back", SOON, || {
                crate::harness::Kv::connect(client).scan(b"").ok()
            });
            journal.check(&pairs, &format!("{client} after {round} power losses"));
        }
        if round == rounds {
            break;
        }
        let writers = Writers::start(&journal, &clients, WRITERS);
        until("acknowledged writes", SOON, || {
            (writers.acknowledged() >= WRITES_A_ROUND).then_some(())
        });
        assert!(cut_power(mount.path()), "the shutdown worked before");
        for node in &mut nodes {
            node.kill();
        }
        writers.stop();
        drop(nodes);
        mount.unmount();
    }
    assert!(journal.len() as u64 >= WRITES_A_ROUND * rounds as u64);
}

/// Starts the three nodes on the image: a new cluster the first time, the same one afterwards.
fn power_on(world: &World, mount: &Mount, addresses: &mut Vec<[String; 2]>) -> Vec<Node> {
    let names = ["n1", "n2", "n3"];
    let data = |name: &str| mount.path().join(name);
    let launch = |name: &str, verb: &[&str], more: &[&str]| {
        let command = world.command(crate::harness::server_binary());
        Node::start_with(world, name, command, &data(name), verb, more)
    };
    if addresses.is_empty() {
        let mut nodes = vec![launch("n1", &["start"], &[]).ready()];
        for name in &names[1..] {
            let first = nodes[0].address();
            nodes.push(launch(name, &["join", &first], &[]).ready());
        }
        nodes[0].settled(3);
        for node in &nodes {
            addresses.push([node.address(), node.record().peer_address.clone()]);
        }
        return nodes;
    }
    let started: Vec<_> = names
        .iter()
        .zip(addresses.iter())
        .map(|(name, [client, peer])| {
            launch(
                name,
                &["start"],
                &["--listen", client, "--peer-listen", peer],
            )
        })
        .collect();
    started.into_iter().map(Node::ready).collect()
}

fn cut_power(at: &Path) -> bool {
    Command::new("python3")
        .args(["-c", SHUTDOWN])
        .arg(at)
        .status()
        .is_ok_and(|status| status.success())
}
