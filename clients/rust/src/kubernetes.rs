//! What the apiserver of Kubernetes asks of etcd: writes that compare one revision and read what is there
//! otherwise, lists in pages as of one revision, and a watch that goes on where the list ended, hears of
//! leases that end, and of progress.

use etcd_client::{
    Compare, CompareOp, DeleteOptions, Error, EventType, GetOptions, GetResponse, PutOptions, Txn,
    TxnOp, TxnOpResponse, WatchOptions,
};

use crate::World;
use crate::watches::next;

const PREFIX: &str = "rs/registry/";
const END: &str = "rs/registry0";

/// Writes or deletes a key if it was last written at this revision, 0 if it is not to be there; reads it
/// otherwise.
fn only_if(key: &str, revision: i64, step: TxnOp) -> Txn {
    Txn::new()
        .when([Compare::mod_revision(key, CompareOp::Equal, revision)])
        .and_then([step])
        .or_else([TxnOp::get(key, None)])
}

/// What the key was last written at, by the answer of a write that was not made.
fn found(answer: &TxnOpResponse) -> i64 {
    match answer {
        TxnOpResponse::Get(found) => found.kvs().first().map_or(0, |kv| kv.mod_revision()),
        _other => -1,
    }
}

fn revision(header: Option<&etcd_client::ResponseHeader>) -> i64 {
    header.map_or(0, |header| header.revision())
}

fn keys(answer: &GetResponse) -> Vec<String> {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    answer.kvs().iter().map(|kv| text(kv.key())).collect()
}

pub(crate) async fn objects(world: &mut World) -> Result<(), Error> {
    let World {
        client,
        other,
        checks,
        ..
    } = world;
    let key = "rs/registry/pods/a";
    client
        .delete(PREFIX, Some(DeleteOptions::new().with_prefix()))
        .await?;
    let put = |value: &'static str| TxnOp::put(key, value, None);
    let made = client.txn(only_if(key, 0, put("1"))).await?;
    checks.holds("made where nothing is", made.succeeded());
    let first = revision(made.header());
    let again = other.txn(only_if(key, 0, put("2"))).await?;
    checks.equal(
        "not made twice, and what is there is told",
        (
            again.succeeded(),
            found(&again.op_responses()[0]),
            revision(again.header()),
        ),
        (false, first, first),
    );
    let changed = other.txn(only_if(key, first, put("3"))).await?;
    checks.holds("changed as it was seen", changed.succeeded());
    let late = client.txn(only_if(key, first, put("4"))).await?;
    let second = revision(changed.header());
    checks.equal(
        "not changed as it was seen before",
        (late.succeeded(), found(&late.op_responses()[0])),
        (false, second),
    );
    let gone = TxnOp::delete(key, None);
    let late = client.txn(only_if(key, first, gone.clone())).await?;
    checks.equal("nor deleted", late.succeeded(), false);
    let deleted = client.txn(only_if(key, second, gone)).await?;
    checks.holds("deleted as it was seen", deleted.succeeded());
    let late = other.txn(only_if(key, second, put("5"))).await?;
    checks.equal(
        "what is gone is told as nothing",
        (late.succeeded(), found(&late.op_responses()[0])),
        (false, 0),
    );
    Ok(())
}

pub(crate) async fn lists(world: &mut World) -> Result<(), Error> {
    let World {
        client,
        other,
        checks,
        ..
    } = world;
    for n in 0..7 {
        client.put(format!("{PREFIX}n/{n}"), "x", None).await?;
    }
    let page = |from: String, at: i64| {
        let options = GetOptions::new()
            .with_range(END)
            .with_limit(3)
            .with_revision(at);
        (from, Some(options))
    };
    let (from, options) = page(PREFIX.to_owned(), 0);
    let mut answer = other.get(from, options).await?;
    let at = revision(answer.header());
    let mut listed = keys(&answer);
    checks.equal(
        "how many there are, beside a page",
        (answer.count(), answer.more()),
        (7, true),
    );
    // What happens between two pages is in none of them.
    client.put(format!("{PREFIX}n/9"), "later", None).await?;
    client.delete(format!("{PREFIX}n/5"), None).await?;
    while answer.more() {
        let last = listed.last().cloned().unwrap_or_default();
        let (from, options) = page(format!("{last}\0"), at);
        answer = client.get(from, options).await?;
        listed.extend(keys(&answer));
    }
    let wanted: Vec<String> = (0..7).map(|n| format!("{PREFIX}n/{n}")).collect();
    checks.equal("pages as of one revision", listed, wanted);
    let count = GetOptions::new().with_prefix().with_count_only();
    let counted = other.get(PREFIX, Some(count)).await?;
    checks.equal(
        "counted alone",
        (counted.count(), counted.kvs().len()),
        (7, 0),
    );

    // A watch goes on where the list ended.
    let options = WatchOptions::new()
        .with_range(END)
        .with_start_revision(at + 1)
        .with_prev_key()
        .with_progress_notify();
    let mut stream = other.watch(PREFIX, Some(options)).await?;
    checks.holds("made", next(&mut stream).await?.created());
    let lease = client.lease_grant(2, None).await?.id();
    let leased = PutOptions::new().with_lease(lease);
    client
        .put(format!("{PREFIX}events/e"), "soon gone", Some(leased))
        .await?;
    let mut told = Vec::new();
    let mut last = 0;
    // The last one comes by itself, when the lease has ended.
    while told.len() < 4 {
        let answer = next(&mut stream).await?;
        for event in answer.events() {
            let kv = event.kv().expect("an event has a key");
            let key = String::from_utf8_lossy(kv.key()).replace(PREFIX, "");
            let had = event.prev_kv().is_some();
            let is_deletion = event.event_type() == EventType::Delete;
            checks.holds("in the order of revisions", kv.mod_revision() > last);
            checks.equal(
                "a deletion has no lease",
                is_deletion && kv.lease() != 0,
                false,
            );
            last = kv.mod_revision();
            told.push((key, is_deletion, had));
        }
    }
    let wanted = [
        ("n/9", false, false),
        ("n/5", true, true),
        ("events/e", false, false),
        ("events/e", true, true),
    ];
    let wanted = wanted.map(|(key, gone, had)| (key.to_owned(), gone, had));
    checks.equal("what came after the list", told, wanted);
    stream.request_progress().await?;
    let progress = next(&mut stream).await?;
    checks.equal(
        "progress of all watches, not behind what was told",
        (progress.watch_id(), revision(progress.header()) >= last),
        (-1, true),
    );
    let all = DeleteOptions::new().with_prefix();
    client.delete(PREFIX, Some(all)).await.map(drop)
}

/// The key by which its members agree on who compacts.
pub(crate) async fn compactions(world: &mut World) -> Result<(), Error> {
    let World { client, checks, .. } = world;
    let key = "rs/compact_rev_key";
    let turn = |version: i64, value: String| {
        Txn::new()
            .when([Compare::version(key, CompareOp::Equal, version)])
            .and_then([TxnOp::put(key, value, None)])
            .or_else([TxnOp::get(key, None)])
    };
    let first = client.txn(turn(0, "0".to_owned())).await?;
    checks.holds("the first turn", first.succeeded());
    let at = revision(first.header());
    let missed = client.txn(turn(0, "0".to_owned())).await?;
    let TxnOpResponse::Get(there) = &missed.op_responses()[0] else {
        checks.holds("what is there is read", false);
        return Ok(());
    };
    checks.equal(
        "a turn that was missed",
        (missed.succeeded(), there.kvs()[0].version()),
        (false, 1),
    );
    let second = client.txn(turn(1, at.to_string())).await?;
    checks.holds("the next turn", second.succeeded());
    client.compact(at, None).await?;
    client.delete(key, None).await.map(drop)
}
