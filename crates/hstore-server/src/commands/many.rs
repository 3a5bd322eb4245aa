//! The same thing to several nodes: one after the other, each with its own result, and an exit
//! code that says whether all, some or none worked.

use serde_json::{Value, json};

use crate::fault::{Exit, Fault};
use crate::grammar::Output;
use crate::screen;

/// What was done to one node.
pub(super) struct Done {
    /// The node.
    pub(super) node: String,
    /// One word or two for people and programs: `stopped`.
    pub(super) what: &'static str,
    /// More for people, where there is more to say.
    pub(super) more: Option<String>,
}

/// Collects what was done.
pub(super) struct Tally {
    output: Output,
    done: usize,
    faults: Vec<Fault>,
}

impl Tally {
    /// An empty one.
    pub(super) fn new(output: Output) -> Tally {
        Tally {
            output,
            done: 0,
            faults: Vec::new(),
        }
    }

    /// Notes and tells one result.
    pub(super) fn note(&mut self, result: Result<Done, Fault>) {
        match result {
            Ok(done) => {
                self.done += 1;
                if self.output.is_json() {
                    let mut object = json!({ "node": done.node, "result": done.what });
                    if let Some(more) = done.more {
                        object["detail"] = Value::from(more);
                    }
                    screen::data(object);
                } else {
                    let more = done
                        .more
                        .map_or_else(String::new, |more| format!("  {more}"));
                    screen::data(format_args!("{} {}{more}", done.node, done.what));
                }
            }
            Err(fault) => self.faults.push(fault),
        }
    }

    /// What came of it all: the fault of the only failure, or that a part failed.
    pub(super) fn close(mut self) -> Result<Exit, Fault> {
        let Some(last) = self.faults.pop() else {
            return Ok(Exit::Ok);
        };
        for fault in &self.faults {
            fault.tell(self.output.is_json());
        }
        Err(if self.done > 0 {
            last.exit(Exit::Partial)
        } else {
            last
        })
    }
}
