//! A place where a node runs: its disk, its engines, its address, its clock.

use std::sync::Arc;

use hstore_core::id::{Incarnation, NodeId};
use hstore_node::{Gate, Node};
use hstore_storage::disk::memory::MemoryDisk;
use hstore_storage::engine::memory::MemorySource;
use tokio::sync::watch;

use super::clock::Wall;
use super::lanes::Weather;

/// One place. Invariants: (1) `node` is some exactly while a started node has its power; (2) every
/// end of a life and every start raises `life`, so whoever began something in an earlier life sees
/// that it is over.
pub(super) struct Seat {
    pub(super) name: String,
    pub(super) address: String,
    pub(super) disk: MemoryDisk,
    pub(super) engines: Arc<MemorySource>,
    pub(super) node: Option<Node>,
    pub(super) id: NodeId,
    pub(super) incarnation: Incarnation,
    pub(super) weather: Weather,
    pub(super) wall: Wall,
    /// Before the tasks of the present life.
    pub(super) gate: Gate,
    /// The number of the present life, heard by whoever waits for its end.
    pub(super) life: Arc<watch::Sender<u64>>,
    /// For how many reasons the process stands still.
    pub(super) paused: Arc<watch::Sender<u32>>,
    /// How often it was started.
    pub(super) starts: u64,
}

impl Seat {
    pub(super) fn new(number: usize, incarnation: Incarnation, seed: u64, wall: Wall) -> Seat {
        Seat {
            name: format!("n{number}"),
            address: format!("n{number}:1"),
            disk: MemoryDisk::new(),
            engines: Arc::new(MemorySource::new()),
            node: None,
            id: NodeId(0),
            incarnation,
            weather: Weather::new(seed),
            wall,
            gate: Gate::default(),
            life: Arc::new(watch::Sender::new(0)),
            paused: Arc::new(watch::Sender::new(0)),
            starts: 0,
        }
    }

    /// A life begins or ends; the number of the new one.
    pub(super) fn turn(&mut self) -> u64 {
        self.life.send_modify(|life| *life += 1);
        *self.life.borrow()
    }
}
