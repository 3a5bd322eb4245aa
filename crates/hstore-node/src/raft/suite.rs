//! openraft's own test suite over our log and our state machine.

use std::io;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use futures::{Stream, StreamExt};
use hstore_core::id::{ClusterId, Incarnation, LeaseTime, NodeId};
use hstore_storage::disk::memory::MemoryDisk;
use hstore_storage::engine::memory::MemorySource;
use hstore_storage::store::StoreOptions;
use hstore_storage::wal::WalOptions;
use openraft::entry::RaftEntry;
use openraft::storage::{EntryResponder, RaftLogStorage, RaftLogStorageExt, RaftStateMachine};
use openraft::testing::log::{StoreBuilder, Suite};
use openraft::vote::RaftLeaderId;
use openraft::{EntryPayload, OptionalSend, StorageError};

use super::codec;
use super::log::Log;
use super::log_writer::LogWriter;
use super::machine::Machine;
use super::open::Setup;
use super::runtime::Runtime;
use super::snapshot::{Meta, Shelf, Snapshot, SnapshotData};
use super::types::{Entry, LeaderId, RaftLogId, StoredMembership, TypeConfig};
use crate::env::{InlineLanes, Job, Lane, LaneClosed, Lanes};
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
        let (log, machine) = self.open(&(Arc::new(InlineLanes) as Arc<dyn Lanes>), Fate::new());
        Ok(((), log, machine))
    }
}

impl Builder {
    fn open(&self, lanes: &Arc<dyn Lanes>, fate: Fate) -> (Log, Gapless) {
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
        let flusher = lanes.lane("flush");
        let machine = Machine::new(NodeId(1), found.store, shelf, flusher, fate, true);
        (log, Gapless(machine))
    }
}

/// Lanes whose reads wait until somebody lets them go.
#[derive(Default)]
struct HeldReads {
    held: Mutex<Vec<Job>>,
    are_free: AtomicBool,
}

impl Lanes for HeldReads {
    fn lane(&self, name: &'static str) -> Lane {
        InlineLanes.lane(name)
    }

    fn read(&self, job: Job) -> Result<(), LaneClosed> {
        if self.are_free.load(Ordering::SeqCst) {
            job();
        } else {
            self.held.lock().expect("nobody panics").push(job);
        }
        Ok(())
    }
}

impl HeldReads {
    fn let_go(&self) {
        self.are_free.store(true, Ordering::SeqCst);
        let held = std::mem::take(&mut *self.held.lock().expect("nobody panics"));
        for job in held {
            job();
        }
    }
}

#[tokio::test]
async fn what_is_let_go_of_while_it_is_measured_is_no_fault() {
    let (lanes, fate) = (Arc::new(HeldReads::default()), Fate::new());
    let held: Arc<dyn Lanes> = lanes.clone();
    let (mut log, _machine) = Builder::default().open(&held, fate.clone());
    let leader = LeaderId::new(1, 1);
    let id = |index| RaftLogId::new(leader, index);
    let entries = (0..200).map(|index| {
        let payload = codec::encode_batch(LeaseTime(0), vec![vec![7; 1000].into()]);
        Entry::new(id(index), EntryPayload::Normal(payload))
    });
    let entries: Vec<_> = entries.collect();
    log.blocking_append(entries).await.expect("it is appended");

    let measured = log.clone();
    let measuring = measured.keep_from(150, 150, 20_000);
    let mut measuring = std::pin::pin!(measuring);
    let begun = futures::poll!(measuring.as_mut());
    assert!(begun.is_pending(), "the read waits for its lane");
    log.purge(id(140)).await.expect("it is purged");
    lanes.let_go();
    let first = measuring.await.expect("nothing is wrong");
    assert_eq!(first, 141, "all that is left fits");
    assert!(fate.reason().is_none(), "{:?}", fate.reason());
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
