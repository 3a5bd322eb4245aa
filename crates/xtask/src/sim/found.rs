//! The list of planted bugs: for each the seed and the scenario that find it, and what caught it.
//!
//! Invariant: one line a bug, in the order of the catalogue; `#` begins a remark.

use anyhow::{Context, Result, bail};
use hstore_core::planted::Bug;

/// The first lines of the list.
const HEAD: &str = "\
# The planted bugs, the seeds that find them, and the law or the judge that said so.
# `cargo xtask sim planted --record` writes this file.
# bug | seed | scenario | law
";

/// How one bug was found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Found {
    pub(super) bug: Bug,
    pub(super) seed: u64,
    pub(super) scenario: String,
    pub(super) law: String,
}

impl Found {
    /// A bug that a run caught, and how the run said so.
    pub(super) fn new(bug: Bug, seed: u64, scenario: &str, how: &str) -> Found {
        Found {
            bug,
            seed,
            scenario: scenario.to_owned(),
            law: law_of(how),
        }
    }

    fn parse(line: &str) -> Result<Found> {
        let mut fields = line.split('|').map(str::trim);
        let mut next = |what: &str| fields.next().with_context(|| format!("no {what}: {line}"));
        let name = next("bug")?;
        let bug = Bug::parse(name).with_context(|| format!("there is no bug {name}"))?;
        let seed = next("seed")?.parse().context("the seed is no number")?;
        let scenario = next("scenario")?.to_owned();
        let law = next("law")?.to_owned();
        Ok(Found {
            bug,
            seed,
            scenario,
            law,
        })
    }
}

/// The name of the law in what a run said; of a judge its word, too.
fn law_of(how: &str) -> String {
    let first = how.split("; ").next().unwrap_or_default();
    let mut parts = first.split(": ");
    let law = parts.next().unwrap_or_default();
    match parts.next() {
        Some(word) if law == "judge" => format!("{law}: {word}"),
        _ => law.to_owned(),
    }
}

/// All lines.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct List(Vec<Found>);

impl List {
    /// The list in a text.
    pub(super) fn read(text: &str) -> Result<List> {
        let lines = text.lines().map(str::trim);
        let lines = lines.filter(|line| !line.is_empty() && !line.starts_with('#'));
        let found: Vec<Found> = lines.map(Found::parse).collect::<Result<_>>()?;
        if let Some(pair) = found.windows(2).find(|pair| pair[0].bug >= pair[1].bug) {
            bail!("{} stands behind {}", pair[1].bug, pair[0].bug);
        }
        Ok(List(found))
    }

    /// How a bug was found.
    pub(super) fn of(&self, bug: Bug) -> Option<&Found> {
        self.0.iter().find(|found| found.bug == bug)
    }

    /// The list with news in the place of what was known.
    pub(super) fn with(self, news: impl IntoIterator<Item = Found>) -> List {
        let mut all = self.0;
        for found in news {
            all.retain(|known| known.bug != found.bug);
            all.push(found);
        }
        all.sort_by_key(|found| found.bug);
        List(all)
    }

    /// The list as text.
    pub(super) fn text(&self) -> String {
        self.0.iter().fold(HEAD.to_owned(), |text, found| {
            let Found {
                bug,
                seed,
                scenario,
                law,
            } = found;
            text + &format!("{bug} | {seed} | {scenario} | {law}\n")
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_list_names_every_bug_of_the_catalogue_once() {
        let list = List::read(include_str!("../../../hstore-sim/planted.txt")).unwrap();
        let named: Vec<Bug> = list.0.iter().map(|found| found.bug).collect();
        assert_eq!(named, Bug::ALL);
    }

    #[test]
    fn news_take_the_place_of_what_was_known_and_come_back_from_the_text() {
        let (first, second) = (Bug::ALL[0], Bug::ALL[1]);
        let old = Found::new(second, 1, "swarm", "election_safety: node 1 leads");
        let new = Found::new(second, 2, "swarm", "judge: wrong_value: operation 7");
        let other = Found::new(first, 3, "swarm", "serve: 3 of 20");
        assert_eq!(new.law, "judge: wrong_value");
        assert_eq!(old.law, "election_safety");
        let list = List::default()
            .with([old])
            .with([new.clone(), other.clone()]);
        assert_eq!(list, List(vec![other, new]));
        assert_eq!(List::read(&list.text()).unwrap(), list);
    }

    #[test]
    fn what_is_no_line_of_the_list_is_refused() {
        for text in ["no-such-bug | 1 | swarm | x", "x", "a | b | c | d"] {
            assert!(List::read(text).is_err(), "{text}");
        }
        let line = format!("{} | 1 | swarm | x\n", Bug::ALL[0]);
        assert!(List::read(&format!("{line}{line}")).is_err());
    }
}
