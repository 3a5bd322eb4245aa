//! The model and the machine, written apart from each other, say the same.
#![allow(clippy::unwrap_used, missing_docs, reason = "tests")]

use hstore_check::generate::{self, Calls, Log, Plan};
use hstore_check::history::Call;
use hstore_check::model::Model;
use hstore_core::auth::Author;
use hstore_core::command::{Command, Proposal};
use hstore_core::error::ErrorCode;
use hstore_core::id::{LogIndex, Revision};
use hstore_core::machine::{self, Machine};
use hstore_core::outcome::{Refusal, Reply};
use hstore_core::record::Record;
use hstore_core::testing::MemoryView;

fn bare(reply: Reply) -> Reply {
    let bare = |mut record: Record| {
        record.meta.sub = 0;
        record
    };
    match reply {
        Reply::Alarms(_)
        | Reply::Auth
        | Reply::Compact
        | Reply::Lease(_)
        | Reply::Node(_)
        | Reply::Settings(_)
        | Reply::Untold => reply,
        Reply::Delete { deleted, previous } => Reply::Delete {
            deleted,
            previous: previous.into_iter().map(bare).collect(),
        },
        Reply::Put { previous } => Reply::Put {
            previous: previous.map(bare),
        },
        Reply::Range(mut result) => {
            result.records = result.records.into_iter().map(bare).collect();
            Reply::Range(result)
        }
        Reply::Txn { succeeded, replies } => Reply::Txn {
            succeeded,
            replies: replies.into_iter().map(self::bare).collect(),
        },
    }
}

/// What the machine answers.
struct Real {
    machine: Machine,
    view: MemoryView,
    index: u64,
}

impl Real {
    fn run(&mut self, call: &Call) -> Result<Reply, ErrorCode> {
        let command = match call {
            Call::Compact(compact) => Command::Compact(*compact),
            Call::Delete(delete) => Command::Delete(delete.clone()),
            Call::Put(put) => Command::Put(put.clone()),
            Call::Txn(txn) => Command::Txn(txn.clone()),
            Call::Range { range, .. } => {
                let (current, compacted) = (self.machine.revision(), self.machine.compacted());
                let read = machine::read(&self.view, current, compacted, range).unwrap();
                return read.map(Reply::Range).map_err(|refusal| refusal.code());
            }
        };
        self.index += 1;
        let proposal = Proposal {
            request: None,
            author: Author::Nobody,
            command,
        };
        let index = LogIndex(self.index);
        let applied = self.machine.apply(&mut self.view, index, Ok(proposal));
        let outcome = applied.unwrap().outcome;
        outcome.result.map_err(|refusal: Refusal| refusal.code())
    }
}

/// Who does not want a count gets any.
fn forget_count(call: &Call, reply: &mut Reply) {
    if let (Call::Range { range, .. }, Reply::Range(result)) = (call, reply)
        && range.uncounted
    {
        result.count = 0;
    }
}

#[test]
fn the_model_and_the_machine_say_the_same() {
    let plan = Plan {
        operations: 150,
        calls: Calls::All,
        log: Log::None,
        ..Plan::default()
    };
    let mut answered = 0;
    for seed in 0..400 {
        let history = generate::good(seed, &plan);
        let mut model = Model::new(Revision::EMPTY);
        let mut real = Real {
            machine: Machine::default(),
            view: MemoryView::new(),
            index: 0,
        };
        for operation in &history.operations {
            let call = &operation.call;
            let mut said = [model.run(call), real.run(call).map(bare)];
            for reply in said.iter_mut().flatten() {
                forget_count(call, reply);
                answered += 1;
            }
            assert_eq!(said[0], said[1], "seed {seed}: {call:?}");
            assert_eq!(
                model.revision(),
                real.machine.revision(),
                "seed {seed}: {call:?}"
            );
        }
    }
    assert!(answered > 50_000);
}
