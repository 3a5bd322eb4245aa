//! `--check`: the stories one after the other without a page, each sentence with what came of it.
//!
//! Invariant: the exit code is 0 only if every promise of every story was kept, and every write that
//! was acknowledged was found at the end.

use std::cell::Cell;
use std::time::Duration;

use hstore_core::error::ErrorCode;
use serde_json::json;

use super::Company;
use super::story::{self, Line, State, Story, Telling};
use crate::fault::{Exit, Fault};
use crate::screen;

/// The stories of these names; all of them where none is named.
pub(super) fn choose(names: &[String]) -> Result<Vec<&'static Story>, Fault> {
    if names.is_empty() {
        return Ok(story::ALL.to_vec());
    }
    let found = names.iter().map(|name| {
        story::find(name).ok_or_else(|| {
            let known: Vec<_> = story::ALL.iter().map(|story| story.name).collect();
            Fault::new(
                ErrorCode::InvalidArgument,
                format!("there is no story `{name}`"),
            )
            .hint(format!("there are {}", known.join(", ")))
        })
    });
    found.collect()
}

/// Tells the stories; how it went.
pub(super) async fn run(
    company: &mut Company,
    stories: &[&'static Story],
    ready_in: Duration,
    json: bool,
) -> Result<Exit, Fault> {
    let nodes = company.stage.nodes();
    let say = |text: &str| {
        if !json {
            screen::data(text);
        }
    };
    let ready = screen::duration(ready_in);
    say(&format!("{nodes} nodes follow one leader, after {ready}"));
    let mut told = Vec::new();
    for story in stories {
        say(&format!("\n{}", story.title));
        let shown = Shown::default();
        let hear = |telling: &Telling| shown.show(telling, say);
        let (stage, book) = (&company.stage, &company.book);
        told.push(story::tell(story, stage, book, &company.client, hear).await);
    }
    let closed = company.close_the_book().await;
    let writes = company.book.told();
    let stories_held = told.iter().all(held);
    let nothing_lost = closed.is_ok() && writes.is_clean();
    if json {
        let object = json!({
            "nodes": nodes,
            "ready_in_ms": u64::try_from(ready_in.as_millis()).unwrap_or(u64::MAX),
            "stories": told,
            "writes": writes,
            "held": stories_held && nothing_lost,
        });
        screen::data(object);
    }
    say(&format!("\n{}", writes.sentence()));
    closed?;
    if stories_held && nothing_lost {
        say("every promise was kept");
        Ok(Exit::Ok)
    } else {
        say("a promise was broken");
        Ok(Exit::Failure)
    }
}

fn held(telling: &Telling) -> bool {
    telling.verdict.as_ref().is_some_and(|verdict| verdict.held)
}

/// What of a story was shown already.
#[derive(Default)]
struct Shown {
    begun: Cell<usize>,
    ended: Cell<usize>,
}

impl Shown {
    fn show(&self, telling: &Telling, say: impl Fn(&str)) {
        for line in &telling.lines[self.begun.get()..] {
            say(&format!("  {}", line.says));
            self.begun.set(self.begun.get() + 1);
        }
        for line in &telling.lines[self.ended.get()..] {
            if line.state == State::Waiting {
                break;
            }
            say(&format!("    {}", outcome(line)));
            self.ended.set(self.ended.get() + 1);
        }
        if let Some(verdict) = &telling.verdict {
            for kept in &verdict.promises {
                let mark = if kept.held { "kept" } else { "BROKEN" };
                say(&format!("  {mark}: {}", kept.says));
            }
        }
    }
}

fn outcome(line: &Line) -> String {
    let took = screen::duration(Duration::from_millis(line.took_ms));
    let mark = if line.state == State::Held {
        "ok"
    } else {
        "NOT SO"
    };
    format!("{mark}, after {took}: {}", line.note)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stories_are_chosen_by_name_and_a_wrong_name_says_which_there_are() {
        assert_eq!(choose(&[]).unwrap().len(), story::ALL.len());
        let one = choose(&["slow-disk".to_owned()]).unwrap();
        assert_eq!(one[0].title, "A slow disk");
        let refused = choose(&["slow".to_owned()]).unwrap_err();
        assert_eq!(refused.code, ErrorCode::InvalidArgument);
        assert!(refused.advice().unwrap().contains("lose-the-leader"));
    }
}
