//! A bar on the standard error while something long goes on; nothing where there is no terminal.

use std::time::Duration;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

/// How often the bar is drawn at most, in a second.
const DRAWN_PER_SECOND: u8 = 10;

/// How far something has come.
pub(crate) struct Progress(ProgressBar);

impl Progress {
    /// Counts pairs towards `all`.
    pub(crate) fn of_pairs(shown: bool, all: u64) -> Progress {
        Progress::of(
            shown,
            Some(all),
            "{bar:30} {pos} of {len} pairs  {per_sec}  {eta} left",
        )
    }

    /// Counts bytes towards `all`, if that is known, and says how many pairs that was.
    pub(crate) fn of_bytes(shown: bool, all: Option<u64>) -> Progress {
        let form = match all {
            Some(_) => "{bar:30} {bytes} of {total_bytes}  {msg}  {eta} left",
            None => "{spinner} {bytes}  {msg}  {elapsed}",
        };
        Progress::of(shown, all, form)
    }

    fn of(shown: bool, all: Option<u64>, form: &str) -> Progress {
        let target = if shown {
            ProgressDrawTarget::stderr_with_hz(DRAWN_PER_SECOND)
        } else {
            ProgressDrawTarget::hidden()
        };
        let bar = ProgressBar::with_draw_target(all, target);
        let style = ProgressStyle::with_template(form).expect("the forms above are forms");
        bar.set_style(style.progress_chars("=> "));
        if shown {
            bar.enable_steady_tick(Duration::from_millis(200));
        }
        Progress(bar)
    }

    /// It has come so far.
    pub(crate) fn reached(&self, position: u64) {
        self.0.set_position(position);
    }

    /// Words beside the bar.
    pub(crate) fn say(&self, message: String) {
        self.0.set_message(message);
    }

    /// It is over: the bar goes away.
    pub(crate) fn done(self) {
        self.0.finish_and_clear();
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.0.finish_and_clear();
    }
}
