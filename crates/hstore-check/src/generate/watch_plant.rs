//! A catalogue of what can go wrong with a watch: each bends one good watch of a made up run.
//!
//! Invariant: where a run has a place for it, each is a violation of the kind that it names.

use hstore_core::id::Revision;
use hstore_core::key::KeyRange;
use hstore_core::record::Record;

use super::watches::Truth;
use crate::history::{Event, Moment, Stream, Watch, Word};
use crate::violation::Kind;

macro_rules! planted {
    ($($(#[$doc:meta])* $name:ident, $kind:ident;)*) => {
        /// A violation of a watch that can be planted.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum PlantedWatch {
            $($(#[$doc])* $name,)*
        }

        impl PlantedWatch {
            /// Every violation of the catalogue.
            pub const ALL: &'static [PlantedWatch] = &[$(PlantedWatch::$name,)*];

            /// As what it must be found.
            pub fn kind(self) -> Kind {
                match self { $(PlantedWatch::$name => Kind::$kind,)* }
            }
        }
    };
}

planted! {
    /// An event comes from before the first revision that was asked for.
    BeforeStart, WatchBeforeStart;
    /// An event comes from before the revision that the store was at, though it began there.
    BeforeNow, WatchBeforeStart;
    /// A revision comes behind the report that it was told.
    BehindProgress, WatchBehindProgress;
    /// A report of progress says less than what was told.
    ProgressGoesBack, WatchBehindProgress;
    /// A watch of the future hears of progress that is before its beginning.
    EarlyNotice, WatchEarlyNotice;
    /// A watch ends, and nobody asked for it.
    EndedUnasked, WatchWrongEnd;
    /// A watch ends for a compaction that never was.
    EndedForNothing, WatchWrongEnd;
    /// A watch ends for a compaction that took nothing that it needs.
    EndedNeedlessly, WatchWrongEnd;
    /// An event comes before its write was asked for.
    Foreseen, WatchForeseen;
    /// A revision in the middle is left out.
    Missed, WatchMissed;
    /// The first revision that was asked for is left out.
    MissedAtStart, WatchMissed;
    /// The last revision before a report of progress is left out.
    MissedBeforeProgress, WatchMissed;
    /// What happened between two streams is left out.
    MissedBetweenStreams, WatchMissed;
    /// Of a revision one of two events is left out.
    MissedPart, WatchMissed;
    /// Two revisions come in the wrong order.
    OutOfOrder, WatchOutOfOrder;
    /// The head of an answer is behind what is in it.
    HeadBehind, WatchOutOfOrder;
    /// Something comes before the word that the watch is made.
    NeverMade, WatchPairing;
    /// It is made twice.
    MadeTwice, WatchPairing;
    /// Something comes after the end.
    AfterEnd, WatchPairing;
    /// An event shows a value that nobody wrote.
    PhantomValue, WatchPhantom;
    /// A deletion is told as a write.
    PhantomPut, WatchPhantom;
    /// An event is about a key that nobody wrote.
    PhantomKey, WatchPhantom;
    /// A revision comes in two answers.
    Split, WatchSplit;
    /// An answer comes in pieces, and nobody asked for that.
    UnaskedPieces, WatchSplit;
    /// A report of progress comes between two pieces.
    BetweenPieces, WatchSplit;
    /// An event is there twice.
    ToldTwice, WatchToldTwice;
    /// Another key is told.
    UnwantedKey, WatchUnwanted;
    /// Deletions were to be left out.
    UnwantedDelete, WatchUnwanted;
    /// Writes were to be left out.
    UnwantedPut, WatchUnwanted;
    /// A key that was made is told as one that was changed.
    WrongOrigin, WatchWrongOrigin;
    /// The version is one too high.
    WrongVersion, WatchWrongOrigin;
    /// What was replaced is what came of it.
    PreviousIsNew, WatchWrongPrevious;
    /// What was replaced is not said.
    PreviousMissing, WatchWrongPrevious;
    /// What was replaced is said to one who did not ask.
    PreviousUnasked, WatchWrongPrevious;
    /// A key that was made is said to have replaced something.
    PreviousOfNothing, WatchWrongPrevious;
}

/// Where the first answer with events stands among the words.
const FIRST: usize = 1;

impl PlantedWatch {
    /// Bends a watch of everything; `written` is when the operation was asked that wrote a revision.
    /// None when the run has no place for it.
    pub(super) fn bend(
        self,
        mut watch: Watch,
        truth: &Truth,
        written: Option<(Revision, Moment)>,
    ) -> Option<Watch> {
        let wish = &mut watch.wish;
        let stream = watch.streams.first_mut()?;
        let middle = stream.told.len() / 2;
        if stream.told.len() < 8 {
            return None;
        }
        let last = stream.told.len() - 1;
        match self {
            PlantedWatch::BeforeStart => stream.start = stream.start.next(),
            PlantedWatch::BeforeNow => stream.start = Revision(0),
            PlantedWatch::BehindProgress => {
                let mark = progress(&stream.told[middle]);
                stream.told.insert(middle, mark);
            }
            PlantedWatch::ProgressGoesBack => {
                let mark = progress(&stream.told[middle - 1]);
                stream
                    .told
                    .insert(middle + 1, at(mark, stream.told[middle].at()));
            }
            PlantedWatch::EarlyNotice => {
                stream.told.truncate(FIRST);
                let (at, revision) = (stream.told[0].at(), truth.last);
                stream.told.push(Word::Progress { at, revision });
                stream.start = Revision(truth.last.0 + 2);
            }
            PlantedWatch::EndedUnasked => stream.told.push(ended(stream, Revision(0))),
            PlantedWatch::EndedForNothing => {
                stream.told.truncate(middle);
                stream.told.push(ended(stream, Revision(truth.last.0 + 5)));
            }
            PlantedWatch::EndedNeedlessly => {
                let compacted = Some(truth.compacted).filter(|at| *at > Revision(1))?;
                stream.told.push(ended(stream, compacted));
            }
            PlantedWatch::Foreseen => {
                let (revision, invoked) = written?;
                let early = Moment(invoked.0.checked_sub(1)?);
                stream.asked = early;
                for word in &mut stream.told {
                    *word = at(word.clone(), early);
                    if word.revision() == revision && !word.events().is_empty() {
                        break;
                    }
                }
            }
            PlantedWatch::Missed => drop(stream.told.remove(middle)),
            PlantedWatch::MissedAtStart => drop(stream.told.remove(FIRST)),
            PlantedWatch::MissedBeforeProgress => drop(stream.told.remove(last - 1)),
            PlantedWatch::MissedBetweenStreams => {
                let rest = stream.told.split_off(middle);
                let lost = rest.first()?;
                let asked = lost.at();
                let created = Word::Created {
                    at: asked,
                    revision: truth.last,
                };
                let told = [created].into_iter().chain(rest[1..].iter().cloned());
                let next = Stream {
                    asked,
                    start: lost.revision().next(),
                    ended: None,
                    told: told.collect(),
                };
                watch.streams.push(next);
            }
            PlantedWatch::MissedPart => {
                let events = several(stream)?;
                events.pop();
            }
            PlantedWatch::OutOfOrder => {
                let (one, two) = (stream.told[middle].at(), stream.told[middle + 1].at());
                stream.told.swap(middle, middle + 1);
                stream.told[middle] = at(stream.told[middle].clone(), one);
                stream.told[middle + 1] = at(stream.told[middle + 1].clone(), two);
                if !matches!(stream.told[middle], Word::Events { .. }) {
                    return None;
                }
            }
            PlantedWatch::HeadBehind => {
                if let Word::Events { revision, .. } = &mut stream.told[middle] {
                    revision.0 -= 1;
                }
            }
            PlantedWatch::NeverMade => drop(stream.told.remove(0)),
            PlantedWatch::MadeTwice => {
                let again = at(stream.told[0].clone(), stream.told[middle].at());
                stream.told.insert(middle, again);
            }
            PlantedWatch::AfterEnd => {
                stream.ended = Some(stream.asked);
                let end = ended(stream, Revision(0));
                stream.told.insert(last, at(end, stream.told[last].at()));
            }
            PlantedWatch::PhantomValue => {
                let event = find(stream, |event| !event.record.meta.is_tombstone())?;
                event.record.value = "nobody".into();
            }
            PlantedWatch::PhantomPut => {
                let event = find(stream, |event| event.record.meta.is_tombstone())?;
                event.record.meta.version = 1;
                event.record.meta.create_revision = event.record.meta.mod_revision;
            }
            PlantedWatch::PhantomKey => {
                let event = find(stream, |_| true)?;
                event.record.key = "nobody".into();
            }
            PlantedWatch::Split => {
                let place = stream
                    .told
                    .iter()
                    .position(|word| word.events().len() > 1)?;
                let Word::Events { events, .. } = &mut stream.told[place] else {
                    return None;
                };
                let rest = vec![events.pop()?];
                let mut second = stream.told[place].clone();
                if let Word::Events { events, .. } = &mut second {
                    *events = rest;
                }
                stream.told.insert(place + 1, second);
            }
            PlantedWatch::UnaskedPieces => {
                if let Word::Events { more, .. } = &mut stream.told[middle] {
                    *more = true;
                }
            }
            PlantedWatch::BetweenPieces => {
                wish.fragment = true;
                let mark = progress(&stream.told[middle - 1]);
                if let Word::Events { more, .. } = &mut stream.told[middle] {
                    *more = true;
                }
                let now = stream.told[middle].at();
                stream.told.insert(middle + 1, at(mark, now));
            }
            PlantedWatch::ToldTwice => {
                if let Word::Events { events, .. } = &mut stream.told[middle] {
                    let again = events.first()?.clone();
                    events.push(again);
                }
            }
            PlantedWatch::UnwantedKey => wish.keys = KeyRange::One("nobody".into()),
            PlantedWatch::UnwantedDelete => {
                find(stream, |event| event.record.meta.is_tombstone())?;
                wish.no_delete = true;
            }
            PlantedWatch::UnwantedPut => {
                find(stream, |event| !event.record.meta.is_tombstone())?;
                wish.no_put = true;
            }
            PlantedWatch::WrongOrigin => {
                let event = find(stream, |event| event.record.meta.version == 1)?;
                event.record.meta.version = 2;
                event.record.meta.create_revision.0 -= 1;
            }
            PlantedWatch::WrongVersion => {
                let event = find(stream, |event| !event.record.meta.is_tombstone())?;
                event.record.meta.version += 1;
            }
            PlantedWatch::PreviousIsNew => {
                let event = find(stream, |event| event.previous.is_some())?;
                event.previous = Some(event.record.clone());
            }
            PlantedWatch::PreviousMissing => {
                // What may have been compacted may be missing.
                let event = find(stream, |event| truth.is_whole && event.previous.is_some())?;
                event.previous = None;
            }
            PlantedWatch::PreviousUnasked => {
                find(stream, |event| event.previous.is_some())?;
                wish.prev_kv = false;
            }
            PlantedWatch::PreviousOfNothing => {
                let event = find(stream, |event| event.record.meta.version == 1)?;
                event.previous = Some(Record {
                    value: "before".into(),
                    ..event.record.clone()
                });
            }
        }
        Some(watch)
    }
}

/// The report that everything up to a word is told.
fn progress(word: &Word) -> Word {
    Word::Progress {
        at: word.at(),
        revision: word.revision(),
    }
}

/// The same word at another time.
fn at(mut word: Word, now: Moment) -> Word {
    let (Word::Created { at, .. }
    | Word::Events { at, .. }
    | Word::Progress { at, .. }
    | Word::Canceled { at, .. }) = &mut word;
    *at = now;
    word
}

/// The end of a stream.
fn ended(stream: &Stream, compacted: Revision) -> Word {
    let last = stream.told.last();
    Word::Canceled {
        at: last.map_or(stream.asked, Word::at),
        revision: last.map_or(Revision::EMPTY, Word::revision),
        compacted,
        denied: false,
    }
}

fn find(stream: &mut Stream, is_it: impl Fn(&Event) -> bool) -> Option<&mut Event> {
    let words = stream.told.iter_mut().filter_map(|word| match word {
        Word::Events { events, .. } => Some(events),
        _ => None,
    });
    words.flatten().find(|event| is_it(event))
}

/// The events of a revision that has several.
fn several(stream: &mut Stream) -> Option<&mut Vec<Event>> {
    let mut words = stream.told.iter_mut().filter_map(|word| match word {
        Word::Events { events, .. } => Some(events),
        _ => None,
    });
    words.find(|events| events.len() > 1)
}
