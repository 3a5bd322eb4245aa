//! The line of a watch, as docs/history-format.md has it.

use bytes::Bytes;
use hstore_core::id::Revision;
use hstore_core::record::{Meta, Record};
use serde::{Deserialize, Serialize};

use super::line::{KeysLine, RecordLine, is_false, is_zero};
use super::text::Text;
use super::{ClientId, Event, Moment, Stream, Watch, WatchId, Wish, Word};

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[allow(
    clippy::struct_excessive_bools,
    reason = "each is a field of the format"
)]
pub(super) struct WatchLine {
    id: WatchId,
    client: ClientId,
    keys: KeysLine,
    #[serde(default, skip_serializing_if = "is_false")]
    prev_kv: bool,
    #[serde(default, skip_serializing_if = "is_false")]
    no_put: bool,
    #[serde(default, skip_serializing_if = "is_false")]
    no_delete: bool,
    #[serde(default, skip_serializing_if = "is_false")]
    fragment: bool,
    streams: Vec<StreamLine>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct StreamLine {
    asked: Moment,
    #[serde(default, skip_serializing_if = "is_zero")]
    start: i64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    ended: Option<Moment>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    told: Vec<WordLine>,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
enum WordLine {
    Created {
        at: Moment,
        revision: i64,
    },
    Events {
        at: Moment,
        revision: i64,
        events: Vec<EventLine>,
        #[serde(default, skip_serializing_if = "is_false")]
        more: bool,
    },
    Progress {
        at: Moment,
        revision: i64,
    },
    Canceled {
        at: Moment,
        revision: i64,
        #[serde(default, skip_serializing_if = "is_zero")]
        compacted: i64,
        #[serde(default, skip_serializing_if = "is_false")]
        denied: bool,
    },
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
enum EventLine {
    Put {
        record: RecordLine,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        previous: Option<RecordLine>,
    },
    Delete {
        key: Text,
        #[serde(rename = "mod")]
        modified: i64,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        previous: Option<RecordLine>,
    },
}

impl WatchLine {
    pub(super) fn of(watch: &Watch) -> WatchLine {
        let wish = &watch.wish;
        WatchLine {
            id: watch.id,
            client: watch.client,
            keys: KeysLine::of(&wish.keys),
            prev_kv: wish.prev_kv,
            no_put: wish.no_put,
            no_delete: wish.no_delete,
            fragment: wish.fragment,
            streams: watch.streams.iter().map(StreamLine::of).collect(),
        }
    }

    /// Whether a stream of it ended for want of rights.
    pub(super) fn is_denied(&self) -> bool {
        let mut words = self.streams.iter().flat_map(|stream| &stream.told);
        words.any(|word| matches!(word, WordLine::Canceled { denied: true, .. }))
    }

    pub(super) fn into_watch(self) -> Watch {
        let streams = self.streams.into_iter().map(StreamLine::into_stream);
        Watch {
            id: self.id,
            client: self.client,
            wish: Wish {
                keys: self.keys.into_keys(),
                prev_kv: self.prev_kv,
                no_put: self.no_put,
                no_delete: self.no_delete,
                fragment: self.fragment,
            },
            streams: streams.collect(),
        }
    }
}

impl StreamLine {
    fn of(stream: &Stream) -> StreamLine {
        StreamLine {
            asked: stream.asked,
            start: stream.start.0,
            ended: stream.ended,
            told: stream.told.iter().map(WordLine::of).collect(),
        }
    }

    fn into_stream(self) -> Stream {
        Stream {
            asked: self.asked,
            start: Revision(self.start),
            ended: self.ended,
            told: self.told.into_iter().map(WordLine::into_word).collect(),
        }
    }
}

impl WordLine {
    fn of(word: &Word) -> WordLine {
        let (at, revision) = (word.at(), word.revision().0);
        match word {
            Word::Created { .. } => WordLine::Created { at, revision },
            Word::Progress { .. } => WordLine::Progress { at, revision },
            Word::Canceled {
                compacted, denied, ..
            } => WordLine::Canceled {
                at,
                revision,
                compacted: compacted.0,
                denied: *denied,
            },
            Word::Events { events, more, .. } => WordLine::Events {
                at,
                revision,
                events: events.iter().map(EventLine::of).collect(),
                more: *more,
            },
        }
    }

    fn into_word(self) -> Word {
        match self {
            WordLine::Created { at, revision } => Word::Created {
                at,
                revision: Revision(revision),
            },
            WordLine::Progress { at, revision } => Word::Progress {
                at,
                revision: Revision(revision),
            },
            WordLine::Canceled {
                at,
                revision,
                compacted,
                denied,
            } => Word::Canceled {
                at,
                revision: Revision(revision),
                compacted: Revision(compacted),
                denied,
            },
            WordLine::Events {
                at,
                revision,
                events,
                more,
            } => Word::Events {
                at,
                revision: Revision(revision),
                events: events.into_iter().map(EventLine::into_event).collect(),
                more,
            },
        }
    }
}

impl EventLine {
    fn of(event: &Event) -> EventLine {
        let previous = event.previous.as_ref().map(RecordLine::of);
        if event.record.meta.is_tombstone() {
            EventLine::Delete {
                key: Text(event.record.key.clone()),
                modified: event.record.meta.mod_revision.0,
                previous,
            }
        } else {
            EventLine::Put {
                record: RecordLine::of(&event.record),
                previous,
            }
        }
    }

    fn into_event(self) -> Event {
        match self {
            EventLine::Put { record, previous } => Event {
                record: record.into_record(),
                previous: previous.map(RecordLine::into_record),
            },
            EventLine::Delete {
                key,
                modified,
                previous,
            } => Event {
                record: Record {
                    key: key.0,
                    value: Bytes::new(),
                    meta: Meta {
                        mod_revision: Revision(modified),
                        ..Meta::default()
                    },
                },
                previous: previous.map(RecordLine::into_record),
            },
        }
    }
}
