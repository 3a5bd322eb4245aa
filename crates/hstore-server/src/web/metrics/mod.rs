//! The page `/metrics`: everything that is counted, in the text format of Prometheus.
//!
//! Where a number of ours means what one of etcd's means it has etcd's name, so that what was made
//! for etcd shows it; what etcd does not have begins with `hstore_`. docs/guide/monitoring.md says
//! which of etcd's names are absent.

mod calls;
mod node;
mod process;
#[cfg(test)]
mod tests;
mod text;

use hstore_node::Node;
use hyper::Response;
use tonic::body::Body;

use self::text::Text;
use super::page;
use crate::otlp::{DROPPED, EXPORTED};

/// The type of the page.
pub(super) const KIND: &str = "text/plain; version=0.0.4; charset=utf-8";

/// The page.
pub(super) fn metrics(node: &Node) -> Response<Body> {
    let mut text = Text::new();
    node::write(&node.status(), &mut text);
    calls::write(&mut text);
    node::write_peers(&node.round_trips(), &mut text);
    node::write_disk(&mut text);
    text.counter(
        "hstore_trace_spans_exported_total",
        "Spans that a collector took.",
        EXPORTED.get(),
    );
    text.counter(
        "hstore_trace_spans_dropped_total",
        "Spans that no collector took.",
        DROPPED.get(),
    );
    process::write(&mut text);
    page(KIND, text.into_string())
}
