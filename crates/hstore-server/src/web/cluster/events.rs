//! `GET /cluster/events`: the cluster as it is, then as it changes, for as long as somebody listens.
//!
//! Events: `state`, everything, first; `standing`, role, term and leader of the node that tells, as
//! they change; `change`, whatever else is other than it was told before; `end`, with the refusal,
//! when who listens may do so no more. A listener that is slow is told less often, never more late.

use std::sync::Arc;

use futures::{Stream, stream};
use hstore_core::error::ErrorCode;
use hyper::{HeaderMap, Response};
use serde_json::{Value, json};
use tonic::body::Body;

use super::hub::Listening;
use super::now_ms;
use super::scene::Scene;
use crate::grpc::{Door, Need};
use crate::web::ask::Ask;
use crate::web::problem::Problem;
use crate::web::sse::{self, Event};

/// `GET /cluster/events`.
pub(super) async fn events(ask: Ask) -> Result<Response<Body>, Problem> {
    let Some(listening) = ask.web.hub.listen() else {
        let what = "as many listen to this node's events as may";
        return Err(Problem::new(ErrorCode::Overloaded, what));
    };
    let listener = Listener {
        node: ask.node().status().node.0,
        listening,
        door: ask.service.door.clone(),
        headers: ask.service.headers.clone(),
        told: None,
    };
    Ok(sse::response(ask.node(), listener.events()))
}

/// One listener.
struct Listener {
    node: u64,
    listening: Listening,
    door: Door,
    headers: HeaderMap,
    /// What it was told last.
    told: Option<Arc<Scene>>,
}

/// Whether there is anything behind this.
type Then = Option<Listener>;

impl Listener {
    fn events(self) -> impl Stream<Item = Event> + Send + 'static {
        stream::unfold(Some(self), |state: Then| async {
            let mut listener = state?;
            let (event, goes_on) = listener.next().await?;
            Some((event, goes_on.then_some(listener)))
        })
    }

    /// The next event, and whether others follow; none when the node has stopped.
    async fn next(&mut self) -> Option<(Event, bool)> {
        loop {
            let standing = &mut self.listening.standing;
            tokio::select! {
                biased; // An election is told when it happens.
                changed = standing.changed(), if self.told.is_some() => {
                    changed.ok()?;
                    return Some((event("standing", self.standing()), true));
                }
                changed = self.listening.looks.changed() => changed.ok()?,
            }
            let Some(scene) = self.listening.looks.borrow_and_update().clone() else {
                continue;
            };
            // Rights change while somebody listens.
            if let Err(refused) = self.door.admit(Need::User, &self.headers).await {
                let refused = Problem::from(refused);
                return Some((event("end", refused.json()), false));
            }
            let told = self.told.replace(Arc::clone(&scene));
            let Some(told) = told else {
                self.listening.standing.mark_unchanged();
                return Some((event("state", scene.whole()), true));
            };
            if let Some(change) = scene.since(&told) {
                return Some((event("change", change), true));
            }
        }
    }

    fn standing(&mut self) -> Value {
        let standing = self.listening.standing.borrow_and_update();
        json!({
            "node": self.node,
            "at_ms": now_ms(),
            "role": standing.role.as_str(),
            "term": standing.term.0,
            "leader": standing.leader.map(|leader| leader.0),
            "quorum": standing.quorum,
        })
    }
}

fn event(name: &'static str, data: Value) -> Event {
    Event {
        name,
        id: None,
        data,
    }
}
