//! How a program talks to a cluster: addresses, sessions, retry by code, and the nodes of this
//! machine. It knows the wire and nothing of what is behind it.

pub mod local;
