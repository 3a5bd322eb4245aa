//! Counting what holds, and saying what does not.

use std::fmt::Debug;

use etcd_client::Error;

/// Before each line.
const NAME: &str = "rust-etcd-client";

#[derive(Default)]
pub(crate) struct Checks {
    passed: u64,
    failed: u64,
}

impl Checks {
    pub(crate) fn holds(&mut self, what: &str, holds: bool) {
        if holds {
            self.passed += 1;
        } else {
            self.broke(what, "is not so");
        }
    }

    pub(crate) fn equal<T: Debug, U: Debug>(&mut self, what: &str, found: T, wanted: U)
    where
        T: PartialEq<U>,
    {
        if found == wanted {
            self.passed += 1;
        } else {
            self.broke(what, &format!("{found:?} instead of {wanted:?}"));
        }
    }

    /// A refusal, by its words.
    pub(crate) fn fails<T: Debug>(&mut self, what: &str, words: &str, told: Result<T, Error>) {
        match told {
            Err(error) if error.to_string().contains(words) => self.passed += 1,
            Err(error) => self.broke(what, &format!("{error} instead of {words}")),
            Ok(answer) => self.broke(what, &format!("{answer:?} instead of {words}")),
        }
    }

    pub(crate) fn broke(&mut self, what: &str, why: &str) {
        self.failed += 1;
        println!("{NAME}: {what}: {why}");
    }

    /// The count, as the last line and as the end of the process.
    pub(crate) fn end(self) -> ! {
        println!("{NAME}: {} passed, {} failed", self.passed, self.failed);
        std::process::exit(i32::from(self.failed > 0 || self.passed == 0));
    }
}
