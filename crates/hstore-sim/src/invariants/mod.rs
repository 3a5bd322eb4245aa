//! Laws that hold at every moment, whatever happens: one law a file.
//!
//! Invariant: a law is never broken by a look that missed something: what it did not see it does
//! not judge.

mod agreement;
mod bounds;
mod completeness;
mod election;
mod matching;
mod membership;
mod monotone;
mod quorum;
mod sameness;
mod settings;
mod sight;
mod vote;

pub use self::sight::{Kept, Logbook, Seen, Sight};

/// One law.
pub trait Law: Send {
    /// What it is called.
    fn name(&self) -> &'static str;

    /// Looks; says how the law is broken, if it is.
    fn look(&mut self, sight: &Sight) -> Result<(), String>;
}

/// The most broken laws that are kept; one mistake shows at every look.
const BROKEN_MAX: usize = 10;

/// All laws, and what they found.
pub struct Court {
    laws: Vec<Box<dyn Law>>,
    broken: Vec<String>,
    looks: u64,
}

impl Default for Court {
    fn default() -> Court {
        Court {
            laws: vec![
                Box::new(agreement::Agreement::default()),
                Box::new(bounds::Bounds),
                Box::new(completeness::Completeness::default()),
                Box::new(election::Election::default()),
                Box::new(matching::Matching::default()),
                Box::new(membership::Memberships::default()),
                Box::new(monotone::Monotone::default()),
                Box::new(quorum::Quorum),
                Box::new(sameness::Sameness::default()),
                Box::new(settings::Versions::default()),
                Box::new(vote::Votes),
            ],
            broken: Vec::new(),
            looks: 0,
        }
    }
}

impl Court {
    /// Has every law look; the names of those that were found broken now.
    pub fn look(&mut self, sight: &Sight) -> Vec<String> {
        self.looks += 1;
        let mut news = Vec::new();
        for law in &mut self.laws {
            if let Err(how) = law.look(sight) {
                news.push(format!("{}: {how}", law.name()));
            }
        }
        let room = BROKEN_MAX.saturating_sub(self.broken.len());
        self.broken.extend(news.iter().take(room).cloned());
        news
    }

    /// Takes in what somebody else found broken.
    pub fn hear(&mut self, broken: String) {
        if self.broken.len() < BROKEN_MAX {
            self.broken.push(broken);
        }
    }

    /// How the laws were broken.
    pub fn broken(&self) -> &[String] {
        &self.broken
    }

    /// How often the laws looked.
    pub fn looks(&self) -> u64 {
        self.looks
    }
}
