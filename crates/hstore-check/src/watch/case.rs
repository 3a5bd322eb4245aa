//! One stream of a watch as the laws look at it.

use hstore_core::id::Revision;

use crate::history::{Event, Stream, Watch, Word};
use crate::violation::{Kind, Violations};

/// One stream, and the watch that it is of.
pub(super) struct Case<'h> {
    pub(super) watch: &'h Watch,
    pub(super) stream: &'h Stream,
    /// The first revision that it must tell; none when it was never made.
    pub(super) from: Option<Revision>,
    /// Up to where it has told for certain: the last event of the last whole answer, or a report of
    /// progress. None when there was neither.
    pub(super) upto: Option<Revision>,
}

impl<'h> Case<'h> {
    pub(super) fn of(watch: &'h Watch, stream: &'h Stream) -> Case<'h> {
        let created = stream.told.iter().find_map(|word| match word {
            Word::Created { revision, .. } => Some(*revision),
            _ => None,
        });
        let from = created.map(|revision| match stream.start {
            Revision(0) => revision.next(),
            start => start,
        });
        let mut upto: Option<Revision> = None;
        let mut newest = None;
        for word in &stream.told {
            let told = match word {
                Word::Events { events, more, .. } => {
                    let last = events.iter().map(|event| event.record.meta.mod_revision);
                    newest = newest.max(last.max());
                    newest.filter(|_| !more)
                }
                Word::Progress { revision, .. } => Some(*revision),
                Word::Created { .. } | Word::Canceled { .. } => None,
            };
            upto = upto.max(told);
        }
        Case {
            watch,
            stream,
            from,
            upto,
        }
    }

    /// Every event with the answer that it came in.
    pub(super) fn events(&self) -> impl Iterator<Item = (&'h Word, &'h Event)> {
        let words = self.stream.told.iter();
        words.flat_map(|word| word.events().iter().map(move |event| (word, event)))
    }

    /// Every report of progress.
    pub(super) fn marks(&self) -> impl Iterator<Item = Revision> {
        self.stream.told.iter().filter_map(|word| match word {
            Word::Progress { revision, .. } => Some(*revision),
            _ => None,
        })
    }
}

/// Where the laws say what they found in one watch.
pub(super) struct Found<'v> {
    watch: &'v Watch,
    violations: &'v mut Violations,
}

impl<'v> Found<'v> {
    pub(super) fn of(watch: &'v Watch, violations: &'v mut Violations) -> Found<'v> {
        Found { watch, violations }
    }

    /// Something is wrong; the sentence goes on behind the name of the watch.
    pub(super) fn say(&mut self, kind: Kind, at: Revision, what: impl FnOnce() -> String) {
        let id = self.watch.id;
        self.violations
            .push_of_watch(kind, id, at, || format!("watch {id} {}", what()));
    }
}
