//! `member`, `leader`, `alarm`, `hash` and `compact`: what an operator does.

use futures::future::join_all;
use hstore_client::etcdserverpb::Member;
use hstore_client::v1::{MemberStatus, Role, SettingChange};
use hstore_client::{Client, Error, ErrorCode, KeyRange, Read};
use hstore_core::id::Revision;
use tokio::time::{Duration, Instant, sleep};

use super::delete::agreed;
use crate::args::{self, Alarm, Leader};
use crate::failure::Failure;
use crate::render::{self, Data, HashRow};
use crate::run::Context;

/// The pause before a member that is a little behind is asked again.
const BEHIND: Duration = Duration::from_millis(100);

/// How long a member may take until it has applied the revision that is compared.
const BEHIND_MAX: Duration = Duration::from_secs(5);

pub(super) async fn member(context: &Context, what: &args::Member) -> Result<Data, Failure> {
    let client = &context.client;
    let members = match what {
        args::Member::List => client.members().await?,
        args::Member::Add { address, learner } => {
            let added = client.add_member(address, *learner).await?;
            eprintln!("start it:  hstore-server join --peer-listen {address}");
            vec![added]
        }
        args::Member::Promote { node } => {
            let id = resolve(client, node).await?;
            client.promote_member(id).await?
        }
        args::Member::Demote { node } => {
            let change = SettingChange {
                key: "type".to_owned(),
                node_id: resolve(client, node).await?,
                value: Some("learner".to_owned()),
            };
            client.change_settings(None, vec![change]).await?;
            client.members().await?
        }
        args::Member::Update { node, peer } => {
            let id = resolve(client, node).await?;
            client.update_member(id, peer).await?
        }
        args::Member::Remove { node, yes } => {
            let id = resolve(client, node).await?;
            let question = format!("Remove {node} from the cluster, for ever?");
            if context.interactive && !yes && !agreed(&question).await? {
                return Err(Failure::Interrupted("nobody was removed".to_owned()));
            }
            client.remove_member(id).await?
        }
    };
    Ok(Data::Members(members))
}

pub(super) async fn leader(context: &Context, what: Option<&Leader>) -> Result<Data, Failure> {
    let client = &context.client;
    let Some(Leader::Transfer { node }) = what else {
        let cluster = client.describe().await?;
        let leads = |member: &&MemberStatus| member.reachable && member.role() == Role::Leader;
        let leader = cluster.members.iter().find(leads).ok_or(Error::Refused {
            code: ErrorCode::NoQuorum,
            message: "nobody leads".to_owned(),
        })?;
        let member = leader.member.clone().unwrap_or_default();
        return Ok(Data::Leads {
            node: member.node_id,
            name: member.name,
        });
    };
    let to = match node {
        Some(node) => Some(resolve(client, node).await?),
        None => None,
    };
    let leader = client.transfer_leader(to).await?;
    let members = client.members().await?;
    let name = members.into_iter().find(|member| member.id == leader);
    Ok(Data::Leads {
        node: leader,
        name: name.map(|member| member.name).unwrap_or_default(),
    })
}

pub(super) async fn alarm(context: &Context, what: &Alarm) -> Result<Data, Failure> {
    let raised = context.client.alarms().await?;
    if matches!(what, Alarm::List) {
        return Ok(Data::Alarms(raised));
    }
    let mut cleared = Vec::new();
    for alarm in raised {
        cleared.extend(context.client.disarm(alarm).await?);
    }
    Ok(Data::Alarms(cleared))
}

pub(super) async fn compact(context: &Context, args: &args::Compact) -> Result<Data, Failure> {
    let at = match args.revision {
        Some(revision) => Revision(revision),
        None => current(&context.client).await?,
    };
    let compacted = if args.wait {
        context.client.compact_and_wait(at).await
    } else {
        context.client.compact(at).await
    };
    match compacted {
        // Nothing was written since the last time: what was asked for is so already.
        Err(error) if args.revision.is_none() && error.code() == ErrorCode::Compacted => {}
        other => {
            other?;
        }
    }
    Ok(Data::Compacted { revision: at.0 })
}

/// Asks every member for its hash as of one revision, and fails when they differ.
pub(super) async fn hash(context: &Context, args: &args::Hash) -> Result<Data, Failure> {
    let at = match args.rev {
        Some(revision) => Revision(revision),
        None => current(&context.client).await?,
    };
    let members = context.client.members().await?;
    let started = members.iter().filter(|member| !member.name.is_empty());
    let timeout = context.timeout;
    let rows: Vec<HashRow> = join_all(started.map(|member| one(member, at, timeout))).await;
    let first = rows.iter().find_map(|row| row.hash);
    let differ = |row: &HashRow| match (row.hash, first) {
        (Some(own), Some(first)) => own.compacted == first.compacted && own.hash != first.hash,
        _ => false,
    };
    let message = if rows.iter().any(differ) {
        Some((ErrorCode::DataCorrupt, "the members do not hold the same"))
    } else if rows.iter().any(|row| row.hash.is_none()) {
        Some((ErrorCode::Partial, "not every member could be asked"))
    } else {
        None
    };
    match message {
        None => Ok(Data::Hashes(rows)),
        Some((code, message)) => {
            render::now(context.view, &Data::Hashes(rows))?;
            let message = message.to_owned();
            Err(Error::Refused { code, message }.into())
        }
    }
}

async fn one(member: &Member, at: Revision, timeout: Option<Duration>) -> HashRow {
    let asked = ask(member, at, timeout).await;
    let problem = asked.as_ref().err().map(ToString::to_string);
    HashRow {
        node: member.id,
        name: member.name.clone(),
        revision: at.0,
        hash: asked.ok(),
        problem: problem.unwrap_or_default(),
    }
}

async fn ask(
    member: &Member,
    at: Revision,
    timeout: Option<Duration>,
) -> Result<render::Hash, Error> {
    let addresses = member.client_ur_ls.iter();
    let plain = addresses.map(|url| url.split("://").last().unwrap_or(url));
    let addresses: Vec<&str> = plain.collect();
    let until = Instant::now() + BEHIND_MAX;
    loop {
        // A new client knows this address alone.
        let mut client = Client::connect(&addresses)?;
        if let Some(timeout) = timeout {
            client = client.with_timeout(timeout);
        }
        match client.hash(at).await {
            Err(error) if error.code() == ErrorCode::FutureRevision && Instant::now() < until => {
                sleep(BEHIND).await;
            }
            answer => {
                let answer = answer?;
                return Ok(render::Hash {
                    hash: answer.hash,
                    compacted: answer.compact_revision.max(0),
                });
            }
        }
    }
}

/// The store's revision.
async fn current(client: &Client) -> Result<Revision, Failure> {
    let nothing = KeyRange::One(vec![0].into());
    Ok(client.count(nothing, Read::default()).await?.revision)
}

/// A member by its name or its number.
pub(super) async fn resolve(client: &Client, node: &str) -> Result<u64, Failure> {
    let members = client.members().await?;
    let named = members.iter().find(|member| member.name == node);
    let numbered = || {
        let id = node.parse::<u64>().ok()?;
        members.iter().find(|member| member.id == id)
    };
    let found = named.or_else(numbered).map(|member| member.id);
    found.ok_or_else(|| {
        let message = format!("there is no member {node}");
        let code = ErrorCode::NodeNotFound;
        Error::Refused { code, message }.into()
    })
}
