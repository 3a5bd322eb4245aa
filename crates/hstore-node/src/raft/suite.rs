//! openraft's own test suite over our log and our state machine.

use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use futures::{Stream, StreamExt};
use hstore_core::id::NodeId;
use hstore_core::id::{ClusterId, Incarnation};
use hstore_storage::disk::memory::MemoryDisk;
use hstore_storage::engine::memory::MemorySource;
use hstore_storage::store::StoreOptions;
use hstore_storage::wal::WalOptions;
use openraft::entry::RaftEntry;
use openraft::storage::{EntryResponder, RaftStateMachine};
use openraft::testing::log::{StoreBuilder, Suite};
use openraft::{OptionalSend, StorageError};

use super::log::Log;
use super::log_writer::LogWriter;
use super::machine::Machine;
use super::open::Setup;
use super::runtime::Runtime;
use super::snapshot::{Meta, Shelf, Snapshot, SnapshotData};
use super::types::{Entry, RaftLogId, StoredMembership, TypeConfig};
use crate::env::{InlineLanes, Lanes};
use crate::fate::Fate;
use crate::identity::Identity;

/// The state machine, given blank entries where the suite leaves entries out. Real logs have no
/// holes, and our store refuses them.
struct Gapless(Machine);

impl Gapless {
    fn missing_before(&self, id: &RaftLogId) -> impl Iterator<Item = Entry> + use<> {
        let applied = self.0.applied().borrow().last;
        let first = applied.map_or(id.index, |applied| applied.index.0 + 1);
        let leader = id.leader_id;
        (first..id.index).map(move |index| Entry::new_blank(RaftLogId::new(leader, index)))
    }
}

impl RaftStateMachine<TypeConfig> for Gapless {
    type SnapshotData = SnapshotData;
    type SnapshotBuilder = super::snapshot::Builder;

    async fn applied_state(&mut self) -> Result<(Option<RaftLogId>, StoredMembership), io::Error> {
        self.0.applied_state().await
    }

    async fn apply<Strm>(&mut self, mut entries: Strm) -> Result<(), io::Error>
    where
        Strm: Stream<Item = Result<EntryResponder<TypeConfig>, io::Error>> + Unpin + OptionalSend,
    {
        while let Some(item) = entries.next().await {
            let (entry, responder) = item?;
            let blanks = self.missing_before(&entry.log_id);
            let items: Vec<_> = blanks
                .map(|blank| Ok((blank, None)))
                .chain([Ok((entry, responder))])
                .collect();
            self.0.apply(futures::stream::iter(items)).await?;
        }
        Ok(())
    }

    async fn get_snapshot_builder(&mut self) -> super::snapshot::Builder {
        self.0.get_snapshot_builder().await
    }

    async fn install_snapshot(
        &mut self,
        meta: &Meta,
        snapshot: SnapshotData,
    ) -> Result<(), io::Error> {
        self.0.install_snapshot(meta, snapshot).await
    }

    async fn get_current_snapshot(&mut self) -> Result<Option<Snapshot>, io::Error> {
        self.0.get_current_snapshot().await
    }
}

/// Builds replicas side by side on one disk, since the suite carries a snapshot from one to
/// another by its path.
#[derive(Default)]
struct Builder {
    disk: MemoryDisk,
    built: AtomicUsize,
}

impl StoreBuilder<TypeConfig, Log, Gapless, ()> for Builder {
    async fn build(&self) -> Result<((), Log, Gapless), StorageError<TypeConfig>> {
        let disk = Arc::new(self.disk.clone());
        let data = PathBuf::from(format!(
            "/data/{}",
            self.built.fetch_add(1, Ordering::SeqCst)
        ));
        let snapshots = data.join("snapshots");
        let setup = Setup {
            disk: disk.clone(),
            wal: data.join("wal"),
            snapshots: snapshots.clone(),
            wal_options: WalOptions {
                segment_bytes: 64 * 1024,
                tail_bytes_max: 4 * 1024,
            },
            store_options: StoreOptions::default(),
            identity: Identity::found(ClusterId(1), "suite".to_owned(), Incarnation(1)),
            engines: Arc::new(MemorySource::new()),
        };
        let found = setup.find().expect("an empty folder opens");
        let fate = Fate::new();
        let lanes: Arc<dyn Lanes> = Arc::new(InlineLanes);
        let reader = found.wal.reader();
        let writer = LogWriter::new(found.wal, lanes.lane("log"), fate.clone());
        let log = Log::new(
            reader,
            writer,
            lanes.clone(),
            fate.clone(),
            &found.recovered,
        )
        .expect("nothing was recovered");
        let shelf = Shelf::new(
            found.newest,
            disk,
            snapshots,
            lanes.lane("snapshot"),
            fate.clone(),
        );
        let machine = Machine::new(NodeId(1), found.store, shelf, lanes.lane("flush"), fate);
        Ok(((), log, Gapless(machine)))
    }
}

#[test]
fn openraft_finds_its_laws_kept_by_our_log_and_state_machine() {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .expect("a runtime");
    runtime
        .block_on(Runtime::scope(7, Suite::test_all(Builder::default())))
        .expect("every law is kept");
}
