//! What happens when an invariant is broken: one line says so, and the process ends at once. A node
//! that goes on after a broken invariant could acknowledge what it does not keep.
//!
//! The one exception is the thread on which the engine opens: what it opens may be damaged in any
//! way, and then it is set aside and rebuilt.

use std::panic;

/// The thread whose panics are answers.
const ENGINE_OPEN: &str = "engine-open";

/// From now on a panic ends the process.
pub(crate) fn abort_on_panic() {
    let tell = panic::take_hook();
    panic::set_hook(Box::new(move |info| {
        let thread = std::thread::current();
        if thread.name() == Some(ENGINE_OPEN) {
            tracing::warn!(%info, "the engine cannot open its folder");
            return;
        }
        tracing::error!(%info, "an invariant is broken; the process ends here");
        tell(info);
        std::process::abort();
    }));
}
