//! Which phases are driven, in which order.

use super::drive::Pace;
use super::figure::Phase;
use super::operation::Operation;

/// How many clients reads and writes of one key are driven with.
const CLIENTS: [usize; 4] = [1, 64, 256, 1000];

/// The phases that every system is driven through that speaks etcd's wire.
pub(super) fn phases() -> Vec<Phase> {
    let mut phases = Vec::new();
    for operation in [Operation::Put, Operation::Get, Operation::SerializableGet] {
        phases.extend(CLIENTS.map(|clients| Phase::Clients(operation, Pace::Closed(clients))));
    }
    for (operation, clients) in [
        (Operation::Mix(50), 256),
        (Operation::Mix(90), 256),
        (Operation::CompareAndSet, 64),
        (Operation::Range, 64),
        (Operation::HotPut, 64),
        (Operation::KeepAlive, 64),
    ] {
        phases.push(Phase::Clients(operation, Pace::Closed(clients)));
    }
    phases.push(Phase::Clients(Operation::Put, Pace::Open(1000)));
    phases.push(Phase::Clients(Operation::Get, Pace::Open(4000)));
    phases.push(Phase::Watchers(100));
    phases.push(Phase::Watchers(10_000));
    phases
}

/// The phases of a store that knows nothing but keys and values.
pub(super) fn plain(phase: &Phase) -> bool {
    matches!(
        phase,
        Phase::Clients(Operation::Put | Operation::Get, Pace::Closed(_))
    )
}
