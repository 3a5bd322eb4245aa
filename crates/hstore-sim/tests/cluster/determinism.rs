//! One seed is one run: two fresh processes tell the same story, line by line.

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use tokio::time::{Instant, sleep};

use hstore_sim::world::{run, write_by};

/// Names the file that the child writes its trace to.
const TRACE: &str = "HSTORE_SIM_TRACE";

/// The seed of the child.
const SEED: &str = "HSTORE_SIM_SEED";

/// A run with a bit of everything: growth, load, broken connections, a power loss.
fn story(seed: u64) -> String {
    run(seed, async |world| {
        world.cluster(3).await;
        world.net.break_connections(2_000);
        for round in 0..3 {
            for n in 0..20 {
                let running = world.running();
                let node = &running[n % running.len()];
                let deadline = Instant::now() + Duration::from_secs(3);
                let result = write_by(node, &format!("k{round}-{n}"), "v", deadline).await;
                world.trace.say(&format!("write {round} {n}: {result:?}"));
            }
            let leader = world.led().await;
            world.trace.say(&format!("leader {leader}"));
            world.crash(leader).await;
            sleep(Duration::from_millis(world.draw() % 2000)).await;
            world.start(leader).await;
        }
        world.net.break_connections(0);
        world.led().await;
        world.settle().await;
        for node in world.running() {
            let status = node.status();
            let said = format!("{:?} {:?} {:?}", status.node, status.applied, status.store);
            world.trace.say(&said);
        }
        world.trace.text()
    })
}

/// Not a test of its own: what the child process of the test below runs.
#[test]
fn a_child_tells_its_story() {
    let (Ok(path), Ok(seed)) = (std::env::var(TRACE), std::env::var(SEED)) else {
        return;
    };
    std::fs::write(path, story(seed.parse().unwrap())).unwrap();
}

#[test]
fn one_seed_in_two_fresh_processes_is_the_same_run() {
    let folder = tempfile::tempdir().unwrap();
    let tell = |seed: u64, path: &Path| {
        let child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "determinism::a_child_tells_its_story"])
            .env(TRACE, path)
            .env(SEED, seed.to_string())
            .output()
            .unwrap();
        assert!(child.status.success(), "{child:?}");
        std::fs::read_to_string(path).unwrap()
    };
    for seed in [1, 2] {
        let one = tell(seed, &folder.path().join("one"));
        let two = tell(seed, &folder.path().join("two"));
        assert!(one.lines().count() > 60, "something happened");
        for (one, two) in one.lines().zip(two.lines()) {
            assert_eq!(one, two, "seed {seed}");
        }
        assert_eq!(one, two);
    }
    let other = tell(3, &folder.path().join("three"));
    let one = tell(1, &folder.path().join("one"));
    assert_ne!(one, other, "another seed is another run");
}
