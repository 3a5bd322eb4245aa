//! How many files and sockets the process may have open.
//!
//! Systems begin a process with few, 1024 mostly, for programs of old that count them in a fixed
//! table, and let it have many more when it asks. A node needs one for each client, and one for
//! each segment of its log.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// Asks for as many as the system lets this process have.
pub(crate) fn allow_all_handles() {
    let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
    if current == maximum {
        return;
    }
    let most = Rlimit {
        current: maximum,
        maximum,
    };
    if let Err(error) = setrlimit(Resource::Nofile, most) {
        tracing::warn!(%error, ?current, "the limit of open files stays as it is");
    }
}
