//! Members, and looking after a node.

use etcd_client::{AlarmAction, AlarmType, Error, MemberAddOptions};

use crate::World;

/// Nobody listens there, and nobody needs to.
const NOWHERE: &str = "http://127.0.0.1:1";

pub(crate) async fn members(world: &mut World) -> Result<(), Error> {
    let nodes = world.endpoints.len();
    let World { client, checks, .. } = world;
    let listed = client.member_list().await?;
    checks.equal("as many as there are", listed.members().len(), nodes);
    let is_whole = listed.members().iter().all(|member| {
        !member.name().is_empty()
            && !member.client_urls().is_empty()
            && !member.peer_urls().is_empty()
            && !member.is_learner()
    });
    checks.holds("each with a name and addresses", is_whole);
    let learner = MemberAddOptions::new().with_is_learner();
    let added = client.member_add([NOWHERE], Some(learner)).await?;
    let member = added.member().expect("an answer has the member");
    let (id, urls) = (member.id(), member.peer_urls().to_vec());
    checks.equal(
        "added",
        (member.is_learner(), urls),
        (true, vec![NOWHERE.to_owned()]),
    );
    let listed = client.member_list().await?;
    checks.equal("one more", listed.members().len(), nodes + 1);
    let told = client.member_promote(id).await;
    let words = "etcdserver: can only promote a learner member which is in sync with leader";
    checks.fails("it does not vote before it is there", words, told);
    let moved = "http://127.0.0.1:2";
    client.member_update(id, vec![moved.to_owned()]).await?;
    let listed = client.member_list().await?;
    let found = listed.members().iter().find(|member| member.id() == id);
    let urls = found.map(|member| member.peer_urls().to_vec());
    checks.equal("moved", urls, Some(vec![moved.to_owned()]));
    client.member_remove(id).await?;
    let listed = client.member_list().await?;
    checks.equal("removed", listed.members().len(), nodes);
    let told = client.member_remove(id).await;
    checks.holds("removed twice", told.is_err());
    Ok(())
}

pub(crate) async fn maintenance(world: &mut World) -> Result<(), Error> {
    let World { client, checks, .. } = world;
    let alarms = client
        .alarm(AlarmAction::Get, AlarmType::None, None)
        .await?;
    checks.equal("no alarm", alarms.alarms().len(), 0);
    let status = client.status().await?;
    checks.holds("a version", status.version().starts_with("3."));
    checks.holds("a size", status.db_size() > 0);
    checks.holds("a log", status.raft_index() > 0 && status.raft_term() > 0);
    checks.holds(
        "no trouble",
        status.errors().is_empty() && !status.is_learner(),
    );
    client.defragment().await?;
    checks.holds("defragmented", true);
    client.hash().await?;
    let mut hashes = Vec::new();
    let revision = client.put("rs/hash", "x", None).await?;
    let revision = revision.header().map_or(0, |header| header.revision());
    for endpoint in &world.endpoints {
        let mut one = etcd_client::Client::connect([endpoint], None).await?;
        // A linearizable read: from here on the node knows the revision.
        one.get("rs/hash", None).await?;
        hashes.push(one.hash_kv(revision).await?.hash());
    }
    hashes.dedup();
    let World { client, checks, .. } = world;
    checks.equal("one hash at all nodes", hashes.len(), 1);
    let mut snapshot = client.snapshot().await?;
    let (mut bytes, mut last) = (0, Vec::new());
    while let Some(piece) = snapshot.message().await? {
        bytes += piece.blob().len();
        last = piece.blob().to_vec();
    }
    checks.equal(
        "a backup ends with its sum",
        (last.len(), bytes % 512),
        (32, 32),
    );
    client.delete("rs/hash", None).await.map(drop)
}

pub(crate) async fn leadership(world: &mut World) -> Result<(), Error> {
    // Only who leads hands it over, so each is asked until one does.
    let World { client, checks, .. } = world;
    let members = client.member_list().await?;
    let leader = client.status().await?.leader();
    let next = members.members().iter().map(|member| member.id());
    let next = next.filter(|id| *id != leader).min().unwrap_or(leader);
    let at = members
        .members()
        .iter()
        .find(|member| member.id() == leader);
    let at = at
        .map(|member| member.client_urls().to_vec())
        .unwrap_or_default();
    let mut leading = etcd_client::Client::connect(&at, None).await?;
    leading.move_leader(next).await?;
    let found = leading.status().await?.leader();
    checks.equal("handed over", found, next);
    if next != leader {
        let told = leading.move_leader(leader).await;
        checks.fails(
            "who does not lead hands nothing over",
            "etcdserver: not leader",
            told,
        );
    }
    Ok(())
}
