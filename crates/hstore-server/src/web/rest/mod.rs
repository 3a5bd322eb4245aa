//! Plain keys and values over HTTP, for scripts and for people.
//!
//! Everything here is made of calls of etcd's services and of hstore's own; what a key is allowed to
//! be, who may read it and what a write means is said there.

#[cfg(test)]
mod differential;
mod document;
mod encoded;
mod entry;
mod history;
mod read;
mod shape;
mod table;
#[cfg(test)]
mod tests;
mod tree;
mod wait;
mod watch;
mod write;

pub(super) use table::TABLE;
