//! Telling a story: saying a sentence, doing what it says, waiting for what it promises.

use std::time::Duration;

use futures::future::join_all;
use hstore_client::Client;
use serde::Serialize;
use tokio::time::{Instant, sleep, timeout};

use super::cast::{Cast, list};
use super::{Deed, Group, Promise, Step, Story, Until};
use crate::demo::brake::DiskMode;
use crate::demo::ledger;
use crate::demo::load::{self, Book};
use crate::demo::patience;
use crate::demo::stage::Stage;
use crate::demo::view::View;
use crate::fault::Fault;
use crate::screen;

// Of a small demo; in a larger one everything may take longer.

/// How long a story waits for a leader to begin with, and for a whole cluster after it went wrong.
const SETTLED: Duration = Duration::from_secs(90);
/// How long it may take to look at every write once more.
const AUDIT: Duration = Duration::from_mins(1);
/// How long a node that is asked alone may take to answer.
const ALONE: Duration = Duration::from_millis(1_500);
/// How often silence is looked at.
const LISTEN: Duration = Duration::from_millis(50);
/// What the keys begin with that are asked of single nodes; they are no part of the book.
const PROBE: &str = "demo-probe/";

/// A story as far as it was told.
#[derive(Clone, Debug, Serialize)]
pub(in crate::demo) struct Telling {
    /// The name of the story.
    pub(in crate::demo) story: &'static str,
    /// Its title.
    pub(in crate::demo) title: &'static str,
    /// The sentences so far.
    pub(in crate::demo) lines: Vec<Line>,
    /// What became of its promises, at the end.
    pub(in crate::demo) verdict: Option<Verdict>,
}

/// A sentence.
#[derive(Clone, Debug, Serialize)]
pub(in crate::demo) struct Line {
    /// What it says.
    pub(in crate::demo) says: String,
    /// What came of it.
    pub(in crate::demo) state: State,
    /// What was seen, or what went wrong.
    pub(in crate::demo) note: String,
    /// How long it took so far.
    pub(in crate::demo) took_ms: u64,
}

/// What came of a sentence.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(in crate::demo) enum State {
    /// It was not so in time.
    Broken,
    /// It was so.
    Held,
    /// It is waited for.
    Waiting,
}

/// What became of a story's promises.
#[derive(Clone, Debug, Serialize)]
pub(in crate::demo) struct Verdict {
    /// Whether all of them were kept.
    pub(in crate::demo) held: bool,
    /// Each of them.
    pub(in crate::demo) promises: Vec<Kept>,
}

/// A promise.
#[derive(Clone, Debug, Serialize)]
pub(in crate::demo) struct Kept {
    /// What was promised and what was measured.
    pub(in crate::demo) says: String,
    /// Whether it was kept.
    pub(in crate::demo) held: bool,
}

/// Tells a story; `hear` is called whenever there is more of it.
pub(in crate::demo) async fn tell(
    story: &Story,
    stage: &Stage,
    book: &Book,
    client: &Client,
    hear: impl Fn(&Telling),
) -> Telling {
    let mut telling = Telling {
        story: story.name,
        title: story.title,
        lines: Vec::new(),
        verdict: None,
    };
    hear(&telling);
    book.forget();
    let violations = book.ledger().violations().len();
    let mut play = Play {
        stage,
        book,
        cast: Cast::default(),
        leader: 0,
        refused: false,
    };
    let mut went_well = true;
    for step in story.steps {
        let began = Instant::now();
        let begun = play.begin(step).await;
        telling.lines.push(Line {
            says: begun.clone().unwrap_or_else(|why| why),
            state: State::Waiting,
            note: String::new(),
            took_ms: 0,
        });
        hear(&telling);
        let within = Duration::from_secs(step.within_s) * play.patience();
        let done = match begun {
            Err(why) => Err(why),
            Ok(_) => match timeout(within, play.act(step)).await {
                Ok(done) => done,
                Err(_elapsed) => Err(format!("this was not to be seen within {within:?}")),
            },
        };
        went_well = done.is_ok();
        if let Some(line) = telling.lines.last_mut() {
            line.state = if went_well {
                State::Held
            } else {
                State::Broken
            };
            line.note = done.unwrap_or_else(|why| why);
            line.took_ms = millis(began.elapsed());
        }
        hear(&telling);
        if !went_well {
            break;
        }
    }
    if !went_well {
        play.put_right().await;
    }
    let judge = Judge {
        went_well,
        violations,
        refused: play.refused,
        look: AUDIT * play.patience(),
    };
    telling.verdict = Some(judge.verdict(story, book, client).await);
    hear(&telling);
    telling
}

/// A story while it is played.
struct Play<'a> {
    stage: &'a Stage,
    book: &'a Book,
    cast: Cast,
    /// Who led when the story began.
    leader: u8,
    /// Whether a write was asked of those that reach no majority, and none acknowledged it.
    refused: bool,
}

impl Play<'_> {
    /// The sentence of a step. The first one waits for a leader.
    async fn begin(&mut self, step: &Step) -> Result<String, String> {
        if self.leader == 0 {
            let mut view = self.stage.view();
            let led = view.wait_for(|view| view.leader().is_some());
            let led = timeout(SETTLED * self.patience(), led).await;
            self.leader = match led {
                Ok(Ok(view)) => view.leader().unwrap_or(0),
                _ => 0,
            };
        }
        if self.leader == 0 {
            return Err("No majority follows a leader, so the story does not begin.".to_owned());
        }
        let nodes = self.stage.nodes();
        Ok(self.cast.speak(step.says, self.leader, nodes))
    }

    /// Does what a step says, and waits for what it waits for; what was seen.
    async fn act(&mut self, step: &Step) -> Result<String, String> {
        self.perform(step.does)
            .await
            .map_err(|fault| format!("it could not be done: {fault}"))?;
        self.wait(step.until).await
    }

    fn patience(&self) -> u32 {
        patience(self.stage.nodes())
    }

    fn group(&mut self, group: Group) -> Vec<u8> {
        self.cast.choose(group, self.leader, self.stage.nodes())
    }

    async fn perform(&mut self, deed: Deed) -> Result<(), Fault> {
        match deed {
            Deed::Nothing => {}
            Deed::Kill(group) => {
                for number in self.group(group) {
                    self.stage.kill(number).await?;
                }
            }
            Deed::Start(group) => {
                for number in self.group(group) {
                    self.stage.start(number).await?;
                }
            }
            Deed::Split(group) => {
                let these = self.group(group);
                self.stage.split(&these);
            }
            Deed::Mend => self.stage.mend(),
            Deed::SlowDisk(group) => self.set_disks(group, DiskMode::Slow).await?,
            Deed::StickDisk(group) => self.set_disks(group, DiskMode::Stuck).await?,
            Deed::FreeDisk(group) => self.set_disks(group, DiskMode::Free).await?,
        }
        Ok(())
    }

    async fn set_disks(&mut self, group: Group, mode: DiskMode) -> Result<(), Fault> {
        for number in self.group(group) {
            self.stage.set_disk(number, mode).await?;
        }
        Ok(())
    }

    async fn wait(&mut self, until: Until) -> Result<String, String> {
        let gone = |_| "the demo ends".to_owned();
        match until {
            Until::Writes(count) => {
                let mut pulse = self.book.pulse();
                let goal = pulse.borrow_and_update().acknowledged + count;
                let pulse = pulse.wait_for(|pulse| pulse.acknowledged >= goal).await;
                pulse.map_err(gone)?;
                Ok(format!("{count} further writes were acknowledged"))
            }
            Until::SilentMs(wanted) => {
                let (began, wanted) = (Instant::now(), Duration::from_millis(wanted));
                let pulse = self.book.pulse();
                loop {
                    let silent = pulse.borrow().last.max(began).elapsed();
                    if silent >= wanted {
                        let silent = screen::duration(silent);
                        return Ok(format!("no write was acknowledged for {silent}"));
                    }
                    sleep(LISTEN).await;
                }
            }
            Until::AnotherLeader(group) => {
                let former = self.group(group);
                let mut view = self.stage.view();
                let is_other = |leader: Option<u8>| leader.is_some_and(|n| !former.contains(&n));
                let view = view.wait_for(|view| is_other(view.leader())).await;
                let view = view.map_err(gone)?;
                let leader = view.leader().unwrap_or(0);
                let term = view.says(leader).map_or(0, |says| says.term);
                Ok(format!("{} leads, in term {term}", list(&[leader])))
            }
            Until::Whole => {
                let (mut view, fresh) = (self.stage.view(), self.stage.next_round());
                let view = view.wait_for(|view| view.round >= fresh && view.is_whole());
                let view = view.await;
                let leader = view.map_err(gone)?.leader().unwrap_or(0);
                Ok(format!("all nodes follow {}", list(&[leader])))
            }
            Until::Refused(group) => self.refused(group).await,
            Until::OldReads(group) => self.old_reads(group).await,
        }
    }

    /// Asks each of them alone for a write; none may acknowledge it.
    async fn refused(&mut self, group: Group) -> Result<String, String> {
        let stage = self.stage;
        let asked = self.group(group).into_iter().map(|number| async move {
            let asker = stage.asker(number)?;
            let key = format!("{PROBE}{number}");
            let told = asker.put(&key, "?", ALONE).await;
            Some((number, told))
        });
        let mut codes: Vec<&'static str> = Vec::new();
        for (number, told) in join_all(asked).await.into_iter().flatten() {
            match told {
                Ok(revision) => {
                    let name = list(&[number]);
                    return Err(format!("{name} acknowledged it, at revision {revision}"));
                }
                Err(code) => codes.push(code.as_str()),
            }
        }
        codes.sort_unstable();
        codes.dedup();
        self.refused = true;
        Ok(format!("not acknowledged: {}", codes.join(", ")))
    }

    /// Reads from each of them alone, until all have answered.
    async fn old_reads(&mut self, group: Group) -> Result<String, String> {
        for number in self.group(group) {
            let Some(asker) = self.stage.asker(number) else {
                continue;
            };
            let key = ledger::key(0);
            while asker.get_serializable(&key, ALONE).await.is_err() {
                sleep(LISTEN).await;
            }
        }
        Ok("the read was answered".to_owned())
    }

    /// Takes all faults away after a story that went wrong.
    async fn put_right(&self) {
        if let Err(fault) = self.stage.heal().await {
            tracing::debug!(%fault, "not everything could be put right");
        }
        let mut view = self.stage.view();
        let _late = timeout(SETTLED * self.patience(), view.wait_for(View::is_whole))
            .await
            .is_err();
    }
}

/// Judges a story that was told.
struct Judge {
    went_well: bool,
    /// How many contradictions were known before.
    violations: usize,
    refused: bool,
    /// How long it may take to look at every write once more.
    look: Duration,
}

impl Judge {
    async fn verdict(&self, story: &Story, book: &Book, client: &Client) -> Verdict {
        let mut promises = Vec::new();
        for promise in story.promises {
            promises.push(match promise {
                Promise::WritesResume => {
                    let longest = screen::duration(book.pulse().borrow().longest);
                    Kept {
                        says: format!("writes go on: the longest time without one was {longest}"),
                        held: self.went_well,
                    }
                }
                Promise::MinorityRefuses => Kept {
                    says: "who reaches no majority acknowledges no write".to_owned(),
                    held: self.refused,
                },
                Promise::NothingLost => self.nothing_lost(book, client).await,
            });
        }
        Verdict {
            held: self.went_well && promises.iter().all(|kept| kept.held),
            promises,
        }
    }

    async fn nothing_lost(&self, book: &Book, client: &Client) -> Kept {
        let before = book.ledger().tally();
        let audited = load::audit(client, book, Instant::now() + self.look).await;
        let ledger = book.ledger();
        let tally = ledger.tally();
        let new = ledger.violations().get(self.violations..);
        let new = new.unwrap_or_default().join("; ");
        match audited {
            Ok(()) => Kept {
                says: format!(
                    "{} lost: all {} writes that were acknowledged so far were looked up{}{new}",
                    tally.lost,
                    before.acknowledged,
                    if new.is_empty() { "" } else { "; " },
                ),
                held: tally.lost == 0 && new.is_empty(),
            },
            Err(error) => Kept {
                says: format!("what was acknowledged could not be looked up: {error}"),
                held: false,
            },
        }
    }
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
