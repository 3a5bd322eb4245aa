//! The words of `config`.

use clap::Subcommand;

/// `config`.
#[derive(Clone, Debug, Subcommand)]
pub(crate) enum Config {
    /// List everything that is set, and since which version
    List,
    /// Show the value of a setting and who said it, as it holds at the node that answers
    Get {
        /// The setting, such as log-level
        #[arg(value_name = "SETTING")]
        key: String,
    },
    /// Set a setting, for every node or for one
    Set {
        /// The setting: auto-compaction, cache-bytes, heartbeat, log-level, name, quota-bytes or type
        #[arg(value_name = "SETTING")]
        key: String,
        /// Its value, as the flag of that name of hstore-server takes it
        #[arg(value_name = "VALUE", allow_hyphen_values = true)]
        value: String,
        /// Only for this member: its name or its number
        #[arg(long, value_name = "NODE")]
        node: Option<String>,
        /// Only if the settings are at this version
        #[arg(long, value_name = "VERSION")]
        if_version: Option<u64>,
    },
    /// Take a setting back: what each node was started with holds again
    Unset {
        /// The setting
        #[arg(value_name = "SETTING")]
        key: String,
        /// What was set for this member: its name or its number
        #[arg(long, value_name = "NODE")]
        node: Option<String>,
        /// Only if the settings are at this version
        #[arg(long, value_name = "VERSION")]
        if_version: Option<u64>,
    },
}
