//! The grammar of users, roles and permissions.

use std::ffi::OsString;

use clap::{ArgGroup, Args, Subcommand, ValueEnum};

/// `auth`.
#[derive(Clone, Debug, Subcommand)]
pub(crate) enum Auth {
    /// From now on ask everybody who they are; the user root must have the role root
    Enable,
    /// From now on ask nobody
    Disable,
    /// Show whether anybody is asked
    Status,
}

/// `user`.
#[derive(Clone, Debug, Subcommand)]
pub(crate) enum User {
    /// Make a user; the password is asked for, or a line of the standard input
    Add {
        /// The name
        name: String,
        /// Make a user whose name no password proves
        #[arg(long)]
        no_password: bool,
    },
    /// Delete a user; their tokens are worth nothing any more
    Delete {
        /// The name
        name: String,
    },
    /// List the users
    List,
    /// Show the roles of a user
    Show {
        /// The name
        name: String,
    },
    /// Give a user another password; it is asked for, or a line of the standard input
    Password {
        /// The name
        name: String,
    },
    /// Give a user a role
    Grant {
        /// The name of the user
        name: String,
        /// The role
        role: String,
    },
    /// Take a role from a user
    Revoke {
        /// The name of the user
        name: String,
        /// The role
        role: String,
    },
}

/// `role`.
#[derive(Clone, Debug, Subcommand)]
pub(crate) enum Role {
    /// Make a role
    Add {
        /// The name
        name: String,
    },
    /// Delete a role, and take it from all users
    Delete {
        /// The name
        name: String,
    },
    /// List the roles
    List,
    /// Show what a role may do
    Show {
        /// The name
        name: String,
    },
    /// Let a role read or write keys
    Grant {
        /// The name of the role
        name: String,
        /// What it may do
        #[arg(value_enum)]
        access: AccessWord,
        #[command(flatten)]
        keys: Keys,
    },
    /// Take back what a role may do with exactly these keys
    Revoke {
        /// The name of the role
        name: String,
        #[command(flatten)]
        keys: Keys,
    },
}

/// What may be done with keys.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum AccessWord {
    /// Read them
    Read,
    /// Write and delete them
    Write,
    /// Read, write and delete them
    Both,
}

/// Which keys a permission is for.
#[derive(Args, Clone, Debug)]
#[command(group = ArgGroup::new("which").required(true).args(["key", "all"]))]
pub(crate) struct Keys {
    /// The key
    pub(crate) key: Option<OsString>,
    /// Every key that begins so
    #[arg(long, requires = "key", conflicts_with_all = ["end", "from"])]
    pub(crate) prefix: bool,
    /// Every key from this one up to END, which is not included
    #[arg(long, value_name = "END", requires = "key", conflicts_with = "from")]
    pub(crate) end: Option<OsString>,
    /// Every key from this one on
    #[arg(long, requires = "key")]
    pub(crate) from: bool,
    /// Every key there is
    #[arg(long)]
    pub(crate) all: bool,
}
