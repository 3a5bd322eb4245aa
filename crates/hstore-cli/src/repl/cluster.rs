//! What the shell knows of the cluster while nobody asks: kept fresh in the background, so that
//! the prompt never waits.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures::StreamExt;
use hstore_client::Client;
use hstore_client::v1::{ClusterDescription, Role};
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::{sleep, timeout};

use crate::render::nodes::{self, Health};

/// How long the shell waits for the first word of the cluster before it shows a prompt.
const FIRST_WORD: Duration = Duration::from_millis(800);
/// How long to wait before a lost connection is tried again.
const AGAIN: Duration = Duration::from_millis(500);

/// The cluster as it was last heard of.
pub(crate) struct Cluster {
    state: Arc<Mutex<State>>,
    heard: watch::Receiver<u64>,
    task: JoinHandle<()>,
}

#[derive(Clone, Debug, Default)]
struct State {
    description: Option<ClusterDescription>,
    connected: bool,
}

impl Cluster {
    /// Begins to listen.
    pub(crate) fn follow(client: Client) -> Cluster {
        let state = Arc::new(Mutex::new(State::default()));
        let (tell, heard) = watch::channel(0);
        let task = tokio::spawn(follow(client, Arc::clone(&state), tell));
        Cluster { state, heard, task }
    }

    /// Waits until the cluster was heard of for the first time, or was not in a while.
    pub(crate) async fn first_word(&self) {
        let mut heard = self.heard.clone();
        // No word in time is fine: the prompt then says that there is no connection.
        let _late = timeout(FIRST_WORD, heard.wait_for(|count| *count > 0))
            .await
            .is_err();
    }

    /// Changes whenever something was heard, or nothing where something should have been.
    pub(crate) fn changes(&self) -> watch::Receiver<u64> {
        self.heard.clone()
    }

    /// Whether a node could be reached last.
    pub(crate) fn connected(&self) -> bool {
        locked(&self.state).connected
    }

    /// What was heard last.
    pub(crate) fn description(&self) -> Option<ClusterDescription> {
        locked(&self.state).description.clone()
    }

    /// The prompt, plain and with colour.
    pub(crate) fn prompt(&self) -> (String, String) {
        let state = locked(&self.state).clone();
        prompt(state.description.as_ref().filter(|_| state.connected))
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// `cluster node* >`: the star marks the leader; what is not well is said in words.
fn prompt(description: Option<&ClusterDescription>) -> (String, String) {
    let Some(cluster) = description else {
        return (
            "not connected > ".to_owned(),
            "\x1b[31mnot connected\x1b[0m > ".to_owned(),
        );
    };
    let own = cluster.members.iter().find(|member| {
        member
            .member
            .as_ref()
            .is_some_and(|member| member.node_id == cluster.node_id)
    });
    let node = own.map_or_else(|| "?".to_owned(), nodes::name);
    let role = match own.map(nodes::role) {
        Some("leader") => "*",
        Some("learner") => " (learner)",
        _ => "",
    };
    let (word, colour) = match nodes::health(cluster) {
        Health::Healthy { .. } => (String::new(), "32"),
        Health::Degraded { up, of } => (format!(" {up}/{of}"), "33"),
        Health::NoQuorum { .. } => (" no quorum".to_owned(), "31"),
    };
    let name = &cluster.cluster_name;
    (
        format!("{name} {node}{role}{word} > "),
        format!("\x1b[1m{name}\x1b[0m {node}{role}\x1b[{colour}m{word} >\x1b[0m "),
    )
}

async fn follow(client: Client, state: Arc<Mutex<State>>, tell: watch::Sender<u64>) {
    let said = |description: Option<ClusterDescription>| {
        let mut state = locked(&state);
        state.connected = description.is_some();
        if description.is_some() {
            state.description = description;
        }
        drop(state);
        tell.send_modify(|count| *count += 1);
    };
    loop {
        if let Ok(mut changes) = client.describe_changes().await {
            while let Some(Ok(description)) = changes.next().await {
                said(Some(description));
            }
        }
        // The node went away or ends its streams: ask once, which also finds another node.
        match client.describe().await {
            Ok(description) => said(Some(description)),
            Err(_) => said(None),
        }
        sleep(AGAIN).await;
    }
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// How many members answer, for a person who waits.
pub(crate) fn sentence(cluster: &ClusterDescription) -> String {
    let leader = cluster
        .members
        .iter()
        .find(|member| member.role() == Role::Leader)
        .map_or_else(
            || "no leader".to_owned(),
            |leader| format!("{} leads", nodes::name(leader)),
        );
    format!("{}; {leader}", nodes::health(cluster))
}

#[cfg(test)]
mod tests {
    use hstore_client::v1::{Member, MemberStatus};

    use super::*;

    fn member(id: u64, role: Role, reachable: bool) -> MemberStatus {
        MemberStatus {
            member: Some(Member {
                node_id: id,
                name: format!("n{id}"),
                ..Member::default()
            }),
            voter: role != Role::Learner,
            reachable,
            role: role.into(),
            ..MemberStatus::default()
        }
    }

    #[test]
    fn the_prompt_says_where_one_is_and_what_is_wrong() {
        let cluster = |node_id, leader, members| ClusterDescription {
            cluster_name: "dev".to_owned(),
            node_id,
            leader,
            members,
            ..ClusterDescription::default()
        };
        let (leader, follower) = (
            member(1, Role::Leader, true),
            member(2, Role::Follower, true),
        );
        let gone = member(3, Role::Unspecified, false);
        let learner = member(4, Role::Learner, true);
        for (cluster, expected) in [
            (cluster(1, 1, vec![leader.clone()]), "dev n1* > "),
            (
                cluster(2, 1, vec![leader.clone(), follower.clone()]),
                "dev n2 > ",
            ),
            (
                cluster(4, 1, vec![leader.clone(), learner]),
                "dev n4 (learner) > ",
            ),
            (
                cluster(1, 1, vec![leader, follower.clone(), gone.clone()]),
                "dev n1* 2/3 > ",
            ),
            (cluster(2, 0, vec![follower, gone]), "dev n2 no quorum > "),
        ] {
            assert_eq!(prompt(Some(&cluster)).0, expected);
        }
        assert_eq!(prompt(None).0, "not connected > ");
    }
}
