//! Pairing: a stream begins with the word that the watch is made, once, and nothing follows its
//! end.

use super::case::{Case, Found};
use super::timeline::Lore;
use crate::history::Word;
use crate::violation::Kind;

pub(super) fn check(case: &Case<'_>, _lore: &Lore<'_>, found: &mut Found<'_>) {
    let mut is_over = false;
    for (place, word) in case.stream.told.iter().enumerate() {
        let at = word.revision();
        if is_over {
            found.say(Kind::WatchPairing, at, || {
                format!("was told something at revision {at} after it had ended")
            });
        }
        let is_made = matches!(word, Word::Created { .. });
        if is_made != (place == 0) {
            found.say(Kind::WatchPairing, at, || {
                let what = if is_made {
                    "that it is made a second time"
                } else {
                    "something before that it is made"
                };
                format!("was told {what}, at revision {at}")
            });
        }
        is_over |= matches!(word, Word::Canceled { .. });
    }
}
