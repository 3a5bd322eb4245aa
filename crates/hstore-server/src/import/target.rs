//! The node that follows etcd: it runs in this process, alone, without a door, and no time passes
//! for its leases.

use std::sync::Arc;
use std::time::Duration;

use hstore_core::auth::Author;
use hstore_core::command::{Command, Proposal};
use hstore_core::error::ErrorCode;
use hstore_core::id::Revision;
use hstore_core::outcome::Outcome;
use hstore_node::{Env, Node, NodeConfig, NodeError};
use hstore_storage::disk::Disk as _;
use hstore_storage::engine::folders::FolderSource;
use hstore_storage::os::OsDisk;
use tokio::time::{Instant, timeout};

use crate::fault::Fault;
use crate::nursery::Nursery;
use crate::peer::PeerTransport;
use crate::runtime::{SystemClock, Threads, mount_id};
use crate::serve::random;

/// How long the node may take to lead itself.
const LEAD_MAX: Duration = Duration::from_secs(30);
/// How long one change may take.
pub(super) const CHANGE_MAX: Duration = Duration::from_mins(1);
/// How long the end may take; what is not done by then the next start does.
const STOP_MAX: Duration = Duration::from_mins(1);

/// The node that follows.
pub(super) struct Target {
    pub(super) node: Node,
    threads: Arc<Threads>,
}

impl Target {
    /// Starts the node of the folder and waits until it leads.
    pub(super) async fn start(nursery: &Nursery) -> Result<Target, Fault> {
        let data = &nursery.data;
        let mut config = NodeConfig::new(
            data.clone(),
            nursery.name.clone(),
            // It listens nowhere, and nobody is to hear otherwise.
            String::new(),
            String::new(),
        );
        config.lease_clock_runs = false;
        let root = data.join("store");
        let disk = OsDisk::new();
        disk.create_dir_all(&root)
            .map_err(|error| Fault::of_file(root.display(), &error))?;
        let folder = root.clone();
        let engine = FolderSource::open(&root, move || mount_id(&folder))
            .map_err(|error| Fault::new(error.code(), format!("{}: {error}", root.display())))?;
        let threads = Threads::start().map_err(|error| {
            Fault::new(
                ErrorCode::Internal,
                format!("the system gives no threads: {error}"),
            )
        })?;
        let env = Env {
            transport: Arc::new(PeerTransport::default()),
            disk: Arc::new(disk),
            lanes: Arc::clone(&threads) as Arc<dyn hstore_node::Lanes>,
            clock: Arc::new(SystemClock),
            engine: Arc::new(engine),
            seed: random(),
            gate: None,
        };
        let node = Node::start(config, env)
            .await
            .map_err(|error| Fault::new(error.code(), format!("{}: {error}", data.display())))?;
        let mut standing = node.standing();
        let led = standing.wait_for(|standing| standing.leader.is_some());
        if !matches!(timeout(LEAD_MAX, led).await, Ok(Ok(_))) {
            let sentence = "the new node does not come to lead itself";
            return Err(Fault::new(ErrorCode::NoQuorum, sentence));
        }
        Ok(Target { node, threads })
    }

    /// The revision of its store.
    pub(super) fn revision(&self) -> Revision {
        self.node.status().store.revision
    }

    /// Makes one change and waits for it.
    pub(super) async fn change(&self, command: Command) -> Result<Outcome, Fault> {
        changed(propose(self.node.clone(), command).await)
    }

    /// Stops it in order.
    pub(super) async fn stop(self) -> Result<(), Fault> {
        self.node.stop(Instant::now() + STOP_MAX).await;
        drop(self.node);
        let threads = self.threads;
        let ended = tokio::task::spawn_blocking(move || threads.wait(STOP_MAX)).await;
        if ended.unwrap_or(false) {
            return Ok(());
        }
        let sentence =
            "the new node does not end in time; nothing is lost, its next start takes longer";
        Err(Fault::new(ErrorCode::Timeout, sentence))
    }
}

/// Makes one change.
pub(super) async fn propose(node: Node, command: Command) -> Result<Outcome, NodeError> {
    let proposal = Proposal {
        request: None,
        author: Author::Node,
        command,
    };
    let deadline = Instant::now() + CHANGE_MAX;
    Ok(node.propose(proposal, deadline).await?.1)
}

/// What came of a change, for a person.
pub(super) fn changed(result: Result<Outcome, NodeError>) -> Result<Outcome, Fault> {
    result.map_err(|error| {
        Fault::new(
            error.code(),
            format!("the new node took no change: {error}"),
        )
        .hint("the same command goes on where it stopped")
    })
}
