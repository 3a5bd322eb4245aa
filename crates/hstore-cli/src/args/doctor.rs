//! The grammar of `doctor`.

use std::path::PathBuf;

use clap::Args;

pub(crate) const AFTER_DOCTOR_HELP: &str = "It ends with 0 when nothing is wrong, with 1 when something is, and with 5 when the \
    cluster cannot serve. Every finding has its words in docs/guide/doctor.md. Where users are asked who they are, what \
    only a node can tell is told to root.";

/// `doctor`.
#[derive(Args, Clone, Debug)]
pub(crate) struct Doctor {
    /// Measure the syncs of this folder's disk on this machine, too
    #[arg(long, value_name = "FOLDER")]
    pub(crate) disk: Option<PathBuf>,
}
