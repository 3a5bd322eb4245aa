//! What the process around a node does when the cluster sets something: its log is as talkative as
//! it is set, and this machine knows the node under the name that it is given.
//!
//! Invariant: the name that the node was started with stays in its record, so that the same command
//! line starts it again.

use hstore_client::local::{Registry, RunningNode};

use super::start::Started;
use crate::logging;

/// Follows the settings; never ends.
pub(super) async fn follow(started: &Started, registry: &Registry, mut running: RunningNode) {
    let mut settings = started.node.follow_settings();
    let mut record = started.record.clone();
    loop {
        settings.borrow_and_update();
        let effective = started.node.effective();
        logging::set_level(effective.log_level.as_deref());
        let name = effective.name.to_string();
        if record.called() != name {
            tracing::info!(former = record.called(), name, "the node has another name");
            record.call(&name);
            if let Err(error) = record.write(&started.data) {
                tracing::warn!(%error, "the name is not recorded");
            }
        }
        if running.name != name {
            running.name = name;
            if let Err(error) = registry.publish(&running) {
                tracing::warn!(%error, "other programs of this machine know the former name");
            }
        }
        if settings.changed().await.is_err() {
            std::future::pending::<()>().await;
        }
    }
}
